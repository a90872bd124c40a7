//! Which conversation a request belongs to, and who answered it last.
//!
//! A conversation is known by `x-mixgate-session`, else by what the body says of itself, else by a hash of system
//! prompt and first turn; always apart by tenant. Memory is bounded and forgets the least used.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::ask::Ask;
use crate::text::{self, Routable};

/// Bytes of each text of an opening that tell conversations apart, beside its length.
const OPENING: usize = 1024;

/// A conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// How firmly a request holds on to its conversation's expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It opens the conversation: nothing to hold on to.
    Opens,
    /// Keep the expert while it is good enough for this turn too.
    GoodEnough,
    /// Keep it: a tool loop is open, or the turn says only «continue».
    Always,
}

/// Who answered a conversation last: the name, so that it survives a reload.
#[derive(Debug, Clone)]
struct Seat {
    expert: Arc<str>,
    at: Instant,
}

/// Remembers conversations.
#[derive(Debug)]
pub struct Sessions {
    seats: Cache<SessionId, Seat>,
    hasher: RandomState,
}

impl Sessions {
    /// Remembers at most `max` conversations.
    pub fn new(max: u32) -> Self {
        Self { seats: Cache::new(max.max(1) as usize), hasher: RandomState::new() }
    }

    /// The conversation of a request, and how firmly it holds.
    pub fn identify(
        &self,
        tenant: Option<&Arc<str>>,
        header: Option<&str>,
        ask: &Ask<'_>,
        text: &Routable,
    ) -> (SessionId, Hold) {
        let mut hasher = self.hasher.build_hasher();
        // by name: positions shift when the configuration is reloaded
        tenant.map(|name| &**name).hash(&mut hasher);
        let named = header.or(ask.session.as_deref());
        if let Some(name) = named {
            hasher.write(name.as_bytes());
        } else {
            hasher.write(ask.cache_key.as_deref().unwrap_or_default().as_bytes());
            text::opening(ask).for_each(|part| {
                hasher.write_usize(part.len());
                hasher.write(&part.as_bytes()[..part.len().min(OPENING)]);
            });
        }
        let named = named.is_some();
        let firm = text.open_tool_loop || text.follow_up || (named && text.goes_on);
        let hold = match (firm, named || text.turns > 1) {
            (true, _) => Hold::Always,
            (false, true) => Hold::GoodEnough,
            (false, false) => Hold::Opens,
        };
        (SessionId(hasher.finish()), hold)
    }

    /// Who answered last, unless that was longer ago than `idle`.
    pub fn last_expert(&self, id: SessionId, now: Instant, idle: Duration) -> Option<Arc<str>> {
        self.seats.get(&id).filter(|seat| now.duration_since(seat.at) <= idle).map(|seat| seat.expert)
    }

    /// Remembers who answered.
    pub fn remember(&self, id: SessionId, expert: Arc<str>, now: Instant) {
        self.seats.insert(id, Seat { expert, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Dialect;

    fn identify(
        sessions: &Sessions,
        tenant: Option<&str>,
        header: Option<&str>,
        body: &str,
    ) -> (SessionId, Hold) {
        let ask = Ask::parse(Dialect::Chat, body.as_bytes()).unwrap();
        sessions.identify(tenant.map(Arc::from).as_ref(), header, &ask, &text::routable(&ask))
    }

    const FIRST: &str = r#"{"model":"auto","messages":[{"role":"user","content":"one"}]}"#;
    const SECOND: &str = r#"{"model":"auto","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"1"},{"role":"user","content":"and what about the derivative of it"}]}"#;

    #[test]
    fn the_turns_of_a_conversation_are_one_session() {
        let sessions = Sessions::new(10);
        let (first, opens) = identify(&sessions, None, None, FIRST);
        let (second, goes_on) = identify(&sessions, None, None, SECOND);
        assert_eq!((first, opens, goes_on), (second, Hold::Opens, Hold::GoodEnough));
        assert_ne!(identify(&sessions, Some("acme"), None, FIRST).0, first, "tenants are apart");
        assert_ne!(identify(&sessions, None, Some("s"), FIRST).0, first);
        assert_eq!(identify(&sessions, None, Some("s"), FIRST), identify(&sessions, None, Some("s"), SECOND));
    }

    #[test]
    fn a_seat_is_forgotten_after_a_pause() {
        let sessions = Sessions::new(10);
        let (id, _) = identify(&sessions, None, None, FIRST);
        let now = Instant::now();
        sessions.remember(id, "small".into(), now);
        let idle = Duration::from_secs(60);
        assert_eq!(sessions.last_expert(id, now + idle, idle).as_deref(), Some("small"));
        assert_eq!(sessions.last_expert(id, now + idle * 2, idle), None);
    }
}
