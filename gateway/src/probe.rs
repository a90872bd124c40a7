//! Holds an answer until its first meaningful event, or whole where it is small: up to here the gateway may still
//! change its mind. Providers say 200 and then send an error, an empty body, HTML, or no choices.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response;
use tokio::time::{Instant, timeout_at};

use crate::api::Dialect;
use crate::provider::{AnswerFacts, Provider};
use crate::upstream::{Answered, Coming};
use crate::usage::Usage;
use crate::watch::Watch;

/// Largest answer that is held whole.
pub const MAX_HELD: usize = 1 << 20;
/// Most bytes of a stream that wait for a first meaningful event.
const MAX_PEEK: usize = 64 * 1024;
/// Most bytes of an error that pass through.
const MAX_ERROR: usize = 256 * 1024;

/// An answer that is good so far.
#[expect(missing_docs, reason = "the line of each variant says what its fields are")]
#[derive(Debug)]
pub enum Probed {
    /// A small answer, whole.
    Whole { head: response::Parts, body: Bytes, usage: Option<Usage>, text_bytes: usize },
    /// A stream that has begun.
    Stream { head: response::Parts, upstream: Option<Coming>, queue: VecDeque<Bytes>, watch: Box<Watch> },
    /// An answer too large to hold.
    Large { head: response::Parts, upstream: Coming, queue: VecDeque<Bytes> },
    /// A status other than 2xx.
    Refused { head: response::Parts, body: Bytes },
}

/// Why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bad {
    /// It is not what was asked for.
    Malformed(String),
    /// It broke off.
    Cut,
    /// It did not come in time.
    Late,
}

/// What is expected.
#[derive(Debug)]
pub struct Expected {
    /// The dialect.
    pub dialect: Dialect,
    /// A stream of events; its watcher.
    pub stream: Option<Watch>,
    /// When the first meaningful event, or a whole answer, must have come.
    pub deadline: Instant,
}

/// Reads as far as is needed to trust an answer.
pub async fn probe(answered: Answered, provider: &dyn Provider, expected: Expected) -> Result<Probed, Bad> {
    let Answered { head, body, .. } = answered;
    let deadline = expected.deadline;
    let work = async {
        if !head.status.is_success() {
            return refused(head, body).await;
        }
        if head.headers.get(CONTENT_ENCODING).is_some_and(|e| e != "identity") {
            return Err(Bad::Malformed("it is compressed although that was not asked for".to_owned()));
        }
        match expected.stream {
            Some(watch) => stream(head, body, watch).await,
            None => whole(head, body, provider, expected.dialect).await,
        }
    };
    timeout_at(deadline, work).await.unwrap_or(Err(Bad::Late))
}

async fn refused(head: response::Parts, mut body: Coming) -> Result<Probed, Bad> {
    let mut text = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| Bad::Cut)?;
        if text.len() + data.len() > MAX_ERROR {
            return Ok(Probed::Refused { head, body: text.freeze() });
        }
        text.extend_from_slice(&data);
    }
    Ok(Probed::Refused { head, body: text.freeze() })
}

async fn whole(
    head: response::Parts,
    mut body: Coming,
    provider: &dyn Provider,
    dialect: Dialect,
) -> Result<Probed, Bad> {
    let mut queue: VecDeque<Bytes> = VecDeque::new();
    let mut held = 0;
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| Bad::Cut)?;
        held += data.len();
        queue.push_back(data);
        if held > MAX_HELD {
            return Ok(Probed::Large { head, upstream: body, queue });
        }
    }
    let body = join(queue, held);
    match provider.answer(dialect, &body) {
        AnswerFacts::Good { usage, text_bytes } => Ok(Probed::Whole { head, body, usage, text_bytes }),
        AnswerFacts::Bad(what) => Err(Bad::Malformed(what.to_owned())),
    }
}

fn join(mut queue: VecDeque<Bytes>, length: usize) -> Bytes {
    if queue.len() <= 1 {
        return queue.pop_front().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(length);
    queue.iter().for_each(|part| all.extend_from_slice(part));
    all.freeze()
}

async fn stream(head: response::Parts, mut body: Coming, mut watch: Watch) -> Result<Probed, Bad> {
    let r#type = head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !r#type.is_empty() && !r#type.starts_with("text/event-stream") {
        return Err(Bad::Malformed(format!("it is {} where a stream of events was asked for", safe(r#type))));
    }
    let mut queue = VecDeque::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| Bad::Cut)?;
        watch.take(&data, &mut queue);
        if watch.error.is_some() {
            return Err(Bad::Malformed("its stream begins with an error".to_owned()));
        }
        if watch.meaningful || watch.bytes() > MAX_PEEK {
            watch.thorough = false;
            return Ok(Probed::Stream { head, upstream: Some(body), queue, watch: Box::new(watch) });
        }
        if watch.is_done() {
            return Err(Bad::Malformed("its stream ends without a word".to_owned()));
        }
    }
    Err(Bad::Malformed("its stream is empty".to_owned()))
}

/// A media type fit for a message.
fn safe(r#type: &str) -> String {
    r#type.chars().filter(char::is_ascii_graphic).take(60).collect()
}
