//! Surface figures: how a text looks, whatever it says.
//!
//! Shares of kinds of characters (digits, brackets, operators, scripts), lengths, and the shape of its
//! lines (options, lists, indents, turns, fences). They travel to sources whose words were never seen.

mod counts;

use crate::encode::Encoding;
use crate::text::is_ideograph;
use counts::COUNTS;

/// How many figures there are.
pub const SURFACE: usize = KINDS + LENGTHS + LINES + ENDS + COUNTS + RARITY;

const KINDS: usize = 42;
const LENGTHS: usize = 4;
const LINES: usize = 8;
const ENDS: usize = 6;
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
    counts::figures(parts, encoding, numbers);
    rarity(encoding, words, rarities);
    figures
}

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
