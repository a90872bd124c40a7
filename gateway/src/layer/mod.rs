//! What must see a request both on its way in and on its way out. A check that looks once is a function instead.
//!
//! A failure is already a response. Only the leaf's future is boxed: it can be moved, so the layers' futures can be
//! plain structs around it.

pub mod catch_panic;
pub mod deadline;
pub mod in_flight;
pub mod recorded;
pub mod request_id;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;

use crate::body::Body;
use crate::record::Record;

/// What comes of a request.
pub type Answer = Result<Response<Body>, Infallible>;

/// The future of the leaf.
pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A request and its record: what the layers below [`recorded::Recorded`] hand on.
#[derive(Debug)]
pub struct Entry {
    /// What is known of it.
    pub record: Arc<Record>,
    /// The request.
    pub request: Request<Incoming>,
}

/// The future of a layer that lets a request pass or answers it itself.
#[derive(Debug)]
pub enum Gate<F> {
    /// It passed.
    Passed(F),
    /// It did not; the answer, until it is taken.
    Refused(Option<Box<Response<Body>>>),
}

impl<F> Gate<F> {
    /// Answers instead of the layers below.
    pub fn refused(response: Response<Body>) -> Self {
        Self::Refused(Some(Box::new(response)))
    }
}

impl<F: Future<Output = Answer> + Unpin> Future for Gate<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match self.get_mut() {
            Self::Passed(answering) => Pin::new(answering).poll(cx),
            Self::Refused(response) => response.take().map_or(Poll::Pending, |r| Poll::Ready(Ok(*r))),
        }
    }
}
