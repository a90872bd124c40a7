//! What an event says that is too long to be held: its beginning and its end are read, without what lies between.

use super::{ERROR, FINISH, KEYS, has_value_at};
use crate::json::{behind_string, depth_before};
use crate::provider::{EventFacts, OpenChoice};

/// Most bytes of an error that are kept.
const MOST_WORDS: usize = 4096;
/// A value needs as many bytes, with what closes its chunk, to be told from one that is cut.
const LEAST_VALUE: usize = 6;
/// Where the keys of a chunk stand: within one object.
const OF_CHUNK: i32 = 1;
/// Where those of a choice stand: within the chunk, its list, and the choice itself.
const OF_CHOICE: i32 = 3;

/// Reads the beginning of an event's data; and the choice that is open where it breaks off.
pub(super) fn beginning(data: &[u8]) -> (EventFacts, OpenChoice) {
    let mut facts = EventFacts::default();
    let open = scan(data, 0, OpenChoice::default(), &mut facts);
    (facts, open)
}

/// Reads the end of an event whose beginning left this choice open.
pub(super) fn end(end: &[u8], open: OpenChoice) -> EventFacts {
    let mut facts = EventFacts::default();
    let known = [&KEYS.telling[FINISH], &KEYS.telling[ERROR], &KEYS.index, &KEYS.object];
    let first = known.into_iter().filter_map(|key| {
        key.find_iter(end).find_map(|at| {
            let depth = has_value_at(end, at, key).then(|| depth_before(&end[at + key.needle().len()..]))?;
            matches!(depth, OF_CHUNK | OF_CHOICE).then_some((at, depth))
        })
    });
    match first.min() {
        Some((at, OF_CHOICE)) => {
            scan(&end[at..], OF_CHOICE, open, &mut facts);
        }
        Some((at, depth)) => {
            let next = open.close(&mut facts);
            scan(&end[at..], depth, next, &mut facts);
        }
        None => {
            open.close(&mut facts);
        }
    }
    facts
}

/// Reads the keys of a chunk and of its choices from a place that this many objects and lists enclose.
fn scan(json: &[u8], mut depth: i32, mut choice: OpenChoice, facts: &mut EventFacts) -> OpenChoice {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let start = at;
        at = if *byte == b'"' { behind_string(json, at) } else { at + 1 };
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if *byte == b'}' && depth == OF_CHOICE - 1 {
                    choice = choice.close(facts);
                }
            }
            b'"' if matches!(depth, OF_CHUNK | OF_CHOICE) => {
                let Some(value) = json[at..].trim_ascii_start().strip_prefix(b":") else { continue };
                let value = value.trim_ascii_start();
                match (depth, &json[start..at]) {
                    (OF_CHUNK, b"\"error\"") if is_error(value) => note_error(json, facts),
                    (OF_CHUNK, b"\"object\"") if value.starts_with(b"\"error\"") => note_error(json, facts),
                    (OF_CHOICE, b"\"index\"") => choice.index = number(value).or(choice.index),
                    (OF_CHOICE, b"\"finish_reason\"") => choice.is_finished = is_reason(value),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    choice
}

impl OpenChoice {
    /// It has ended; the next one.
    fn close(self, facts: &mut EventFacts) -> Self {
        if self.is_finished {
            facts.finished.push(self.index.unwrap_or(self.position));
        }
        Self { position: self.position + 1, ..Self::default() }
    }
}

fn note_error(json: &[u8], facts: &mut EventFacts) {
    let words = &json[..json.len().min(MOST_WORDS)];
    facts.error.get_or_insert_with(|| String::from_utf8_lossy(words).into_owned());
}

fn is_reason(value: &[u8]) -> bool {
    let none = [&b"null"[..], b"\"\"", b"\"null\"", b"false"];
    value.len() >= LEAST_VALUE && !none.iter().any(|none| value.starts_with(none))
}

/// The same choice as for an event that is read whole: what Python's SDK takes for no error is none.
fn is_error(value: &[u8]) -> bool {
    let is_empty = match value {
        [b'{', inside @ ..] => inside.trim_ascii_start().starts_with(b"}"),
        [b'[', inside @ ..] => inside.trim_ascii_start().starts_with(b"]"),
        _ => value.starts_with(b"0"),
    };
    !is_empty && is_reason(value)
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = value.strip_prefix(b"\"").unwrap_or(value);
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&digits[..length]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of an event whose middle is not read.
    fn told(beginning_of_it: &str, end_of_it: &str) -> EventFacts {
        let (mut facts, open) = beginning(beginning_of_it.as_bytes());
        let rest = end(end_of_it.as_bytes(), open);
        facts.finished.extend(rest.finished);
        EventFacts { error: facts.error.or(rest.error), ..facts }
    }

    #[test]
    fn an_error_is_told_by_either_end() {
        for (beginning, end) in [
            (r#"{"error":{"message":"AAAA"#, r#"AA","code":500}}"#),
            (r#"{"id":"c","error":"AAAAAAAA"#, r#"AA"}"#),
            (r#"{"object":"error","message":"AAAA"#, r#"AA","code":500}"#),
            (r#"{"message":"AAAA"#, r#"AA","object":"error","code":500}"#),
            (r#"{"choices":[{"delta":{"content":"AAAA"#, r#"AA"},"index":0}],"error":{"message":"x"}}"#),
        ] {
            assert!(told(beginning, end).error.is_some(), "{beginning} … {end}");
        }
        for (beginning, end) in [
            (r#"{"error":null,"choices":[{"delta":{"content":"AAAA"#, r#"AA"}}],"error":null}"#),
            (r#"{"error":{},"choices":[{"delta":{"error":"x","content":"AAAA"#, r#"AA"}}]}"#),
            (r#"{"choices":[{"delta":{"content":"\"error\":\"x\" AAAA"#, r#"\"error\":\"x\""}}],"x":1}"#),
            (
                r#"{"choices":[{"filter":{"error":{"code":1}},"delta":{"content":"AAAA"#,
                r#"AA"}}],"x":"error"}"#,
            ),
        ] {
            assert_eq!(told(beginning, end).error, None, "{beginning} … {end}");
        }
    }

    #[test]
    fn a_choice_finishes_wherever_its_reason_and_its_index_stand() {
        for (beginning, end, finished) in [
            (
                r#"{"choices":[{"index":1,"delta":{"content":"AA"#,
                r#"AA"},"finish_reason":"stop"}]}"#,
                &[1][..],
            ),
            (r#"{"choices":[{"index":1,"finish_reason":"stop","delta":{"content":"AA"#, r#"AA"}}]}"#, &[1]),
            (r#"{"choices":[{"finish_reason":"stop","delta":{"content":"AA"#, r#"AA"},"index":1}]}"#, &[1]),
            (
                r#"{"choices":[{"delta":{"content":"AA"#,
                r#"AA"},"index":1,"finish_reason":"stop"}],"x":{}}"#,
                &[1],
            ),
            (r#"{"choices":[{"delta":{"content":"AA"#, r#"AA"},"finish_reason":"stop","index":1}]}"#, &[1]),
            (
                r#"{"choices":[{"index":2,"finish_reason":"stop"},{"index":3,"delta":{"content":"AA"#,
                r#"AA"},"finish_reason":"stop"}]}"#,
                &[2, 3],
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":7,"function":{"arguments":"AA"#,
                r#"AA"}},{"index":8}]},"finish_reason":"stop","index":0},{"finish_reason":"stop","index":1}]}"#,
                &[0, 1],
            ),
            (r#"{"choices":[{"delta":{"content":"AA"#, r#"AA"},"finish_reason":"stop"}]}"#, &[0]),
            (r#"{"choices":[{"index":0,"finish_reason":null,"delta":{"content":"AA"#, r#"AA"}}]}"#, &[]),
            (r#"{"choices":[{"index":0,"delta":{"content":"AA"#, r#"AA"},"finish_reason":null}]}"#, &[]),
        ] {
            assert_eq!(told(beginning, end).finished, finished, "{beginning} … {end}");
        }
    }
}
