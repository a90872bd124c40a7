//! Which models will answer a text well: one linear head per model, over what the encoder already made.
//!
//! ```text
//! surface figures (SURFACE) · direction of the words (WORD_DIM) · hashes of words and pairs → rows of one table
//!   → sum per model → a bent line (`link`), logistic → chance of a good answer
//! ```
//!
//! Wide and linear on purpose: outcomes are few and noisy, and a head per model can be fitted in a second,
//! added and taken away without touching the trunk (`fit`).

use crate::encode::Encoding;
use crate::link::Link;
use crate::slices::{linear, wide};
use crate::surface::SURFACE;
use crate::weights::WORD_DIM;

/// Binary logarithm of the rows of the table of n-grams.
pub(crate) const GRAM_BITS: u32 = 13;

/// The heads of some models, in one order; `Default` knows none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heads {
    /// Names of the models.
    pub(crate) names: Vec<String>,
    /// `(SURFACE, models)`
    pub(crate) surface: Vec<f32>,
    /// `(WORD_DIM, models)`
    pub(crate) words: Vec<f32>,
    /// `(2^GRAM_BITS, models)`, in units of `scales`
    pub(crate) grams: Vec<i8>,
    /// `(models)`
    pub(crate) scales: Vec<f32>,
    /// `(models)`
    pub(crate) bias: Vec<f32>,
    /// Per model, from the sum to the log-odds.
    pub(crate) links: Vec<Link>,
}

/// The head of one model, before it is packed with others. The units are those of [`Heads`].
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The model.
    pub name: String,
    /// `(SURFACE)`
    pub surface: Vec<f32>,
    /// `(WORD_DIM)`
    pub words: Vec<f32>,
    /// `(2^GRAM_BITS)`
    pub grams: Vec<f32>,
    /// Sum of a text without features.
    pub bias: f32,
    /// From the sum to the log-odds.
    pub link: Link,
}

/// Buffers of one pass over heads.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadBuffers {
    sums: Vec<i32>,
    surface: Vec<f32>,
    words: Vec<f32>,
}

/// The row of a gram in the table of n-grams.
pub(crate) fn bucket(hash: u32) -> usize {
    (hash >> (32 - GRAM_BITS)) as usize
}

/// What the sum of the rows of a text's grams is multiplied by.
pub(crate) fn gram_factor(encoding: &Encoding) -> f32 {
    let count = encoding.grams[0].len() + encoding.grams[1].len();
    1.0 / (count.max(1) as f32).sqrt()
}

impl Heads {
    /// Packs heads; the tables of n-grams become bytes.
    pub fn pack(heads: &[Head]) -> Heads {
        let column = |of: fn(&Head) -> &Vec<f32>, rows: usize| {
            (0..rows).flat_map(|row| heads.iter().map(move |head| of(head)[row])).collect()
        };
        let scale = |head: &Head| head.grams.iter().fold(1e-9_f32, |high, x| high.max(x.abs())) / 127.0;
        let scales: Vec<f32> = heads.iter().map(scale).collect();
        let byte = |(head, scale): (&Head, &f32), row: usize| (head.grams[row] / scale).round() as i8;
        Heads {
            names: heads.iter().map(|head| head.name.clone()).collect(),
            surface: column(|head| &head.surface, SURFACE),
            words: column(|head| &head.words, WORD_DIM),
            grams: (0..1 << GRAM_BITS)
                .flat_map(|row| heads.iter().zip(&scales).map(move |pair| byte(pair, row)))
                .collect(),
            scales,
            bias: heads.iter().map(|head| head.bias).collect(),
            links: heads.iter().map(|head| head.link).collect(),
        }
    }

    /// What its numbers take in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let floats =
            [&self.surface, &self.words, &self.scales, &self.bias].map(|floats| size_of_val(&floats[..]));
        floats.into_iter().sum::<usize>() + self.grams.len() + size_of_val(&self.links[..])
    }

    /// The names of the models, in the order of the chances.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Only the heads at `picks`, in that order.
    pub fn select(&self, picks: &[usize]) -> Heads {
        let columns = |table: &[f32]| -> Vec<f32> {
            let rows = table.chunks_exact(self.names.len().max(1));
            rows.flat_map(|row| picks.iter().map(|&pick| row[pick])).collect()
        };
        let rows = self.grams.chunks_exact(self.names.len().max(1));
        Heads {
            names: picks.iter().map(|&pick| self.names[pick].clone()).collect(),
            surface: columns(&self.surface),
            words: columns(&self.words),
            grams: rows.flat_map(|row| picks.iter().map(|&pick| row[pick])).collect(),
            scales: columns(&self.scales),
            bias: columns(&self.bias),
            links: picks.iter().map(|&pick| self.links[pick]).collect(),
        }
    }

    /// The heads of `self` and `other`; of two of one name that of `other` stays.
    pub fn merged(&self, other: &Heads) -> Heads {
        let kept: Vec<usize> =
            (0..self.names.len()).filter(|&at| !other.names.contains(&self.names[at])).collect();
        let kept = self.select(&kept);
        let join = |a: &[f32], b: &[f32]| -> Vec<f32> {
            let (x, y) = (kept.names.len(), other.names.len());
            let rows = a.len().checked_div(x).or(b.len().checked_div(y)).unwrap_or_default();
            (0..rows).flat_map(|row| a[row * x..][..x].iter().chain(&b[row * y..][..y]).copied()).collect()
        };
        let (x, y) = (kept.names.len(), other.names.len());
        Heads {
            names: kept.names.iter().chain(&other.names).cloned().collect(),
            surface: join(&kept.surface, &other.surface),
            words: join(&kept.words, &other.words),
            grams: (0..1 << GRAM_BITS)
                .flat_map(|row| {
                    kept.grams[row * x..][..x].iter().chain(&other.grams[row * y..][..y]).copied()
                })
                .collect(),
            scales: join(&kept.scales, &other.scales),
            bias: join(&kept.bias, &other.bias),
            links: kept.links.iter().chain(&other.links).copied().collect(),
        }
    }

    /// The log-odds of each model for an encoded text whose words point to `direction`.
    pub(crate) fn log_odds(
        &self,
        encoding: &Encoding,
        direction: &[f32],
        buffers: &mut HeadBuffers,
        odds: &mut Vec<f32>,
    ) {
        wide(
            #[inline(always)]
            || self.sum(encoding, direction, buffers, odds),
        );
    }

    #[inline(always)]
    fn sum(&self, encoding: &Encoding, direction: &[f32], buffers: &mut HeadBuffers, odds: &mut Vec<f32>) {
        let models = self.names.len();
        let HeadBuffers { sums, surface, words } = buffers;
        sums.clear();
        sums.resize(models, 0);
        if models > 0 {
            for hash in encoding.grams[..2].iter().flatten() {
                let row = &self.grams[bucket(*hash) * models..][..models];
                sums.iter_mut().zip(row).for_each(|(sum, &number)| *sum += i32::from(number));
            }
        }
        linear(&encoding.surface, &self.surface, &self.bias, surface);
        linear(direction, &self.words, surface, words);
        let factor = gram_factor(encoding);
        odds.clear();
        let parts = words.iter().zip(sums.iter()).zip(&self.scales).zip(&self.links);
        odds.extend(
            parts.map(|(((dense, &sum), scale), link)| link.apply(dense + sum as f32 * scale * factor)),
        );
    }
}

/// Log-odds to a chance.
pub(crate) fn logistic(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexicon::Lexicon;

    fn head(name: &str, first: f32) -> Head {
        let ramp = |rows: usize, start: f32| (0..rows).map(|row| start + row as f32 / 1e4).collect();
        Head {
            name: name.into(),
            surface: ramp(SURFACE, first),
            words: ramp(WORD_DIM, first),
            grams: ramp(1 << GRAM_BITS, first),
            bias: first,
            link: Link::default(),
        }
    }

    fn odds(heads: &Heads) -> Vec<f32> {
        let mut encoding = Encoding::default();
        encoding.read(["What is it worth, then?", ""], &Lexicon::new(7, &[]), &mut || false);
        let mut odds = Vec::new();
        heads.log_odds(&encoding, &[0.1; WORD_DIM], &mut HeadBuffers::default(), &mut odds);
        odds
    }

    #[test]
    fn a_pick_of_heads_says_what_all_say() {
        let all = Heads::pack(&[head("a", 0.1), head("b", -0.2), head("c", 0.3)]);
        let few = all.select(&[2, 0]);
        assert_eq!(few.names(), ["c", "a"]);
        let (all, few) = (odds(&all), odds(&few));
        assert!((all[2] - few[0]).abs() < 1e-4 && (all[0] - few[1]).abs() < 1e-4, "{all:?} {few:?}");
    }

    #[test]
    fn of_two_heads_of_one_name_the_new_one_stays() {
        let [old, new] = [[head("a", 0.1), head("b", 0.2)], [head("c", 0.3), head("a", 0.4)]];
        let [old, new] = [old, new].map(|heads| Heads::pack(&heads));
        let merged = old.merged(&new);
        assert_eq!(merged.names(), ["b", "c", "a"]);
        let (merged, new) = (odds(&merged), odds(&new));
        assert!((merged[2] - new[1]).abs() < 1e-4);
        assert_eq!(Heads::default().merged(&old), old);
        assert!(odds(&Heads::default()).is_empty());
    }
}
