//! Codecs for upstreams, without I/O: what a request and an answer look like on the wire of a provider.
//!
//! To add one: a file with `impl Provider`, a variant in the configuration, one line in [`of`].

mod openai;
mod refusal;

use http::{HeaderValue, header::HeaderName};

use crate::api::Dialect;
use crate::config::Secret;
use crate::config::written::ProviderName;
use crate::usage::Usage;

pub use refusal::{Refusal, is_out_of_credit, refused_with};

/// What one event of a stream says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFacts {
    /// The end marker.
    pub done: bool,
    /// The upstream's error, in its words.
    pub error: Option<String>,
    /// It carries something a client waits for: text, a tool call, a finish.
    pub meaningful: bool,
    /// Choices that finished in it, by index.
    pub finished: Vec<u64>,
    /// Tokens it reports.
    pub usage: Option<Usage>,
    /// It is only there because usage was asked for: no choices, just usage.
    pub only_usage: bool,
    /// Beside usage it says what no other event does.
    pub says_more: bool,
    /// It begins as JSON and is none.
    pub is_malformed: bool,
    /// It brings no answer forward: a ping in the clothes of data, or of a chunk.
    pub is_noise: bool,
    /// Bytes of text in it.
    pub text_bytes: usize,
}

/// The choice in which the beginning of a long event breaks off, as far as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenChoice {
    /// Its place in the event.
    pub position: u64,
    /// Its index.
    pub index: Option<u64>,
    /// The reason for which it finished was there.
    pub is_finished: bool,
}

/// What a whole answer says.
#[expect(missing_docs, reason = "the line of each variant says what its fields are")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerFacts {
    /// It is one, with the tokens it reports and the bytes of its texts.
    Good { usage: Option<Usage>, text_bytes: usize },
    /// It is none: why.
    Bad(&'static str),
}

/// The wire of a provider. Sync and pure.
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// Its name, as in `provider` and in traces.
    fn name(&self) -> &'static str;

    /// The path below the endpoint's prefix, with its leading slash.
    fn path(&self, dialect: Dialect) -> &'static str;

    /// The header that carries a key. `None`: the key holds what no header may, which the checks refuse.
    fn authorization(&self, key: &Secret) -> Option<(HeaderName, HeaderValue)>;

    /// Looks at an event's data. `thorough`: everything; otherwise just enough to relay and count, by scanning.
    fn event(&self, data: &[u8], thorough: bool) -> EventFacts;

    /// Looks at the beginning of an event that is too long to be held.
    fn beginning_of_event(&self, data: &[u8]) -> (EventFacts, OpenChoice);

    /// Looks at its end: what its beginning left open, and how many bytes of text were in it.
    fn end_of_event(&self, end: &[u8], open: OpenChoice, text_bytes: usize) -> EventFacts;

    /// Bytes of text in some piece of an answer.
    fn text_bytes(&self, data: &[u8]) -> usize;

    /// A whole answer as the events of a stream, for a client that asked for one, and for its usage or not. `None`: it
    /// cannot be.
    fn played(&self, dialect: Dialect, answer: &[u8], wants_usage: bool) -> Option<Vec<u8>>;

    /// Looks at a whole answer.
    fn answer(&self, dialect: Dialect, body: &[u8]) -> AnswerFacts;

    /// Tokens reported near the end of an answer that was too large to hold, of which this is the end.
    fn usage_in_tail(&self, tail: &[u8]) -> Option<Usage>;

    /// Who is at fault for a 4xx. `added`: the gateway put `stream_options` into the request.
    fn refusal(&self, status: u16, body: &[u8], added: bool) -> Refusal;
}

/// The codec of a configured provider.
pub fn of(name: ProviderName) -> &'static dyn Provider {
    match name {
        ProviderName::Openai => &openai::OpenAi,
    }
}
