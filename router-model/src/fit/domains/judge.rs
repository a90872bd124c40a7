//! What lessons do for requests that were not learned from.

use super::lesson::{Kinds, Lesson};
use super::seen::Seen;
use super::{LEAST_LABELS, OwnDomain, Step};
use crate::random::Random;

fn top(chances: &[f64]) -> usize {
    (1..chances.len()).fold(0, |best, at| if chances[at] > chances[best] { at } else { best })
}

/// Accuracy and mean log loss among the trained domains on the requests of these, each by the lesson for it.
pub(super) fn judge<'l>(own: &[&Seen], trained: usize, lesson: impl Fn(&Seen) -> &'l Lesson) -> [f64; 2] {
    let (mut right, mut loss, mut count) = (0.0, 0.0, 0.0_f64);
    for seen in own.iter().filter(|seen| seen.label < trained) {
        let chances = lesson(seen).chances_of_trained(seen);
        right += f64::from(u8::from(top(&chances) == seen.label));
        loss -= chances[seen.label].max(1e-12).ln();
        count += 1.0;
    }
    [right / count.max(1.0), loss / count.max(1.0)]
}

/// Draws for each step of the curve.
const DRAWS: u64 = 8;
/// Requests that must be left to judge by.
const LEFT: usize = 25;
/// The most labels of a step: beyond, the curve costs more than it tells.
const MOST: usize = 1600;

/// Accuracy on the rest after 25, 50, 100 and so on of the labels of trained domains.
pub(super) fn curve(own: &[&Seen], kinds: Kinds, strength: f64) -> Vec<Step> {
    let own: Vec<&Seen> = own.iter().copied().filter(|seen| seen.label < kinds.trained).collect();
    let sizes = (0..).map(|doubling| LEAST_LABELS << doubling);
    let sizes = sizes.take_while(|&labels| labels <= MOST && labels + LEFT <= own.len());
    sizes.map(|labels| step(&own, kinds, labels, strength)).collect()
}

fn step(own: &[&Seen], kinds: Kinds, labels: usize, strength: f64) -> Step {
    let (mut before, mut after) = (0.0, 0.0);
    let nothing = Lesson::none(kinds);
    let judged = (own.len() - labels) * DRAWS as usize;
    for draw in 0..DRAWS {
        let mut random = Random::new(draw + 1);
        let mut order: Vec<&Seen> = own.to_vec();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        let (learned, rest) = order.split_at(labels);
        let lesson = Lesson::learn(learned, &[], kinds, strength);
        before += judge(rest, kinds.trained, |_| &nothing)[0] * rest.len() as f64;
        after += judge(rest, kinds.trained, |_| &lesson)[0] * rest.len() as f64;
    }
    Step { labels, judged, before: before / judged as f64, after: after / judged as f64 }
}

/// How each own domain that has examples is told from the others, by lessons without the request's fold.
pub(super) fn told_apart(
    own: &[Seen],
    carried: &[Seen],
    by_fold: &[Lesson],
    names: &[String],
    kinds: Kinds,
) -> Vec<OwnDomain> {
    let nothing = Lesson::none(kinds);
    let blank = |(place, name): (usize, &String)| OwnDomain {
        name: name.clone(),
        is_new: place >= kinds.taught,
        ..OwnDomain::default()
    };
    let mut found: Vec<OwnDomain> = names.iter().enumerate().map(blank).collect();
    if names.is_empty() {
        return found;
    }
    for seen in own.iter().chain(carried) {
        let before = top(&nothing.chances(seen));
        let after = top(&by_fold[seen.fold].chances(seen));
        for (place, domain) in found.iter_mut().enumerate() {
            let label = kinds.trained + place;
            let (count, hits) = if seen.label == label {
                (&mut domain.examples, [&mut domain.found_before, &mut domain.found])
            } else {
                (&mut domain.others, [&mut domain.mistaken_before, &mut domain.mistaken])
            };
            *count += 1;
            for (hits, named) in hits.into_iter().zip([before, after]) {
                *hits += usize::from(named == label);
            }
        }
    }
    found.retain(|domain| domain.examples > 0);
    found
}
