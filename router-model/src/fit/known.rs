//! What is known of models from graded answers: a head each, a catalogue of quality per domain, and what makes
//! a prompt hard for all of them.

use std::collections::BTreeMap;

use super::answers::{Asked, Material};
use super::{Design, Fitted, correlation, length, spread};
use crate::RouterModel;
use crate::answers::AnswerSet;
use crate::card::{DomainQuality, Known};
use crate::eval::calibration;
use crate::heads::Heads;
use crate::outcomes::Outcome;
use crate::surface::{STEM_WORDS, SURFACE};

/// Graded answers that a model needs for a head of its own.
pub const HEAD_ROWS: usize = 200;
/// Graded answers that a domain needs to stand in the catalogue.
const DOMAIN_ROWS: usize = 20;
/// Imagined answers at the model's overall mean that each domain's mean is drawn towards.
const SHRINKAGE: f64 = 10.0;

/// Graded prompts of one source that a model carries at most.
const CARRIED: usize = 2000;

/// What graded answers teach of all models in them.
pub(crate) struct Knowledge {
    pub(crate) heads: Heads,
    pub(crate) known: Vec<Known>,
    /// Weights of difficulty, `(SURFACE)`, with their offset.
    pub(crate) difficulty: (Vec<f32>, f32),
    pub(crate) length: Option<length::Learned>,
    /// One per source.
    pub(crate) answers: Vec<AnswerSet>,
}

/// Learns from `outcomes`; of those `held` out is only promised.
pub(crate) fn known(
    model: &RouterModel,
    outcomes: &[Outcome],
    held: &[Outcome],
    progress: &mut dyn FnMut(usize, usize),
) -> Knowledge {
    let design = Design::new(model, outcomes.iter().map(|row| row.prompt.as_str()));
    let mut names = BTreeMap::<&str, usize>::new();
    for name in outcomes.iter().flat_map(|row| row.models.keys()) {
        *names.entry(name).or_default() += 1;
    }
    names.retain(|_, rows| *rows >= HEAD_ROWS);
    let length = length::learn(&design, outcomes);
    let (mut heads, mut known, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for (done, name) in names.keys().enumerate() {
        let (picks, targets) = graded(outcomes, name);
        let Fitted { head, unseen } = design.fit(name, &picks, &targets);
        let verbosity = length.as_ref().and_then(|length| length.verbosity.get(*name)).copied();
        known.push(Known { verbosity, ..entry(name, outcomes, &picks, &targets, &unseen) });
        heads.push(head);
        asked.push(Asked { name, picks, unseen });
        progress(done + 1, names.len());
    }
    let heads = Heads::pack(&heads);
    let material = Material::new(model, &heads, held.to_vec(), outcomes.to_vec(), asked);
    Knowledge {
        answers: material.sets(model, CARRIED),
        heads,
        known,
        difficulty: difficulty(&design, outcomes),
        length,
    }
}

/// The rows that have a score of a model, and the scores by row (0 where there is none).
pub fn graded(outcomes: &[Outcome], name: &str) -> (Vec<usize>, Vec<f32>) {
    let scores = outcomes.iter().map(|row| row.models.get(name).copied());
    let picks = scores.clone().enumerate().filter(|(_, score)| score.is_some()).map(|(row, _)| row).collect();
    (picks, scores.map(Option::unwrap_or_default).collect())
}

pub(super) fn entry(
    name: &str,
    outcomes: &[Outcome],
    picks: &[usize],
    targets: &[f32],
    unseen: &[f32],
) -> Known {
    let said = unseen.iter().copied().zip(picks.iter().map(|&pick| targets[pick]));
    let calibration = calibration::judge(said);
    let mut sources: Vec<&str> =
        picks.iter().filter_map(|&pick| outcomes[pick].source.split('/').next()).collect();
    sources.sort_unstable();
    sources.dedup();
    Known {
        name: name.to_owned(),
        rows: picks.len(),
        mean: picks.iter().map(|&pick| targets[pick]).sum::<f32>() / picks.len().max(1) as f32,
        ece: calibration.ece as f32,
        ece_floor: calibration.floor as f32,
        domains: qualities(outcomes, picks, targets),
        sources: sources.into_iter().map(str::to_owned).collect(),
        verbosity: None,
        learned: Vec::new(),
    }
}

/// Quality per domain: means drawn towards the overall mean, with 95 % intervals.
pub fn qualities(outcomes: &[Outcome], picks: &[usize], targets: &[f32]) -> Vec<DomainQuality> {
    let mut sums = BTreeMap::<&str, (f64, f64, f64)>::new();
    let mut all = (0.0, 0.0);
    for &pick in picks {
        let score = f64::from(targets[pick]);
        all = (all.0 + 1.0, all.1 + score);
        if let Some(domain) = &outcomes[pick].domain {
            let (count, sum, squares) = sums.entry(domain).or_default();
            (*count, *sum, *squares) = (*count + 1.0, *sum + score, *squares + score * score);
        }
    }
    let overall: f64 = all.1 / f64::max(all.0, 1.0);
    let quality = |(domain, (count, sum, squares)): (&str, (f64, f64, f64))| {
        let mean = (sum + SHRINKAGE * overall) / (count + SHRINKAGE);
        let variance = (squares / count - (sum / count).powi(2)).max(mean * (1.0 - mean) / count);
        let half = 1.96 * (variance / (count + SHRINKAGE)).sqrt();
        DomainQuality {
            domain: domain.to_owned(),
            rows: count as usize,
            quality: mean as f32,
            low: (mean - half).max(0.0) as f32,
            high: (mean + half).min(1.0) as f32,
        }
    };
    let enough = sums.into_iter().filter(|(_, (count, ..))| *count >= DOMAIN_ROWS as f64);
    enough.map(quality).collect()
}

impl Design {
    /// A surface figure of a row, with mean 0 and spread 1.
    fn figure(&self, row: usize, figure: usize) -> f32 {
        self.surface.rows[row * SURFACE + figure] * (SURFACE as f32).sqrt()
    }

    /// The mean of a raw surface figure.
    fn mean(&self, figure: usize) -> f32 {
        self.moments[figure].0
    }

    /// The weight of a raw surface figure that stands for `weight` of it with a spread of 1.
    fn unscale(&self, figure: usize, weight: f32) -> f32 {
        weight / (self.moments[figure].1 / (SURFACE as f32).sqrt())
    }
}

/// Rows that a source needs to say what is hard in it.
const SOURCE_ROWS: usize = 150;
/// Below this many standard errors from nothing a figure is taken for noise.
const STABLE: f64 = 1.5;

/// What makes a prompt hard, whatever the source: the mean over sources of how each surface figure goes along
/// with the share of models that fail, where its sign is stable; and, as much again, the words of the question.
/// Words and embeddings do better on the sources they were fitted on and no better than chance on others, so
/// only figures of the surface take part.
fn difficulty(design: &Design, outcomes: &[Outcome]) -> (Vec<f32>, f32) {
    let mut sources = BTreeMap::<&str, Vec<usize>>::new();
    for (row, outcome) in outcomes.iter().enumerate().filter(|(_, outcome)| !outcome.models.is_empty()) {
        sources.entry(&outcome.source).or_default().push(row);
    }
    let failing = |row: usize| {
        let scores = outcomes[row].models.values();
        1.0 - scores.clone().map(|score| f64::from(*score)).sum::<f64>() / scores.len() as f64
    };
    let sources = sources.values().filter(|rows| rows.len() >= SOURCE_ROWS);
    let along = |rows: &Vec<usize>| -> Vec<f64> {
        let failing: Vec<f64> = rows.iter().map(|&row| failing(row)).collect();
        let of = |figure| correlation(rows.iter().map(|&row| design.figure(row, figure)), &failing);
        (0..SURFACE).map(of).collect()
    };
    let per_source: Vec<Vec<f64>> = sources.map(along).collect();
    let stable = |figure: usize| {
        let values = per_source.iter().map(|source| source[figure]);
        let count = per_source.len().max(2) as f64;
        let mean = values.clone().sum::<f64>() / count;
        let error = (values.map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0) / count).sqrt();
        if mean.abs() > STABLE * error { mean as f32 } else { 0.0 }
    };
    let mut weights: Vec<f32> = (0..SURFACE).map(stable).collect();
    let said = |row: usize| (0..SURFACE).map(|figure| weights[figure] * design.figure(row, figure)).sum();
    let said: Vec<f32> = (0..design.len()).map(said).collect();
    let loud = spread(&said);
    weights.iter_mut().for_each(|weight| *weight /= loud);
    weights[STEM_WORDS] += 1.0;
    let said: Vec<f32> = (0..design.len())
        .map(|row| (0..SURFACE).map(|figure| weights[figure] * design.figure(row, figure)).sum())
        .collect();
    let spread = spread(&said);
    let raw = weights.iter().enumerate().map(|(figure, weight)| design.unscale(figure, *weight / spread));
    let raw: Vec<f32> = raw.collect();
    let offset = -(0..SURFACE).map(|figure| raw[figure] * design.mean(figure)).sum::<f32>();
    (raw, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(domain: &str, score: f32) -> Outcome {
        Outcome {
            domain: Some(domain.into()),
            models: BTreeMap::from([("m".into(), score)]),
            ..Outcome::default()
        }
    }

    #[test]
    fn qualities_are_means_drawn_towards_the_whole() {
        let rows: Vec<Outcome> = (0..60)
            .map(|n| if n < 40 { outcome("math", 1.0) } else { outcome("code", 0.0) })
            .chain([outcome("chat", 1.0)])
            .collect();
        let (picks, targets) = graded(&rows, "m");
        let found = qualities(&rows, &picks, &targets);
        assert_eq!(found.iter().map(|q| q.domain.as_str()).collect::<Vec<_>>(), ["code", "math"]);
        let overall = 41.0 / 61.0;
        assert!((found[0].quality - 10.0 * overall / 30.0).abs() < 1e-4, "{}", found[0].quality);
        assert!(found[0].low < found[0].quality && found[0].quality < found[0].high);
    }

    #[test]
    fn a_correlation_is_one_along_and_nothing_without_spread() {
        let y = [1.0, 2.0, 3.0];
        assert!((correlation([2.0, 4.0, 6.0].into_iter(), &y) - 1.0).abs() < 1e-9);
        assert_eq!(correlation([2.0, 2.0, 2.0].into_iter(), &y), 0.0);
    }
}
