//! What an upstream has seen, so that a test can wait for the next of it.

use crate::request::Request;
use crate::wait::{PATIENCE, within};
use std::sync::Mutex;
use std::time::Instant;
use tokio::sync::watch;

/// A connection that the other side closed or reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which connection, counted from 0.
    pub connection: usize,
    /// When it was seen.
    pub at: Instant,
    /// It closed in the middle of a script: between its request and the end of its answer.
    pub in_answer: bool,
}

/// Everything so far, and how far a test has asked.
pub(crate) struct Log {
    seen: watch::Sender<Seen>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) requests: Vec<Request>,
    pub(crate) closed: Vec<Closed>,
}

#[derive(Default)]
struct Asked {
    requests: usize,
    closed: usize,
}

impl Log {
    pub(crate) fn new() -> Log {
        Log { seen: watch::Sender::new(Seen::default()), asked: Mutex::new(Asked::default()) }
    }

    pub(crate) fn write(&self, entry: impl FnOnce(&mut Seen)) {
        self.seen.send_modify(entry);
    }

    pub(crate) fn read<T>(&self, of: impl FnOnce(&Seen) -> T) -> T {
        of(&self.seen.borrow())
    }

    pub(crate) async fn next_request(&self) -> Request {
        let number = self.ask(|asked| &mut asked.requests);
        self.entry("the next request at the upstream", |seen| seen.requests.get(number).cloned()).await
    }

    pub(crate) async fn next_closed(&self) -> Closed {
        let number = self.ask(|asked| &mut asked.closed);
        self.entry("the next closed connection at the upstream", |seen| seen.closed.get(number).copied())
            .await
    }

    fn ask(&self, counter: impl FnOnce(&mut Asked) -> &mut usize) -> usize {
        let mut asked = self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let counter = counter(&mut asked);
        *counter += 1;
        *counter - 1
    }

    async fn entry<T>(&self, what: &str, find: impl Fn(&Seen) -> Option<T>) -> T {
        let mut seen = self.seen.subscribe();
        let found = async {
            loop {
                if let Some(entry) = find(&seen.borrow_and_update()) {
                    return entry;
                }
                // the sender is ours, so it is there
                let _ = seen.changed().await;
            }
        };
        within(PATIENCE, what, found).await
    }
}
