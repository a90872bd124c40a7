//! A body for an upstream that was not copied: the client's own bytes, and the few that stand in their place.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The pieces of a body, in their order.
#[derive(Debug)]
pub struct Spliced(Pieces);

#[derive(Debug)]
enum Pieces {
    One(Bytes),
    Many(std::vec::IntoIter<Bytes>),
}

impl Spliced {
    /// One whole.
    pub fn one(body: Bytes) -> Self {
        Self(Pieces::One(body))
    }

    /// Several.
    pub fn many(pieces: Vec<Bytes>) -> Self {
        Self(Pieces::Many(pieces.into_iter()))
    }

    fn left(&self) -> u64 {
        let pieces = match &self.0 {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Many(pieces) => pieces.as_slice(),
        };
        pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl http_body::Body for Spliced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.0 {
            Pieces::One(piece) => Some(std::mem::take(piece)).filter(|piece| !piece.is_empty()),
            Pieces::Many(pieces) => pieces.find(|piece| !piece.is_empty()),
        };
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
