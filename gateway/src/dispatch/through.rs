//! What passes between client and upstream: the request as the upstream gets it, and which headers go through.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;

use super::{Errand, streams};
use crate::expert::Expert;
use crate::expert::endpoint::Endpoint;
use crate::layer::request_id::X_REQUEST_ID;

/// The request for an upstream. `usage`: ask for that of the stream; `traced`: the trace context of the attempt, where
/// it has a span.
pub(super) fn request(
    errand: &Errand<'_>,
    expert: &Expert,
    endpoint: &Endpoint,
    usage: bool,
    traced: Option<&HeaderMap>,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(errand.ask.rewrite(errand.body, &expert.model, usage)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.paths[errand.dialect.index()].clone();
    let headers = request.headers_mut();
    headers.reserve(9);
    headers.insert(HOST, endpoint.host_header.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("mixgate/", env!("CARGO_PKG_VERSION"))));
    let accept = if streams(errand) { "text/event-stream" } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    if let Some((name, key)) = &expert.authorization {
        headers.insert(name.clone(), key.clone());
    }
    let context = traced.unwrap_or(errand.headers);
    for name in TRACE_CONTEXT {
        if let Some(value) = context.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(id) = errand.headers.get(X_REQUEST_ID).filter(|id| is_uuid(id.as_bytes())) {
        headers.insert(X_REQUEST_ID, id.clone());
    }
    for (name, value) in &expert.headers {
        headers.insert(name.clone(), value.clone());
    }
    request
}

/// Some model servers (llama.cpp's Python server among them) answer 400 to a request id of another form.
fn is_uuid(id: &[u8]) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    id.len() == 36
        && id.iter().enumerate().all(|(at, b)| if dash(at) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// Headers that an upstream may see: the attempt's own, or the client's as they came.
const TRACE_CONTEXT: [HeaderName; 2] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// Headers of an upstream that the client may see, besides those that begin with one of [`PREFIXES`].
const PASSED_DOWN: [&str; 7] = [
    "content-type",
    "content-encoding",
    "cache-control",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-accel-buffering",
];
const PREFIXES: [&str; 2] = ["x-ratelimit-", "openai-"];

/// Headers of an answer, the gateway's own and hyper's included, for which there is room from the start.
const ROOM: usize = 12;

/// Those headers of an upstream's answer that the client may see.
pub(super) fn passed_down(headers: &HeaderMap) -> HeaderMap {
    let may = |name: &str| PASSED_DOWN.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p));
    let mut passed = HeaderMap::with_capacity(ROOM);
    passed.extend(headers.iter().filter(|(name, _)| may(name.as_str())).map(|(n, v)| (n.clone(), v.clone())));
    passed
}
