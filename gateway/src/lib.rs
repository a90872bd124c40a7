//! mixgate: one endpoint in front of many models, each request to the expert that suits it.
//!
//! # The way of a request
//!
//! ```text
//! bytes → wire, server       a lane per core · connection cap · head guard · timers · HTTP/1.1 and h2c
//!   stack: SetRequestId → Recorded → CatchPanic → InFlight → Deadline     (failure is already a response)
//!   route, plain functions over typed values:
//!     origin                 no page of another site spends or reads here
//!     auth::check            who asks
//!     intake::read           the only full buffer of unknown size, within limits per gateway and tenant
//!     intake::understand     beside the lane (`aside`) where it is long:
//!       Ask::parse           just enough, borrowed
//!       plan                 text → scores → constraints → policy → conversation = ordered candidates, a reason
//!     dispatch               per candidate: lease → pick → send → probe, until one is committed;
//!                            `retry` says whether another may be made, `provider::refusal` whose fault it was
//!   the way back: relay      frames by reference count, watched; the body's end closes the record once (`settle`)
//! ```
//!
//! # Invariants
//!
//! - One configuration per request: `State::snapshot` is loaded once, by the record.
//! - Before the commit (the first meaningful event) the gateway may change its mind, after it never; a stream that
//!   its upstream cut never ends in `[DONE]`.
//! - Bodies are spliced, never rebuilt.
//! - A routing fault is never a 5xx: it means the fallback, and its reason is told.
//! - Constraints are asked again before every attempt.
//! - Every request closes its books exactly once, in the `Drop` of its body.
//! - A client's string never becomes a label; prompts and keys never enter a log.
//!
//! A configuration comes in by `config`, `router_file` and `snapshot`; `reload` says when it is read again.

pub mod admin;
pub mod announce;
pub mod api;
pub mod aside;
pub mod ask;
pub mod auth;
pub mod body;
pub mod classify;
pub mod cli;
pub mod config;
pub mod constraint;
pub mod conversation;
pub mod decode;
pub mod dispatch;
pub mod duration;
pub mod error;
pub mod expert;
pub mod gateway;
pub mod intake;
pub mod json;
pub mod lanes;
pub mod layer;
pub mod ledger;
pub mod limit;
pub mod logs;
pub mod meter;
pub mod mock;
pub mod origin;
pub mod overdue;
pub mod own_domains;
pub mod past;
pub mod plan;
pub mod policy;
pub mod price;
pub mod probe;
pub mod provider;
pub mod record;
pub mod relay;
pub mod reload;
pub mod route;
pub mod router_file;
pub mod server;
pub mod session;
pub mod settle;
pub mod snapshot;
pub mod sse;
pub mod stack;
pub mod state;
pub mod tail;
pub mod text;
pub mod told;
pub mod traces;
pub mod upstream;
pub mod usage;
pub mod watch;
pub mod weigh;
pub mod wide;
pub mod wire;
