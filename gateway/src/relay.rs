//! An upstream's answer on its way to the client: frames by reference count, watched as they pass.
//!
//! Pull, not push: no task and no channel lie in between, so a slow client slows the upstream, and a client that
//! leaves drops this and with it the upstream's connection. Its time is looked at whenever it is polled: an upstream
//! that always has more to say, and a client that reads slowly, are no way around it.

mod clocks;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::body::Cut;
use crate::error;
use crate::expert::Lease;
use crate::expert::circuit::ProbePermit;
use crate::expert::endpoint::Busy;
use crate::record::{self, AttemptOutcome, Outcome, Record};
use crate::tail::Tail;
use crate::upstream::Coming;
use crate::usage::Usage;
use crate::watch::Watch;
use clocks::Ring;

pub use clocks::Clocks;

/// Bytes that go on at once: more would only lie about while the client reads.
const ENOUGH: usize = 16 * 1024;
/// Bytes behind the end marker that still go on, where they are there already.
const BEHIND_END: usize = 16 * 1024;

/// What sits at an endpoint while an answer passes: the expert's place and the endpoint's load.
#[derive(Debug)]
pub struct Held {
    /// Place at the expert.
    pub lease: Lease,
    /// Load of the endpoint.
    pub busy: Busy,
    /// Way through the endpoint's circuit, which hears how the answer ended.
    pub permit: ProbePermit,
}

/// A committed answer.
#[derive(Debug)]
pub struct Relay {
    upstream: Option<Coming>,
    queue: VecDeque<Bytes>,
    watched: Watched,
    clocks: Clocks,
    record: Arc<Record>,
    attempt: Attempted,
    prompt_tokens: u64,
    /// Bytes that came behind the end marker.
    behind_end: usize,
    /// Its last word is a broken connection.
    cut: bool,
    settled: bool,
    held: Held,
}

/// Who looks at the frames as they pass.
#[derive(Debug)]
pub enum Watched {
    /// A stream of events.
    Events(Box<Watch>),
    /// An answer too large to be held.
    Large(Tail),
}

impl Watched {
    fn events(&self) -> Option<&Watch> {
        if let Self::Events(watch) = self { Some(watch) } else { None }
    }

    fn usage(&self, prompt_tokens: u64) -> (Usage, bool) {
        match self {
            Self::Events(watch) => watch.usage(prompt_tokens),
            Self::Large(tail) => tail.usage(prompt_tokens),
        }
    }
}

/// The attempt in the record that this answer belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Attempted {
    /// Its position there.
    pub index: usize,
    /// When it began.
    pub started: Instant,
}

/// Parts of a relay.
pub struct Parts {
    /// What is still to come.
    pub upstream: Option<Coming>,
    /// What came before the commit.
    pub queue: VecDeque<Bytes>,
    /// Who looks at it.
    pub watched: Watched,
    /// Its time limits.
    pub clocks: Clocks,
    /// Places it takes.
    pub held: Held,
    /// Prompt tokens, estimated, where the upstream sends no usage.
    pub prompt_tokens: u64,
}

impl Relay {
    /// Commits an answer.
    pub fn new(parts: Parts, record: Arc<Record>, attempt: Attempted) -> Self {
        let Parts { upstream, queue, mut watched, clocks, held, prompt_tokens } = parts;
        if let Watched::Large(tail) = &mut watched {
            queue.iter().for_each(|frame| tail.take(frame));
        }
        Self {
            upstream,
            queue,
            watched,
            clocks,
            record,
            attempt,
            prompt_tokens,
            behind_end: 0,
            cut: false,
            settled: false,
            held,
        }
    }

    /// The next bytes for the client: all that has come, up to [`ENOUGH`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if self.upstream.is_some() && !self.clocks.has_time(cx) {
            self.ended_early(Outcome::Timeout, "took too long");
        }
        loop {
            let Some(upstream) = &mut self.upstream else { return Poll::Ready(self.last_words()) };
            if self.queue.iter().map(Bytes::len).sum::<usize>() >= ENOUGH {
                return Poll::Ready(self.next().map(Ok));
            }
            match upstream.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => self.take(data),
                Poll::Ready(Some(Err(_))) => self.ended_early(Outcome::UpstreamError, "broke off"),
                Poll::Ready(None) => self.ended(),
                Poll::Pending if self.is_done() => self.leave(),
                Poll::Pending if !self.queue.is_empty() => return Poll::Ready(self.next().map(Ok)),
                Poll::Pending => match self.clocks.poll(cx) {
                    None => return Poll::Pending,
                    Some(Ring::KeepAlive) => self.keep_alive(),
                    Some(Ring::Idle) if self.clocks.is_up() => {
                        self.ended_early(Outcome::Timeout, "took too long");
                    }
                    Some(Ring::Idle) => self.ended_early(Outcome::Timeout, "fell silent"),
                },
            }
        }
    }

    /// The end marker came: nothing more is waited for.
    fn is_done(&self) -> bool {
        self.watched.events().is_some_and(Watch::is_done)
    }

    /// Ends the answer behind its end marker, whether or not its upstream ends it too.
    fn leave(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.leave();
        }
        self.ended();
    }

    /// What is queued, joined where it came in small pieces: each piece that goes on costs the same, however small.
    fn next(&mut self) -> Option<Bytes> {
        let small = self.queue.iter().take_while(|piece| piece.len() < ENOUGH / 4).count();
        if small < 2 {
            return self.queue.pop_front();
        }
        let mut joined = BytesMut::with_capacity(self.queue.iter().take(small).map(Bytes::len).sum());
        self.queue.drain(..small).for_each(|piece| joined.extend_from_slice(&piece));
        Some(joined.freeze())
    }

    /// What is left once the upstream has nothing more.
    fn last_words(&mut self) -> Option<Result<Bytes, Cut>> {
        let next = self.next().map(Ok);
        next.or_else(|| std::mem::take(&mut self.cut).then_some(Err(Cut)))
    }

    fn take(&mut self, data: Bytes) {
        if self.is_done() {
            self.behind_end += data.len();
            if self.behind_end > BEHIND_END {
                self.upstream = None;
                return self.ended();
            }
        }
        let progress = match &mut self.watched {
            Watched::Events(watch) => watch.take(&data, &mut self.queue),
            Watched::Large(tail) => {
                tail.take(&data);
                self.queue.push_back(data);
                true
            }
        };
        self.clocks.note(progress);
    }

    /// A comment, without the empty line that would make it an event: where events have an id, SDKs take an empty one
    /// for the next.
    fn keep_alive(&mut self) {
        if self.watched.events().is_some_and(Watch::between_events) {
            self.queue.push_back(Bytes::from_static(b": keep-alive\n"));
        }
    }

    /// The upstream's clean end, if it was one.
    fn ended(&mut self) {
        if let Watched::Events(watch) = &mut self.watched {
            self.queue.extend(watch.finish());
        }
        let events = self.watched.events();
        if events.is_some_and(|w| !w.is_complete() && w.error.is_none()) {
            return self.ended_early(Outcome::UpstreamError, "ended its stream before its end");
        }
        let failed = events.is_some_and(|w| w.error.is_some());
        self.upstream = None;
        self.settle(if failed { Outcome::UpstreamError } else { Outcome::Ok });
    }

    /// The upstream was cut or is given up; whoever waits is told in the stream, or by a broken connection.
    fn ended_early(&mut self, outcome: Outcome, what: &str) {
        self.upstream = None;
        let Watched::Events(watch) = &mut self.watched else {
            self.cut = true;
            return self.settle(outcome);
        };
        let mid_event = !watch.between_events();
        self.queue.extend(watch.finish());
        if watch.is_complete() {
            return self.settle(Outcome::Ok);
        }
        let code = if outcome == Outcome::Timeout { "upstream_timeout" } else { "upstream_incomplete" };
        self.queue.push_back(error_event(what, code, mid_event));
        self.record.facts().error = Some(code);
        self.settle(outcome);
    }

    /// Writes down what was seen; once.
    fn settle(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let mut facts = self.record.facts();
        if outcome != Outcome::Ok || facts.outcome.is_none() {
            facts.outcome = Some(outcome);
        }
        facts.usage = Some(self.watched.usage(self.prompt_tokens));
        if let Some(attempt) = facts.attempts.get_mut(self.attempt.index) {
            attempt.millis = record::millis(self.attempt.started.elapsed());
            attempt.outcome = match outcome {
                Outcome::Ok => AttemptOutcome::Ok,
                Outcome::Timeout => AttemptOutcome::Timeout,
                Outcome::Cancelled => AttemptOutcome::Cancelled,
                _ => AttemptOutcome::Incomplete,
            };
        }
        drop(facts);
        // a limit on the whole may be the client's, and says nothing of the endpoint
        let fell_silent = outcome == Outcome::Timeout && !self.clocks.is_up();
        if outcome == Outcome::Ok {
            self.held.permit.succeeded();
        } else if fell_silent || outcome == Outcome::UpstreamError {
            self.held.permit.failed(None);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let outcome = match self.watched.events() {
            Some(watch) if watch.error.is_some() => Outcome::UpstreamError,
            Some(watch) if watch.is_complete() => Outcome::Ok,
            // its client took nothing until its time was up
            _ if self.clocks.is_up() => Outcome::Timeout,
            _ => Outcome::Cancelled,
        };
        self.settle(outcome);
    }
}

fn error_event(what: &str, code: &str, mid_event: bool) -> Bytes {
    let message = format!("the answer is incomplete: the upstream {what}");
    let json = error::object(&message, "upstream_error", None, code);
    let mut event = Vec::with_capacity(json.len() + 12);
    if mid_event {
        event.extend_from_slice(b"\n\n");
    }
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(&json);
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}
