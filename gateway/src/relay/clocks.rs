//! Time limits of a committed answer: silence, the whole, and the pause after which a comment keeps it alive.
//!
//! One timer serves all three; it is not reset for every frame, only looked at again when it rings. It can only ring
//! while the client reads: the time that an answer lies with its client is no silence of the upstream. The whole has
//! a second timer, which wakes the task of a client that does not read ([`crate::overdue`]).

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::overdue;

/// How long a client has for the last words of an answer whose time is up.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Time limits of a committed answer.
#[derive(Debug)]
pub struct Clocks {
    idle: Duration,
    total_at: Instant,
    keep_alive: Option<Duration>,
    last_data: Instant,
    last_sent: Instant,
    /// Since when the answer lies with its client.
    given: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    overdue: Option<Pin<Box<Sleep>>>,
}

/// What a clock says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ring {
    Idle,
    KeepAlive,
}

impl Clocks {
    /// `keep_alive` only for streams.
    pub fn new(idle: Duration, total_at: Instant, keep_alive: Option<Duration>) -> Self {
        let now = Instant::now();
        let mut clocks = Self {
            idle,
            total_at,
            keep_alive,
            last_data: now,
            last_sent: now,
            given: None,
            alarm: Box::pin(sleep_until(now)),
            overdue: None,
        };
        clocks.rearm();
        clocks
    }

    /// The client wants more; false where its time is up.
    pub(super) fn resume(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        if let Some(given) = self.given.take() {
            self.last_data += now.saturating_duration_since(given);
        }
        if self.overdue.is_none() {
            let until = self.total_at + LAST_WORDS;
            let mut overdue = Box::pin(sleep_until(until));
            overdue::set(Some(until));
            let _ = overdue.as_mut().poll(cx);
            self.overdue = Some(overdue);
        }
        now < self.total_at
    }

    /// The client has got something.
    pub(super) fn give(&mut self, now: Instant) {
        self.given = Some(now);
    }

    /// Something came, and maybe it brought the answer forward.
    pub(super) fn note(&mut self, now: Instant, progress: bool) {
        self.last_sent = now;
        if progress {
            self.last_data = now;
        }
    }

    /// Whether the time of the whole is up.
    pub(super) fn is_up(&self) -> bool {
        Instant::now() >= self.total_at
    }

    fn next(&self) -> Instant {
        let silence = (self.last_data + self.idle).min(self.total_at);
        self.keep_alive.map_or(silence, |every| silence.min(self.last_sent + every))
    }

    fn rearm(&mut self) {
        let next = self.next();
        self.alarm.as_mut().reset(next);
    }

    /// What rang while the upstream is silent; `None`: nothing yet, and the task will be woken. The whole is looked at
    /// whenever the answer is, so its ring only wakes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Ring> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.last_data + self.idle || now >= self.total_at {
                return Some(Ring::Idle);
            }
            if self.keep_alive.is_some_and(|every| now >= self.last_sent + every) {
                self.last_sent = now;
                self.rearm();
                return Some(Ring::KeepAlive);
            }
            self.rearm();
        }
        None
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        if self.overdue.is_some() {
            overdue::set(None);
        }
    }
}
