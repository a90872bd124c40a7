//! What the tests share: an upstream that sends exactly the bytes of a script, a client that sees exactly
//! the bytes of an answer, and waiting that ends. It speaks bytes and knows no type of the product, so that
//! a test cannot agree with the code about something that both have wrong.
//!
//! ```no_run
//! # async fn test(gateway: std::net::SocketAddr) {
//! use testkit::{Step, Upstream, post_json, sse};
//!
//! let upstream = Upstream::script(sse(&[r#"{"choices":[]}"#, "[DONE]"])).await;
//! let reply = post_json(gateway, "/v1/chat/completions", &[], r#"{"model":"auto"}"#).await;
//! assert_eq!(reply.status, 200);
//! assert_eq!(upstream.next_request().await.path(), "/v1/chat/completions");
//! # }
//! ```
//!
//! Everything here panics with a sentence when a test cannot go on: an error that a test would only unwrap
//! is said where it happens.
#![expect(clippy::panic, reason = "a test ends by panicking, and this crate says why")]

mod client;
mod decode;
mod events;
mod log;
mod reply;
mod request;
mod step;
mod upstream;
mod wait;

pub use client::{Client, get, post_json};
pub use events::events;
pub use log::Closed;
pub use reply::{Body, End, Head, Reply};
pub use request::Request;
pub use step::{Step, answer, chunk, json, sse, sse_head, sse_then, status};
pub use upstream::{Refusing, Upstream};
pub use wait::{PATIENCE, soon, within};
