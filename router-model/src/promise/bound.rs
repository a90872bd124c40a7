//! The exact bounds under a promise: how many of the graded prompts in need may have gone elsewhere, and what that
//! says of those to come.

/// What a statement lets happen among the graded prompts in need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Allowance {
    /// So many may have gone elsewhere.
    pub(super) missed: usize,
    /// The chance that the statement is broken all the same; below the one that was granted, for prompts are whole.
    pub(super) chance: f64,
}

/// The most of `graded` prompts in need that may have gone elsewhere where «at most `at_most` of the next as many» is
/// to be broken with a chance of at most `delta`; `None`: already with none of them it is broken more often.
pub(super) fn allowance(graded: usize, at_most: f64, delta: f64) -> Option<Allowance> {
    let logs = log_factorials(2 * graded + 1);
    let chance = |missed| chance_of_luck(missed, graded, at_most, &logs);
    if chance(0) > delta {
        return None;
    }
    // the chance rises with what is missed: halved between one that holds and one that does not
    let (mut low, mut high) = (0, graded + 1);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if chance(middle) <= delta { low = middle } else { high = middle }
    }
    Some(Allowance { missed: low, chance: chance(low) })
}

/// How many prompts in need it takes to promise `at_most` when none goes wrong.
pub(super) fn wanted(at_most: f64, delta: f64) -> usize {
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

    #[test]
    fn an_allowance_is_the_largest_whose_chance_is_granted() {
        let logs = log_factorials(2 * 99 + 1);
        for (at_most, delta) in [(0.1, 0.1), (0.1, 0.02), (0.2, 0.1), (0.2, 0.0125), (0.9, 0.05)] {
            let Allowance { missed, chance } = allowance(99, at_most, delta).unwrap();
            let next = chance_of_luck(missed + 1, 99, at_most, &logs);
            assert!(chance <= delta && next > delta, "{at_most} {delta}: {missed}, {chance} {next}");
        }
        assert!(allowance(wanted(0.05, 0.05), 0.05, 0.05).is_some());
        assert_eq!(allowance(wanted(0.05, 0.05) - 1, 0.05, 0.05), None);
        assert_eq!(allowance(0, 0.5, 0.1), None);
        assert_eq!(allowance(30, 1.0, 0.1).map(|all| all.missed), Some(30));
    }

    #[test]
    fn the_chance_of_luck_is_that_of_all_ways_to_deal() {
        // 4 graded, 4 to come, at most a half: broken by 3; with one graded miss 4 of 8 go, 1 + 16 of 70 ways
        let logs = log_factorials(9);
        assert!((chance_of_luck(1, 4, 0.5, &logs) - 17.0 / 70.0).abs() < 1e-12);
        assert!((chance_of_luck(0, 4, 0.5, &logs) - 4.0 / 56.0).abs() < 1e-12);
    }
}
