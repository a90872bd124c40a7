//! What the mock means to answer, before a fault and the wire get at it: a status and pieces of a body,
//! each of which knows what it is and what it costs.

use super::seen::Bill;
use serde::Serialize;

/// An answer as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) retry_after: Option<u32>,
    pub(super) pieces: Vec<Piece>,
}

/// A part of the body: all of it, or one event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) part: Part,
    pub(super) bill: Bill,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The body of an answer that is not streamed.
    Whole,
    /// What comes before the first token.
    Opening,
    Token,
    Finish,
    Usage,
    Done,
    Error,
    /// What is left of a piece that a fault cut in two.
    Rest,
}

pub(super) const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream; charset=utf-8";

/// OpenAI's error object, all four fields.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorFields<'a>,
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

/// An error that the mock answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure<'a> {
    pub(super) status: u16,
    pub(super) message: &'a str,
    pub(super) param: Option<&'a str>,
    pub(super) code: Option<&'a str>,
}

impl Answer {
    pub(super) fn json(value: &impl Serialize) -> Answer {
        Answer::whole(200, JSON, json(value), Bill::default())
    }

    pub(super) fn whole(status: u16, content_type: &'static str, bytes: Vec<u8>, bill: Bill) -> Answer {
        let pieces = vec![Piece { bytes, part: Part::Whole, bill }];
        Answer { status, content_type, retry_after: None, pieces }
    }

    pub(super) fn stream(pieces: Vec<Piece>) -> Answer {
        Answer { status: 200, content_type: EVENTS, retry_after: None, pieces }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.content_type == EVENTS
    }
}

impl From<Failure<'_>> for Answer {
    fn from(failure: Failure<'_>) -> Answer {
        Answer::whole(failure.status, JSON, failure.body(), Bill::default())
    }
}

impl Failure<'_> {
    pub(super) fn body(&self) -> Vec<u8> {
        let r#type = match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json(&ErrorBody {
            error: ErrorFields { message: self.message, r#type, param: self.param, code: self.code },
        })
    }

    pub(super) fn event(&self) -> Piece {
        Piece { bytes: event(&self.body()), part: Part::Error, bill: Bill::default() }
    }
}

impl Piece {
    pub(super) fn event(part: Part, value: &impl Serialize) -> Piece {
        let mut bytes = Vec::with_capacity(320);
        bytes.extend_from_slice(b"data: ");
        write_json(&mut bytes, value);
        bytes.extend_from_slice(b"\n\n");
        Piece { bytes, part, bill: Bill::default() }
    }

    pub(super) fn done() -> Piece {
        Piece { bytes: event(b"[DONE]"), part: Part::Done, bill: Bill::default() }
    }

    pub(super) fn billed(self, bill: Bill) -> Piece {
        Piece { bill, ..self }
    }
}

/// One server-sent event.
pub(super) fn event(data: &[u8]) -> Vec<u8> {
    [b"data: ", data, b"\n\n"].concat()
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    write_json(&mut bytes, value);
    bytes
}

fn write_json(bytes: &mut Vec<u8>, value: &impl Serialize) {
    // our own structs of strings and numbers: nothing in them can fail, and a vector takes everything
    let _ = serde_json::to_writer(bytes, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_all_four_fields() {
        let failure =
            Failure { status: 429, message: "slow \"down\"", param: None, code: Some("rate_limit_exceeded") };
        let expected = r#"{"error":{"message":"slow \"down\"","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#;
        assert_eq!(failure.body(), expected.as_bytes());
    }
}
