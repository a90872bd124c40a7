//! Opens a request's record and ties its end to the response's body, so that facts survive a client who leaves.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};

use super::Answering;
use super::request_id::X_REQUEST_ID;
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

impl<S> Layer<S> for Recorded {
    type Service = RecordedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordedService { inner, state: Arc::clone(&self.0) }
    }
}

impl<S, B> Service<Request<B>> for RecordedService<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Answering {
        let id =
            request.headers().get(X_REQUEST_ID).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let record = Arc::new(Record::new(id, self.state.snapshot()));
        if let Ok(Target::Model(dialect)) = api::target(request.method(), request.uri().path()) {
            record.facts().dialect = Some(dialect);
        }
        let end = End::new(Arc::clone(&self.state), Arc::clone(&record));
        request.extensions_mut().insert(record);
        let answering = self.inner.call(request);
        Box::pin(async move { Ok(answering.await?.map(|body| body.closing(end))) })
    }
}
