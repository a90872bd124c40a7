//! Two models, one dial: RouteLLM's protocol (Ong et al., 2024, arXiv:2406.18665), to the letter.
//!
//! A score says how much a prompt wants the strong model. Thresholds are the deciles of the scores; at each,
//! the prompts at or above it go to the strong model (strictly above at the last). APGR is the area gained over
//! the weak model as a share of what the strong model gains; CPT(p) the share of strong calls that wins back
//! the part p of the gap.

use serde::Serialize;

use super::stats::{bootstrap, mean, middle, quantile, shuffle};
use crate::random::Random;

/// Thresholds a curve has.
const BINS: usize = 10;
/// Shuffles that a score is held against.
const SHUFFLES: usize = 200;

/// One prompt: what the router said of it and how the two models answered it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// How much it wants the strong model; only the order counts.
    pub score: f32,
    /// Score of the strong model's answer, 0 to 1.
    pub strong: f32,
    /// Score of the weak model's answer, 0 to 1.
    pub weak: f32,
    /// Characters of the prompt: the control.
    pub chars: usize,
}

/// A point of the dial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Share of the prompts that the strong model answers.
    pub strong_share: f64,
    /// Mean score of the answers.
    pub quality: f64,
}

/// What [`judge`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairReport {
    /// Prompts.
    pub n: usize,
    /// Mean score of the strong model: always large.
    pub strong: f64,
    /// Mean score of the weak model: always cheap.
    pub weak: f64,
    /// The curve, by share.
    pub curve: Vec<Point>,
    /// Average performance gap recovered.
    pub apgr: f64,
    /// Its 95 % bootstrap interval.
    pub apgr_interval: [f64; 2],
    /// Share of strong calls that wins back half, and 80 %, of the gap; none: never reached.
    pub cpt: [Option<f64>; 2],
    /// Control: APGR of the same scores, shuffled: mean.
    pub shuffled: f64,
    /// 95 % of the shuffles lie here.
    pub shuffled_interval: [f64; 2],
    /// Control: APGR of the prompt's length alone.
    pub length: f64,
    /// Its 95 % bootstrap interval.
    pub length_interval: [f64; 2],
    /// Whether the APGR is above 95 % of its shuffled selves.
    pub better_than_shuffled: bool,
}

/// Judges scores by the answers.
pub fn judge(trials: &[Trial]) -> PairReport {
    let all: Vec<usize> = (0..trials.len()).collect();
    let scores: Vec<f32> = trials.iter().map(|trial| trial.score).collect();
    let lengths: Vec<f32> = trials.iter().map(|trial| trial.chars as f32).collect();
    let curve = curve(trials, &scores, &all);
    let (strong, weak) = ends(trials, &all);
    let apgr = apgr(&curve, strong, weak);
    let mut shuffled = shuffled(trials, scores.clone());
    let shuffled_mean = mean(shuffled.iter().copied());
    let shuffled_interval = middle(&mut shuffled);
    PairReport {
        n: trials.len(),
        strong,
        weak,
        apgr,
        apgr_interval: bootstrap(trials.len(), |picks| apgr_of(trials, &scores, picks)),
        cpt: [0.5, 0.8].map(|part| cost_of(&curve, weak + part * (strong - weak))),
        shuffled: shuffled_mean,
        shuffled_interval,
        length: apgr_of(trials, &lengths, &all),
        length_interval: bootstrap(trials.len(), |picks| apgr_of(trials, &lengths, picks)),
        better_than_shuffled: apgr > shuffled_interval[1],
        curve,
    }
}

/// APGR of any scores for these trials.
pub fn apgr_by(trials: &[Trial]) -> f64 {
    let scores: Vec<f32> = trials.iter().map(|trial| trial.score).collect();
    apgr_of(trials, &scores, &(0..trials.len()).collect::<Vec<_>>())
}

fn shuffled(trials: &[Trial], mut scores: Vec<f32>) -> Vec<f64> {
    let mut random = Random::new(2);
    let all: Vec<usize> = (0..trials.len()).collect();
    (0..SHUFFLES)
        .map(|_| {
            shuffle(&mut scores, &mut random);
            apgr_of(trials, &scores, &all)
        })
        .collect()
}

fn apgr_of(trials: &[Trial], scores: &[f32], picks: &[usize]) -> f64 {
    let (strong, weak) = ends(trials, picks);
    apgr(&curve(trials, scores, picks), strong, weak)
}

/// Mean scores of the strong and the weak model.
fn ends(trials: &[Trial], picks: &[usize]) -> (f64, f64) {
    let of = |score: fn(&Trial) -> f32| mean(picks.iter().map(|&pick| f64::from(score(&trials[pick]))));
    (of(|trial| trial.strong), of(|trial| trial.weak))
}

fn curve(trials: &[Trial], scores: &[f32], picks: &[usize]) -> Vec<Point> {
    let mut order: Vec<usize> = picks.to_vec();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let ascending: Vec<f32> = order.iter().map(|&pick| scores[pick]).collect();
    // quality when the first `k` in order are weak, the rest strong
    let mut sums = Vec::with_capacity(order.len() + 1);
    sums.push(order.iter().map(|&pick| f64::from(trials[pick].strong)).sum::<f64>());
    for &pick in &order {
        let last = sums.last().copied().unwrap_or_default();
        sums.push(last + f64::from(trials[pick].weak) - f64::from(trials[pick].strong));
    }
    let count = order.len().max(1) as f64;
    let mut thresholds: Vec<f32> =
        (0..=BINS).map(|bin| quantile(&ascending, bin as f64 / BINS as f64)).collect();
    thresholds.dedup();
    let last = thresholds.len() - 1;
    let point = |(index, threshold): (usize, &f32)| {
        let weak = ascending
            .partition_point(|score| if index == last { score <= threshold } else { score < threshold });
        Point { strong_share: (order.len() - weak) as f64 / count, quality: sums[weak] / count }
    };
    let mut points: Vec<Point> = thresholds.iter().enumerate().map(point).collect();
    points.sort_by(|a, b| a.strong_share.total_cmp(&b.strong_share));
    points
}

fn apgr(curve: &[Point], strong: f64, weak: f64) -> f64 {
    let area = |height: &dyn Fn(&Point) -> f64| -> f64 {
        let slice = |pair: &[Point]| {
            (pair[1].strong_share - pair[0].strong_share) * (height(&pair[0]) + height(&pair[1])) / 2.0
        };
        curve.windows(2).map(slice).sum()
    };
    let (ours, low, high) = (area(&|point| point.quality), area(&|_| weak), area(&|_| strong));
    if (high - low).abs() < 1e-12 { 0.0 } else { (ours - low) / (high - low) }
}

/// The least share of strong calls at which the curve reaches `quality`, straight lines in between.
fn cost_of(curve: &[Point], quality: f64) -> Option<f64> {
    let at = curve.iter().position(|point| point.quality >= quality)?;
    let (Some(before), here) = (at.checked_sub(1).map(|before| curve[before]), curve[at]) else {
        return Some(curve[at].strong_share);
    };
    let part = (quality - before.quality) / (here.quality - before.quality).max(1e-12);
    Some(before.strong_share + part * (here.strong_share - before.strong_share))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(score: impl Fn(usize) -> f32) -> Vec<Trial> {
        // one in two needs the strong model
        let row =
            |n: usize| Trial { score: score(n), strong: 1.0, weak: (n % 2) as f32, chars: n * 7919 % 1000 };
        (0..1000).map(row).collect()
    }

    #[test]
    fn an_oracle_has_three_quarters_and_its_opposite_a_quarter() {
        let oracle = judge(&trials(|n| (1 - n % 2) as f32 + n as f32 / 1e4));
        assert!((oracle.apgr - 0.75).abs() < 1e-6, "{}", oracle.apgr);
        assert!((apgr_by(&trials(|n| (n % 2) as f32 + n as f32 / 1e4)) - 0.25).abs() < 1e-6);
        assert_eq!((oracle.strong, oracle.weak), (1.0, 0.5));
        assert!((oracle.cpt[0].unwrap() - 0.25).abs() < 1e-6);
        assert!(oracle.better_than_shuffled);
    }

    #[test]
    fn a_score_that_knows_nothing_is_not_better_than_shuffled() {
        let blind = judge(&trials(|n| (n * 7919 % 1009) as f32));
        assert!((blind.apgr - 0.5).abs() < 0.05 && !blind.better_than_shuffled, "{blind:?}");
        assert!((blind.shuffled - 0.5).abs() < 0.01);
    }

    #[test]
    fn one_score_for_all_and_no_rows_at_all_are_judged_too() {
        assert_eq!(judge(&trials(|_| 0.5)).curve.len(), 1);
        assert_eq!(judge(&[]).n, 0);
    }
}
