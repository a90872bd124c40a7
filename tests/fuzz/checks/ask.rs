//! What holds of every body: nothing panics, and a body that can be read is rewritten in `model` and
//! `stream_options` only.

use bytes::Bytes;
use gateway::api::Dialect;
use gateway::ask::Ask;
use gateway::text;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

const MODEL: &str = "org/\"other\"";

/// Panics where a claim of this file does not hold.
pub(crate) fn check(body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    for dialect in Dialect::ALL {
        let Ok(ask) = Ask::parse(dialect, &body) else { continue };
        let routable = text::routable(&ask);
        text::script(&routable.text);
        assert!(text::opening(&ask).all(|text| text.len() <= body.len()));
        for usage in [false, true] {
            only_what_may_differ_does(dialect, &ask, &body, usage);
        }
    }
}

fn only_what_may_differ_does(dialect: Dialect, ask: &Ask<'_>, body: &Bytes, usage: bool) {
    assert_eq!(ask.rewrite(body, &ask.model, false), body, "nothing to change");
    let rewritten = ask.rewrite(body, MODEL, usage);
    let again = Ask::parse(dialect, &rewritten).unwrap_or_else(|e| panic!("rewritten: {e:?}"));
    let asks = ask.wants_usage || usage && ask.stream;
    assert_eq!((&*again.model, again.stream, again.wants_usage), (MODEL, ask.stream, asks));
    assert_eq!(again.tokens_estimated, ask.tokens_estimated);
    let (before, after) = (fields(body), fields(&rewritten));
    assert_eq!(without(&before, &["model", "stream_options"]), without(&after, &["model", "stream_options"]));
    assert_eq!(options(&before), options(&after));
}

/// The stream options beside the one that may change.
fn options<'a>(fields: &[(String, &'a str)]) -> Vec<(String, &'a str)> {
    let raw = fields.iter().find(|(key, raw)| key == "stream_options" && raw.starts_with('{'));
    raw.map_or_else(Vec::new, |(_, raw)| without(&self::fields(raw.as_bytes()), &["include_usage"]))
}

fn without<'a>(fields: &[(String, &'a str)], keys: &[&str]) -> Vec<(String, &'a str)> {
    fields.iter().filter(|(key, _)| !keys.contains(&key.as_str())).cloned().collect()
}

/// Keys and values of an object in their order, the values as they are written.
fn fields(object: &[u8]) -> Vec<(String, &str)> {
    struct Fields<'a>(Vec<(String, &'a str)>);
    struct InOrder;
    impl<'de> Visitor<'de> for InOrder {
        type Value = Fields<'de>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
            let mut fields = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                fields.push((key, value.get()));
            }
            Ok(Fields(fields))
        }
    }
    impl<'de> Deserialize<'de> for Fields<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(InOrder)
        }
    }
    let Fields(fields) = serde_json::from_slice(object).unwrap_or_else(|e| panic!("no object: {e}"));
    fields
}
