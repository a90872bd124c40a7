//! «Of the requests that need the large model, at most the share a goes to another»: the threshold that keeps
//! it, by an exact bound.
//!
//! On graded prompts, a prompt needs the large model when the large model answered it well and the expert that
//! would take it did not. The wish is how much the router wants the large model; prompts under the threshold go
//! to the expert. Thresholds are tried from the strictest on, a fixed sequence, and the last one before the
//! first that fails is promised, so all of them hold together with confidence 1 − δ (fixed-sequence testing;
//! Angelopoulos et al., «Learn then Test», 2021, arXiv:2110.01052).
//!
//! What is tested is the promise as a user would count it: that of the next as many requests in need as were
//! graded, at most the share a goes elsewhere. Were it broken, graded and coming requests together would hold
//! so many that went elsewhere, and that so few of them were among the graded ones has a hypergeometric chance
//! (Thatcher, 1964); it must be at most δ. The Clopper–Pearson bound of the long-run share, which is told beside
//! it, is always lower. A threshold tuned to the observed share instead breaks its promise about every second
//! time. Exchangeability of the graded prompts with those to come is assumed, and nothing else.

use serde::{Deserialize, Serialize};

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
    /// The chance that the promise is broken although all was done right.
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

/// So many times the prompts in need that a promise takes at least make a domain large enough for one of its own.
const OWN_TIMES: usize = 2;

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

/// A promise over all domains together, and in each domain that has graded prompts enough for one of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Promised {
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

    /// Promises «at most `at_most`», each with confidence `1 − delta`: over all domains together, which holds while
    /// they come as often as among the graded prompts, and in each that has prompts in need enough, which holds
    /// however often it comes.
    ///
    /// # Errors
    ///
    /// Those of [`solve`] over all.
    pub fn solve(&self, at_most: f64, delta: f64) -> Result<Promised, TooFew> {
        let whole = solve(&self.samples, at_most, delta)?;
        let enough = OWN_TIMES * wanted(at_most, delta);
        let mut thresholds: Vec<Option<f32>> =
            self.domains.iter().map(|name| name.is_some().then_some(whole.threshold)).collect();
        let mut own = Vec::new();
        for (domain, name) in self.domains.iter().enumerate() {
            let Some(name) = name else { continue };
            let samples: Vec<Sample> =
                self.samples.iter().filter(|sample| sample.domain == domain).copied().collect();
            // looks at how many are in need, never at which: what is promised stays exact
            if samples.iter().filter(|sample| sample.needs_large).count() < enough {
                continue;
            }
            let promise = solve(&samples, at_most, delta);
            let threshold = promise.map_or(f32::NEG_INFINITY, |promise| promise.threshold);
            thresholds[domain] = thresholds[domain].map(|whole| whole.min(threshold));
            own.push(DomainPromise { domain, name: name.clone(), promise });
        }
        let goes = |sample: &&Sample| thresholds[sample.domain].is_some_and(|from| sample.wish < from);
        let served = self.samples.iter().filter(goes).count() as f64 / self.samples.len().max(1) as f64;
        Ok(Promised { whole, own, thresholds, served })
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
        let share = needing.max(1) as f64 / graded.max(1) as f64;
        let more = ((wanted - needing) as f64 / share).ceil();
        write!(
            f,
            "at most {percent:.1} % cannot be promised from {graded} graded prompts, of which {needing} need the large model: it takes {wanted} of those, about {more} more graded prompts"
        )
    }
}

/// Steps of the fixed sequence.
const STEPS: usize = 1000;

/// The threshold that keeps «at most `at_most`» with confidence `1 − delta`.
///
/// # Errors
///
/// When the samples cannot carry the promise; it says how many it would take.
pub fn solve(samples: &[Sample], at_most: f64, delta: f64) -> Result<Promise, TooFew> {
    let mut wishes: Vec<f32> = samples.iter().map(|sample| sample.wish).collect();
    wishes.sort_by(f32::total_cmp);
    let mut needing: Vec<f32> = samples.iter().filter(|s| s.needs_large).map(|s| s.wish).collect();
    needing.sort_by(f32::total_cmp);
    let logs = log_factorials(2 * needing.len() + 1);
    let below = |sorted: &[f32], threshold: f32| sorted.partition_point(|wish| *wish < threshold);
    let mut kept = None;
    for step in 1..=STEPS {
        // evenly over the share served: fixed before any label is looked at
        let place = (wishes.len() * step / STEPS).min(wishes.len().saturating_sub(1));
        let Some(&threshold) = wishes.get(place) else { break };
        let missed = below(&needing, threshold);
        if chance_of_luck(missed, needing.len(), at_most, &logs) > delta {
            break;
        }
        let bound = upper_bound(missed, needing.len(), delta);
        let served = below(&wishes, threshold) as f64 / wishes.len() as f64;
        kept = Some(Promise {
            at_most,
            delta,
            threshold,
            bound,
            needing: needing.len(),
            graded: wishes.len(),
            served,
        });
    }
    kept.filter(|promise| promise.served > 0.0).ok_or_else(|| TooFew {
        at_most,
        needing: needing.len(),
        wanted: wanted(at_most, delta),
        graded: wishes.len(),
    })
}

/// How many prompts in need it takes to promise `at_most` when none goes wrong.
fn wanted(at_most: f64, delta: f64) -> usize {
    let enough =
        |needing: usize| chance_of_luck(0, needing, at_most, &log_factorials(2 * needing + 1)) <= delta;
    let high =
        (1..).map(|power| 1 << power).find(|&needing| enough(needing) || needing > 1 << 20).unwrap_or(1);
    let (mut low, mut high) = (high / 2, high);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

/// ln n! for n below `end`.
fn log_factorials(end: usize) -> Vec<f64> {
    let mut sum = 0.0;
    (0..end.max(2))
        .map(|n| {
            if n < 2 {
                0.0
            } else {
                sum += (n as f64).ln();
                sum
            }
        })
        .collect()
}

/// The chance that at most `missed` of `graded` went elsewhere although the promise breaks on the next as many:
/// of the graded and the coming ones together `missed + ⌊at_most·graded⌋ + 1` go elsewhere, and which of them are
/// the graded ones is chance. `logs` has the logarithms of the factorials up to `2·graded`.
fn chance_of_luck(missed: usize, graded: usize, at_most: f64, logs: &[f64]) -> f64 {
    let all = missed + (at_most * graded as f64).floor() as usize + 1;
    if all > 2 * graded {
        return if graded == 0 { 1.0 } else { 0.0 };
    }
    let choose = |n: usize, k: usize| logs[n] - logs[k] - logs[n - k];
    let ways = choose(2 * graded, all);
    let least = all.saturating_sub(graded);
    (least..=missed.min(all).min(graded))
        .map(|k| (choose(graded, k) + choose(graded, all - k) - ways).exp())
        .sum()
}

/// The upper end of the exact one-sided interval of Clopper and Pearson (1934) for `hits` of `trials`: the
/// share at which so few hits or fewer have the chance `delta`.
pub fn upper_bound(hits: usize, trials: usize, delta: f64) -> f64 {
    if hits >= trials {
        return 1.0;
    }
    let (mut low, mut high) = (hits as f64 / trials as f64, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_most_hits(hits, trials, middle) > delta { low = middle } else { high = middle }
    }
    high
}

/// Chance of at most `hits` of `trials`, each with `chance`.
fn at_most_hits(hits: usize, trials: usize, chance: f64) -> f64 {
    let (yes, no) = (chance.ln(), (1.0 - chance).ln());
    let mut log_choose = 0.0;
    let mut sum = 0.0;
    for hit in 0..=hits {
        if hit > 0 {
            log_choose += ((trials - hit + 1) as f64).ln() - (hit as f64).ln();
        }
        let power = if hit == 0 { 0.0 } else { hit as f64 * yes };
        sum += (log_choose + power + (trials - hit) as f64 * no).exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_tables() {
        // none of 29: 1 − 0.1^(1/29); 2 of 50 and 10 of 100 by scipy.stats.beta.ppf(.9, k + 1, n − k)
        assert!((upper_bound(0, 29, 0.1) - 0.0763).abs() < 1e-3);
        assert!((upper_bound(2, 50, 0.1) - 0.1029).abs() < 2e-3, "{}", upper_bound(2, 50, 0.1));
        assert!((upper_bound(10, 100, 0.1) - 0.1491).abs() < 2e-3, "{}", upper_bound(10, 100, 0.1));
        assert_eq!(upper_bound(5, 5, 0.1), 1.0);
    }

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
        let promise = solve(&samples(3000), 0.05, 0.1).unwrap();
        assert!(promise.bound <= 0.05 && promise.served > 0.25 && promise.served < 0.3, "{promise:?}");
        let wider = solve(&samples(3000), 0.2, 0.1).unwrap();
        assert!(wider.served > promise.served);
    }

    #[test]
    fn too_few_labels_are_told_with_the_number_it_takes() {
        let refusal = solve(&samples(60), 0.01, 0.1).unwrap_err();
        assert_eq!((refusal.needing, refusal.wanted), (14, 300));
        assert!(refusal.to_string().contains("about 1226 more graded prompts"), "{refusal}");
    }

    #[test]
    fn a_router_that_is_wrong_first_can_promise_nothing() {
        let bad: Vec<Sample> = samples(3000).iter().map(|s| Sample { wish: -s.wish, ..*s }).collect();
        let worst = bad.iter().map(|s| Sample { needs_large: s.wish < -0.95, ..*s }).collect::<Vec<_>>();
        assert!(solve(&worst, 0.05, 0.1).unwrap_err().to_string().contains("go wrong too often"));
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
        let whole = promised.whole.threshold;
        assert_eq!(promised.thresholds[2..], [Some(whole), None]);
        assert!(promised.thresholds[..2].iter().all(|own| own.unwrap() <= whole), "{promised:?}");
        assert!(promised.thresholds[1].unwrap() < 0.07, "{promised:?}");
        assert!(promised.served > 0.05 && promised.served < promised.whole.served, "{promised:?}");
    }
}
