//! What is known of a request when a policy chooses: how the router model reads it, and how every expert stands.

use std::time::Instant;

use router_model::{Heads, MAX_DOMAINS, Scores};

use crate::api::Dialect;
use crate::ask::Ask;
use crate::auth::Caller;
use crate::classify::{Classifier, Verdict, classify};
use crate::constraint::Constraints;
use crate::conversation::{Fusion, needs_context};
use crate::expert::{Expected, Expert, Reference};
use crate::plan::Wish;
use crate::policy::{Candidate, Evidence};
use crate::snapshot::{Selector, Snapshot};
use crate::text::{self, Alone, Routable};
use crate::usage::Usage;
use crate::wide::Subject;

/// Length of an answer where the router model does not know it, tokens.
const EXPECTED_OUTPUT: f32 = 256.0;

/// How the router model reads a request.
#[derive(Debug)]
pub struct Reading {
    /// What it said; `None` where it was not asked.
    pub verdict: Option<Verdict>,
    /// Chances of the models of the panel.
    pub chances: Vec<f32>,
    /// The last human turn says little by itself and points back: what stands before it decided.
    pub leans: bool,
}

impl Reading {
    /// Reads the routable text, and where it does not decide alone what stands before it. An embedding has no domain.
    pub fn of(
        model: &dyn Classifier,
        panel: &Heads,
        ask: &Ask<'_>,
        dialect: Dialect,
        routable: &Routable,
        until: Instant,
    ) -> Self {
        let mut reading = Self { verdict: None, chances: Vec::new(), leans: false };
        if dialect == Dialect::Embeddings {
            return reading;
        }
        let judge = |text: &str, chances: &mut Vec<f32>| {
            classify(model, text, panel, chances, until.saturating_duration_since(Instant::now()))
        };
        let verdict = judge(&routable.text, &mut reading.chances);
        reading.verdict = Some(match verdict {
            Verdict::Scored(scores) if needs_context(routable.alone, &scores) => {
                reading.leans = routable.alone == Alone::Leans;
                Verdict::Scored(reading.in_context(&judge, ask, routable.alone, scores))
            }
            verdict => verdict,
        });
        reading
    }

    /// The scores together with those of what stands before; where the time does not suffice for it, as they are.
    fn in_context(
        &mut self,
        judge: &dyn Fn(&str, &mut Vec<f32>) -> Verdict,
        ask: &Ask<'_>,
        alone: Alone,
        last: Scores,
    ) -> Scores {
        let context = text::context(ask, alone);
        if context.is_empty() {
            return last;
        }
        let mut fusion = Fusion::new(alone, last, &self.chances);
        let mut chances = Vec::new();
        for (part, text) in context {
            match judge(&text, &mut chances) {
                Verdict::Scored(scores) => fusion.add(part, &scores, &chances),
                Verdict::Failed => {}
                Verdict::Deadline => return last,
            }
        }
        fusion.finish(&mut self.chances)
    }

    /// The scores, if any.
    pub fn scores(&self) -> Option<&Scores> {
        self.verdict.as_ref().and_then(Verdict::scores)
    }
}

/// What a policy looks at.
#[derive(Debug)]
pub struct Weighed<'s> {
    /// What every candidate must fulfil.
    pub constraints: Constraints,
    /// The experts, by index.
    pub candidates: Vec<Candidate<'s>>,
}

/// Holds every expert against a request that was read so, and `wider` where rules asked for it.
pub fn weigh<'s>(
    snapshot: &'s Snapshot,
    caller: Caller,
    wish: &Wish<'_>,
    ask: &Ask<'_>,
    reading: &Reading,
    wider: Option<&Subject>,
) -> Weighed<'s> {
    let first = Subject::of(reading.verdict.as_ref());
    let subject = wider.map_or(first.clone(), |wider| first.and(wider));
    let mut constraints = Constraints::gather(snapshot, caller, &subject, wish.policy, &wish.require);
    constraints.needs = ask.needs;
    constraints.tokens = ask.tokens_estimated.saturating_add(ask.max_output.unwrap_or(0));
    constraints.max_output = ask.max_output;
    if let Selector::Expert(index) = wish.selector {
        constraints.named = Some(index);
    }
    let domains = reading.scores().map(Scores::domains);
    let candidates = candidates(snapshot, ask, reading, domains, &constraints);
    Weighed { constraints, candidates }
}

/// The candidates, were the request about its likeliest domain for sure.
pub fn candidates_if_sure<'s>(
    snapshot: &'s Snapshot,
    ask: &Ask<'_>,
    reading: &Reading,
    constraints: &Constraints,
) -> Option<(Vec<Candidate<'s>>, Scores)> {
    let scores = reading.scores()?;
    let mut sure = [0.0; MAX_DOMAINS];
    sure[scores.top().0] = 1.0;
    let sure = scores.with_domains(&sure[..scores.domains().len()], 0.0);
    Some((candidates(snapshot, ask, reading, Some(sure.domains()), constraints), sure))
}

/// Tokens of an answer of a model of usual verbosity.
pub fn usual_output(scores: Option<&Scores>) -> f32 {
    scores.and_then(Scores::output_tokens).unwrap_or(EXPECTED_OUTPUT)
}

/// The scores as a policy reads them.
pub fn evidence(scores: &Scores) -> Evidence<'_> {
    let (top, confidence) = scores.top();
    Evidence { domains: scores.domains(), top, confidence, ood: scores.ood() }
}

fn candidates<'s>(
    snapshot: &'s Snapshot,
    ask: &Ask<'_>,
    reading: &Reading,
    domains: Option<&[f32]>,
    constraints: &Constraints,
) -> Vec<Candidate<'s>> {
    let usual_output = usual_output(reading.scores());
    let usage = |expert: &Expert| {
        let output = expected_output(expert, ask, usual_output);
        Usage { input: ask.tokens_estimated, output, ..Usage::default() }
    };
    stands(snapshot, domains, &reading.chances, &usage, constraints)
}

/// How every expert stands to a request without abilities or length of anyone, were it read so.
pub fn weigh_scores<'s>(
    snapshot: &'s Snapshot,
    policy: usize,
    scores: &Scores,
    chances: &[f32],
    usage: &Usage,
) -> Vec<Candidate<'s>> {
    let subject = Subject::of(Some(&Verdict::Scored(*scores)));
    let constraints = Constraints::gather(snapshot, Caller(None), &subject, policy, &[]);
    stands(snapshot, Some(scores.domains()), chances, &|_| *usage, &constraints)
}

fn stands<'s>(
    snapshot: &'s Snapshot,
    domains: Option<&[f32]>,
    chances: &[f32],
    usage: &dyn Fn(&Expert) -> Usage,
    constraints: &Constraints,
) -> Vec<Candidate<'s>> {
    let reference = Reference::of(&snapshot.experts[snapshot.fallback], chances);
    let stand = |expert: &'s Expert| {
        let expected = domains.map(|domains| expert.expected(&reference, domains, chances));
        let Expected { quality, own } = expected.unwrap_or_default();
        Candidate {
            expert,
            quality,
            own,
            chance: expert.head.and_then(|head| chances.get(head)).copied(),
            cost: expert.price.map(|price| price.cost(&usage(expert))),
            why_not: constraints.check(expert).err(),
        }
    };
    snapshot.experts.iter().map(stand).collect()
}

/// Tokens of all answers of an expert to a request, where a model of usual verbosity is likely to take `usual` for one.
pub fn expected_output(expert: &Expert, ask: &Ask<'_>, usual: f32) -> u64 {
    let output = (usual * expert.verbosity).round() as u64;
    ask.max_output.map_or(output, |most| most.min(output)) * u64::from(ask.choices)
}
