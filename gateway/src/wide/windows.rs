//! Cuts texts into windows about the size of a sentence.
//!
//! A sentence hidden in another text is lost in a window of a kilobyte: of 187 prompts about finance, law or medicine in
//! the middle of 4 KiB of something else 2 in 100 were found in windows of 2 KiB, 12 in windows of 1 KiB, and 85 by
//! sentences, about as many as where they stand alone.

use std::ops::ControlFlow;

use crate::ask::unescape;
use crate::text::cut_before;

/// Bytes from which on a sentence is a window of its own; shorter ones go with what follows.
const LEAST: usize = 60;
/// Bytes at which a window ends though no sentence does.
const MOST: usize = 400;
/// Bytes of a literal that are unescaped at a time.
const CHUNK: usize = 4096;
/// Bytes of the alphabet of base64 in a row that are no word of any language: images, recordings, keys.
const ENCODED: usize = 128;

/// The end of the reading: somebody had enough.
pub(super) type Flow = ControlFlow<()>;

/// Text on its way into windows.
#[derive(Default)]
pub(super) struct Windows {
    pending: String,
    /// Bytes of `pending` in which no window ends.
    scanned: usize,
    /// Bytes of text that were read.
    pub(super) read: usize,
}

impl Windows {
    /// Takes the inside of a literal, and shows the windows that are whole.
    pub(super) fn take(&mut self, raw: &str, see: &mut impl FnMut(&Self, &str) -> Flow) -> Flow {
        let mut rest = raw;
        while !rest.is_empty() {
            let encoded = encoded(rest.as_bytes());
            if encoded >= ENCODED {
                rest = &rest[encoded..];
                // a stretch of it at a time, so that who waits can give up
                see(self, "")?;
                continue;
            }
            let length = until_encoded(&rest.as_bytes()[..rest.len().min(CHUNK)]);
            let length = if length < rest.len() { cut_before(rest, length) } else { length };
            let length = if length == 0 { rest.len().min(CHUNK) } else { length };
            let length = rest.ceil_char_boundary(length);
            let text = unescape(&rest[..length]);
            self.read += text.len();
            self.pending.push_str(&text);
            rest = &rest[length..];
            self.show_whole(see)?;
        }
        self.pending.push('\n');
        self.show_whole(see)
    }

    /// Shows what is left.
    pub(super) fn finish(&mut self, see: &mut impl FnMut(&Self, &str) -> Flow) -> Flow {
        let rest = std::mem::take(&mut self.pending);
        if rest.trim().is_empty() { Flow::Continue(()) } else { see(self, rest.trim()) }
    }

    fn show_whole(&mut self, see: &mut impl FnMut(&Self, &str) -> Flow) -> Flow {
        let pending = std::mem::take(&mut self.pending);
        let mut start = 0;
        let mut at = self.scanned;
        while let Some(end) = end_of_window(&pending, start, &mut at) {
            let window = pending[start..end].trim();
            start = end;
            if !window.is_empty() {
                see(self, window)?;
            }
        }
        self.scanned = pending.len() - start;
        self.pending = pending;
        self.pending.drain(..start);
        Flow::Continue(())
    }
}

/// The end of the window that begins at `start`, if it is there; `at` is how far it was looked for.
fn end_of_window(text: &str, start: usize, at: &mut usize) -> Option<usize> {
    let bytes = text.as_bytes();
    while *at < bytes.len() {
        let here = *at;
        *at += 1;
        if here + 1 - start >= LEAST && ends_a_sentence(bytes, here) {
            return Some(text.ceil_char_boundary(here + 1));
        }
        if here + 1 - start >= MOST {
            let space = bytes[start + LEAST..=here].iter().rposition(u8::is_ascii_whitespace);
            let end = space.map_or(here + 1, |space| start + LEAST + space + 1);
            let end = text.ceil_char_boundary(end);
            *at = end;
            return Some(end);
        }
    }
    None
}

fn ends_a_sentence(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        b'\n' => true,
        b' ' | b'\t' => at > 0 && matches!(bytes[at - 1], b'.' | b'?' | b'!'),
        // the last bytes of `。`, `！` and `？`
        0x82 => bytes[..at].ends_with(&[0xe3, 0x80]),
        0x81 | 0x9f => bytes[..at].ends_with(&[0xef, 0xbc]),
        _ => false,
    }
}

fn is_of_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
}

/// Length of the run of base64 that `bytes` begin with, at most 64 KiB.
fn encoded(bytes: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let bytes = &bytes[..bytes.len().min(64 * 1024)];
    // without a branch in it, for the compiler to take a block at a time
    let whole = |block: &&[u8]| block.iter().fold(true, |all, byte| all & is_of_base64(*byte));
    let blocks = bytes.chunks_exact(BLOCK).take_while(whole).count() * BLOCK;
    blocks + bytes[blocks..].iter().take_while(|byte| is_of_base64(**byte)).count()
}

/// Bytes until a run of base64 begins.
fn until_encoded(bytes: &[u8]) -> usize {
    let mut run = 0;
    for (at, byte) in bytes.iter().enumerate() {
        run = if is_of_base64(*byte) { run + 1 } else { 0 };
        if run == ENCODED {
            return at + 1 - ENCODED;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(literals: &[&str]) -> Vec<String> {
        let mut shown = Vec::new();
        let mut windows = Windows::default();
        let mut see = |_: &Windows, window: &str| {
            shown.extend((!window.is_empty()).then(|| window.to_owned()));
            Flow::Continue(())
        };
        literals.iter().for_each(|raw| assert!(windows.take(raw, &mut see).is_continue()));
        assert!(windows.finish(&mut see).is_continue());
        shown
    }

    #[test]
    fn a_window_is_a_sentence_unless_it_is_short_or_long() {
        let (long, short) =
            ("The quick brown fox jumps over the lazy dog and over the sleeping cat in the sun. ", "Yes. ");
        assert!(long.len() >= LEAST);
        assert_eq!(of(&[&long.repeat(3)]), [long.trim(); 3]);
        assert_eq!(of(&[&short.repeat(4)]), [short.repeat(4).trim()]);
        let endless = "word ".repeat(200);
        let windows = of(&[&endless]);
        assert!(windows.iter().all(|window| window.len() <= MOST && window.split(' ').all(|w| w == "word")));
        assert_eq!(windows.join(" "), endless.trim());
        assert_eq!(of(&[&"x.".repeat(399)]).concat(), "x.".repeat(399));
    }

    #[test]
    fn a_sentence_in_pieces_is_one_window() {
        let words = ["Should", "I", "move", "my", "pension", "fund"];
        assert_eq!(of(&words), [words.join("\n")]);
    }

    #[test]
    fn what_is_encoded_is_passed_over_and_what_stands_around_it_is_not() {
        let image = "iVBORw0KGgo/+".repeat(20_000);
        assert_eq!(of(&[&format!("data:image/png;base64,{image}")]), ["data:image/png;base64,"]);
        assert_eq!(of(&[&format!("before {image} after")]), ["before  after"]);
        let (word, run) = ("a".repeat(ENCODED - 1), "a".repeat(ENCODED));
        assert_eq!(of(&[&word]), [&*word]);
        assert_eq!(of(&[&run]), [""; 0]);
    }

    proptest! {
        #[test]
        fn every_word_is_in_a_window(words in prop::collection::vec("[a-zé字]{1,30}[.?,]?", 0..300)) {
            let text = words.join(" ");
            let literal = serde_json::to_string(&text).unwrap();
            let windows = of(&[&literal[1..literal.len() - 1]]);
            prop_assert!(windows.iter().all(|window| window.len() <= MOST + 4));
            let all: String = windows.concat().split_whitespace().collect();
            prop_assert_eq!(all, words.concat());
        }

        #[test]
        fn no_literal_makes_it_panic(text in any::<String>(), slashes in 0_usize..9000) {
            of(&[&text, &"\\".repeat(slashes), &format!("{}{text}", "\\".repeat(slashes))]);
        }
    }
}
