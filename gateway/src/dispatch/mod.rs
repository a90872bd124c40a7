//! Walks a plan: per candidate lease, pick, send, probe; retry or move on, until an answer is committed or the
//! plan ends.
//!
//! Endpoints that fail again and again are passed by ([`crate::expert::circuit`]); only where the last candidate has no
//! other, it is asked all the same. Constraints are asked again before every attempt. What the client caused (a 4xx)
//! passes through at once; what the operator caused (a wrong key, an unknown model) and what the upstream caused means
//! the next candidate.

mod miss;
mod through;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::api::Dialect;
use crate::ask::Ask;
use crate::body::Body;
use crate::constraint::Constraints;
use crate::error::Failure;
use crate::expert::endpoint::Endpoint;
use crate::expert::pick::pick;
use crate::expert::{Expert, Lease};
use crate::probe::{Expected, Probed, probe};
use crate::record::{self, Attempt, Outcome, Reason, Record};
use crate::relay::{Attempted, Clocks, Held, Parts, Relay, Watched};
use crate::settle::{self, Bill};
use crate::state::State;
use crate::tail::Tail;
use crate::usage::Usage;
use crate::watch::{Edits, Watch, model_in_json};
use miss::Miss;

/// Endpoints of one expert that a request may try.
const ENDPOINTS_PER_EXPERT: usize = 2;

/// One request on its way to a model.
#[derive(Debug)]
pub struct Errand<'a> {
    /// What the client asked.
    pub ask: &'a Ask<'a>,
    /// The same as it came.
    pub body: &'a Bytes,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// Its dialect.
    pub dialect: Dialect,
    /// Positions of experts, best first.
    pub order: &'a [usize],
    /// Why the first is the first.
    pub reason: Reason,
    /// What every candidate must fulfil.
    pub constraints: &'a Constraints,
    /// When the client's patience ends.
    pub deadline: Option<Instant>,
}

/// A committed answer.
#[derive(Debug)]
pub struct Answer {
    /// The upstream's status.
    pub status: StatusCode,
    /// Its headers, those that may pass.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
    /// Who answered.
    pub expert: usize,
    /// Why that one.
    pub reason: Reason,
    /// Its price, where the answer was held whole.
    pub bill: Option<Bill>,
}

enum Tried {
    Answered(Box<Answer>),
    Missed(Miss),
}

/// Sends the errand along its plan.
pub async fn dispatch(
    state: &Arc<State>,
    record: &Arc<Record>,
    errand: &Errand<'_>,
) -> Result<Answer, Failure> {
    let mut reason = errand.reason;
    let mut last: Option<Failure> = None;
    let mut from: Option<usize> = None;
    let may = |index: &&usize| errand.constraints.check(&record.snapshot.experts[**index]).is_ok();
    let last_resort = errand.order.iter().rfind(may).copied();
    for &index in errand.order.iter().filter(may) {
        let expert = &record.snapshot.experts[index];
        if let Some(from) = from {
            let names = [&*record.snapshot.experts[from].name, &*expert.name, reason.as_str()];
            state.meter.fallbacks.with_label_values(&names).inc();
        }
        let Some(lease) = expert.lease() else {
            reason = Reason::Capacity;
            from = Some(index);
            last.get_or_insert(Failure::NoHealthyUpstream);
            continue;
        };
        match try_expert(state, record, errand, expert, lease, reason, last_resort == Some(index)).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => {
                reason = Reason::UpstreamFailure;
                from = Some(index);
                last = Some(failure);
            }
        }
        if errand.deadline.is_some_and(|d| Instant::now() >= d) {
            break;
        }
    }
    record.facts().reason = Some(reason);
    Err(last.unwrap_or(Failure::NoHealthyUpstream))
}

async fn try_expert(
    state: &Arc<State>,
    record: &Arc<Record>,
    errand: &Errand<'_>,
    expert: &Expert,
    lease: Lease,
    reason: Reason,
    last_resort: bool,
) -> Result<Answer, Failure> {
    let mut tried = Vec::new();
    let mut lease = Some(lease);
    loop {
        let Some((at, endpoint)) = pick(&expert.endpoints, &tried, last_resort, &mut |n| fastrand::u32(..n))
        else {
            return Err(Failure::NoHealthyUpstream);
        };
        let Some(place) = lease.take().or_else(|| expert.lease()) else {
            return Err(Failure::NoHealthyUpstream);
        };
        let attempt = begin(record, expert, endpoint);
        let pass = endpoint.circuit.enter();
        let clock = Clock { record, attempt };
        let tried_one = attempt_one(state, record, errand, expert, endpoint, place, attempt).await;
        drop(clock);
        let miss = match tried_one {
            Tried::Answered(mut answer) => {
                endpoint.circuit.succeeded();
                answer.reason = reason;
                return Ok(*answer);
            }
            Tried::Missed(miss) => miss,
        };
        let out_of_time = errand.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if !out_of_time {
            // the client's own limit says nothing of the endpoint
            endpoint.circuit.failed(miss.after());
        }
        drop(pass);
        note(record, attempt, miss.outcome, miss.status);
        tracing::warn!(
            request_id = record.request_id(), expert = %expert.name, endpoint = %endpoint.authority, outcome = miss.outcome,
            detail = miss.failure.message(), "an attempt failed"
        );
        tried.push(at);
        let another = miss.elsewhere && tried.len() < ENDPOINTS_PER_EXPERT.min(expert.endpoints.len());
        if !another || out_of_time {
            return Err(miss.failure);
        }
    }
}

fn begin(record: &Record, expert: &Expert, endpoint: &Arc<Endpoint>) -> Attempted {
    let mut facts = record.facts();
    facts.attempts.push(Attempt {
        expert: Arc::clone(&expert.name),
        endpoint: Arc::clone(endpoint),
        outcome: "cancelled",
        status: None,
        millis: 0.0,
    });
    Attempted { index: facts.attempts.len() - 1, started: Instant::now() }
}

/// Writes down how long an attempt took until its answer or failure, or until the client left.
struct Clock<'r> {
    record: &'r Record,
    attempt: Attempted,
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        let took = self.attempt.started.elapsed();
        let mut facts = self.record.facts();
        facts.upstream += took;
        if let Some(entry) = facts.attempts.get_mut(self.attempt.index)
            && entry.millis == 0.0
        {
            entry.millis = record::millis(took);
        }
    }
}

fn note(record: &Record, attempt: Attempted, outcome: &'static str, status: Option<u16>) {
    if let Some(entry) = record.facts().attempts.get_mut(attempt.index) {
        entry.outcome = outcome;
        entry.status = status;
        entry.millis = record::millis(attempt.started.elapsed());
    }
}

async fn attempt_one(
    state: &Arc<State>,
    record: &Arc<Record>,
    errand: &Errand<'_>,
    expert: &Expert,
    endpoint: &Arc<Endpoint>,
    lease: Lease,
    attempt: Attempted,
) -> Tried {
    let held = Held { lease, busy: endpoint.busy() };
    let total_at = attempt.started + expert.timeouts.total;
    let total_at = errand.deadline.map_or(total_at, |d| d.min(total_at));
    let traced = record.trace.as_ref().map(|trace| trace.attempt(errand.dialect, expert, endpoint));
    let make = || through::request(errand, expert, endpoint, traced.as_ref());
    let streams = streams(errand);
    let mut limits = expert.timeouts;
    if !streams {
        // the head of a whole answer comes when the model is done
        limits.headers = limits.total;
        limits.first_token = limits.total;
    }
    let answered = match state.connector.send(endpoint, make, &limits, total_at).await {
        Ok(answered) => answered,
        Err(no_head) => return Tried::Missed(miss::no_head(expert, no_head)),
    };
    if answered.repeated {
        state.meter.stale_connections.with_label_values(&[&*expert.name]).inc();
    }
    let status = answered.head.status;
    let expected = Expected {
        dialect: errand.dialect,
        stream: streams.then(|| watcher(record, errand, expert)),
        deadline: (Instant::now() + limits.first_token).min(total_at),
        asked: errand.headers,
    };
    let begun = status.is_success().then(|| Begun { record, expert, prompt: errand.ask.tokens_estimated });
    let probed = match probe(answered, expert.provider, expected).await {
        Ok(probed) => probed,
        Err(bad) => return Tried::Missed(miss::bad(expert, status, bad)),
    };
    // from here on its relay, or its bill, writes down what it used
    std::mem::forget(begun);
    commit(record, errand, expert, held, attempt, total_at, probed)
}

/// An answer that has begun with a good status is paid for, whether or not it is used: thrown away, or left by the
/// client before the commit, it is written down.
struct Begun<'r> {
    record: &'r Record,
    expert: &'r Expert,
    prompt: u64,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let paid = Usage::estimate(self.prompt, 0, 0);
        self.record.facts().retried.push((self.expert.index, paid));
    }
}

fn streams(errand: &Errand<'_>) -> bool {
    errand.ask.stream && errand.dialect != Dialect::Embeddings
}

fn watcher(record: &Record, errand: &Errand<'_>, expert: &Expert) -> Watch {
    let edits = Edits {
        strip_usage: !errand.ask.wants_usage,
        model: record.snapshot.renames().then(|| errand.ask.model.clone().into_owned()),
    };
    Watch::new(expert.provider, errand.ask.choices, edits)
}

fn commit(
    record: &Arc<Record>,
    errand: &Errand<'_>,
    expert: &Expert,
    held: Held,
    attempt: Attempted,
    total_at: Instant,
    probed: Probed,
) -> Tried {
    let keep_alive = record.snapshot.config.server.keep_alive.0;
    let clocks = |stream: bool| Clocks::new(expert.timeouts.idle, total_at, stream.then_some(keep_alive));
    let prompt_tokens = errand.ask.tokens_estimated;
    let (head, body, bill) = match probed {
        Probed::Refused { head, body } => match miss::refusal(expert, head, body) {
            Ok((head, body)) => {
                record.facts().outcome = Some(Outcome::ClientError);
                note(record, attempt, "client_error", Some(head.status.as_u16()));
                (head, Body::full(body), None)
            }
            Err(miss) => return Tried::Missed(miss),
        },
        Probed::Whole { head, body, usage, text_bytes } => {
            note(record, attempt, "ok", Some(head.status.as_u16()));
            let (usage, estimated) =
                Usage::or_estimate(usage, || Usage::estimate(prompt_tokens, text_bytes as u64, 0));
            record.facts().usage = Some((usage, estimated));
            let bill = settle::bill(&record.snapshot, expert.index, &usage, &record.facts().retried);
            (head, Body::full(renamed(record, errand, body)), Some(bill))
        }
        Probed::Stream { mut head, upstream, queue, watch } => {
            // nginx gathers what it relays, unless the answer says otherwise
            head.headers.entry("x-accel-buffering").or_insert(HeaderValue::from_static("no"));
            let parts = Parts {
                upstream,
                queue,
                watched: Watched::Events(watch),
                clocks: clocks(true),
                held,
                prompt_tokens,
            };
            (head, Body::relay(Relay::new(parts, Arc::clone(record), attempt)), None)
        }
        Probed::Large { head, upstream, queue } => {
            let parts = Parts {
                upstream: Some(upstream),
                queue,
                watched: Watched::Large(Tail::new(expert.provider, errand.dialect)),
                clocks: clocks(false),
                held,
                prompt_tokens,
            };
            (head, Body::relay(Relay::new(parts, Arc::clone(record), attempt)), None)
        }
    };
    if let Some(entry) = record.facts().attempts.get_mut(attempt.index) {
        entry.status = Some(head.status.as_u16());
    }
    let headers = through::passed_down(&head.headers);
    let answer =
        Answer { status: head.status, headers, body, expert: expert.index, reason: Reason::Routed, bill };
    Tried::Answered(Box::new(answer))
}

/// The answer with the client's model name, where the operator wants that.
fn renamed(record: &Record, errand: &Errand<'_>, body: Bytes) -> Bytes {
    if !record.snapshot.renames() {
        return body;
    }
    let Some(at) = model_in_json(&body) else { return body };
    let mut bytes = body.to_vec();
    bytes.splice(at, serde_json::to_vec(&errand.ask.model).unwrap_or_default());
    Bytes::from(bytes)
}
