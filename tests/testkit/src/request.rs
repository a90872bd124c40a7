//! A request as an upstream got it, byte for byte.

use crate::decode::{Framing, Next, find};
use crate::reply::{Head, header};
use std::time::Instant;

/// One request that an upstream has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The request line, such as `POST /v1/chat/completions HTTP/1.1`.
    pub line: String,
    /// Names in lower case, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// The bytes of the head, with the blank line.
    pub head: Vec<u8>,
    /// The body, without chunk framing.
    pub body: Vec<u8>,
    /// On which connection it came, counted from 0.
    pub connection: usize,
    /// When its last byte was there.
    pub at: Instant,
}

impl Request {
    /// The method, such as `POST`.
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The path, with its query.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as text; what is not UTF-8 shows as `\u{fffd}`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Takes a whole request off the buffer, if there is one.
    pub(crate) fn take(buffer: &mut Vec<u8>, connection: usize) -> Option<Request> {
        let end = find(buffer, b"\r\n\r\n")? + 4;
        let (raw, mut rest) = (buffer[..end].to_vec(), buffer[end..].to_vec());
        let text = String::from_utf8_lossy(&raw).into_owned();
        let (line, _) = text.split_once("\r\n")?;
        // a response head with the same headers says how the body is framed
        let head = Head::parse(&[b"HTTP/1.1 200", &raw[line.len()..]].concat());
        let body = body(&head, &mut rest)?;
        *buffer = rest;
        let Head { headers, .. } = head;
        Some(Request { line: line.to_owned(), headers, head: raw, body, connection, at: Instant::now() })
    }
}

fn body(head: &Head, bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut framing = match Framing::of(head) {
        // a request that tells no length has no body
        Framing::Close => Framing::Over,
        framing => framing,
    };
    let mut body = Vec::new();
    loop {
        match framing.next(bytes) {
            Next::Frame(frame) => body.extend(frame),
            Next::Over => return Some(body),
            Next::More => return None,
            Next::Nonsense(text) => panic!("the gateway sent a chunk that is none: {text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_when_it_is_whole() {
        let whole = b"POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET";
        for length in 0..whole.len() - 3 {
            assert!(Request::take(&mut whole[..length].to_vec(), 0).is_none(), "{length}");
        }
        let mut buffer = whole.to_vec();
        let request = Request::take(&mut buffer, 4).unwrap();
        assert_eq!((request.method(), request.path(), request.text().as_str()), ("POST", "/x?y", "abc"));
        assert_eq!(
            (request.header("host"), request.connection, buffer.as_slice()),
            (Some("a"), 4, &b"GET"[..])
        );
    }

    #[test]
    fn a_chunked_body_is_joined() {
        let mut bytes =
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n".to_vec();
        assert_eq!(Request::take(&mut bytes, 0).unwrap().text(), "abc");
    }
}
