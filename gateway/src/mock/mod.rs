//! An OpenAI-compatible model server for tests, demos and load: it answers at once, always the same to
//! the same prompt, keeps an exact bill of its tokens, and misbehaves on request.
//!
//! Its worth is in the faults ([`Kind`]), and half of those live below HTTP: a reset inside an event, a
//! body one byte short. So it writes its own bytes on the socket, from a script of steps that is made by
//! pure functions and played by one.
//!
//! ```text
//! server    accepts; a loop per connection: read → answer → script → play
//! read      bytes → Request
//! route     Request → Answer: chat, completion, embedding, models, stats
//! speak     what a model would say: text, tool call or JSON, and what it costs
//! delivery  Answer + Fault → where it is cut, how it is framed, how it ends
//! script    that → Steps: send, pause, hold, reset
//! play      Steps → socket, watching for the client to leave
//! seen      what happened: requests, aborts, tokens
//! ```
//!
//! Faults hit what models do, `POST /v1/…`. `GET` stays honest, so that `GET /mock/stats` and
//! `GET /mock/requests` tell the truth in the middle of trouble, and `PUT /mock/faults` (one fault a
//! line) changes it while the server runs.

mod answer;
mod armed;
mod ask;
mod chat;
mod chat_stream;
mod completion;
mod delivery;
mod embedding;
mod fault;
mod mould;
mod play;
mod port;
mod read;
mod refuse;
mod route;
mod schema;
mod script;
mod seen;
mod server;
mod speak;
mod stats;
mod text;

pub use crate::duration::parse as parse_duration;
pub use fault::{Fault, FaultError, Kind, Refusal};
pub use seen::{Aborted, Bill, Seen, SeenRequest};
pub use server::serve;

use std::sync::Arc;
use std::time::Duration;

/// What one mock is like. [`Default`] is an honest model that answers at once.
#[derive(Clone, Debug)]
pub struct Mock {
    /// The name that `GET /v1/models` lists.
    pub model: String,
    /// Refuse other names than `model` with 404; otherwise any name is answered in that name.
    pub strict_model: bool,
    /// What goes wrong. The first fault that is not used up hits a request, one fault per request.
    pub faults: Vec<Fault>,
    /// Time to the first token.
    pub latency: Duration,
    /// Time between tokens. Answers that are not streamed take the sum.
    pub token_interval: Duration,
    /// Tokens of an answer, where the request's limit allows as many.
    pub tokens: usize,
    /// How much of each prompt is said to come from the cache, 0 to 100.
    pub cached_percent: usize,
    /// Reasoning tokens per answer: billed as completion tokens, never shown.
    pub reasoning_tokens: usize,
    /// What happened; keep a clone to look at it while the server runs.
    pub seen: Arc<Seen>,
}

impl Default for Mock {
    fn default() -> Mock {
        Mock {
            model: "mock-model".to_owned(),
            strict_model: false,
            faults: Vec::new(),
            latency: Duration::ZERO,
            token_interval: Duration::ZERO,
            tokens: 24,
            cached_percent: 0,
            reasoning_tokens: 0,
            seen: Arc::new(Seen::default()),
        }
    }
}

#[cfg(test)]
mod tests;
