//! Requests off the wire: just enough HTTP/1.1 for the clients that a model server has. Bytes that are
//! not understood end the connection with a 400; nothing is guessed.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD_LIMIT: usize = 64 * 1024;
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// What a client may send ahead while an answer is under way.
const AHEAD_LIMIT: usize = 64 * 1024;

/// A connection: the socket and what was read from it and not yet used.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

/// One request, whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Request line and headers, with the blank line.
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Other,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The client is gone, or went in the middle of a request.
    Gone,
    /// It is no HTTP/1.1, or too much of it.
    Malformed(&'static str),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> ReadError {
        ReadError::Gone
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Wire {
        Wire { stream, buffer: Vec::with_capacity(8 * 1024) }
    }

    /// Reads the next request.
    pub(super) async fn request(&mut self) -> Result<Request, ReadError> {
        let head = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break Head::parse(&self.buffer[..end + 4])?;
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(ReadError::Malformed("the head is larger than 64 KiB"));
            }
            self.more().await?;
        };
        let bytes = self.take(head.len);
        if head.expects_continue && self.buffer.is_empty() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = match head.body {
            BodyLength::Known(length) => self.exactly(length).await?,
            BodyLength::Chunked => self.chunks().await?,
        };
        Ok(Request { head: bytes, body, method: head.method, path: head.path, keep_alive: head.keep_alive })
    }

    /// Comes back when the client has closed its side or broken the connection. What it sends meanwhile
    /// is kept; past the limit nothing more is read, so the end is not seen either.
    pub(super) async fn client_left(&mut self) {
        while self.buffer.len() < AHEAD_LIMIT {
            if self.more().await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn more(&mut self) -> Result<(), ReadError> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ReadError::Gone),
            _ => Ok(()),
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        if length > BODY_LIMIT {
            return Err(ReadError::Malformed("the body is larger than 64 MiB"));
        }
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.take(length))
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, ReadError> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size =
                std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
            let size = size.ok_or(ReadError::Malformed("a chunk has no size"))?;
            if size == 0 {
                // trailers, down to the blank line
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            if body.len().saturating_add(size) > BODY_LIMIT {
                return Err(ReadError::Malformed("the body is larger than 64 MiB"));
            }
            body.extend_from_slice(&self.exactly(size).await?);
            if !self.line().await?.is_empty() {
                return Err(ReadError::Malformed("a chunk is longer than its size"));
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, ReadError> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let mut line = self.take(end + 2);
                line.truncate(end);
                return Ok(line);
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(ReadError::Malformed("a line is longer than 64 KiB"));
            }
            self.more().await?;
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        self.buffer.drain(..length).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    len: usize,
    method: Method,
    path: String,
    keep_alive: bool,
    expects_continue: bool,
    body: BodyLength,
}

#[derive(Debug, PartialEq, Eq)]
enum BodyLength {
    Known(usize),
    Chunked,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Head, ReadError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Malformed("the head is not UTF-8"))?;
        let mut lines = text.split("\r\n");
        let mut head = Head::request_line(lines.next().unwrap_or_default(), bytes.len())?;
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(ReadError::Malformed("a header has no colon"))?;
            head.header(name, value.trim())?;
        }
        Ok(head)
    }

    fn request_line(line: &str, len: usize) -> Result<Head, ReadError> {
        let malformed = ReadError::Malformed("the request line is not METHOD PATH HTTP/1.1");
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed);
        };
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            _ => Method::Other,
        };
        let keep_alive = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(malformed),
        };
        let path = target.split('?').next().unwrap_or_default().to_owned();
        Ok(Head { len, method, path, keep_alive, expects_continue: false, body: BodyLength::Known(0) })
    }

    fn header(&mut self, name: &str, value: &str) -> Result<(), ReadError> {
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| ReadError::Malformed("content-length is not a number"))?;
            self.body = BodyLength::Known(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(ReadError::Malformed("transfer-encoding is not chunked"));
            }
            self.body = BodyLength::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            self.keep_alive = !value.eq_ignore_ascii_case("close") && self.keep_alive;
        } else if name.eq_ignore_ascii_case("expect") {
            self.expects_continue = value.eq_ignore_ascii_case("100-continue");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_its_body_ends() {
        let known = Head::parse(b"POST /v1/x?y=1 HTTP/1.1\r\nContent-Length: 12\r\n\r\n").unwrap();
        assert_eq!(
            (known.body, known.path.as_str(), known.keep_alive),
            (BodyLength::Known(12), "/v1/x", true)
        );
        let chunked =
            Head::parse(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")
                .unwrap();
        assert_eq!((chunked.body, chunked.keep_alive), (BodyLength::Chunked, false));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let heads: [&[u8]; 4] = [
            b"hello\r\n\r\n",
            b"GET / SPDY/3\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        ];
        for head in heads {
            assert!(matches!(Head::parse(head), Err(ReadError::Malformed(_))), "{head:?}");
        }
    }
}
