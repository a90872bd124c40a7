//! «None of these»: a logistic unit beside the domains, on the hidden layer of the finished network and the figures
//! of strangeness.
//!
//! What it should know are texts unlike the rows, and there are few. So it learns from texts put together from two rows of
//! different domains: the beginning of one and the end of the other, or the wording of one and the meanings of the other's
//! words. A text of a domain never learned looks like that to the network: its parts speak for different domains. And it
//! learns from [texts about nothing](super::strange), and from rows that are labelled so. The network itself is not
//! touched, so the chances of the domains stay as they are.

use super::Rows;
use super::strange::strange;
use super::strangers::Held;
use crate::data::Row;
use crate::encode::Encoding;
use crate::fit::ridge::{cholesky, solve};
use crate::heads::logistic;
use crate::random::Random;
use crate::scores::softmax;
use crate::surface::SURFACE;
use crate::text::cut;
use crate::{RouterModel, ood, slices};

/// The most rows that are learned from: plenty for a few dozen weights.
const ROWS: usize = 8192;
/// How often a row about nothing counts.
const NOTHING: usize = 8;
/// How often another domain is looked for among the rows before a row goes unpaired.
const TRIES: usize = 32;
/// Steps of Newton's method; after half as many nothing moves.
const STEPS: usize = 12;
/// The least spread that a figure is taken to have: one that hardly moved among the rows must not decide alone when
/// it moves.
const LEAST_SPREAD: f64 = 0.01;
/// Penalty on the square of each weight, per text.
const PENALTY: f64 = 1e-3;

/// Fits the unit of `model`, which has all that a forward pass needs, and its temperature.
pub(super) fn learn(model: &mut RouterModel, rows: Rows<'_>, seed: u64) {
    let mut random = Random::new(seed);
    let (nothing, rows): (Vec<&Row>, Vec<&Row>) =
        rows.requests.iter().chain(rows.labelled).partition(|row| row.is_none());
    let mut order: Vec<usize> = (0..rows.len()).collect();
    super::shuffle(&mut order, &mut random);
    order.truncate(ROWS);
    let encodings: Vec<Encoding> = order.iter().map(|&pick| read(model, &rows[pick].prompt)).collect();
    let mut texts = Vec::new();
    let mut buffers = slices::Buffers::default();
    let mut figures = |encoding: &Encoding| {
        let figures = figures(model, encoding, &mut buffers);
        [&buffers.hidden[..], &figures].concat()
    };
    for (at, encoding) in encodings.iter().enumerate() {
        let mut others = (0..TRIES).map(|_| random.below(order.len()));
        let Some(other) = others.find(|&other| rows[order[other]].domain != rows[order[at]].domain) else {
            continue;
        };
        let other = &encodings[other];
        let mut made =
            if at % 2 == 0 { splice(encoding, other, random.unit()) } else { swap(encoding, other) };
        made.keep(&model.weights.seen);
        texts.extend([(figures(encoding), 0.0), (figures(&made), 1.0)]);
        let mut any = || rows[order[random.below(order.len())]].prompt.as_str();
        let words = [any(), any(), any(), any()];
        texts.push((figures(&read(model, &strange(words, &mut random))), 1.0));
    }
    for row in nothing {
        let figures = figures(&read(model, &row.prompt));
        texts.extend(std::iter::repeat_n((figures, 1.0), NOTHING));
    }
    (model.weights.none, model.weights.none_bias) = logistic_fit(&texts, model.weights.none.len());
}

/// A text as the network reads it.
fn read(model: &RouterModel, text: &str) -> Encoding {
    let mut encoding = Encoding::default();
    let _whole = encoding.read(cut(text), &model.weights.lexicon, &mut || false);
    encoding.keep(&model.weights.seen);
    encoding
}

/// What the unit reads of a text beside the hidden layer, which `buffers` holds afterwards.
fn figures(model: &RouterModel, encoding: &Encoding, buffers: &mut slices::Buffers) -> Vec<f32> {
    slices::forward(&model.weights, encoding, buffers);
    softmax(&mut buffers.logits, model.card.temperature);
    [&ood::strangeness(encoding, &buffers.logits)[..], &encoding.surface].concat()
}

/// The unit from what is known of strangers: what these models say of requests that they never read, about something or
/// labelled as about nothing (`nothing`: those count, too), and of texts about nothing made from their words. The hidden
/// layer has no say, as each of the models has another.
pub(super) fn of_strangers(held: &[Held<'_>], nothing: bool, seed: u64) -> (Vec<f32>, f32) {
    let mut random = Random::new(seed);
    let mut texts = Vec::new();
    let mut buffers = slices::Buffers::default();
    for Held { model, out, .. } in held {
        let mut figures = |text: &str| figures(model, &read(model, text), &mut buffers);
        for row in out.iter().filter(|row| nothing || !row.is_none()) {
            let target = f32::from(u8::from(row.is_none()));
            let times = if row.is_none() { NOTHING } else { 1 };
            texts.extend(std::iter::repeat_n((figures(&row.prompt), target), times));
            let mut any = || out[random.below(out.len())].prompt.as_str();
            let words = [any(), any(), any(), any()];
            if random.below(2) == 0 {
                texts.push((figures(&strange(words, &mut random)), 1.0));
            }
        }
    }
    let width = ood::STRANGENESS + SURFACE;
    let (weights, bias) = logistic_fit(&texts, width);
    let hidden = held.first().map_or(0, |held| held.model.card.shape.hidden);
    ([vec![0.0; hidden], weights].concat(), bias)
}

/// The beginning of one text and the end of another: between a quarter and three quarters of the first.
fn splice(first: &Encoding, second: &Encoding, part: f32) -> Encoding {
    let share = 0.25 + 0.5 * part;
    let mut made = first.clone();
    for (list, more) in made.grams.iter_mut().zip(&second.grams) {
        join(list, more, share);
    }
    join(&mut made.rows, &second.rows, share);
    for (figure, other) in made.surface.iter_mut().zip(&second.surface) {
        *figure = share * *figure + (1.0 - share) * other;
    }
    made
}

/// Leaves `share` of `list` and puts the rest of `more` behind it.
fn join<T: Copy>(list: &mut Vec<T>, more: &[T], share: f32) {
    list.truncate((list.len() as f32 * share).ceil() as usize);
    list.extend_from_slice(&more[(more.len() as f32 * share) as usize..]);
}

/// The wording of one text, the meanings of the words of another.
fn swap(wording: &Encoding, meanings: &Encoding) -> Encoding {
    Encoding { rows: meanings.rows.clone(), ..wording.clone() }
}

/// Weights and bias of the likeliest logistic line through `texts`, by Newton's method.
fn logistic_fit(texts: &[(Vec<f32>, f32)], width: usize) -> (Vec<f32>, f32) {
    let count = texts.len().max(1) as f64;
    let (means, spreads) = moments(texts, width);
    // the last weight is that of a figure that is always 1
    let size = width + 1;
    let mut weights = vec![0.0_f64; size];
    let mut figures = vec![1.0_f64; size];
    for _ in 0..STEPS {
        let mut square = vec![0.0; size * size];
        let mut slope: Vec<f64> = weights.iter().map(|w| -w * PENALTY * count).collect();
        slope[width] = 0.0;
        for (text, target) in texts {
            for (column, &x) in text.iter().enumerate() {
                figures[column] = (f64::from(x) - means[column]) / spreads[column];
            }
            let odds: f64 = figures.iter().zip(&weights).map(|(x, w)| x * w).sum();
            let chance = f64::from(logistic(odds as f32));
            let (miss, weight) = (f64::from(*target) - chance, chance * (1.0 - chance));
            for (row, &x) in figures.iter().enumerate() {
                slope[row] += miss * x;
                let sums = &mut square[row * size..][..=row];
                sums.iter_mut().zip(&figures).for_each(|(sum, y)| *sum += weight * x * y);
            }
        }
        for row in 0..size {
            square[row * size + row] += PENALTY * count + 1e-9;
        }
        cholesky(&mut square, size);
        solve(&square, size, &mut slope);
        weights.iter_mut().zip(&slope).for_each(|(w, step)| *w += step);
    }
    let raw: Vec<f64> = weights.iter().zip(&spreads).map(|(w, spread)| w / spread).collect();
    let shift: f64 = raw.iter().zip(&means).map(|(w, mean)| w * mean).sum();
    (raw.iter().map(|&w| w as f32).collect(), (weights[width] - shift) as f32)
}

/// Mean and spread of each figure.
fn moments(texts: &[(Vec<f32>, f32)], width: usize) -> (Vec<f64>, Vec<f64>) {
    let count = texts.len().max(1) as f64;
    let column = |column: usize| texts.iter().map(move |(text, _)| f64::from(text[column]));
    let means: Vec<f64> = (0..width).map(|at| column(at).sum::<f64>() / count).collect();
    let spread = |(at, mean): (usize, &f64)| {
        let square = column(at).map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        square.sqrt().max(LEAST_SPREAD)
    };
    let spreads = means.iter().enumerate().map(spread).collect();
    (means, spreads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(words: &[u32], rows: &[u16]) -> Encoding {
        let grams = [words.to_vec(), words.to_vec(), Vec::new()];
        Encoding { grams, rows: rows.to_vec(), ..Encoding::default() }
    }

    #[test]
    fn a_spliced_text_begins_as_one_and_ends_as_the_other() {
        let made = splice(&encoding(&[1, 2, 3, 4], &[1, 2]), &encoding(&[5, 6, 7, 8], &[3, 4]), 0.5);
        assert_eq!((&made.grams[0][..], &made.rows[..]), (&[1, 2, 7, 8][..], &[1, 4][..]));
        let empty = splice(&encoding(&[], &[]), &encoding(&[], &[]), 0.0);
        assert!(empty.grams[0].is_empty() && empty.rows.is_empty());
    }

    #[test]
    fn a_swapped_text_has_the_wording_of_one_and_the_meanings_of_the_other() {
        let made = swap(&encoding(&[1, 2], &[1]), &encoding(&[3], &[2, 3]));
        assert_eq!((&made.grams[0][..], &made.rows[..]), (&[1, 2][..], &[2, 3][..]));
    }

    #[test]
    fn a_logistic_line_says_the_chances_that_the_texts_have() {
        let text = |x: f32, hits: usize| (0..10).map(move |n| (vec![x, 7.0], f32::from(u8::from(n < hits))));
        let texts: Vec<_> = text(-1.0, 2).chain(text(1.0, 8)).collect();
        let (weights, bias) = logistic_fit(&texts, 2);
        let chance = |x: f32| logistic(weights[0] * x + weights[1] * 7.0 + bias);
        assert!((chance(1.0) - 0.8).abs() < 0.01, "{}", chance(1.0));
        assert!((chance(-1.0) - 0.2).abs() < 0.01, "{}", chance(-1.0));
    }

    #[test]
    fn without_texts_the_line_says_nothing() {
        assert_eq!(logistic_fit(&[], 3), (vec![0.0; 3], 0.0));
    }
}
