//! Text to features: hashes of words, of pairs of words and of the letters within words, and the
//! [surface figures](crate::surface).
//!
//! A hash is 32 bits wide whatever the size of the tables: as many of its upper bits as are needed choose
//! a row of a table, or a bit of the [set of what training saw](crate::ood).

use crate::lexicon::{LONGEST_STEM, Lexicon, SHORTEST_STEM};
use crate::ood;
use crate::surface::{self, SURFACE};
use crate::text::{Kind, fold, kind};

/// The version of everything here and in `surface`, `text` and `ood` that changes what a model was fitted
/// to. A model trained on another version refuses to load.
pub const FEATURE_VERSION: u32 = 4;

/// The kinds of n-grams, in the order of their tables.
pub const KINDS: usize = 3;

/// How many bytes of text are read between two questions whether to give up.
const STRIDE: usize = 1024;

/// Features of one text. Kept between texts for its memory.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// Hashes of the words, the pairs of words and the three-letter grams, in reading order.
    pub grams: [Vec<u32>; KINDS],
    /// Of the words and the pairs those that training saw in two sources at least: a turn of phrase that one collection
    /// has tells the collection, not the subject.
    pub(crate) common: [Vec<u32>; 2],
    /// Rows of the table of word vectors: those of the words it holds, and of the beginnings of others.
    pub rows: Vec<u16>,
    /// Words that the table holds whole.
    pub known: usize,
    /// The surface figures.
    pub surface: [f32; SURFACE],
}

impl Default for Encoding {
    fn default() -> Self {
        Encoding {
            grams: Default::default(),
            common: Default::default(),
            rows: Vec::new(),
            known: 0,
            surface: [0.0; SURFACE],
        }
    }
}

impl Encoding {
    /// Replaces the features by those of `parts`; `None` when `give_up` said so on the way.
    pub(crate) fn read(
        &mut self,
        parts: [&str; 2],
        lexicon: &Lexicon,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Option<()> {
        self.grams.iter_mut().for_each(Vec::clear);
        self.rows.clear();
        self.known = 0;
        for part in parts {
            self.read_part(part, lexicon, give_up)?;
        }
        self.surface = surface::figures(parts, self);
        Some(())
    }

    /// Notes which words and pairs are in `seen`.
    pub(crate) fn keep(&mut self, seen: &[u8]) {
        for (common, grams) in self.common.iter_mut().zip(&self.grams) {
            common.clear();
            common.extend(grams.iter().filter(|&&hash| ood::contains(seen, hash)));
        }
    }

    /// The grams of a kind that the network looks at.
    pub(crate) fn pooled(&self, kind: usize) -> &[u32] {
        self.common.get(kind).unwrap_or(&self.grams[KINDS - 1])
    }

    fn read_part(&mut self, part: &str, lexicon: &Lexicon, give_up: &mut dyn FnMut() -> bool) -> Option<()> {
        let bytes = part.as_bytes();
        let seed = lexicon.seed;
        let [singles, pairs, letters] = &mut self.grams;
        let mut stems = [0; LONGEST_STEM];
        // a word has a gram of letters per letter: room for all of them, cut to size at the end
        let mut count = letters.len();
        letters.resize(count + bytes.len(), 0);
        let mut add_letters = |window: u64| {
            letters[count] = short(mix(seed, window));
            count += 1;
        };
        let mut previous = seed;
        let mut ask_at = STRIDE;
        let mut at = 0;
        while at < bytes.len() {
            if at >= ask_at {
                if give_up() {
                    return None;
                }
                ask_at += STRIDE;
            }
            let (kind, first, bytes_of_first) = read_char(part, at);
            at += bytes_of_first;
            if kind == Kind::Gap {
                continue;
            }
            let mut hash = mix(seed, first);
            let mut window = slide(EDGE, first);
            let mut length = 1;
            while kind == Kind::Letter && at < bytes.len() {
                let (kind, next, bytes) = read_char(part, at);
                if kind != Kind::Letter {
                    break;
                }
                at += bytes;
                if length < LONGEST_STEM {
                    stems[length] = short(hash);
                }
                length += 1;
                hash = mix(hash, next);
                window = slide(window, next);
                add_letters(window);
            }
            add_letters(slide(window, EDGE));
            match lexicon.find(short(hash)) {
                Some(row) => {
                    self.rows.push(row);
                    self.known += 1;
                }
                None => {
                    let lengths = (SHORTEST_STEM..length.min(LONGEST_STEM)).rev();
                    self.rows.extend(lengths.filter_map(|length| lexicon.find(stems[length])).next());
                }
            }
            singles.push(short(hash));
            pairs.push(short(mix(previous.rotate_left(23), hash)));
            previous = hash;
        }
        letters.truncate(count);
        Some(())
    }
}

#[cfg(any(feature = "train", test))]
/// The hash by which a lexicon knows `word`, which is one word; `None` if it is not.
pub(crate) fn word_hash(word: &str, seed: u64) -> Option<u32> {
    let mut hash = seed;
    for c in word.chars() {
        if kind(c) != Kind::Letter {
            return None;
        }
        hash = mix(hash, u64::from(u32::from(fold(c))));
    }
    (!word.is_empty()).then(|| short(hash))
}

/// The character that begins at `at`: its kind, as the hashes see it, and its length.
#[inline(always)]
fn read_char(part: &str, at: usize) -> (Kind, u64, usize) {
    if let Some(&folded) = FOLDED.get(usize::from(part.as_bytes()[at])) {
        let kind = if folded == 0 { Kind::Gap } else { Kind::Letter };
        return (kind, u64::from(folded), 1);
    }
    read_wide(part, at)
}

/// The same beyond ASCII; apart, so that the loop over ASCII stays small.
#[inline(never)]
fn read_wide(part: &str, at: usize) -> (Kind, u64, usize) {
    let c = part[at..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
    (kind(c), u64::from(fold(c)), c.len_utf8())
}

/// [`fold`] of each ASCII letter and digit; 0: a gap. Most text is ASCII, and a table is several times faster.
static FOLDED: [u8; 128] = {
    let mut table = [0; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_digit() {
            table[byte as usize] = b'0';
        } else if byte.is_ascii_alphabetic() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// Stands for the start and the end of a word among its letters.
const EDGE: u64 = 1;

/// FNV-1a: a hash of bytes that is the same everywhere, for what need not be fast.
pub(crate) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The last three of a run of characters, 21 bits each.
fn slide(window: u64, next: u64) -> u64 {
    (window << 21 | next) & ((1 << 63) - 1)
}

/// One round of the hash of Firefox and rustc: one multiplication, no table.
fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// The upper half, in which every bit of the input had its say.
fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon() -> Lexicon {
        Lexicon::new(7, &["cat", "photo", "élan"].map(|word| word_hash(word, 7).unwrap()))
    }

    fn encode(text: &str) -> Encoding {
        let mut encoding = Encoding::default();
        encoding.read([text, ""], &lexicon(), &mut || false).unwrap();
        encoding
    }

    #[test]
    fn case_and_the_digits_of_a_number_do_not_matter_to_the_grams() {
        assert_eq!(encode("Add 12 APPLES").grams, encode("add 99 apples").grams);
        assert_ne!(encode("add 12").grams, encode("add 123").grams);
    }

    #[test]
    fn the_table_says_of_ascii_what_is_said_of_every_character() {
        for byte in 0..128_u8 {
            let c = char::from(byte);
            let (kind_of, folded, length) = read_char(&c.to_string(), 0);
            assert_eq!((kind_of, length), (kind(c), 1), "{c:?}");
            assert!(kind_of == Kind::Gap || folded == u64::from(fold(c)), "{c:?}");
        }
    }

    #[test]
    fn a_word_has_one_gram_of_letters_per_letter() {
        let encoding = encode("cat a");
        assert_eq!(encoding.grams.each_ref().map(Vec::len), [2, 2, 4]);
    }

    #[test]
    fn words_are_those_that_an_explanation_leaves_out() {
        for text in ["It's 3pm, naïve_café!", "abc你好 한국", "", "  x", "ends in a gap. "] {
            assert_eq!(encode(text).grams[0].len(), crate::text::words(text).count(), "{text}");
        }
    }

    #[test]
    fn a_word_is_found_whole_or_by_its_longest_known_beginning() {
        let encoding = encode("The Cat's photosynthesis has ÉLAN, cats and phototropism; pho.");
        assert_eq!((encoding.rows, encoding.known), (vec![0, 1, 2, 1], 2));
        assert_eq!(word_hash("two words", 7), None);
    }

    #[test]
    fn reading_gives_up_when_told() {
        let mut asked = 0;
        let text = "word ".repeat(2000);
        let read = Encoding::default().read([&text, ""], &lexicon(), &mut || {
            asked += 1;
            asked == 3
        });
        assert_eq!((read, asked), (None, 3));
    }
}
