//! One call to one endpoint: sent, probed, and committed, or an error that says whose fault it was.
//!
//! A request that was handed to a connection may be read, worked on and billed, whatever comes of it: from then on its
//! prompt is written down as paid, until an answer with its usage, or a refusal, takes its place.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderValue, response};
use tokio::time::Instant;

use super::attempt_error::{self, AttemptError};
use super::retry::Fault;
use super::{Answer, Errand, streams, through};
use crate::body::Body;
use crate::expert::circuit::ProbePermit;
use crate::expert::endpoint::Endpoint;
use crate::expert::{Expert, Lease, Timeouts};
use crate::probe::{Expected, Probed, probe};
use crate::record::{self, AttemptOutcome, Outcome, Reason, Record};
use crate::relay::{Attempted, Clocks, Held, Parts, Relay, Watched};
use crate::settle;
use crate::state::State;
use crate::tail::Tail;
use crate::upstream::{Reuse, Terms};
use crate::usage::Usage;
use crate::watch::{Edits, Watch, model_in_json, model_in_open_json};
use crate::weigh::expected_output;

/// How a call differs from the usual one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// Without the wish for usage, which the endpoint has refused.
    pub(super) omit_usage: bool,
    /// On a connection of its own: a pooled one has just died.
    pub(super) fresh: bool,
}

/// One call.
pub(super) struct Attempt<'a> {
    state: &'a Arc<State>,
    record: &'a Arc<Record>,
    errand: &'a Errand<'a>,
    expert: &'a Expert,
    endpoint: &'a Arc<Endpoint>,
    entry: Attempted,
    /// Time limits of its steps.
    limits: Timeouts,
    total_at: Instant,
    reuse: Reuse,
    /// The gateway asks for the usage of a stream.
    asks_usage: bool,
}

impl<'a> Attempt<'a> {
    /// Opens its entry in the record.
    pub(super) fn begin(
        state: &'a Arc<State>,
        record: &'a Arc<Record>,
        errand: &'a Errand<'a>,
        expert: &'a Expert,
        endpoint: &'a Arc<Endpoint>,
        manner: Manner,
    ) -> Self {
        let refused = manner.omit_usage || endpoint.refuses_stream_options.load(Ordering::Relaxed);
        let entry = enter(record, expert, endpoint);
        let mut limits = expert.timeouts;
        if !streams(errand) {
            // the head of a whole answer comes when the model is done
            limits.headers = limits.total;
            limits.first_token = limits.total;
        }
        let total_at = entry.started + limits.total;
        Self {
            state,
            record,
            errand,
            expert,
            endpoint,
            entry,
            limits,
            total_at: errand.deadline.map_or(total_at, |deadline| deadline.min(total_at)),
            reuse: if manner.fresh { Reuse::Never } else { Reuse::Idle },
            asks_usage: expert.stream_usage.asks(refused) && errand.ask.adds_usage(errand.dialect),
        }
    }

    /// Makes the call; what it came to is in the record, and the endpoint's circuit knows of it.
    pub(super) async fn run(self, lease: Lease, permit: ProbePermit) -> Result<Box<Answer>, AttemptError> {
        let _timer = Timer { record: self.record, entry: self.entry };
        let unbilled = Unbilled::new(&self);
        let busy = self.endpoint.busy();
        let error = match self.probed(&unbilled).await {
            Ok(probed) => {
                unbilled.disarm();
                let held = Held { lease, busy, permit };
                return Ok(Box::new(self.commit(held, probed)));
            }
            Err(error) => error,
        };
        unbilled.end(&error);
        self.note(error.outcome, error.status);
        self.judge(&error, &permit);
        Err(error)
    }

    async fn probed(&self, unbilled: &Unbilled<'_>) -> Result<Probed, AttemptError> {
        let Self { record, errand, expert, endpoint, total_at, .. } = *self;
        let traced = record.trace.as_ref().map(|trace| trace.attempt(errand.dialect, expert, endpoint));
        let make = || through::request(errand, expert, endpoint, self.asks_usage, traced.as_ref());
        let answered = self.state.connector.send(endpoint, make, &unbilled.terms).await;
        let answered = answered.map_err(|no_head| attempt_error::no_head(expert, no_head))?;
        let status = answered.head.status;
        let expected = Expected {
            dialect: errand.dialect,
            stream: streams(errand).then(|| self.watcher()),
            wants_usage: errand.ask.wants_usage,
            deadline: (Instant::now() + self.limits.first_token).min(total_at),
            asked: errand.headers,
        };
        match probe(answered, expert.provider, expected).await {
            Ok(Probed::Refused { head, body }) => {
                Err(attempt_error::refused(expert, head, body, self.asks_usage))
            }
            Ok(probed) => Ok(probed),
            Err(bad) => Err(attempt_error::no_answer(expert, status, bad)),
        }
    }

    fn watcher(&self) -> Watch {
        let ask = self.errand.ask;
        let edits = Edits {
            strip_usage: self.asks_usage,
            model: self.record.snapshot.renames().then(|| ask.model.clone().into_owned()),
        };
        Watch::new(self.expert.provider, ask.choices, edits)
    }

    /// Tells the circuit, the metrics and the operator of a failure.
    fn judge(&self, error: &AttemptError, permit: &ProbePermit) {
        let hurried = self.errand.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        match error.fault {
            // the server is well: it read the request and said no
            Fault::Client => return permit.succeeded(),
            Fault::AddedField => self.endpoint.refuses_stream_options.store(true, Ordering::Relaxed),
            Fault::Stale => self.state.meter.stale_connections.with_label_values(&[&*self.expert.name]).inc(),
            Fault::Operator => {}
            // a limit that the client set says nothing of the endpoint
            _ if hurried => {}
            _ => {
                let limited = error.outcome == AttemptOutcome::RateLimited;
                self.endpoint.rate_limited.store(limited, Ordering::Relaxed);
                permit.failed(error.wait);
            }
        }
        tracing::warn!(
            request_id = self.record.request_id(), expert = %self.expert.name, endpoint = %self.endpoint.authority,
            outcome = error.outcome.as_str(), status = error.status, detail = &*error.detail(), "an attempt failed"
        );
    }

    fn note(&self, outcome: AttemptOutcome, status: Option<u16>) {
        note(self.record, self.entry, outcome, status);
    }

    fn commit(&self, held: Held, probed: Probed) -> Answer {
        let Self { record, errand, expert, total_at, .. } = *self;
        let keep_alive = record.snapshot.config.server.keep_alive.0;
        let clocks = |stream: bool| Clocks::new(expert.timeouts.idle, total_at, stream.then_some(keep_alive));
        let prompt_tokens = errand.ask.tokens_estimated;
        let relay = |parts| Body::relay(Relay::new(parts, Arc::clone(record), self.entry));
        let (head, body, bill) = match probed {
            Probed::Whole { head, body, usage, text_bytes } => {
                held.permit.succeeded();
                self.note(AttemptOutcome::Ok, Some(head.status.as_u16()));
                let (usage, estimated) =
                    Usage::or_estimate(usage, || Usage::estimate(prompt_tokens, text_bytes as u64, 0));
                record.facts().usage = Some((usage, estimated));
                let bill = settle::bill(&record.snapshot, expert.index, &usage, &record.facts().retried);
                (head, Body::full(renamed(record, errand, body)).until(total_at), Some(bill))
            }
            Probed::Stream { mut head, upstream, queue, watch } => {
                // nginx gathers what it relays, unless the answer says otherwise
                head.headers.entry("x-accel-buffering").or_insert(HeaderValue::from_static("no"));
                let (watched, clocks) = (Watched::Events(watch), clocks(true));
                (head, relay(Parts { upstream, queue, watched, clocks, held, prompt_tokens }), None)
            }
            Probed::Large { head, upstream, queue } => {
                let watched = Watched::Large(Tail::new(expert.provider, errand.dialect));
                // compressed in a way that is not undone here, it cannot be read
                let is_text = !head.headers.contains_key(CONTENT_ENCODING);
                let queue = if is_text { renamed_beginning(record, errand, queue) } else { queue };
                let (upstream, clocks) = (Some(upstream), clocks(false));
                (head, relay(Parts { upstream, queue, watched, clocks, held, prompt_tokens }), None)
            }
            Probed::Refused { head, body } => (head, Body::full(body), None),
        };
        if let Some(entry) = record.facts().attempts.get_mut(self.entry.index) {
            entry.status = Some(head.status.as_u16());
        }
        let headers = through::passed_down(&head.headers);
        Answer { status: head.status, headers, body, expert: expert.index, reason: Reason::Routed, bill }
    }
}

/// The refusal of a request by its own fault, as the client gets it.
pub(super) fn refused(
    record: &Record,
    expert: &Expert,
    head: &response::Parts,
    body: Bytes,
    reason: Reason,
) -> Answer {
    record.facts().outcome = Some(Outcome::ClientError);
    let headers = through::passed_down(&head.headers);
    let body = Body::full(body);
    Answer { status: head.status, headers, body, expert: expert.index, reason, bill: None }
}

fn enter(record: &Record, expert: &Expert, endpoint: &Arc<Endpoint>) -> Attempted {
    let mut facts = record.facts();
    facts.attempts.push(record::Attempt {
        expert: Arc::clone(&expert.name),
        endpoint: Arc::clone(endpoint),
        outcome: AttemptOutcome::Cancelled,
        status: None,
        millis: 0.0,
    });
    Attempted { index: facts.attempts.len() - 1, started: Instant::now() }
}

fn note(record: &Record, attempt: Attempted, outcome: AttemptOutcome, status: Option<u16>) {
    if let Some(entry) = record.facts().attempts.get_mut(attempt.index) {
        entry.outcome = outcome;
        entry.status = status;
        entry.millis = record::millis(attempt.started.elapsed());
    }
}

/// Writes down how long an attempt took until its answer or failure, or until the client left.
struct Timer<'r> {
    record: &'r Record,
    entry: Attempted,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let took = self.entry.started.elapsed();
        let mut facts = self.record.facts();
        facts.upstream += took;
        if let Some(entry) = facts.attempts.get_mut(self.entry.index)
            && entry.millis == 0.0
        {
            entry.millis = record::millis(took);
        }
    }
}

/// A call that is paid for from the moment its request is sent, and whose usage nobody has told yet. Dropped in that
/// state, because the client left or an answer was thrown away, its prompt is written down.
struct Unbilled<'r> {
    record: &'r Record,
    expert: usize,
    terms: Terms<'r>,
    prompt: u64,
    /// An answer of the expected length.
    answer: u64,
}

impl<'r> Unbilled<'r> {
    fn new(attempt: &'r Attempt<'r>) -> Self {
        let Attempt { record, errand, expert, total_at, reuse, .. } = *attempt;
        Self {
            record,
            expert: expert.index,
            terms: Terms { reuse, ..Terms::new(&attempt.limits, total_at) },
            prompt: errand.ask.tokens_estimated,
            answer: expected_output(expert, errand.ask, errand.expected_output),
        }
    }

    /// Somebody else writes down what was used.
    fn disarm(&self) {
        self.terms.is_sent.store(false, Ordering::Relaxed);
    }

    /// The call failed. A refusal costs nothing; an answer that was none is paid for as far as its prompt goes; where
    /// none came in time, the server is taken to have worked on it all the while.
    fn end(self, error: &AttemptError) {
        let began = error.status.is_some_and(|status| (200..300).contains(&status));
        match (error.fault, error.outcome) {
            (Fault::Lost, AttemptOutcome::Timeout) => self.write(self.answer),
            (Fault::Lost | Fault::Stale, _) => self.write(0),
            (Fault::Broken, _) if began => self.write(0),
            _ => {}
        }
        self.disarm();
    }

    fn write(&self, output: u64) {
        let paid = Usage { input: self.prompt, output, ..Usage::default() };
        self.record.facts().retried.push((self.expert, paid));
    }
}

impl Drop for Unbilled<'_> {
    fn drop(&mut self) {
        if self.terms.is_sent.load(Ordering::Relaxed) {
            self.write(0);
        }
    }
}

/// The answer with the client's model name, where the operator wants that.
fn renamed(record: &Record, errand: &Errand<'_>, body: Bytes) -> Bytes {
    if !record.snapshot.renames() {
        return body;
    }
    let Some(at) = model_in_json(&body) else { return body };
    with_model(body.to_vec(), at, errand)
}

/// The same for an answer too large to be held, of which this much has come.
fn renamed_beginning(record: &Record, errand: &Errand<'_>, queue: VecDeque<Bytes>) -> VecDeque<Bytes> {
    if !record.snapshot.renames() {
        return queue;
    }
    let beginning = queue.iter().map(|frame| &frame[..]).collect::<Vec<_>>().concat();
    let Some(at) = model_in_open_json(&beginning) else { return queue };
    VecDeque::from([with_model(beginning, at, errand)])
}

fn with_model(mut json: Vec<u8>, at: Range<usize>, errand: &Errand<'_>) -> Bytes {
    json.splice(at, serde_json::to_vec(&errand.ask.model).unwrap_or_default());
    Bytes::from(json)
}
