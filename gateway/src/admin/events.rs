//! `/api/events`: what was before, then the figures every second and decisions as they end, as server-sent events, until
//! the client leaves or the gateway drains.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::figures::figures;
use crate::announce::{Listener, event};
use crate::body::Body;
use crate::error::Failure;
use crate::state::State;

/// Consoles that may listen at once.
const LISTENERS: usize = 64;
/// How often the figures are sent.
const EVERY: Duration = Duration::from_secs(1);
/// Decisions that end within this time are sent together: ten a second are as live as a thousand, and cost less.
const GATHER: Duration = Duration::from_millis(100);
/// Events that wait for a slow client.
const WAITING: usize = 32;

/// The answer; its events are made by a task of its own.
pub(super) fn events(state: &Arc<State>) -> Result<Response<Body>, Failure> {
    let listener = state.announcer.listen(LISTENERS).ok_or(Failure::Overloaded)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    state.attendants.spawn(tell(Arc::clone(state), listener, sender));
    let mut response = Response::new(Body::events(receiver));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn with_those_that_follow(first: Bytes, listener: &mut Listener) -> Bytes {
    tokio::time::sleep(GATHER).await;
    let mut events = BytesMut::from(&first[..]);
    while let Some(event) = listener.waiting() {
        events.extend_from_slice(&event);
    }
    events.freeze()
}

async fn tell(state: Arc<State>, mut listener: Listener, client: mpsc::Sender<Bytes>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(past) = state.past.json()
        && client.send(event("past", &past)).await.is_err()
    {
        return;
    }
    loop {
        let next = tokio::select! {
            _ = every.tick() => serde_json::to_string(&figures(&state)).ok().map(|json| event("figures", &json)),
            decision = listener.next() => match decision {
                Some(first) => Some(with_those_that_follow(first, &mut listener).await),
                None => None,
            },
            () = client.closed() => None,
            () = state.draining.cancelled() => None,
        };
        let Some(next) = next else { return };
        if client.send(next).await.is_err() {
            return;
        }
    }
}
