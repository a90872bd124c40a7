//! Surface figures: how a text looks, whatever it says.
//!
//! Shares of kinds of characters (digits, brackets, operators, scripts), lengths, and the shape of its
//! lines (options, lists, indents, turns, fences). They travel to sources whose words were never seen.

use crate::encode::Encoding;
use crate::text::is_ideograph;

/// How many figures there are.
pub const SURFACE: usize = KINDS + LENGTHS + LINES + ENDS + COUNTS + RARITY;

const KINDS: usize = 42;
const LENGTHS: usize = 4;
const LINES: usize = 8;
const ENDS: usize = 6;
const COUNTS: usize = 8;
const RARITY: usize = 6;

/// The place of the words of the question itself among the figures.
pub(crate) const STEM_WORDS: usize = KINDS + LENGTHS + LINES + ENDS + 3;

/// Kinds of ASCII characters, one group a row; a character that is in no group is of kind 0.
const ASCII_GROUPS: [&str; 29] = [
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789",
    " ",
    "\n",
    "\t",
    ".",
    ",",
    "?",
    "!",
    "\"",
    "'",
    "`",
    "()",
    "[]",
    "{}",
    "<>",
    "=",
    "+*/",
    "^",
    "%",
    "-",
    "_",
    "|",
    ":",
    ";",
    "\\",
    "$",
    "#@&~",
];
const FIRST_SCRIPT: usize = ASCII_GROUPS.len() + 1;
const ASCII_KIND: [u8; 128] = ascii_kinds();

const fn ascii_kinds() -> [u8; 128] {
    let mut kinds = [0; 128];
    let mut group = 0;
    while group < ASCII_GROUPS.len() {
        let members = ASCII_GROUPS[group].as_bytes();
        let mut member = 0;
        while member < members.len() {
            kinds[members[member] as usize] = group as u8 + 1;
            member += 1;
        }
        group += 1;
    }
    kinds
}

/// Which of twelve kinds a character beyond ASCII is, by its block.
fn script(c: char) -> usize {
    match c {
        '\u{80}'..='\u{bf}' => 0,
        '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => 1,
        '\u{370}'..='\u{3ff}' => 2,
        '\u{400}'..='\u{52f}' => 3,
        '\u{590}'..='\u{8ff}' => 4,
        '\u{900}'..='\u{dff}' => 5,
        '\u{e00}'..='\u{109f}' => 6,
        '\u{2000}'..='\u{206f}' => 7,
        '\u{2070}'..='\u{2bff}' => 8,
        '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => 9,
        _ if is_ideograph(c) => 10,
        _ => 11,
    }
}

/// The figures of the two parts of a text whose words have been read into `encoding`, each roughly in 0..=1.
pub(crate) fn figures(parts: [&str; 2], encoding: &Encoding) -> [f32; SURFACE] {
    let words = encoding.grams[0].len();
    let mut figures = [0.0; SURFACE];
    let (kinds, rest) = figures.split_at_mut(KINDS);
    let (lengths, rest) = rest.split_at_mut(LENGTHS);
    let (lines, rest) = rest.split_at_mut(LINES);
    let (ends, rest) = rest.split_at_mut(ENDS);
    let (numbers, rarities) = rest.split_at_mut(COUNTS);

    let counts = counts(parts);
    let characters = counts.iter().sum::<u32>().max(1) as f32;
    for (figure, &count) in kinds.iter_mut().zip(&counts) {
        *figure = (count as f32 / characters).sqrt();
    }
    let newlines = counts[usize::from(ASCII_KIND[b'\n' as usize])];
    lengths[0] = characters.ln_1p() / 8.0;
    lengths[1] = (words as f32).ln_1p() / 8.0;
    lengths[2] = (newlines as f32).ln_1p() / 5.0;
    lengths[3] = (characters / (words as f32 + 1.0) / 10.0).min(2.0);
    shapes(parts, newlines, lines);
    edges(parts, ends);
    counts_of(parts, encoding, numbers);
    rarity(encoding, words, rarities);
    figures
}

/// How much there is to read and to work out: numbers, sentences, options, the words and numbers of the question
/// itself (before the first of two or more options), the share of the text that options take, words a sentence,
/// rare words.
fn counts_of(parts: [&str; 2], encoding: &Encoding, figures: &mut [f32]) {
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
    let values = [
        log(numbers),
        log(sentences),
        log(options),
        log(stem.words as f32),
        log(stem.numbers as f32),
        1.0 - (stem.bytes as f32 / length).min(1.0),
        (words / (sentences + 1.0) / 40.0).min(2.0),
        log(rare as f32),
    ];
    figures.copy_from_slice(&values);
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

/// Shares of words by how rare they are: rows of the table are ordered by frequency, each class is eight times
/// as long as the one before it; then beginnings only, then words unknown.
fn rarity(encoding: &Encoding, words: usize, figures: &mut [f32]) {
    let mut counts = [0_u32; 4];
    for row in &encoding.rows {
        let octave = (u32::from(*row) / 64 + 1).ilog2() / 3;
        counts[octave.min(3) as usize] += 1;
    }
    let stems = encoding.rows.len() - encoding.known;
    let unknown = words - encoding.rows.len();
    let all = words.max(1) as f32;
    let counts = counts.into_iter().chain([stems as u32, unknown as u32]);
    for (figure, count) in figures.iter_mut().zip(counts) {
        *figure = (count as f32 / all).sqrt();
    }
}

fn counts(parts: [&str; 2]) -> [u32; KINDS] {
    let mut ascii = [[0; KINDS + 1]; LANES];
    let mut counts = [0; KINDS];
    for part in parts {
        let (fours, rest) = part.as_bytes().as_chunks::<LANES>();
        for four in fours {
            for (lane, &byte) in ascii.iter_mut().zip(four) {
                lane[usize::from(KIND_OF_BYTE[usize::from(byte)])] += 1;
            }
        }
        rest.iter().for_each(|&byte| ascii[0][usize::from(KIND_OF_BYTE[usize::from(byte)])] += 1);
        if !part.is_ascii() {
            part.chars().filter(|c| !c.is_ascii()).for_each(|c| counts[FIRST_SCRIPT + script(c)] += 1);
        }
    }
    for (kind, count) in counts.iter_mut().enumerate() {
        *count += ascii.iter().map(|lane| lane[kind]).sum::<u32>();
    }
    counts
}

/// Bytes beyond ASCII count as a kind that nobody reads.
static KIND_OF_BYTE: [u8; 256] = {
    let mut kinds = [KINDS as u8; 256];
    let mut byte = 0;
    while byte < 128 {
        kinds[byte] = ASCII_KIND[byte];
        byte += 1;
    }
    kinds
};

/// Counters per kind: neighbours are mostly of one kind, and one counter would have to wait for itself.
const LANES: usize = 4;

/// Shares of lines by how they begin; all zero for a text of one line.
fn shapes(parts: [&str; 2], newlines: u32, figures: &mut [f32]) {
    if newlines == 0 {
        return;
    }
    let mut counts = [0_u32; LINES];
    for line in parts.into_iter().flat_map(|part| part.split('\n')) {
        let kind = match line.as_bytes() {
            [] | [b'\r'] => 0,
            [b'`', b'`', b'`', ..] => 1,
            [b' ', b' ', ..] | [b'\t', ..] => 2,
            [b'-' | b'*' | b'#' | b'>', b' ' | b'#', ..] => 3,
            [b'A'..=b'J' | b'a'..=b'j', b')' | b'.' | b':', ..] | [b'(', b'A'..=b'J', b')', ..] => 4,
            [b'0'..=b'9', ..] => 5,
            [b'U' | b'u', b's', b'e', b'r', ..] | [b'A' | b'a', b's', b's', b'i', b's', ..] => 6,
            _ => 7,
        };
        counts[kind] += 1;
    }
    let lines = (newlines + 1) as f32;
    for (figure, count) in figures.iter_mut().zip(counts) {
        *figure = (count as f32 / lines).sqrt();
    }
}

/// How the text begins and ends.
fn edges(parts: [&str; 2], figures: &mut [f32]) {
    let start = parts[0].trim_start().bytes().next().unwrap_or(b' ');
    let last = if parts[1].is_empty() { parts[0] } else { parts[1] };
    let end = last.trim_end().bytes().next_back().unwrap_or(b' ');
    let flags = [
        start.is_ascii_uppercase(),
        start.is_ascii_digit(),
        end == b'?',
        end == b'.',
        end == b':',
        end.is_ascii_alphanumeric(),
    ];
    for (figure, flag) in figures.iter_mut().zip(flags) {
        *figure = f32::from(u8::from(flag));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lexicon::Lexicon;

    fn of(text: &str) -> [f32; SURFACE] {
        let mut encoding = Encoding::default();
        encoding.read([text, ""], &Lexicon::new(7, &[]), &mut || false);
        encoding.surface
    }

    #[test]
    fn numbers_sentences_and_options_are_counted() {
        let figures = of("Is 3.14 more than 22? Yes.\nA. no\n(B) 7 times\nAlso: x");
        let counts = figures[KINDS + LENGTHS + LINES + ENDS..][..5].iter();
        let counts: Vec<f32> = counts.map(|figure| (figure * 4.0).exp_m1().round()).collect();
        assert_eq!(counts, [3.0, 3.0, 2.0, 7.0, 2.0]);
    }

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

    #[test]
    fn every_kind_has_its_place() {
        assert_eq!(FIRST_SCRIPT + 12, KINDS);
    }

    #[test]
    fn an_empty_text_has_only_zeros_but_no_nan() {
        assert!(of("").iter().all(|figure| figure.is_finite()));
    }

    #[test]
    fn a_question_and_a_script_show() {
        let plain = of("What is it?");
        assert_eq!(plain[KINDS + LENGTHS + LINES + 2], 1.0);
        let russian = of("привет мир");
        assert!(russian[FIRST_SCRIPT + 3] > 0.9);
    }
}
