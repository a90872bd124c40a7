//! What routing was worth where the answers are on record: right answers and cost, beside the ways of doing
//! without a router. Arithmetic only.
//!
//! The control that matters is the router's own routes, dealt to other prompts: the same models, as often, for
//! about the same money. What it gets right, no knowledge of the prompt was needed for. Dealt to other prompts of
//! the same domain, it gets right what a table of domains would have.

use std::collections::BTreeMap;

use router_model::eval::{bootstrap, middle};

use crate::price::MicroUsd;

/// Times that the routes are dealt anew.
const SHUFFLES: usize = 2000;

/// One graded prompt; models by their place in the panel.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// What it is about.
    pub(super) domain: String,
    /// The model that answered.
    pub(super) route: usize,
    /// Whose answer is right.
    pub(super) right: Vec<bool>,
    /// What the answer costs of each.
    pub(super) cost: Vec<MicroUsd>,
}

/// A way of choosing models, and how it did.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Way {
    /// Share of the answers that are right.
    pub(super) right: f64,
    /// 95 % of it: of the prompts drawn anew; of a shuffle: of its deals.
    pub(super) interval: [f64; 2],
    /// Of all answers, millionths of a dollar.
    pub(super) cost: f64,
}

/// What [`judge`] found.
#[derive(Debug)]
pub(super) struct Judgement {
    /// Prompts.
    pub(super) n: usize,
    /// As it routed.
    pub(super) routed: Way,
    /// Always the large model.
    pub(super) large: Way,
    /// Always the cheapest, and its place.
    pub(super) cheapest: (usize, Way),
    /// Always the one that, looking back, is right most often; the large model does not stand.
    pub(super) best: (usize, Way),
    /// The same routes, dealt to other prompts.
    pub(super) shuffled: Way,
    /// The same routes, dealt to other prompts of the same domain.
    pub(super) within: Way,
    /// Share of right answers as routed less that of the large model, and 95 % of it over the same prompts.
    pub(super) gain: (f64, [f64; 2]),
}

impl Judgement {
    /// Whether it is right more often than the middle 95 % of its shuffled selves.
    pub(super) fn beats(&self, shuffled: &Way) -> bool {
        self.routed.right > shuffled.interval[1]
    }
}

/// Judges routes; none where there is no prompt, or no model but the large one.
pub(super) fn judge(trials: &[Trial], large: usize) -> Option<Judgement> {
    let experts = || (0..trials.first().map_or(0, |trial| trial.right.len())).filter(|at| *at != large);
    let always = |model: usize| way(trials, |_| model);
    let cheapest = experts().min_by(|a, b| always(*a).cost.total_cmp(&always(*b).cost))?;
    let best = experts().max_by(|a, b| always(*a).right.total_cmp(&always(*b).right))?;
    let routes: Vec<usize> = trials.iter().map(|trial| trial.route).collect();
    let gain = |picks: &mut dyn Iterator<Item = usize>| {
        mean(picks.map(|at| share(trials[at].right[routes[at]]) - share(trials[at].right[large])))
    };
    Some(Judgement {
        n: trials.len(),
        routed: way(trials, |at| routes[at]),
        large: always(large),
        cheapest: (cheapest, always(cheapest)),
        best: (best, always(best)),
        gain: (
            gain(&mut (0..trials.len())),
            bootstrap(trials.len(), |picks| gain(&mut picks.iter().copied())),
        ),
        shuffled: shuffled(trials, &[(0..trials.len()).collect()]),
        within: shuffled(trials, &by_domain(trials)),
    })
}

fn way(trials: &[Trial], model: impl Fn(usize) -> usize) -> Way {
    let right = |at: usize| share(trials[at].right[model(at)]);
    Way {
        right: mean((0..trials.len()).map(right)),
        interval: bootstrap(trials.len(), |picks| mean(picks.iter().map(|&at| right(at)))),
        cost: cost(trials, model),
    }
}

/// Deals the routes of each group anew within it.
fn shuffled(trials: &[Trial], groups: &[Vec<usize>]) -> Way {
    let mut random = fastrand::Rng::with_seed(1);
    let mut routes: Vec<usize> = trials.iter().map(|trial| trial.route).collect();
    let deals = (0..SHUFFLES).map(|_| {
        for group in groups {
            let mut hand: Vec<usize> = group.iter().map(|&at| routes[at]).collect();
            random.shuffle(&mut hand);
            group.iter().zip(hand).for_each(|(&at, route)| routes[at] = route);
        }
        let right = mean(trials.iter().zip(&routes).map(|(trial, &route)| share(trial.right[route])));
        (right, cost(trials, |at| routes[at]))
    });
    let (mut right, costs): (Vec<f64>, Vec<f64>) = deals.unzip();
    Way { right: mean(right.iter().copied()), cost: mean(costs.into_iter()), interval: middle(&mut right) }
}

fn by_domain(trials: &[Trial]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, trial) in trials.iter().enumerate() {
        groups.entry(&trial.domain).or_default().push(at);
    }
    groups.into_values().collect()
}

fn cost(trials: &[Trial], model: impl Fn(usize) -> usize) -> f64 {
    trials.iter().enumerate().map(|(at, trial)| trial.cost[model(at)]).sum::<MicroUsd>().0 as f64
}

fn share(right: bool) -> f64 {
    f64::from(u8::from(right))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 2;

    /// The cheap model is right on one in four, the middle on one in two, the large on all; 1, 5 and 10 µ$.
    fn trials(route: impl Fn(usize) -> usize) -> Vec<Trial> {
        let trial = |n: usize| Trial {
            domain: if n.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
            route: route(n),
            right: vec![n.is_multiple_of(4), n.is_multiple_of(2), true],
            cost: [1, 5, 10].map(MicroUsd).to_vec(),
        };
        (0..200).map(trial).collect()
    }

    #[test]
    fn every_way_is_counted_over_the_same_prompts() {
        let judged = judge(&trials(|n| if n.is_multiple_of(2) { 1 } else { 2 }), LARGE).unwrap();
        assert_eq!((judged.n, judged.cheapest.0, judged.best.0), (200, 0, 1));
        let ways = [&judged.routed, &judged.large, &judged.cheapest.1, &judged.best.1];
        assert_eq!(ways.map(|way| way.right), [1.0, 1.0, 0.25, 0.5]);
        assert_eq!(ways.map(|way| way.cost), [1500.0, 2000.0, 200.0, 1000.0]);
        for way in ways {
            assert!(way.interval[0] <= way.right && way.right <= way.interval[1], "{way:?}");
        }
        // p (1 - p) / n: a standard error of 3.5 points
        let [low, high] = judged.best.1.interval;
        assert!((high - low - 4.0 * 0.035).abs() < 0.03, "{low} to {high}");
        assert_eq!(judged.gain, (0.0, [0.0, 0.0]));
    }

    #[test]
    fn a_router_that_knows_is_better_than_its_shuffled_self_which_costs_the_same() {
        let judged = judge(&trials(|n| if n.is_multiple_of(2) { 1 } else { 2 }), LARGE).unwrap();
        // half of the prompts go to the middle model, which is right on half of them
        assert!((judged.shuffled.right - 0.75).abs() < 0.01, "{:?}", judged.shuffled);
        assert!((judged.shuffled.cost - judged.routed.cost).abs() < 1e-9);
        assert!(judged.beats(&judged.shuffled));
    }

    #[test]
    fn a_router_that_knows_only_domains_is_no_better_than_its_shuffle_within_them() {
        let judged = judge(&trials(|n| if n.is_multiple_of(2) { 1 } else { 2 }), LARGE).unwrap();
        assert_eq!((judged.within.right, judged.within.cost), (judged.routed.right, judged.routed.cost));
        assert!(!judged.beats(&judged.within));
        // who sends of the even prompts the fourths to the cheap model knows more
        let judged = judge(&trials(|n| if n.is_multiple_of(4) { 0 } else { 2 }), LARGE).unwrap();
        assert!((judged.within.right - 0.875).abs() < 0.01, "{:?}", judged.within);
        assert!(judged.beats(&judged.within));
    }

    #[test]
    fn a_router_that_knows_nothing_is_not_and_its_loss_shows() {
        let judged = judge(&trials(|n| if n % 8 < 4 { 1 } else { 2 }), LARGE).unwrap();
        assert!(!judged.beats(&judged.shuffled), "{judged:?}");
        let (gain, [low, high]) = judged.gain;
        assert!((gain + 0.25).abs() < 1e-9 && low < gain && gain < high && high < 0.0, "{:?}", judged.gain);
    }

    #[test]
    fn without_prompts_there_is_nothing_to_judge() {
        assert!(judge(&[], LARGE).is_none());
    }
}
