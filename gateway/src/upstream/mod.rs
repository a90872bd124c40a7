//! The one place that opens connections.
//!
//! HTTP/1.1 over TCP or TLS, an own pool of idle connections per endpoint. hyper-util's client would do, but
//! three promises need to know what it hides: whether a connection was reused (a stale one is repeated once, and
//! both are counted), when exactly a step timed out, and that a dropped body closes its connection at once. No upstream
//! host ever comes from a request, and redirects are not followed.

mod link;
mod pool;
mod roots;
mod sips;
mod tcp;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::{Instant as Deadline, timeout_at};
use tokio_rustls::TlsConnector;

use crate::ask::Spliced;
use crate::expert::Timeouts;
use crate::expert::endpoint::Endpoint;
use link::Link;

pub use link::{Broken, Coming};
pub use pool::Pool;

/// A reused connection that ends this soon was most likely closed by the server just before: who ends it later has begun
/// to work on the request.
const SOON: Duration = Duration::from_secs(1);

/// An answer whose head has come.
#[derive(Debug)]
pub struct Answered {
    /// Status and headers.
    pub head: response::Parts,
    /// The rest.
    pub body: Coming,
}

/// Whether an idle connection may carry a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// One that lies in the pool.
    Idle,
    /// None: it must be a fresh one.
    Never,
}

/// How a request is sent.
#[derive(Debug)]
pub struct Terms<'t> {
    /// Time limits of its steps.
    pub limits: &'t Timeouts,
    /// When all of it must be over.
    pub total_at: Deadline,
    /// Whether an idle connection will do.
    pub reuse: Reuse,
    /// A server may have read of it.
    pub is_sent: AtomicBool,
}

impl<'t> Terms<'t> {
    /// On any connection, until `total_at` at most.
    pub fn new(limits: &'t Timeouts, total_at: Deadline) -> Self {
        Self { limits, total_at, reuse: Reuse::Idle, is_sent: AtomicBool::new(false) }
    }

    fn within(&self, limit: Duration) -> Deadline {
        (Deadline::now() + limit).min(self.total_at)
    }

    fn note_sent(&self, is_sent: bool) {
        self.is_sent.store(is_sent, Ordering::Relaxed);
    }
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
    /// An idle connection died as soon as it was used: its server had closed it, or died over the request.
    Stale,
}

/// Opens connections and sends requests on them.
#[derive(Debug, Clone)]
pub struct Connector {
    tls: Arc<ClientConfig>,
}

impl Connector {
    /// Trusts the system's certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, and Mozilla's.
    ///
    /// # Errors
    ///
    /// In words, when the certificates that the environment names cannot be read.
    pub fn with_system_roots() -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = roots::trusted()?;
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
        Ok(Self { tls })
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(
        &self,
        endpoint: &Arc<Endpoint>,
        request: impl Fn() -> Request<Spliced>,
        terms: &Terms<'_>,
    ) -> Result<Answered, NoHead> {
        let limits = terms.limits;
        if terms.reuse == Reuse::Idle
            && let Some(link) = endpoint.pool.take()
        {
            terms.note_sent(true);
            let sent = Deadline::now();
            match exchange(endpoint, link, request(), terms.within(limits.headers)).await {
                Ok((head, body)) => return Ok(Answered { head, body }),
                // the connection was gone before a byte of the request was written
                Err(Lost::Broken(error)) if error.is_canceled() => terms.note_sent(false),
                Err(Lost::Broken(error)) if died_in_the_pool(&error) && sent.elapsed() < SOON => {
                    return Err(NoHead::Stale);
                }
                Err(lost) => return Err(lost.into()),
            }
        }
        // boxed, because it is rare and large, and would make every request's future so
        let link = Box::pin(self.connect(endpoint, terms.within(limits.connect))).await?;
        terms.note_sent(true);
        let (head, body) = exchange(endpoint, link, request(), terms.within(limits.headers)).await?;
        Ok(Answered { head, body })
    }

    async fn connect(&self, endpoint: &Endpoint, deadline: Deadline) -> Result<Link, NoHead> {
        match timeout_at(deadline, self.connect_unbounded(endpoint)).await {
            Ok(result) => result.map_err(NoHead::Connect),
            Err(_) => Err(NoHead::ConnectTimeout),
        }
    }

    async fn connect_unbounded(&self, endpoint: &Endpoint) -> Result<Link, String> {
        let tcp = tcp::connect(&endpoint.host, endpoint.port).await?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        if !endpoint.tls {
            return Link::over(tcp).await.map_err(|error| chain(&error));
        }
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| error.to_string())?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp);
        let tls = tls.await.map_err(|error| format!("TLS: {}", chain(&error)))?;
        Link::over(tls).await.map_err(|error| chain(&error))
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
    request: Request<Spliced>,
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
