//! Ends an answer whose time is up and whose client takes nothing.
//!
//! A body knows when its time is up, but nobody polls it while its client does not read: hyper waits for room in
//! the socket, HTTP/2 for the client's window. So the body leaves the moment in a slot of the task that drives it
//! (an HTTP/1 connection, an HTTP/2 stream), and sets a timer that wakes this task; the task looks into the slot
//! whenever it is woken, and gives up all it holds. Without a task of its own, and with one timer per answer.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;

tokio::task_local! {
    static UNTIL: Cell<Option<Instant>>;
}

/// Gives a task its slot.
pub fn watched<F: Future>(task: F) -> impl Future<Output = F::Output> {
    UNTIL.scope(Cell::new(None), task)
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

/// Resolves, when its task is woken, once the moment in its slot has passed.
pub async fn passed() {
    poll_fn(|_| {
        let until = UNTIL.try_with(Cell::get).ok().flatten();
        if until.is_some_and(|until| Instant::now() >= until) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Sets the moment, or takes it away, where the task has a slot.
pub fn set(until: Option<Instant>) {
    let _ = UNTIL.try_with(|slot| slot.set(until));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_stuck_ends_when_its_moment_has_passed() {
        let began = Instant::now();
        let until = began + Duration::from_secs(2);
        let stuck = async {
            set(Some(until));
            // what the body's timer does: it wakes the task, and nobody polls what it waits for
            tokio::join!(sleep_until(until), std::future::pending::<()>());
        };
        assert_eq!(bounded(stuck).await, None);
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_was_taken_away_ends_nothing() {
        let task = async {
            set(Some(Instant::now()));
            set(None);
            sleep(Duration::from_secs(1)).await;
            7
        };
        assert_eq!(bounded(task).await, Some(7));
    }
}
