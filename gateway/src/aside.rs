//! Work that would hold up a lane: done on threads beside them, so many at once and no more.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::Failure;

/// Places for one kind of work.
#[derive(Debug)]
pub struct Aside {
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Aside {
    /// With a place for each `share` of the cores, at least one; who waits longer than `patience` for it is refused.
    pub fn new(share: usize, patience: Duration) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { places: Arc::new(Semaphore::new((cores / share).max(1))), patience }
    }

    /// Does it on another thread. It keeps its place until it is done, also where nobody waits any more.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let place = timeout(self.patience, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Failure::Overloaded) };
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        working.await.unwrap_or_else(|error| {
            // its hook has told where
            tracing::error!(panicked = error.is_panic(), "work beside the lanes was not done");
            Err(Failure::Internal)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[tokio::test]
    async fn only_so_much_is_done_at_once_and_who_waits_too_long_is_refused() {
        let aside = Arc::new(Aside::new(usize::MAX, Duration::from_millis(50)));
        let (go, waits) = sync_channel::<()>(0);
        let slow = aside.run(move || waits.recv().map_err(|_| Failure::Internal));
        let others = async {
            assert_eq!(aside.run(|| Ok(1)).await, Err(Failure::Overloaded));
            tokio::task::spawn_blocking(move || go.send(())).await.unwrap().unwrap();
        };
        assert_eq!(tokio::join!(slow, others).0, Ok(()));
        assert_eq!(aside.run(|| Ok(2)).await, Ok(2), "the place came back");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_its_place_comes_back() {
        let aside = Aside::new(usize::MAX, Duration::from_secs(5));
        let panics = || -> Result<(), Failure> { panic!("on purpose") };
        assert_eq!(aside.run(panics).await, Err(Failure::Internal));
        assert_eq!(aside.run(|| Ok(2)).await, Ok(2));
    }
}
