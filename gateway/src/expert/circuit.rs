//! Whether an endpoint is worth asking: it is left alone for a while once it fails again and again, then asked by one
//! request at a time until one answer comes through whole.
//!
//! Closed: requests pass. Open: none does, until a wait is over that doubles with every failed trial. Half open: one
//! request tries, from its first byte to the last of its answer; its success closes the circuit. An endpoint that says
//! how long it wants to be left alone (`retry-after`) is open for so long. On the way of a request there is one load
//! and, where the circuit is closed, nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// Or this share of the answers of a window, where they are enough to tell.
const SHARE: f32 = 0.5;
const ENOUGH: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// How long it stays open at first, and at most where the endpoint did not ask for longer.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The circuit of one endpoint.
#[derive(Debug)]
pub struct Circuit {
    /// What times are counted from.
    base: Instant,
    /// Milliseconds from `base` at which the next trial may be made; 0: closed.
    until: AtomicU64,
    /// Milliseconds from `base` until which the endpoint asked to be left alone.
    asked_until: AtomicU64,
    /// How long it is open, milliseconds.
    wait: AtomicU64,
    /// How often it was opened: what a request that began before says of the endpoint is old news.
    openings: AtomicU32,
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

/// A request on its way through a circuit. It says at the end how the endpoint did; dropped without a word, it says
/// nothing, and the place of a trial is free for another.
#[derive(Debug)]
pub struct ProbePermit {
    circuit: Arc<Circuit>,
    opening: u32,
    is_trial: bool,
}

impl ProbePermit {
    /// The endpoint answered, to the end of its answer.
    pub fn succeeded(&self) {
        let circuit = &*self.circuit;
        circuit.count(false);
        if circuit.in_a_row.load(Ordering::Relaxed) != 0 {
            circuit.in_a_row.store(0, Ordering::Relaxed);
        }
        if self.is_news() && circuit.until.load(Ordering::Acquire) != 0 {
            circuit.until.store(0, Ordering::Release);
            circuit.asked_until.store(0, Ordering::Relaxed);
            circuit.wait.store(0, Ordering::Relaxed);
        }
    }

    /// It failed; `after`: it said how long it wants to be left alone.
    pub fn failed(&self, after: Option<Duration>) {
        let circuit = &*self.circuit;
        let ratio = circuit.count(true);
        let in_a_row = circuit.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let is_open = circuit.until.load(Ordering::Acquire) != 0;
        if let Some(after) = after {
            circuit.asked_until.fetch_max(circuit.at(after), Ordering::Relaxed);
            circuit.open(after);
        } else if self.is_trial && self.is_news() {
            let wait = Duration::from_millis(circuit.wait.load(Ordering::Relaxed)) * 2;
            circuit.open(wait.clamp(FIRST_WAIT, LONGEST_WAIT));
        } else if !is_open && (in_a_row >= FAILURES || ratio) {
            circuit.open(FIRST_WAIT);
        }
    }

    /// It was sent after the circuit was last opened.
    fn is_news(&self) -> bool {
        self.opening == self.circuit.openings.load(Ordering::Acquire)
    }
}

impl Drop for ProbePermit {
    fn drop(&mut self) {
        if self.is_trial {
            self.circuit.trying.store(false, Ordering::Release);
        }
    }
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            until: AtomicU64::new(0),
            asked_until: AtomicU64::new(0),
            wait: AtomicU64::new(0),
            openings: AtomicU32::new(0),
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
    pub fn allows(&self) -> bool {
        match self.stand() {
            Stand::Closed => true,
            Stand::HalfOpen => !self.trying.load(Ordering::Acquire),
            Stand::Open => false,
        }
    }

    /// How long it is left alone still; nothing where it may be asked.
    pub fn remaining(&self) -> Option<Duration> {
        self.left(&self.until)
    }

    /// How long it still wants to be left alone by its own word.
    pub fn asked_to_wait(&self) -> Option<Duration> {
        self.left(&self.asked_until)
    }

    /// Lets a request pass: any where it is closed, one where it is half open.
    pub fn try_pass(self: &Arc<Self>) -> Option<ProbePermit> {
        let is_trial = match self.stand() {
            Stand::Closed => false,
            Stand::Open => return None,
            Stand::HalfOpen => {
                if self.trying.swap(true, Ordering::AcqRel) {
                    return None;
                }
                true
            }
        };
        let permit = self.permit(is_trial);
        // the trial before this one may have ended in between, and closed or opened it
        (!is_trial || self.stand() != Stand::Open).then_some(permit)
    }

    /// Lets a request pass although the endpoint failed: there is nobody else to ask. Its success is as good as a
    /// trial's.
    pub fn insist(self: &Arc<Self>) -> ProbePermit {
        self.try_pass().unwrap_or_else(|| self.permit(false))
    }

    fn permit(self: &Arc<Self>, is_trial: bool) -> ProbePermit {
        let opening = self.openings.load(Ordering::Acquire);
        ProbePermit { circuit: Arc::clone(self), opening, is_trial }
    }

    fn open(&self, wait: Duration) {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        self.wait.store(millis, Ordering::Relaxed);
        self.openings.fetch_add(1, Ordering::AcqRel);
        self.until.fetch_max(self.at(wait), Ordering::AcqRel);
    }

    /// So long from now, in milliseconds from `base`; never 0.
    fn at(&self, wait: Duration) -> u64 {
        self.now().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).max(1)
    }

    fn left(&self, until: &AtomicU64) -> Option<Duration> {
        let left = until.load(Ordering::Acquire).saturating_sub(self.now());
        (left > 0).then(|| Duration::from_millis(left))
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

    fn circuit() -> Arc<Circuit> {
        Arc::default()
    }

    fn fail(circuit: &Arc<Circuit>) {
        circuit.insist().failed(None);
    }

    fn opened() -> Arc<Circuit> {
        let circuit = circuit();
        (0..FAILURES).for_each(|_| fail(&circuit));
        circuit
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let circuit = circuit();
        for _ in 0..4 {
            (0..FAILURES - 1).for_each(|_| fail(&circuit));
            circuit.insist().succeeded();
            later(WINDOW).await;
        }
        assert_eq!(circuit.stand(), Stand::Closed);
        (0..FAILURES).for_each(|_| fail(&circuit));
        assert_eq!((circuit.stand(), circuit.allows()), (Stand::Open, false));
        assert_eq!(circuit.remaining(), Some(FIRST_WAIT));
    }

    #[tokio::test(start_paused = true)]
    async fn every_second_failure_opens_it_once_there_are_enough() {
        let circuit = circuit();
        for _ in 0..ENOUGH / 2 {
            assert_eq!(circuit.stand(), Stand::Closed);
            circuit.insist().succeeded();
            fail(&circuit);
        }
        assert_eq!(circuit.stand(), Stand::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_at_a_time_tries_and_its_success_closes_it() {
        let circuit = opened();
        later(FIRST_WAIT).await;
        assert_eq!((circuit.stand(), circuit.allows()), (Stand::HalfOpen, true));
        let trial = circuit.try_pass().unwrap();
        assert!(!circuit.allows() && circuit.try_pass().is_none());
        drop(circuit.insist());
        assert!(!circuit.allows(), "only the trial itself ends the trial");
        drop(trial);
        assert!(circuit.allows(), "a trial that was given up leaves the place to another");
        let trial = circuit.try_pass().unwrap();
        trial.succeeded();
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
            let (trial, other) = (circuit.try_pass().unwrap(), circuit.insist());
            trial.failed(None);
            other.failed(None);
            assert_eq!(circuit.stand(), Stand::Open);
            wait = (wait * 2).min(LONGEST_WAIT);
            later(wait / 2).await;
            assert_eq!(circuit.stand(), Stand::Open, "{wait:?}");
            tokio::time::advance(wait / 2).await;
        }
        circuit.try_pass().unwrap().succeeded();
        (0..FAILURES).for_each(|_| fail(&circuit));
        later(FIRST_WAIT).await;
        assert_eq!(circuit.stand(), Stand::HalfOpen, "after a success it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_began_before_it_opened_closes_nothing_and_doubles_nothing() {
        let circuit = circuit();
        let (well, ill) = (circuit.insist(), circuit.insist());
        (0..FAILURES).for_each(|_| fail(&circuit));
        well.succeeded();
        ill.failed(None);
        assert_eq!((circuit.stand(), circuit.remaining()), (Stand::Open, Some(FIRST_WAIT)));
        circuit.insist().succeeded();
        assert_eq!(circuit.stand(), Stand::Closed, "one that was sent since is news");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_says_how_long_is_left_alone_so_long() {
        let circuit = circuit();
        circuit.insist().failed(Some(Duration::from_secs(30)));
        circuit.insist().failed(Some(Duration::from_secs(3)));
        later(Duration::from_secs(29)).await;
        assert_eq!(circuit.stand(), Stand::Open, "the longer of two waits counts");
        assert!(circuit.asked_to_wait().is_some_and(|left| left <= Duration::from_secs(1)));
        later(Duration::from_secs(1)).await;
        assert_eq!((circuit.stand(), circuit.asked_to_wait()), (Stand::HalfOpen, None));
    }

    #[test]
    fn of_many_threads_one_tries() {
        let circuit = opened();
        circuit.until.store(1, Ordering::Release);
        std::thread::sleep(Duration::from_millis(2));
        let tries = |_| {
            std::thread::spawn({
                let circuit = Arc::clone(&circuit);
                move || circuit.try_pass()
            })
        };
        let threads: Vec<_> = (0..16).map(tries).collect();
        let permits: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(permits.len(), 1);
    }
}
