//! `x-mixgate-timeout-ms`: how long the client will wait. Until the commit it ends the request here; after the
//! commit the relay's clock ends the stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Response};
use tokio::time::{Sleep, sleep};
use tower::{Layer, Service};

use super::{Answer, Entry, Gate};
use crate::body::Body;
use crate::error::Failure;
use crate::record::{Outcome, Record};

const HEADER: HeaderName = HeaderName::from_static("x-mixgate-timeout-ms");

/// The client's limit, if it named one.
pub fn of(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let millis: Option<u64> = value.to_str().ok().and_then(|v| v.trim().parse().ok()).filter(|ms| *ms > 0);
    match millis {
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => {
            let what = "must be a whole number of milliseconds above 0".to_owned();
            Err(Failure::InvalidValue("x-mixgate-timeout-ms", what))
        }
    }
}

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct Deadline;

/// Its service.
#[derive(Debug, Clone)]
pub struct DeadlineService<S>(S);

/// Its future.
#[derive(Debug)]
pub struct Timed<F> {
    answering: F,
    alarm: Option<Alarm>,
}

#[derive(Debug)]
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    limit: Duration,
    record: Arc<Record>,
}

impl<S> Layer<S> for Deadline {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService(inner)
    }
}

impl<S> Service<Entry> for DeadlineService<S>
where
    S: Service<Entry, Response = Response<Body>, Error = Infallible, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Gate<Timed<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, entry: Entry) -> Self::Future {
        let alarm = match of(entry.request.headers()) {
            Ok(limit) => limit.map(|limit| Alarm {
                sleep: Box::pin(sleep(limit)),
                limit,
                record: Arc::clone(&entry.record),
            }),
            Err(failure) => {
                return Gate::refused(fail(&entry.record, Outcome::ClientError, &failure));
            }
        };
        Gate::Passed(Timed { answering: self.0.call(entry), alarm })
    }
}

impl<F: Future<Output = Answer> + Unpin> Future for Timed<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answering).poll(cx) {
            return Poll::Ready(answer);
        }
        let Some(alarm) = &mut self.alarm else { return Poll::Pending };
        alarm.sleep.as_mut().poll(cx).map(|()| Ok(fail(&alarm.record, Outcome::Timeout, &late(alarm.limit))))
    }
}

fn late(limit: Duration) -> Failure {
    let what = format!("nobody answered within the {} ms that the client gave", limit.as_millis());
    Failure::UpstreamTimeout { expert: "no one".to_owned(), what }
}

fn fail(record: &Record, outcome: Outcome, failure: &Failure) -> Response<Body> {
    record.failed(outcome, failure);
    failure.response()
}
