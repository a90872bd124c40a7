//! So many a window and no more: for what is told of a flood.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

/// How many pass in a second.
#[derive(Debug)]
pub struct Limit {
    most: u32,
    window: Duration,
    base: Instant,
    current: AtomicU64,
    passed: AtomicU32,
}

impl Limit {
    /// So many a second.
    pub fn new(most: u32) -> Self {
        Self::within(most, Duration::from_secs(1))
    }

    /// So many in each such time.
    pub fn within(most: u32, window: Duration) -> Self {
        Self { most, window, base: Instant::now(), current: AtomicU64::new(0), passed: AtomicU32::new(0) }
    }

    /// Whether one more passes.
    pub fn has_room(&self) -> bool {
        let now = (self.base.elapsed().as_nanos() / self.window.as_nanos().max(1)) as u64;
        if self.current.swap(now, Ordering::Relaxed) != now {
            self.passed.store(0, Ordering::Relaxed);
        }
        self.passed.fetch_add(1, Ordering::Relaxed) < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_so_many_pass_in_each_window() {
        let limit = Limit::new(10);
        for _ in 0..3 {
            assert_eq!((0..1000).filter(|_| limit.has_room()).count(), 10);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
}
