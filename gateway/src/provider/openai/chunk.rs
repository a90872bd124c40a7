//! One chunk of a stream, read as its readers read it: what is missing, null, or of another type is no fault, a key
//! that stands twice counts as its last, and what is no chunk at all (a ping in the clothes of data) says nothing.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::text_bytes;
use crate::json::{each, items, without_nan};
use crate::provider::EventFacts;
use crate::usage::reported;

/// What every chunk carries: beside usage it says nothing new.
const ENVELOPE: [&[u8]; 8] = [
    b"id",
    b"object",
    b"created",
    b"model",
    b"system_fingerprint",
    b"service_tier",
    b"obfuscation",
    b"provider",
];

/// Reads an event's data, without blanks around it.
pub(super) fn read(data: &[u8]) -> EventFacts {
    if data.first() != Some(&b'{') {
        // `data:`, `data: null`, `data: : keepalive`
        return EventFacts { is_noise: true, ..EventFacts::default() };
    }
    let mended: Cow<'_, [u8]> = match read_json(data) {
        Some(facts) => return facts,
        None => without_nan(data).map_or(Cow::Borrowed(data), Cow::Owned),
    };
    read_json(&mended).unwrap_or(EventFacts { is_malformed: true, is_noise: true, ..EventFacts::default() })
}

/// The fields of a chunk that matter here.
#[derive(Default)]
struct Chunk<'a> {
    choices: Option<&'a RawValue>,
    usage: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    object_is_error: bool,
    /// Something stands there that no other chunk has.
    more: bool,
}

fn read_json(data: &[u8]) -> Option<EventFacts> {
    let mut chunk = Chunk::default();
    let mut elsewhere = None;
    each(data, |key, value| match key {
        b"choices" => chunk.choices = Some(value),
        b"usage" => chunk.usage = Some(value),
        b"error" => chunk.error = Some(value),
        // Groq's own place
        b"x_groq" => elsewhere = usage_in(value),
        _ => {
            chunk.object_is_error |= key == b"object" && value.get() == "\"error\"";
            chunk.more |= !is_blank(value.get()) && !ENVELOPE.contains(&key);
        }
    })?;
    if let Some(error) = error_of(&chunk, data) {
        return Some(EventFacts { error: Some(error), ..EventFacts::default() });
    }
    let mut facts = EventFacts::default();
    let mut count = 0;
    if let Some(choices) = chunk.choices {
        items(choices.get().as_bytes(), |choice| {
            elsewhere = read_choice(choice, count, &mut facts).or(elsewhere);
            count += 1;
        });
    }
    let told = chunk.usage.filter(|usage| !is_blank(usage.get()));
    facts.usage = told.or(elsewhere).and_then(|usage| reported(usage.get()));
    facts.only_usage = told.is_some() && count == 0;
    facts.says_more = chunk.more;
    let says_something = facts.meaningful || chunk.choices.is_some() && facts.says_more;
    facts.is_noise = !says_something && facts.usage.is_none();
    facts.text_bytes = text_bytes(data);
    Some(facts)
}

/// Most characters of an error that are kept: servers echo the request before they say the code.
const MOST_WORDS: usize = 64 * 1024;

/// An error in its words: OpenAI's object, or vLLM's flat one.
fn error_of(chunk: &Chunk<'_>, data: &[u8]) -> Option<String> {
    let words = match chunk.error.map(RawValue::get).filter(|error| !is_falsy(error)) {
        Some(error) => Cow::Borrowed(error),
        None if chunk.object_is_error => String::from_utf8_lossy(data),
        None => return None,
    };
    Some(words.chars().take(MOST_WORDS).collect())
}

fn usage_in(object: &RawValue) -> Option<&RawValue> {
    let mut usage = None;
    each(object.get().as_bytes(), |key, value| {
        if key == b"usage" {
            usage = Some(value);
        }
    });
    usage.filter(|usage| !is_blank(usage.get()))
}

/// Adds what a choice says; the usage in it, which is Moonshot's place.
fn read_choice<'a>(choice: &'a RawValue, position: u64, facts: &mut EventFacts) -> Option<&'a RawValue> {
    let mut index = None;
    let mut usage = None;
    let mut finished = false;
    let mut meaningful = false;
    let (mut failed, mut error) = (false, None);
    each(choice.get().as_bytes(), |key, value| match key {
        b"index" => index = whole(value),
        b"finish_reason" => {
            finished = is_reason(value.get());
            failed |= value.get() == FAILED;
        }
        b"error" => error = Some(value.get()).filter(|error| !is_falsy(error)),
        b"text" => meaningful |= !is_blank(value.get()),
        b"delta" | b"message" => meaningful |= says_something(value),
        b"usage" => usage = Some(value),
        _ => {}
    });
    if failed || error.is_some() {
        let words = error.unwrap_or("\"finish_reason\": \"error\"");
        facts.error.get_or_insert_with(|| words.chars().take(MOST_WORDS).collect());
    }
    if finished {
        facts.finished.push(index.unwrap_or(position));
    }
    facts.meaningful |= finished || meaningful;
    usage.filter(|usage| !is_blank(usage.get()))
}

/// The reason of a choice whose model failed, as Mistral and OpenRouter say it.
const FAILED: &str = "\"error\"";

/// Whether every choice of an answer says that its model failed.
pub(super) fn have_failed(choices: &RawValue) -> bool {
    let (mut all, mut any) = (true, false);
    items(choices.get().as_bytes(), |choice| {
        let mut facts = EventFacts::default();
        read_choice(choice, 0, &mut facts);
        all &= facts.error.is_some();
        any = true;
    });
    all && any
}

/// An index; some servers write it in quotes, as a float, as -1 or null.
fn whole(raw: &RawValue) -> Option<u64> {
    let number: f64 = raw.get().trim_matches('"').parse().ok()?;
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u64)
}

/// Whether anything but the role stands in a delta.
fn says_something(delta: &RawValue) -> bool {
    let mut any = false;
    let is_object =
        each(delta.get().as_bytes(), |key, value| any |= key != b"role" && !is_blank(value.get()));
    any || (is_object.is_none() && !is_blank(delta.get()))
}

/// Whether it names a reason: some servers write an empty one, or the word null, into every chunk.
fn is_reason(raw: &str) -> bool {
    !matches!(raw, "null" | "\"\"" | "\"null\"" | "false")
}

/// Nothing, in whatever type.
pub(super) fn is_blank(raw: &str) -> bool {
    match raw.as_bytes() {
        b"null" | b"\"\"" => true,
        [b'[', inside @ .., b']'] | [b'{', inside @ .., b'}'] => inside.trim_ascii().is_empty(),
        _ => false,
    }
}

/// What Python's SDK takes for no error.
pub(super) fn is_falsy(raw: &str) -> bool {
    is_blank(raw) || matches!(raw, "false" | "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Usage;

    fn facts(data: &str) -> EventFacts {
        read(data.as_bytes())
    }

    #[test]
    fn what_is_no_chunk_is_noise_and_no_error() {
        for ping in [
            "",
            ": keepalive",
            "null",
            "ping",
            "\"ping\"",
            "[]",
            r#"{"type":"ping"}"#,
            "{}",
            r#"{"type": "ping", "cost": "0"}"#,
        ] {
            let facts = facts(ping);
            assert!(facts.is_noise && facts.error.is_none() && !facts.meaningful, "{ping}: {facts:?}");
        }
        for empty in [
            r#"{"choices":[]}"#,
            r#"{"id":"c","object":"chat.completion.chunk","choices":null,"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"index":0,"text":""}]}"#,
        ] {
            assert!(facts(empty).is_noise && facts(empty).error.is_none(), "{empty}");
        }
        for word in [
            r#"{"choices":[{"delta":{"content":" "}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3}}"#,
            r#"{"choices":[{"delta":{}}],"prompt_progress":{"processed":3}}"#,
        ] {
            assert!(!facts(word).is_noise, "{word}");
        }
        for torn in [r#"{"choices":[{"index":0"#, "{", r#"{"choices":[}"#] {
            assert!(facts(torn).is_malformed, "{torn}");
        }
    }

    #[test]
    fn only_a_reason_finishes_a_choice() {
        let finished = |reason: &str| {
            facts(&format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":{reason}}}]}}"#))
        };
        for none in ["null", "\"\"", "\"null\""] {
            let facts = finished(none);
            assert!(facts.finished.is_empty() && !facts.meaningful, "{none}");
        }
        for reason in ["\"stop\"", "\"length\"", "\"eos\"", "\"tool_calls\""] {
            let facts = finished(reason);
            assert!(facts.finished == [0] && facts.meaningful, "{reason}");
        }
    }

    #[test]
    fn a_choice_whose_model_failed_is_an_error() {
        for (choice, error) in [
            (r#"{"delta":{"content":""},"finish_reason":"error"}"#, Some("error")),
            (r#"{"delta":{},"finish_reason":"error","error":{"code":502,"message":"Boom"}}"#, Some("Boom")),
            (r#"{"delta":{"content":"\"error\""},"finish_reason":"stop","error":null}"#, None),
            (r#"{"delta":{"content":"a"},"finish_reason":"content_filter","error":{}}"#, None),
        ] {
            let told = facts(&format!(r#"{{"choices":[{choice}]}}"#)).error;
            assert_eq!(told.is_some(), error.is_some(), "{choice}");
            assert!(told.is_none_or(|told| told.contains(error.unwrap_or("-"))), "{choice}");
        }
    }

    #[test]
    fn a_choice_is_known_by_its_index_or_else_by_its_place() {
        let indexes = |first: &str, second: &str| {
            let choice = |index: &str| format!(r#"{{{index}"finish_reason":"stop"}}"#);
            facts(&format!(r#"{{"choices":[{},{}]}}"#, choice(first), choice(second))).finished
        };
        assert_eq!(indexes(r#""index":3,"#, r#""index":200,"#), [3, 200]);
        assert_eq!(indexes(r#""index":"3","#, r#""index":4.0,"#), [3, 4]);
        for odd in ["", r#""index":null,"#, r#""index":-1,"#, r#""index":"x","#, r#""index":1e300,"#] {
            assert_eq!(indexes(odd, odd), [0, 1], "{odd}");
        }
    }

    #[test]
    fn choices_of_any_type_are_read() {
        for odd in [
            "null",
            "{}",
            "\"x\"",
            "[null]",
            "[3]",
            "[{}]",
            r#"[{"delta":null}]"#,
            r#"[{"delta":"","text":null}]"#,
        ] {
            let facts = facts(&format!(r#"{{"choices":{odd}}}"#));
            assert!(facts.error.is_none() && !facts.meaningful && facts.finished.is_empty(), "{odd}");
        }
    }

    #[test]
    fn every_kind_of_word_is_meaningful() {
        for delta in [
            r#"{"content":"a"}"#,
            r#"{"content":" "}"#,
            r#"{"content":"\ud83d"}"#,
            r#"{"reasoning_content":"a"}"#,
            r#"{"reasoning":"a"}"#,
            r#"{"refusal":"no"}"#,
            r#"{"tool_calls":[{"index":0}]}"#,
            r#"{"function_call":{"name":"f"}}"#,
            r#"{"audio":{"id":"x"}}"#,
            r#"{"images":[{"type":"image_url"}]}"#,
            r#""a""#,
        ] {
            assert!(facts(&format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#)).meaningful, "{delta}");
        }
        for nothing in [
            r#"{"role":"assistant","content":"","refusal":null,"tool_calls":[]}"#,
            r#"{"tool_calls":[ ]}"#,
            "{}",
        ] {
            assert!(!facts(&format!(r#"{{"choices":[{{"delta":{nothing}}}]}}"#)).meaningful, "{nothing}");
        }
        assert!(facts(r#"{"choices":[{"index":0,"text":"a"}]}"#).meaningful);
    }

    #[test]
    fn usage_is_found_wherever_it_stands() {
        let usage = Some(Usage { input: 3, output: 4, ..Usage::default() });
        let told = r#"{"prompt_tokens":3,"completion_tokens":4}"#;
        for (chunk, only) in [
            (format!(r#"{{"choices":[],"usage":{told}}}"#), true),
            (format!(r#"{{"choices":null,"usage":{told}}}"#), true),
            (format!(r#"{{"usage":{told}}}"#), true),
            (format!(r#"{{"choices":[{{"delta":{{}}}}],"usage":{told}}}"#), false),
            (format!(r#"{{"choices":[{{"delta":{{}},"usage":{told}}}]}}"#), false),
            (format!(r#"{{"choices":[{{"delta":{{}}}}],"x_groq":{{"id":"r","usage":{told}}}}}"#), false),
            (format!(r#"{{"usage":null,"choices":[],"usage":{told}}}"#), true),
        ] {
            let facts = facts(&chunk);
            assert_eq!((facts.usage, facts.only_usage), (usage, only), "{chunk}");
        }
        assert!(!facts(r#"{"choices":[],"usage":null}"#).only_usage);
    }

    #[test]
    fn what_stands_beside_usage_is_noticed() {
        let more = |rest: &str| {
            facts(&format!(r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{{"prompt_tokens":3}}{rest}}}"#)).says_more
        };
        assert!(
            !more("")
                && !more(r#","system_fingerprint":"f","service_tier":null"#)
                && !more(r#","citations":null"#)
        );
        assert!(more(r#","timings":{"predicted_ms":1.5}"#) && more(r#","citations":["u"]"#));
    }

    #[test]
    fn an_error_is_one_where_pythons_sdk_sees_one() {
        for error in [
            r#"{"error":{"message":"boom"}}"#,
            r#"{"error":"boom","choices":[]}"#,
            r#"{"object":"error","message":"boom"}"#,
        ] {
            assert!(facts(error).error.is_some(), "{error}");
        }
        for none in ["null", "\"\"", "{}", "false", "[]"] {
            let chunk = format!(r#"{{"error":{none},"choices":[{{"delta":{{"content":"a"}}}}]}}"#);
            assert!(facts(&chunk).error.is_none() && facts(&chunk).meaningful, "{chunk}");
        }
        // Azure's filter has an error of its own, which is not the answer's
        let filtered = r#"{"choices":[{"index":0,"content_filter_result":{"error":{"code":"content_filter_error"}},"delta":{"content":"a"}}]}"#;
        assert!(facts(filtered).error.is_none());
    }

    #[test]
    fn numbers_that_only_python_writes_are_read() {
        let facts = facts(
            r#"{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"x":-Infinity,"y":NaN},"finish_reason":"stop"}]}"#,
        );
        assert!(facts.error.is_none() && facts.meaningful && facts.finished == [0]);
    }
}
