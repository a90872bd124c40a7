//! Logistic regression beside something known already: Newton's method on the penalised likelihood, in f64 and in a fixed
//! order.

use super::ridge::{cholesky, solve};

/// Steps at most; after half as many nothing moves.
const STEPS: usize = 24;
/// How often a step that makes the likelihood worse is halved.
const HALVINGS: usize = 12;
/// What the likelihood must gain, a row, for another step to be worth it.
const GAIN: f64 = 1e-9;

/// A row: its features, the log-odds that are known of it beforehand, and how much it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) features: &'a [f32],
    pub(super) offset: f64,
    pub(super) target: bool,
    pub(super) weight: f64,
}

/// What is added to the log-odds: a weight per feature, and a constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) weights: Vec<f64>,
    pub(super) bias: f64,
}

impl Change {
    /// None, of texts with so many features.
    pub(super) fn none(width: usize) -> Change {
        Change { weights: vec![0.0; width], bias: 0.0 }
    }

    /// What it adds to the log-odds of a text.
    pub(super) fn of(&self, features: &[f32]) -> f64 {
        self.bias + self.weights.iter().zip(features).map(|(w, &x)| w * f64::from(x)).sum::<f64>()
    }
}

/// How much changes are held down: what half the square of each weight costs, and of the constant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Penalty {
    pub(super) weights: f64,
    pub(super) bias: f64,
}

/// The likeliest change, from `start` on.
pub(super) fn fit(samples: &[Sample<'_>], penalty: Penalty, start: Change) -> Change {
    let mut found = start;
    let mut cost = cost_of(samples, penalty, &found);
    for _ in 0..STEPS {
        let step = newton(samples, penalty, &found);
        let mut share = 1.0;
        let better = (0..HALVINGS).find_map(|_| {
            let next = moved(&found, &step, share);
            share /= 2.0;
            let cost_there = cost_of(samples, penalty, &next);
            (cost_there < cost).then_some((next, cost_there))
        });
        let Some((next, cost_there)) = better else { break };
        let gain = cost - cost_there;
        (found, cost) = (next, cost_there);
        if gain < GAIN * samples.len() as f64 {
            break;
        }
    }
    found
}

fn moved(from: &Change, step: &[f64], share: f64) -> Change {
    let (bias, weights) = step.split_last().unwrap_or((&0.0, &[]));
    Change {
        weights: from.weights.iter().zip(weights).map(|(w, s)| w + share * s).collect(),
        bias: from.bias + share * bias,
    }
}

/// The negative logarithm of the likelihood, with what the change costs.
fn cost_of(samples: &[Sample<'_>], penalty: Penalty, change: &Change) -> f64 {
    let loss = |sample: &Sample<'_>| {
        let odds = sample.offset + change.of(sample.features);
        let wrong = if sample.target { -odds } else { odds };
        sample.weight * (wrong.max(0.0) + (-wrong.abs()).exp().ln_1p())
    };
    let squares: f64 = change.weights.iter().map(|w| w * w).sum();
    samples.iter().map(loss).sum::<f64>()
        + 0.5 * (penalty.weights * squares + penalty.bias * change.bias * change.bias)
}

/// The step to the least of the parabola that fits here; the constant's is the last.
fn newton(samples: &[Sample<'_>], penalty: Penalty, at: &Change) -> Vec<f64> {
    let width = at.weights.len();
    let size = width + 1;
    let mut square = vec![0.0; size * size];
    let mut slope: Vec<f64> = at.weights.iter().map(|w| -penalty.weights * w).collect();
    slope.push(-penalty.bias * at.bias);
    let mut figures = vec![1.0_f64; size];
    for sample in samples {
        figures.iter_mut().zip(sample.features).for_each(|(to, &x)| *to = f64::from(x));
        let chance = 1.0 / (1.0 + (-(sample.offset + at.of(sample.features))).exp());
        let miss = sample.weight * (f64::from(u8::from(sample.target)) - chance);
        let curve = sample.weight * chance * (1.0 - chance);
        for (row, &x) in figures.iter().enumerate() {
            slope[row] += miss * x;
            let sums = &mut square[row * size..][..=row];
            sums.iter_mut().zip(&figures).for_each(|(sum, y)| *sum += curve * x * y);
        }
    }
    for row in 0..size {
        square[row * size + row] += if row < width { penalty.weights } else { penalty.bias } + 1e-9;
    }
    cholesky(&mut square, size);
    solve(&square, size, &mut slope);
    slope
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(x: &[f32; 1], offset: f64, target: bool) -> Sample<'_> {
        Sample { features: x, offset, target, weight: 1.0 }
    }

    #[test]
    fn what_is_known_already_needs_no_change() {
        // of ten texts with even log-odds five are true
        let samples: Vec<_> = (0..10).map(|n| sample(&[1.0], 0.0, n % 2 == 0)).collect();
        let change = fit(&samples, Penalty { weights: 1.0, bias: 1.0 }, Change::none(1));
        assert!(change.of(&[1.0]).abs() < 1e-6, "{change:?}");
    }

    #[test]
    fn without_penalty_the_chances_are_the_shares() {
        let samples: Vec<_> = (0..20)
            .map(|n| if n < 10 { sample(&[0.0], 1.0, n < 2) } else { sample(&[1.0], -2.0, n < 18) })
            .collect();
        let change = fit(&samples, Penalty { weights: 1e-9, bias: 1e-9 }, Change::none(1));
        let chance = |odds: f64| 1.0 / (1.0 + (-odds).exp());
        assert!((chance(1.0 + change.of(&[0.0])) - 0.2).abs() < 1e-3, "{change:?}");
        assert!((chance(-2.0 + change.of(&[1.0])) - 0.8).abs() < 1e-3, "{change:?}");
    }

    #[test]
    fn far_log_odds_do_not_throw_it_off() {
        let samples: Vec<_> = (0..40).map(|n| sample(&[1.0], -40.0, n % 4 == 0)).collect();
        let change = fit(&samples, Penalty { weights: 0.01, bias: 0.01 }, Change::none(1));
        let odds = -40.0 + change.of(&[1.0]);
        assert!((odds + 3_f64.ln()).abs() < 0.2, "{odds}");
    }

    #[test]
    fn a_row_that_counts_twice_is_two_rows() {
        let one = [sample(&[0.5], 0.0, true), sample(&[-0.3], 0.2, false)];
        let twice = [one[0], one[0], one[1]];
        let weighed = [Sample { weight: 2.0, ..one[0] }, one[1]];
        let penalty = Penalty { weights: 0.3, bias: 2.0 };
        let [a, b] = [&twice[..], &weighed[..]].map(|samples| fit(samples, penalty, Change::none(1)));
        assert!((a.weights[0] - b.weights[0]).abs() < 1e-9 && (a.bias - b.bias).abs() < 1e-9);
    }
}
