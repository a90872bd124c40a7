//! What the gateway knows: `State` holds the current configuration, a [`Snapshot`], and everything that outlives it. One
//! load per request, one swap per reload.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::announce::Announcer;
use crate::aside::Aside;
use crate::classify::Classifier;
use crate::config::{self, Checked};
use crate::expert::endpoint::Endpoint;
use crate::ledger::{self, Ledger, Recent};
use crate::meter::Meter;
use crate::origin::Pages;
use crate::past::Past;
use crate::reload::{self, Listening};
use crate::router_file;
use crate::session::Sessions;
use crate::snapshot::{self, Snapshot};
use crate::traces::Tracer;
use crate::upstream::Connector;

/// What waits to be parsed is bounded by `server.max_buffered` as well.
const READING_WAITS: Duration = Duration::from_secs(10);
/// A person asks again.
const EXPLAINING_WAITS: Duration = Duration::from_secs(2);

/// Everything that outlives a configuration.
#[derive(Debug)]
pub struct State {
    current: ArcSwap<Snapshot>,
    /// Every metric.
    pub meter: Meter,
    /// Conversations.
    pub sessions: Sessions,
    /// Where records go.
    pub ledger: Box<dyn Ledger>,
    /// The newest records.
    pub recent: Recent,
    /// What consoles draw of the time before they were opened.
    pub past: Past,
    /// Tells consoles of records as they end.
    pub announcer: Arc<Announcer>,
    /// Makes spans, where the environment names a collector.
    pub tracer: Option<Tracer>,
    /// Opens connections.
    pub connector: Connector,
    /// Every task that draining waits for.
    pub tasks: TaskTracker,
    /// Tasks that serve until the end: listeners, the admin plane.
    pub attendants: TaskTracker,
    /// Set when the gateway drains.
    pub draining: CancellationToken,
    /// Set when nothing may go on.
    pub halt: CancellationToken,
    /// Places for requests; closed when the gateway drains.
    pub in_flight: Arc<Semaphore>,
    /// KiB of request bodies that may be held.
    pub buffered: Arc<Semaphore>,
    /// Large bodies are parsed here.
    pub reading: Aside,
    /// Decisions are explained here: hundreds of classifications each.
    pub explaining: Aside,
    /// The file, to read again; `None` where there is none.
    pub path: Option<PathBuf>,
    /// Where it is listened on, once it is.
    listening: OnceLock<Listening>,
    /// One at a time; why the last one was refused, so that it is told once.
    reload: Mutex<Option<String>>,
    /// Endpoints of configurations that went, as long as some request may still use them.
    endpoints: Mutex<Vec<Weak<Endpoint>>>,
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Hash of the configuration that runs now.
    pub hash: String,
    /// Remarks that refuse nothing.
    pub warnings: Vec<String>,
}

impl State {
    /// Builds everything from a checked configuration.
    pub fn new(
        checked: Checked,
        path: Option<PathBuf>,
        classifier: Arc<dyn Classifier>,
        tracer: Option<Tracer>,
    ) -> io::Result<Self> {
        let meter = Meter::new(classifier.version());
        let server = &checked.config.server;
        let in_flight = Arc::new(Semaphore::new(server.max_in_flight as usize));
        let buffered = Arc::new(Semaphore::new((server.max_buffered.0 / 1024) as usize));
        let sessions = Sessions::new(checked.config.sessions.max);
        let ledger = ledger::open(&checked.config.log.decisions, &meter.log_dropped)?;
        let snapshot = snapshot::build(checked, classifier, &meter, None).map_err(io::Error::other)?;
        note_loaded(&meter, None, &snapshot);
        Ok(Self {
            current: ArcSwap::from_pointee(snapshot),
            meter,
            sessions,
            ledger,
            recent: Recent::default(),
            past: Past::default(),
            announcer: Arc::default(),
            tracer,
            connector: Connector::with_system_roots().map_err(io::Error::other)?,
            tasks: TaskTracker::new(),
            attendants: TaskTracker::new(),
            draining: CancellationToken::new(),
            halt: CancellationToken::new(),
            in_flight,
            buffered,
            reading: Aside::new(2, READING_WAITS),
            explaining: Aside::new(2, EXPLAINING_WAITS),
            path,
            listening: OnceLock::new(),
            reload: Mutex::new(None),
            endpoints: Mutex::default(),
        })
    }

    /// The configuration a request is answered under.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Notes the addresses that are listened on: a reload must not open them.
    pub fn listen(&self, listening: Listening) {
        // bound once
        let _ = self.listening.set(listening);
    }

    /// Whether the data plane is reached from this machine only.
    pub fn is_on_loopback(&self) -> bool {
        self.listening.get().is_none_or(|listening| listening.data.ip().is_loopback())
    }

    /// Pages that may use the data plane from a browser.
    pub fn pages<'s>(&self, snapshot: &'s Snapshot) -> Pages<'s> {
        Pages { origins: &snapshot.config.server.cors.origins, of_this_machine: self.is_on_loopback() }
    }

    /// Reads the file again and swaps it in; a bad file keeps the old configuration.
    ///
    /// # Errors
    ///
    /// In words, why the old configuration stays.
    pub fn reload(&self) -> Result<Reloaded, String> {
        let mut last_refusal = self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.try_reload();
        self.meter.reload_success.set(i64::from(result.is_ok()));
        match &result {
            Ok(Reloaded { hash, warnings }) => {
                tracing::info!(hash, "configuration reloaded");
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                *last_refusal = None;
            }
            Err(error) if last_refusal.as_ref() != Some(error) => {
                tracing::error!("the old configuration stays: {error}");
                *last_refusal = Some(error.clone());
            }
            Err(_) => {}
        }
        result
    }

    /// Closes connections to upstreams that have been idle for long, and all idle ones of endpoints that went with a
    /// reload, also while a long answer still holds the old configuration.
    pub fn sweep_upstreams(&self) {
        let snapshot = self.snapshot();
        let current = || snapshot.experts.iter().flat_map(|expert| &expert.endpoints);
        current().for_each(|endpoint| endpoint.pool.sweep());
        let mut all = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|endpoint| {
            let Some(endpoint) = endpoint.upgrade() else { return false };
            let gone = !current().any(|known| Arc::ptr_eq(known, &endpoint));
            if gone {
                endpoint.pool.clear();
            }
            gone
        });
    }

    /// Remembers the endpoints of a configuration that goes.
    fn remember_endpoints(&self, old: &Snapshot) {
        let endpoints = old.experts.iter().flat_map(|expert| &expert.endpoints).map(Arc::downgrade);
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).extend(endpoints);
    }

    fn try_reload(&self) -> Result<Reloaded, String> {
        let path = self.path.as_ref().ok_or("this gateway was started without a file")?;
        let old = self.snapshot();
        let loaded = config::read(path).and_then(|draft| router_file::complete(draft, Some(&old)));
        let (checked, classifier) = loaded.map_err(|faults| faults.to_string())?;
        reload::permit(&old.config, &checked.config, self.listening.get().copied())?;
        let waiting = reload::wait_for_a_restart(&old.config, &checked.config);
        let told = |key| format!("`{key}` has changed and is read at start only: restart for it to count");
        let warnings = checked.warnings.iter().cloned().chain(waiting.into_iter().map(told)).collect();
        let new = snapshot::build(checked, classifier, &self.meter, Some(&old))?;
        note_loaded(&self.meter, Some(&old), &new);
        let hash = new.hash.clone();
        self.remember_endpoints(&old);
        self.current.store(Arc::new(new));
        Ok(Reloaded { hash, warnings })
    }
}

fn note_loaded(meter: &Meter, old: Option<&Snapshot>, new: &Snapshot) {
    meter.loaded(old, new);
    meter.reload_success.set(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    meter.reload_timestamp.set(now.as_secs_f64());
}
