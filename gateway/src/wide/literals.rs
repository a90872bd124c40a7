//! Every text in a body, wherever it stands: messages, tool calls and their results, wrappers, schemas, fields that
//! nobody knows yet.

use memchr::{memchr, memchr2};

/// Values of one word under any key but these are names and switches, not text.
const OF_TEXT: [&[u8]; 12] = [
    b"content",
    b"text",
    b"prompt",
    b"input",
    b"arguments",
    b"output",
    b"value",
    b"thinking",
    b"refusal",
    b"reasoning_content",
    b"suffix",
    b"name",
];
/// Longest value that is taken for a name.
const MAX_NAME: usize = 64;

/// The insides of the literals of a JSON text that somebody may have written for a model to read, in their order. The
/// text must be JSON.
pub(super) struct Literals<'a> {
    json: &'a str,
    at: usize,
    key: &'a [u8],
}

impl<'a> Literals<'a> {
    pub(super) fn of(json: &'a str) -> Self {
        Self { json, at: 0, key: b"" }
    }
}

impl<'a> Iterator for Literals<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.json.as_bytes();
        loop {
            let start = self.at + memchr(b'"', bytes.get(self.at..)?)? + 1;
            let end = end_of_literal(bytes, start);
            self.at = end + 1;
            let inside = self.json.get(start..end)?;
            let follows = bytes.get(self.at..)?.iter().find(|byte| !byte.is_ascii_whitespace());
            if follows == Some(&b':') {
                self.key = inside.as_bytes();
                if inside.contains(' ') {
                    return Some(inside);
                }
                continue;
            }
            let key = std::mem::take(&mut self.key);
            let is_name = inside.len() <= MAX_NAME
                && inside.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
            if !is_name || key.is_empty() || OF_TEXT.contains(&key) {
                return Some(inside);
            }
        }
    }
}

/// The index of the quote that closes the literal whose inside starts at `at`.
fn end_of_literal(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        if bytes[at + found] == b'"' {
            return at + found;
        }
        at += found + 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Vec<&str> {
        Literals::of(json).collect()
    }

    #[test]
    fn texts_are_found_wherever_they_stand() {
        let json = r#"{"model":"auto","messages":[{"role":"system","content":"a b"},
            {"role" : "assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"q\":\"c d\"}"}}]},
            {"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"e"},"g",{"type":"file","file":{"filename":"h i"}}]}],
            "tools":[{"function":{"description":"j k","parameters":{"l m n":{"type":"string"}}}}]}"#;
        assert_eq!(of(json), ["a b", "f", r#"{\"q\":\"c d\"}"#, "e", "g", "h i", "j k", "l m n"]);
    }

    #[test]
    fn a_name_is_one_word_of_at_most_64_bytes() {
        let value = |text: &str| format!(r#"{{"id":"{text}"}}"#);
        assert_eq!(of(&value(&"x".repeat(64))), [""; 0]);
        assert_eq!(of(&value(&"x".repeat(65))), ["x".repeat(65)]);
        assert_eq!(of(&value("x y")), ["x y"]);
        assert_eq!(of(&value(r"x\ny")), [r"x\ny"]);
        assert_eq!(of(&value("日本")), ["日本"]);
    }

    #[test]
    fn quotes_in_literals_end_nothing() {
        assert_eq!(of(r#"["a\"b: c","\\","d"]"#), [r#"a\"b: c"#, r"\\", "d"]);
        assert_eq!(of(r#"{"a":1,"b":[true,null]}"#), [""; 0]);
    }
}
