//! OpenAI's wire, spoken by vLLM, Ollama, llama.cpp, TGI and most hosted models.
//!
//! After the commit an event is scanned, not parsed: inside a JSON string every quote is escaped, so `"usage"`
//! with bare quotes and a colon behind can only be a key. Only events in which something of interest stands are
//! parsed.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{AnswerFacts, EventFacts, Provider, Refusal};
use crate::api::Dialect;
use crate::config::Secret;
use crate::json::pick;
use crate::usage::{Usage, reported};

/// The codec.
#[derive(Debug)]
pub(super) struct OpenAi;

impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn path(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Chat => "/chat/completions",
            Dialect::Completions => "/completions",
            Dialect::Embeddings => "/embeddings",
        }
    }

    fn authorization(&self, key: &Secret) -> Option<(HeaderName, HeaderValue)> {
        Some((AUTHORIZATION, key.header("Bearer ")?))
    }

    fn event(&self, data: &[u8], thorough: bool) -> EventFacts {
        if data == b"[DONE]" {
            return EventFacts { done: true, ..EventFacts::default() };
        }
        if thorough || is_interesting(data) {
            return parse_event(data);
        }
        EventFacts { meaningful: true, text_bytes: text_bytes(data), ..EventFacts::default() }
    }

    fn answer(&self, dialect: Dialect, body: &[u8]) -> AnswerFacts {
        let key = if dialect == Dialect::Embeddings { "data" } else { "choices" };
        let Some([error, result, usage]) = pick(body, ["error", key, "usage"]) else {
            return AnswerFacts::Bad(if body.is_empty() {
                "an empty body"
            } else {
                "a body that is no JSON answer"
            });
        };
        if error.is_some() {
            return AnswerFacts::Bad("an error with status 200");
        }
        let Some(result) = result.filter(|r| r.get() != "[]") else {
            return AnswerFacts::Bad("an answer without choices");
        };
        let usage = usage.and_then(|raw| reported(raw.get()));
        let counts = (usage.is_none() && dialect != Dialect::Embeddings).then_some(result);
        AnswerFacts::Good { usage, text_bytes: counts.map_or(0, |r| text_bytes(r.get().as_bytes())) }
    }

    fn usage_in_tail(&self, tail: &[u8]) -> Option<Usage> {
        let at = KEYS.telling[USAGE]
            .find_iter(tail)
            .filter(|at| has_value_at(tail, *at, &KEYS.telling[USAGE]))
            .last()?;
        let value = &tail[at + KEYS.telling[USAGE].needle().len()..];
        let value = value.trim_ascii_start().strip_prefix(b":")?;
        let object = serde_json::Deserializer::from_slice(value).into_iter::<&RawValue>().next()?.ok()?;
        reported(object.get())
    }

    fn refusal(&self, status: u16, body: &[u8], added: bool) -> Refusal {
        Refusal::read(status, body, added)
    }
}

/// Position of `"usage"` in [`Keys::telling`].
const USAGE: usize = 1;

/// Searchers for the keys that matter; made once, because making one costs more than searching a chunk.
struct Keys {
    telling: [Finder<'static>; 3],
    texts: [Finder<'static>; 4],
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    telling: ["\"finish_reason\"", "\"usage\"", "\"error\""].map(Finder::new),
    texts: ["\"content\"", "\"text\"", "\"reasoning_content\"", "\"arguments\""].map(Finder::new),
});

/// Whether a chunk says more than text: an error, a finish, usage.
fn is_interesting(data: &[u8]) -> bool {
    KEYS.telling.iter().any(|key| has_value(data, key))
}

/// Whether the key stands in it with a value other than null.
fn has_value(data: &[u8], key: &Finder<'_>) -> bool {
    key.find_iter(data).any(|at| has_value_at(data, at, key))
}

fn has_value_at(data: &[u8], at: usize, key: &Finder<'_>) -> bool {
    let rest = data[at + key.needle().len()..].trim_ascii_start();
    rest.first() == Some(&b':') && !rest[1..].trim_ascii_start().starts_with(b"null")
}

/// Bytes of the text values in a chunk or an answer, escapes included.
fn text_bytes(data: &[u8]) -> usize {
    let behind = |key: &Finder<'_>| -> usize {
        key.find_iter(data).map(|at| string_len(&data[at + key.needle().len()..])).sum()
    };
    KEYS.texts.iter().map(behind).sum()
}

/// Length of the string behind a key's colon; 0 where there is none.
fn string_len(rest: &[u8]) -> usize {
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b":") else { return 0 };
    let Some(inside) = rest.trim_ascii_start().strip_prefix(b"\"") else { return 0 };
    let mut at = 0;
    while let Some(found) = inside.get(at..).and_then(|r| memchr::memchr2(b'"', b'\\', r)) {
        if inside[at + found] == b'"' {
            return at + found;
        }
        at += found + 2;
    }
    inside.len()
}

fn parse_event(data: &[u8]) -> EventFacts {
    let mut facts = EventFacts::default();
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
        facts.error = Some("an event that is no JSON".to_owned());
        return facts;
    };
    if let Some(error) = chunk.error.filter(|e| e.get() != "null") {
        facts.error = Some(error.get().chars().take(300).collect());
        return facts;
    }
    facts.usage = chunk.usage.and_then(|raw| reported(raw.get()));
    facts.only_usage = chunk.usage.is_some_and(|u| u.get() != "null") && chunk.choices.is_empty();
    for choice in &chunk.choices {
        let finished = choice.finish_reason.is_some_and(|r| r.get() != "null");
        if finished {
            facts.finished |= 1_u128.checked_shl(choice.index).unwrap_or(0);
        }
        let text = choice.text.is_some_and(|t| !is_blank(t.get()));
        facts.meaningful |= finished || text || choice.delta.as_ref().is_some_and(|d| d.0);
    }
    facts.text_bytes = text_bytes(data);
    facts
}

fn is_blank(raw: &str) -> bool {
    matches!(raw, "null" | "\"\"" | "[]" | "{}")
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(default)]
    delta: Option<Delta>,
}

/// Whether anything but the role stands in a delta.
struct Delta(bool);

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Delta;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a delta")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Delta, A::Error> {
                let mut any = false;
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    let value: &RawValue = map.next_value()?;
                    any |= key != "role" && !is_blank(value.get());
                }
                Ok(Delta(any))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str, thorough: bool) -> EventFacts {
        OpenAi.event(data.as_bytes(), thorough)
    }

    #[test]
    fn a_role_alone_is_not_yet_an_answer() {
        assert!(
            !event(
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                true
            )
            .meaningful
        );
        assert!(!event(r#"{"choices":[]}"#, true).meaningful);
        assert!(event(r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#, true).meaningful);
        assert!(event(r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}"#, true).meaningful);
        assert!(event(r#"{"choices":[{"index":0,"text":"a"}]}"#, true).meaningful);
    }

    #[test]
    fn scanning_sees_what_parsing_sees() {
        let chunks = [
            r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"\"usage\": {"},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[], "usage" : {"prompt_tokens":3,"completion_tokens":4}}"#,
            r#"{"error":{"message":"boom"}}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"finish_reason"},"finish_reason": null}]}"#,
        ];
        for chunk in chunks {
            let (scanned, parsed) = (event(chunk, false), event(chunk, true));
            assert_eq!(scanned.finished, parsed.finished, "{chunk}");
            assert_eq!(scanned.usage, parsed.usage, "{chunk}");
            assert_eq!(scanned.error, parsed.error, "{chunk}");
            assert_eq!(scanned.only_usage, parsed.only_usage, "{chunk}");
            assert_eq!(scanned.text_bytes, parsed.text_bytes, "{chunk}");
        }
    }

    #[test]
    fn a_whole_answer_must_be_one() {
        let bad = [
            "",
            "<html>",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"error":{"message":"x"},"choices":[1]}"#,
            r#"{"choices":[{"index":0"#,
        ];
        for body in bad {
            assert!(matches!(OpenAi.answer(Dialect::Chat, body.as_bytes()), AnswerFacts::Bad(_)), "{body}");
        }
        let good = r#"{"choices":[{"message":{"content":"abcd"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        let usage = Some(Usage { input: 1, output: 2, ..Usage::default() });
        assert_eq!(OpenAi.answer(Dialect::Chat, good.as_bytes()), AnswerFacts::Good { usage, text_bytes: 0 });
        let silent = r#"{"choices":[{"message":{"content":"abcd"}}]}"#;
        let counted = AnswerFacts::Good { usage: None, text_bytes: 4 };
        assert_eq!(OpenAi.answer(Dialect::Chat, silent.as_bytes()), counted);
    }
}
