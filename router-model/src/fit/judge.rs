//! What a model says of graded prompts, as it is shipped or after it has learned from some of them.

use std::fmt;

use super::{Design, graded};
use crate::eval::pair;
use crate::outcomes::Outcome;
use crate::promise::{Sample, wish};
use crate::random::Random;
use crate::{RouterModel, Scratch};

/// What may be learned from the rows before they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nothing.
    AsShipped,
    /// All parts but the one that is judged, in turn; the rows' own folds where they have some.
    Folds(usize),
    /// So many rows, chosen at random; the others are judged.
    Labels(usize),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::AsShipped => f.write_str("as shipped"),
            How::Folds(folds) => write!(f, "learned from this file, {folds}-fold"),
            How::Labels(labels) => write!(f, "learned from {labels} of its prompts, judged on the others"),
        }
    }
}

/// What was said of the rows that are judged.
pub struct Judged {
    names: Vec<String>,
    rows: Vec<Said>,
}

/// What was said of one row.
struct Said {
    row: usize,
    /// How much it wants the first model rather than the second.
    wish: f32,
    /// Chance of each model; empty where some are unknown.
    chances: Vec<f32>,
}

/// Labels that weigh as much as what is known of difficulty without any.
const PRIOR_LABELS: f32 = 1500.0;

/// Judges `rows`, which all have scores of the models `names`.
///
/// # Errors
///
/// In words, when there are not enough rows to learn from and to judge.
pub fn judge(model: &RouterModel, rows: &[Outcome], names: &[String], how: How) -> Result<Judged, String> {
    let rows_said = match how {
        How::AsShipped => as_shipped(model, rows, names),
        How::Folds(folds) => {
            let parts = folds_of(rows, folds);
            let design = Design::new(model, rows.iter().map(|row| row.prompt.as_str()));
            let parts = (0..folds).map(|fold| split(&parts, |part| part != fold));
            parts.flat_map(|(seen, judged)| learned(model, &design, rows, names, &seen, &judged)).collect()
        }
        How::Labels(labels) if labels < 20 || labels + 20 > rows.len() => {
            return Err(format!(
                "--labels {labels}: 20 to {} can be learned from",
                rows.len().saturating_sub(20)
            ));
        }
        How::Labels(labels) => {
            let design = Design::new(model, rows.iter().map(|row| row.prompt.as_str()));
            let mut order: Vec<usize> = (0..rows.len()).collect();
            crate::eval::shuffle(&mut order, &mut Random::new(5));
            let (seen, judged) = order.split_at(labels);
            learned(model, &design, rows, names, seen, judged)
        }
    };
    Ok(Judged { names: names.to_vec(), rows: rows_said })
}

fn split(parts: &[usize], seen: impl Fn(usize) -> bool) -> (Vec<usize>, Vec<usize>) {
    (0..parts.len()).partition(|&row| seen(parts[row]))
}

/// The part of each row: its own where all have one below `folds`, else by chance.
fn folds_of(rows: &[Outcome], folds: usize) -> Vec<usize> {
    if rows.iter().all(|row| row.fold.is_some_and(|fold| fold < folds)) {
        return rows.iter().filter_map(|row| row.fold).collect();
    }
    let mut random = Random::new(6);
    rows.iter().map(|_| random.below(folds)).collect()
}

fn as_shipped(model: &RouterModel, rows: &[Outcome], names: &[String]) -> Vec<Said> {
    let at = |name: &String| model.heads().names().iter().position(|known| known == name);
    let picks: Option<Vec<usize>> = names.iter().map(at).collect();
    let heads = picks.map(|picks| model.heads().select(&picks));
    let mut scratch = Scratch::default();
    let say = |(row, outcome): (usize, &Outcome)| {
        let wish = model.score(&outcome.prompt, &mut scratch).difficulty();
        let mut chances = Vec::new();
        if let Some(heads) = &heads {
            model.chances(heads, &mut scratch, &mut chances);
        }
        Said { row, wish, chances }
    };
    rows.iter().enumerate().map(say).collect()
}

fn learned(
    model: &RouterModel,
    design: &Design,
    rows: &[Outcome],
    names: &[String],
    seen: &[usize],
    judged: &[usize],
) -> Vec<Said> {
    let heads: Vec<_> = names.iter().map(|name| design.fit(name, seen, &graded(rows, name).1).head).collect();
    let mut wishes = vec![0.0; judged.len()];
    if let [strong, weak] = names {
        let gain = |row: &Outcome| (row.models[strong] - row.models[weak] + 1.0) / 2.0;
        let gains: Vec<f32> = rows.iter().map(gain).collect();
        let head = design.fit("gain", seen, &gains).head;
        wishes = judged.iter().map(|&row| design.log_odds(&head, row)).collect();
        let mut scratch = Scratch::default();
        let prior = judged.iter().map(|&row| model.score(&rows[row].prompt, &mut scratch).difficulty());
        let mut prior: Vec<f32> = prior.collect();
        standard(&mut prior);
        standard(&mut wishes);
        let weight = 1.0 / (1.0 + seen.len() as f32 / PRIOR_LABELS) / 3.0;
        wishes.iter_mut().zip(prior).for_each(|(wish, prior)| *wish += weight * prior);
    }
    let chances =
        |row: usize| heads.iter().map(move |head| crate::heads::logistic(design.log_odds(head, row)));
    let rows = judged.iter().zip(wishes);
    rows.map(|(&row, wish)| Said { row, wish, chances: chances(row).collect() }).collect()
}

/// To mean 0 and spread 1.
fn standard(values: &mut [f32]) {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let spread = (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count).sqrt().max(1e-6);
    values.iter_mut().for_each(|x| *x = (*x - mean) / spread);
}

impl Judged {
    /// The models, in the order of the chances.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is a chance of every model.
    pub fn has_chances(&self) -> bool {
        self.rows.iter().all(|said| said.chances.len() == self.names.len())
    }

    /// Per row judged: its place and the chances of the models.
    pub fn chances(&self) -> impl Iterator<Item = (usize, Vec<f32>)> + '_ {
        self.rows.iter().map(|said| (said.row, said.chances.clone()))
    }

    /// The rows as trials of the first model against the second, with their places.
    pub fn pair_trials(&self, rows: &[Outcome]) -> Vec<(usize, pair::Trial)> {
        let [strong, weak] = &self.names[..] else { return Vec::new() };
        let trial = |said: &Said| {
            let row = &rows[said.row];
            let (strong, weak) = (row.models[strong], row.models[weak]);
            (said.row, pair::Trial { score: said.wish, strong, weak, chars: row.prompt.chars().count() })
        };
        self.rows.iter().map(trial).collect()
    }

    /// The rows as samples of a promise: the wish is the chance that the first answers well and the second does
    /// not, were both independent.
    pub fn samples(&self, model: &RouterModel, rows: &[Outcome]) -> Vec<Sample> {
        let [strong, weak] = &self.names[..] else { return Vec::new() };
        let mut scratch = Scratch::default();
        let sample = |said: &Said| {
            let (models, chances) = (&rows[said.row].models, &said.chances);
            Sample {
                domain: model.score(&rows[said.row].prompt, &mut scratch).top().0,
                wish: wish(chances[0], chances[1]),
                needs_large: models[strong] >= 0.5 && models[weak] < 0.5,
            }
        };
        self.rows.iter().map(sample).collect()
    }
}
