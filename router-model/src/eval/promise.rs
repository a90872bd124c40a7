//! Is a promise kept: it is made on one half of the graded prompts and counted on the other, many times.

use serde::Serialize;

use super::stats::{mean, shuffle};
use crate::promise::{Calibration, Sample};
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
    /// Promises of single domains that were made, over all splits.
    pub own: usize,
    /// Of these, the share that the other half broke.
    pub own_broken: f64,
}

/// Tries «at most `at_most`» with confidence `1 − delta` on halves of `samples`: over all of them, and in each
/// domain that has samples enough.
pub fn judge(samples: &[Sample], at_most: f64, delta: f64) -> Kept {
    let mut random = Random::new(4);
    let mut order: Vec<Sample> = samples.to_vec();
    let (mut broken, mut tuned_broken, mut served) = (Vec::new(), Vec::new(), Vec::new());
    let mut own_broken = Vec::new();
    let domains = samples.iter().map(|sample| sample.domain + 1).max().unwrap_or_default();
    let names: Vec<String> = (0..domains).map(|domain| domain.to_string()).collect();
    for _ in 0..SPLITS {
        shuffle(&mut order, &mut random);
        let (tuning, judging) = order.split_at(order.len() / 2);
        let breaks = |samples: &mut dyn Iterator<Item = &Sample>, goes: &dyn Fn(&Sample) -> bool| {
            let needs = samples.filter(|sample| sample.needs_large);
            f64::from(u8::from(mean(needs.map(|sample| f64::from(u8::from(goes(sample))))) > at_most))
        };
        if let Ok(promised) = Calibration::new("", &names, tuning.to_vec()).solve(at_most, delta) {
            let from = |domain: usize| promised.thresholds.get(domain).copied().flatten();
            let goes = |sample: &Sample| from(sample.domain).is_some_and(|from| sample.wish < from);
            broken.push(breaks(&mut judging.iter(), &goes));
            served.push(mean(judging.iter().map(|sample| f64::from(u8::from(goes(sample))))));
            own_broken.extend(
                promised.own.iter().map(|own| {
                    breaks(&mut judging.iter().filter(|sample| sample.domain == own.domain), &goes)
                }),
            );
        }
        let tuned = just_right(tuning, at_most);
        tuned_broken.push(breaks(&mut judging.iter(), &|sample| sample.wish < tuned));
    }
    Kept {
        at_most,
        promised: broken.len(),
        broken: mean(broken.into_iter()),
        broken_by_tuning: mean(tuned_broken.into_iter()),
        served: mean(served.into_iter()),
        own: own_broken.len(),
        own_broken: mean(own_broken.into_iter()),
    }
}

/// The largest threshold whose share on these very samples is within `at_most`.
fn just_right(samples: &[Sample], at_most: f64) -> f32 {
    let mut needs: Vec<f32> = samples.iter().filter(|s| s.needs_large).map(|s| s.wish).collect();
    needs.sort_by(f32::total_cmp);
    let allowed = (at_most * needs.len() as f64).floor() as usize;
    needs.get(allowed).copied().unwrap_or(f32::INFINITY)
}
