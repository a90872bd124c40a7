//! «Of the requests that need the large model, at most the share a goes to another»: the thresholds that keep
//! it, by exact bounds, over all domains and in each large one at once.
//!
//! On graded prompts, a prompt needs the large model when the large model answered it well and the expert that
//! would take it did not. The wish is how much the router wants the large model; prompts under the threshold go
//! to the expert.
//!
//! A statement is the promise as a user would count it: of the next as many requests in need as were graded, at most
//! the share a goes elsewhere. The threshold is the wish of one of the graded prompts in need, the (c + 1)-th from
//! below. Were the statement broken, then of the graded and the coming ones together the first c + ⌊a·n⌋ + 1 by their
//! wish would hold c graded ones at most, and which of them are graded is chance: hypergeometric (Wilks, 1941;
//! Thatcher, 1964). So c is the largest number for which that chance is at most what the statement is granted. The
//! Clopper–Pearson bound of the long-run share, which is told beside it, is always lower. A threshold tuned to the
//! observed share instead breaks its promise about every second time.
//!
//! All statements of a promise hold together with confidence 1 − δ, by the union bound: the chances that each is
//! broken add up to δ at most. The one over all domains has half of δ, for it alone decides where a domain is small;
//! the domains share the rest evenly, from the smallest on, and what whole prompts leave unused goes to the next. How
//! many share is read off how many of their prompts are in need, never off which.
//!
//! Assumed is that the graded prompts and those to come are exchangeable, and that the chances of both were said by
//! the same heads: of rows that these heads learned from nothing can be promised ([`crate::answers`]).

mod bound;

use serde::{Deserialize, Serialize};

use bound::{Allowance, allowance, wanted};

pub use bound::upper_bound;

/// One graded prompt as a promise sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Position of the domain that the network takes it for.
    pub domain: usize,
    /// How much the router wants the large model for it.
    pub wish: f32,
    /// Whether it needs it.
    pub needs_large: bool,
}

/// A threshold that keeps a promise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The share promised at most.
    pub at_most: f64,
    /// The chance that it is broken although all was done right.
    pub delta: f64,
    /// Prompts whose wish is below go to an expert.
    pub threshold: f32,
    /// Clopper–Pearson upper bound of the long-run share of those in need that go to an expert.
    pub bound: f64,
    /// Graded prompts that need the large model.
    pub needing: usize,
    /// Graded prompts.
    pub graded: usize,
    /// Share of the graded prompts that go to an expert.
    pub served: f64,
}

/// How much a prompt wants the large model: the chance that it answers well and the expert does not, were both
/// independent.
pub fn wish(large: f32, expert: f32) -> f32 {
    large * (1.0 - expert)
}

/// An expert may be this much less likely to answer well than the best one and still be taken for its price.
const SLACK: f32 = 0.05;

/// Which of some experts would take a prompt: the first, that is the cheapest, whose chance is about that of the
/// best. `experts` are pairs of a place and a chance, cheapest first.
pub fn taker(experts: impl Iterator<Item = (usize, f32)> + Clone) -> Option<usize> {
    let best = experts.clone().map(|(_, chance)| chance).fold(f32::NEG_INFINITY, f32::max);
    experts.into_iter().find(|(_, chance)| *chance >= best - SLACK).map(|(place, _)| place)
}

/// Graded prompts that a domain needs for a promise to hold in it.
const DOMAIN_ROWS: usize = 50;

/// A domain with this many times the prompts in need that a statement takes at least is large enough for one of its
/// own: with fewer it would keep nearly all of its prompts from the experts.
const OWN_TIMES: f64 = 1.5;

/// The part of δ that the statement over all domains is granted.
const OF_WHOLE: f64 = 0.5;

/// Graded prompts from which promises can be made for one panel of experts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    /// Where they came from.
    pub source: String,
    /// Per domain its name, where it has graded prompts enough; elsewhere nothing is promised.
    pub domains: Vec<Option<String>>,
    /// The graded prompts of these domains.
    pub samples: Vec<Sample>,
}

/// Statements that hold at once: over all domains together, and in each that has graded prompts enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Promised {
    /// The chance that one of them or several are broken although all was done right.
    pub delta: f64,
    /// Over all.
    pub whole: Promise,
    /// By domain.
    pub own: Vec<DomainPromise>,
    /// Per domain, the wish from which on the large model answers: the lower of both; `None` where nothing is
    /// promised.
    pub thresholds: Vec<Option<f32>>,
    /// Share of the graded prompts that go to an expert under these.
    pub served: f64,
}

/// What is promised in one domain.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainPromise {
    /// Its position.
    pub domain: usize,
    /// Its name.
    pub name: String,
    /// The promise; where already the surest prompts go wrong too often: why, and all go to the large model.
    pub promise: Result<Promise, TooFew>,
}

impl Calibration {
    /// Of those of `samples` whose domain has enough of them; `names` are those of the domains.
    pub fn new(source: &str, names: &[String], mut samples: Vec<Sample>) -> Calibration {
        let mut sizes = vec![0; names.len()];
        samples.iter().for_each(|sample| sizes[sample.domain] += 1);
        samples.retain(|sample| sizes[sample.domain] >= DOMAIN_ROWS);
        let name = |(name, size): (&String, usize)| (size >= DOMAIN_ROWS).then(|| name.clone());
        Calibration {
            source: source.to_owned(),
            domains: names.iter().zip(sizes).map(name).collect(),
            samples,
        }
    }

    /// The names of the domains with graded prompts enough.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().flatten().map(String::as_str)
    }

    /// Promises «at most `at_most`» with confidence `1 − delta` in all its statements at once: over all domains
    /// together, which holds while they come as often as among the graded prompts, and in each that has prompts in
    /// need enough, which holds however often it comes.
    ///
    /// # Errors
    ///
    /// When the samples cannot carry the statement over all.
    pub fn solve(&self, at_most: f64, delta: f64) -> Result<Promised, TooFew> {
        let (whole, spent) = solve(&self.samples, at_most, delta * OF_WHOLE);
        let whole = whole?;
        let mut thresholds: Vec<Option<f32>> =
            self.domains.iter().map(|name| name.is_some().then_some(whole.threshold)).collect();
        let mut left = delta - spent;
        let large = self.large_domains(at_most, delta * (1.0 - OF_WHOLE));
        let mut own = Vec::new();
        for (place, &domain) in large.iter().enumerate() {
            let samples: Vec<Sample> =
                self.samples.iter().filter(|sample| sample.domain == domain).copied().collect();
            let (promise, spent) = solve(&samples, at_most, left / (large.len() - place) as f64);
            left -= spent;
            let threshold = promise.map_or(f32::NEG_INFINITY, |promise| promise.threshold);
            thresholds[domain] = thresholds[domain].map(|whole| whole.min(threshold));
            let name = self.domains[domain].clone().unwrap_or_default();
            own.push(DomainPromise { domain, name, promise });
        }
        own.sort_by_key(|own| own.domain);
        let goes = |sample: &&Sample| thresholds[sample.domain].is_some_and(|from| sample.wish < from);
        let served = self.samples.iter().filter(goes).count() as f64 / self.samples.len().max(1) as f64;
        Ok(Promised { delta, whole, own, thresholds, served })
    }

    /// The domains that have prompts in need enough for a statement of their own where they share `delta`, the fewest
    /// first: as many as can be, the largest.
    fn large_domains(&self, at_most: f64, delta: f64) -> Vec<usize> {
        let mut needing = vec![0_usize; self.domains.len()];
        self.samples.iter().filter(|sample| sample.needs_large).for_each(|s| needing[s.domain] += 1);
        let mut domains: Vec<usize> =
            (0..needing.len()).filter(|&domain| self.domains[domain].is_some()).collect();
        domains.sort_by_key(|&domain| std::cmp::Reverse(needing[domain]));
        let enough = |count: usize| OWN_TIMES * wanted(at_most, delta / count as f64) as f64;
        let carried = |count: &usize| needing[domains[count - 1]] as f64 >= enough(*count);
        let count = (1..=domains.len()).rev().find(carried).unwrap_or(0);
        domains.truncate(count);
        domains.reverse();
        domains
    }
}

/// Why nothing can be promised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TooFew {
    /// The share asked for.
    pub at_most: f64,
    /// Graded prompts that need the large model.
    pub needing: usize,
    /// How many it takes at least, were none of them to go wrong.
    pub wanted: usize,
    /// Graded prompts in all.
    pub graded: usize,
}

impl std::fmt::Display for TooFew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TooFew { at_most, needing, wanted, graded } = *self;
        let percent = at_most * 100.0;
        if needing >= wanted {
            return write!(
                f,
                "at most {percent:.1} % cannot be promised: already the surest of the {graded} graded prompts go wrong too often; give experts that answer better, or allow more"
            );
        }
        if needing == 0 {
            return write!(
                f,
                "at most {percent:.1} % cannot be promised from {graded} graded prompts, none of which needs the large model: it takes {wanted} that do"
            );
        }
        let share = needing as f64 / graded.max(1) as f64;
        let more = ((wanted - needing) as f64 / share).ceil();
        write!(
            f,
            "at most {percent:.1} % cannot be promised from {graded} graded prompts, of which {needing} need the large model: it takes {wanted} of those, about {more} more graded prompts to promise from (`calibrate` keeps two in five of its own for that)"
        )
    }
}

/// A threshold under which fewer than this share of the graded prompts go to an expert is no promise worth making.
const LEAST_SERVED: f64 = 0.001;

/// The threshold that keeps «at most `at_most`» with confidence `1 − delta`, and the chance that it is broken, which
/// depends on how many are in need alone; or how many it would take, when the samples cannot carry the promise.
fn solve(samples: &[Sample], at_most: f64, delta: f64) -> (Result<Promise, TooFew>, f64) {
    let mut wishes: Vec<f32> = samples.iter().map(|sample| sample.wish).collect();
    wishes.sort_by(f32::total_cmp);
    let mut needing: Vec<f32> = samples.iter().filter(|s| s.needs_large).map(|s| s.wish).collect();
    needing.sort_by(f32::total_cmp);
    let refusal =
        TooFew { at_most, needing: needing.len(), wanted: wanted(at_most, delta), graded: wishes.len() };
    let Some(Allowance { missed, chance }) = allowance(needing.len(), at_most, delta) else {
        return (Err(refusal), 0.0);
    };
    let below = |sorted: &[f32], threshold: f32| sorted.partition_point(|wish| *wish < threshold);
    // where all in need may go, the others may as well
    let threshold = needing.get(missed).copied().unwrap_or(f32::INFINITY);
    let served = below(&wishes, threshold) as f64 / wishes.len().max(1) as f64;
    let promise = Promise {
        at_most,
        delta,
        threshold,
        bound: upper_bound(below(&needing, threshold), needing.len(), delta),
        needing: needing.len(),
        graded: wishes.len(),
        served,
    };
    (if served >= LEAST_SERVED { Ok(promise) } else { Err(refusal) }, chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(n: usize) -> Vec<Sample> {
        let row = |i: usize| Sample {
            domain: 0,
            wish: i as f32 / n as f32,
            needs_large: i.is_multiple_of(3) && i > n / 4,
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn a_promise_serves_what_it_can_and_stays_within_its_bound() {
        let promise = solve(&samples(3000), 0.05, 0.1).0.unwrap();
        assert!(promise.bound <= 0.05 && promise.served > 0.25 && promise.served < 0.3, "{promise:?}");
        let wider = solve(&samples(3000), 0.2, 0.1).0.unwrap();
        assert!(wider.served > promise.served);
    }

    #[test]
    fn too_few_labels_are_told_with_the_number_it_takes() {
        let refusal = solve(&samples(60), 0.01, 0.1).0.unwrap_err();
        assert_eq!((refusal.needing, refusal.wanted), (14, 300));
        assert!(refusal.to_string().contains("about 1226 more graded prompts"), "{refusal}");
    }

    #[test]
    fn a_router_that_is_wrong_first_can_promise_nothing() {
        let bad: Vec<Sample> = samples(3000).iter().map(|s| Sample { wish: -s.wish, ..*s }).collect();
        let worst = bad.iter().map(|s| Sample { needs_large: s.wish < -0.95, ..*s }).collect::<Vec<_>>();
        assert!(solve(&worst, 0.05, 0.1).0.unwrap_err().to_string().contains("go wrong too often"));
    }

    #[test]
    fn a_domain_with_prompts_enough_has_a_promise_of_its_own_and_keeps_both() {
        let easy = samples(3000);
        // in the second domain the surest prompts need the large model, in the third hardly any does
        let hard = easy.iter().map(|s| Sample { domain: 1, needs_large: s.wish < 0.2, ..*s });
        let rare = easy.iter().map(|s| Sample { domain: 2, needs_large: s.wish > 0.9985, ..*s });
        let all: Vec<Sample> = easy.iter().copied().chain(hard).chain(rare).collect();
        let domains = ["easy", "hard", "rare"].map(|name| Some(name.to_owned()));
        let calibration = Calibration {
            domains: domains.into_iter().chain([None]).collect(),
            samples: all,
            ..Calibration::default()
        };
        let promised = calibration.solve(0.3, 0.1).unwrap();
        let own: Vec<&str> = promised.own.iter().map(|own| own.name.as_str()).collect();
        assert_eq!(own, ["easy", "hard"], "{promised:?}");
        let granted: Vec<f64> = promised.own.iter().map(|own| own.promise.unwrap().delta).collect();
        assert!(promised.whole.delta == 0.05 && granted[1] >= 0.025, "{promised:?}");
        let whole = promised.whole.threshold;
        assert_eq!(promised.thresholds[2..], [Some(whole), None]);
        assert!(promised.thresholds[..2].iter().all(|own| own.unwrap() <= whole), "{promised:?}");
        assert!(promised.thresholds[1].unwrap() < 0.07, "{promised:?}");
        assert!(promised.served > 0.05 && promised.served < promised.whole.served, "{promised:?}");
    }
}
