//! Heads from graded answers: what the frozen encoder makes of a prompt, and how well a model answered it.
//!
//! Three ridge regressions, one for each kind of feature (surface, words' direction, hashed grams), each held
//! down by itself, averaged at equal spread by how well each predicts, and brought to chances by a logistic
//! curve, bent where a thousand rows show it wrong ([`Link`]); both are fitted on predictions of rows that the
//! regressions did not see. One fit over all features at once did worse: the kinds drown each
//! other. A thousand rows take about a second.

mod answers;
mod calibrate;
mod domains;
mod judge;
#[cfg_attr(not(feature = "train"), expect(dead_code, reason = "heads of all models are fitted in training"))]
mod known;
#[cfg_attr(not(any(feature = "train", test)), expect(dead_code, reason = "lengths are learned in training"))]
pub(crate) mod length;
mod logistic;
pub(crate) mod ridge;

use crate::encode::{KINDS, fnv};
use crate::heads::{GRAM_BITS, Head, bucket, gram_factor, logistic};
use crate::link::Link;
use crate::surface::SURFACE;
use crate::text::cut;
use crate::weights::{DIM, WORD_DIM};
use crate::{RouterModel, Scratch, slices};
use ridge::{Dense, Line, Sparse};

pub use calibrate::{Calibrated, LEAST_ROWS, Report, calibrate};
pub use domains::{Lessons, OwnDomain, Step, teach};
pub use judge::{How, Judged, judge};
#[cfg(feature = "train")]
pub(crate) use known::known;
pub use known::{HEAD_ROWS, graded, qualities};

/// Penalties that are tried for dense features and for hashed ones, of rows of mean square 1.
const DENSE_PENALTIES: [f64; 4] = [4.0, 12.0, 40.0, 130.0];
const GRAM_PENALTIES: [f64; 3] = [4.0, 12.0, 40.0];

/// The parts of the cross-validation that the logistic curve is fitted on.
pub const FOLDS: usize = 5;

/// The features of some prompts, ready for any number of fits.
pub struct Design {
    surface: Dense,
    words: Dense,
    grams: Sparse,
    /// Mean and spread of each surface figure, taken out of `surface`.
    moments: Vec<(f32, f32)>,
    /// The part of a cross-validation that each prompt is in.
    folds: Vec<usize>,
}

/// How three regressions become one head: the penalty of each, what its predictions are multiplied by around
/// which centre, the log-odds at these centres, and how they are bent.
struct Blend {
    penalties: [f64; 3],
    factors: [f32; 3],
    centre: [f32; 3],
    offset: f32,
    link: Link,
}

/// Fits on the rows given, one per penalty.
type Fits<'a> = dyn Fn(&[usize]) -> Vec<Line> + 'a;
/// What a fit predicts of a row.
type Predict<'a> = dyn Fn(usize, &Line) -> f32 + 'a;

/// A head and how it does on rows that it did not see.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The head, fitted on all rows.
    pub head: Head,
    /// Per row given, in order: the chance said by a head that was fitted without the row's fold.
    pub unseen: Vec<f32>,
}

impl Design {
    /// Encodes `prompts`.
    pub fn new<'a>(model: &RouterModel, prompts: impl Iterator<Item = &'a str>) -> Design {
        let mut scratch = Scratch::default();
        let (mut surface, mut words) = (Vec::new(), Vec::new());
        let (mut rows, mut factors, mut folds) = (Vec::new(), Vec::new(), Vec::new());
        for prompt in prompts {
            let Scratch { encoding, buffers, .. } = &mut scratch;
            let _whole = encoding.read(cut(prompt), &model.weights.lexicon, &mut || false);
            slices::forward(&model.weights, encoding, buffers);
            surface.extend_from_slice(&encoding.surface);
            words.extend_from_slice(&buffers.input[KINDS * DIM..][..WORD_DIM]);
            rows.push(encoding.grams[..2].iter().flatten().map(|hash| bucket(*hash) as u16).collect());
            factors.push(gram_factor(encoding));
            folds.push(fold(prompt));
        }
        let moments = standardise(&mut surface);
        let mut grams = Sparse { weights: vec![0.0; 1 << GRAM_BITS], rows, factors };
        weigh(&mut grams);
        Design {
            surface: Dense { width: SURFACE, rows: surface },
            words: Dense { width: WORD_DIM, rows: words },
            grams,
            moments,
            folds,
        }
    }

    /// How many prompts.
    pub fn len(&self) -> usize {
        self.folds.len()
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.folds.is_empty()
    }

    /// The fold of each prompt, by its text: the same text is always in the same fold.
    pub fn folds(&self) -> &[usize] {
        &self.folds
    }

    /// Fits a head for `name` on the rows `picks`; `targets` has a score of 0 to 1 for each of them, by index.
    pub fn fit(&self, name: &str, picks: &[usize], targets: &[f32]) -> Fitted {
        let (parts, penalties) = self.cross_fit(picks, targets);
        let weights = weights(&parts, picks, targets);
        let spreads = parts.each_ref().map(|part| spread(part));
        let mean = picks.iter().map(|&pick| targets[pick]).sum::<f32>() / picks.len().max(1) as f32;
        let centre = parts.each_ref().map(|part| part.iter().sum::<f32>() / part.len().max(1) as f32);
        let blend: Vec<f32> = (0..picks.len())
            .map(|row| {
                (0..3).map(|kind| (parts[kind][row] - centre[kind]) / spreads[kind] * weights[kind]).sum()
            })
            .collect();
        let labels: Vec<f32> = picks.iter().map(|&pick| targets[pick]).collect();
        let (slope, offset) = platt(&blend, &labels, mean);
        let said: Vec<(f32, f32)> =
            blend.iter().zip(&labels).map(|(score, label)| (slope * score + offset, *label)).collect();
        let unseen = self.bent(picks, &said);
        let link = Link::fit(&said);
        let factors = [0, 1, 2].map(|kind| slope / spreads[kind] * weights[kind]);
        let head = self.head(name, picks, targets, &Blend { penalties, factors, centre, offset, link });
        Fitted { head, unseen }
    }

    /// The log-odds that a head gives a row.
    pub fn log_odds(&self, head: &Head, row: usize) -> f32 {
        let surface = &self.surface.rows[row * SURFACE..][..SURFACE];
        let raw = surface.iter().zip(&self.moments).map(|(x, (mean, spread))| x * spread + mean);
        let words = &self.words.rows[row * WORD_DIM..][..WORD_DIM];
        let dense = raw.zip(&head.surface).map(|(x, w)| x * w).sum::<f32>()
            + words.iter().zip(&head.words).map(|(x, w)| x * w).sum::<f32>();
        let grams = self.grams.rows[row].iter().map(|&at| head.grams[usize::from(at)]).sum::<f32>();
        head.link.apply(head.bias + dense + grams * self.grams.factors[row])
    }

    /// The head of three fits on all `picks`.
    fn head(&self, name: &str, picks: &[usize], targets: &[f32], blend: &Blend) -> Head {
        let [surface, words, grams] = self.parts(picks, targets, blend.penalties);
        let factors = blend.factors;
        let mut bias = blend.offset;
        for ((fit, factor), centre) in [&surface, &words, &grams].into_iter().zip(factors).zip(blend.centre) {
            bias += factor * (fit.intercept - centre);
        }
        let raw = surface.weights.iter().zip(&self.moments);
        bias -= raw.clone().map(|(w, (mean, spread))| factors[0] * w * mean / spread).sum::<f32>();
        let grams = grams.weights.iter().zip(&self.grams.weights);
        Head {
            name: name.to_owned(),
            surface: raw.map(|(w, (_, spread))| factors[0] * w / spread).collect(),
            words: words.weights.iter().map(|w| factors[1] * w).collect(),
            grams: grams.map(|(w, weight)| factors[2] * w * weight).collect(),
            bias,
            link: blend.link,
        }
    }

    /// The chances of what was said of each pick, bent by a line that was fitted on the other folds.
    fn bent(&self, picks: &[usize], said: &[(f32, f32)]) -> Vec<f32> {
        let mut chances = vec![0.0; picks.len()];
        for fold in 0..FOLDS {
            let rows = picks.iter().zip(said);
            let seen: Vec<(f32, f32)> =
                rows.filter(|(pick, _)| self.folds[**pick] != fold).map(|(_, said)| *said).collect();
            let link = Link::fit(&seen);
            for (row, _) in picks.iter().enumerate().filter(|(_, pick)| self.folds[**pick] == fold) {
                chances[row] = logistic(link.apply(said[row].0));
            }
        }
        chances
    }

    fn parts(&self, picks: &[usize], targets: &[f32], penalties: [f64; 3]) -> [Line; 3] {
        [
            self.surface.sums(picks, targets).fit(penalties[0]),
            self.words.sums(picks, targets).fit(penalties[1]),
            self.grams.fit(picks, targets, penalties[2]),
        ]
    }

    /// What each kind of feature predicts of each pick, fitted on the other folds, under the penalty that does
    /// best so; and these penalties.
    fn cross_fit(&self, picks: &[usize], targets: &[f32]) -> ([Vec<f32>; 3], [f64; 3]) {
        let fits =
            |seen: &[usize]| GRAM_PENALTIES.map(|penalty| self.grams.fit(seen, targets, penalty)).to_vec();
        let predict = |pick: usize, fit: &Line| self.grams.predict(pick, fit);
        let found = [
            self.dense_unseen(&self.surface, picks, targets),
            self.dense_unseen(&self.words, picks, targets),
            self.best_unseen(picks, targets, &GRAM_PENALTIES, &fits, &predict),
        ];
        let penalties = found.each_ref().map(|(_, penalty)| *penalty);
        (found.map(|(part, _)| part), penalties)
    }

    /// As [`Design::best_unseen`], of dense features.
    fn dense_unseen(&self, rows: &Dense, picks: &[usize], targets: &[f32]) -> (Vec<f32>, f64) {
        let fits = |seen: &[usize]| {
            let sums = rows.sums(seen, targets);
            DENSE_PENALTIES.map(|penalty| sums.fit(penalty)).to_vec()
        };
        self.best_unseen(picks, targets, &DENSE_PENALTIES, &fits, &|pick, fit| rows.predict(pick, fit))
    }

    /// Predictions of each pick by `fits` on the other folds, of the penalty with the least squared error.
    fn best_unseen(
        &self,
        picks: &[usize],
        targets: &[f32],
        penalties: &[f64],
        fits: &Fits<'_>,
        predict: &Predict<'_>,
    ) -> (Vec<f32>, f64) {
        let mut said = vec![vec![0.0; picks.len()]; penalties.len()];
        for fold in 0..FOLDS {
            let seen: Vec<usize> = picks.iter().copied().filter(|&pick| self.folds[pick] != fold).collect();
            for (said, fit) in said.iter_mut().zip(fits(&seen)) {
                for (row, &pick) in picks.iter().enumerate().filter(|(_, pick)| self.folds[**pick] == fold) {
                    said[row] = predict(pick, &fit);
                }
            }
        }
        let error = |said: &Vec<f32>| -> f64 {
            said.iter().zip(picks).map(|(x, &pick)| f64::from((x - targets[pick]).powi(2))).sum()
        };
        let best =
            (0..penalties.len()).min_by(|a, b| error(&said[*a]).total_cmp(&error(&said[*b]))).unwrap_or(0);
        (said.swap_remove(best), penalties[best])
    }
}

/// The fold of a text.
fn fold(text: &str) -> usize {
    (fnv(text.bytes()) >> 33) as usize % FOLDS
}

/// Brings each surface figure to mean 0 and the row to mean square 1; gives what was taken out.
fn standardise(rows: &mut [f32]) -> Vec<(f32, f32)> {
    let count = (rows.len() / SURFACE).max(1) as f32;
    let mut moments = vec![(0.0_f32, 0.0_f32); SURFACE];
    for row in rows.chunks_exact(SURFACE) {
        moments.iter_mut().zip(row).for_each(|(moment, x)| moment.0 += x / count);
    }
    for row in rows.chunks_exact(SURFACE) {
        moments.iter_mut().zip(row).for_each(|(moment, x)| moment.1 += (x - moment.0).powi(2) / count);
    }
    // A figure that hardly ever differs must not become loud where it does.
    let wide = (SURFACE as f32).sqrt();
    moments.iter_mut().for_each(|moment| moment.1 = (moment.1.sqrt() + 0.01) * wide);
    for row in rows.chunks_exact_mut(SURFACE) {
        row.iter_mut().zip(&moments).for_each(|(x, (mean, spread))| *x = (*x - mean) / spread);
    }
    moments
}

/// Gives each bucket the weight ln((rows + 1) / (rows with it + 1)), then all one factor so that the mean square
/// of a row is 1.
fn weigh(grams: &mut Sparse) {
    let mut seen = vec![0_u32; grams.weights.len()];
    for row in &grams.rows {
        let mut row = row.clone();
        row.sort_unstable();
        row.dedup();
        row.iter().for_each(|&at| seen[usize::from(at)] += 1);
    }
    let rows = grams.rows.len() as f32;
    let weights = seen.iter().map(|&count| ((rows + 1.0) / (count as f32 + 1.0)).ln());
    grams.weights = weights.collect();
    let square = |(row, factor): (&Vec<u16>, &f32)| {
        row.iter().map(|&at| grams.weights[usize::from(at)].powi(2)).sum::<f32>() * factor * factor
    };
    let mean = grams.rows.iter().zip(&grams.factors).map(square).sum::<f32>() / rows.max(1.0);
    let all = 1.0 / mean.sqrt().max(1e-6);
    grams.weights.iter_mut().for_each(|weight| *weight *= all);
}

/// How much each kind of feature counts: the square of how its predictions go along with the truth.
fn weights(parts: &[Vec<f32>; 3], picks: &[usize], targets: &[f32]) -> [f32; 3] {
    let truth: Vec<f64> = picks.iter().map(|&pick| f64::from(targets[pick])).collect();
    let squares = parts.each_ref().map(|part| {
        let along = correlation(part.iter().copied(), &truth).max(0.0);
        (along * along) as f32 + 1e-4
    });
    let sum: f32 = squares.iter().sum();
    squares.map(|square| square / sum)
}

/// Pearson's correlation; 0 where either does not vary.
pub(super) fn correlation(x: impl Iterator<Item = f32> + Clone, y: &[f64]) -> f64 {
    let count = y.len() as f64;
    let x = x.map(f64::from);
    let (mean_x, mean_y) = (x.clone().sum::<f64>() / count, y.iter().sum::<f64>() / count);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        (xy, xx, yy) = (xy + x * y, xx + x * x, yy + y * y);
    }
    if xx * yy < 1e-18 { 0.0 } else { xy / (xx * yy).sqrt() }
}

/// Standard deviation, kept off 0.
pub(super) fn spread(values: &[f32]) -> f32 {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count).sqrt().max(1e-4)
}

/// Slope and offset of the logistic curve from scores to labels (Platt, 1999), by Newton's method. A little
/// weight holds the slope at 0 and the offset at the mean, where labels are few or all alike.
pub(crate) fn platt(scores: &[f32], labels: &[f32], mean: f32) -> (f32, f32) {
    const PRIOR: f64 = 1.0;
    let mean = f64::from(mean).clamp(0.01, 0.99);
    let start = (mean / (1.0 - mean)).ln();
    let (mut slope, mut offset) = (0.0_f64, start);
    for _ in 0..25 {
        let (mut g, mut h) = ([PRIOR * slope, PRIOR * (offset - start)], [PRIOR, 0.0, PRIOR]);
        for (&score, &label) in scores.iter().zip(labels) {
            let score = f64::from(score);
            let chance = 1.0 / (1.0 + (-(slope * score + offset)).exp());
            let (error, weight) = (chance - f64::from(label), chance * (1.0 - chance));
            g = [g[0] + error * score, g[1] + error];
            h = [h[0] + weight * score * score, h[1] + weight * score, h[2] + weight];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        slope -= step[0];
        offset -= step[1];
        if step.iter().all(|step| step.abs() < 1e-7) {
            break;
        }
    }
    (slope as f32, offset as f32)
}
