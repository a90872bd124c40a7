//! Is a promise kept: it is made on one half of the graded prompts and counted on the other, many times.

use serde::Serialize;

use super::stats::{mean, shuffle};
use crate::promise::{Sample, solve};
use crate::random::Random;

/// Splits that a promise is tried on.
pub const SPLITS: usize = 200;

/// How often a promise was broken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    /// The share promised at most.
    pub at_most: f64,
    /// Splits on which a threshold could be promised at all.
    pub promised: usize,
    /// Of these, the share on which the other half broke it.
    pub broken: f64,
    /// Control: the same with the threshold that is just right on the half it was tuned on.
    pub broken_by_tuning: f64,
    /// Mean share of prompts that go to experts.
    pub served: f64,
}

/// Tries «at most `at_most`» with confidence `1 − delta` on halves of `samples`.
pub fn judge(samples: &[Sample], at_most: f64, delta: f64) -> Kept {
    let mut random = Random::new(4);
    let mut order: Vec<Sample> = samples.to_vec();
    let (mut broken, mut tuned_broken, mut served) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SPLITS {
        shuffle(&mut order, &mut random);
        let (tuning, judging) = order.split_at(order.len() / 2);
        let missed = |threshold: f32| {
            let needs = judging.iter().filter(|sample| sample.needs_large);
            mean(needs.map(|sample| f64::from(u8::from(sample.wish < threshold))))
        };
        if let Ok(promise) = solve(tuning, at_most, delta) {
            broken.push(f64::from(u8::from(missed(promise.threshold) > at_most)));
            served.push(mean(judging.iter().map(|s| f64::from(u8::from(s.wish < promise.threshold)))));
        }
        tuned_broken.push(f64::from(u8::from(missed(just_right(tuning, at_most)) > at_most)));
    }
    Kept {
        at_most,
        promised: broken.len(),
        broken: mean(broken.into_iter()),
        broken_by_tuning: mean(tuned_broken.into_iter()),
        served: mean(served.into_iter()),
    }
}

/// The largest threshold whose share on these very samples is within `at_most`.
fn just_right(samples: &[Sample], at_most: f64) -> f32 {
    let mut needs: Vec<f32> = samples.iter().filter(|s| s.needs_large).map(|s| s.wish).collect();
    needs.sort_by(f32::total_cmp);
    let allowed = (at_most * needs.len() as f64).floor() as usize;
    needs.get(allowed).copied().unwrap_or(f32::INFINITY)
}
