//! How unlike the known a text is: the share of its words and pairs of words that training never saw,
//! how undecided the network is, and how ill the parts of the text go together («none of the domains»).
//!
//! It knows strange words and strange wording; it hardly knows a familiar wording of an unheard-of task.

use crate::encode::Encoding;
use crate::heads::logistic;
use crate::surface::SURFACE;
use crate::weights::Weights;

/// Whether `hash` is in a set of a power of two of bits; its upper bits choose the bit.
#[inline]
pub(crate) fn contains(seen: &[u8], hash: u32) -> bool {
    let bit = hash >> (29 - seen.len().ilog2());
    seen[(bit >> 3) as usize] >> (bit & 7) & 1 == 1
}

/// How many figures of strangeness there are.
pub(crate) const STRANGENESS: usize = 3;

/// The doubt of the network, the share of unseen words, the share of unseen pairs; each in 0..=1.
pub(crate) fn strangeness(encoding: &Encoding, chances: &[f32]) -> [f32; STRANGENESS] {
    let unseen = |kind: usize| {
        let count = encoding.grams[kind].len() - encoding.common[kind].len();
        // Half a word of doubt: one strange word of one says less than ten of ten.
        (count as f32 + 0.25) / (encoding.grams[kind].len() as f32 + 0.5)
    };
    [doubt(chances), unseen(0), unseen(1)]
}

/// The chance that a text is about none of the domains, were every second text of that kind: a logistic unit on the
/// hidden layer, the figures of strangeness and those of the surface (`train::none`).
pub(crate) fn none(
    weights: &Weights,
    hidden: &[f32],
    strangeness: &[f32; STRANGENESS],
    surface: &[f32; SURFACE],
) -> f32 {
    let figures = hidden.iter().chain(strangeness).chain(surface).zip(&weights.none);
    logistic(weights.none_bias + figures.map(|(x, w)| x * w).sum::<f32>())
}

/// Novelty of a text in 0..=2, infinite for one without a word, before it is ranked: the doubt of the network
/// weighs half, its unseen words and unseen pairs a quarter each, the chance of «none of the domains» one.
///
/// On requests of writers that the network had not read, 132 about nothing stand above 8,265 about something with an AUROC
/// of .927 (`StrangerFigures`). How near the strange is to the known matters: a familiar wording of an unheard-of task is
/// hardly told from a familiar one (`mixgate eval --unlike`).
pub(crate) fn novelty(encoding: &Encoding, strangeness: &[f32; STRANGENESS], none: f32) -> f32 {
    if encoding.grams[0].is_empty() {
        return f32::INFINITY;
    }
    let [doubt, words, pairs] = strangeness;
    0.5 * doubt + 0.25 * words + 0.25 * pairs + none
}

/// The entropy of `chances`, as a share of what it would be were all alike.
fn doubt(chances: &[f32]) -> f32 {
    let entropy: f32 = chances.iter().map(|&chance| -chance * chance.max(1e-9).ln()).sum();
    entropy / (chances.len().max(2) as f32).ln()
}

/// The share of `ranks` (ascending, evenly spaced) below `novelty`, straight lines in between.
pub(crate) fn rank(novelty: f32, ranks: &[f32]) -> f32 {
    let above = ranks.partition_point(|&rank| rank < novelty);
    match (above.checked_sub(1).map(|below| ranks[below]), ranks.get(above)) {
        (None, _) => 0.0,
        (Some(_), None) => 1.0,
        (Some(low), Some(&high)) => {
            let part = (novelty - low) / (high - low).max(f32::EPSILON);
            (above as f32 - 1.0 + part) / (ranks.len() as f32 - 1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_is_none_when_sure_and_one_when_all_are_alike() {
        assert!(doubt(&[1.0, 0.0, 0.0]).abs() < 1e-6);
        assert!((doubt(&[0.25; 4]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_likelier_to_be_of_no_domain_is_more_novel() {
        let mut encoding = Encoding::default();
        assert_eq!(novelty(&encoding, &[0.5; STRANGENESS], 0.5), f32::INFINITY);
        encoding.grams[0].push(7);
        let of = |none| novelty(&encoding, &[0.5; STRANGENESS], none);
        assert!((of(0.0) - 0.5).abs() < 1e-6 && of(0.9) > of(0.1), "{} {}", of(0.0), of(0.9));
    }

    #[test]
    fn a_rank_is_the_share_below() {
        let ranks = [0.1, 0.2, 0.4];
        assert_eq!(rank(0.05, &ranks), 0.0);
        assert_eq!(rank(0.3, &ranks), 0.75);
        assert_eq!(rank(0.5, &ranks), 1.0);
        assert_eq!(rank(0.5, &[]), 0.0);
    }
}
