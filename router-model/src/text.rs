//! What of a text is read, and where its words are.
//!
//! A prompt may be a megabyte; the router reads at most its first 8 KiB and last 4 KiB, cut between
//! characters before anything else, so that all later work is bounded. Words are runs of letters and
//! digits; an ideograph is a word by itself, as no space parts it from the next.

use std::ops::Range;

/// The most bytes read from the start of a text.
pub(crate) const HEAD_BYTES: usize = 8 * 1024;
/// The most bytes read from the end of a longer text.
pub(crate) const TAIL_BYTES: usize = 4 * 1024;

/// The part of `text` that is read: its head, and its tail when it is longer than both together.
pub(crate) fn cut(text: &str) -> [&str; 2] {
    if text.len() <= HEAD_BYTES + TAIL_BYTES {
        return [text, ""];
    }
    let head = text.floor_char_boundary(HEAD_BYTES);
    let tail = text.ceil_char_boundary(text.len() - TAIL_BYTES);
    [&text[..head], &text[tail..]]
}

/// What a character is to the words around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Between words.
    Gap,
    /// A letter or digit: goes on with the word it stands in.
    Letter,
    /// A word by itself.
    Ideograph,
}

pub(crate) fn kind(c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Kind::Letter,
        _ if c.is_ascii() || !c.is_alphanumeric() => Kind::Gap,
        _ if is_ideograph(c) => Kind::Ideograph,
        _ => Kind::Letter,
    }
}

/// The byte ranges of the words of `text`, in order.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = rest.find(|&(_, c)| kind(c) != Kind::Gap)?;
        let mut end = start + first.len_utf8();
        if kind(first) == Kind::Letter {
            while let Some((at, c)) = rest.next_if(|&(_, c)| kind(c) == Kind::Letter) {
                end = at + c.len_utf8();
            }
        }
        Some(start..end)
    })
}

/// Han, kana and the signs between them; Hangul has spaces.
pub(crate) fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{31ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// A character as the hashes see it: lower case, every digit a zero, so that numbers are shapes.
pub(crate) fn fold(c: char) -> char {
    match c {
        '0'..='9' => '0',
        _ if c.is_ascii() => c.to_ascii_lowercase(),
        _ => c.to_lowercase().next().unwrap_or(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).map(|range| &text[range]).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(split("It's 3pm, naïve_café!"), ["It", "s", "3pm", "naïve", "café"]);
        assert!(split(" …!? ").is_empty());
    }

    #[test]
    fn each_ideograph_is_a_word() {
        assert_eq!(split("abc你好 한국"), ["abc", "你", "好", "한국"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ж".repeat(100_000) + "a";
        let [head, tail] = cut(&text);
        assert_eq!(head.len(), HEAD_BYTES);
        assert!(tail.len() <= TAIL_BYTES && tail.ends_with('a'));
        assert_eq!(cut("short"), ["short", ""]);
    }
}
