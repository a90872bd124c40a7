//! From a trained network to a model: bytes for the tables, the set of what was seen, the temperature, the unit of
//! «none of the domains», the ranks of novelty and the card.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Result;

use super::strangers::Strangers;
use super::{Progress, Recipe, Rows, TrainError, Trainer, none};
use crate::card::{Card, DevFigures, Source};
use crate::data::Row;
use crate::encode::FEATURE_VERSION;
use crate::eval;
use crate::fit::known;
use crate::heads::Heads;
use crate::length::Length;
use crate::outcomes::Outcome;
use crate::scores::softmax;
use crate::surface::SURFACE;
use crate::text::cut;
use crate::traffic::Traffic;
use crate::weights::{Shape, Weights};
use crate::{RouterModel, Scratch, ood, slices};

/// Ranks of novelty that a card keeps: every half per cent.
const RANKS: usize = 201;

/// The model of the network as it stands, without heads; calibrated on strangers where there are any, else on the dev
/// rows.
pub(super) fn network(
    recipe: &Recipe,
    trainer: &Trainer<'_>,
    labels: &[String],
    rows: Rows<'_>,
    strangers: Option<&Strangers>,
) -> Result<RouterModel> {
    let mut model = bare(recipe, trainer, labels, rows)?;
    model.card.temperature =
        strangers.map_or_else(|| temperature(&samples(&model, rows.dev)), |found| found.temperature);
    match strangers {
        Some(found) => (model.weights.none, model.weights.none_bias) = found.none.clone(),
        None => none::learn(&mut model, rows, recipe.seed),
    }
    let novelties = || novelties(&model, rows.dev).collect();
    model.card.novelty = ranks(strangers.map_or_else(novelties, |found| found.novelties.clone()));
    model.card.strangers = strangers.map(|found| found.figures);
    model.traffic = strangers.map(|found| found.traffic.clone()).unwrap_or_default();
    model.card.traffic = model.traffic.requests().len();
    Ok(judged(model, rows.dev))
}

/// The same before any calibration.
pub(super) fn bare(
    recipe: &Recipe,
    trainer: &Trainer<'_>,
    labels: &[String],
    rows: Rows<'_>,
) -> Result<RouterModel> {
    Ok(RouterModel {
        card: card(recipe, labels.to_vec(), rows),
        weights: weights(recipe, trainer)?,
        heads: Heads::default(),
        answers: Vec::new(),
        length: Length::default(),
        traffic: Traffic::default(),
    })
}

/// The same with its name and its figures on the tuning rows in its card.
fn judged(mut model: RouterModel, dev: &[Row]) -> RouterModel {
    model.card.version = model.fingerprint();
    let report = eval::evaluate(&model, dev);
    model.card.dev =
        DevFigures { rows: report.n, accuracy: report.accuracy, macro_f1: report.macro_f1, ece: report.ece };
    model
}

/// The split of graded answers that heads do not learn from, so that promises can be made from them.
const HELD_OUT: &str = "dev";

/// The network with a head for each model in `outcomes`, as it will be read back.
pub(super) fn finish(
    mut model: RouterModel,
    dev: &[Row],
    outcomes: &[Outcome],
    progress: &mut dyn FnMut(Progress),
) -> std::result::Result<RouterModel, TrainError> {
    let (held, learned): (Vec<Outcome>, Vec<Outcome>) =
        outcomes.iter().cloned().partition(|outcome| outcome.split == HELD_OUT);
    let known = known(&model, &learned, &held, &mut |done, of| progress(Progress::Heads { done, of }));
    (model.weights.difficulty, model.card.difficulty_offset) = known.difficulty;
    (model.heads, model.card.known) = (known.heads, known.known);
    if let Some(learned) = known.length {
        (model.length, model.card.length) = (learned.length, Some(learned.card));
    }
    known.answers.into_iter().for_each(|set| model.carry(set));
    let model = judged(model, dev);
    // Read back what will be written: a model that cannot be loaded must not leave here.
    let bytes = model.to_bytes().map_err(TrainError::Write)?;
    RouterModel::from_bytes(&bytes).map_err(TrainError::Write)
}

fn weights(recipe: &Recipe, trainer: &Trainer<'_>) -> Result<Weights> {
    let (tables, scales) = trainer.tables.quantize();
    let (words, word_scales) = trainer.words.quantize();
    let numbers = |index: usize| trainer.vars[index].as_tensor().flatten_all()?.to_vec1::<f32>();
    Ok(Weights {
        tables,
        scales,
        lexicon: trainer.words.lexicon.clone(),
        words,
        word_scales,
        trunk: numbers(0)?,
        trunk_bias: numbers(1)?,
        head: numbers(2)?,
        head_bias: numbers(3)?,
        none: vec![0.0; recipe.shape.hidden + ood::STRANGENESS + SURFACE],
        none_bias: 0.0,
        difficulty: vec![0.0; SURFACE],
        seen: trainer.seen.clone(),
    })
}

fn card(recipe: &Recipe, labels: Vec<String>, rows: Rows<'_>) -> Card {
    Card {
        version: String::new(),
        labels,
        features: FEATURE_VERSION,
        hash_seed: recipe.hash_seed,
        shape: Shape { words: recipe.words.keys.len(), ..recipe.shape.clone() },
        temperature: 1.0,
        novelty: Vec::new(),
        own_novelty: Vec::new(),
        difficulty_offset: 0.0,
        known: Vec::new(),
        answers: Vec::new(),
        traffic: 0,
        length: None,
        dev: DevFigures::default(),
        strangers: None,
        trained: None,
        taught: Vec::new(),
        files: recipe.files.clone(),
        sources: sources(rows),
        command: recipe.command.clone(),
        date: recipe.date.clone(),
        epochs: recipe.epochs,
        seed: recipe.seed,
    }
}

fn sources(rows: Rows<'_>) -> Vec<Source> {
    let mut sources = BTreeMap::<&str, (BTreeSet<&str>, usize)>::new();
    for row in rows.learned() {
        let name = row.source.split('/').next().unwrap_or_default();
        let (licenses, count) = sources.entry(name).or_default();
        licenses.extend(row.license.as_deref());
        *count += 1;
    }
    let source = |(name, (licenses, rows)): (&str, (BTreeSet<&str>, usize))| Source {
        name: name.into(),
        licenses: licenses.into_iter().map(Into::into).collect(),
        rows,
    };
    sources.into_iter().map(source).collect()
}

/// The logits of rows whose domain the model knows, and the place of that domain.
pub(super) fn samples<'a>(
    model: &RouterModel,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Vec<(Vec<f32>, usize)> {
    let mut scratch = Scratch::default();
    let mut sample = |row: &Row| {
        let label = model.card.labels.iter().position(|label| Some(label) == row.domain.as_ref())?;
        let Scratch { encoding, buffers, .. } = &mut scratch;
        let _whole = encoding.read(cut(&row.prompt), &model.weights.lexicon, &mut || false);
        encoding.keep(&model.weights.seen);
        slices::forward(&model.weights, encoding, buffers);
        Some((buffers.logits.clone(), label))
    };
    rows.into_iter().filter_map(&mut sample).collect()
}

/// The novelty of each row.
pub(super) fn novelties<'a>(
    model: &'a RouterModel,
    rows: impl IntoIterator<Item = &'a Row>,
) -> impl Iterator<Item = f32> {
    let mut scratch = Scratch::default();
    rows.into_iter().map(move |row| {
        let scores = model.score(&row.prompt, &mut scratch);
        let strangeness = ood::strangeness(&scratch.encoding, scores.domains());
        ood::novelty(&scratch.encoding, &strangeness, scores.none())
    })
}

/// Novelties at evenly spaced ranks.
pub(super) fn ranks(mut novelties: Vec<f32>) -> Vec<f32> {
    novelties.retain(|novelty| novelty.is_finite());
    novelties.sort_by(f32::total_cmp);
    let Some(last) = novelties.len().checked_sub(1) else { return Vec::new() };
    (0..RANKS).map(|rank| novelties[rank * last / (RANKS - 1)]).collect()
}

/// The temperature of the lowest mean log loss, by golden section between 1/4 and 4; 1 without samples.
pub(super) fn temperature(samples: &[(Vec<f32>, usize)]) -> f32 {
    if samples.is_empty() {
        return 1.0;
    }
    let loss = |log_temperature: f32| -> f64 {
        let loss = |(logits, label): &(Vec<f32>, usize)| {
            let mut chances = logits.clone();
            softmax(&mut chances, log_temperature.exp());
            -f64::from(chances[*label].max(1e-12)).ln()
        };
        samples.iter().map(loss).sum()
    };
    const GOLDEN: f32 = 0.618_034;
    let (mut low, mut high) = (-4_f32.ln(), 4_f32.ln());
    for _ in 0..30 {
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        if loss(left) <= loss(right) { high = right } else { low = left }
    }
    ((low + high) / 2.0).exp()
}
