//! How an attempt fails: what is told if nobody does better, and whether another endpoint may.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use crate::error::Failure;
use crate::expert::Expert;
use crate::probe::Bad;
use crate::upstream::NoHead;

/// How an attempt failed, and what is to be told if nobody does better.
#[derive(Debug)]
pub(super) struct Miss {
    pub(super) outcome: &'static str,
    pub(super) status: Option<u16>,
    pub(super) failure: Failure,
    /// Another endpoint of the same expert may do better.
    pub(super) elsewhere: bool,
}

impl Miss {
    /// How long the upstream wants to be left alone, where it says so.
    pub(super) fn after(&self) -> Option<Duration> {
        match self.failure {
            Failure::RateLimited(after) => after,
            _ => None,
        }
    }
}

/// A refusal that the client caused passes; any other means the next candidate.
pub(super) fn refusal(
    expert: &Expert,
    head: http::response::Parts,
    body: Bytes,
) -> Result<(http::response::Parts, Bytes), Miss> {
    let status = head.status.as_u16();
    let miss = |outcome, failure, elsewhere| Miss { outcome, status: Some(status), failure, elsewhere };
    let upstream = |what: String| Failure::UpstreamError { expert: expert.name.to_string(), what };
    match status {
        401 | 403 => {
            Err(miss("auth_error", upstream("it does not accept the gateway's key".to_owned()), false))
        }
        429 => Err(miss("rate_limited", Failure::RateLimited(retry_after(&head.headers)), true)),
        400 | 404 if expert.provider.is_unknown_model(&body) => Err(miss(
            "unknown_model",
            upstream(format!("it does not know the model {}", expert.model)),
            false,
        )),
        404 if !body.trim_ascii_start().starts_with(b"{") => {
            Err(miss("not_found", upstream("its address has no such path".to_owned()), false))
        }
        408 | 425 | 500..=599 => {
            Err(miss("server_error", upstream(format!("it answered with status {status}")), true))
        }
        400..=499 => Ok((head, body)),
        _ => Err(miss(
            "malformed",
            upstream(format!("it answered with status {status}, which has no meaning here")),
            false,
        )),
    }
}

/// Seconds of `retry-after`, at most a minute; a date is not worth parsing for this.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(60)))
}

/// There is no head.
pub(super) fn no_head(expert: &Expert, why: NoHead) -> Miss {
    let upstream = |what: String| Failure::UpstreamError { expert: expert.name.to_string(), what };
    let (outcome, failure) = match why {
        NoHead::Connect(why) => {
            tracing::debug!(expert = %expert.name, why, "no connection");
            ("connect_error", upstream("no connection could be made".to_owned()))
        }
        NoHead::Broken(why) => {
            tracing::debug!(expert = %expert.name, why, "the connection broke");
            ("reset", upstream("the connection broke before its answer".to_owned()))
        }
        NoHead::ConnectTimeout => return late(expert, "no connection was made in time"),
        NoHead::HeadersTimeout => return late(expert, "its answer did not begin in time"),
    };
    Miss { outcome, status: None, failure, elsewhere: true }
}

fn late(expert: &Expert, what: &str) -> Miss {
    let failure = Failure::UpstreamTimeout { expert: expert.name.to_string(), what: what.to_owned() };
    Miss { outcome: "timeout", status: None, failure, elsewhere: true }
}

/// There is a head, and no answer behind it.
pub(super) fn bad(expert: &Expert, status: StatusCode, bad: Bad) -> Miss {
    let upstream = |what: String| Failure::UpstreamError { expert: expert.name.to_string(), what };
    let status = Some(status.as_u16());
    match bad {
        Bad::Late => Miss { status, ..late(expert, "its first word did not come in time") },
        Bad::Cut => Miss {
            outcome: "reset",
            status,
            failure: upstream("its answer broke off".to_owned()),
            elsewhere: true,
        },
        Bad::Malformed(what) => {
            Miss { outcome: "malformed", status, failure: upstream(what), elsewhere: true }
        }
    }
}
