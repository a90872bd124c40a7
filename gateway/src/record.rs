//! The facts of one request, each set once by the place that learns it, and the decision record that is written
//! from them when the request is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use router_model::Scores;
use serde::Serialize;

use crate::api::Dialect;
use crate::constraint::WhyNot;
use crate::expert::endpoint::Endpoint;
use crate::price::MicroUsd;
use crate::state::Snapshot;
use crate::usage::Usage;

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
    /// How many there are.
    pub const COUNT: usize = Self::RouterError as usize + 1;

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

/// One call to one endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// Name of the expert.
    pub expert: Arc<str>,
    /// Where.
    #[serde(serialize_with = "authority")]
    pub endpoint: Arc<Endpoint>,
    /// `ok`, or how it failed.
    pub outcome: &'static str,
    /// The upstream's status, where it came to one.
    pub status: Option<u16>,
    /// How long it took.
    pub millis: f64,
}

/// What routing decided, before anything was sent. Kept as figures; names are put in when it is written.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The configuration it was made under.
    pub snapshot: Arc<Snapshot>,
    /// Position of the policy.
    pub policy: usize,
    /// The router model's answer; `None` where it failed or was not asked.
    pub scores: Option<Scores>,
    /// Why the first candidate is the first; the record shows the reason at the end.
    pub reason: Reason,
    /// Every expert, by index, and how it stood.
    pub candidates: Vec<Stand>,
    /// What the request looked like.
    pub features: Features,
    /// Which words decided; asked for by `/v1/route` and `mixgate route`.
    pub attribution: Vec<Attributed>,
    /// The routable text, where `log.content` is `full`.
    pub text: Option<String>,
    /// Time the router model took.
    pub route_micros: u64,
    /// Positions of experts in the order they are tried.
    pub order: Vec<usize>,
}

/// How an expert stood in a decision.
#[derive(Debug, Clone)]
pub struct Stand {
    /// Expected chance of a good answer.
    pub score: f32,
    /// Expected cost.
    pub cost: Option<MicroUsd>,
    /// Why it may not take the request.
    pub why_not: Option<WhyNot>,
}

impl Decision {
    /// Name of the likeliest domain.
    pub fn domain(&self) -> Option<&str> {
        self.snapshot.classifier.domains().get(self.top()?).map(String::as_str)
    }

    /// Position of the likeliest domain.
    pub fn top(&self) -> Option<usize> {
        Some(self.scores.as_ref()?.top().0)
    }

    /// Probability of the likeliest domain; 0 where nothing is known.
    pub fn confidence(&self) -> f32 {
        self.scores.as_ref().map_or(0.0, |s| s.top().1)
    }
}

/// A decision as it is written.
#[derive(Serialize)]
struct DecisionView<'a> {
    policy: &'a str,
    domain: Option<&'a str>,
    domain_scores: DomainScores<'a>,
    confidence: f32,
    ood_score: f32,
    candidates: Candidates<'a>,
    features: &'a Features,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attribution: &'a [Attributed],
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    router_version: &'a str,
    route_micros: u64,
}

/// Scores by name.
struct DomainScores<'a>(&'a Decision);

impl Serialize for DomainScores<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scores = self.0.scores.as_ref().map(Scores::domains).unwrap_or_default();
        let names = self.0.snapshot.classifier.domains();
        serializer.collect_map(names.iter().zip(scores.iter().copied().map(round)))
    }
}

/// Every expert and how it stood.
struct Candidates<'a>(&'a Decision);

impl Serialize for Candidates<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let experts = self.0.snapshot.experts.iter().zip(&self.0.candidates);
        serializer.collect_seq(experts.map(|(expert, stand)| CandidateView {
            expert: &expert.name,
            score: round(stand.score),
            expected_cost_usd: stand.cost,
            eligible: stand.why_not.is_none(),
            why_not: stand.why_not.as_ref(),
        }))
    }
}

#[derive(Serialize)]
struct CandidateView<'a> {
    expert: &'a str,
    score: f32,
    expected_cost_usd: Option<MicroUsd>,
    eligible: bool,
    why_not: Option<&'a WhyNot>,
}

impl Serialize for Decision {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classifier = &self.snapshot.classifier;
        DecisionView {
            policy: &self.snapshot.policies[self.policy].name,
            domain: self.domain(),
            domain_scores: DomainScores(self),
            confidence: round(self.confidence()),
            ood_score: round(self.scores.as_ref().map_or(0.0, Scores::ood)),
            candidates: Candidates(self),
            features: &self.features,
            attribution: &self.attribution,
            text: self.text.as_deref(),
            router_version: classifier.version(),
            route_micros: self.route_micros,
        }
        .serialize(serializer)
    }
}

/// To four digits: what stands behind them is noise and bytes.
fn round(value: f32) -> f32 {
    (value * 1e4).round() / 1e4
}

/// What a request looked like; nothing of its text.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Features {
    /// Characters of the routable text.
    pub chars: usize,
    /// Prompt tokens, estimated.
    pub tokens_estimated: u64,
    /// Human turns.
    pub turns: u32,
    /// It brings tools.
    pub has_tools: bool,
    /// It has images.
    pub has_images: bool,
    /// Script of most letters: `latin`, `cyrillic`, `han` and so on; `none` without letters.
    pub language: &'static str,
}

/// A word and what it did to the score.
#[derive(Debug, Clone, Serialize)]
pub struct Attributed {
    /// The word.
    pub text: String,
    /// Change of the score when it is left out.
    pub weight: f32,
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
    facts: Mutex<Facts>,
}

impl Record {
    /// A request that just came.
    pub fn new(request_id: HeaderValue, snapshot: Arc<Snapshot>) -> Self {
        let time = SystemTime::now();
        Self {
            id: Id::new(time),
            request_id,
            snapshot,
            started: Instant::now(),
            time,
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

/// A UUID of version 7 (RFC 9562), as its 36 characters: milliseconds, then chance; sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id([u8; 36]);

impl Id {
    /// A fresh one.
    pub fn new(time: SystemTime) -> Self {
        let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let (chance, more) = (fastrand::u64(..), fastrand::u64(..));
        let high = millis << 16 | 0x7000 | chance & 0xfff;
        let low = 1 << 63 | more >> 2;
        let mut text = [b'-'; 36];
        let places = (0..36).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
        for (digit, at) in places.enumerate() {
            let half = if digit < 16 { high } else { low };
            let value = half >> (60 - digit % 16 * 4) & 0xf;
            text[at] = b"0123456789abcdef"[value as usize];
        }
        Self(text)
    }

    /// Its characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As a header.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
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
    pub attempts: Vec<Attempt>,
    /// How it ended.
    pub outcome: Outcome,
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

fn authority<S: serde::Serializer>(endpoint: &Arc<Endpoint>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&endpoint.authority)
}

fn header_text<S: serde::Serializer>(value: &HeaderValue, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.to_str().unwrap_or("-"))
}

fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Rfc3339(*time))
}

/// Prints a time as `2026-01-31T12:00:00.123Z`.
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339(pub SystemTime);

impl std::fmt::Display for Rfc3339 {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil(days as i64);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(
            out,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            since.subsec_millis()
        )
    }
}

/// Days since 1970 to a date (Howard Hinnant, «chrono-compatible low-level date algorithms»).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let at = |secs| Rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(secs)).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(at(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
    }

    #[test]
    fn ids_are_uuids_of_version_7_that_sort_by_time_and_differ() {
        let at = |millis| Id::new(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        let id = at(0x0123_4567_89ab);
        assert!(id.as_str().starts_with("01234567-89ab-7"), "{id:?}");
        assert!(matches!(id.0[19], b'8' | b'9' | b'a' | b'b'), "{id:?}");
        assert!(at(1_000) < at(2_000));
        assert_ne!(at(1_000), at(1_000));
    }
}
