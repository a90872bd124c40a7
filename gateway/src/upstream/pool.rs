//! Idle connections of an endpoint, most recently used last; apart by lane, as a connection wakes the lane that
//! opened it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::link::Link;
use crate::lanes;

/// Idle connections an endpoint keeps per shelf.
const MAX_IDLE: usize = 512;
/// Lanes beyond these share.
const SHELVES: usize = 16;
/// Shorter than the keep-alive of common servers (nginx 75 s, Node 5 s is caught by the repeat).
const IDLE_FOR: Duration = Duration::from_secs(50);

/// However busy, a connection is not kept for longer: the name that it was opened to may lead elsewhere by now.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// Idle connections.
#[derive(Debug, Default)]
pub struct Pool([Shelf; SHELVES]);

#[derive(Debug, Default)]
struct Shelf(Mutex<VecDeque<Idle>>);

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    pub(super) fn take(&self) -> Option<Link> {
        loop {
            let mut idle = self.here().idle().pop_back()?;
            if idle.since.elapsed() <= IDLE_FOR && idle.link.is_idle() {
                return Some(idle.link);
            }
        }
    }

    pub(super) fn put(&self, link: Link) {
        if link.since.elapsed() > KEPT_FOR {
            return;
        }
        let mut idle = self.here().idle();
        if idle.len() < MAX_IDLE {
            idle.push_back(Idle { link, since: Instant::now() });
        }
    }

    /// Closes what has idled for too long, or was closed at the other end: nobody watches idle connections.
    pub fn sweep(&self) {
        for shelf in &self.0 {
            shelf.idle().retain_mut(|idle| idle.since.elapsed() <= IDLE_FOR && idle.link.is_idle());
        }
    }

    /// Closes all of them.
    pub fn clear(&self) {
        self.0.iter().for_each(|shelf| shelf.idle().clear());
    }

    /// Idle connections it holds.
    pub fn count(&self) -> usize {
        self.0.iter().map(|shelf| shelf.idle().len()).sum()
    }

    fn here(&self) -> &Shelf {
        &self.0[lanes::here() % SHELVES]
    }
}

impl Shelf {
    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
