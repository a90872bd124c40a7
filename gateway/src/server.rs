//! Accepts connections and serves them: caps, timers, limits of heads, and draining.

mod served;
mod table;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::body::{Body, PIECE};
use crate::error::Failure;
use crate::lanes::{Lanes, Placed};
use crate::overdue;
use crate::state::State;
use crate::wire::{self, Watcher};
use served::Served;
use table::Table;

/// A connection's first byte must come by then, and a head be whole.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection may wait this long for its next request: longer than clients keep theirs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest head.
const MAX_HEAD: usize = 64 * 1024;
/// Most headers.
const MAX_HEADERS: usize = 100;
/// Between two looks at a connection. hyper's own timer would be set and taken back for every request.
const LOOK: Duration = Duration::from_secs(5);
/// A client that takes nothing for this long is gone, whatever it says.
const BLOCKED: Duration = Duration::from_secs(120);
/// A client has this long to take a whole answer that has no time limit of its own: an error, which holds no place, or a
/// page of figures, over a slow line.
const TAKEN: Duration = Duration::from_secs(60);
/// The least time that it has, however little of an answer's own limit is left.
const TAKEN_AT_LEAST: Duration = Duration::from_secs(5);
/// A client that still sends while its last answer goes out has this long to read it.
const LINGER: Duration = Duration::from_secs(1);
/// A connection on which nothing came yet when the gateway drains: its first request may be on its way.
const FIRST_WORDS: Duration = Duration::from_millis(200);
/// After the client closed its side: time to flush what is ready.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// The other header that may carry a key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Streams at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// Bytes that lie unsent in the kernel for one client.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;
/// Buffer of an HTTP/2 stream, so that a slow reader costs little.
const STREAM_BUFFER: usize = 64 * 1024;

/// Whose listener it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Clients': their connections are waited for when the gateway drains.
    Data,
    /// The operator's: they last as long as the process.
    Admin,
}

impl Plane {
    /// As in labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Admin => "admin",
        }
    }
}

/// Serves a listener to the end, with some `max_connections` open. While the gateway drains it still answers,
/// so that a balancer hears of it, but waits for no connection that came since.
pub async fn serve<S>(
    plane: Plane,
    listener: TcpListener,
    lanes: Arc<Lanes>,
    state: Arc<State>,
    max_connections: u32,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let table = Table::new(max_connections);
    let streams = if plane == Plane::Data { &state.tasks } else { &state.attendants };
    let builder = Arc::new(builder(streams));
    loop {
        let accepted = tokio::select! {
            biased;
            () = state.halt.cancelled() => return,
            accepted = accept(&listener, &table) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (lane, on_lane) = lanes.place();
                let lasting = plane == Plane::Admin || state.draining.is_cancelled();
                let tracker = if lasting { &state.attendants } else { &state.tasks };
                let (state, builder) = (Arc::clone(&state), Arc::clone(&builder));
                let place = Place { plane, table: Arc::clone(&table), place, _on_lane: on_lane };
                let serving = one_connection(stream, place, state, builder, service.clone(), lasting);
                tracker.spawn_on(overdue::watched(serving), &lane.runtime);
            }
            Err(error) => {
                // out of descriptors, most likely: the others go on, one that is idle makes room, and this passes
                tracing::warn!(%error, "a connection could not be accepted");
                table.end_longest_idle();
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A connection's place.
struct Place {
    plane: Plane,
    table: Arc<Table>,
    place: OwnedSemaphorePermit,
    _on_lane: Placed,
}

async fn accept(
    listener: &TcpListener,
    table: &Table,
) -> std::io::Result<(std::net::TcpStream, OwnedSemaphorePermit)> {
    let (stream, _) = listener.accept().await?;
    // its lane listens to it, not the runtime that accepted it
    Ok((stream.into_std()?, table.place().await))
}

fn builder(tasks: &TaskTracker) -> auto::Builder<Tracked> {
    let mut builder = auto::Builder::new(Tracked(tasks.clone()));
    // the end of a client's side is watched for here, not by hyper
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .max_send_buf_size(STREAM_BUFFER)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn one_connection<S>(
    stream: std::net::TcpStream,
    place: Place,
    state: Arc<State>,
    builder: Arc<auto::Builder<Tracked>>,
    service: S,
    // draining leaves it alone: it is not waited for
    mut lasting: bool,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let stream = match stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream)) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "a connection was gone before it was served");
            return;
        }
    };
    bound_unsent(&stream);
    let _open = (place.plane == Plane::Data).then(|| Open::new(&state.meter.connections));
    let (io, watcher) = wire::watched(stream);
    let _listed = place.table.list(watcher.clone(), place.place);
    let service = per_request(service, watcher.clone());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut look = std::pin::pin!(sleep(LOOK));
    let mut drains_soon = false;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(error = &*error, "a client's connection ended");
                }
                let _ = timeout(LINGER, watcher.linger()).await;
                break;
            }
            () = overdue::passed() => break,
            () = watcher.closed() => {
                watcher.note_left();
                let _ = timeout(LAST_WORDS, connection.as_mut()).await;
                break;
            }
            () = look.as_mut() => {
                if std::mem::take(&mut drains_soon) {
                    connection.as_mut().graceful_shutdown();
                    look.as_mut().reset(Instant::now() + LOOK);
                    continue;
                }
                let idle_for = watcher.idle_for();
                // while an answer goes out, nobody waits for the next head
                let torn_for = watcher.torn_for().min(idle_for);
                let silent = !watcher.has_begun() || torn_for >= HEAD_TIMEOUT;
                if silent || watcher.blocked_for() > BLOCKED {
                    break;
                }
                if idle_for > IDLE_TIMEOUT {
                    connection.as_mut().graceful_shutdown();
                }
                look.as_mut().reset(Instant::now() + LOOK);
            }
            () = state.draining.cancelled(), if !lasting => {
                lasting = true;
                if watcher.has_begun() {
                    connection.as_mut().graceful_shutdown();
                } else {
                    drains_soon = true;
                    look.as_mut().reset(Instant::now() + FIRST_WORDS);
                }
            }
            () = state.halt.cancelled() => break,
        }
    }
}

/// Bounds what the kernel keeps for a client that does not read, without a bound on what is on its way.
#[cfg(target_os = "linux")]
fn bound_unsent(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

/// Elsewhere the kernel's own bound holds.
#[cfg(not(target_os = "linux"))]
fn bound_unsent(_: &TcpStream) {}

/// Counts a connection while it is open.
struct Open<'m>(&'m IntGauge);

impl<'m> Open<'m> {
    fn new(gauge: &'m IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// hyper's service of a connection: after each answer's head the next bytes may begin a new request.
fn per_request<S>(
    service: S,
    watcher: Watcher,
) -> impl hyper::service::Service<Request<Incoming>, Response = Response<Served>, Error = Infallible, Future: Send>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut service = service.clone();
        let watcher = watcher.clone();
        async move {
            let answering = watcher.answering();
            let headers = request.headers();
            let has_key = headers.contains_key(AUTHORIZATION) || headers.contains_key(X_API_KEY);
            // where a chunked body ends only hyper knows, and what follows a tunnel's head is no request: neither can
            // be judged before it is read
            let last = headers.contains_key(TRANSFER_ENCODING) || request.method() == Method::CONNECT;
            let (request_was_head, version) = (request.method() == Method::HEAD, request.version());
            let mut response = match watcher.unless_left(service.call(request)).await {
                Some(Ok(response)) => response,
                None => Failure::ClientGone.response(),
            };
            if request_was_head {
                response = headless(response);
            }
            if has_key && response.status() != StatusCode::UNAUTHORIZED {
                watcher.note_key();
            }
            if last {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            watcher.expect_head();
            let timer = match to_be_taken_by(response.body(), version) {
                Some(by) => Some(poll_fn(|cx| Poll::Ready(overdue::Timer::new(by, cx))).await),
                None => None,
            };
            Ok(Served::of(response, answering, timer))
        }
    })
}

/// Without the bytes, but with their number: hyper leaves them out in HTTP/1 only.
fn headless(response: Response<Body>) -> Response<Body> {
    let length = response.body().length();
    let mut response = response.map(Body::without_bytes);
    if let Some(length) = length {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    response
}

/// When the client must have taken a whole answer that it may leave lying: over HTTP/2 any, over HTTP/1 one that does
/// not go into the connection's buffer at once. A stream has its own clock.
fn to_be_taken_by(body: &Body, version: Version) -> Option<Instant> {
    let least = if version == Version::HTTP_2 { 1 } else { PIECE as u64 + 1 };
    body.length().filter(|length| *length >= least)?;
    let now = Instant::now();
    Some(body.must_be_taken_by().map_or(now + TAKEN, |at| at.max(now + TAKEN_AT_LEAST)))
}

/// Runs hyper's tasks where shutdown can wait for them.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(overdue::bounded(task));
    }
}

/// Binds an address; the error says which.
pub async fn bind(address: &str) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}
