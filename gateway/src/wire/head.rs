//! Judges a head: where it ends, whether two readers could read it differently, and what stands behind it.

use memchr::{memchr_iter, memmem};

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A head.
    Head,
    /// A body of which this much is to come; 0: the message is whole.
    Body(u64),
    /// HTTP/2, or a chunked body, behind which the connection ends: all of it passes.
    Free,
}

/// Where a head ends, looked for from `from` on.
pub fn end_of_head(head: &[u8], from: usize) -> Option<usize> {
    let crlf = memmem::find(&head[from..], b"\r\n\r\n").map(|at| from + at + 4);
    let bare = memmem::find(&head[from..], b"\n\n").map(|at| from + at + 2);
    match (crlf, bare) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Whether an LF without its CR stands at or behind `from`.
pub fn has_bare_lf(head: &[u8], from: usize) -> bool {
    memchr_iter(b'\n', &head[from..]).any(|at| from + at == 0 || head[from + at - 1] != b'\r')
}

/// What stands behind this head; `None` where two readers could see different things.
pub fn stage_behind(head: &[u8]) -> Option<Stage> {
    if has_bare_lf(head, 0) {
        return None;
    }
    let value_of = |name: &[u8]| {
        let mut lines = head.split(|b| *b == b'\n').filter_map(move |line| {
            let (key, value) = line.split_at_checked(name.len())?;
            key.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
        });
        (lines.next(), lines.next().is_some())
    };
    match (value_of(b"content-length:"), value_of(b"transfer-encoding:")) {
        ((None, _), (None, _)) => Some(Stage::Body(0)),
        // `chunked` and nothing else: any other coding is one that the next reader may not know
        ((None, _), (Some(coding), false)) if coding.eq_ignore_ascii_case(b"chunked") => Some(Stage::Free),
        ((Some(length), false), (None, _)) => std::str::from_utf8(length).ok()?.parse().ok().map(Stage::Body),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_that_two_readers_read_differently_are_refused() {
        for head in [
            "POST / HTTP/1.1\nhost: a\n\n",
            "POST / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 3, 3\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding:\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(stage_behind(head.as_bytes()), None, "{head}");
        }
    }

    #[test]
    fn of_others_it_is_known_what_follows() {
        for (head, stage) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Stage::Body(0)),
            ("POST / HTTP/1.1\r\nCONTENT-length:  12 \r\n\r\n", Stage::Body(12)),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", Stage::Free),
            ("POST / HTTP/1.1\r\nTransfer-Encoding:\tChunked \r\n\r\n", Stage::Free),
        ] {
            assert_eq!(stage_behind(head.as_bytes()), Some(stage), "{head}");
        }
    }
}
