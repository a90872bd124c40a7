//! A raw HTTP/1.1 client: it sends exactly the given bytes and shows exactly what comes back. Every wait
//! ends after [`PATIENCE`] with a panic that says what did not come.

use crate::decode::{Framing, Next, find};
use crate::events::events;
use crate::reply::{Body, End, Head, Reply};
use crate::wait::{PATIENCE, within};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room for each read, so that large bodies take few.
const READ_AT_ONCE: usize = 64 * 1024;

/// One connection. Dropping it closes it.
pub struct Client {
    stream: TcpStream,
    /// Read and not yet given to anybody.
    buffer: Vec<u8>,
    framing: Framing,
    /// Body bytes of events that are not complete.
    half_event: Vec<u8>,
    end: Option<End>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = within(PATIENCE, "connecting", TcpStream::connect(address)).await;
        let stream = stream.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        let _ = stream.set_nodelay(true);
        Client { stream, buffer: Vec::new(), framing: Framing::Over, half_event: Vec::new(), end: None }
    }

    /// Sends these bytes. What the other side makes of them shows when it is read, so a connection that
    /// is already broken is no reason to panic here.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within(PATIENCE, "sending", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Sends a POST with this JSON and its length.
    pub async fn post_json(&mut self, path: &str, headers: &[(&str, &str)], body: &str) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// Reads the head of the next answer; its body is next.
    ///
    /// # Panics
    /// If the connection ends before.
    pub async fn head(&mut self) -> Head {
        let end = loop {
            match find(&self.buffer, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more_of_head().await,
            }
        };
        let raw: Vec<u8> = self.buffer.drain(..end).collect();
        let head = Head::parse(&raw);
        self.framing = Framing::of(&head);
        self.half_event.clear();
        self.end = None;
        head
    }

    /// The next frame of the body: one chunk, or what one read gave where there are no chunks. `None`
    /// when the body is over; [`Client::end`] says how.
    pub async fn frame(&mut self) -> Option<Vec<u8>> {
        while self.end.is_none() {
            match self.framing.next(&mut self.buffer) {
                Next::Frame(frame) => return Some(frame),
                Next::Over => self.end = Some(End::Complete),
                Next::Nonsense(_) => self.end = Some(End::Nonsense),
                Next::More => {
                    self.end = self.more("more of a body").await.err().map(|broken| self.ended_by(&broken));
                }
            }
        }
        None
    }

    /// The rest of the body.
    pub async fn body(&mut self) -> Body {
        let mut bytes = std::mem::take(&mut self.half_event);
        while let Some(frame) = self.frame().await {
            bytes.extend(frame);
        }
        Body { bytes, end: self.end.unwrap_or(End::Complete) }
    }

    /// The data of the next server-sent event. `None` when the body is over.
    pub async fn event(&mut self) -> Option<String> {
        loop {
            if let Some(event) = self.complete_event() {
                return Some(event);
            }
            let frame = self.frame().await?;
            self.half_event.extend(frame);
        }
    }

    /// How the body ended, if it did.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The next answer, whole.
    pub async fn reply(&mut self) -> Reply {
        let Head { status, headers, .. } = self.head().await;
        let Body { bytes, end } = self.body().await;
        Reply { status, headers, body: bytes, end }
    }

    /// Waits until the other side closes or resets the connection; what it sends before is given.
    pub async fn closed(&mut self) -> Vec<u8> {
        while self.more("the connection to close").await.is_ok() {}
        std::mem::take(&mut self.buffer)
    }

    /// Closes the sending half only.
    pub async fn finish_sending(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Leaves with a reset (RST) where dropping would close (FIN).
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a connected socket has a linger option");
    }

    async fn more_of_head(&mut self) {
        if let Err(broken) = self.more("the head of an answer").await {
            let got = String::from_utf8_lossy(&self.buffer);
            panic!(
                "the connection ended ({broken:?}) where the head of an answer was awaited; it sent {got:?}"
            );
        }
    }

    async fn more(&mut self, what: &str) -> Result<(), Broken> {
        self.buffer.reserve(READ_AT_ONCE);
        match within(PATIENCE, what, self.stream.read_buf(&mut self.buffer)).await {
            Ok(0) => Err(Broken::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(Broken::Failed(error.kind())),
        }
    }

    fn ended_by(&self, broken: &Broken) -> End {
        match broken {
            Broken::Closed if self.framing == Framing::Close => End::Complete,
            Broken::Closed => End::Cut,
            Broken::Failed(_) => End::Reset,
        }
    }

    fn complete_event(&mut self) -> Option<String> {
        loop {
            let end = blank_line(&self.half_event)?;
            let block: Vec<u8> = self.half_event.drain(..end).collect();
            // a block of comments only is no event
            if let Some(event) = events(&block).pop() {
                return Some(event);
            }
        }
    }
}

#[derive(Debug)]
enum Broken {
    Closed,
    Failed(#[expect(dead_code, reason = "it is shown in the panic")] io::ErrorKind),
}

/// Where the first block ends, with its blank line.
fn blank_line(bytes: &[u8]) -> Option<usize> {
    let ends = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"];
    ends.iter().filter_map(|end| Some(find(bytes, end)? + end.len())).min()
}

/// Posts JSON on a connection of its own.
pub async fn post_json(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut client = Client::connect(address).await;
    client.post_json(path, headers, body).await;
    client.reply().await
}

/// Gets a path on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Reply {
    let mut client = Client::connect(address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    client.reply().await
}
