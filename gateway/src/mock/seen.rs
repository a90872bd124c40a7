//! What happened at the mock, for tests to ask: how many requests, which ones, who left and when, and the
//! bill. Everything is bounded: a load test of an hour leaves no more behind than one of a second.

use serde::Serialize;
use std::collections::VecDeque;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Requests and aborts that are remembered; older ones are only counted.
const REMEMBERED: usize = 64;
/// Bytes of a body that are remembered.
const BODY_REMEMBERED: usize = 256 * 1024;

/// Tokens by kind, in OpenAI's terms: `prompt` contains `cached`, `completion` contains `reasoning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// Tokens of the prompts.
    pub prompt_tokens: u64,
    /// Those of them that came from the cache.
    pub cached_tokens: u64,
    /// Tokens of the answers.
    pub completion_tokens: u64,
    /// Those of them that were reasoning.
    pub reasoning_tokens: u64,
}

impl AddAssign for Bill {
    fn add_assign(&mut self, more: Bill) {
        self.prompt_tokens += more.prompt_tokens;
        self.cached_tokens += more.cached_tokens;
        self.completion_tokens += more.completion_tokens;
        self.reasoning_tokens += more.reasoning_tokens;
    }
}

/// A model request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRequest {
    /// Counts from 1, over all connections.
    pub number: u64,
    /// Request line and headers, with the blank line.
    pub head: String,
    /// The first 256 KiB of the body.
    pub body: Vec<u8>,
    /// The length of the whole body.
    pub body_len: usize,
    /// When it was complete.
    pub at: Instant,
}

/// A request whose client left before it had its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// The number of the request.
    pub request: u64,
    /// When it was complete.
    pub asked: Instant,
    /// When the mock saw the client leave.
    pub at: Instant,
}

/// The record of one mock, shared between the server and whoever asks.
#[derive(Debug, Default)]
pub struct Seen {
    connections: AtomicU64,
    open_connections: AtomicU64,
    requests: AtomicU64,
    in_flight: AtomicU64,
    aborted: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    requests: VecDeque<SeenRequest>,
    aborted: VecDeque<Aborted>,
    bill: Bill,
}

impl Seen {
    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> u64 {
        self.open_connections.load(Relaxed)
    }

    /// Model requests (`POST`) so far, the ones that a fault hit among them.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Model requests that are being answered now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Model requests whose client left early.
    pub fn aborted(&self) -> u64 {
        self.aborted.load(Relaxed)
    }

    /// The last 64 of those, oldest first.
    pub fn last_aborted(&self) -> Vec<Aborted> {
        self.last().aborted.iter().copied().collect()
    }

    /// The last 64 model requests, oldest first.
    pub fn last_requests(&self) -> Vec<SeenRequest> {
        self.last().requests.iter().cloned().collect()
    }

    /// The tokens that went out, and the prompts of the answers that began.
    pub fn bill(&self) -> Bill {
        self.last().bill
    }

    pub(super) fn connected(&self) -> Counted<'_> {
        self.connections.fetch_add(1, Relaxed);
        Counted::one(&self.open_connections)
    }

    pub(super) fn asked(&self, head: &[u8], body: &[u8]) -> Asked<'_> {
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        let at = Instant::now();
        self.last().remember(number, at, head, body);
        Asked { seen: self, number, at, _in_flight: Counted::one(&self.in_flight) }
    }

    pub(super) fn charge(&self, bill: Bill) {
        if bill != Bill::default() {
            self.last().bill += bill;
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    /// Writes into the oldest request's memory once there are enough: no allocation under load.
    fn remember(&mut self, number: u64, at: Instant, head: &[u8], body: &[u8]) {
        let oldest = (self.requests.len() == REMEMBERED).then(|| self.requests.pop_front()).flatten();
        let (mut text, mut bytes) = oldest.map_or_else(Default::default, |old| (old.head, old.body));
        text.clear();
        bytes.clear();
        text.push_str(&String::from_utf8_lossy(head));
        bytes.extend_from_slice(&body[..body.len().min(BODY_REMEMBERED)]);
        self.requests.push_back(SeenRequest { number, head: text, body: bytes, body_len: body.len(), at });
    }
}

/// One more of something, until dropped.
pub(super) struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn one(count: &'a AtomicU64) -> Counted<'a> {
        count.fetch_add(1, Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A request in flight.
pub(super) struct Asked<'a> {
    seen: &'a Seen,
    pub(super) number: u64,
    at: Instant,
    _in_flight: Counted<'a>,
}

impl Asked<'_> {
    pub(super) fn client_left(&self) {
        self.seen.aborted.fetch_add(1, Relaxed);
        let mut last = self.seen.last();
        if last.aborted.len() == REMEMBERED {
            last.aborted.pop_front();
        }
        last.aborted.push_back(Aborted { request: self.number, asked: self.at, at: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_requests_are_kept_and_all_are_counted() {
        let seen = Seen::default();
        for _ in 0..100 {
            seen.asked(b"POST / HTTP/1.1\r\n\r\n", &vec![b'x'; BODY_REMEMBERED + 1]);
        }
        let last = seen.last_requests();
        assert_eq!((seen.requests(), seen.in_flight(), last.len()), (100, 0, REMEMBERED));
        assert_eq!((last[0].number, last[63].number), (37, 100));
        assert_eq!((last[0].body.len(), last[0].body_len), (BODY_REMEMBERED, BODY_REMEMBERED + 1));
    }

    #[test]
    fn a_request_is_in_flight_until_it_is_dropped() {
        let seen = Seen::default();
        let asked = seen.asked(b"", b"");
        assert_eq!(seen.in_flight(), 1);
        asked.client_left();
        drop(asked);
        assert_eq!((seen.in_flight(), seen.aborted()), (0, 1));
        assert_eq!(seen.last_aborted()[0].request, 1);
    }
}
