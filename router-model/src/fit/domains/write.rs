//! Puts a lesson into a model.

use super::lesson::{Kinds, Lesson};
use super::seen::{Reader, Seen};
use crate::answers::Graded;
use crate::card::Trained;
use crate::data::Row;
use crate::encode::KINDS;
use crate::scores::Scores;
use crate::traffic::Request;
use crate::weights::{DIM, INPUT, Weights};
use crate::{RouterModel, Scratch, ood};
use std::collections::BTreeSet;

/// Hidden units that the forward pass takes at a time.
const BLOCK: usize = 32;

/// Puts a lesson into the network: the head moves, and a domain of the user's own has two hidden units behind those that
/// were trained, one the other's mirror, whose difference is its line exactly, as gelu(x) − gelu(−x) = x.
pub(super) fn write(
    model: &mut RouterModel,
    lesson: &Lesson,
    reader: &Reader<'_>,
    kinds: Kinds,
    names: &[String],
) {
    let trained = Trained { domains: kinds.trained, units: reader.means.len() };
    let own = kinds.taught + kinds.new;
    let units = if own == 0 { trained.units } else { (trained.units + 2 * own).next_multiple_of(BLOCK) };
    widen(&mut model.weights, model.card.labels.len(), units, kinds.trained + own);
    let columns = kinds.trained + own;
    let temperature = f64::from(model.card.temperature);
    let Weights { trunk, head, head_bias, .. } = &mut model.weights;
    for (column, change) in lesson.trained.iter().enumerate() {
        let mut constant = change.bias;
        for (unit, weight) in change.weights.iter().enumerate() {
            let slope = weight / f64::from(reader.spreads[unit]);
            constant -= slope * f64::from(reader.means[unit]);
            head[unit * columns + column] += (temperature * slope) as f32;
        }
        head_bias[column] += (temperature * constant) as f32;
    }
    let mean = |of: &[f32]| of[..kinds.trained].iter().sum::<f32>() / kinds.trained as f32;
    for (place, change) in lesson.own.iter().enumerate() {
        let (column, up) = (kinds.trained + place, trained.units + 2 * place);
        if place >= kinds.taught {
            for unit in 0..trained.units {
                head[unit * columns + column] = mean(&head[unit * columns..]);
            }
            head_bias[column] = mean(head_bias);
            (head[up * columns + column], head[(up + 1) * columns + column]) = (1.0, -1.0);
        }
        head_bias[column] += (temperature * change.bias) as f32;
        for (row, weight) in change.weights.iter().enumerate() {
            let weight = (temperature * weight) as f32;
            trunk[(KINDS * DIM + row) * units + up] += weight;
            trunk[(KINDS * DIM + row) * units + up + 1] -= weight;
        }
    }
    model.card.trained = (own > 0).then_some(trained);
    model.card.shape.hidden = units;
    model.card.labels.extend_from_slice(names);
}

/// Makes room for hidden units and domains behind those that there are.
fn widen(weights: &mut Weights, domains: usize, units: usize, columns: usize) {
    let old = weights.trunk_bias.len();
    weights.trunk = wider(&weights.trunk, old, units);
    debug_assert_eq!(weights.trunk.len(), INPUT * units);
    weights.trunk_bias.resize(units, 0.0);
    weights.head = wider(&weights.head, domains, columns);
    weights.head.resize(units * columns, 0.0);
    weights.head_bias.resize(columns, 0.0);
    // the unit of «none of the domains» reads the hidden layer first
    let none = weights.none.split_off(old);
    weights.none.resize(units, 0.0);
    weights.none.extend(none);
}

/// `(rows, old)` → `(rows, new)`, zeros behind each row.
fn wider(table: &[f32], old: usize, new: usize) -> Vec<f32> {
    let zeros = || std::iter::repeat_n(0.0, new - old);
    table.chunks_exact(old).flat_map(|row| row.iter().copied().chain(zeros())).collect()
}

/// What is carried is told anew: what strangers' networks said of it moves as the head does.
pub(super) fn retell(
    model: &mut RouterModel,
    carried: &[Seen],
    whole: &Lesson,
    by_fold: &[Lesson],
    kinds: Kinds,
) {
    let Kinds { trained, taught, .. } = kinds;
    for (request, seen) in model.traffic.requests.iter_mut().zip(carried) {
        let said = request.seen.scores(trained + taught);
        let logits = said.domains().iter().map(|&chance| f64::from(chance.max(1e-4)).ln()).collect();
        let stranger = Seen { logits, ..seen.clone() };
        let own = &by_fold[seen.fold].chances(seen)[trained..];
        let left = 1.0 - own.iter().sum::<f64>();
        let told = whole.chances_of_trained(&stranger).into_iter().map(|chance| chance * left);
        let told: Vec<f32> = told.chain(own.iter().copied()).map(|chance| chance as f32).collect();
        request.seen = Graded::of(&Scores::new(&told, said.ood()));
    }
}

/// Examples of each own domain that a model carries at most.
const MOST: usize = 200;
/// The longest text that is carried, bytes.
const LONGEST: usize = 500;

/// Examples of own domains go with what is carried, with what was said of each by lessons without it: later lessons and
/// `check` know of them. How novel they are tells what is strange of such a domain.
pub(super) fn carry(model: &mut RouterModel, rows: &[Row], own: &[Seen], by_fold: &[Lesson], kinds: Kinds) {
    let mut scratch = Scratch::default();
    let known: BTreeSet<String> = model.traffic.requests.iter().map(|request| request.text.clone()).collect();
    let is_known = |row: &&Row| row.domain.as_ref().is_some_and(|name| model.card.labels.contains(name));
    let labelled = rows.iter().filter(is_known).zip(own);
    let (mut examples, mut novelties) = (Vec::new(), vec![Vec::new(); kinds.taught + kinds.new]);
    for (row, seen) in labelled.filter(|(_, seen)| seen.label >= kinds.trained) {
        let chances = by_fold[seen.fold].chances(seen);
        let chances: Vec<f32> = chances.into_iter().map(|chance| chance as f32).collect();
        novelties[seen.label - kinds.trained].push(novelty(model, &row.prompt, &chances, &mut scratch));
        if row.prompt.len() <= LONGEST && !known.contains(&row.prompt) {
            examples.push((&row.prompt, seen.label, chances));
        }
    }
    model.card.own_novelty.resize(novelties.len(), Vec::new());
    for (ranks, mut more) in model.card.own_novelty.iter_mut().zip(novelties) {
        more.retain(|novelty| novelty.is_finite());
        ranks.extend(more);
        ranks.sort_by(f32::total_cmp);
        while ranks.len() > MOST {
            let every_other = ranks.iter().copied().step_by(2).collect();
            *ranks = every_other;
        }
    }
    let mut counts = vec![0; model.card.labels.len()];
    model.traffic.requests.iter().for_each(|request| counts[request.label] += 1);
    for (text, label, chances) in examples {
        counts[label] += 1;
        if counts[label] <= MOST {
            let ood = model.score(text, &mut scratch).ood();
            let seen = Graded::of(&Scores::new(&chances, ood));
            model.traffic.requests.push(Request { text: text.clone(), label, seen });
        }
    }
    model.card.traffic = model.traffic.requests.len();
}

/// How novel a text is of which these chances were said.
fn novelty(model: &RouterModel, text: &str, chances: &[f32], scratch: &mut Scratch) -> f32 {
    let _scores = model.score(text, scratch);
    let strangeness = ood::strangeness(&scratch.encoding, chances);
    let none = ood::none(&model.weights, &scratch.buffers.hidden, &strangeness, &scratch.encoding.surface);
    ood::novelty(&scratch.encoding, &strangeness, none)
}
