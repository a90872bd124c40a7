//! Walks a plan: per candidate lease, pick, send, probe; another endpoint or the next candidate, until an answer is
//! committed or the plan ends.
//!
//! What comes after a failure is decided in [`retry`], by who was at fault; a second call to the same expert takes from
//! the retry budget. Endpoints that fail again and again are passed by ([`crate::expert::circuit`]); where
//! nobody else is left, a fallback is asked all the same. Constraints are asked again before every attempt.

mod attempt;
mod attempt_error;
mod retry;
mod retry_budget;
mod through;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep};

use crate::api::Dialect;
use crate::ask::Ask;
use crate::body::Body;
use crate::constraint::Constraints;
use crate::error::Failure;
use crate::expert::pick::pick;
use crate::expert::{Expert, Lease};
use crate::record::{Reason, Record};
use crate::settle::Bill;
use crate::state::State;
use attempt::{Attempt, Manner};
use attempt_error::{AttemptError, Refused};
use retry::{Fault, Left, Next};

pub use retry_budget::RetryBudget;

/// Endpoints of one expert that a request may reach; those that take no connection do not count.
const ENDPOINTS_PER_EXPERT: usize = 2;
/// Endpoints of one expert that a request may call at all.
const CALLS_PER_EXPERT: usize = 4;
/// Before another endpoint of an expert that is not well: somewhere below this, doubled with each.
const BACK_OFF: Duration = Duration::from_millis(50);

/// When one who did not say is asked again.
const SOON: Duration = Duration::from_secs(1);

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
    /// How long an answer of a model of usual verbosity is likely to be, tokens.
    pub expected_output: f32,
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

/// Sends the errand along its plan.
pub async fn dispatch(
    state: &Arc<State>,
    record: &Arc<Record>,
    errand: &Errand<'_>,
) -> Result<Answer, Failure> {
    let mut walk = Walk::new(state, record, errand);
    record.snapshot.retry_budget.deposit();
    let answer = walk.all().await;
    if answer.is_err() {
        record.facts().reason = Some(walk.reason);
    }
    answer
}

/// Why a candidate did not answer.
enum Passed {
    /// Its circuits are open, or it is at its capacity: nothing was sent.
    By,
    /// It failed; nothing more may be tried.
    Stop(Failure),
    /// It failed; the next may do better.
    On,
}

/// A request on its way along its candidates.
struct Walk<'w> {
    state: &'w Arc<State>,
    record: &'w Arc<Record>,
    errand: &'w Errand<'w>,
    /// Why the candidate at hand is asked.
    reason: Reason,
    /// The candidate before it.
    from: Option<usize>,
    /// What is told if nobody does better.
    last: Option<Failure>,
    /// What a candidate refused by the client's fault, as it came.
    refusal: Option<(usize, Refused)>,
    /// The shortest time after which someone who was passed by, or asked to be left alone, may be asked.
    soonest: Option<Duration>,
    /// All who were passed by are at their rate limits.
    rate_limited: bool,
    /// A request that may have been read was repeated.
    repeated: bool,
}

impl<'w> Walk<'w> {
    fn new(state: &'w Arc<State>, record: &'w Arc<Record>, errand: &'w Errand<'w>) -> Self {
        Self {
            state,
            record,
            errand,
            reason: errand.reason,
            from: None,
            last: None,
            refusal: None,
            soonest: None,
            rate_limited: true,
            repeated: false,
        }
    }

    async fn all(&mut self) -> Result<Answer, Failure> {
        let snapshot = &self.record.snapshot;
        let mut passed_by = None;
        for &index in self.errand.order {
            let expert = &snapshot.experts[index];
            if self.errand.constraints.check(expert).is_err() {
                continue;
            }
            match self.candidate(expert, false).await {
                Ok(answer) => return Ok(answer),
                Err(Passed::Stop(failure)) => return Err(failure),
                Err(Passed::On) => {}
                // of those that were passed by, a fallback goes before others
                Err(Passed::By) if passed_by.is_some_and(|by| snapshot.is_fallback(by)) => {}
                Err(Passed::By) => passed_by = Some(index),
            }
            if self.is_out_of_time() {
                break;
            }
        }
        if let Some(index) = passed_by.filter(|_| !self.is_out_of_time()) {
            match self.candidate(&snapshot.experts[index], true).await {
                Ok(answer) => return Ok(answer),
                Err(Passed::Stop(failure)) => return Err(failure),
                Err(_) => {}
            }
        }
        self.last_word()
    }

    /// What is told when nobody answered: how the last one failed; else for how long all want to be left alone; else what
    /// a candidate refused before others could not be asked.
    fn last_word(&mut self) -> Result<Answer, Failure> {
        let soonest = self.soonest;
        match self.last.take() {
            Some(Failure::RateLimited(_)) => Err(Failure::RateLimited(soonest)),
            Some(Failure::NoHealthyUpstream(_)) => Err(Failure::NoHealthyUpstream(soonest)),
            Some(failure) => Err(failure),
            None if soonest.is_some() && self.rate_limited => Err(Failure::RateLimited(soonest)),
            None if soonest.is_some() => Err(Failure::NoHealthyUpstream(soonest)),
            None => match self.refusal.take() {
                Some((index, refusal)) => {
                    let (head, body) = *refusal;
                    let expert = &self.record.snapshot.experts[index];
                    Ok(attempt::refused(self.record, expert, &head, body, self.reason))
                }
                None => Err(Failure::NoHealthyUpstream(None)),
            },
        }
    }

    /// Asks one expert. `insist`: nobody else is left, so an open circuit is no reason not to.
    async fn candidate(&mut self, expert: &Expert, insist: bool) -> Result<Answer, Passed> {
        let snapshot = &self.record.snapshot;
        if let Some(from) = self.from.filter(|from| *from != expert.index) {
            let names = [&*snapshot.experts[from].name, &*expert.name, self.reason.as_str()];
            self.state.meter.fallbacks.with_label_values(&names).inc();
        }
        self.from = Some(expert.index);
        let Some(lease) = expert.lease() else {
            self.reason = Reason::Capacity;
            self.soonest = self.soonest.into_iter().chain([SOON]).min();
            self.rate_limited = false;
            return Err(Passed::By);
        };
        let answer = self.endpoints(expert, lease, insist).await;
        if answer.is_err() {
            self.reason = Reason::UpstreamFailure;
        }
        answer
    }

    async fn endpoints(&mut self, expert: &Expert, lease: Lease, insist: bool) -> Result<Answer, Passed> {
        let mut tried = Vec::new();
        let mut reached = 0;
        let mut lease = Some(lease);
        let mut manner = Manner::default();
        loop {
            let picked = pick(&expert.endpoints, &tried, insist, &mut |most| fastrand::u64(..most));
            let Some((at, endpoint, permit)) = picked else {
                self.note_wait(expert);
                return Err(if tried.is_empty() { Passed::By } else { Passed::On });
            };
            let Some(place) = lease.take().or_else(|| expert.lease()) else { return Err(Passed::On) };
            let attempt = Attempt::begin(self.state, self.record, self.errand, expert, endpoint, manner);
            let error = match attempt.run(place, permit).await {
                Ok(mut answer) => {
                    answer.reason = self.reason;
                    return Ok(*answer);
                }
                Err(error) => error,
            };
            tried.push(at);
            reached += usize::from(error.fault != Fault::Unreached);
            let untried =
                tried.len() < CALLS_PER_EXPERT.min(expert.endpoints.len()) && reached < ENDPOINTS_PER_EXPERT;
            let next = self.after(expert, &error, untried);
            manner.omit_usage |= next == Next::WithoutField;
            manner.fresh = next == Next::FreshConnection;
            match next {
                Next::WithoutField | Next::FreshConnection => {
                    tried.pop();
                }
                Next::OtherEndpoint => self.back_off(error.fault, tried.len()).await,
                Next::OtherCandidate => {
                    self.note(expert, error);
                    return Err(Passed::On);
                }
                Next::Stop => return self.told(expert, error),
            }
            self.note(expert, error);
        }
    }

    /// Notes a failure for the case that nobody does better.
    fn note(&mut self, expert: &Expert, error: AttemptError) {
        if error.fault == Fault::Busy {
            self.soonest = self.soonest.into_iter().chain([error.wait.unwrap_or(SOON)]).min();
        }
        match error.refusal {
            Some(refusal) => self.refusal = Some((expert.index, refusal)),
            None => self.last = Some(error.failure),
        }
    }

    /// What is tried after this failure, if the budget has room for it.
    fn after(&mut self, expert: &Expert, error: &AttemptError, endpoints: bool) -> Next {
        let snapshot = &self.record.snapshot;
        let order = self.errand.order;
        let at = order.iter().position(|index| *index == expert.index);
        let behind = at.map_or(&[][..], |at| &order[at + 1..]);
        let named = self.errand.constraints.named == Some(expert.index);
        let last_fallback =
            snapshot.is_fallback(expert.index) && !behind.iter().any(|index| snapshot.is_fallback(*index));
        let left = Left {
            endpoints,
            candidates: !behind.is_empty(),
            named,
            last_word: named || last_fallback || behind.is_empty(),
            may_omit: expert.stream_usage.may_stop(),
            after_sent: snapshot.config.retry.after_sent,
            repeated: self.repeated,
        };
        let next = retry::next(error.fault, left);
        self.repeated |= matches!(error.fault, Fault::Lost | Fault::Stale);
        // another expert is not burdened by what this one could not do; its own capacity and circuits guard it
        let next = match next {
            Next::OtherEndpoint if !snapshot.retry_budget.withdraw() => Next::OtherCandidate,
            next => next,
        };
        if self.is_out_of_time() { Next::Stop } else { next }
    }

    /// The end: the refusal that the client caused as it came, else the failure.
    fn told(&mut self, expert: &Expert, error: AttemptError) -> Result<Answer, Passed> {
        match error.refusal {
            Some(refusal) => {
                let (head, body) = *refusal;
                Ok(attempt::refused(self.record, expert, &head, body, self.reason))
            }
            None => Err(Passed::Stop(error.failure)),
        }
    }

    /// The same model elsewhere is likely to be as busy: a moment, different for each request.
    async fn back_off(&self, fault: Fault, tried: usize) {
        if matches!(fault, Fault::Busy | Fault::Broken) {
            let most = BACK_OFF * 2_u32.saturating_pow(tried.saturating_sub(1) as u32);
            sleep(most.mul_f64(fastrand::f64())).await;
        }
    }

    /// When an endpoint of this expert may be asked again.
    fn note_wait(&mut self, expert: &Expert) {
        let waits = expert.endpoints.iter().filter_map(|endpoint| endpoint.circuit.remaining());
        self.soonest = waits.chain(self.soonest).min();
        self.rate_limited &= expert.endpoints.iter().all(|e| e.rate_limited.load(Ordering::Relaxed));
    }

    fn is_out_of_time(&self) -> bool {
        self.errand.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

fn streams(errand: &Errand<'_>) -> bool {
    errand.ask.stream && errand.dialect != Dialect::Embeddings
}
