//! Waiting that ends: no test hangs, and the one that fails says what it waited for.

use std::time::{Duration, Instant};

/// How long anything in a test may take: long for a loaded machine, short for a person.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often a condition is asked. Not a measure of anything.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// Waits until `condition` holds.
///
/// The deadline is the wall's, also where tokio's clock is paused.
///
/// # Panics
/// After [`PATIENCE`], saying `what` it waited for.
#[track_caller]
pub fn soon<F, Fut>(what: &str, condition: F) -> impl Future<Output = ()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    asked_until(format!("waited in vain for {what} ({caller})"), condition)
}

async fn asked_until<F, Fut>(complaint: String, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{complaint}");
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What `future` gives, if it does so in time.
///
/// # Panics
/// Behind `limit`, saying `what` took too long.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {limit:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn a_condition_that_comes_true_is_waited_for() {
        let asked = Cell::new(0);
        soon("the third question", || {
            asked.set(asked.get() + 1);
            async { asked.get() == 3 }
        })
        .await;
        assert_eq!(asked.get(), 3);
    }

    #[tokio::test]
    #[should_panic(expected = "the moon took longer than 1ms")]
    async fn what_never_comes_is_named() {
        within(Duration::from_millis(1), "the moon", std::future::pending::<()>()).await;
    }
}
