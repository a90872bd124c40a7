//! An upstream's socket, read in small pieces: what was read and not yet taken by a client is memory of that client,
//! and hyper makes its buffer larger for as long as a read fills it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes of one read: one less than hyper's second size, so that it stays there.
const SIP: usize = 16 * 1024 - 1;

thread_local! {
    /// Where a read goes that has more room than it may use: to make that room smaller, all of it would be zeroed.
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIP].into_boxed_slice());
}

/// The socket.
#[derive(Debug)]
pub(super) struct Sips<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Sips<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() <= SIP {
            return Pin::new(&mut self.0).poll_read(cx, buf);
        }
        ROOM.with_borrow_mut(|room| {
            let mut sip = ReadBuf::new(room);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut sip))?;
            buf.put_slice(sip.filled());
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sips<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_read_is_small_however_much_is_there() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        near.write_all(&sent).await.unwrap();
        drop(near);
        let (mut sips, mut room, mut came) = (Sips(far), vec![0; 64 * 1024], Vec::new());
        loop {
            let count = sips.read(&mut room).await.unwrap();
            assert!(count <= SIP, "{count}");
            came.extend_from_slice(&room[..count]);
            if count == 0 {
                break;
            }
        }
        assert!(came == sent);
    }
}
