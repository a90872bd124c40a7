//! The one place that opens connections.
//!
//! HTTP/1.1 over TCP or TLS, an own pool of idle connections per endpoint. hyper-util's client would do, but
//! three promises need to know what it hides: whether a connection was reused (a stale one is repeated once, and
//! counted), when exactly a step timed out, and that a dropped body closes its connection at once. No upstream
//! host ever comes from a request, and redirects are not followed.

mod link;
mod pool;
mod sips;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, response};
use http_body_util::Full;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant as Deadline, timeout_at};
use tokio_rustls::TlsConnector;

use crate::expert::Timeouts;
use crate::expert::endpoint::Endpoint;
use link::Link;

pub use link::{Broken, Coming};
pub use pool::Pool;

/// A reused connection that ends this soon had died before: who ends it later has begun to work on the request.
const SOON: Duration = Duration::from_secs(1);

/// An answer whose head has come.
#[derive(Debug)]
pub struct Answered {
    /// Status and headers.
    pub head: response::Parts,
    /// The rest.
    pub body: Coming,
    /// A pooled connection had died; this is the second try.
    pub repeated: bool,
}

/// Why there is no head.
#[derive(Debug)]
pub enum NoHead {
    /// No connection: what the system said.
    Connect(String),
    /// No connection in time.
    ConnectTimeout,
    /// The connection broke, or what came was no HTTP.
    Broken(String),
    /// No head in time.
    HeadersTimeout,
}

/// Opens connections and sends requests on them.
#[derive(Debug, Clone)]
pub struct Connector {
    tls: Arc<ClientConfig>,
}

impl Connector {
    /// Trusts the system's certificates, and Mozilla's where the system has none.
    pub fn with_system_roots() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        let tls = match config {
            Ok(mut config) => {
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                Arc::new(config)
            }
            Err(error) => unreachable!("ring supports the default protocol versions: {error}"),
        };
        Self { tls }
    }

    /// Sends a request and waits for the head of its answer, until `total_at` at most.
    pub async fn send(
        &self,
        endpoint: &Arc<Endpoint>,
        request: impl Fn() -> Request<Full<Bytes>>,
        limits: &Timeouts,
        total_at: Deadline,
    ) -> Result<Answered, NoHead> {
        let mut repeated = false;
        let within = |limit| (Deadline::now() + limit).min(total_at);
        if let Some(link) = endpoint.pool.take() {
            let sent = Deadline::now();
            match exchange(endpoint, link, request(), within(limits.headers)).await {
                Ok((head, body)) => return Ok(Answered { head, body, repeated }),
                Err(Lost::Broken(error)) if died_in_the_pool(&error) && sent.elapsed() < SOON => {
                    repeated = true;
                }
                Err(lost) => return Err(lost.into()),
            }
        }
        let link = self.connect(endpoint, within(limits.connect)).await?;
        let (head, body) = exchange(endpoint, link, request(), within(limits.headers)).await?;
        Ok(Answered { head, body, repeated })
    }

    async fn connect(&self, endpoint: &Endpoint, deadline: Deadline) -> Result<Link, NoHead> {
        match timeout_at(deadline, self.connect_unbounded(endpoint)).await {
            Ok(result) => result,
            Err(_) => Err(NoHead::ConnectTimeout),
        }
    }

    async fn connect_unbounded(&self, endpoint: &Endpoint) -> Result<Link, NoHead> {
        let no = |error: &dyn std::fmt::Display| NoHead::Connect(error.to_string());
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(|e| no(&e))?;
        tcp.set_nodelay(true).map_err(|e| no(&e))?;
        if !endpoint.tls {
            return Link::over(tcp).await.map_err(|e| no(&e));
        }
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|e| no(&e))?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await.map_err(|e| no(&e))?;
        Link::over(tls).await.map_err(|e| no(&e))
    }
}

enum Lost {
    Broken(hyper::Error),
    Timeout,
}

impl From<Lost> for NoHead {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Broken(error) => Self::Broken(chain(&error)),
            Lost::Timeout => Self::HeadersTimeout,
        }
    }
}

async fn exchange(
    endpoint: &Arc<Endpoint>,
    mut link: Link,
    request: Request<Full<Bytes>>,
    deadline: Deadline,
) -> Result<(response::Parts, Coming), Lost> {
    match timeout_at(deadline, link.exchange(request)).await {
        Ok(Ok(response)) => {
            let (head, incoming) = response.into_parts();
            Ok((head, Coming::new(incoming, link, endpoint)))
        }
        Ok(Err(error)) => Err(Lost::Broken(error)),
        Err(_) => Err(Lost::Timeout),
    }
}

/// A reused connection that ended before a whole head: the server had closed it while it lay in the pool.
fn died_in_the_pool(error: &hyper::Error) -> bool {
    error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        || io_kind(error).is_some_and(is_gone)
}

fn is_gone(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as K;
    matches!(
        kind,
        K::ConnectionReset | K::BrokenPipe | K::ConnectionAborted | K::UnexpectedEof | K::NotConnected
    )
}

fn io_kind(error: &hyper::Error) -> Option<std::io::ErrorKind> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
