//! A scripted upstream: it reads requests, sends exactly the bytes it was told, and notes when the other
//! side leaves. Dropping it closes everything.

use crate::log::{Closed, Log};
use crate::request::Request;
use crate::step::Step;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Room for each read, so that large bodies take few.
const READ_AT_ONCE: usize = 64 * 1024;

/// An upstream on a port of its own.
pub struct Upstream {
    address: SocketAddr,
    log: Arc<Log>,
    // aborts its tasks when dropped
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Answers every request by these steps. The connection stays open behind them unless they end it.
    pub async fn script(steps: Vec<Step>) -> Upstream {
        Upstream::scripts(vec![steps]).await
    }

    /// Answers the first request by the first steps, the second by the second, and so on over all
    /// connections; the last steps answer all that follow.
    pub async fn scripts(scripts: Vec<Vec<Step>>) -> Upstream {
        Upstream::start(Scripts { scripts, next: AtomicUsize::new(0), begins: Begins::WithARequest }).await
    }

    /// Plays the steps on every connection as soon as it is there; [`Step::Read`] reads a request.
    /// Behind the last step the connection closes.
    pub async fn raw(steps: Vec<Step>) -> Upstream {
        let scripts = vec![steps];
        Upstream::start(Scripts { scripts, next: AtomicUsize::new(0), begins: Begins::AtOnce }).await
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDR` and this path, such as `/v1`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request that no call has given yet.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn next_request(&self) -> Request {
        self.log.next_request().await
    }

    /// The next connection that the other side closed or reset, if no call has given it yet.
    ///
    /// # Panics
    /// If none closes in time.
    pub async fn next_closed(&self) -> Closed {
        self.log.next_closed().await
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.log.read(|seen| seen.requests.clone())
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.log.read(|seen| seen.connections)
    }

    async fn start(scripts: Scripts) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let log = Arc::new(Log::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(scripts), log.clone()));
        Upstream { address, log, _tasks: tasks }
    }
}

struct Scripts {
    scripts: Vec<Vec<Step>>,
    next: AtomicUsize,
    begins: Begins,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    AtOnce,
    WithARequest,
}

impl Scripts {
    fn next(&self) -> &[Step] {
        let number = self.next.fetch_add(1, Relaxed);
        self.scripts.get(number).or_else(|| self.scripts.last()).map_or(&[], Vec::as_slice)
    }
}

async fn accept(listener: TcpListener, scripts: Arc<Scripts>, log: Arc<Log>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        log.write(|seen| seen.connections += 1);
        let connection = Connection { stream, number, buffer: Vec::new(), log: log.clone() };
        connections.spawn(connection.run(scripts.clone()));
        while connections.try_join_next().is_some() {}
    }
}

struct Connection {
    stream: TcpStream,
    number: usize,
    buffer: Vec<u8>,
    log: Arc<Log>,
}

/// Why a connection is over.
enum Over {
    /// The other side closed or broke it.
    ByPeer,
    /// The script said so.
    ByScript,
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Over {
        Over::ByPeer
    }
}

impl Connection {
    async fn run(mut self, scripts: Arc<Scripts>) {
        let _ = self.stream.set_nodelay(true);
        let mut in_answer = false;
        if let Over::ByPeer = self.converse(&scripts, &mut in_answer).await {
            let closed = Closed { connection: self.number, at: Instant::now(), in_answer };
            self.log.write(|seen| seen.closed.push(closed));
        }
    }

    async fn converse(&mut self, scripts: &Scripts, in_answer: &mut bool) -> Over {
        loop {
            if scripts.begins == Begins::WithARequest
                && let Err(over) = self.read().await
            {
                return over;
            }
            *in_answer = true;
            for step in scripts.next() {
                if let Err(over) = self.act(step).await {
                    return over;
                }
            }
            *in_answer = false;
            if scripts.begins == Begins::AtOnce {
                return Over::ByScript;
            }
        }
    }

    async fn act(&mut self, step: &Step) -> Result<(), Over> {
        match step {
            Step::Send(bytes) => Ok(self.stream.write_all(bytes).await?),
            Step::Sleep(time) => self.sleep(*time).await,
            Step::Read => self.read().await,
            Step::Hold => self.until_closed().await,
            Step::Close => Err(Over::ByScript),
            Step::Reset => {
                // with nothing to linger for, closing sends RST in place of FIN
                self.stream.set_zero_linger()?;
                Err(Over::ByScript)
            }
        }
    }

    async fn read(&mut self) -> Result<(), Over> {
        loop {
            if let Some(request) = Request::take(&mut self.buffer, self.number) {
                self.log.write(|seen| seen.requests.push(request));
                return Ok(());
            }
            self.more().await?;
        }
    }

    async fn sleep(&mut self, time: Duration) -> Result<(), Over> {
        tokio::select! {
            closed = self.until_closed() => closed,
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    async fn until_closed(&mut self) -> Result<(), Over> {
        loop {
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Over> {
        self.buffer.reserve(READ_AT_ONCE);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Over::ByPeer),
            _ => Ok(()),
        }
    }
}

/// An address that refuses connections for as long as this lives: bound, never listening.
pub struct Refusing {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Refusing {
    /// Takes a port.
    #[expect(clippy::new_without_default, reason = "it takes a port, which is more than a default does")]
    pub fn new() -> Refusing {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has a free port");
        Refusing { address: socket.local_addr().expect("a bound socket has an address"), _socket: socket }
    }

    /// The address that refuses.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests;
