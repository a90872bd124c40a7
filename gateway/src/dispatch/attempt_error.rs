//! How an attempt fails: whose fault it was, what is told if nobody does better, and how long the endpoint wants to be
//! left alone.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode, response};

use super::retry::Fault;
use crate::error::Failure;
use crate::expert::Expert;
use crate::probe::Bad;
use crate::provider::{Refusal, is_out_of_credit};
use crate::record::AttemptOutcome;
use crate::upstream::NoHead;

/// The longest wait that an endpoint is granted, and that a client is told.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// How long an account without credit is left alone where it says nothing itself.
const NO_CREDIT_WAIT: Duration = Duration::from_secs(60);

/// How an attempt failed, and what is to be told if nobody does better.
#[derive(Debug)]
pub(super) struct AttemptError {
    pub(super) outcome: AttemptOutcome,
    pub(super) status: Option<u16>,
    pub(super) fault: Fault,
    pub(super) failure: Failure,
    /// How long the upstream wants to be left alone, where it says so.
    pub(super) wait: Option<Duration>,
    /// The refusal as it came, where the client caused it.
    pub(super) refusal: Option<Refused>,
}

/// A refusal as it came.
pub(super) type Refused = Box<(response::Parts, Bytes)>;

impl AttemptError {
    fn new(outcome: AttemptOutcome, status: Option<u16>, fault: Fault, failure: Failure) -> Self {
        Self { outcome, status, fault, failure, wait: None, refusal: None }
    }

    /// What happened to this attempt, for the log: the failure tells what becomes of the request.
    pub(super) fn detail(&self) -> Cow<'_, str> {
        match &self.failure {
            Failure::UpstreamError { what, .. } | Failure::UpstreamTimeout { what, .. } => {
                what.as_str().into()
            }
            Failure::RateLimited(_) => "it is at its rate limit".into(),
            Failure::NoHealthyUpstream(_) => "it wants to be left alone for a while".into(),
            other => other.message().into(),
        }
    }
}

/// An answer with a status other than 2xx. `added`: the gateway put `stream_options` into the request.
pub(super) fn refused(expert: &Expert, head: response::Parts, body: Bytes, added: bool) -> AttemptError {
    use AttemptOutcome as O;
    let status = head.status.as_u16();
    let wait = retry_after(&head.headers, SystemTime::now());
    let upstream = |what: String| Failure::UpstreamError { expert: expert.name.to_string(), what };
    let error = |outcome, fault, what: &str| {
        AttemptError::new(outcome, Some(status), fault, upstream(what.to_owned()))
    };
    let mut error = match status {
        429 if is_out_of_credit(&body) => {
            let error = error(O::OutOfCredit, Fault::Busy, "its account is out of credit or quota");
            AttemptError { wait: wait.or(Some(NO_CREDIT_WAIT)), ..error }
        }
        429 => AttemptError::new(O::RateLimited, Some(status), Fault::Busy, Failure::RateLimited(wait)),
        503 | 529 if wait.is_some() => {
            AttemptError::new(O::ServerError, Some(status), Fault::Busy, Failure::NoHealthyUpstream(wait))
        }
        408 | 425 | 500 | 502..=599 => {
            error(O::ServerError, Fault::Broken, &format!("it answered with status {status}"))
        }
        400..=499 | 501 => match expert.provider.refusal(status, &body, added) {
            Refusal::Client => {
                let mut error = error(
                    O::ClientError,
                    Fault::Client,
                    &format!("it refused the request with status {status}"),
                );
                error.refusal = Some(Box::new((head, body)));
                error
            }
            Refusal::Credentials => {
                error(O::AuthError, Fault::Operator, "it does not accept the gateway's key: check `api_key`")
            }
            Refusal::Credit => {
                error(O::OutOfCredit, Fault::Operator, "its account is out of credit or quota")
            }
            Refusal::UnknownModel => error(
                O::UnknownModel,
                Fault::Operator,
                &format!("it does not know the model {}: check `model`", expert.model),
            ),
            Refusal::UnknownPath => {
                error(O::NotFound, Fault::Operator, "its address has no such path: check `base_url`")
            }
            Refusal::AddedField => error(
                O::RefusedField,
                Fault::AddedField,
                "it refuses `stream_options`, which the gateway adds: set `stream_usage: off`",
            ),
            Refusal::Upstream => {
                error(O::ServerError, Fault::Operator, &format!("its model failed, with status {status}"))
            }
        },
        _ => error(
            O::Malformed,
            Fault::Operator,
            &format!("it answered with status {status}, which has no meaning here"),
        ),
    };
    error.wait = error.wait.or(wait.filter(|_| error.fault == Fault::Busy));
    error
}

/// The wait that an answer asks for: `retry-after-ms`, or `retry-after` in seconds, decimals or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str, unit: f64| {
        text.parse::<f64>().ok().filter(|n| *n >= 0.0).map(|n| (n * unit).min(LONGEST_WAIT.as_secs_f64()))
    };
    let millis = text("retry-after-ms").and_then(|value| number(value, 1e-3)).map(Duration::from_secs_f64);
    let seconds = || {
        let value = text(RETRY_AFTER.as_str())?;
        let date =
            || httpdate::parse_http_date(value).ok().map(|at| at.duration_since(now).unwrap_or_default());
        number(value, 1.0).map(Duration::from_secs_f64).or_else(date)
    };
    millis.or_else(seconds).map(|wait| wait.min(LONGEST_WAIT))
}

/// There is no head.
pub(super) fn no_head(expert: &Expert, why: NoHead) -> AttemptError {
    use AttemptOutcome as O;
    let upstream = |what: String| Failure::UpstreamError { expert: expert.name.to_string(), what };
    match why {
        NoHead::Connect(why) => {
            let what = format!("no connection could be made: {why}");
            AttemptError::new(O::ConnectError, None, Fault::Unreached, upstream(what))
        }
        NoHead::Broken(why) => {
            let what = format!("the connection broke before its answer: {why}");
            AttemptError::new(O::Reset, None, Fault::Lost, upstream(what))
        }
        NoHead::Stale => {
            let what = "an idle connection broke as soon as it was used".to_owned();
            AttemptError::new(O::StaleConnection, None, Fault::Stale, upstream(what))
        }
        NoHead::ConnectTimeout => late(expert, Fault::Unreached, "no connection was made in time"),
        NoHead::HeadersTimeout => late(expert, Fault::Lost, "its answer did not begin in time"),
    }
}

fn late(expert: &Expert, fault: Fault, what: &str) -> AttemptError {
    let failure = Failure::UpstreamTimeout { expert: expert.name.to_string(), what: what.to_owned() };
    AttemptError::new(AttemptOutcome::Timeout, None, fault, failure)
}

/// There is a head, and no answer behind it.
pub(super) fn no_answer(expert: &Expert, status: StatusCode, bad: Bad) -> AttemptError {
    let upstream = |what: String| Failure::UpstreamError { expert: expert.name.to_string(), what };
    let mut error = match bad {
        Bad::Late => late(expert, Fault::Lost, "its first word did not come in time"),
        Bad::Cut => {
            let failure = upstream("its answer broke off".to_owned());
            AttemptError::new(AttemptOutcome::Reset, None, Fault::Lost, failure)
        }
        Bad::Malformed(what) => {
            AttemptError::new(AttemptOutcome::Malformed, None, Fault::Broken, upstream(what))
        }
    };
    error.status = Some(status.as_u16());
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'static str, &'a str)];

    fn wait(pairs: Pairs<'_>, now: SystemTime) -> Option<Duration> {
        let headers =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        retry_after(&headers, now)
    }

    #[test]
    fn a_wait_is_read_in_every_form() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let date = httpdate::fmt_http_date(now + Duration::from_secs(20));
        let past = httpdate::fmt_http_date(now - Duration::from_secs(20));
        let cases: [(Pairs<'_>, Option<f64>); 11] = [
            (&[("retry-after", "20")], Some(20.0)),
            (&[("retry-after", " 20 ")], Some(20.0)),
            (&[("retry-after", "0.5")], Some(0.5)),
            (&[("retry-after", &date)], Some(20.0)),
            (&[("retry-after", &past)], Some(0.0)),
            (&[("retry-after-ms", "1500")], Some(1.5)),
            (&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(1.5)),
            (&[("retry-after", "99999999999999999999")], Some(600.0)),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "soon")], None),
        ];
        for (pairs, seconds) in cases {
            assert_eq!(wait(pairs, now), seconds.map(Duration::from_secs_f64), "{pairs:?}");
        }
    }
}
