//! The facts of one request, each set once by the place that learns it, and the decision record that is written
//! from them when the request is over.

mod attempt;
mod decision;
mod id;
mod line;
mod names;
mod time;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use serde::Serialize;

use crate::api::Dialect;
use crate::error::Failure;
use crate::price::MicroUsd;
use crate::snapshot::Snapshot;
use crate::traces::Trace;
use crate::usage::Usage;

pub use attempt::{Attempt, AttemptOutcome, Call};
pub use decision::{Attributed, Decision, Features, Stand};
pub use id::Id;
pub use line::Fragments;
pub use names::Names;
pub use time::Rfc3339;

/// Why an expert answers: the contract's closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The policy's choice.
    Routed,
    /// The request's `model` names it.
    Pinned,
    /// `x-mixgate-expert` names it.
    Forced,
    /// It has this conversation.
    Sticky,
    /// The router is not sure: the fallback.
    LowConfidence,
    /// Unlike anything known: the fallback.
    OutOfDistribution,
    /// The policy's choice may not take it.
    Ineligible,
    /// The choice is at its capacity.
    Capacity,
    /// The choice failed.
    UpstreamFailure,
    /// The answer was not good enough.
    QualityEscalation,
    /// The router took too long: the fallback.
    Deadline,
    /// The router failed: the fallback.
    RouterError,
}

impl Reason {
    /// All of them, in the order of `as usize`.
    pub const ALL: [Self; 12] = [
        Self::Routed,
        Self::Pinned,
        Self::Forced,
        Self::Sticky,
        Self::LowConfidence,
        Self::OutOfDistribution,
        Self::Ineligible,
        Self::Capacity,
        Self::UpstreamFailure,
        Self::QualityEscalation,
        Self::Deadline,
        Self::RouterError,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// As in headers and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Pinned => "pinned",
            Self::Forced => "forced",
            Self::Sticky => "sticky",
            Self::LowConfidence => "low_confidence",
            Self::OutOfDistribution => "out_of_distribution",
            Self::Ineligible => "ineligible",
            Self::Capacity => "capacity",
            Self::UpstreamFailure => "upstream_failure",
            Self::QualityEscalation => "quality_escalation",
            Self::Deadline => "deadline",
            Self::RouterError => "router_error",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A whole answer.
    Ok,
    /// The client's fault.
    ClientError,
    /// An upstream's fault, or ours.
    UpstreamError,
    /// The client left.
    Cancelled,
    /// Too late.
    Timeout,
    /// Not taken: over a limit.
    Rejected,
}

impl Outcome {
    /// All of them, in the order of `as usize`.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::ClientError, Self::UpstreamError, Self::Cancelled, Self::Timeout, Self::Rejected];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::UpstreamError => "upstream_error",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
        }
    }
}

/// Everything known of a request so far.
#[derive(Debug, Default)]
pub struct Facts {
    /// What the request's path asks for; `None`: not a model.
    pub dialect: Option<Dialect>,
    /// Path below `/v1`, once it is known who asks: then the request has a record.
    pub endpoint: Option<&'static str>,
    /// Name of the tenant.
    pub tenant: Option<Arc<str>>,
    /// The client's `model`.
    pub requested_model: String,
    /// What routing decided.
    pub decision: Option<Arc<Decision>>,
    /// The reason at the end: capacity and failures change it.
    pub reason: Option<Reason>,
    /// Calls made.
    pub attempts: Vec<Attempt>,
    /// Position of the expert that answered.
    pub served: Option<usize>,
    /// Whether the answer is a stream.
    pub streaming: bool,
    /// Tokens, and whether they are estimated.
    pub usage: Option<(Usage, bool)>,
    /// Tokens of attempts that were paid and thrown away.
    pub retried: Vec<(usize, Usage)>,
    /// When the first meaningful byte went to the client.
    pub first_token: Option<Duration>,
    /// Time spent waiting for upstreams before the commit.
    pub upstream: Duration,
    /// Gateway time: total less client and upstream.
    pub overhead: Duration,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Code of the gateway's own error, where the client got one.
    pub error: Option<&'static str>,
}

/// One request from its first to its last byte.
#[derive(Debug)]
pub struct Record {
    /// Id of the decision.
    pub id: Id,
    request_id: HeaderValue,
    /// The configuration it is answered under.
    pub snapshot: Arc<Snapshot>,
    /// When it came.
    pub started: Instant,
    /// The same by the calendar.
    pub time: SystemTime,
    /// Its spans, where it is traced.
    pub trace: Option<Trace>,
    facts: Mutex<Facts>,
}

impl Record {
    /// A request that just came.
    pub fn new(request_id: HeaderValue, snapshot: Arc<Snapshot>, trace: Option<Trace>) -> Self {
        let time = SystemTime::now();
        Self {
            id: Id::new(time),
            request_id,
            snapshot,
            started: Instant::now(),
            time,
            trace,
            facts: Mutex::default(),
        }
    }

    /// The client's id, or ours.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or("-")
    }

    /// The same as it came.
    pub fn request_id_header(&self) -> HeaderValue {
        self.request_id.clone()
    }

    /// Notes that the client gets this failure.
    pub fn failed(&self, outcome: Outcome, failure: &Failure) {
        let mut facts = self.facts();
        facts.outcome = Some(outcome);
        facts.error = Some(failure.kind().2);
    }

    /// Takes the time since the request was read; what was spent on upstreams is not the gateway's.
    pub fn note_overhead(&self, since_read: Duration) {
        let mut facts = self.facts();
        facts.overhead = since_read.saturating_sub(facts.upstream);
    }

    /// The facts, to read or to add to; held for moments only.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds, to the microsecond.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A finished request, priced; what the ledger writes and `/api/decisions` shows.
#[derive(Debug, Clone, Serialize)]
pub struct Finished {
    /// Id of the decision.
    pub id: Id,
    /// RFC 3339, UTC.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The client's id, or ours.
    #[serde(serialize_with = "header_text")]
    pub request_id: HeaderValue,
    /// Path below `/v1`.
    pub endpoint: Option<&'static str>,
    /// Who asked.
    pub tenant: Option<Arc<str>>,
    /// The client's `model`.
    pub requested_model: String,
    /// What routing decided.
    #[serde(flatten)]
    pub decision: Option<Arc<Decision>>,
    /// The expert that answered, else the first choice.
    pub chosen: Option<Arc<str>>,
    /// The reason at the end.
    pub reason: Option<Reason>,
    /// Calls made.
    pub attempts: Vec<Call>,
    /// How it ended.
    pub outcome: Outcome,
    /// Code of the gateway's own error, where the client got one.
    pub error: Option<&'static str>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// The upstream sent no usage; the figures are estimates.
    pub usage_estimated: bool,
    /// What it cost, thrown-away attempts included; `None`: unpriced.
    pub cost_usd: Option<MicroUsd>,
    /// What the same tokens cost at the fallback.
    pub baseline_cost_usd: Option<MicroUsd>,
    /// Baseline less cost.
    pub saved_usd: Option<MicroUsd>,
    /// Whether it was streamed.
    pub streaming: bool,
    /// Until the first meaningful byte.
    pub first_token_millis: Option<f64>,
    /// Until the last.
    pub total_millis: f64,
}

impl Finished {
    /// Bytes that it holds by itself.
    pub fn weight(&self) -> usize {
        let decision = self.decision.as_ref().map_or(0, |decision| decision.weight());
        size_of::<Self>()
            + self.request_id.len()
            + self.requested_model.capacity()
            + self.attempts.capacity() * size_of::<Call>()
            + decision
    }
}

fn header_text<S: serde::Serializer>(value: &HeaderValue, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.to_str().unwrap_or("-"))
}

fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(std::str::from_utf8(&Rfc3339(*time).text()).unwrap_or_default())
}
