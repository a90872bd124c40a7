//! What lessons do for requests that were not learned from.

use super::lesson::{Lesson, learn_known};
use super::seen::Seen;
use super::{LEAST_LABELS, NewDomain, Step};
use crate::fit::logistic::Change;
use crate::random::Random;

fn top(chances: &[f64]) -> usize {
    (1..chances.len()).fold(0, |best, at| if chances[at] > chances[best] { at } else { best })
}

/// Accuracy and mean log loss on the requests of known domains, each by the lesson without its fold, or before any.
pub(super) fn judge(own: &[&Seen], lessons: Option<&[Lesson]>, known: usize) -> [f64; 2] {
    let nothing = Lesson { known: vec![Change::none(0); known], new: Vec::new() };
    let (mut right, mut loss, mut count) = (0.0, 0.0, 0.0_f64);
    for seen in own.iter().filter(|seen| seen.label < known) {
        let chances = lessons.map_or(&nothing, |lessons| &lessons[seen.fold]).chances(seen);
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

/// Accuracy on the rest after 25, 50, 100 and so on of the labels of known domains.
pub(super) fn curve(own: &[&Seen], known: usize) -> Vec<Step> {
    let own: Vec<&Seen> = own.iter().copied().filter(|seen| seen.label < known).collect();
    let sizes = (0..).map(|doubling| LEAST_LABELS << doubling);
    sizes
        .take_while(|&labels| labels <= MOST && labels + LEFT <= own.len())
        .map(|labels| step(&own, known, labels))
        .collect()
}

fn step(own: &[&Seen], known: usize, labels: usize) -> Step {
    let (mut before, mut after, mut judged) = (0.0, 0.0, 0);
    for draw in 0..DRAWS {
        let mut random = Random::new(draw + 1);
        let mut order: Vec<&Seen> = own.to_vec();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        let (learned, rest) = order.split_at(labels);
        let lesson = Lesson { known: learn_known(learned, known), new: Vec::new() };
        let count = rest.len();
        before += judge(rest, None, known)[0] * count as f64;
        let right = rest.iter().filter(|seen| top(&lesson.chances(seen)) == seen.label).count();
        after += right as f64;
        judged += count;
    }
    Step { labels, judged, before: before / judged as f64, after: after / judged as f64 }
}

/// How each new domain is found, by lessons without the request's fold.
pub(super) fn told_apart(
    own: &[Seen],
    carried: &[Seen],
    by_fold: &[Lesson],
    new: &[String],
    known: usize,
) -> Vec<NewDomain> {
    let mut found: Vec<NewDomain> = new
        .iter()
        .map(|name| NewDomain { name: name.clone(), examples: 0, found: 0, others: 0, mistaken: 0 })
        .collect();
    if new.is_empty() {
        return found;
    }
    for seen in own.iter().chain(carried) {
        let named = top(&by_fold[seen.fold].chances(seen));
        for (place, domain) in found.iter_mut().enumerate() {
            let (count, hits) = if seen.label == known + place {
                (&mut domain.examples, &mut domain.found)
            } else {
                (&mut domain.others, &mut domain.mistaken)
            };
            *count += 1;
            *hits += usize::from(named == known + place);
        }
    }
    found
}
