//! The one body type of every response, and the guard that closes a request's books.
//!
//! A stream owns its clean-up: the guard sits in the body, so it runs once, whether the stream ends, breaks, or
//! its client leaves. Fields drop in their order: first the relay writes down what it saw, then the books close.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use crate::record::{Outcome, Record};
use crate::relay::Relay;
use crate::settle;
use crate::state::State;
use crate::told;

/// A response's body.
#[derive(Debug, Default)]
pub struct Body {
    inner: Inner,
    end: Option<End>,
    permit: Option<OwnedSemaphorePermit>,
    until: Option<Instant>,
}

/// Bytes of a whole answer that are handed on at a time: what its client does not take stays here, and under its clock.
pub const PIECE: usize = 64 * 1024;
/// A whole answer as short as this holds no place until its client takes it.
const SHORT: u64 = 4 * 1024;

#[derive(Debug, Default)]
enum Inner {
    #[default]
    Empty,
    Full(Bytes),
    Relay(Box<Relay>),
    Events(mpsc::Receiver<Bytes>),
}

/// What breaks a body: the upstream of a committed answer that is no stream was cut.
#[derive(Debug)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the upstream cut its answer")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// All of it at once.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self { inner: Inner::Full(bytes.into()), ..Self::default() }
    }

    /// When its client must have taken it, where it is whole.
    pub fn until(mut self, at: Instant) -> Self {
        self.until = Some(at);
        self
    }

    /// The same as it was set; `None`: it may take what any short answer may.
    pub fn must_be_taken_by(&self) -> Option<Instant> {
        self.until
    }

    /// Its bytes, where it is whole.
    pub fn length(&self) -> Option<u64> {
        http_body::Body::size_hint(self).exact()
    }

    /// The same without its bytes: the answer to HEAD.
    pub fn without_bytes(mut self) -> Self {
        self.inner = Inner::Empty;
        self.finish();
        self
    }

    /// An upstream's answer as it comes.
    pub fn relay(relay: Relay) -> Self {
        Self { inner: Inner::Relay(Box::new(relay)), ..Self::default() }
    }

    /// What is sent to it, until its sender goes.
    pub fn events(events: mpsc::Receiver<Bytes>) -> Self {
        Self { inner: Inner::Events(events), ..Self::default() }
    }

    /// Closes the books with this body.
    pub fn closing(mut self, end: End) -> Self {
        self.end = Some(end);
        self
    }

    /// Frees a place with this body; one that is whole and short frees it at once, as nothing is left to do.
    pub fn holding(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.permit = Some(permit).filter(|_| self.length().is_none_or(|length| length > SHORT));
        self
    }

    fn finish(&mut self) {
        if let Some(end) = &mut self.end {
            end.finished = true;
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match std::mem::take(&mut self.inner) {
            Inner::Empty => {
                self.finish();
                Poll::Ready(None)
            }
            Inner::Full(mut bytes) => {
                if bytes.len() > PIECE {
                    let piece = bytes.split_to(PIECE);
                    self.inner = Inner::Full(bytes);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                self.finish();
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Inner::Relay(mut relay) => match relay.poll(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.inner = Inner::Relay(relay);
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Poll::Ready(end) => {
                    self.finish();
                    Poll::Ready(end.map(|cut| cut.map(Frame::data)))
                }
                Poll::Pending => {
                    self.inner = Inner::Relay(relay);
                    Poll::Pending
                }
            },
            Inner::Events(mut events) => {
                let next = events.poll_recv(cx);
                if !matches!(next, Poll::Ready(None)) {
                    self.inner = Inner::Events(events);
                }
                next.map(|event| event.map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.inner, Inner::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Relay(_) | Inner::Events(_) => SizeHint::default(),
        }
    }
}

/// Closes a request's books when dropped.
#[derive(Debug)]
pub struct End {
    state: Arc<State>,
    record: Arc<Record>,
    finished: bool,
}

impl End {
    /// For this request.
    pub fn new(state: Arc<State>, record: Arc<Record>) -> Self {
        Self { state, record, finished: false }
    }

    /// Tells the client what was decided, and notes the status that it gets.
    pub fn answered(&self, response: &mut Response<Body>) {
        told::of_decision(response.headers_mut(), &self.record);
        if let Some(trace) = &self.record.trace {
            trace.answered(response.status());
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let known = self.record.facts().outcome;
        let outcome = match (known, self.finished) {
            (Some(outcome), _) => outcome,
            (None, true) => Outcome::Ok,
            (None, false) => Outcome::Cancelled,
        };
        settle::close(&self.state, &self.record, outcome);
    }
}
