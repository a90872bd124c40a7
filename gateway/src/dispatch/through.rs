//! What passes between client and upstream: the request as the upstream gets it, and which headers go through.

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use super::{Errand, streams};
use crate::ask::Spliced;
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
) -> Request<Spliced> {
    let mut request = Request::new(errand.ask.outgoing(errand.body, &expert.model, usage));
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
    // a state without its parent is of no trace
    if context.get(&TRACE_CONTEXT[0]).is_some_and(|parent| is_traceparent(parent.as_bytes())) {
        for name in TRACE_CONTEXT {
            if let Some(value) = context.get(&name) {
                headers.insert(name, value.clone());
            }
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

/// Whether this is a parent as W3C's Trace Context has it, of this version or a later one.
fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (Some(parent), rest) = (value.get(..55), value.get(55..).unwrap_or_default()) else { return false };
    let (version, trace, span, flags) = (&parent[..2], &parent[3..35], &parent[36..52], &parent[53..]);
    let dashes = [2, 35, 52].iter().all(|at| parent[*at] == b'-');
    let is_whole = rest.is_empty() || (version != b"00" && rest[0] == b'-');
    let is_some = |part: &[u8]| part.iter().any(|b| *b != b'0');
    dashes
        && is_whole
        && [version, trace, span, flags].into_iter().all(hex)
        && version != b"ff"
        && is_some(trace)
        && is_some(span)
}

/// Headers that an upstream may see: the attempt's own, or the client's as they came.
const TRACE_CONTEXT: [HeaderName; 2] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// Headers of an upstream that the client may see, besides its rate limits. Those that name the operator's account,
/// such as `openai-organization`, stay here.
const PASSED_DOWN: [&str; 9] = [
    "content-type",
    "content-encoding",
    "cache-control",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-accel-buffering",
    "openai-processing-ms",
    "openai-version",
];
const RATE_LIMITS: &str = "x-ratelimit-";

/// Headers of an answer, the gateway's own and hyper's included, for which there is room from the start.
const ROOM: usize = 12;

/// Those headers of an upstream's answer that the client may see.
pub(super) fn passed_down(headers: &HeaderMap) -> HeaderMap {
    let may = |name: &str| PASSED_DOWN.contains(&name) || name.starts_with(RATE_LIMITS);
    let mut passed = HeaderMap::with_capacity(ROOM);
    passed.extend(headers.iter().filter(|(name, _)| may(name.as_str())).map(|(n, v)| (n.clone(), v.clone())));
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_one_or_stays_here() {
        const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let zeros = |at: std::ops::Range<usize>| {
            let mut text = GOOD.to_owned();
            text.replace_range(at.clone(), &"0".repeat(at.len()));
            text
        };
        for good in [GOOD.to_owned(), format!("cc{}-more", &GOOD[2..]), format!("01{}", &GOOD[2..])] {
            assert!(is_traceparent(good.as_bytes()), "{good}");
        }
        for bad in [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}0"),
            format!("{GOOD}-more"),
            format!("cc{}more", &GOOD[2..]),
            format!("ff{}", &GOOD[2..]),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            zeros(3..35),
            zeros(36..52),
            GOOD.replace("0af", "0xf"),
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }
}
