//! `x-mixgate-timeout-ms`: how long the client will wait. Until the commit it ends the request here; after the
//! commit the relay's clock ends the stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

use super::Answering;
use crate::body::Body;
use crate::error::Failure;
use crate::record::{Outcome, Record};

const NAME: &str = "x-mixgate-timeout-ms";

/// The client's limit, if it named one.
pub fn of(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get(NAME) else { return Ok(None) };
    let millis: Option<u64> = value.to_str().ok().and_then(|v| v.trim().parse().ok()).filter(|ms| *ms > 0);
    match millis {
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => Err(Failure::InvalidValue(NAME, "must be a whole number of milliseconds above 0".to_owned())),
    }
}

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct Deadline;

/// Its service.
#[derive(Debug, Clone)]
pub struct DeadlineService<S>(S);

impl<S> Layer<S> for Deadline {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService(inner)
    }
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
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
        match of(request.headers()) {
            Ok(None) => Box::pin(self.0.call(request)),
            Ok(Some(limit)) => {
                let answering = self.0.call(request);
                Box::pin(async move {
                    match tokio::time::timeout(limit, answering).await {
                        Ok(response) => response,
                        Err(_) => Ok(fail(record, Outcome::Timeout, &late(limit))),
                    }
                })
            }
            Err(failure) => Box::pin(async move { Ok(fail(record, Outcome::ClientError, &failure)) }),
        }
    }
}

fn late(limit: Duration) -> Failure {
    let what = format!("nobody answered within the {} ms that the client gave", limit.as_millis());
    Failure::UpstreamTimeout { expert: "no one".to_owned(), what }
}

fn fail(record: Option<Arc<Record>>, outcome: Outcome, failure: &Failure) -> Response<Body> {
    if let Some(record) = record {
        record.facts().outcome = Some(outcome);
    }
    failure.response()
}
