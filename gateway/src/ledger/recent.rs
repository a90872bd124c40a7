//! The last decisions, for `/api/decisions`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::Finished;

/// Decisions that are kept.
const KEPT: usize = 1000;

/// A ring of the newest records.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Arc<Finished>>>);

impl Recent {
    /// Adds one; the oldest goes.
    pub fn push(&self, record: Arc<Finished>) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// The newest first, at most `limit`.
    pub fn newest(&self, limit: usize) -> Vec<Arc<Finished>> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().rev().take(limit).cloned().collect()
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Finished>> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().rev().find(|r| r.id.as_str() == id).cloned()
    }
}
