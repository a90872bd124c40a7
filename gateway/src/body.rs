//! The one body type of every response, and the guard that closes a request's books.
//!
//! A stream owns its clean-up: the guard sits in the body, so it runs once, whether the stream ends, breaks, or
//! its client leaves. Fields drop in their order: first the relay writes down what it saw, then the books close.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::record::{Outcome, Record};
use crate::relay::Relay;
use crate::settle;
use crate::state::State;

/// A response's body.
#[derive(Debug, Default)]
pub struct Body {
    inner: Inner,
    end: Option<End>,
    permit: Option<OwnedSemaphorePermit>,
}

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

    /// Frees a place with this body.
    pub fn holding(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.permit = Some(permit);
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
            Inner::Full(bytes) => {
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

    /// Notes the status that the client gets.
    pub fn answered(&self, status: StatusCode) {
        if let Some(trace) = &self.record.trace {
            trace.answered(status);
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
