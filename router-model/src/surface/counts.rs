//! Counts: how much a text gives to read and to work out.

use crate::encode::Encoding;

/// How many figures there are.
pub(super) const COUNTS: usize = 8;

/// How much there is to read and to work out: numbers, sentences, options, the words and numbers of the question
/// itself (before the first of two or more options), the share of the text that options take, words a sentence,
/// rare words.
pub(super) fn figures(parts: [&str; 2], encoding: &Encoding, into: &mut [f32]) {
    let all = parts.map(runs);
    let sum = |of: fn(&Runs) -> u32| all.iter().map(of).sum::<u32>() as f32;
    let options = sum(|runs| runs.options);
    let stem = if options >= 2.0 { all[0].before_options } else { None };
    let (words, numbers) = (sum(|runs| runs.words), sum(|runs| runs.numbers));
    let stem = stem.unwrap_or(Stem { words: words as u32, numbers: numbers as u32, bytes: u32::MAX });
    let length = (parts[0].len() + parts[1].len()).max(1) as f32;
    let sentences = sum(|runs| runs.sentences);
    let rare = encoding.rows.iter().filter(|row| **row >= RARE).count() + encoding.grams[0].len()
        - encoding.rows.len();
    let log = |count: f32| count.ln_1p() / 4.0;
    let values: [f32; COUNTS] = [
        log(numbers),
        log(sentences),
        log(options),
        log(stem.words as f32),
        log(stem.numbers as f32),
        1.0 - (stem.bytes as f32 / length).min(1.0),
        (words / (sentences + 1.0) / 40.0).min(2.0),
        log(rare as f32),
    ];
    into.copy_from_slice(&values);
}

/// Words from this row of the table on are rare.
const RARE: u16 = 4096;

/// What is counted in one pass over a part.
#[derive(Debug, Default, PartialEq)]
struct Runs {
    words: u32,
    numbers: u32,
    sentences: u32,
    options: u32,
    before_options: Option<Stem>,
}

/// The question before its options.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stem {
    words: u32,
    numbers: u32,
    bytes: u32,
}

fn runs(part: &str) -> Runs {
    let bytes = part.as_bytes();
    let mut first = None;
    let mut options = 0;
    for start in line_starts(bytes) {
        let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b' ' | b'(')).count();
        if let [b'A'..=b'J', b'.' | b')' | b':', ..] = bytes[start + blank..] {
            first.get_or_insert(start + blank);
            options += 1;
        }
    }
    let mut runs = Runs { options, ..Runs::default() };
    let at = first.unwrap_or(0);
    runs.count(b'\n', &bytes[..at]);
    if first.is_some() {
        runs.before_options = Some(Stem { words: runs.words, numbers: runs.numbers, bytes: at as u32 });
    }
    let before = at.checked_sub(1).map_or(b'\n', |last| bytes[last]);
    runs.count(before, &bytes[at..]);
    runs
}

/// Where the lines of a text begin.
fn line_starts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    std::iter::once(0).chain(ends.map(|(end, _)| end + 1))
}

impl Runs {
    /// Counts on in `bytes`, which follow `before`; without a branch, as text is what nobody predicts.
    fn count(&mut self, before: u8, bytes: &[u8]) {
        let mut last = CLASS[usize::from(before)];
        for &byte in bytes {
            let class = CLASS[usize::from(byte)];
            let starts = class & !last;
            self.words += u32::from(starts & WORD);
            self.numbers += u32::from(starts >> 1 & !(last >> 4) & 1);
            self.sentences += u32::from(class >> 2 & last >> 3 & 1);
            last = class;
        }
    }
}

/// Letters and digits.
const WORD: u8 = 1;

/// Of each byte: bit 0, in a word; 1, a digit; 2, a space or the end of a line; 3, the end of a sentence; 4, a full
/// stop, behind which a digit goes on with its number.
static CLASS: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        classes[byte as usize] = byte.is_ascii_alphanumeric() as u8
            | (byte.is_ascii_digit() as u8) << 1
            | (matches!(byte, b' ' | b'\n') as u8) << 2
            | (matches!(byte, b'.' | b'?' | b'!') as u8) << 3
            | ((byte == b'.') as u8) << 4;
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same in plain steps.
    fn plain_runs(part: &str) -> Runs {
        let mut runs = Runs::default();
        let (mut before, mut line_starts) = (b'\n', true);
        let bytes = part.as_bytes();
        for (index, &byte) in bytes.iter().enumerate() {
            let ends_line = byte == b'\n';
            if byte.is_ascii_alphanumeric() {
                let starts_word = !before.is_ascii_alphanumeric();
                runs.words += u32::from(starts_word);
                if byte.is_ascii_digit() {
                    runs.numbers += u32::from(!before.is_ascii_digit() && before != b'.');
                } else if line_starts && starts_word && matches!(byte, b'A'..=b'J') {
                    let option = matches!(bytes.get(index + 1), Some(b'.' | b')' | b':'));
                    if option && runs.options == 0 {
                        let (words, numbers) = (runs.words - 1, runs.numbers);
                        runs.before_options = Some(Stem { words, numbers, bytes: index as u32 });
                    }
                    runs.options += u32::from(option);
                }
            } else if byte == b' ' || ends_line {
                runs.sentences += u32::from(matches!(before, b'.' | b'?' | b'!'));
            }
            line_starts = ends_line || line_starts && matches!(byte, b' ' | b'(');
            before = byte;
        }
        runs
    }

    proptest! {
        #[test]
        fn counting_without_branches_counts_the_same(text in "([A-Ka-k0-9 .!?:()\n]|é){0,60}") {
            prop_assert_eq!(runs(&text), plain_runs(&text));
        }
    }
}
