//! A panic in one request is a 500 for that one and leaves the others alone.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::{Answer, Entry};
use crate::body::Body;
use crate::error::Failure;
use crate::record::{Outcome, Record};

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct CatchPanic;

/// Its service.
#[derive(Debug, Clone)]
pub struct CatchPanicService<S>(S);

/// Its future.
#[derive(Debug)]
pub struct Catching<F> {
    answering: F,
    record: Arc<Record>,
}

impl<S> Layer<S> for CatchPanic {
    type Service = CatchPanicService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanicService(inner)
    }
}

impl<S> Service<Entry> for CatchPanicService<S>
where
    S: Service<Entry, Response = Response<Body>, Error = Infallible, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Catching<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, entry: Entry) -> Self::Future {
        let record = Arc::clone(&entry.record);
        Catching { answering: self.0.call(entry), record }
    }
}

impl<F: Future<Output = Answer> + Unpin> Future for Catching<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.answering).poll(cx)));
        polled.unwrap_or_else(|_| {
            tracing::error!(request_id = self.record.request_id(), "a request panicked");
            self.record.failed(Outcome::UpstreamError, &Failure::Internal);
            Poll::Ready(Ok(Failure::Internal.response()))
        })
    }
}
