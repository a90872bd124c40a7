//! Is a promise kept: it is made on one half of the graded prompts and counted on the other, many times; or made on
//! prompts that are drawn, and counted on as many again.

use serde::Serialize;

use super::stats::{mean, shuffle};
use crate::promise::{Calibration, Promised, Sample};
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
    /// Of the splits on which a threshold could be promised, the share on which any statement was broken: the one over
    /// all, or that of a domain.
    pub any_broken: f64,
}

/// Tries «at most `at_most`» with confidence `1 − delta` on halves of `samples`: over all of them, and in each
/// domain that has samples enough.
pub fn judge(samples: &[Sample], at_most: f64, delta: f64) -> Kept {
    let mut random = Random::new(4);
    let mut order: Vec<Sample> = samples.to_vec();
    let (mut tally, mut tuned_broken) = (Tally::default(), Vec::new());
    let domains = samples.iter().map(|sample| sample.domain + 1).max().unwrap_or_default();
    let names: Vec<String> = (0..domains).map(|domain| domain.to_string()).collect();
    for _ in 0..SPLITS {
        shuffle(&mut order, &mut random);
        let (tuning, judging) = order.split_at(order.len() / 2);
        if let Ok(promised) = Calibration::new("", &names, tuning.to_vec()).solve(at_most, delta) {
            tally.count(&promised, judging);
        }
        let tuned = just_right(tuning, at_most);
        tuned_broken.push(breaks(judging.iter(), at_most, |sample| sample.wish < tuned));
    }
    tally.told(at_most, mean(tuned_broken.into_iter().map(one)))
}

/// Prompts whose wish says nothing of their need, drawn by the domain: the hardest case, for what is kept is kept by
/// the bound alone.
#[derive(Debug, Clone, Copy)]
pub struct Blind {
    /// Domains.
    pub domains: usize,
    /// Prompts of each.
    pub prompts: usize,
    /// The chance that one needs the large model.
    pub need: f32,
}

impl Blind {
    fn draw(self, random: &mut Random) -> Vec<Sample> {
        let domains = (0..self.domains * self.prompts).map(|place| place / self.prompts);
        let drawn = domains.map(|domain| Sample {
            domain,
            wish: random.unit(),
            needs_large: random.unit() < self.need,
        });
        drawn.collect()
    }
}

/// Tries «at most `at_most`» with confidence `1 − delta` on `draws` samples, each judged on the next as many.
pub fn simulate(of: Blind, at_most: f64, delta: f64, draws: usize) -> Kept {
    let mut random = Random::new(7);
    let (mut tally, mut tuned_broken) = (Tally::default(), Vec::new());
    let names: Vec<String> = (0..of.domains).map(|domain| domain.to_string()).collect();
    for _ in 0..draws {
        let (graded, next) = (of.draw(&mut random), of.draw(&mut random));
        let tuned = just_right(&graded, at_most);
        tuned_broken.push(breaks(next.iter(), at_most, |sample| sample.wish < tuned));
        if let Ok(promised) = Calibration::new("", &names, graded).solve(at_most, delta) {
            tally.count(&promised, &next);
        }
    }
    tally.told(at_most, mean(tuned_broken.into_iter().map(one)))
}

/// What came of promises.
#[derive(Default)]
struct Tally {
    broken: Vec<bool>,
    own_broken: Vec<bool>,
    any_broken: Vec<bool>,
    served: Vec<f64>,
}

impl Tally {
    /// Holds all statements of a promise against prompts that it was not made from.
    fn count(&mut self, promised: &Promised, judging: &[Sample]) {
        let from = |domain: usize| promised.thresholds.get(domain).copied().flatten();
        let goes = |sample: &Sample| from(sample.domain).is_some_and(|from| sample.wish < from);
        let at_most = promised.whole.at_most;
        let whole = breaks(judging.iter(), at_most, goes);
        let of = |domain: usize| judging.iter().filter(move |sample| sample.domain == domain);
        let own: Vec<bool> = promised.own.iter().map(|own| breaks(of(own.domain), at_most, goes)).collect();
        self.broken.push(whole);
        self.any_broken.push(whole || own.contains(&true));
        self.own_broken.extend(own);
        self.served.push(mean(judging.iter().map(|sample| one(goes(sample)))));
    }

    fn told(self, at_most: f64, broken_by_tuning: f64) -> Kept {
        let share = |broken: Vec<bool>| mean(broken.into_iter().map(one));
        Kept {
            at_most,
            promised: self.broken.len(),
            broken: share(self.broken),
            broken_by_tuning,
            served: mean(self.served.into_iter()),
            own: self.own_broken.len(),
            own_broken: share(self.own_broken),
            any_broken: share(self.any_broken),
        }
    }
}

fn one(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Whether more than `at_most` of those in need go elsewhere.
fn breaks<'a>(
    samples: impl Iterator<Item = &'a Sample>,
    at_most: f64,
    goes: impl Fn(&Sample) -> bool,
) -> bool {
    let needing = samples.filter(|sample| sample.needs_large);
    mean(needing.map(|sample| one(goes(sample)))) > at_most
}

/// The largest threshold whose share on these very samples is within `at_most`.
fn just_right(samples: &[Sample], at_most: f64) -> f32 {
    let mut needs: Vec<f32> = samples.iter().filter(|s| s.needs_large).map(|s| s.wish).collect();
    needs.sort_by(f32::total_cmp);
    let allowed = (at_most * needs.len() as f64).floor() as usize;
    needs.get(allowed).copied().unwrap_or(f32::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARD: Blind = Blind { domains: 4, prompts: 450, need: 0.22 };

    #[test]
    fn all_statements_of_a_promise_hold_at_once_as_often_as_is_said() {
        for at_most in [0.1, 0.2] {
            let kept = simulate(HARD, at_most, 0.1, 300);
            assert_eq!(kept.promised, 300, "{kept:?}");
            assert!(kept.own > 300 && kept.served > 0.01, "domains promise too: {kept:?}");
            // 300 draws of a share of .10: two standard errors are .035
            assert!(kept.any_broken <= 0.135, "{kept:?}");
            assert!(kept.any_broken >= kept.broken.max(kept.own_broken), "{kept:?}");
            assert!(kept.broken_by_tuning > 0.3, "the control breaks: {kept:?}");
        }
    }

    #[test]
    fn a_promise_is_broken_only_above_its_share() {
        let sample = |wish| Sample { domain: 0, wish, needs_large: true };
        let four: Vec<Sample> = [0.1, 0.2, 0.3, 0.4].map(sample).into();
        let broken = |at_most| breaks(four.iter(), at_most, |sample| sample.wish < 0.25);
        assert_eq!([0.4, 0.5, 0.6].map(broken), [true, false, false]);
    }
}
