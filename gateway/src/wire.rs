//! A client's socket, watched where hyper does not look.
//!
//! Two things hyper lets pass are seen here. A client that leaves while pipelined bytes lie in hyper's buffer goes
//! unnoticed there for as long as the answer takes: the kernel's word about a closed peer is awaited beside it. And a head with bare LF line ends,
//! or with both `content-length` and `transfer-encoding`, is read by hyper in one way and by others in another:
//! such a head is spoiled on its way in, so that hyper refuses it with a 400 and closes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use memchr::{memchr_iter, memmem};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Longest head that is looked at; hyper's own limit ends longer ones.
const MAX_HEAD: usize = 64 * 1024;
/// What hyper reads in place of the rest of a head that must be refused: its parser waits for the end of the head,
/// and takes NUL nowhere in it.
const SPOILED: &[u8] = b"\0\r\n\r\n";

/// A client's connection.
#[derive(Debug)]
pub struct Wire {
    stream: Arc<TcpStream>,
    heads: Arc<AtomicBool>,
    guard: HeadGuard,
    spoiled: &'static [u8],
}

/// What is known of a connection beside hyper.
#[derive(Debug, Clone)]
pub struct Watcher {
    stream: Arc<TcpStream>,
    heads: Arc<AtomicBool>,
}

/// Splits a connection into what hyper reads and what watches it.
pub fn watched(stream: TcpStream) -> (Wire, Watcher) {
    let stream = Arc::new(stream);
    let heads = Arc::new(AtomicBool::new(true));
    let watcher = Watcher { stream: Arc::clone(&stream), heads: Arc::clone(&heads) };
    (Wire { stream, heads, guard: HeadGuard::default(), spoiled: &[] }, watcher)
}

impl Watcher {
    /// Resolves when the client has closed its side.
    pub async fn closed(&self) {
        loop {
            match self.stream.ready(Interest::READABLE).await {
                Ok(ready) if ready.is_read_closed() => return,
                // bytes that hyper has not taken: more of a pipeline, looked at again in a moment
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(25)).await,
                Err(_) => return,
            }
        }
    }

    /// The next bytes begin a head.
    pub fn expect_head(&self) {
        self.heads.store(true, Ordering::Release);
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
            ready!(this.stream.poll_read_ready(cx))?;
            let before = buf.filled().len();
            match this.stream.try_read_buf(buf) {
                Ok(_) => {
                    let fresh = &buf.filled()[before..];
                    if this.heads.load(Ordering::Acquire) && this.guard.feed(fresh, &this.heads) {
                        buf.set_filled(before);
                        this.spoiled = SPOILED;
                        continue;
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
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
        let socket = socket2::SockRef::from(&*self.stream);
        match socket.shutdown(std::net::Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// Gathers a head and judges it once it is whole.
#[derive(Debug, Default)]
struct HeadGuard {
    head: Vec<u8>,
    http2: bool,
}

impl HeadGuard {
    /// Takes bytes of a head; true when it must be refused.
    fn feed(&mut self, bytes: &[u8], heads: &AtomicBool) -> bool {
        if self.http2 {
            return false;
        }
        let from = self.head.len().saturating_sub(3);
        let room = MAX_HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.http2 = self.head.starts_with(b"PRI * HTTP/2.0");
        let end = end_of_head(&self.head, from);
        if end.is_none() && !self.http2 && room > 0 {
            return has_bare_lf(&self.head);
        }
        let bad = !self.http2 && end.is_some_and(|end| is_ambiguous(&self.head[..end]));
        heads.store(false, Ordering::Release);
        self.head.clear();
        bad
    }
}

fn end_of_head(head: &[u8], from: usize) -> Option<usize> {
    let crlf = memmem::find(&head[from..], b"\r\n\r\n").map(|at| from + at + 4);
    let bare = memmem::find(&head[from..], b"\n\n").map(|at| from + at + 2);
    match (crlf, bare) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn has_bare_lf(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

fn is_ambiguous(head: &[u8]) -> bool {
    if has_bare_lf(head) {
        return true;
    }
    let named = |name: &[u8]| {
        head.split(|b| *b == b'\n')
            .any(|line| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name))
    };
    named(b"transfer-encoding:") && named(b"content-length:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(parts: &[&str]) -> bool {
        let heads = AtomicBool::new(true);
        let mut guard = HeadGuard::default();
        parts.iter().any(|part| guard.feed(part.as_bytes(), &heads))
    }

    #[test]
    fn heads_that_two_readers_read_differently_are_refused() {
        assert!(refuses(&["POST / HTTP/1.1\nhost: a\n\n"]));
        assert!(refuses(&["POST / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n"]));
        assert!(refuses(&["POST / HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\n"]));
        assert!(refuses(&[
            "POST / HTTP/1.1\r\nContent-Le",
            "ngth: 3\r\ntransfer-encoding: chunked\r",
            "\n\r\n"
        ]));
    }

    #[test]
    fn others_are_not_and_bodies_are_not_looked_at() {
        assert!(!refuses(&["POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na\nb"]));
        assert!(!refuses(&["POST / HTTP/1.1\r\nhost: a\r\n", "content-length: 3\r\n\r\n"]));
        assert!(!refuses(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]));
    }
}
