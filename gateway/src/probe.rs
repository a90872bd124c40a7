//! Holds an answer until its first meaningful event, or whole where it is small: up to here the gateway may still
//! change its mind. Providers say 200 and then send an error, an empty body, HTML, or no choices.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, response};
use tokio::time::{Instant, timeout_at};

use crate::api::Dialect;
use crate::decode::{Coding, is_accepted};
use crate::error;
use crate::json::pick;
use crate::provider::{AnswerFacts, Provider, refused_with};
use crate::upstream::{Answered, Broken, Coming};
use crate::usage::Usage;
use crate::watch::Watch;

/// Largest answer that is held whole.
pub const MAX_HELD: usize = 1 << 20;
/// Most bytes of a stream that wait for a first meaningful event.
const MAX_PEEK: usize = 64 * 1024;
/// Frames of nothing but blanks before an answer.
const MAX_BLANKS: usize = 64;
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
pub struct Expected<'a> {
    /// The dialect.
    pub dialect: Dialect,
    /// A stream of events; its watcher.
    pub stream: Option<Watch>,
    /// The client asked for the usage of its stream.
    pub wants_usage: bool,
    /// When the first meaningful event, or a whole answer, must have come.
    pub deadline: Instant,
    /// What the client asked, which says what compression it reads.
    pub asked: &'a HeaderMap,
}

/// Reads as far as is needed to trust an answer.
pub async fn probe(
    answered: Answered,
    provider: &dyn Provider,
    expected: Expected<'_>,
) -> Result<Probed, Bad> {
    let deadline = expected.deadline;
    timeout_at(deadline, read(answered, provider, expected)).await.unwrap_or(Err(Bad::Late))
}

async fn read(answered: Answered, provider: &dyn Provider, expected: Expected<'_>) -> Result<Probed, Bad> {
    let Answered { mut head, mut body, .. } = answered;
    let coding = Coding::of(&head.headers);
    if matches!(coding, Coding::Gzip | Coding::Deflate) {
        body.inflate(coding);
        head.headers.remove(CONTENT_ENCODING);
    }
    if !head.status.is_success() {
        let readable = coding != Coding::Foreign || is_accepted(expected.asked, &head.headers);
        return Box::pin(refused(head, body, readable)).await;
    }
    match expected.stream {
        // what is rare is boxed, so that the future of every request stays small
        _ if coding == Coding::Foreign => Box::pin(foreign(head, body, expected.asked)).await,
        Some(watch) => {
            let Expected { dialect, wants_usage, .. } = expected;
            Opening { head, body, provider, dialect, wants_usage, watch }.read().await
        }
        None => whole(head, body, provider, expected.dialect).await,
    }
}

/// What cannot be read here goes on as it is, to a client that can.
async fn foreign(head: response::Parts, mut body: Coming, asked: &HeaderMap) -> Result<Probed, Bad> {
    if !is_accepted(asked, &head.headers) {
        let what = "it is compressed in a way that neither the gateway nor the client asked for";
        return Err(Bad::Malformed(what.to_owned()));
    }
    match body.data().await {
        Some(Ok(first)) => Ok(Probed::Large { head, upstream: body, queue: VecDeque::from([first]) }),
        Some(Err(error)) => Err(broken(error)),
        None => Err(Bad::Malformed("an empty body".to_owned())),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn broken(error: Broken) -> Bad {
    match error {
        Broken::Wire(_) => Bad::Cut,
        Broken::Coding(_) => Bad::Malformed("it is not compressed as its head says".to_owned()),
    }
}

/// `readable`: the client can read it as it is.
async fn refused(mut head: response::Parts, mut body: Coming, readable: bool) -> Result<Probed, Bad> {
    let mut text = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(broken)?;
        // half of it would be no JSON
        let what = match text.len() + data.len() {
            0..=MAX_ERROR if readable => {
                text.extend_from_slice(&data);
                continue;
            }
            0..=MAX_ERROR => "the model's error is compressed in a way that the client did not ask for",
            _ => "the model's error is too long to be passed on",
        };
        let body = error::object(what, "upstream_error", None, "upstream_error");
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        head.headers.remove(CONTENT_ENCODING);
        return Ok(Probed::Refused { head, body: Bytes::from(body) });
    }
    Ok(Probed::Refused { head, body: text.freeze() })
}

async fn whole(
    head: response::Parts,
    mut body: Coming,
    provider: &dyn Provider,
    dialect: Dialect,
) -> Result<Probed, Bad> {
    let queue = match held(&mut body, VecDeque::new()).await? {
        Held::All(body) => {
            return match provider.answer(dialect, &body) {
                AnswerFacts::Good { usage, text_bytes } => {
                    Ok(Probed::Whole { head, body, usage, text_bytes })
                }
                AnswerFacts::Bad(what) => refused_inside(head, body, what),
            };
        }
        Held::Part(queue) => queue,
    };
    Ok(Probed::Large { head, upstream: body, queue })
}

/// An error that came with a good status: a refusal, where it says that it is one.
fn refused_inside(mut head: response::Parts, body: Bytes, what: &str) -> Result<Probed, Bad> {
    let Some(status) = refused_with(&body) else { return Err(Bad::Malformed(what.to_owned())) };
    head.status = status;
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Probed::Refused { head, body })
}

/// A body that was read up to the limit.
enum Held {
    All(Bytes),
    Part(VecDeque<Bytes>),
}

/// Reads on behind what has come.
async fn held(body: &mut Coming, mut queue: VecDeque<Bytes>) -> Result<Held, Bad> {
    let mut held: usize = queue.iter().map(Bytes::len).sum();
    while held <= MAX_HELD {
        let Some(data) = body.data().await else { return Ok(Held::All(join(queue, held))) };
        let data = data.map_err(broken)?;
        held += data.len();
        queue.push_back(data);
    }
    Ok(Held::Part(queue))
}

fn join(mut queue: VecDeque<Bytes>, length: usize) -> Bytes {
    if queue.len() <= 1 {
        return queue.pop_front().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(length);
    queue.iter().for_each(|part| all.extend_from_slice(part));
    all.freeze()
}

/// An answer where a stream was asked for. What it is shows in its first byte: media types are often wrong.
struct Opening<'p> {
    head: response::Parts,
    body: Coming,
    provider: &'p dyn Provider,
    dialect: Dialect,
    wants_usage: bool,
    watch: Watch,
}

impl Opening<'_> {
    async fn read(mut self) -> Result<Probed, Bad> {
        let mut blanks = VecDeque::new();
        while let Some(data) = self.body.data().await {
            let data = data.map_err(broken)?;
            match data.trim_ascii_start().first() {
                None if blanks.len() < MAX_BLANKS => blanks.push_back(data),
                Some(b'{') => return Box::pin(self.play(blanks, data)).await,
                Some(b'<') => {
                    return Err(Bad::Malformed(format!("it is {}, no stream of events", self.media_type())));
                }
                _ => return self.events(blanks, data).await,
            }
        }
        Err(Bad::Malformed("its stream is empty".to_owned()))
    }

    /// A whole answer: it becomes the stream that the client asked for.
    async fn play(mut self, mut queue: VecDeque<Bytes>, first: Bytes) -> Result<Probed, Bad> {
        queue.push_back(first);
        let Held::All(answer) = held(&mut self.body, queue).await? else {
            return Err(Bad::Malformed("it is no stream of events, and too large to be made one".to_owned()));
        };
        let usage = match self.provider.answer(self.dialect, &answer) {
            AnswerFacts::Good { usage, .. } => usage,
            AnswerFacts::Bad(what) => return refused_inside(self.head, answer, what),
        };
        let Some(events) = self.provider.played(self.dialect, answer.trim_ascii_start(), self.wants_usage)
        else {
            return Err(Bad::Malformed("a body that is no stream of events".to_owned()));
        };
        self.watch.told(usage);
        let mut queue = VecDeque::new();
        self.watch.take(&Bytes::from(events), &mut queue);
        Ok(self.begun(Upstream::Ended, queue))
    }

    async fn events(mut self, blanks: VecDeque<Bytes>, first: Bytes) -> Result<Probed, Bad> {
        let mut queue = VecDeque::new();
        for data in blanks.into_iter().chain([first]) {
            self.watch.take(&data, &mut queue);
        }
        loop {
            match self.is_begun() {
                Ok(true) => break,
                Ok(false) => {}
                Err(what) => return refused_inside(self.head, error_body(self.watch.error), what),
            }
            let Some(data) = self.body.data().await else {
                queue.extend(self.watch.finish());
                // without the empty line that should have ended it, an event is still one
                return if self.watch.meaningful && self.watch.is_complete() {
                    Ok(self.begun(Upstream::Ended, queue))
                } else {
                    Err(Bad::Malformed("its stream is empty".to_owned()))
                };
            };
            self.watch.take(&data.map_err(broken)?, &mut queue);
        }
        Ok(self.begun(Upstream::GoesOn, queue))
    }

    /// Whether its first word has come, or so much that it must go on unread.
    fn is_begun(&self) -> Result<bool, &'static str> {
        let what = match &self.watch {
            watch if watch.error.is_some() => "its stream begins with an error",
            watch if watch.malformed => "its stream begins with an event that is no JSON",
            watch if watch.meaningful || watch.bytes() > MAX_PEEK => return Ok(true),
            watch if watch.is_done() => "its stream ends without a word",
            _ => return Ok(false),
        };
        Err(what)
    }

    fn begun(self, upstream: Upstream, queue: VecDeque<Bytes>) -> Probed {
        let Self { mut head, body, mut watch, .. } = self;
        watch.commit();
        if !is_event_stream(&head.headers) {
            head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        }
        let upstream = (upstream == Upstream::GoesOn).then_some(body);
        Probed::Stream { head, upstream, queue, watch: Box::new(watch) }
    }

    /// Its media type, fit for a message.
    fn media_type(&self) -> String {
        let written = self.head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("HTML");
        written.chars().filter(char::is_ascii_graphic).take(60).collect()
    }
}

/// Whether something may still come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upstream {
    GoesOn,
    Ended,
}

/// An error of a stream as the body of an answer.
fn error_body(error: Option<String>) -> Bytes {
    let error = error.unwrap_or_default();
    let is_whole =
        pick(error.as_bytes(), ["object", "error"]).is_some_and(|found| found.iter().any(Option::is_some));
    if is_whole { error.into() } else { format!("{{\"error\":{error}}}").into() }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let written = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = written.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/event-stream")
}
