//! Gives every request an id: the client's where it is fit to be one, else ours; and tells it in the answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use http::{HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service};

use super::Answer;
use crate::body::Body;
use crate::record::Id;

/// The header.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct SetRequestId;

/// Its service.
#[derive(Debug, Clone)]
pub struct SetRequestIdService<S>(S);

/// Its future.
#[derive(Debug)]
pub struct Named<F> {
    answering: F,
    id: HeaderValue,
}

impl<S> Layer<S> for SetRequestId {
    type Service = SetRequestIdService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SetRequestIdService(inner)
    }
}

impl<S, B> Service<Request<B>> for SetRequestIdService<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Named<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let given = request.headers().get(X_REQUEST_ID).filter(|v| is_fit(v)).cloned();
        let id = given.unwrap_or_else(|| Id::new(SystemTime::now()).header());
        request.headers_mut().insert(X_REQUEST_ID, id.clone());
        Named { answering: self.0.call(request), id }
    }
}

impl<F: Future<Output = Answer> + Unpin> Future for Named<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.answering).poll(cx).map_ok(|mut response| {
            response.headers_mut().insert(X_REQUEST_ID, self.id.clone());
            response
        })
    }
}

/// Short, visible, and nothing that a log reader could take for something else.
fn is_fit(id: &HeaderValue) -> bool {
    let good = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(b);
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(good)
}
