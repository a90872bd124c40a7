//! Bounds the requests being answered. The permit travels in the body: tower's own limit frees it with the head,
//! which for streams is no limit. Health is answered without one.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tower::{Layer, Service};

use super::{Answer, Entry, Gate};
use crate::body::Body;
use crate::error::Failure;
use crate::record::Outcome;
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

/// Its future, for a request that has a place or needs none.
#[derive(Debug)]
pub struct Placed<F> {
    answering: F,
    permit: Option<OwnedSemaphorePermit>,
}

impl<S> Layer<S> for InFlight {
    type Service = InFlightService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InFlightService { inner, state: Arc::clone(&self.0) }
    }
}

impl<S> Service<Entry> for InFlightService<S>
where
    S: Service<Entry, Response = Response<Body>, Error = Infallible, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Gate<Placed<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, entry: Entry) -> Self::Future {
        if entry.request.uri().path() == "/health" {
            return Gate::Passed(Placed { answering: self.inner.call(entry), permit: None });
        }
        match Arc::clone(&self.state.in_flight).try_acquire_owned() {
            Ok(permit) => Gate::Passed(Placed { answering: self.inner.call(entry), permit: Some(permit) }),
            Err(none) => Gate::refused(refuse(&entry, &none).response()),
        }
    }
}

impl<F: Future<Output = Answer> + Unpin> Future for Placed<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.answering).poll(cx).map_ok(|response| match self.permit.take() {
            Some(permit) => response.map(|body| body.holding(permit)),
            None => response,
        })
    }
}

fn refuse(entry: &Entry, none: &TryAcquireError) -> Failure {
    let failure = match none {
        TryAcquireError::NoPermits => Failure::Overloaded,
        TryAcquireError::Closed => Failure::Draining,
    };
    entry.record.failed(Outcome::Rejected, &failure);
    failure
}
