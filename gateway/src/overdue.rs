//! Ends an answer whose time is up and whose client takes nothing.
//!
//! A body knows when its time is up, but nobody polls it while its client does not read: hyper waits for room in
//! the socket, HTTP/2 for the client's window. So the body's timer rings a bell: it wakes the task that drives the
//! body (an HTTP/1 connection, an HTTP/2 stream), and this task, which finds the bell in a slot of its own, gives up
//! all it holds if the body has not ended soon. No task of its own, one timer per answer, and until it rings nothing
//! that costs a look at the clock.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long a client has for the last words of an answer whose time is up.
const LAST_WORDS: Duration = Duration::from_secs(1);

tokio::task_local! {
    static SLOT: RefCell<Option<Arc<Bell>>>;
}

/// Tells a task that the time of its answer is up.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

/// The timer of an answer; while it lives, its bell hangs in the slot of its task.
#[derive(Debug)]
pub struct Timer {
    bell: Arc<Bell>,
    _sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// Rings at this moment, for the task of this context.
    pub fn new(at: Instant, cx: &Context<'_>) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(false), task: cx.waker().clone() });
        let mut sleep = Box::pin(sleep_until(at));
        let waker = Waker::from(Arc::clone(&bell));
        if sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
        let _ = SLOT.try_with(|slot| slot.replace(Some(Arc::clone(&bell))));
        Self { bell, _sleep: sleep }
    }

    /// Whether it has rung.
    pub fn has_rung(&self) -> bool {
        self.bell.rung.load(Ordering::Relaxed)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _ = SLOT.try_with(|slot| {
            let mut slot = slot.borrow_mut();
            if slot.as_ref().is_some_and(|bell| Arc::ptr_eq(bell, &self.bell)) {
                *slot = None;
            }
        });
    }
}

/// Gives a task its slot.
pub fn watched<F: Future>(task: F) -> impl Future<Output = F::Output> {
    SLOT.scope(RefCell::new(None), task)
}

/// The same for a task that ends with its answer: `None` if it was given up.
pub async fn bounded<F: Future>(task: F) -> Option<F::Output> {
    watched(async {
        tokio::select! {
            biased;
            done = task => Some(done),
            () = passed() => None,
        }
    })
    .await
}

/// Resolves once the bell in the slot of its task has rung and the time for last words has passed.
pub async fn passed() {
    let mut last_words = None;
    poll_fn(|cx| {
        let rung = |slot: &RefCell<Option<Arc<Bell>>>| {
            slot.borrow().as_ref().is_some_and(|bell| bell.rung.load(Ordering::Relaxed))
        };
        if !SLOT.try_with(rung).unwrap_or(false) {
            last_words = None;
            return Poll::Pending;
        }
        last_words.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS))).as_mut().poll(cx)
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body whose client takes nothing: its timer is set, and nobody polls it again.
    async fn stuck(time: Duration) {
        let mut timer = None;
        poll_fn(|cx| {
            timer.get_or_insert_with(|| Timer::new(Instant::now() + time, cx));
            Poll::<()>::Pending
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_stuck_ends_when_its_time_and_that_for_last_words_have_passed() {
        for seconds in [0, 2] {
            let began = Instant::now();
            assert_eq!(bounded(stuck(Duration::from_secs(seconds))).await, None);
            assert_eq!(began.elapsed().as_secs(), seconds + 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_has_ended_ends_nothing() {
        let task = async {
            let _ = tokio::time::timeout(Duration::from_millis(10), stuck(Duration::from_millis(5))).await;
            sleep(Duration::from_secs(10)).await;
            7
        };
        assert_eq!(bounded(task).await, Some(7));
    }
}
