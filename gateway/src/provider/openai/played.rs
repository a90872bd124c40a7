//! A whole answer played as a stream: some servers send one although a stream was asked for, and no client reads it
//! there.

use serde_json::value::RawValue;

use super::chunk::is_blank;
use crate::api::Dialect;
use crate::json::{each, items};

/// The events of a stream that says what this answer says, its usage where that was asked for. `None`: it is no answer.
pub(super) fn events(dialect: Dialect, answer: &[u8], wants_usage: bool) -> Option<Vec<u8>> {
    let mut envelope = String::new();
    let (mut choices, mut usage) = (None, None);
    each(answer, |key, value| match key {
        b"choices" => choices = Some(value),
        b"usage" => usage = Some(value).filter(|usage| !is_blank(usage.get())),
        b"object" => {}
        _ => member(&mut envelope, key, value),
    })?;
    let object = if dialect == Dialect::Chat { "chat.completion.chunk" } else { "text_completion" };
    let mut stream = Stream { out: String::with_capacity(answer.len() + 1024), envelope, object };
    if dialect == Dialect::Chat {
        items(choices?.get().as_bytes(), |choice| stream.play(choice))?;
    } else {
        stream.event(choices?.get(), None);
    }
    if let Some(usage) = usage.filter(|_| wants_usage) {
        stream.event("[]", Some(usage.get()));
    }
    stream.out.push_str("data: [DONE]\n\n");
    Some(stream.out.into_bytes())
}

struct Stream {
    out: String,
    /// Members that every chunk has, each with a comma behind it.
    envelope: String,
    object: &'static str,
}

impl Stream {
    fn event(&mut self, choices: &str, usage: Option<&str>) {
        let Self { out, envelope, object } = self;
        let (name, usage) = usage.map_or(("", ""), |usage| (",\"usage\":", usage));
        let parts = ["data: {", envelope, "\"object\":\"", object, "\",\"choices\":", choices, name, usage];
        // a line end in the JSON text would end the line of the event
        let in_line = |c: char| if matches!(c, '\n' | '\r') { ' ' } else { c };
        out.extend(parts.into_iter().flat_map(str::chars).map(in_line));
        out.push_str("}\n\n");
    }

    /// Role, then the message, then the reason it finished.
    fn play(&mut self, choice: &RawValue) {
        let (mut index, mut message, mut reason) = ("0", None, "null");
        let mut beside = String::new();
        let mut logprobs = None;
        each(choice.get().as_bytes(), |key, value| match key {
            b"index" => index = value.get(),
            b"message" => message = Some(value),
            b"finish_reason" => reason = value.get(),
            b"logprobs" => logprobs = Some(value).filter(|value| !is_blank(value.get())),
            _ => member(&mut beside, key, value),
        });
        let (role, delta) = message.map_or_else(|| ("\"assistant\"".to_owned(), String::new()), delta_of);
        let chunk = |delta: &str, rest: &str| format!("[{{\"index\":{index},\"delta\":{{{delta}}},{rest}}}]");
        self.event(&chunk(&format!("\"role\":{role},\"content\":\"\""), "\"finish_reason\":null"), None);
        if !delta.is_empty() {
            let logprobs = logprobs.map_or_else(String::new, |l| format!("\"logprobs\":{},", l.get()));
            self.event(&chunk(&delta, &format!("{logprobs}\"finish_reason\":null")), None);
        }
        self.event(&chunk("", &format!("{beside}\"finish_reason\":{reason}")), None);
    }
}

/// The role of a message, and the rest of it as a delta.
fn delta_of(message: &RawValue) -> (String, String) {
    let mut role = "\"assistant\"".to_owned();
    let mut delta = String::new();
    each(message.get().as_bytes(), |key, value| match key {
        b"role" => value.get().clone_into(&mut role),
        _ if is_blank(value.get()) => {}
        b"tool_calls" => delta.push_str(&format!("\"tool_calls\":{},", numbered(value))),
        _ => member(&mut delta, key, value),
    });
    delta.pop();
    (role, delta)
}

/// Tool calls with the index that a stream needs: clients gather fragments by it.
fn numbered(calls: &RawValue) -> String {
    let mut list = Vec::new();
    let is_list = items(calls.get().as_bytes(), |call| {
        let mut members = format!("\"index\":{},", list.len());
        let is_call = each(call.get().as_bytes(), |key, value| {
            if key != b"index" {
                member(&mut members, key, value);
            }
        });
        members.pop();
        list.push(if is_call.is_some() { format!("{{{members}}}") } else { call.get().to_owned() });
    });
    if is_list.is_some() { format!("[{}]", list.join(",")) } else { calls.get().to_owned() }
}

fn member(out: &mut String, key: &[u8], value: &RawValue) {
    let key = serde_json::to_string(&String::from_utf8_lossy(key)).unwrap_or_default();
    out.extend([&key, ":", value.get(), ","]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(dialect: Dialect, answer: &str) -> String {
        String::from_utf8(events(dialect, answer.as_bytes(), true).unwrap()).unwrap()
    }

    #[test]
    fn a_chat_becomes_role_words_finish_usage_and_marker() {
        let answer = r#"{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"h\u00e9\nllo","refusal":null},"logprobs":null,"finish_reason":"stop"}],
 "usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
        let chunk = |rest: &str| {
            format!("data: {{\"id\":\"c\",\"model\":\"m\",\"object\":\"chat.completion.chunk\",{rest}}}\n\n")
        };
        let expected = [
            chunk(
                r#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]"#,
            ),
            chunk(r#""choices":[{"index":0,"delta":{"content":"h\u00e9\nllo"},"finish_reason":null}]"#),
            chunk(r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#),
            chunk(r#""choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}"#),
            "data: [DONE]\n\n".to_owned(),
        ];
        assert_eq!(played(Dialect::Chat, answer), expected.concat());
        let unasked = events(Dialect::Chat, answer.as_bytes(), false).unwrap();
        assert_eq!(String::from_utf8(unasked).unwrap(), [&expected[..3], &expected[4..]].concat().concat());
    }

    #[test]
    fn tool_calls_get_the_index_that_a_stream_needs() {
        let answer = r#"{"choices":[{"index":1,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b"}]},"finish_reason":"tool_calls"}]}"#;
        let stream = played(Dialect::Chat, answer);
        assert!(stream.contains(r#"[{"index":1,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"b"}]},"finish_reason":null}]"#), "{stream}");
    }

    #[test]
    fn an_answer_on_many_lines_stays_on_one_in_its_event() {
        let answer = "{\n \"id\": \"c\",\n \"choices\": [\n {\n \"index\": 0,\n \"text\": \"a\",\n \"finish_reason\": \"stop\"\n }\n ]\n}";
        let stream = played(Dialect::Completions, answer);
        let lines: Vec<&str> = stream.lines().filter(|line| !line.is_empty()).collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("data: ")), "{stream}");
        assert!(stream.contains(r#""object":"text_completion""#) && stream.contains(r#""text": "a""#));
    }

    #[test]
    fn whatever_stands_on_many_lines_ends_no_event() {
        let message = "{\n\"role\": \"assistant\",\r\n\"content\": \"a\",\n\"tool_calls\": [\n{\n\"id\": \"x\"\n}\n]\n}";
        let beside = "\"filter\": {\n\"a\": [\n1\n]\n}";
        let answer = format!(
            "{{\"timings\": {{\n\"ms\": 3\n}}, {beside}, \"choices\": [{{\"message\": {message},\n\"logprobs\": {{\n\"content\": []\n}}, {beside}, \"finish_reason\": \"stop\"}}], \"usage\": {{\n\"total_tokens\": 1\n}}}}"
        );
        let stream = played(Dialect::Chat, &answer);
        assert!(!stream.contains('\r') && stream.ends_with("\n\n"), "{stream}");
        let events: Vec<&str> = stream.trim_end().split("\n\n").collect();
        assert_eq!(events.len(), 5, "{stream}");
        for event in &events[..4] {
            let json = event.strip_prefix("data: ").unwrap();
            let members: std::collections::BTreeMap<&str, &RawValue> = serde_json::from_str(json).unwrap();
            assert_eq!(members["timings"].get(), "{ \"ms\": 3 }", "{event}");
        }
    }

    #[test]
    fn what_has_no_choices_is_not_played() {
        for answer in ["", "[]", "{}", r#"{"choices":null}"#, r#"{"choices":{}}"#] {
            assert_eq!(events(Dialect::Chat, answer.as_bytes(), true), None, "{answer}");
        }
    }
}
