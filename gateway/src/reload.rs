//! When the file is read again, and what a new configuration may not do to listeners that are open.
//!
//! Sockets are bound once. A file that now says `127.0.0.1` does not close what listens on every interface, so what
//! protects a listener is held against the address it has, not the one it would have.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;
use crate::state::State;

/// The file is looked at this often; what counts is its content, because editors and Kubernetes swap files.
const POLL: Duration = Duration::from_secs(1);
/// A changed content is taken once it has stood for so long: editors and copies write in pieces.
const SETTLED: Duration = Duration::from_secs(3);
/// A content that was refused is tried again: what it refers to may have come in the meantime.
const AGAIN: Duration = Duration::from_secs(30);

/// The addresses that are listened on.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// Of the data plane.
    pub data: SocketAddr,
    /// Of the admin plane.
    pub admin: SocketAddr,
}

/// Refuses what would open a listener.
///
/// # Errors
///
/// In words, with what to do.
pub fn permit(old: &Config, new: &Config, listening: Option<Listening>) -> Result<(), String> {
    let beyond = |address: fn(&Listening) -> SocketAddr| {
        listening.as_ref().map(address).filter(|a| !a.ip().is_loopback())
    };
    let anonymous = new.tenants.is_empty() && !new.server.anonymous;
    if let Some(address) = beyond(|l| l.data).filter(|_| anonymous) {
        return Err(format!(
            "the data plane listens on {address}, whatever `server.listen` says now, and without tenants anyone could call: keep a tenant, say `server.anonymous: true`, or restart"
        ));
    }
    if anonymous && !old.tenants.is_empty() {
        return Err("no tenant is left, so anyone could call: say `server.anonymous: true` if that is meant, or restart".to_owned());
    }
    if new.server.admin_keys.is_empty() {
        if let Some(address) = beyond(|l| l.admin) {
            return Err(format!(
                "the admin plane listens on {address}, whatever `server.admin_listen` says now, and no key would protect it: keep one in `server.admin_keys`, or restart"
            ));
        }
        if !old.server.admin_keys.is_empty() {
            return Err("no admin key is left, so anyone could read and reload: keep one in `server.admin_keys`, or restart".to_owned());
        }
    }
    Ok(())
}

/// Keys that are read at start only and differ now.
pub fn wait_for_a_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (before, after) = (&old.server, &new.server);
    let differ = [
        ("server.listen", before.listen != after.listen),
        ("server.admin_listen", before.admin_listen != after.admin_listen),
        ("server.max_buffered", before.max_buffered != after.max_buffered),
        ("server.max_connections", before.max_connections != after.max_connections),
        ("server.max_in_flight", before.max_in_flight != after.max_in_flight),
        ("sessions.max", old.sessions.max != new.sessions.max),
        ("log.decisions", old.log.decisions != new.log.decisions),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// The hash of a content.
type Hash = [u8; 32];

/// Whether a file that is looked at again and again should be read.
#[derive(Debug)]
struct Watched {
    /// What was taken or refused last.
    tried: Option<Hash>,
    /// When it was refused.
    refused_at: Option<Instant>,
    /// What stands there now, and since when.
    standing: Option<(Hash, Instant)>,
}

impl Watched {
    fn new(running: Option<Hash>) -> Self {
        Self { tried: running, refused_at: None, standing: None }
    }

    /// Takes a look; `None`: there is no file just now.
    fn look(&mut self, found: Option<Hash>, now: Instant) -> bool {
        let Some(found) = found else {
            self.standing = None;
            return false;
        };
        match self.standing {
            Some((hash, _)) if hash == found => {}
            _ => self.standing = Some((found, now)),
        }
        let settled = self.standing.is_some_and(|(_, since)| now - since >= SETTLED);
        let again = self.refused_at.is_some_and(|at| now - at >= AGAIN);
        settled && (self.tried != Some(found) || again)
    }

    fn tried(&mut self, refused: bool, now: Instant) {
        self.tried = self.standing.map(|(hash, _)| hash);
        self.refused_at = refused.then_some(now);
    }
}

/// Reloads when the content of the file has changed.
pub(crate) async fn watch(state: Arc<State>) {
    let Some(path) = state.path.clone() else { return };
    let read = || {
        let path = path.clone();
        async move { tokio::fs::read(&path).await.ok().map(|bytes| crate::auth::sha256(&bytes)) }
    };
    let mut watched = Watched::new(read().await);
    loop {
        tokio::select! {
            () = state.draining.cancelled() => return,
            () = tokio::time::sleep(POLL) => {}
        }
        if watched.look(read().await, Instant::now()) {
            let worker = Arc::clone(&state);
            // its result is in the log and the metric already
            let result = tokio::task::spawn_blocking(move || worker.reload()).await;
            watched.tried(!matches!(result, Ok(Ok(_))), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn config(server: &str, more: &str) -> Config {
        let yaml = format!(
            "server: {{ anonymous: true, {server} }}\nfallback: a\nexperts: [{{ name: a, model: m, base_url: 'http://h/v1', price: {{ input_per_1m: 1, output_per_1m: 1 }} }}]\n{more}"
        );
        let mut checked = config::parse("t.yaml", &yaml, &|_| None).unwrap_or_else(|f| panic!("{f}"));
        checked.config.server.anonymous = server.contains("anonymous");
        checked.config
    }

    fn listening(data: &str, admin: &str) -> Option<Listening> {
        Some(Listening { data: data.parse().unwrap(), admin: admin.parse().unwrap() })
    }

    #[test]
    fn a_reload_opens_nothing_that_is_bound() {
        let key = crate::auth::KeyHash::of;
        let tenants = format!("tenants: [{{ name: t, keys: ['{}'] }}]", key("of a tenant"));
        let admin_keys = format!("admin_keys: ['{}']", key("of the operator"));
        let keyed = config(&admin_keys, &tenants);
        let (no_tenant, no_admin) = (config(&admin_keys, ""), config("", &tenants));
        let open = config("listen: '127.0.0.1:1'", "");
        let loopback = || listening("127.0.0.1:1", "[::1]:2");
        let everywhere = || listening("0.0.0.0:1", "[::]:2");
        for (old, new, bound, permitted) in [
            (&keyed, &keyed, everywhere(), true),
            (&keyed, &no_tenant, everywhere(), false),
            (&keyed, &no_admin, everywhere(), false),
            (&keyed, &no_tenant, loopback(), false),
            (&keyed, &no_admin, loopback(), false),
            (&keyed, &open, listening("10.0.0.1:1", "127.0.0.1:2"), false),
            (&open, &open, loopback(), true),
            (&open, &open, everywhere(), false),
            (&open, &keyed, loopback(), true),
            (&no_admin, &no_admin, loopback(), true),
        ] {
            assert_eq!(permit(old, new, bound).is_ok(), permitted, "{bound:?} {:?}", new.server.admin_keys);
        }
        let mut meant = no_tenant;
        meant.server.anonymous = true;
        assert!(permit(&keyed, &meant, everywhere()).is_ok());
    }

    #[test]
    fn what_waits_for_a_restart_is_told() {
        let old = config("listen: '127.0.0.1:1'", "");
        let new =
            config("listen: '127.0.0.1:2', max_in_flight: 9, body_timeout: 9s", "log: { decisions: off }");
        assert_eq!(
            wait_for_a_restart(&old, &new),
            ["server.listen", "server.max_in_flight", "log.decisions"]
        );
        assert!(wait_for_a_restart(&old, &old).is_empty());
    }

    #[test]
    fn a_content_is_taken_once_it_has_stood_still_and_once() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let (old, half, whole) = (Some([0; 32]), Some([1; 32]), Some([2; 32]));
        let mut watched = Watched::new(old);
        let looks = [
            (1, old),
            (2, half),
            (3, half),
            (4, half),
            (5, whole),
            (6, None),
            (7, whole),
            (8, whole),
            (9, whole),
        ];
        for (second, found) in looks {
            assert!(!watched.look(found, at(second)), "{second}");
        }
        assert!(watched.look(whole, at(10)));
        watched.tried(false, at(10));
        assert!((11..100).all(|second| !watched.look(whole, at(second))));
    }

    #[test]
    fn a_content_that_was_refused_is_tried_again_by_and_by() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut watched = Watched::new(None);
        let tried = (0..100).filter(|second| {
            let due = watched.look(Some([1; 32]), at(*second));
            if due {
                watched.tried(true, at(*second));
            }
            due
        });
        assert_eq!(tried.collect::<Vec<_>>(), [3, 33, 63, 93]);
    }
}
