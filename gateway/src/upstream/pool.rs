//! Idle connections of an endpoint, most recently used last.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::link::Link;

/// Idle connections an endpoint keeps.
const MAX_IDLE: usize = 512;
/// Shorter than the keep-alive of common servers (nginx 75 s, Node 5 s is caught by the repeat).
const IDLE_FOR: Duration = Duration::from_secs(50);

/// Idle connections.
#[derive(Debug, Default)]
pub struct Pool(Mutex<VecDeque<Idle>>);

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    pub(super) fn take(&self) -> Option<Link> {
        loop {
            let mut idle = self.idle().pop_back()?;
            if idle.since.elapsed() <= IDLE_FOR && idle.link.is_idle() {
                return Some(idle.link);
            }
        }
    }

    pub(super) fn put(&self, link: Link) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push_back(Idle { link, since: Instant::now() });
        }
    }

    /// Closes what has idled for too long, or was closed at the other end: nobody watches idle connections.
    pub fn sweep(&self) {
        self.idle().retain_mut(|idle| idle.since.elapsed() <= IDLE_FOR && idle.link.is_idle());
    }

    /// Idle connections it holds.
    pub fn count(&self) -> usize {
        self.idle().len()
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
