//! What is added to the log-odds of the domains, and how it is found.

use super::super::logistic::{self, Change, Penalty};
use super::seen::Seen;
use crate::weights::WORD_DIM;

/// Found on requests of writers whom the network had not read, 25 to 400 labels of each: between a third and three times of
/// them it makes no difference.
const KNOWN: Penalty = Penalty { weights: 1.0, bias: 2.0 };
/// Found on networks that were trained without medicine, law or engineering, and taught it by 50 examples.
const NEW: Penalty = Penalty { weights: 0.3, bias: 2.0 };
/// Rounds over the domains, each in turn while the others stand; after half as many nothing moves.
const ROUNDS: usize = 6;

/// What is added to the log-odds of the domains.
pub(super) struct Lesson {
    pub(super) known: Vec<Change>,
    pub(super) new: Vec<Change>,
}

/// Learns from these.
pub(super) fn lesson(own: &[&Seen], carried: &[&Seen], known: usize, new: usize) -> Lesson {
    let known = learn_known(own, known);
    let new = (0..new).map(|place| learn_new(own, carried, &known, known.len() + place)).collect();
    Lesson { known, new }
}

/// Each domain in turn while the others stand: the likelihood of all grows with that of each.
pub(super) fn learn_known<'s>(own: &[&'s Seen], known: usize) -> Vec<Change> {
    let own: Vec<&'s Seen> = own.iter().copied().filter(|seen| seen.label < known).collect();
    let Some(width) = own.first().map(|seen| seen.hidden.len()) else {
        return vec![Change::none(0); known];
    };
    let mut changes = vec![Change::none(width); known];
    let mut logits: Vec<Vec<f64>> = own.iter().map(|seen| seen.logits.clone()).collect();
    for _ in 0..ROUNDS {
        for domain in 0..known {
            let sample = |(seen, logits): (&&'s Seen, &Vec<f64>)| logistic::Sample {
                features: &seen.hidden[..],
                offset: seen.logits[domain] - log_sum(others(logits, domain)),
                target: seen.label == domain,
                weight: 1.0,
            };
            let samples: Vec<_> = own.iter().zip(&logits).map(sample).collect();
            changes[domain] = logistic::fit(&samples, KNOWN, changes[domain].clone());
            for (seen, logits) in own.iter().zip(&mut logits) {
                logits[domain] = seen.logits[domain] + changes[domain].of(&seen.hidden);
            }
        }
    }
    changes
}

/// A new domain against all that is known. What is carried counts as if the new domain were as common as each of the
/// others.
fn learn_new<'s>(own: &[&'s Seen], carried: &[&'s Seen], known: &[Change], label: usize) -> Change {
    let examples = own.iter().filter(|seen| seen.label == label).count();
    let weight = (examples * known.len()) as f64 / carried.len().max(1) as f64;
    let sample = |(seen, weight): (&'s Seen, f64)| {
        let (logits, mean) = known_logits(seen, known);
        let offset = mean - log_sum(logits.into_iter());
        logistic::Sample { features: &seen.direction, offset, target: seen.label == label, weight }
    };
    let own = own.iter().map(|&seen| (seen, 1.0));
    let samples: Vec<_> = own.chain(carried.iter().map(|&seen| (seen, weight))).map(sample).collect();
    logistic::fit(&samples, NEW, Change::none(WORD_DIM))
}

/// What is said of the known domains, and the mean of it, which is what a new one begins with.
fn known_logits(seen: &Seen, known: &[Change]) -> (Vec<f64>, f64) {
    let logits: Vec<f64> =
        seen.logits.iter().zip(known).map(|(logit, change)| logit + change.of(&seen.hidden)).collect();
    let mean = logits.iter().sum::<f64>() / logits.len().max(1) as f64;
    (logits, mean)
}

fn others(logits: &[f64], domain: usize) -> impl Iterator<Item = f64> + Clone {
    logits.iter().enumerate().filter(move |(at, _)| *at != domain).map(|(_, &logit)| logit)
}

fn log_sum(logits: impl Iterator<Item = f64> + Clone) -> f64 {
    let highest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    highest + logits.map(|logit| (logit - highest).exp()).sum::<f64>().ln()
}

impl Lesson {
    /// The chances of all domains, new ones behind the known.
    pub(super) fn chances(&self, seen: &Seen) -> Vec<f64> {
        let (mut logits, mean) = known_logits(seen, &self.known);
        logits.extend(self.new.iter().map(|change| mean + change.of(&seen.direction)));
        let whole = log_sum(logits.iter().copied());
        logits.into_iter().map(|logit| (logit - whole).exp()).collect()
    }
}
