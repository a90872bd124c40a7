//! A panic in one request is a 500 for that one and leaves the others alone.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};

use super::Answering;
use crate::body::Body;
use crate::error::Failure;
use crate::record::{Outcome, Record};

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct CatchPanic;

/// Its service.
#[derive(Debug, Clone)]
pub struct CatchPanicService<S>(S);

impl<S> Layer<S> for CatchPanic {
    type Service = CatchPanicService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanicService(inner)
    }
}

impl<S, B> Service<Request<B>> for CatchPanicService<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let record = request.extensions().get::<Arc<Record>>().cloned();
        let answering = self.0.call(request);
        Box::pin(async move {
            let mut answering = pin!(answering);
            let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
                Err(_) => Poll::Ready(None),
            });
            if let Some(response) = caught.await {
                return response;
            }
            if let Some(record) = record {
                tracing::error!(request_id = record.request_id, "a request panicked");
                record.facts().outcome = Some(Outcome::UpstreamError);
            }
            Ok(Failure::Internal.response())
        })
    }
}
