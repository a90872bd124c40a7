//! Opens a request's record and ties its end to the response's body, so that facts survive a client who leaves.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service};

use super::request_id::X_REQUEST_ID;
use super::{Answer, Entry};
use crate::api::{self, Target};
use crate::body::{Body, End};
use crate::record::Record;
use crate::state::State;

/// The layer.
#[derive(Debug, Clone)]
pub struct Recorded(pub Arc<State>);

/// Its service.
#[derive(Debug, Clone)]
pub struct RecordedService<S> {
    inner: S,
    state: Arc<State>,
}

/// Its future; the record ends with it, or with the body that it gives.
#[derive(Debug)]
pub struct Recording<F> {
    answering: F,
    end: Option<End>,
}

impl<S> Layer<S> for Recorded {
    type Service = RecordedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordedService { inner, state: Arc::clone(&self.0) }
    }
}

impl<S> Service<Request<Incoming>> for RecordedService<S>
where
    S: Service<Entry, Response = Response<Body>, Error = Infallible, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Recording<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let id = request.headers().get(X_REQUEST_ID).cloned();
        let id = id.unwrap_or_else(|| HeaderValue::from_static("-"));
        let dialect = match api::target(request.method(), request.uri().path()) {
            Ok(Target::Model(dialect)) => Some(dialect),
            _ => None,
        };
        let tracer = self.state.tracer.as_ref().zip(dialect);
        let trace = tracer.and_then(|(tracer, dialect)| tracer.begin(dialect, request.headers()));
        let record = Arc::new(Record::new(id, self.state.snapshot(), trace));
        record.facts().dialect = dialect;
        let end = Some(End::new(Arc::clone(&self.state), Arc::clone(&record)));
        Recording { answering: self.inner.call(Entry { record, request }), end }
    }
}

impl<F: Future<Output = Answer> + Unpin> Future for Recording<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.answering).poll(cx).map_ok(|mut response| match self.end.take() {
            Some(end) => {
                end.answered(&mut response);
                response.map(|body| body.closing(end))
            }
            None => response,
        })
    }
}
