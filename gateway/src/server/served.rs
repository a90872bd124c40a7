//! The body of an answer on its connection: it keeps the connection from being idle, and tells a client that closed its
//! side too early why there is no more.
//!
//! A client that has only finished sending cannot be told from one that has left: both close their side. An upstream
//! must not work for one that has left, so both end the answer; but one that still listens is told.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};

use crate::body::{Body, Cut};
use crate::error::Failure;
use crate::overdue::Timer;
use crate::wire::Answering;

/// A body that ends when its client leaves.
#[derive(Debug)]
pub(super) struct Served {
    /// `None` once the client has left: the answer is let go of, and its books are closed.
    body: Option<Body>,
    answering: Answering,
    /// It is a stream of events: its end can say why.
    events: bool,
    /// Ends it where its client takes nothing.
    _timer: Option<Timer>,
}

impl Served {
    pub(super) fn of(response: Response<Body>, answering: Answering, timer: Option<Timer>) -> Response<Self> {
        let kind = response.headers().get(CONTENT_TYPE);
        let events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        response.map(|body| Self { body: Some(body), answering, events, _timer: timer })
    }

    /// The event that says why, for a client that still listens.
    fn last_event() -> Frame<Bytes> {
        let json = Failure::ClientGone.json();
        // behind an empty line: the answer may stand in the middle of an event
        Frame::data([b"\n\ndata: ", &json[..], b"\n\n"].concat().into())
    }
}

impl http_body::Body for Served {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        // what is there already is given; what is still to come is not waited for
        let waits = |body: &mut Body| body.size_hint().exact().is_none();
        if self.answering.has_left() && self.body.take_if(waits).is_some() && self.events {
            return Poll::Ready(Some(Ok(Self::last_event())));
        }
        let events = self.events;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None if events => Poll::Ready(None),
            // without its last chunk: it is not whole
            None => Poll::Ready(Some(Err(Cut))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
