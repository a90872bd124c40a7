//! Picks fields of a JSON object without reading the rest, for texts that others wrote: a key that stands twice
//! is no error there, its last value counts, as in most JSON readers.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The values of these keys at the top level of an object, in the order of `names`; `null` counts as absent.
/// `None`: no JSON object.
pub fn pick<'a, const N: usize>(json: &'a [u8], names: [&str; N]) -> Option<[Option<&'a RawValue>; N]> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let picked = Pick(names).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(picked)
}

struct Pick<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Pick<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Pick<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut picked = [None; N];
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            match self.0.iter().position(|name| *name == key) {
                Some(at) => picked[at] = map.next_value::<Option<&RawValue>>()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(picked)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

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
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for json in ["", "[]", "{", "{}x", r#"{"a":}"#, "<html>"] {
            assert_eq!(picked(json, ["a", "b"]), None, "{json}");
        }
    }
}
