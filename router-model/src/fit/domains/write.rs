//! Puts a lesson into a model.

use super::lesson::Lesson;
use super::seen::{Reader, Seen};
use crate::RouterModel;
use crate::answers::Graded;
use crate::encode::KINDS;
use crate::scores::Scores;
use crate::weights::{DIM, INPUT};

/// Hidden units that the forward pass takes at a time.
const BLOCK: usize = 32;

/// Puts a lesson into the network: the head moves, and a new domain gets two hidden units, one the other's mirror, whose
/// difference is its line exactly, as gelu(x) − gelu(−x) = x.
pub(super) fn write(model: &mut RouterModel, lesson: &Lesson, reader: &Reader<'_>, new: &[String]) {
    let (old, known) = (model.card.shape.hidden, model.card.labels.len());
    let units = if new.is_empty() { old } else { (old + 2 * new.len()).next_multiple_of(BLOCK) };
    let domains = known + new.len();
    let temperature = f64::from(model.card.temperature);
    let weights = &mut model.weights;
    let mut head = vec![0.0_f32; units * domains];
    let mut bias = vec![0.0_f32; domains];
    for domain in 0..known {
        let change = &lesson.known[domain];
        let mut constant = change.bias;
        for unit in 0..old {
            let slope = change.weights.get(unit).map_or(0.0, |w| w / f64::from(reader.spreads[unit]));
            constant -= slope * f64::from(reader.means[unit]);
            head[unit * domains + domain] =
                weights.head[unit * known + domain] + (temperature * slope) as f32;
        }
        bias[domain] = weights.head_bias[domain] + (temperature * constant) as f32;
    }
    let mean = |of: &[f32]| of.iter().sum::<f32>() / known as f32;
    let mut trunk = vec![0.0_f32; INPUT * units];
    for row in 0..INPUT {
        trunk[row * units..][..old].copy_from_slice(&weights.trunk[row * old..][..old]);
    }
    for (place, change) in lesson.new.iter().enumerate() {
        let (column, up) = (known + place, old + 2 * place);
        for unit in 0..old {
            head[unit * domains + column] = mean(&head[unit * domains..][..known]);
        }
        bias[column] = mean(&bias[..known]) + (temperature * change.bias) as f32;
        for (row, weight) in change.weights.iter().enumerate() {
            let weight = (temperature * weight) as f32;
            trunk[(KINDS * DIM + row) * units + up] = weight;
            trunk[(KINDS * DIM + row) * units + up + 1] = -weight;
        }
        (head[up * domains + column], head[(up + 1) * domains + column]) = (1.0, -1.0);
    }
    // the unit of «none of the domains» reads the hidden layer first
    let none = weights.none.split_off(old);
    weights.none.resize(units, 0.0);
    weights.none.extend(none);
    weights.trunk_bias.resize(units, 0.0);
    (weights.trunk, weights.head, weights.head_bias) = (trunk, head, bias);
    model.card.shape.hidden = units;
    model.card.labels.extend_from_slice(new);
}

/// What is carried is told anew: what strangers' networks said of it moves as the head does. Of graded answers there is no
/// text, so none of them is of a new domain.
pub(super) fn retell(model: &mut RouterModel, carried: &[Seen], whole: &Lesson, by_fold: &[Lesson]) {
    let known = whole.known.len();
    for (request, seen) in model.traffic.requests.iter_mut().zip(carried) {
        let said = request.seen.scores(known);
        let logits = said.domains().iter().map(|&chance| f64::from(chance.max(1e-4)).ln()).collect();
        let stranger = Seen {
            logits,
            hidden: seen.hidden.clone(),
            direction: Vec::new(),
            label: seen.label,
            fold: seen.fold,
        };
        let told = Lesson { known: whole.known.clone(), new: Vec::new() }.chances(&stranger);
        let apart = by_fold[seen.fold].chances(seen);
        let left: f64 = apart[..known].iter().sum();
        let told = told.iter().map(|chance| chance * left).chain(apart[known..].iter().copied());
        let told: Vec<f32> = told.map(|chance| chance as f32).collect();
        request.seen = Graded::of(&Scores::new(&told, said.ood()));
    }
}
