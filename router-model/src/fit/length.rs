//! The head of the length of answers, and how verbose each model is, from answers whose length is on record.

use std::collections::BTreeMap;

use super::{Design, correlation};
use crate::card::LengthCard;
use crate::length::Length;
use crate::outcomes::{CHARS_PER_TOKEN, Outcome};

/// Prompts with answers of known length that it takes.
const LEAST_ROWS: usize = 500;
/// Answers shorter than this many characters are a letter or a word, asked for by a form (few-shot examples) that
/// the prompt on record no longer shows.
const LEAST_CHARS: f64 = 16.0;
/// Of each end of the lengths this share is too rare to be said.
const RARE: f64 = 0.02;
/// Turns of the fit of prompts and models to each other.
const TURNS: usize = 8;

/// What was learned.
pub(crate) struct Learned {
    pub(crate) length: Length,
    pub(crate) card: LengthCard,
    /// Per model how many times as long as usual its answers are.
    pub(crate) verbosity: BTreeMap<String, f32>,
}

/// Learns it; `None` where too few answers have a length.
pub(crate) fn learn(design: &Design, outcomes: &[Outcome]) -> Option<Learned> {
    let effects = Effects::of(outcomes);
    let (picks, targets) = effects.rows();
    if picks.len() < LEAST_ROWS {
        return None;
    }
    let surface = design.dense_unseen(&design.surface, &picks, &targets);
    let words = design.dense_unseen(&design.words, &picks, &targets);
    let truth: Vec<f64> = picks.iter().map(|&pick| f64::from(targets[pick])).collect();
    let along = |said: &Vec<f32>| (correlation(said.iter().copied(), &truth).max(0.0).powi(2) + 1e-6) as f32;
    let [a, b] = [along(&surface.0), along(&words.0)];
    let [a, b] = [a / (a + b), b / (a + b)];
    let blend: Vec<f32> = surface.0.iter().zip(&words.0).map(|(x, y)| a * x + b * y).collect();
    let (slope, offset) = line(&blend, &truth);
    let said: Vec<f64> = blend.iter().map(|x| slope * f64::from(*x) + offset).collect();
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    let error = |said: &dyn Fn(usize) -> f64| {
        truth.iter().enumerate().map(|(row, t)| (t - said(row)).powi(2)).sum::<f64>() / truth.len() as f64
    };
    // so that tokens, not only their logarithms, are right on the mean
    let tokens = |logs: &[f64]| logs.iter().map(|log| log.exp()).sum::<f64>();
    let raise = (tokens(&truth) / tokens(&said)).ln();
    let mut sorted = truth.clone();
    sorted.sort_by(f64::total_cmp);
    let rank = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize] as f32;
    let fits = (
        design.surface.sums(&picks, &targets).fit(surface.1),
        design.words.sums(&picks, &targets).fit(words.1),
    );
    let slope = slope as f32;
    let raw = fits.0.weights.iter().zip(&design.moments);
    let bias = slope * (a * fits.0.intercept + b * fits.1.intercept) + (offset + raise) as f32
        - raw.clone().map(|(w, (mean, spread))| slope * a * w * mean / spread).sum::<f32>();
    Some(Learned {
        length: Length {
            surface: raw.map(|(w, (_, spread))| slope * a * w / spread).collect(),
            words: fits.1.weights.iter().map(|w| slope * b * w).collect(),
        },
        card: LengthCard {
            bias,
            low: rank(RARE),
            high: rank(1.0 - RARE),
            prompts: picks.len(),
            error: error(&|row| said[row]) as f32,
            error_of_mean: error(&|_| mean) as f32,
        },
        verbosity: effects.models.iter().map(|(name, log)| ((*name).to_owned(), log.exp() as f32)).collect(),
    })
}

/// Logarithms of lengths as sums of one part of the prompt and one of the model.
struct Effects<'a> {
    prompts: Vec<Option<f64>>,
    models: BTreeMap<&'a str, f64>,
}

impl<'a> Effects<'a> {
    fn of(outcomes: &'a [Outcome]) -> Effects<'a> {
        let logs: Vec<BTreeMap<&str, f64>> = outcomes.iter().map(logs).collect();
        let mut prompts: Vec<Option<f64>> = vec![None; logs.len()];
        let mut models: BTreeMap<&str, f64> = logs.iter().flatten().map(|(name, _)| (*name, 0.0)).collect();
        for _ in 0..TURNS {
            for (prompt, row) in prompts.iter_mut().zip(&logs).filter(|(_, row)| !row.is_empty()) {
                *prompt =
                    Some(row.iter().map(|(name, log)| log - models[name]).sum::<f64>() / row.len() as f64);
            }
            let mut sums = BTreeMap::<&str, (f64, f64)>::new();
            for (prompt, row) in prompts.iter().zip(&logs) {
                for (name, log) in row {
                    let (sum, count) = sums.entry(name).or_default();
                    (*sum, *count) = (*sum + log - prompt.unwrap_or_default(), *count + 1.0);
                }
            }
            let mean = sums.values().map(|(sum, count)| sum / count).sum::<f64>() / sums.len().max(1) as f64;
            for (name, (sum, count)) in sums {
                models.insert(name, sum / count - mean);
            }
        }
        Effects { prompts, models }
    }

    /// The prompts with a length, and the lengths by row (0 where there is none).
    fn rows(&self) -> (Vec<usize>, Vec<f32>) {
        let rows = self.prompts.iter().enumerate();
        let picks = rows.filter(|(_, prompt)| prompt.is_some()).map(|(row, _)| row).collect();
        (picks, self.prompts.iter().map(|prompt| prompt.unwrap_or_default() as f32).collect())
    }
}

/// Logarithm of the tokens of each answer; none where they are of a form that the prompt does not show.
fn logs(outcome: &Outcome) -> BTreeMap<&str, f64> {
    let chars = outcome.out_chars.iter().filter(|(_, chars)| **chars > 0.0);
    let mut sorted: Vec<f64> = chars.clone().map(|(_, chars)| *chars).collect();
    sorted.sort_by(f64::total_cmp);
    if sorted.get(sorted.len() / 2).is_none_or(|median| *median < LEAST_CHARS) {
        return BTreeMap::new();
    }
    chars.map(|(name, chars)| (name.as_str(), (1.0 + chars / CHARS_PER_TOKEN).ln())).collect()
}

/// Slope and offset of the straight line of least squares.
fn line(x: &[f32], y: &[f64]) -> (f64, f64) {
    let count = y.len() as f64;
    let x = x.iter().map(|x| f64::from(*x));
    let (mean_x, mean_y) = (x.clone().sum::<f64>() / count, y.iter().sum::<f64>() / count);
    let pairs = x.zip(y).map(|(x, y)| (x - mean_x, y - mean_y));
    let (xy, xx) = pairs.fold((0.0, 1e-9), |(xy, xx), (x, y)| (xy + x * y, xx + x * x));
    (xy / xx, mean_y - xy / xx * mean_x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RouterModel, Scratch};

    /// «in short» is answered by a tenth of what «in detail» is; the second model says twice as much.
    fn outcome(n: usize) -> Outcome {
        let (how, chars) = if n.is_multiple_of(2) { ("in short", 160.0) } else { ("in detail", 1600.0) };
        let chars = chars * (1.0 + (n % 5) as f64 / 10.0);
        let out_chars = BTreeMap::from([("terse".to_owned(), chars), ("chatty".to_owned(), chars * 2.0)]);
        Outcome { prompt: format!("explain subject number {n} {how}"), out_chars, ..Outcome::default() }
    }

    #[test]
    fn it_learns_how_long_answers_are_and_who_is_verbose() {
        let mut model = RouterModel::builtin().unwrap();
        let rows: Vec<Outcome> = (0..800).map(outcome).collect();
        let design = Design::new(&model, rows.iter().map(|row| row.prompt.as_str()));
        let learned = learn(&design, &rows).unwrap();
        assert!(learned.card.error < learned.card.error_of_mean / 4.0, "{:?}", learned.card);
        let ratio = learned.verbosity["chatty"] / learned.verbosity["terse"];
        assert!((ratio - 2.0).abs() < 0.1, "{ratio}");
        (model.length, model.card.length) = (learned.length, Some(learned.card));
        let model = RouterModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
        let tokens = |text: &str| model.score(text, &mut Scratch::default()).output_tokens().unwrap();
        let (short, long) =
            (tokens("explain subject number 9000 in short"), tokens("explain subject number 9000 in detail"));
        assert!((50.0..110.0).contains(&short) && (400.0..1000.0).contains(&long), "{short} {long}");
    }

    #[test]
    fn letters_and_too_few_answers_teach_nothing() {
        let letter = |n| Outcome { out_chars: BTreeMap::from([("a".to_owned(), 1.0)]), ..outcome(n) };
        let model = RouterModel::builtin().unwrap();
        for rows in [(0..800).map(letter).collect::<Vec<_>>(), (0..100).map(outcome).collect()] {
            let design = Design::new(&model, rows.iter().map(|row| row.prompt.as_str()));
            assert!(learn(&design, &rows).is_none());
        }
    }
}
