//! Do chances mean what they say: expected calibration error beside the least that so few rows allow.

use serde::Serialize;

/// Bins of equal width.
const BINS: usize = 15;

/// Chances held against what came true.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// Chances judged.
    pub n: usize,
    /// Expected calibration error: mean over the bins of |share that came true − mean chance|, by their size.
    pub ece: f64,
    /// What a perfectly calibrated model would show on so few rows: √(2/π)·√(p(1−p)/n) per bin.
    pub floor: f64,
    /// Mean squared error (Brier score).
    pub brier: f64,
    /// The bins that hold any: rows, mean chance, share that came true.
    pub bins: Vec<(usize, f64, f64)>,
}

/// Judges pairs of a chance and what came true, 0 to 1.
pub fn judge(pairs: impl Iterator<Item = (f32, f32)>) -> Calibration {
    let mut bins = [(0_usize, 0.0_f64, 0.0_f64); BINS];
    let mut squares = 0.0;
    for (chance, truth) in pairs {
        let bin = &mut bins[((chance * BINS as f32) as usize).min(BINS - 1)];
        *bin = (bin.0 + 1, bin.1 + f64::from(chance), bin.2 + f64::from(truth));
        squares += f64::from(chance - truth).powi(2);
    }
    let n: usize = bins.iter().map(|bin| bin.0).sum();
    let mut found = Calibration { n, brier: squares / n.max(1) as f64, ..Calibration::default() };
    for (count, chances, truths) in bins.into_iter().filter(|bin| bin.0 > 0) {
        let (chance, truth) = (chances / count as f64, truths / count as f64);
        let weight = count as f64 / n as f64;
        found.ece += weight * (truth - chance).abs();
        let spread = chance.clamp(0.0, 1.0) * (1.0 - chance.clamp(0.0, 1.0)) / count as f64;
        found.floor += weight * (std::f64::consts::FRAC_2_PI * spread).sqrt();
        found.bins.push((count, chance, truth));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_chances_have_an_error_at_their_floor() {
        let found = judge((0..1000).map(|row| (0.8, if row % 5 == 0 { 0.0 } else { 1.0 })));
        assert!(found.ece < 1e-6 && (found.floor - 0.0101).abs() < 1e-3, "{found:?}");
        assert_eq!(found.bins.len(), 1);
    }

    #[test]
    fn nothing_judged_gives_zeros_and_no_nan() {
        assert_eq!(judge(std::iter::empty()), Calibration::default());
    }
}
