//! Whether an endpoint is worth asking: it is left alone for a while once it fails again and again, then asked by one
//! request at a time until it answers.
//!
//! Closed: requests pass. Open: none does, until a wait is over that doubles with every failed trial. Half open: one
//! request tries; its success closes the circuit. On the way of a request there is one load and, where the circuit
//! is closed, nothing else.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// Or this share of the answers of a window, where they are enough to tell.
const SHARE: f32 = 0.5;
const ENOUGH: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// How long it stays open at first, and at most.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The circuit of one endpoint.
#[derive(Debug)]
pub struct Circuit {
    /// What times are counted from.
    base: Instant,
    /// Milliseconds from `base` at which the next trial may be made; 0: closed.
    until: AtomicU64,
    /// How long it is open, milliseconds.
    wait: AtomicU64,
    /// A trial is on its way.
    trying: AtomicBool,
    in_a_row: AtomicU32,
    /// Answers and failures since `window`, milliseconds from `base`.
    answers: AtomicU32,
    failures: AtomicU32,
    window: AtomicU64,
}

/// Where a circuit stands; the numbers are those of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Requests pass.
    Closed = 0,
    /// One request tries.
    HalfOpen = 1,
    /// None passes.
    Open = 2,
}

impl Stand {
    /// For people and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A request on its way; a trial is over when it is dropped.
#[derive(Debug)]
pub struct Pass<'c>(Option<&'c Circuit>);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(circuit) = self.0 {
            circuit.trying.store(false, Ordering::Release);
        }
    }
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            until: AtomicU64::new(0),
            wait: AtomicU64::new(0),
            trying: AtomicBool::new(false),
            in_a_row: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            window: AtomicU64::new(0),
        }
    }
}

impl Circuit {
    /// Where it stands.
    pub fn stand(&self) -> Stand {
        match self.until.load(Ordering::Acquire) {
            0 => Stand::Closed,
            until if self.now() < until => Stand::Open,
            _ => Stand::HalfOpen,
        }
    }

    /// Whether a request may pass now.
    pub fn admits(&self) -> bool {
        match self.stand() {
            Stand::Closed => true,
            Stand::HalfOpen => !self.trying.load(Ordering::Acquire),
            Stand::Open => false,
        }
    }

    /// Notes that a request is sent: through a half-open circuit it is the trial.
    pub fn enter(&self) -> Pass<'_> {
        let tries = self.stand() == Stand::HalfOpen && !self.trying.swap(true, Ordering::AcqRel);
        Pass(tries.then_some(self))
    }

    /// The endpoint answered.
    pub fn succeeded(&self) {
        self.count(false);
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        if self.until.load(Ordering::Acquire) != 0 {
            self.until.store(0, Ordering::Release);
            self.wait.store(0, Ordering::Relaxed);
        }
    }

    /// It failed; `after`: it said how long it wants to be left alone.
    pub fn failed(&self, after: Option<Duration>) {
        let ratio = self.count(true);
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let was_open = self.until.load(Ordering::Acquire) != 0;
        if let Some(after) = after {
            self.open(after);
        } else if was_open {
            // a trial that failed; one that began before it opened says nothing new
            if self.stand() == Stand::HalfOpen {
                let wait = Duration::from_millis(self.wait.load(Ordering::Relaxed) * 2);
                self.open(wait.clamp(FIRST_WAIT, LONGEST_WAIT));
            }
        } else if in_a_row >= FAILURES || ratio {
            self.open(FIRST_WAIT);
        }
    }

    fn open(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        self.wait.store(wait, Ordering::Relaxed);
        self.until.store(self.now().saturating_add(wait).max(1), Ordering::Release);
    }

    /// Counts an answer; whether too many of the window failed.
    fn count(&self, failure: bool) -> bool {
        let now = self.now();
        if now.saturating_sub(self.window.load(Ordering::Relaxed)) > WINDOW.as_millis() as u64 {
            self.window.store(now, Ordering::Relaxed);
            self.answers.store(0, Ordering::Relaxed);
            self.failures.store(0, Ordering::Relaxed);
        }
        let answers = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        let failures = self.failures.fetch_add(u32::from(failure), Ordering::Relaxed) + u32::from(failure);
        answers >= ENOUGH && failures as f32 >= SHARE * answers as f32
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn later(wait: Duration) {
        tokio::time::advance(wait + Duration::from_millis(1)).await;
    }

    fn opened() -> Circuit {
        let circuit = Circuit::default();
        (0..FAILURES).for_each(|_| circuit.failed(None));
        circuit
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let circuit = Circuit::default();
        for _ in 0..4 {
            (0..FAILURES - 1).for_each(|_| circuit.failed(None));
            circuit.succeeded();
            later(WINDOW).await;
        }
        assert_eq!(circuit.stand(), Stand::Closed);
        (0..FAILURES).for_each(|_| circuit.failed(None));
        assert_eq!((circuit.stand(), circuit.admits()), (Stand::Open, false));
    }

    #[tokio::test(start_paused = true)]
    async fn every_second_failure_opens_it_once_there_are_enough() {
        let circuit = Circuit::default();
        for _ in 0..ENOUGH / 2 {
            assert_eq!(circuit.stand(), Stand::Closed);
            circuit.succeeded();
            circuit.failed(None);
        }
        assert_eq!(circuit.stand(), Stand::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_at_a_time_tries_and_its_success_closes_it() {
        let circuit = opened();
        later(FIRST_WAIT).await;
        assert_eq!((circuit.stand(), circuit.admits()), (Stand::HalfOpen, true));
        let trial = circuit.enter();
        assert!(!circuit.admits());
        let late = circuit.enter();
        drop(late);
        assert!(!circuit.admits(), "only the trial itself ends the trial");
        drop(trial);
        assert!(circuit.admits(), "a trial that was given up leaves the place to another");
        let trial = circuit.enter();
        circuit.succeeded();
        drop(trial);
        assert_eq!(circuit.stand(), Stand::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_trial_doubles_the_wait_up_to_the_longest() {
        let circuit = opened();
        let mut wait = FIRST_WAIT;
        for _ in 0..8 {
            later(wait).await;
            assert_eq!(circuit.stand(), Stand::HalfOpen, "{wait:?}");
            circuit.failed(None);
            circuit.failed(None);
            assert_eq!(circuit.stand(), Stand::Open);
            wait = (wait * 2).min(LONGEST_WAIT);
            later(wait / 2).await;
            assert_eq!(circuit.stand(), Stand::Open, "{wait:?}");
            tokio::time::advance(wait / 2).await;
        }
        circuit.succeeded();
        (0..FAILURES).for_each(|_| circuit.failed(None));
        later(FIRST_WAIT).await;
        assert_eq!(circuit.stand(), Stand::HalfOpen, "after a success it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_says_how_long_is_left_alone_so_long() {
        let circuit = Circuit::default();
        circuit.failed(Some(Duration::from_secs(30)));
        later(Duration::from_secs(29)).await;
        assert_eq!(circuit.stand(), Stand::Open);
        later(Duration::from_secs(1)).await;
        assert_eq!(circuit.stand(), Stand::HalfOpen);
    }
}
