//! How an upstream can go wrong, by name. A fault is written `name[:argument][@times]`:
//! `stall-after:5` stalls every answer behind its fifth token, `status-429:retry-after=2@1` refuses
//! the first request only. The table below is the whole vocabulary, with its default arguments.

mod written;

use std::time::Duration;

/// One fault, for every request or for the first few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// How many requests it hits before it is over; `None`: all.
    pub times: Option<u64>,
}

/// What goes wrong. `usize` arguments count tokens of the answer.
///
/// Answers that are not streamed know no events and no tokens: where a fault speaks of those,
/// the place is the middle of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The port is closed, for so long or for ever: connecting is refused.
    Refuse(Option<Duration>),
    /// The port does not answer, for so long or for ever: connecting neither works nor fails.
    ConnectHang(Option<Duration>),
    /// A new connection is accepted and not looked at for so long.
    SlowConnect(Duration),
    /// The request is read, nothing is ever answered.
    Silence,
    /// Half of the response head, then nothing more.
    StallInHeaders,
    /// The whole response head, then nothing more.
    StallAfterHeaders,
    /// So many tokens, then nothing more.
    StallAfter(usize),
    /// So many tokens, then only comments (blanks in a body that is no stream).
    StallWithPings(usize),
    /// The whole answer, one byte per write and per chunk, with so long a pause between.
    ByteByByte(Duration),
    /// The connection is reset instead of an answer.
    ResetBeforeHeaders,
    /// The connection is reset behind the response head.
    ResetAfterHeaders,
    /// The connection is reset inside the event behind so many tokens.
    ResetInEvent(usize),
    /// The connection closes behind so many tokens, without the chunk that ends a body.
    EndWithoutLastChunk(usize),
    /// The body ends as it should; `finish_reason` and `[DONE]` never came.
    EndWithoutFinish,
    /// The body ends as it should, inside the event behind so many tokens.
    EndInEvent(usize),
    /// The body ends as it should; `[DONE]` never came. Legal, and some servers do it.
    EndWithoutDone,
    /// Status 200, and the first event is an error.
    ErrorEventFirst,
    /// An error event behind so many tokens, then the end.
    ErrorEventMidStream(usize),
    /// An error event behind so many tokens, then `[DONE]`, as vLLM does.
    ErrorEventThenDone(usize),
    /// Status 200 with a page of HTML.
    Html,
    /// Status 200 without a byte of body.
    Empty,
    /// An answer whose `choices` is empty.
    ChoicesEmpty,
    /// JSON cut in half, in a body or in events that are otherwise in order.
    InvalidJson,
    /// `content-length` is half of what is sent.
    ContentLengthShort,
    /// `content-length` is more than what is sent.
    ContentLengthLong,
    /// `content-encoding: gzip` over plain text.
    FalseGzip,
    /// Tokens without end.
    Endless,
    /// Chunks end inside characters.
    SplitUtf8,
    /// No usage, asked or not.
    UsageMissing,
    /// Usage twice: in a second chunk, or by a doubled key in an answer that is not streamed.
    UsageTwice,
    /// The answer names this model.
    WrongModel(String),
    /// The connection closes behind a good answer that promised to keep it.
    CloseAfterAnswer,
    /// The connection closes when a second request comes in on it: a stale pooled connection.
    CloseOnReuse,
    /// An OpenAI error object.
    Status(Refusal),
}

/// An answer that is an error: `status-429:retry-after=2,code=slow_down`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Seconds, for the header `retry-after`.
    pub retry_after: Option<u32>,
    /// The error's `code`, if not the usual one of the status.
    pub code: Option<String>,
}

/// Tokens before a fault in mid-stream, where none are given.
const EARLY: usize = 3;

pub(super) static KINDS: [(&str, Kind); 33] = [
    ("refuse", Kind::Refuse(None)),
    ("connect-hang", Kind::ConnectHang(None)),
    ("slow-connect", Kind::SlowConnect(Duration::from_secs(2))),
    ("silence", Kind::Silence),
    ("stall-in-headers", Kind::StallInHeaders),
    ("stall-after-headers", Kind::StallAfterHeaders),
    ("stall-after", Kind::StallAfter(EARLY)),
    ("stall-with-pings", Kind::StallWithPings(EARLY)),
    ("byte-by-byte", Kind::ByteByByte(Duration::ZERO)),
    ("reset-before-headers", Kind::ResetBeforeHeaders),
    ("reset-after-headers", Kind::ResetAfterHeaders),
    ("reset-in-event", Kind::ResetInEvent(EARLY)),
    ("end-without-last-chunk", Kind::EndWithoutLastChunk(EARLY)),
    ("end-without-finish", Kind::EndWithoutFinish),
    ("end-in-event", Kind::EndInEvent(EARLY)),
    ("end-without-done", Kind::EndWithoutDone),
    ("error-event-first", Kind::ErrorEventFirst),
    ("error-event-mid-stream", Kind::ErrorEventMidStream(EARLY)),
    ("error-event-then-done", Kind::ErrorEventThenDone(EARLY)),
    ("html", Kind::Html),
    ("empty", Kind::Empty),
    ("choices-empty", Kind::ChoicesEmpty),
    ("invalid-json", Kind::InvalidJson),
    ("content-length-short", Kind::ContentLengthShort),
    ("content-length-long", Kind::ContentLengthLong),
    ("false-gzip", Kind::FalseGzip),
    ("endless", Kind::Endless),
    ("split-utf8", Kind::SplitUtf8),
    ("usage-missing", Kind::UsageMissing),
    ("usage-twice", Kind::UsageTwice),
    ("wrong-model", Kind::WrongModel(String::new())),
    ("close-after-answer", Kind::CloseAfterAnswer),
    ("close-on-reuse", Kind::CloseOnReuse),
];

/// Why a text is no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// Nothing has this name.
    Unknown(String),
    /// The fault exists and cannot be told this.
    Argument(String),
    /// The part behind `@` is no count, or the fault cannot be counted.
    Times(String),
}

impl Fault {
    /// Every name that [`FromStr`] knows; `status-NNN` stands for any status from 400 to 599.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(name, _)| *name).chain(["status-NNN"])
    }
}

impl From<Kind> for Fault {
    fn from(kind: Kind) -> Fault {
        Fault { kind, times: None }
    }
}
