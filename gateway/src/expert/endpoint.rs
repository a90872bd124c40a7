//! One address of an expert: parsed once, with its idle connections and its load.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderValue, Uri};
use prometheus::IntCounter;

use super::circuit::Circuit;
use crate::api::Dialect;
use crate::provider::Provider;
use crate::upstream::Pool;

/// One address of an expert.
#[derive(Debug)]
pub struct Endpoint {
    /// Host and port, also the metrics' label.
    pub authority: Arc<str>,
    /// Host without port, for TLS.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The `host` header.
    pub host_header: HeaderValue,
    /// Paths by dialect, with the query of its address: `/v1/chat/completions` and so on.
    pub paths: [Uri; 3],
    /// Share of the traffic, relative to the others.
    pub weight: u32,
    /// Requests on it right now.
    pub load: Arc<AtomicU32>,
    /// Counts its answers; looked up once.
    pub answered: OnceLock<IntCounter>,
    /// Its idle connections.
    pub pool: Pool,
    /// Whether it is worth asking.
    pub circuit: Arc<Circuit>,
    /// What closed its circuit last was its rate limit.
    pub rate_limited: AtomicBool,
    /// It has refused `stream_options`, which the gateway adds to ask for usage.
    pub refuses_stream_options: AtomicBool,
}

impl Endpoint {
    /// From an address such as `http://127.0.0.1:8001/v1`. `None`: not an http address (the checks refuse these before).
    pub fn new(base_url: &str, weight: u32, provider: &dyn Provider) -> Option<Self> {
        let uri: Uri = base_url.parse().ok()?;
        let tls = uri.scheme_str()? == "https";
        let authority = uri.authority()?;
        let prefix = uri.path().trim_end_matches('/');
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = |dialect| format!("{prefix}{}{query}", provider.path(dialect)).parse().ok();
        let default_port = if tls { 443 } else { 80 };
        Some(Self {
            authority: authority.as_str().into(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            tls,
            host_header: HeaderValue::from_str(authority.as_str()).ok()?,
            paths: [path(Dialect::Chat)?, path(Dialect::Completions)?, path(Dialect::Embeddings)?],
            weight,
            load: Arc::new(AtomicU32::new(0)),
            answered: OnceLock::new(),
            pool: Pool::default(),
            circuit: Arc::default(),
            rate_limited: AtomicBool::new(false),
            refuses_stream_options: AtomicBool::new(false),
        })
    }

    /// Counts a request until the guard is dropped.
    pub fn busy(&self) -> Busy {
        self.load.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.load))
    }
}

/// One request on an endpoint.
#[derive(Debug)]
pub struct Busy(Arc<AtomicU32>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
