//! Resampling and ranks.

use crate::random::Random;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 500;

/// 2.5 % and 97.5 % points of a figure over resampled rows; `figure` gets the picks of one resample.
pub fn bootstrap(rows: usize, mut figure: impl FnMut(&[usize]) -> f64) -> [f64; 2] {
    if rows == 0 {
        return [0.0, 0.0];
    }
    let mut random = Random::new(1);
    let mut picks = vec![0; rows];
    let mut figures: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            picks.iter_mut().for_each(|pick| *pick = random.below(rows));
            figure(&picks)
        })
        .collect();
    middle(&mut figures)
}

/// 2.5 % and 97.5 % points of some figures.
pub fn middle(figures: &mut [f64]) -> [f64; 2] {
    figures.sort_by(f64::total_cmp);
    let Some(last) = figures.len().checked_sub(1) else { return [0.0, 0.0] };
    [0.025, 0.975].map(|share| figures[(last as f64 * share).round() as usize])
}

/// The standard normal distribution has 2.5 % above this.
const Z: f64 = 1.959_964;

/// 95 % interval of a share that was seen in `hits` of `n` (Wilson, 1927); of nothing, 0 to 1.
pub fn wilson(hits: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (hits, n) = (hits as f64, n as f64);
    let (share, square) = (hits / n, Z * Z);
    let centre = (share + square / (2.0 * n)) / (1.0 + square / n);
    let half = Z / (1.0 + square / n) * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// Shuffles in place.
pub(crate) fn shuffle<T>(values: &mut [T], random: &mut Random) {
    for last in (1..values.len()).rev() {
        values.swap(last, random.below(last + 1));
    }
}

/// The quantile of ascending values, straight lines in between.
pub(crate) fn quantile(ascending: &[f32], share: f64) -> f32 {
    let Some(last) = ascending.len().checked_sub(1) else { return 0.0 };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let part = (place - below as f64) as f32;
    let above = ascending[(below + 1).min(last)];
    ascending[below] + (above - ascending[below]) * part
}

pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_intervals_are_those_of_the_literature() {
        // Newcombe, 1998, Statistics in Medicine 17, table I, method 3
        for (hits, n, [low, high]) in [
            (81, 263, [0.2553, 0.3662]),
            (15, 148, [0.0624, 0.1605]),
            (0, 20, [0.0, 0.1611]),
            (1, 29, [0.0061, 0.1718]),
        ] {
            let found = wilson(hits, n);
            assert!((found[0] - low).abs() < 1e-4 && (found[1] - high).abs() < 1e-4, "{hits}/{n}: {found:?}");
        }
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        assert!(wilson(7, 7)[1] <= 1.0);
    }
}
