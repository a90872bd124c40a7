//! Bounds the requests being answered. The permit travels in the body: tower's own limit frees it with the head,
//! which for streams is no limit. Health is answered without one.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::TryAcquireError;
use tower::{Layer, Service};

use super::Answering;
use crate::body::Body;
use crate::error::Failure;
use crate::record::{Outcome, Record};
use crate::state::State;

/// The layer.
#[derive(Debug, Clone)]
pub struct InFlight(pub Arc<State>);

/// Its service.
#[derive(Debug, Clone)]
pub struct InFlightService<S> {
    inner: S,
    state: Arc<State>,
}

impl<S> Layer<S> for InFlight {
    type Service = InFlightService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InFlightService { inner, state: Arc::clone(&self.0) }
    }
}

impl<S, B> Service<Request<B>> for InFlightService<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        if request.uri().path() == "/health" {
            return Box::pin(self.inner.call(request));
        }
        let permit = match Arc::clone(&self.state.in_flight).try_acquire_owned() {
            Ok(permit) => permit,
            Err(none) => return Box::pin(ready(Ok(refuse(&request, &none).response()))),
        };
        let answering = self.inner.call(request);
        Box::pin(async move { Ok(answering.await?.map(|body| body.holding(permit))) })
    }
}

fn refuse<B>(request: &Request<B>, none: &TryAcquireError) -> Failure {
    if let Some(record) = request.extensions().get::<Arc<Record>>() {
        record.facts().outcome = Some(Outcome::Rejected);
    }
    match none {
        TryAcquireError::NoPermits => Failure::Overloaded,
        TryAcquireError::Closed => Failure::Draining,
    }
}
