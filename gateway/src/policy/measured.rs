//! Where a policy stands: what it does on the graded prompts that the router model carries, before it sees traffic.
//!
//! What decides is what serves: the same candidates, constraints and policy, given the whole distribution that was said of
//! each prompt, and the chances of heads that had not seen it (the deployed ones where they did not learn from the prompt,
//! else others fitted without it). What the chosen model answered is on record.

use std::fmt;

use router_model::answers::{AnswerSet, Graded};
use router_model::promise::{taker, upper_bound};
use serde::Serialize;

use super::{Candidate, Named};
use crate::constraint::WhyNot;
use crate::expert::Expert;
use crate::price::MicroUsd;
use crate::snapshot::Snapshot;
use crate::usage::Usage;
use crate::weigh::{evidence, weigh_scores};

/// A request that prices are compared by, tokens.
pub(super) const USUAL: Usage = Usage {
    input: 250,
    cached_input: 0,
    cache_write: 0,
    output: 250,
    reasoning: 0,
    cost: None,
    implausible: false,
};

/// What a policy does on graded prompts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Where the prompts came from.
    pub source: String,
    /// How many.
    pub prompts: usize,
    /// Names of the experts that were asked and may be chosen.
    pub experts: Vec<String>,
    /// Names of those that were not asked, so that nothing is known of them here.
    pub left_out: Vec<String>,
    /// Share that goes to an expert.
    pub served: f64,
    /// Share of good answers.
    pub quality: f64,
    /// The same of always the fallback.
    pub of_fallback: f64,
    /// Half of the 95 % interval of the difference between the two.
    pub margin: f64,
    /// Prompts that need the fallback: it answers well, and the expert that takes it, or would, does not.
    pub needing: usize,
    /// Share of these that go to an expert, and its upper 90 % bound (Clopper–Pearson).
    pub under_route: [f64; 2],
    /// Cost as a share of always the fallback's, each request of 250 tokens in and 250 out; `None`: someone has no price.
    pub cost: Option<f64>,
}

/// The chance that the bound is too low.
const DELTA: f64 = 0.10;

/// What a usual request costs; unpriced ones are dearest.
pub(super) fn usual_cost(expert: &Expert) -> MicroUsd {
    expert.price.map_or(MicroUsd(i64::MAX), |price| price.cost(&USUAL))
}

/// Measures a policy; `None` where the router model carries no answers of the fallback and an expert.
pub(super) fn measure(snapshot: &Snapshot, policy: usize) -> Option<Measured> {
    let named = &snapshot.policies[policy];
    let (set, places) = best_set(named, snapshot)?;
    let columns: Vec<usize> = places.iter().map(|(_, column)| *column).collect();
    let places: Vec<usize> = places.into_iter().map(|(place, _)| place).collect();
    let panel = Panel::new(snapshot, policy, places)?;
    let mut tally = Tally::default();
    for (prompt, answers) in set.answered(&columns) {
        panel.decide(&prompt, &answers, &mut tally);
    }
    let names = |of: &dyn Fn(&Expert) -> bool| -> Vec<String> {
        let experts =
            snapshot.experts.iter().filter(|expert| expert.index != snapshot.fallback && of(expert));
        experts.map(|expert| expert.name.to_string()).collect()
    };
    Some(Measured {
        source: set.source.clone(),
        experts: names(&|expert| panel.at(expert.index).is_some()),
        left_out: names(&|expert| panel.at(expert.index).is_none() && may(named, expert)),
        ..tally.told()
    })
}

/// A policy and the experts that were asked.
struct Panel<'a> {
    snapshot: &'a Snapshot,
    policy: usize,
    /// Positions of those that were asked, as the answers stand.
    places: Vec<usize>,
    /// Where the fallback stands among them.
    large: usize,
    /// Where the others stand.
    cheapest_first: Vec<usize>,
}

impl<'a> Panel<'a> {
    fn new(snapshot: &'a Snapshot, policy: usize, places: Vec<usize>) -> Option<Self> {
        let large = places.iter().position(|place| *place == snapshot.fallback)?;
        let mut cheapest_first: Vec<usize> = (0..places.len()).filter(|&at| at != large).collect();
        cheapest_first.sort_by_key(|&at| usual_cost(&snapshot.experts[places[at]]));
        Some(Self { snapshot, policy, places, large, cheapest_first })
    }

    /// Where an expert stands among the answers.
    fn at(&self, expert: usize) -> Option<usize> {
        self.places.iter().position(|place| *place == expert)
    }

    /// Decides for one prompt, and counts what came of it.
    fn decide(&self, prompt: &Graded, answers: &[(f32, bool)], tally: &mut Tally) {
        let Self { snapshot, policy, .. } = *self;
        let scores = prompt.scores(snapshot.classifier.domains().len());
        let mut candidates = weigh_scores(snapshot, policy, &scores, &self.chances(answers), &USUAL);
        self.only_asked(&mut candidates);
        let choice =
            snapshot.policies[policy].policy.choose(&candidates, Some(evidence(&scores)), snapshot.fallback);
        let chosen = choice.order.first().and_then(|&chosen| self.at(chosen)).unwrap_or(self.large);
        let would = taker(self.cheapest_first.iter().map(|&at| (at, answers[at].0))).unwrap_or(self.large);
        let stake = if chosen == self.large { would } else { chosen };
        let good = [chosen, stake, self.large].map(|at| answers[at].1);
        let costs = [chosen, self.large].map(|at| usual_cost(&snapshot.experts[self.places[at]]));
        tally.count(good, chosen != self.large, costs);
    }

    /// The chances as the router model's panel has them; nothing is known of models that were not asked.
    fn chances(&self, answers: &[(f32, bool)]) -> Vec<f32> {
        let mut chances = vec![0.0; self.snapshot.panel.names().len()];
        for (place, (chance, _)) in self.places.iter().zip(answers) {
            if let Some(head) = self.snapshot.experts[*place].head {
                chances[head] = *chance;
            }
        }
        chances
    }

    /// Those that were not asked may not answer.
    fn only_asked(&self, candidates: &mut [Candidate<'_>]) {
        for candidate in candidates {
            if self.at(candidate.expert.index).is_none() {
                candidate.why_not = Some(WhyNot::NotAllowed);
            }
        }
    }
}

/// Whether a policy would let an expert answer.
fn may(policy: &Named, expert: &Expert) -> bool {
    has_all(expert, &policy.require)
}

/// Whether an expert has all of these governance tags.
pub(super) fn has_all(expert: &Expert, tags: &[impl AsRef<str>]) -> bool {
    tags.iter().all(|tag| expert.tags.contains(tag.as_ref()))
}

/// The set that knows most of the experts, of equals the user's own or the one that most can be promised from; and the expert and the column of
/// each.
fn best_set<'m>(policy: &Named, snapshot: &'m Snapshot) -> Option<(&'m AnswerSet, Vec<(usize, usize)>)> {
    let Snapshot { experts, fallback, classifier, .. } = snapshot;
    let column = |set: &AnswerSet, expert: &Expert| {
        set.models.iter().position(|model| Some(model) == expert.catalogue.as_ref())
    };
    let places = |set: &'m AnswerSet| {
        let may = experts.iter().filter(|expert| expert.index == *fallback || may(policy, expert));
        let places: Vec<(usize, usize)> =
            may.filter_map(|expert| Some((expert.index, column(set, expert)?))).collect();
        (set, places)
    };
    let known = classifier
        .answers()
        .iter()
        .map(places)
        .filter(|(_, places)| places.len() > 1 && places.iter().any(|(place, _)| place == fallback));
    known.max_by_key(|(set, places)| (places.len(), set.is_own(), set.held_out, set.len()))
}

/// Sums over prompts.
#[derive(Default)]
struct Tally {
    prompts: f64,
    served: f64,
    good: f64,
    large_good: f64,
    /// Of the squares of the differences between the two.
    squares: f64,
    needing: usize,
    missed: usize,
    cost: i128,
    large_cost: i128,
}

impl Tally {
    /// Whether the chosen, the expert at stake and the fallback answered well; whether an expert was chosen; what the
    /// chosen and the fallback cost.
    fn count(&mut self, [good, stake, large]: [bool; 3], expert: bool, costs: [MicroUsd; 2]) {
        let one = |yes: bool| f64::from(u8::from(yes));
        self.prompts += 1.0;
        self.served += one(expert);
        self.good += one(good);
        self.large_good += one(large);
        self.squares += (one(good) - one(large)).powi(2);
        let needs = large && !stake;
        self.needing += usize::from(needs);
        self.missed += usize::from(needs && expert);
        self.cost = self.cost.saturating_add(i128::from(costs[0].0));
        self.large_cost = self.large_cost.saturating_add(i128::from(costs[1].0));
    }

    fn told(&self) -> Measured {
        let share = |sum: f64| sum / self.prompts.max(1.0);
        let difference = share(self.good) - share(self.large_good);
        let variance = share(self.squares) - difference * difference;
        let priced = self.cost < i128::from(i64::MAX) && self.large_cost < i128::from(i64::MAX);
        Measured {
            source: String::new(),
            prompts: self.prompts as usize,
            experts: Vec::new(),
            left_out: Vec::new(),
            served: share(self.served),
            quality: share(self.good),
            of_fallback: share(self.large_good),
            margin: 1.96 * (variance / self.prompts.max(1.0)).sqrt(),
            needing: self.needing,
            under_route: [
                self.missed as f64 / self.needing.max(1) as f64,
                upper_bound(self.missed, self.needing, DELTA),
            ],
            cost: (priced && self.large_cost > 0).then(|| self.cost as f64 / self.large_cost as f64),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { source, prompts, experts, left_out, served, quality, of_fallback, margin, .. } = self;
        write!(
            f,
            "on {prompts} graded prompts of {source}: {:.0} % to {}; right {quality:.3}, the fallback alone {of_fallback:.3} ({:+.3} ± {margin:.3})",
            served * 100.0,
            experts.join(", "),
            quality - of_fallback,
        )?;
        let [share, bound] = self.under_route.map(|share| share * 100.0);
        write!(
            f,
            "; of {} that need the fallback {share:.1} % went elsewhere (at most {bound:.1} % in the long run)",
            self.needing
        )?;
        if let Some(cost) = self.cost {
            write!(f, "; {:.0} % of the fallback's cost", cost * 100.0)?;
        }
        if !left_out.is_empty() {
            write!(f, "; nothing known there of {}", left_out.join(", "))?;
        }
        Ok(())
    }
}
