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
