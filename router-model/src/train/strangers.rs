//! How a network does on requests of writers that it never read.
//!
//! Writers have habits, and a network learns them: what it says of more requests by the same hands is surer than what it
//! says of the next user's. So the writers are dealt into parts, a network is trained without each part, and the pooled
//! answers say how sure the network that learned from all of them may be of a stranger, and what is novel.

use std::collections::BTreeMap;

use super::{Progress, Recipe, Rows, TrainError, Trainer, examples, finish, none, seen};
use crate::answers::Graded;
use crate::card::StrangerFigures;
use crate::data::Row;
use crate::encode::fnv;
use crate::eval::calibration;
use crate::scores::softmax;
use crate::traffic::{Request, Traffic};
use crate::{RouterModel, Scratch};

/// Requests that a model carries at most; see [`Traffic`].
const MOST: usize = 1500;

/// The longest text that is carried, bytes.
const LONGEST: usize = 500;

/// What is known of strangers' requests.
pub(super) struct Strangers {
    /// Networks that were trained to know it.
    pub(super) networks: usize,
    /// The temperature that fits them.
    pub(super) temperature: f32,
    /// How novel each is that is about something.
    pub(super) novelties: Vec<f32>,
    /// The unit of «none of the domains», weights and bias.
    pub(super) none: (Vec<f32>, f32),
    /// What was said of those that are no part of a conversation.
    pub(super) traffic: Traffic,
    pub(super) figures: StrangerFigures,
}

/// Trains without each part of the writers; `None` where there are fewer than two.
pub(super) fn judge(
    recipe: &Recipe,
    rows: Rows<'_>,
    labels: &[String],
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Strangers>, TrainError> {
    let parts = deal(rows.requests, recipe.folds);
    if parts.len() < 2 {
        return Ok(None);
    }
    let mut held = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let is_held = |row: &&Row| part.contains(&row.source.as_str());
        let (out, kept): (Vec<&Row>, Vec<&Row>) = rows.requests.iter().partition(is_held);
        let kept: Vec<Row> = kept.into_iter().cloned().collect();
        let inner = Rows { requests: &kept, ..rows };
        let mut trainer = Trainer::new(recipe, labels.len(), seen(recipe, inner.learned()))?;
        let mut step = |step: Progress| progress(step.of_network(number + 1, parts.len() + 1));
        trainer.run(&examples(recipe, inner, labels), &mut step, &mut |_, _| Ok(()))?;
        held.push(Held { model: finish::bare(recipe, &trainer, labels, inner)?, out });
    }
    let known = |row: &&&Row| row.domain.as_ref().is_some_and(|domain| labels.contains(domain));
    let asked: Vec<&Row> = held.iter().flat_map(|held| held.out.iter().filter(known)).copied().collect();
    let of = |held: &Held<'_>| finish::samples(&held.model, held.out.iter().copied());
    let samples: Vec<_> = held.iter().flat_map(of).collect();
    let temperature = finish::temperature(&samples);
    held.iter_mut().for_each(|held| held.model.card.temperature = temperature);
    // judged by a unit that has seen none of the requests about nothing, served by one that has
    let unit = none::of_strangers(&held, false, recipe.seed);
    let (familiar, nothing) = novelties(&mut held, &unit);
    let mut figures = figures(labels, &samples, &asked, temperature);
    figures.writers = parts.iter().map(Vec::len).sum();
    figures.none = nothing.len();
    figures.none_auroc = above(&nothing, &familiar);
    let none = none::of_strangers(&held, true, recipe.seed);
    let (novelties, _) = novelties(&mut held, &none);
    let traffic = traffic(&mut held, labels, &finish::ranks(novelties.clone()));
    Ok(Some(Strangers { networks: parts.len(), temperature, novelties, none, traffic, figures }))
}

/// What the networks say of short requests that stand by themselves, drawn by their hashes.
fn traffic(held: &mut [Held<'_>], labels: &[String], novelty: &[f32]) -> Traffic {
    let mut requests = Vec::new();
    let mut scratch = Scratch::default();
    for Held { model, out } in held {
        model.card.novelty = novelty.to_vec();
        for row in out.iter().filter(|row| row.messages.is_none() && row.prompt.len() <= LONGEST) {
            let Some(label) = labels.iter().position(|label| Some(label) == row.domain.as_ref()) else {
                continue;
            };
            let seen = Graded::of(&model.score(&row.prompt, &mut scratch));
            requests.push(Request { text: row.prompt.clone(), label, seen });
        }
    }
    requests.sort_by_cached_key(|request| (fnv(request.text.bytes()), request.label));
    requests.truncate(MOST);
    Traffic { requests }
}

/// A network and the requests that it never read.
pub(super) struct Held<'a> {
    pub(super) model: RouterModel,
    pub(super) out: Vec<&'a Row>,
}

/// How novel the requests are with this unit: those about something, those about nothing.
fn novelties(held: &mut [Held<'_>], (weights, bias): &(Vec<f32>, f32)) -> (Vec<f32>, Vec<f32>) {
    let (mut something, mut nothing) = (Vec::new(), Vec::new());
    for Held { model, out } in held {
        (model.weights.none, model.weights.none_bias) = (weights.clone(), *bias);
        for (row, novelty) in out.iter().zip(finish::novelties(model, out.iter().copied())) {
            if row.is_none() { nothing.push(novelty) } else { something.push(novelty) }
        }
    }
    (something, nothing)
}

/// The writers in at most `folds` parts of about as many requests each.
fn deal(requests: &[Row], folds: usize) -> Vec<Vec<&str>> {
    let mut sizes = BTreeMap::<&str, usize>::new();
    for row in requests {
        *sizes.entry(&row.source).or_default() += 1;
    }
    let mut writers: Vec<(&str, usize)> = sizes.into_iter().collect();
    writers.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
    let mut parts = vec![(0, Vec::new()); folds.min(writers.len())];
    for (writer, size) in writers {
        if let Some((total, part)) = parts.iter_mut().min_by_key(|(total, _)| *total) {
            *total += size;
            part.push(writer);
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

fn figures(
    labels: &[String],
    samples: &[(Vec<f32>, usize)],
    rows: &[&Row],
    temperature: f32,
) -> StrangerFigures {
    let mut verdicts = Vec::new();
    let (mut strict, mut lenient) = (0, 0);
    for ((logits, label), row) in samples.iter().zip(rows) {
        let mut chances = logits.clone();
        softmax(&mut chances, temperature);
        let top = (0..chances.len()).max_by(|&a, &b| chances[a].total_cmp(&chances[b])).unwrap_or_default();
        let right = top == *label;
        strict += usize::from(right);
        lenient += usize::from(right || row.also.contains(&labels[top]));
        verdicts.push((chances[top], f32::from(u8::from(right))));
    }
    let share = |count: usize| count as f32 / samples.len().max(1) as f32;
    StrangerFigures {
        rows: samples.len(),
        accuracy: share(strict),
        lenient: share(lenient),
        ece: calibration::judge(verdicts.into_iter()).ece as f32,
        ..StrangerFigures::default()
    }
}

/// Chance that one of `high` is above one of `low`.
fn above(high: &[f32], low: &[f32]) -> f32 {
    let mut low = low.to_vec();
    low.sort_by(f32::total_cmp);
    let under = |x: &f32| low.partition_point(|y| y < x) as f32 / low.len().max(1) as f32;
    high.iter().map(under).sum::<f32>() / high.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_dealt_whole_into_parts_of_about_as_many_requests() {
        let row = |writer: &str| Row { source: writer.into(), ..Row::default() };
        let rows: Vec<Row> = ["a", "a", "a", "b", "b", "c", "c", "d"].map(row).into();
        assert_eq!(deal(&rows, 2), [vec!["a", "d"], vec!["b", "c"]]);
        assert_eq!(deal(&rows, 9).len(), 4);
        assert!(deal(&[], 4).is_empty());
    }

    #[test]
    fn an_area_is_the_share_of_pairs() {
        assert_eq!(above(&[3.0, 0.0], &[1.0, 2.0]), 0.5);
        assert_eq!(above(&[], &[]), 0.0);
    }
}
