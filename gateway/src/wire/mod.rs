//! A client's socket, watched where hyper does not look.
//!
//! Two things hyper lets pass are seen here. A client that leaves while pipelined bytes lie in hyper's buffer goes
//! unnoticed there for as long as the answer takes: the kernel's word about a closed peer is awaited beside it. And
//! a head with bare LF line ends, or with both `content-length` and `transfer-encoding`, is read by hyper in one way
//! and by others in another: such a head is spoiled on its way in, so that hyper refuses it with a 400 and closes.
//! So that no head slips by behind another, bytes behind a message are kept until its answer has begun.
//!
//! It also notes what the server looks at from time to time: whether a client has said anything, since when a head
//! is incomplete, and since when nothing could be written.

pub mod head;

use std::cell::RefCell;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use head::{Stage, end_of_head, has_bare_lf, stage_behind};

/// Longest head that is looked at; hyper's own limit ends longer ones.
const MAX_HEAD: usize = 64 * 1024;
/// What hyper reads in place of the rest of a head that must be refused: its parser waits for the end of the head,
/// and takes NUL nowhere in it.
const SPOILED: &[u8] = b"\0\r\n\r\n";
/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that are read at once where a head is awaited; most requests fit.
const HEAD_READ: usize = 4096;
/// Bytes that are read at once elsewhere.
const MOST_READ: usize = 64 * 1024;
/// Bytes that are forgotten at once.
const LINGER_READ: usize = 16 * 1024;
/// Bytes behind a message that are taken from the socket before its answer has begun.
const AHEAD: usize = 4096;

/// A client's connection.
#[derive(Debug)]
pub struct Wire {
    stream: Arc<TcpStream>,
    gate: Arc<Gate>,
    stage: Stage,
    head: Vec<u8>,
    ahead: Vec<u8>,
    spoiled: &'static [u8],
    blocked: bool,
}

/// What is known of a connection beside hyper.
#[derive(Debug, Clone)]
pub struct Watcher {
    stream: Arc<TcpStream>,
    gate: Arc<Gate>,
}

/// What is said between the two: above all whether the next message may begin.
#[derive(Debug, Default)]
struct Gate {
    next: Mutex<Next>,
    /// It is known which HTTP is spoken.
    begun: AtomicBool,
    /// Requests that are being answered.
    answering: AtomicUsize,
    /// Since when a head is incomplete.
    torn: Mutex<Option<Instant>>,
    /// Since when the client takes nothing.
    blocked: Mutex<Option<Instant>>,
    /// Bytes may lie in the socket that nobody is told of any more.
    unread: AtomicBool,
    /// The client has closed its side.
    left: AtomicBool,
    /// Since when nothing is being answered, by [`now`].
    idle_since: AtomicU64,
    /// A request on it carried a key that was known.
    keyed: AtomicBool,
    /// It was told to end.
    ended: AtomicBool,
}

/// Milliseconds since the process looked first.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64
}

#[derive(Debug, Default)]
struct Next {
    open: bool,
    waiting: Option<Waker>,
}

/// Splits a connection into what hyper reads and what watches it.
pub fn watched(stream: TcpStream) -> (Wire, Watcher) {
    let stream = Arc::new(stream);
    let gate = Arc::new(Gate { idle_since: AtomicU64::new(now()), ..Gate::default() });
    let watcher = Watcher { stream: Arc::clone(&stream), gate: Arc::clone(&gate) };
    let wire = Wire {
        stream,
        gate,
        stage: Stage::Head,
        head: Vec::new(),
        ahead: Vec::new(),
        spoiled: &[],
        blocked: false,
    };
    (wire, watcher)
}

impl Watcher {
    /// Resolves when the client has closed its side.
    ///
    /// Bytes that hyper does not take (more of a pipeline) keep a socket readable. They are set aside: what the kernel
    /// says next is the news that is waited for, and [`Wire`] knows that it must look for bytes by itself.
    pub async fn closed(&self) {
        loop {
            match self.stream.ready(Interest::READABLE).await {
                Ok(ready) if ready.is_read_closed() => return,
                Ok(_) => {
                    self.gate.unread.store(true, Ordering::Relaxed);
                    let set_aside = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _would_block = self.stream.try_io(Interest::READABLE, set_aside);
                }
                Err(_) => return,
            }
        }
    }

    /// The client has closed its side: who still waits for an answer on this connection is told so.
    pub fn note_left(&self) {
        self.gate.left.store(true, Ordering::Relaxed);
    }

    /// The client has closed its side.
    pub fn has_left(&self) -> bool {
        self.gate.left.load(Ordering::Relaxed)
    }

    /// It is known which HTTP the client speaks.
    pub fn has_begun(&self) -> bool {
        self.gate.begun.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.gate.answering.load(Ordering::Relaxed) == 0
    }

    /// How long nothing has been answered; zero while something is.
    pub fn idle_for(&self) -> Duration {
        let since = || now().saturating_sub(self.gate.idle_since.load(Ordering::Relaxed));
        Duration::from_millis(if self.is_idle() { since() } else { 0 })
    }

    /// How dear the connection is to its client, the cheapest first: `None` while something is being answered, else
    /// whether it carried a key, and since when it has been idle.
    pub fn worth(&self) -> Option<(bool, u64)> {
        let gate = &self.gate;
        let idle = self.is_idle() && !gate.ended.load(Ordering::Relaxed);
        idle.then(|| (gate.keyed.load(Ordering::Relaxed), gate.idle_since.load(Ordering::Relaxed)))
    }

    /// A request on it carried a key that was known.
    pub fn note_key(&self) {
        self.gate.keyed.store(true, Ordering::Relaxed);
    }

    /// Ends the connection: whoever serves it sees it closed.
    pub fn end(&self) {
        self.gate.ended.store(true, Ordering::Relaxed);
        // one that is closed already has ended too
        let _ = SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Both);
    }

    /// What comes of `answering`, unless the client leaves before.
    pub async fn unless_left<F: Future>(&self, answering: F) -> Option<F::Output> {
        let mut answering = std::pin::pin!(answering);
        // the connection's task looks again when the client has left: no waker is needed
        std::future::poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if self.has_left() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// How long a head has been incomplete.
    pub fn torn_for(&self) -> Duration {
        let since = *self.gate.torn.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// How long the client has taken nothing of what is to be written.
    pub fn blocked_for(&self) -> Duration {
        let since = *self.gate.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Reads and forgets what still comes: a socket that is closed with bytes unread takes its last answer back.
    pub async fn linger(&self) {
        let mut forgotten = vec![0; LINGER_READ];
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut forgotten) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// A request is being answered, until the guard is dropped.
    pub fn answering(&self) -> Answering {
        self.gate.answering.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(&self.gate))
    }

    /// An answer has begun: the bytes behind its request may begin another.
    pub fn expect_head(&self) {
        let mut next = self.gate.next();
        next.open = true;
        if let Some(waker) = next.waiting.take() {
            waker.wake();
        }
    }
}

/// A request that is being answered on a connection; lies in the answer's body.
#[derive(Debug)]
pub struct Answering(Arc<Gate>);

impl Answering {
    /// The client has closed its side.
    pub fn has_left(&self) -> bool {
        self.0.left.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.idle_since.store(now(), Ordering::Relaxed);
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes once it is open, and closes it again.
    fn pass(&self) -> bool {
        std::mem::take(&mut self.next().open)
    }

    /// Waits for it, unless it was opened in the meantime.
    fn wait(&self, cx: &Context<'_>) -> bool {
        let mut next = self.next();
        if !next.open {
            next.waiting = Some(cx.waker().clone());
        }
        !next.open
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.spoiled.is_empty() {
                let (now, later) = this.spoiled.split_at(this.spoiled.len().min(buf.remaining()));
                buf.put_slice(now);
                this.spoiled = later;
                return Poll::Ready(Ok(()));
            }
            if this.stage == Stage::Body(0) {
                if this.gate.pass() {
                    this.stage = Stage::Head;
                } else if ready!(this.poll_behind(cx))? {
                    return Poll::Ready(Ok(()));
                } else {
                    continue;
                }
            }
            let before = buf.filled().len();
            if this.ahead.is_empty() {
                let most = if this.stage == Stage::Head { HEAD_READ } else { usize::MAX };
                ready!(this.poll_socket(cx, buf, most))?;
            } else {
                let count = this.ahead.len().min(buf.remaining());
                buf.put_slice(&this.ahead[..count]);
                this.ahead.drain(..count);
            }
            match this.judge(&buf.filled()[before..]) {
                Some(passing) => {
                    this.ahead.splice(..0, buf.filled()[before + passing..].iter().copied());
                    buf.set_filled(before + passing);
                    return Poll::Ready(Ok(()));
                }
                None => {
                    buf.set_filled(before);
                    this.spoiled = SPOILED;
                }
            }
        }
    }
}

impl Wire {
    /// Waits behind a whole message, for its answer or for the client to leave: true when it has left.
    fn poll_behind(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ahead.is_empty() {
            if !self.gate.unread.load(Ordering::Relaxed) {
                ready!(self.stream.poll_read_ready(cx))?;
            }
            let mut room = [MaybeUninit::uninit(); AHEAD];
            let mut room = ReadBuf::uninit(&mut room);
            if ready!(self.poll_socket(cx, &mut room, AHEAD))? == 0 {
                return Poll::Ready(Ok(true));
            }
            self.ahead.extend_from_slice(room.filled());
        }
        if self.gate.wait(cx) { Poll::Pending } else { Poll::Ready(Ok(false)) }
    }

    fn note_blocked(&mut self, blocked: bool) {
        if self.blocked != blocked {
            self.blocked = blocked;
            let since = blocked.then(Instant::now);
            *self.gate.blocked.lock().unwrap_or_else(PoisonError::into_inner) = since;
        }
    }

    fn note_torn(&self, torn: bool) {
        let since = torn.then(Instant::now);
        *self.gate.torn.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// How many of these bytes belong to the message at hand; `None`: its head must be refused.
    fn judge(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut judged = 0;
        if self.stage == Stage::Head {
            judged = self.judge_head(bytes)?;
        }
        match &mut self.stage {
            Stage::Body(left) => {
                let taken = (bytes.len() - judged).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                Some(judged + taken)
            }
            Stage::Head | Stage::Free => Some(bytes.len()),
        }
    }

    /// Takes bytes of a head; how many were of it.
    fn judge_head(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut before = self.head.len();
        self.head.extend_from_slice(bytes);
        if !PREFACE.starts_with(&self.head) || self.head.len() == PREFACE.len() {
            self.gate.begun.store(true, Ordering::Relaxed);
        }
        if self.head.starts_with(PREFACE) {
            self.note_torn(false);
            self.stage = Stage::Free;
            self.head = Vec::new();
            return Some(0);
        }
        // empty lines before a request are skipped, as hyper does, and are no part of a head
        let empty = self.head.chunks_exact(2).take_while(|pair| pair == b"\r\n").count() * 2;
        self.head.drain(..empty);
        let skipped = empty.saturating_sub(before);
        before = before.saturating_sub(empty);
        let Some(end) = end_of_head(&self.head, before.saturating_sub(3)) else {
            // too long a one is hyper's to refuse
            if self.head.len() > MAX_HEAD {
                self.stage = Stage::Free;
            }
            if before == 0 {
                self.note_torn(!self.head.is_empty());
            }
            return (!has_bare_lf(&self.head, before)).then_some(bytes.len());
        };
        if before > 0 {
            self.note_torn(false);
        }
        self.stage = stage_behind(&self.head[..end])?;
        self.head.clear();
        Some(skipped + end - before)
    }

    /// Reads what there is and at most `most`, 0 at the end. A read that leaves room has emptied the socket: that is
    /// noted, so that the kernel is not asked once more to hear it.
    fn poll_socket(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if self.gate.unread.load(Ordering::Relaxed) {
            self.gate.unread.store(false, Ordering::Relaxed);
            match read_socket(&self.stream, buf, most) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    // there may be more, and nobody would tell of it
                    self.gate.unread.store(true, Ordering::Relaxed);
                    return Poll::Ready(Ok(read.count));
                }
            }
        }
        poll_socket(&self.stream, cx, buf, most)
    }
}

/// Reads what there is and at most `most`, 0 at the end. A read that leaves room has emptied the socket: that is noted, so that the
/// kernel is not asked once more to hear it.
fn poll_socket(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    most: usize,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let mut count = None;
        let done = stream.try_io(Interest::READABLE, || {
            let read = read_socket(stream, buf, most)?;
            count = Some(read.count);
            if read.count == 0 || read.is_full { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        match (count, done) {
            (Some(count), _) => return Poll::Ready(Ok(count)),
            (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                return Poll::Ready(Err(error));
            }
            (None, _) => {}
        }
    }
}

/// What a read came to.
struct Read {
    count: usize,
    /// It took all that there was room for.
    is_full: bool,
}

thread_local! {
    /// Where reads go first: a buffer that was never written to would have to be zeroed before it is read into, all of it
    /// and each time; what came is less.
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; MOST_READ].into_boxed_slice());
}

fn read_socket(stream: &TcpStream, buf: &mut ReadBuf<'_>, most: usize) -> io::Result<Read> {
    ROOM.with_borrow_mut(|room| {
        let room = &mut room[..most.min(buf.remaining()).min(MOST_READ)];
        let count = (&*SockRef::from(stream)).read(room)?;
        buf.put_slice(&room[..count]);
        Ok(Read { count, is_full: count == room.len() })
    })
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(ready) = self.stream.poll_write_ready(cx) else {
                self.note_blocked(true);
                return Poll::Pending;
            };
            ready?;
            match self.stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.note_blocked(false);
                    return Poll::Ready(done);
                }
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = SockRef::from(&*self.stream);
        match socket.shutdown(std::net::Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, Wire, Watcher) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (wire, watcher) = watched(listener.accept().await.unwrap().0);
        (client, wire, watcher)
    }

    /// The clock goes on by itself where everybody waits: whoever asks from time to time is seen to ask often.
    #[tokio::test(start_paused = true)]
    async fn bytes_that_nobody_takes_are_not_asked_about_again_and_again() {
        let (mut client, mut wire, watcher) = pair().await;
        client.write_all(b"GET").await.unwrap();
        let mut asked = 0;
        let mut closed = Box::pin(watcher.closed());
        let counted = std::future::poll_fn(|cx| {
            asked += 1;
            closed.as_mut().poll(cx)
        });
        let long = tokio::time::timeout(Duration::from_secs(3600), counted).await;
        assert!(long.is_err(), "it is still open");
        assert!(asked < 10, "asked {asked} times");
        // and they are not lost
        let mut taken = [0; 3];
        wire.read_exact(&mut taken).await.unwrap();
        assert_eq!(&taken, b"GET");
        client.write_all(b" / HTTP").await.unwrap();
        let mut more = [0; 7];
        wire.read_exact(&mut more).await.unwrap();
        drop(client);
        tokio::time::resume();
        tokio::time::timeout(Duration::from_secs(5), closed).await.expect("its end is heard of");
    }

    #[tokio::test]
    async fn empty_lines_are_no_head_and_half_a_head_is_one() {
        for (pieces, begun, torn) in [
            (&["\r\n"][..], true, false),
            (&["\r", "\n"], true, false),
            (&["\r\n\r\n", "\r\n"], true, false),
            (&["G"], true, true),
            (&["\r\nGET / HT"], true, true),
            (&["\r", "\nGET / HT"], true, true),
            (&["PRI * HT"], false, true),
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], true, false),
            (&["PRI * HT", "TP/2.0\r\n\r\nSM\r\n\r\n"], true, false),
            (&["PRI * HT", "TP/2.0\r\n\r\nSM\r\n\r\n\0\0"], true, false),
            (&["GET / HTTP/1.1\r\n", "host: a\r\n\r\n"], true, false),
        ] {
            let (_client, mut wire, watcher) = pair().await;
            for piece in pieces {
                assert_eq!(wire.judge(piece.as_bytes()), Some(piece.len()), "{pieces:?}");
            }
            let is_torn = wire.gate.torn.lock().unwrap().is_some();
            assert_eq!((watcher.has_begun(), is_torn), (begun, torn), "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn a_head_behind_empty_lines_ends_where_it_ends() {
        for before in ["", "\r\n", "\r\n\r\n"] {
            let (_client, mut wire, _watcher) = pair().await;
            let head = format!("{before}GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            let two = format!("{head}GET /next");
            assert_eq!(wire.judge(two.as_bytes()), Some(head.len()), "{two:?}");
        }
    }
}
