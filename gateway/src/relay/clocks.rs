//! Time limits of a committed answer: silence, the whole, and the pause after which a comment keeps it alive.
//!
//! One timer serves silence and pause; it is not reset for every frame, only looked at again when it rings, and the
//! clock is read once before each wait. Silence begins where this waits for the upstream: the time that an answer lies
//! with its client is none. The whole has its own timer, which also reaches a client that does not read
//! ([`crate::overdue`]).

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::overdue;

/// Time limits of a committed answer.
#[derive(Debug)]
pub struct Clocks {
    idle: Duration,
    total_at: Instant,
    keep_alive: Option<Duration>,
    came: Came,
    last_data: Instant,
    last_sent: Instant,
    alarm: Pin<Box<Sleep>>,
    total: Option<overdue::Timer>,
    /// Turns since the last wait.
    turns: u8,
}

/// Turns without a wait after which the clock is asked: timers ring late on a lane that is never idle.
const TURNS: u8 = 16;

/// What came since the last wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Nothing,
    /// Nothing that brought the answer forward.
    Pings,
    Progress,
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
            came: Came::Progress,
            last_data: now,
            last_sent: now,
            alarm: Box::pin(sleep_until(now)),
            total: None,
            turns: 0,
        };
        clocks.rearm();
        clocks
    }

    /// The client wants more: whether there is time left for it.
    pub(super) fn has_time(&mut self, cx: &Context<'_>) -> bool {
        let total_at = self.total_at;
        self.turns += 1;
        if self.turns >= TURNS {
            self.turns = 0;
            if self.is_up() {
                return false;
            }
        }
        !self.total.get_or_insert_with(|| overdue::Timer::new(total_at, cx)).has_rung()
    }

    /// Something came, and maybe it brought the answer forward.
    pub(super) fn note(&mut self, progress: bool) {
        match progress {
            true => self.came = Came::Progress,
            false if self.came == Came::Nothing => self.came = Came::Pings,
            false => {}
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

    /// Waits for the upstream: what rang meanwhile; `None`: nothing yet, and the task will be woken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Ring> {
        self.turns = 0;
        let came = std::mem::replace(&mut self.came, Came::Nothing);
        if came != Came::Nothing {
            self.last_sent = Instant::now();
        }
        if came == Came::Progress {
            self.last_data = self.last_sent;
        }
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
