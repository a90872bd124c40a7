//! Tells consoles of decisions as they end. Where nobody listens it costs one load; where many do, a record is written
//! once for all of them, and of a flood only some.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::time::Duration;

use crate::limit::Limit;
use crate::record::Finished;

/// Records that are told in a [`WINDOW`]: more than anyone reads.
const TOLD: u32 = 10;
const WINDOW: Duration = Duration::from_millis(200);
/// Records that wait for a slow listener; older ones are lost to it.
const WAITING: usize = 256;
/// Longest record that is told, so that what waits is bounded in bytes too.
const LONGEST: usize = 64 << 10;

/// What records are told through.
#[derive(Debug)]
pub struct Announcer {
    events: broadcast::Sender<Bytes>,
    listeners: AtomicUsize,
    told: Limit,
}

/// Hears of records until it is dropped.
#[derive(Debug)]
pub struct Listener {
    announcer: Arc<Announcer>,
    events: broadcast::Receiver<Bytes>,
}

impl Default for Announcer {
    fn default() -> Self {
        Self {
            events: broadcast::Sender::new(WAITING),
            listeners: AtomicUsize::new(0),
            told: Limit::within(TOLD, WINDOW),
        }
    }
}

impl Announcer {
    /// Tells of a record, if anyone listens and there is no flood.
    pub fn decided(&self, record: &Finished) {
        if self.listeners.load(Ordering::Relaxed) == 0 || !self.told.has_room() {
            return;
        }
        // one that is as long as all the others together is left to `/api/decisions`
        if let Ok(json) = serde_json::to_string(record)
            && json.len() <= LONGEST
        {
            let _nobody_left = self.events.send(event("decision", &json));
        }
    }

    /// A new listener; `None`: there are `most` already.
    pub fn listen(self: &Arc<Self>, most: usize) -> Option<Listener> {
        let enter = |listeners| (listeners < most).then_some(listeners + 1);
        self.listeners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).ok()?;
        Some(Listener { announcer: Arc::clone(self), events: self.events.subscribe() })
    }
}

impl Listener {
    /// The next event, ready to be sent; `None`: there will be none.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.events.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// The next event, if there is one already.
    pub fn waiting(&mut self) -> Option<Bytes> {
        loop {
            match self.events.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.announcer.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A server-sent event of one line of data.
pub fn event(name: &str, json: &str) -> Bytes {
    format!("event: {name}\ndata: {json}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_listen_and_a_place_is_given_back() {
        let announcer = Arc::new(Announcer::default());
        let one = announcer.listen(1);
        assert!(one.is_some() && announcer.listen(1).is_none());
        drop(one);
        assert!(announcer.listen(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_only_some_is_told() {
        let announcer = Announcer::default();
        assert_eq!((0..1000).filter(|_| announcer.told.has_room()).count(), TOLD as usize);
        tokio::time::advance(WINDOW).await;
        assert!(announcer.told.has_room());
    }

    #[test]
    fn an_event_has_a_name_and_one_line_of_data() {
        assert_eq!(&event("figures", "{}")[..], b"event: figures\ndata: {}\n\n");
    }
}
