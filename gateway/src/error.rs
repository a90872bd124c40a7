//! Every way to fail a request: variant → status, code, who is at fault.
//!
//! One variant per thing the caller would do differently. The message goes to the client; causes that only the
//! operator can use go to the log where they are found.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::api;
use crate::body::Body;

/// Characters of a client's path that are shown to it.
const MAX_SHOWN: usize = 200;

/// Why a request has no answer.
#[expect(missing_docs, reason = "the line of each variant says what its fields are")]
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The head of the request breaks HTTP: what is wrong with it.
    BadRequest(&'static str),
    /// The body is no JSON, or ambiguous JSON: what and where.
    InvalidJson(String),
    /// A field that must be there: its name.
    MissingParameter(&'static str),
    /// A field or header with a value that cannot be used: its name and what is wrong.
    InvalidValue(&'static str, String),
    /// The prompt fits no expert: its tokens (estimated) and the largest window.
    ContextLengthExceeded { tokens: u64, window: u64 },
    /// Constraints leave no expert; says which constraint shut out whom.
    NoEligibleExpert(String),
    /// No key was sent.
    NoApiKey,
    /// The key is not known.
    WrongApiKey,
    /// The tenant may not use this model or policy.
    ModelNotAllowed(String),
    /// A page of another site asks.
    ForeignPage,
    /// The listener is named by a name that is not its own.
    ForeignHost,
    /// No such model; names that are near.
    ModelNotFound { model: String, near: String },
    /// No such path.
    UnknownUrl(String),
    /// The path exists, the method does not: what is allowed.
    MethodNotAllowed(&'static str),
    /// The body stopped arriving.
    RequestTimeout,
    /// The client went away while its body was read.
    ClientGone,
    /// The body is over the limit, in bytes.
    BodyTooLarge(u64),
    /// The body is of another type.
    UnsupportedMediaType,
    /// Our own fault.
    Internal,
    /// Every candidate failed: the last one's name and how.
    UpstreamError { expert: String, what: String },
    /// Every candidate was too busy; when to come back.
    RateLimited(Option<Duration>),
    /// Every candidate is at its limit or left alone for now; when one may be asked again.
    NoHealthyUpstream(Option<Duration>),
    /// The gateway is at its limit.
    Overloaded,
    /// The gateway is about to stop.
    Draining,
    /// The last candidate took too long.
    UpstreamTimeout { expert: String, what: String },
}

/// OpenAI's error object, all four fields.
#[derive(Debug, Serialize)]
struct Envelope<'a> {
    error: Object<'a>,
}

#[derive(Debug, Serialize)]
struct Object<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl Failure {
    /// Status, type and code: the one table.
    pub fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::BadRequest(_) => (S::BAD_REQUEST, INVALID, "bad_request"),
            Self::InvalidJson(_) => (S::BAD_REQUEST, INVALID, "invalid_json"),
            Self::MissingParameter(_) => (S::BAD_REQUEST, INVALID, "missing_required_parameter"),
            Self::InvalidValue(..) => (S::BAD_REQUEST, INVALID, "invalid_value"),
            Self::ContextLengthExceeded { .. } => (S::BAD_REQUEST, INVALID, "context_length_exceeded"),
            Self::NoEligibleExpert(_) => (S::BAD_REQUEST, INVALID, "no_eligible_expert"),
            Self::NoApiKey | Self::WrongApiKey => {
                (S::UNAUTHORIZED, "authentication_error", "invalid_api_key")
            }
            Self::ModelNotAllowed(_) => (S::FORBIDDEN, "permission_error", "model_not_allowed"),
            Self::ForeignPage => (S::FORBIDDEN, "permission_error", "origin_not_allowed"),
            Self::ForeignHost => (S::FORBIDDEN, "permission_error", "host_not_allowed"),
            Self::ModelNotFound { .. } => (S::NOT_FOUND, INVALID, "model_not_found"),
            Self::UnknownUrl(_) => (S::NOT_FOUND, INVALID, "unknown_url"),
            Self::MethodNotAllowed(_) => (S::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed"),
            Self::RequestTimeout | Self::ClientGone => (S::REQUEST_TIMEOUT, INVALID, "request_timeout"),
            Self::BodyTooLarge(_) => (S::PAYLOAD_TOO_LARGE, INVALID, "request_body_too_large"),
            Self::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, INVALID, "unsupported_media_type"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "server_error", "internal_error"),
            Self::UpstreamError { .. } => (S::BAD_GATEWAY, "upstream_error", "upstream_error"),
            Self::RateLimited(_) => (S::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded"),
            Self::NoHealthyUpstream(_) => (S::SERVICE_UNAVAILABLE, "server_error", "no_healthy_upstream"),
            Self::Overloaded | Self::Draining => (S::SERVICE_UNAVAILABLE, "server_error", "overloaded"),
            Self::UpstreamTimeout { .. } => (S::GATEWAY_TIMEOUT, "upstream_error", "upstream_timeout"),
        }
    }

    /// What happened and what to do, for the person who reads the client's log.
    pub fn message(&self) -> String {
        match self {
            Self::BadRequest(what) => format!("the request breaks HTTP: {what}"),
            Self::InvalidJson(what) => format!("the body is not usable JSON: {what}"),
            Self::MissingParameter(name) => format!("the body lacks `{name}`"),
            Self::InvalidValue(name, what) => format!("`{name}`: {what}"),
            Self::ContextLengthExceeded { tokens, window } => format!(
                "the request has about {tokens} tokens, answer included, and no model that may take it has a window over {window}: shorten it or lower max_tokens"
            ),
            Self::NoEligibleExpert(why) => format!("no model may take this request: {why}"),
            Self::NoApiKey => "no API key: send `authorization: Bearer KEY`".to_owned(),
            Self::WrongApiKey => "this API key is not known".to_owned(),
            Self::ModelNotAllowed(what) => format!("this key may not use {what}"),
            Self::ForeignPage => {
                "a page of another site may not use this gateway: its operator can list the page's origin in `server.cors.origins`".to_owned()
            }
            Self::ForeignHost => {
                "without keys this gateway answers to localhost and to literal addresses only: its operator can list other names in `server.hosts`".to_owned()
            }
            Self::ModelNotFound { model, near } => format!("the model `{model}` does not exist; {near}"),
            Self::UnknownUrl(path) => {
                let near = api::meant(path).map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
                let shown: String = path.chars().take(MAX_SHOWN).collect();
                format!("there is nothing at `{shown}`; {near}the main endpoint is POST /v1/chat/completions")
            }
            Self::MethodNotAllowed(allowed) => format!("this path takes {allowed}"),
            Self::RequestTimeout => "the body of the request did not arrive in time".to_owned(),
            Self::ClientGone => {
                "the client closed its side of the connection before it had the answer; keep it open until then"
                    .to_owned()
            }
            Self::BodyTooLarge(limit) => {
                format!("the body is over the limit of {limit} bytes (server.max_body)")
            }
            Self::UnsupportedMediaType => {
                "the body must be JSON: send `content-type: application/json` and no content-encoding"
                    .to_owned()
            }
            Self::Internal => "an internal error; the request id leads to it in the log".to_owned(),
            Self::UpstreamError { expert, what } => {
                format!("no model answered; the last one asked, {expert}: {what}")
            }
            Self::RateLimited(_) => "every model that may answer is at its rate limit".to_owned(),
            Self::NoHealthyUpstream(_) => {
                "every model that may answer is at its capacity or was found to fail".to_owned()
            }
            Self::Overloaded => "the gateway is at its limit of requests; try again shortly".to_owned(),
            Self::Draining => "the gateway is shutting down; try again on another".to_owned(),
            Self::UpstreamTimeout { expert, what } => {
                format!("no model answered in time; the last one asked, {expert}: {what}")
            }
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::MissingParameter(name) | Self::InvalidValue(name, _) => Some(name),
            Self::ModelNotFound { .. } => Some("model"),
            Self::ContextLengthExceeded { .. } => Some("messages"),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            // whole seconds, and never less than what was asked for
            Self::RateLimited(wait) | Self::NoHealthyUpstream(wait) => {
                Some(wait.map_or(1, |w| (w.as_millis().div_ceil(1000) as u64).max(1)))
            }
            Self::Overloaded | Self::Draining => Some(1),
            _ => None,
        }
    }

    /// The JSON object of this failure.
    pub fn json(&self) -> Vec<u8> {
        let (_, r#type, code) = self.kind();
        object(&self.message(), r#type, self.param(), code)
    }

    /// The whole response.
    pub fn response(&self) -> Response<Body> {
        let (status, _, _) = self.kind();
        let mut response = Response::new(Body::full(Bytes::from(self.json())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::MethodNotAllowed(allowed) = self {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        let unread = matches!(
            self,
            Self::BodyTooLarge(_) | Self::RequestTimeout | Self::BadRequest(_) | Self::ClientGone
        );
        if unread || matches!(self, Self::Draining) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The error object as it also stands in a broken stream.
pub(crate) fn object(message: &str, r#type: &str, param: Option<&str>, code: &str) -> Vec<u8> {
    let envelope = Envelope { error: Object { message, r#type, param, code: Some(code) } };
    serde_json::to_vec(&envelope).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_all_four_fields() {
        let json = String::from_utf8(Failure::MissingParameter("messages").json()).unwrap();
        let expected = r#"{"error":{"message":"the body lacks `messages`","type":"invalid_request_error","param":"messages","code":"missing_required_parameter"}}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn who_may_come_back_is_told_when() {
        for failure in [Failure::Overloaded, Failure::RateLimited(Some(Duration::from_secs(7)))] {
            assert!(failure.response().headers().contains_key(RETRY_AFTER), "{failure:?}");
        }
        assert!(!Failure::Internal.response().headers().contains_key(RETRY_AFTER));
    }
}
