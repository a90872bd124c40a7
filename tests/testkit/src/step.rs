//! What an upstream does, step by step, and builders for what it usually does.

use std::time::Duration;

/// One thing that an upstream does with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes, in one write.
    Send(Vec<u8>),
    /// Do nothing for so long.
    Sleep(Duration),
    /// Read one more request.
    Read,
    /// Close the connection (FIN).
    Close,
    /// Reset the connection (RST).
    Reset,
    /// Do nothing until the other side closes.
    Hold,
}

impl Step {
    /// Sends bytes or text.
    pub fn send(bytes: impl Into<Vec<u8>>) -> Step {
        Step::Send(bytes.into())
    }
}

/// A JSON answer with its length.
pub fn json(code: u16, body: &str) -> Vec<Step> {
    answer(code, &[("content-type", "application/json")], body)
}

/// An empty answer of this status with these headers.
pub fn status(code: u16, headers: &[(&str, &str)]) -> Vec<Step> {
    answer(code, headers, "")
}

/// Any answer with its length.
pub fn answer(code: u16, headers: &[(&str, &str)], body: &str) -> Vec<Step> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    vec![Step::send(format!("HTTP/1.1 {code} Status\r\n{headers}content-length: {length}\r\n\r\n{body}"))]
}

/// A complete stream: each text becomes the data of an event, in a chunk and a write of its own.
pub fn sse(events: &[&str]) -> Vec<Step> {
    sse_then(events, [Step::send("0\r\n\r\n")])
}

/// A stream that goes on in its own way: `sse_then(&["{}"], [Step::Reset])`.
pub fn sse_then(events: &[&str], then: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let chunks = events.iter().map(|event| chunk(format!("data: {event}\n\n")));
    [sse_head()].into_iter().chain(chunks).chain(then).collect()
}

/// The head of a chunked event stream.
pub fn sse_head() -> Step {
    Step::send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
}

/// One chunk with these bytes.
pub fn chunk(bytes: impl AsRef<[u8]>) -> Step {
    let bytes = bytes.as_ref();
    Step::Send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}
