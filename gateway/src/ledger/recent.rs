//! The last decisions, for `/api/decisions`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::record::Finished;

/// Decisions that are kept.
const KEPT: usize = 1000;
/// Bytes that they may take together: some sixteen thousand each, as full texts do.
const BYTES: usize = 16 << 20;

/// A ring of the newest records.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Ring<Arc<Finished>>>);

/// Items and their bytes, the oldest first.
#[derive(Debug)]
struct Ring<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Ring<T> {
    /// Adds one; the oldest go, until what is left is few and small enough.
    fn push(&mut self, item: T, bytes: usize) {
        self.items.push_back((item, bytes));
        self.bytes += bytes;
        while self.items.len() > KEPT || (self.bytes > BYTES && self.items.len() > 1) {
            self.bytes -= self.items.pop_front().map_or(0, |(_, bytes)| bytes);
        }
    }
}

impl Recent {
    /// Adds one; the oldest go.
    pub fn push(&self, record: Arc<Finished>) {
        let bytes = record.weight();
        self.ring().push(record, bytes);
    }

    /// The newest first, at most `limit`.
    pub fn newest(&self, limit: usize) -> Vec<Arc<Finished>> {
        self.ring().items.iter().rev().take(limit).map(|(record, _)| Arc::clone(record)).collect()
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Finished>> {
        let ring = self.ring();
        ring.items
            .iter()
            .rev()
            .find(|(record, _)| record.id.as_str() == id)
            .map(|(record, _)| Arc::clone(record))
    }

    fn ring(&self) -> MutexGuard<'_, Ring<Arc<Finished>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_kept_and_so_many_bytes() {
        let kept = |bytes: usize, pushed: usize| {
            let mut ring = Ring::default();
            (0..pushed).for_each(|item| ring.push(item, bytes));
            assert_eq!(ring.bytes, bytes * ring.items.len());
            (ring.items.front().unwrap().0, ring.items.len())
        };
        assert_eq!(kept(3000, KEPT), (0, KEPT));
        assert_eq!(kept(3000, KEPT + 1), (1, KEPT));
        assert_eq!(kept(BYTES / 10, 10), (0, 10));
        assert_eq!(kept(BYTES / 10, 12), (2, 10));
        assert_eq!(kept(BYTES + 1, 3), (2, 1), "the newest is kept, however large");
    }
}
