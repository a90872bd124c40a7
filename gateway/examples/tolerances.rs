//! What a tolerance loses: every model that the built-in router model has graded answers of as a specialist with a figure
//! for one domain, and as a generalist with figures for all, beside the best model of the same source. The figures come
//! from the rows that its heads learned from, the answers from rows that they did not.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::fmt::Write;
use std::sync::Arc;

use gateway::classify::Classifier;
use gateway::config;
use gateway::meter::Meter;
use gateway::snapshot::{Snapshot, snapshot_for_dry_runs};
use gateway::usage::Usage;
use gateway::weigh::{evidence, weigh_scores};
use router_model::answers::AnswerSet;
use router_model::{Known, RouterModel};

const TOLERANCES: [f64; 5] = [0.02, 0.05, 0.10, 0.20, 0.30];
/// Held out answers that a source must have.
const ENOUGH: usize = 60;
/// Requests that a pair must take under a tolerance before its loss is held against it.
const TAKEN: usize = 30;

/// What was lost by those who took anything under one tolerance.
#[derive(Default)]
struct Lost {
    pairs: usize,
    taken: usize,
    prompts: usize,
    lost: i64,
    /// Of the pairs that took enough, how many lost more than the tolerance by two standard errors.
    judged: usize,
    over: usize,
}

fn main() {
    let model = Arc::new(RouterModel::builtin().expect("the weights that this crate was built with"));
    let (mut specialists, mut generalists) = (Losses::default(), Losses::default());
    for set in model.answers() {
        for pair in Pair::all(&model, set) {
            let domains: Vec<&str> = pair.expert.domains.iter().map(|known| known.domain.as_str()).collect();
            domains.iter().for_each(|domain| pair.play(&model, &[domain], &mut specialists));
            pair.play(&model, &domains, &mut generalists);
        }
    }
    specialists.print("specialists, a figure for one domain each");
    generalists.print("generalists, figures for every domain they were graded in");
}

/// An expert and a fallback that answered the same prompts.
struct Pair<'a> {
    set: &'a AnswerSet,
    expert: &'a Known,
    fallback: &'a Known,
}

impl<'a> Pair<'a> {
    fn all(model: &'a RouterModel, set: &'a AnswerSet) -> Vec<Pair<'a>> {
        let known = |name: &String| model.card().known.iter().find(|known| known.name == *name);
        let mut all: Vec<&Known> = set.models.iter().filter_map(known).collect();
        all.sort_by(|a, b| b.mean.total_cmp(&a.mean));
        let Some((fallback, experts)) = all.split_first() else { return Vec::new() };
        experts.iter().map(|expert| Pair { set, expert, fallback }).collect()
    }

    /// A configuration where the expert has figures for these domains only.
    fn snapshot(&self, model: &Arc<RouterModel>, domains: &[&str]) -> Snapshot {
        let figures = |known: &Known, of: &dyn Fn(&str) -> bool| {
            let known = known.domains.iter().filter(|known| of(&known.domain));
            known.map(|known| format!("{}: {}", known.domain, known.quality)).collect::<Vec<_>>().join(", ")
        };
        let mut yaml = "fallback: large\nrouter: { policy: p0 }\npolicies:\n".to_owned();
        for (place, tolerance) in TOLERANCES.iter().enumerate() {
            let _ = writeln!(yaml, "  p{place}: {{ tolerance: {tolerance} }}");
        }
        let large = figures(self.fallback, &|_| true);
        let small = figures(self.expert, &|domain| domains.contains(&domain));
        // prices as they might be: of the two the fallback is dearer, and no more is asked of them
        let _ = writeln!(
            yaml,
            "experts:\n  - {{ name: small, model: s, base_url: 'http://127.0.0.1:1/v1', quality: {{ {small} }}, price: {{ input_per_1m: 1, output_per_1m: 1 }} }}\n  - {{ name: large, model: l, base_url: 'http://127.0.0.1:2/v1', quality: {{ {large} }}, price: {{ input_per_1m: 9, output_per_1m: 9 }} }}"
        );
        let checked = config::parse("pair.yaml", &yaml, &|_| None).expect("a valid configuration");
        let classifier: Arc<dyn Classifier> = Arc::<RouterModel>::clone(model);
        let meter = Meter::new(classifier.version());
        snapshot_for_dry_runs(checked, classifier, &meter).expect("a configuration that promises nothing")
    }

    fn play(&self, model: &Arc<RouterModel>, domains: &[&str], losses: &mut Losses) {
        let Some(places) = self.set.places([self.expert.name.as_str(), self.fallback.name.as_str()]) else {
            return;
        };
        let prompts: Vec<_> = self.set.answered_held_out(&places).collect();
        if prompts.len() < ENOUGH {
            return;
        }
        let snapshot = self.snapshot(model, domains);
        for (policy, lost) in losses.0.iter_mut().enumerate() {
            let differences: Vec<i64> = prompts
                .iter()
                .filter(|(prompt, _)| {
                    let scores = prompt.scores(model.domains().len());
                    let usage = Usage { input: 250, output: 250, ..Usage::default() };
                    let candidates = weigh_scores(&snapshot, policy, &scores, &[], &usage);
                    let policy = &snapshot.policies[policy].policy;
                    policy.choose(&candidates, Some(evidence(&scores)), 1).order.first() == Some(&0)
                })
                .map(|(_, answers)| i64::from(answers[1].1) - i64::from(answers[0].1))
                .collect();
            lost.count(&differences, prompts.len(), TOLERANCES[policy]);
        }
    }
}

impl Lost {
    fn count(&mut self, differences: &[i64], prompts: usize, tolerance: f64) {
        if differences.is_empty() {
            return;
        }
        self.pairs += 1;
        self.taken += differences.len();
        self.prompts += prompts;
        self.lost += differences.iter().sum::<i64>();
        if differences.len() < TAKEN {
            return;
        }
        let n = differences.len() as f64;
        let mean = differences.iter().sum::<i64>() as f64 / n;
        let square = differences.iter().map(|d| d * d).sum::<i64>() as f64 / n;
        let error = ((square - mean * mean).max(0.0) / n).sqrt();
        self.judged += 1;
        self.over += usize::from(mean - 2.0 * error > tolerance);
    }
}

#[derive(Default)]
struct Losses([Lost; TOLERANCES.len()]);

impl Losses {
    fn print(&self, title: &str) {
        println!("{title}\n");
        println!("tolerance   pairs   of their prompts taken   lost of those   judged alone   over it");
        for (tolerance, lost) in TOLERANCES.iter().zip(&self.0) {
            let Lost { pairs, taken, prompts, lost, judged, over } = lost;
            let share = |part: f64, of: usize| part / of.max(1) as f64;
            println!(
                "{tolerance:<11.2} {pairs:<7} {:<24.3} {:<15.3} {judged:<14} {over}",
                share(*taken as f64, *prompts),
                share(*lost as f64, *taken),
            );
        }
        println!();
    }
}
