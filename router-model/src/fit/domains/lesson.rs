//! What is added to the log-odds of the domains, and how it is found.

use super::super::logistic::{self, Change, Penalty};
use super::seen::Seen;
use crate::weights::WORD_DIM;

/// Found on requests of writers whom the network had not read, 25 to 400 labels of each: between a third and three times of
/// them it makes no difference.
const TRAINED: Penalty = Penalty { weights: 1.0, bias: 2.0 };
/// Found on networks that were trained without medicine, law or engineering, and taught it by 50 examples.
const NEW: Penalty = Penalty { weights: 0.01, bias: 0.05 };
/// What was learned from the first examples is not lost over a few more.
const AGAIN: Penalty = Penalty { weights: 0.3, bias: 2.0 };
/// Rounds over the domains, each in turn while the others stand; after half as many nothing moves.
const ROUNDS: usize = 6;

/// How many domains there are of each kind, in the order of the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds {
    /// The network was trained with them.
    pub(super) trained: usize,
    /// Of the user's own, taught before.
    pub(super) taught: usize,
    /// Of the user's own, to be taught.
    pub(super) new: usize,
}

/// What is added to the log-odds of the domains.
#[derive(Debug, Clone)]
pub(super) struct Lesson {
    /// Over the hidden layer.
    pub(super) trained: Vec<Change>,
    /// Over the direction of the words: domains of the user's own.
    pub(super) own: Vec<Change>,
    kinds: Kinds,
}

impl Lesson {
    /// That changes nothing, and knows no new domain.
    pub(super) fn none(kinds: Kinds) -> Lesson {
        let kinds = Kinds { new: 0, ..kinds };
        let none = |count| vec![Change::none(0); count];
        Lesson { trained: none(kinds.trained), own: none(kinds.taught), kinds }
    }

    /// Learns from these. Labels of trained domains are a sample of the user's traffic, but beside examples of a new one:
    /// there they are only what it is told from. `strength` divides what holds the trained domains where they are.
    pub(super) fn learn(own: &[&Seen], carried: &[&Seen], kinds: Kinds, strength: f64) -> Lesson {
        let mut lesson = Lesson::none(kinds);
        if kinds.new == 0 {
            lesson.trained = learn_trained(own, kinds.trained, strength);
        }
        lesson.kinds = kinds;
        lesson.own =
            (0..kinds.taught + kinds.new).map(|place| learn_own(own, carried, &lesson, place)).collect();
        lesson
    }

    /// What is said of the trained domains, and the mean of it, which is what a new one begins with.
    fn of_trained(&self, seen: &Seen) -> (Vec<f64>, f64) {
        let logits = seen.logits.iter().zip(&self.trained);
        let logits: Vec<f64> = logits.map(|(logit, change)| logit + change.of(&seen.hidden)).collect();
        let mean = logits.iter().sum::<f64>() / logits.len().max(1) as f64;
        (logits, mean)
    }

    /// What an own domain begins with.
    fn start(&self, place: usize, seen: &Seen, mean: f64) -> f64 {
        if place < self.kinds.taught { seen.logits[self.kinds.trained + place] } else { mean }
    }

    /// The chances of all domains, in the order of the labels.
    pub(super) fn chances(&self, seen: &Seen) -> Vec<f64> {
        let (mut logits, mean) = self.of_trained(seen);
        let own = self.own.iter().enumerate();
        logits.extend(own.map(|(place, change)| self.start(place, seen, mean) + change.of(&seen.direction)));
        shares(logits)
    }

    /// The chances of the trained domains alone.
    pub(super) fn chances_of_trained(&self, seen: &Seen) -> Vec<f64> {
        shares(self.of_trained(seen).0)
    }
}

fn shares(logits: Vec<f64>) -> Vec<f64> {
    let whole = log_sum(logits.iter().copied());
    logits.into_iter().map(|logit| (logit - whole).exp()).collect()
}

/// Each domain in turn while the others stand: the likelihood of all grows with that of each.
pub(super) fn learn_trained<'s>(own: &[&'s Seen], trained: usize, strength: f64) -> Vec<Change> {
    let own: Vec<&'s Seen> = own.iter().copied().filter(|seen| seen.label < trained).collect();
    let Some(width) = own.first().map(|seen| seen.hidden.len()) else {
        return vec![Change::none(0); trained];
    };
    let penalty = Penalty { weights: TRAINED.weights / strength, bias: TRAINED.bias / strength };
    let mut changes = vec![Change::none(width); trained];
    let mut logits: Vec<Vec<f64>> = own.iter().map(|seen| seen.logits[..trained].to_vec()).collect();
    for _ in 0..ROUNDS {
        for domain in 0..trained {
            let sample = |(seen, logits): (&&'s Seen, &Vec<f64>)| logistic::Sample {
                features: &seen.hidden[..],
                offset: seen.logits[domain] - log_sum(others(logits, domain)),
                target: seen.label == domain,
                weight: 1.0,
            };
            let samples: Vec<_> = own.iter().zip(&logits).map(sample).collect();
            changes[domain] = logistic::fit(&samples, penalty, changes[domain].clone());
            for (seen, logits) in own.iter().zip(&mut logits) {
                logits[domain] = seen.logits[domain] + changes[domain].of(&seen.hidden);
            }
        }
    }
    changes
}

/// A domain of the user's own against all trained ones. What is carried counts as if it were as common as each of these.
fn learn_own<'s>(own: &[&'s Seen], carried: &[&'s Seen], lesson: &Lesson, place: usize) -> Change {
    let Kinds { trained, taught, .. } = lesson.kinds;
    let label = trained + place;
    let examples = own.iter().filter(|seen| seen.label == label).count();
    if examples == 0 {
        return Change::none(WORD_DIM);
    }
    let weight = (examples * trained) as f64 / carried.len().max(1) as f64;
    let sample = |(seen, weight): (&'s Seen, f64)| {
        let (logits, mean) = lesson.of_trained(seen);
        let offset = lesson.start(place, seen, mean) - log_sum(logits.into_iter());
        logistic::Sample { features: &seen.direction, offset, target: seen.label == label, weight }
    };
    let own = own.iter().map(|&seen| (seen, 1.0));
    let samples: Vec<_> = own.chain(carried.iter().map(|&seen| (seen, weight))).map(sample).collect();
    let penalty = if place < taught { AGAIN } else { NEW };
    logistic::fit(&samples, penalty, Change::none(WORD_DIM))
}

fn others(logits: &[f64], domain: usize) -> impl Iterator<Item = f64> + Clone {
    logits.iter().enumerate().filter(move |(at, _)| *at != domain).map(|(_, &logit)| logit)
}

fn log_sum(logits: impl Iterator<Item = f64> + Clone) -> f64 {
    let highest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    highest + logits.map(|logit| (logit - highest).exp()).sum::<f64>().ln()
}
