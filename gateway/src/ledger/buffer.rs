//! Lines between those who say them and the one who writes them: bounded, and nobody waits to hand one over.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lines on their way to the writer.
#[derive(Debug)]
pub(crate) struct Buffer {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    most: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    closed: bool,
}

impl Buffer {
    /// Room for so many bytes.
    pub(crate) fn holding(most: usize) -> Self {
        Self { waiting: Mutex::default(), filled: Condvar::new(), most }
    }

    /// Nothing waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().lines.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Adds a line; `false`: there is no room.
    pub(crate) fn push(&self, line: &[u8]) -> bool {
        let mut waiting = self.lock();
        if waiting.closed || waiting.lines.len() + line.len() > self.most {
            return false;
        }
        let first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if first {
            self.filled.notify_one();
        }
        true
    }

    /// Waits for lines and takes all there are into an empty buffer; `false`: there will be none.
    pub(crate) fn take(&self, lines: &mut Vec<u8>) -> bool {
        let empty = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.closed;
        let mut waiting = self.filled.wait_while(self.lock(), empty).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(lines, &mut waiting.lines);
        !lines.is_empty()
    }
}
