//! OpenAI's wire, spoken by vLLM, Ollama, llama.cpp, TGI and most hosted models.
//!
//! After the commit an event is scanned, not parsed: inside a JSON string every quote is escaped, so `"usage"`
//! with bare quotes and a colon behind can only be a key. Only events in which something of interest stands are
//! parsed.

mod chunk;
mod long;
mod played;

use std::sync::LazyLock;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use memchr::memmem::Finder;
use serde_json::value::RawValue;

use super::{AnswerFacts, EventFacts, OpenChoice, Provider, Refusal};
use crate::api::Dialect;
use crate::config::Secret;
use crate::json::{pick, without_nan};
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
        let data = data.trim_ascii();
        // so do SDKs: whatever stands behind it
        if data.starts_with(b"[DONE]") {
            return EventFacts { done: true, ..EventFacts::default() };
        }
        if thorough || is_interesting(data) {
            return chunk::read(data);
        }
        match text_bytes(data) {
            // a role, a call without arguments yet, or a ping in the clothes of a chunk
            0 => chunk::read(data),
            text_bytes => EventFacts { meaningful: true, text_bytes, ..EventFacts::default() },
        }
    }

    fn beginning_of_event(&self, data: &[u8]) -> (EventFacts, OpenChoice) {
        long::beginning(data)
    }

    fn end_of_event(&self, end: &[u8], open: OpenChoice, text_bytes: usize) -> EventFacts {
        EventFacts { meaningful: true, usage: self.usage_in_tail(end), text_bytes, ..long::end(end, open) }
    }

    fn text_bytes(&self, data: &[u8]) -> usize {
        text_bytes(data)
    }

    fn played(&self, dialect: Dialect, answer: &[u8], wants_usage: bool) -> Option<Vec<u8>> {
        played::events(dialect, answer, wants_usage)
    }

    fn answer(&self, dialect: Dialect, body: &[u8]) -> AnswerFacts {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        read_answer(dialect, body).unwrap_or_else(|| {
            let mended = without_nan(body).and_then(|mended| read_answer(dialect, &mended));
            mended.unwrap_or(AnswerFacts::Bad(if body.is_empty() {
                "an empty body"
            } else {
                "a body that is no JSON answer"
            }))
        })
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

/// `None`: it is no JSON object.
fn read_answer(dialect: Dialect, body: &[u8]) -> Option<AnswerFacts> {
    let embeds = dialect == Dialect::Embeddings;
    let [error, result, usage] = pick(body, ["error", if embeds { "data" } else { "choices" }, "usage"])?;
    if error.is_some_and(|error| !chunk::is_falsy(error.get())) {
        return Some(AnswerFacts::Bad("an error with status 200"));
    }
    // no texts have no embeddings
    let Some(result) = result.filter(|r| r.get().starts_with('[') && (embeds || !chunk::is_blank(r.get())))
    else {
        return Some(AnswerFacts::Bad("an answer without choices"));
    };
    if !embeds && KEYS.telling[ERROR].find(result.get().as_bytes()).is_some() && chunk::have_failed(result) {
        return Some(AnswerFacts::Bad("an answer whose model failed"));
    }
    let usage = usage.and_then(|raw| reported(raw.get()));
    let counts = (usage.is_none_or(|usage| usage.implausible) && !embeds).then_some(result);
    Some(AnswerFacts::Good { usage, text_bytes: counts.map_or(0, |r| text_bytes(r.get().as_bytes())) })
}

/// Positions in [`Keys::telling`].
const FINISH: usize = 0;
const USAGE: usize = 1;
const ERROR: usize = 2;

/// Searchers for the keys that matter; made once, because making one costs more than searching a chunk.
struct Keys {
    telling: [Finder<'static>; 3],
    index: Finder<'static>,
    object: Finder<'static>,
    texts: [Finder<'static>; 4],
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    telling: ["\"finish_reason\"", "\"usage\"", "\"error\""].map(Finder::new),
    index: Finder::new("\"index\""),
    object: Finder::new("\"object\""),
    // the third begins two keys: OpenRouter's and vLLM's `reasoning`, DeepSeek's `reasoning_content`
    texts: ["\"content\"", "\"text\"", "\"reasoning", "\"arguments\""].map(Finder::new),
});

/// Whether a chunk says more than text: an error, a finish, usage.
fn is_interesting(data: &[u8]) -> bool {
    let [finish, usage, error] = &KEYS.telling;
    // OpenAI's error is a key; vLLM's flat one is what its object is called
    let is_error = |at| has_value_at(data, at, error) || data[..at].trim_ascii_end().ends_with(b":");
    has_value(data, finish) || has_value(data, usage) || error.find_iter(data).any(is_error)
}

/// Whether the key stands in it with a value other than null or an empty text.
fn has_value(data: &[u8], key: &Finder<'_>) -> bool {
    key.find_iter(data).any(|at| has_value_at(data, at, key))
}

fn has_value_at(data: &[u8], at: usize, key: &Finder<'_>) -> bool {
    let rest = data[at + key.needle().len()..].trim_ascii_start();
    let Some(value) = rest.strip_prefix(b":") else { return false };
    let value = value.trim_ascii_start();
    !value.starts_with(b"null") && !value.starts_with(b"\"\"")
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
    let rest = rest.strip_prefix(b"_content").unwrap_or(rest);
    let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str, thorough: bool) -> EventFacts {
        OpenAi.event(data.as_bytes(), thorough)
    }

    #[test]
    fn scanning_sees_what_parsing_sees() {
        let chunks = [
            r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"\"usage\": {"},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[], "usage" : {"prompt_tokens":3,"completion_tokens":4}}"#,
            r#"{"error":{"message":"boom"}}"#,
            r#"{"object":"error","message":"boom","code":500}"#,
            r#"{"message":"boom", "object" : "error"}"#,
            r#"{"type":"ping"}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":[{"index":0,"delta":{}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"\"object\":\"error\""}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"reasoning":"abc"},"finish_reason":""}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"finish_reason"},"finish_reason": null}]}"#,
        ];
        for chunk in chunks {
            let (scanned, parsed) = (event(chunk, false), event(chunk, true));
            assert_eq!(scanned.finished, parsed.finished, "{chunk}");
            assert_eq!(scanned.usage, parsed.usage, "{chunk}");
            assert_eq!(scanned.error, parsed.error, "{chunk}");
            assert_eq!(scanned.only_usage, parsed.only_usage, "{chunk}");
            assert_eq!(scanned.is_noise, parsed.is_noise, "{chunk}");
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
            r#"{"choices":[ ]}"#,
            r#"{"choices":null}"#,
            r#"{"choices":{}}"#,
            r#"{"choices":"x"}"#,
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

    #[test]
    fn what_clients_read_is_an_answer_here_too() {
        for body in [
            r#"{"error":null,"choices":[{"message":{"content":"a"}}]}"#,
            r#"{"error":"","choices":[{"message":{"content":"a"}}]}"#,
            "\n\n {\"choices\":[{}]}\n",
            "\u{feff}{\"choices\":[{}]}",
            r#"{"choices":[{"logprobs":{"x":NaN,"y":-Infinity}}]}"#,
            r#"{"\ud83d":1,"choices":[{"message":{"content":"\ude00"}}],"choices":[{}]}"#,
        ] {
            assert!(
                matches!(OpenAi.answer(Dialect::Chat, body.as_bytes()), AnswerFacts::Good { .. }),
                "{body}"
            );
        }
        let none = AnswerFacts::Good { usage: None, text_bytes: 0 };
        assert_eq!(OpenAi.answer(Dialect::Embeddings, br#"{"data":[]}"#), none);
    }

    #[test]
    fn the_end_of_a_long_event_tells_finish_and_usage() {
        let end = br#"AAAA"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
        let facts = OpenAi.end_of_event(end, OpenChoice::default(), 9);
        assert_eq!(facts.usage, Some(Usage { input: 3, output: 4, ..Usage::default() }));
        assert_eq!((facts.finished, facts.meaningful, facts.text_bytes), (vec![0], true, 9));
        let open = OpenAi.end_of_event(br#"AAAA"},"finish_reason":null}]}"#, OpenChoice::default(), 0);
        assert!(open.finished.is_empty());
    }

    #[test]
    fn the_marker_counts_with_blanks_around_it_and_whatever_stands_behind() {
        for marker in ["[DONE]", "[DONE] ", " [DONE]", "[DONE]\t", "[DONE] x"] {
            assert!(event(marker, true).done && event(marker, false).done, "{marker:?}");
        }
        for none in ["DONE", "[done]", "[]", "\"[DONE]\""] {
            assert!(!event(none, true).done, "{none}");
        }
    }
}
