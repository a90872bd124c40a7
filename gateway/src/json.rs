//! Picks fields of a JSON object without reading the rest, for texts that others wrote: a key that stands twice
//! is no error there, its last value counts, as in most JSON readers; half of a surrogate pair in a text is none
//! either, and `NaN` and `Infinity`, which Python's servers write and its clients read, are numbers.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The values of these keys at the top level of an object, in the order of `names`; `null` counts as absent.
/// `None`: no JSON object.
pub fn pick<'a, const N: usize>(json: &'a [u8], names: [&str; N]) -> Option<[Option<&'a RawValue>; N]> {
    let mut picked = [None; N];
    each(json, |key, value| {
        if let Some(at) = names.iter().position(|name| name.as_bytes() == key) {
            picked[at] = Some(value).filter(|value| value.get() != "null");
        }
    })?;
    Some(picked)
}

/// Shows every key of an object with its value, `null` too. `None`: no JSON object.
pub fn each<'a>(json: &'a [u8], mut on: impl FnMut(&[u8], &'a RawValue)) -> Option<()> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Each(&mut on).deserialize(&mut reader).ok()?;
    reader.end().ok()
}

/// Shows every item of a list. `None`: no JSON list.
pub fn items<'a>(json: &'a [u8], mut on: impl FnMut(&'a RawValue)) -> Option<()> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Items(&mut on).deserialize(&mut reader).ok()?;
    reader.end().ok()
}

/// The text with 0 wherever `NaN`, `Infinity` or `-Infinity` stands outside of its strings, every byte behind it
/// where it was. `None`: there is none.
pub fn without_nan(json: &[u8]) -> Option<Vec<u8>> {
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at = behind_string(json, at),
            b'N' | b'I' | b'-' => {
                let word =
                    [&b"NaN"[..], b"Infinity", b"-Infinity"].into_iter().find(|w| json[at..].starts_with(w));
                let Some(word) = word else {
                    at += 1;
                    continue;
                };
                let mended = mended.get_or_insert_with(|| json.to_vec());
                mended[at..at + word.len()].fill(b' ');
                mended[at] = b'0';
                at += word.len();
            }
            _ => at += 1,
        }
    }
    mended
}

/// Where the string that begins at `at` has ended.
pub fn behind_string(json: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        if json[at + found] == b'"' {
            return at + found + 1;
        }
        at += found + 2;
    }
    json.len()
}

struct Each<'f, F>(&'f mut F);

impl<'de, F: FnMut(&[u8], &'de RawValue)> DeserializeSeed<'de> for Each<'_, F> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&[u8], &'de RawValue)> Visitor<'de> for Each<'_, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            (self.0)(&key, map.next_value()?);
        }
        Ok(())
    }
}

struct Items<'f, F>(&'f mut F);

impl<'de, F: FnMut(&'de RawValue)> DeserializeSeed<'de> for Items<'_, F> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}

/// A key as bytes: as a text it would have to be one.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, [u8]>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_borrowed_bytes<E>(self, key: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_vec()))
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key.as_bytes()))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.as_bytes().to_vec()))
    }
}

/// How many objects and lists are still open where this rest of a JSON text begins.
pub fn depth_before(rest: &[u8]) -> i32 {
    let (mut closed, mut at) = (0, 0);
    while let Some(byte) = rest.get(at) {
        match byte {
            b'"' => {
                at = behind_string(rest, at);
                continue;
            }
            b'{' | b'[' => closed -= 1,
            b'}' | b']' => closed += 1,
            _ => {}
        }
        at += 1;
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked<'a>(json: &'a str, names: [&str; 2]) -> Option<[Option<&'a str>; 2]> {
        pick(json.as_bytes(), names).map(|values| values.map(|v| v.map(RawValue::get)))
    }

    #[test]
    fn the_last_of_two_counts_and_null_is_nothing() {
        let json = r#"{"a":1,"x":{"a":9},"b":null,"a":[2]}"#;
        assert_eq!(picked(json, ["a", "b"]), Some([Some("[2]"), None]));
        assert_eq!(picked(r#"{"a":1,"a":null}"#, ["a", "b"]), Some([None, None]));
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for json in ["", "[]", "{", "{}x", r#"{"a":}"#, "<html>"] {
            assert_eq!(picked(json, ["a", "b"]), None, "{json}");
        }
    }

    #[test]
    fn half_of_a_surrogate_pair_hurts_nobody() {
        let json = r#"{"\ud83d":"\ude00","a":"\ud83d","\u0062":1}"#;
        assert_eq!(picked(json, ["a", "b"]), Some([Some(r#""\ud83d""#), Some("1")]));
    }

    #[test]
    fn numbers_that_only_python_writes_become_zeros_in_their_place() {
        let json = r#"{"a":NaN,"b":[-Infinity,Infinity,-1],"c":"NaN \" Infinity"}"#;
        let mended = without_nan(json.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(mended).unwrap(),
            r#"{"a":0  ,"b":[0        ,0       ,-1],"c":"NaN \" Infinity"}"#
        );
        assert_eq!(without_nan(br#"{"a":-1,"b":"NaN","c":null}"#), None);
        assert_eq!(without_nan(br#"{"a":"NaN"#), None, "a torn string");
    }
}
