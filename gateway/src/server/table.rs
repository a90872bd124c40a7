//! The connections of a listener, and room for one more.
//!
//! A listener that stops accepting at its limit is silent to its balancer too: health checks time out, and what was
//! only busy is restarted. So a connection that comes when all places are taken ends the one that has been idle
//! longest, those that never carried a known key first; and a few places are kept for when all are at work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::wire::Watcher;

/// Places beyond the limit, for when every connection is at work.
const RESERVE: usize = 64;
/// A connection that was told to end gives its place back within this, unless its lane is busy.
const MAKES_ROOM: Duration = Duration::from_millis(20);

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Table {
    places: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    open: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    taken: Vec<Option<Watcher>>,
    free: Vec<usize>,
}

/// A connection's line in the table, until it is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    table: Arc<Table>,
    at: usize,
    _place: OwnedSemaphorePermit,
}

impl Table {
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(most as usize)),
            reserve: Arc::new(Semaphore::new(RESERVE)),
            open: Mutex::default(),
        })
    }

    /// A place for a connection that has come. Ends idle ones as long as there is none.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return place;
            }
            let made_room = self.end_longest_idle();
            if !made_room && let Ok(place) = Arc::clone(&self.reserve).try_acquire_owned() {
                return place;
            }
            if let Ok(Ok(place)) = timeout(MAKES_ROOM, Arc::clone(&self.places).acquire_owned()).await {
                return place;
            }
        }
    }

    /// Ends the connection that is missed least, if any is idle.
    pub(super) fn end_longest_idle(&self) -> bool {
        let open = self.slots();
        let idle = open.taken.iter().flatten().filter_map(|watcher| Some((watcher.worth()?, watcher)));
        let Some((_, watcher)) = idle.min_by_key(|(worth, _)| *worth) else { return false };
        watcher.end();
        true
    }

    /// Enters a connection.
    pub(super) fn list(self: &Arc<Self>, watcher: Watcher, place: OwnedSemaphorePermit) -> Listed {
        let mut open = self.slots();
        let at = open.free.pop().unwrap_or(open.taken.len());
        if at == open.taken.len() {
            open.taken.push(Some(watcher));
        } else {
            open.taken[at] = Some(watcher);
        }
        Listed { table: Arc::clone(self), at, _place: place }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut open = self.table.slots();
        open.taken[self.at] = None;
        open.free.push(self.at);
    }
}
