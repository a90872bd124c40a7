//! Bodies as HTTP/1.1 frames them, read step by step so that a test sees each frame.

use crate::reply::Head;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes are still to come.
    Length(usize),
    Chunked,
    /// When the connection closes.
    Close,
    /// There is nothing more.
    Over,
}

/// What the bytes read so far hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Frame(Vec<u8>),
    /// The body is complete.
    Over,
    /// More bytes are needed.
    More,
    /// This is not how chunks look.
    Nonsense(String),
}

impl Framing {
    pub(crate) fn of(head: &Head) -> Framing {
        let chunked =
            head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if chunked {
            return Framing::Chunked;
        }
        if matches!(head.status, 100..=199 | 204 | 304) {
            return Framing::Over;
        }
        match head.header("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Framing::Length(length),
            None => Framing::Close,
        }
    }

    /// Takes the next frame off `buffer`: a chunk, or whatever is there of a body without chunks.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> Next {
        match self {
            Framing::Over | Framing::Length(0) => Next::Over,
            Framing::Chunked => self.chunk(buffer),
            _ if buffer.is_empty() => Next::More,
            Framing::Close => Next::Frame(std::mem::take(buffer)),
            Framing::Length(left) => {
                let frame: Vec<u8> = buffer.drain(..buffer.len().min(*left)).collect();
                *left -= frame.len();
                Next::Frame(frame)
            }
        }
    }

    fn chunk(&mut self, buffer: &mut Vec<u8>) -> Next {
        let Some(line) = find(buffer, b"\r\n") else { return Next::More };
        let text = String::from_utf8_lossy(&buffer[..line]).into_owned();
        let size = text.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else { return Next::Nonsense(text) };
        if size == 0 {
            return self.last_chunk(buffer, line);
        }
        let (start, end) = (line + 2, line + 2 + size);
        if buffer.len() < end + 2 {
            return Next::More;
        }
        if &buffer[end..end + 2] != b"\r\n" {
            return Next::Nonsense(text);
        }
        let frame = buffer[start..end].to_vec();
        buffer.drain(..end + 2);
        Next::Frame(frame)
    }

    /// Trailers, if any, down to the blank line.
    fn last_chunk(&mut self, buffer: &mut Vec<u8>, line: usize) -> Next {
        let Some(end) = find(&buffer[line..], b"\r\n\r\n") else { return Next::More };
        buffer.drain(..line + end + 4);
        *self = Framing::Over;
        Next::Over
    }
}

/// Where `needle` begins in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_one_by_one() {
        let mut buffer = b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nt: x\r\n\r\nnext".to_vec();
        let mut framing = Framing::Chunked;
        assert_eq!(framing.next(&mut buffer), Next::Frame(b"abc".to_vec()));
        assert_eq!(framing.next(&mut buffer), Next::Frame(b"d".to_vec()));
        assert_eq!((framing.next(&mut buffer), framing.next(&mut buffer)), (Next::Over, Next::Over));
        assert_eq!(buffer, b"next");
    }

    #[test]
    fn half_a_chunk_is_not_a_frame() {
        for bytes in ["", "3", "3\r\nab", "3\r\nabc\r", "0\r\n"] {
            assert_eq!(Framing::Chunked.next(&mut bytes.into()), Next::More, "{bytes:?}");
        }
        assert_eq!(Framing::Chunked.next(&mut b"hello\r\n".to_vec()), Next::Nonsense("hello".into()));
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let mut buffer = b"abcd".to_vec();
        let mut framing = Framing::Length(3);
        assert_eq!(
            (framing.next(&mut buffer), framing.next(&mut buffer)),
            (Next::Frame(b"abc".to_vec()), Next::Over)
        );
    }
}
