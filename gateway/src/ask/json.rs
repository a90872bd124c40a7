//! JSON as it stands: nesting, literals and objects, read without building anything.

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memchr_iter, memchr2};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::MAX_DEPTH;
use crate::error::Failure;

/// Refuses nesting deeper than `MAX_DEPTH`; strings are skipped at memchr's speed.
pub(super) fn check_depth(body: &[u8]) -> Result<(), Failure> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => at = end_of_string(body, at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Failure::InvalidJson(format!("nested deeper than {MAX_DEPTH} levels at byte {at}")));
        }
        at += 1;
    }
    Ok(())
}

/// The index of the quote that closes the string whose inside starts at `at`.
fn end_of_string(body: &[u8], mut at: usize) -> usize {
    while let Some(found) = body.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        if body[at + found] == b'"' {
            return at + found;
        }
        at += found + 2;
    }
    body.len()
}

/// The inside of a string literal as it was meant. Half of a surrogate pair, which a cut string of JavaScript may end
/// in, is the replacement character.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    let Some(mut at) = memchr(b'\\', raw.as_bytes()) else { return Cow::Borrowed(raw) };
    let mut text = String::with_capacity(raw.len());
    let mut done = 0;
    loop {
        text.push_str(&raw[done..at]);
        let (meant, length) = escape(&raw.as_bytes()[at..]);
        text.push(meant);
        done = raw.ceil_char_boundary(at + length);
        match memchr(b'\\', &raw.as_bytes()[done..]) {
            Some(next) => at = done + next,
            None => break,
        }
    }
    text.push_str(&raw[done..]);
    Cow::Owned(text)
}

/// Bytes that a piece of JSON has with its escapes undone: what `\u4e2d` and `中` have in common.
pub(crate) fn plain_len(raw: &str) -> usize {
    let bytes = raw.as_bytes();
    let Some(mut at) = memchr(b'\\', bytes) else { return raw.len() };
    let mut length = raw.len();
    loop {
        let (meant, written) = escape(&bytes[at..]);
        length = (length + meant.len_utf8()).saturating_sub(written);
        at += written;
        match bytes.get(at..).and_then(|rest| memchr(b'\\', rest)) {
            Some(next) => at += next,
            None => return length,
        }
    }
}

/// What an escape means, and how many bytes it is written with.
fn escape(bytes: &[u8]) -> (char, usize) {
    let simple = match bytes.get(1) {
        Some(b'u') => return unicode_escape(bytes),
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(&byte) if byte.is_ascii() => char::from(byte),
        // a cut literal
        _ => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (simple, 2)
}

fn unicode_escape(bytes: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |all, digit| Some(all * 16 + char::from(*digit).to_digit(16)?))
    };
    let Some(first) = unit(0) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if let (0xD800..0xDC00, Some(second @ 0xDC00..0xE000)) = (first, unit(6)) {
        let both = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// The inside of a string value; `None`: it is no string.
pub(super) fn inside(raw: &RawValue) -> Option<&str> {
    raw.get().strip_prefix('"')?.strip_suffix('"')
}

/// A string value as it was meant; `None`: it is no string.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    inside(raw).map(unescape)
}

/// Whether a field asks for something: it is there, and not empty.
pub(super) fn asks(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| !matches!(raw.get(), "null" | "false" | "[]" | "{}" | "\"\"" | "\"none\""))
}

/// Items of a list of numbers, `[` and `]` included.
pub(super) fn numbers_in(list: &str) -> u64 {
    let empty = list.trim_matches(['[', ']', ' ', '\n', '\r', '\t']).is_empty();
    if empty { 0 } else { 1 + memchr_iter(b',', list.as_bytes()).count() as u64 }
}

/// Goes through the fields of an object. `see` gets each key as it was meant and each value as it stands.
pub(super) fn fields<'a>(
    object: &'a str,
    see: impl FnMut(&str, &'a RawValue) -> Result<(), String>,
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    deserializer.deserialize_map(Fields(see))
}

/// The visitor behind [`fields`].
pub(super) struct Fields<F>(pub(super) F);

impl<'de, F: FnMut(&str, &'de RawValue) -> Result<(), String>> Visitor<'de> for Fields<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&RawValue>()? {
            let value = map.next_value::<&RawValue>()?;
            self.0(&text(key).unwrap_or_default(), value).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

/// Puts a value into its place, unless there is one: two readers could take different ones.
pub(super) fn once<'a>(
    slot: &mut Option<&'a RawValue>,
    key: &str,
    value: &'a RawValue,
) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("the key `{key}` stands twice")),
    }
}

/// Refuses a key that a reader which does not mind capitals (Go's is one) takes for a known one.
pub(super) fn refuse_case_variant(key: &str, known: &[&str]) -> Result<(), String> {
    if key.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Ok(());
    }
    let folded = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    match known.iter().find(|known| key.chars().map(folded).eq(known.chars())) {
        Some(known) => Err(format!("the key `{key}` could be read as `{known}`: write it in lower case")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_a_pair_is_the_replacement_character() {
        for (raw, text) in [
            (r"a\ud83d", "a\u{fffd}"),
            (r"\ude00b", "\u{fffd}b"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud83dA", "\u{fffd}A"),
            (r"\\ud83d", r"\ud83d"),
            ("\\", "\u{fffd}"),
            (r"\u12", "\u{fffd}12"),
            ("\\é", "\u{fffd}é"),
        ] {
            assert_eq!(unescape(raw), text, "{raw}");
        }
    }

    #[test]
    fn numbers_of_a_list_are_counted() {
        for (list, count) in [("[]", 0), ("[ \n]", 0), ("[1]", 1), ("[1, 2,3]", 3)] {
            assert_eq!(numbers_in(list), count, "{list}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_meant(text in any::<String>()) {
            let ascii: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let usual = serde_json::to_string(&text).unwrap();
            for raw in [&usual[1..usual.len() - 1], &ascii] {
                prop_assert_eq!(unescape(raw), &*text);
                prop_assert_eq!(plain_len(raw), text.len());
            }
        }

        #[test]
        fn no_text_makes_it_panic(raw in any::<String>()) {
            prop_assert_eq!(plain_len(&raw), unescape(&raw).len());
        }
    }
}
