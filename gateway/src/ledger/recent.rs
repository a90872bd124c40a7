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
pub struct Recent(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    records: VecDeque<Arc<Finished>>,
    bytes: usize,
}

impl Recent {
    /// Adds one; the oldest go.
    pub fn push(&self, record: Arc<Finished>) {
        let bytes = record.weight();
        let mut ring = self.ring();
        ring.bytes += bytes;
        ring.records.push_back(record);
        while ring.records.len() > KEPT || (ring.bytes > BYTES && ring.records.len() > 1) {
            let gone = ring.records.pop_front().map_or(0, |gone| gone.weight());
            ring.bytes -= gone;
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest first, at most `limit`.
    pub fn newest(&self, limit: usize) -> Vec<Arc<Finished>> {
        self.ring().records.iter().rev().take(limit).cloned().collect()
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Finished>> {
        self.ring().records.iter().rev().find(|r| r.id.as_str() == id).cloned()
    }
}
