//! Answers that come compressed although the request asked for none: a proxy or CDN in front of a model does that.
//! gzip and deflate are undone, because a stream has to be read; anything else goes on with its `content-encoding`.
//!
//! A few bytes can stand for a thousand times as many, so only as much is undone as the next reader takes: one
//! step gives at most two windows of 32 KiB, and the rest of the input waits.
//!
//! gzip may have several members, one behind another, whose texts are one (RFC 1952 §2.2): some servers end one with
//! every event.

use std::io::{self, Write};

use bytes::{Buf, Bytes};
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

/// What was done to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Nothing, or something that is no compression (`identity`, `utf-8`).
    None,
    /// gzip.
    Gzip,
    /// deflate: with zlib's frame, as the standard says, or without, as some servers do it.
    Deflate,
    /// A compression that is not undone here.
    Foreign,
}

impl Coding {
    /// What a head says of its body.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::None;
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.to_str().unwrap_or_default().split(',') {
                let coding = Self::named(&name.trim().to_ascii_lowercase());
                // one on top of another is nobody's habit
                found = if found == Self::None || coding == Self::None {
                    coding.or(found)
                } else {
                    Self::Foreign
                };
            }
        }
        found
    }

    fn named(name: &str) -> Self {
        match name {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" | "zstd" | "compress" | "x-compress" | "dcb" | "dcz" => Self::Foreign,
            _ => Self::None,
        }
    }

    fn or(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

/// Whether a client that sent these headers can read a body with that `content-encoding`.
pub fn is_accepted(asked: &HeaderMap, answered: &HeaderMap) -> bool {
    let accepted = |name: &str| {
        let list = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        list.flat_map(|value| value.split(',')).any(|item| {
            let mut parts = item.split(';');
            let named = parts.next().is_some_and(|n| n.trim().eq_ignore_ascii_case(name) || n.trim() == "*");
            let refused = parts.any(|p| {
                p.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0))
            });
            named && !refused
        })
    };
    let codings = answered.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).all(|name| accepted(name.trim()))
}

/// Undoes a compression, a step at a time.
#[derive(Debug)]
pub struct Inflater {
    decoder: Decoder,
    input: Bytes,
    taken: u64,
}

#[derive(Debug)]
enum Decoder {
    Gzip(GzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Raw(DeflateDecoder<Vec<u8>>),
    /// deflate, of which the first two bytes tell the kind: zlib's frame begins with a number that 31 divides.
    Unknown(Vec<u8>),
    /// Behind the end: zeros, with which some fill up a block.
    Filler,
}

impl Inflater {
    /// `None` for what is not undone.
    pub fn new(coding: Coding) -> Option<Self> {
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(GzDecoder::new(Vec::new())),
            Coding::Deflate => Decoder::Unknown(Vec::new()),
            Coding::None | Coding::Foreign => return None,
        };
        Some(Self { decoder, input: Bytes::new(), taken: 0 })
    }

    /// Takes the next bytes; all before have been read.
    pub fn feed(&mut self, data: Bytes) {
        self.taken += data.len() as u64;
        self.input = data;
        if let Decoder::Unknown(first) = &mut self.decoder {
            first.extend_from_slice(&self.input);
            self.input = Bytes::new();
            if let [a, b, ..] = first[..] {
                self.input = Bytes::from(std::mem::take(first));
                let zlib = a & 0x0F == 8 && u16::from_be_bytes([a, b]).is_multiple_of(31);
                self.decoder = if zlib {
                    Decoder::Zlib(ZlibDecoder::new(Vec::new()))
                } else {
                    Decoder::Raw(DeflateDecoder::new(Vec::new()))
                };
            }
        }
    }

    /// What the bytes taken so far stand for, some of it at a time; `None`: more must be fed.
    ///
    /// # Errors
    /// If they are not what they were said to be.
    pub fn step(&mut self) -> io::Result<Option<Bytes>> {
        while !self.input.is_empty() {
            let taken = self.decoder.write(&self.input)?;
            self.input.advance(taken);
            let has_ended = taken == 0;
            if has_ended {
                self.decoder.finish()?;
            } else if self.input.is_empty() {
                // an event must not wait for the frame behind it
                self.decoder.flush()?;
            }
            let out = self.decoder.out();
            if has_ended {
                self.decoder = self.decoder.behind_end(self.input[0])?;
            }
            if !out.is_empty() {
                return Ok(Some(Bytes::from(out)));
            }
        }
        Ok(None)
    }

    /// The body has ended.
    ///
    /// # Errors
    /// If the compressed text has not.
    pub fn finish(&mut self) -> io::Result<()> {
        match &mut self.decoder {
            // an empty body is empty, whatever it was said to be
            _ if self.taken == 0 => Ok(()),
            decoder => decoder.finish(),
        }
    }
}

impl Decoder {
    /// What reads on where its text has ended and this byte follows.
    fn behind_end(&self, next: u8) -> io::Result<Self> {
        match self {
            _ if next == 0 => Ok(Self::Filler),
            Self::Gzip(_) => Ok(Self::Gzip(GzDecoder::new(Vec::new()))),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Raw(decoder) => decoder.try_finish(),
            Self::Unknown(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Filler => Ok(()),
        }
    }

    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.write(input),
            Self::Zlib(decoder) => decoder.write(input),
            Self::Raw(decoder) => decoder.write(input),
            Self::Unknown(_) => Ok(0),
            Self::Filler => Ok(input.iter().take_while(|byte| **byte == 0).count()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.flush(),
            Self::Zlib(decoder) => decoder.flush(),
            Self::Raw(decoder) => decoder.flush(),
            Self::Unknown(_) | Self::Filler => Ok(()),
        }
    }

    fn out(&mut self) -> Vec<u8> {
        match self {
            Self::Gzip(decoder) => std::mem::take(decoder.get_mut()),
            Self::Zlib(decoder) => std::mem::take(decoder.get_mut()),
            Self::Raw(decoder) => std::mem::take(decoder.get_mut()),
            Self::Unknown(_) | Self::Filler => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;

    fn headers(name: &http::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// The text, and the longest piece in which it came.
    fn undone(coding: Coding, packed: &[u8], cut: usize) -> io::Result<(Vec<u8>, usize)> {
        let mut inflater = Inflater::new(coding).unwrap();
        let (mut text, mut longest) = (Vec::new(), 0);
        for frame in packed.chunks(cut) {
            inflater.feed(Bytes::copy_from_slice(frame));
            while let Some(piece) = inflater.step()? {
                longest = longest.max(piece.len());
                text.extend_from_slice(&piece);
            }
        }
        inflater.finish().map(|()| (text, longest))
    }

    #[test]
    fn both_codings_are_undone_however_they_are_cut() {
        let text = "an answer ".repeat(20_000);
        let text = text.as_bytes();
        let packed =
            [(Coding::Gzip, gzip(text)), (Coding::Deflate, zlib(text)), (Coding::Deflate, raw(text))];
        for (coding, packed) in packed {
            for cut in [1, 2, 7, packed.len()] {
                assert!(undone(coding, &packed, cut).unwrap().0 == text, "{coding:?} in pieces of {cut}");
            }
            assert!(undone(coding, &packed[..packed.len() - 1], 64).is_err(), "{coding:?} without its end");
        }
    }

    #[test]
    fn a_bomb_is_undone_in_small_steps() {
        let packed = gzip(&vec![0; 64 << 20]);
        assert!(packed.len() < 128 << 10);
        let (text, longest) = undone(Coding::Gzip, &packed, packed.len()).unwrap();
        assert_eq!(text.len(), 64 << 20);
        assert!(longest <= 128 << 10, "a step gave {longest} bytes");
    }

    #[test]
    fn what_is_flushed_comes_out_before_the_next_frame() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut inflater = Inflater::new(Coding::Gzip).unwrap();
        for event in ["data: one\n\n", "data: two\n\n"] {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            inflater.feed(Bytes::from(std::mem::take(encoder.get_mut())));
            let mut came = Vec::new();
            while let Some(piece) = inflater.step().unwrap() {
                came.extend_from_slice(&piece);
            }
            assert_eq!(came, event.as_bytes());
        }
    }

    #[test]
    fn members_of_gzip_are_one_text_however_they_are_cut() {
        let text = "an answer ".repeat(20_000);
        let (first, rest) = text.as_bytes().split_at(150_000);
        let packed = [gzip(first), gzip(b""), gzip(rest)].concat();
        let filled = [&packed[..], &[0; 40]].concat();
        for cut in [1, 2, 7, packed.len()] {
            assert!(undone(Coding::Gzip, &packed, cut).unwrap().0 == text.as_bytes(), "in pieces of {cut}");
            assert!(undone(Coding::Gzip, &filled, cut).unwrap().0 == text.as_bytes(), "filled up");
            assert!(undone(Coding::Gzip, &packed[..packed.len() - 1], cut).is_err(), "without its end");
        }
        let mut wrong = packed;
        let checksum = gzip(first).len() - 8;
        wrong[checksum] ^= 1;
        assert!(undone(Coding::Gzip, &wrong, 64).is_err(), "the first member's checksum");
    }

    #[test]
    fn a_member_for_each_event_comes_out_before_the_next() {
        let mut inflater = Inflater::new(Coding::Gzip).unwrap();
        for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            inflater.feed(Bytes::from(gzip(event.as_bytes())));
            let mut came = Vec::new();
            while let Some(piece) = inflater.step().unwrap() {
                came.extend_from_slice(&piece);
            }
            assert_eq!(came, event.as_bytes());
        }
        inflater.finish().unwrap();
    }

    #[test]
    fn what_is_not_compressed_is_an_error_and_filler_behind_the_end_is_none() {
        assert!(undone(Coding::Gzip, b"{\"choices\":[]}", 99).is_err());
        assert!(undone(Coding::Deflate, b"{", 99).is_err());
        assert_eq!(undone(Coding::Gzip, b"", 99).unwrap().0, b"");
        let packed = [&gzip(b"text")[..], &[0; 40]].concat();
        for cut in [1, packed.len()] {
            assert_eq!(undone(Coding::Gzip, &packed, cut).unwrap().0, b"text");
        }
        for (coding, packed) in
            [(Coding::Gzip, gzip(b"text")), (Coding::Deflate, zlib(b"text")), (Coding::Deflate, raw(b"text"))]
        {
            for behind in [&b"x"[..], b"\0\0x", b"\x1fx"] {
                let packed = [&packed[..], behind].concat();
                for cut in [1, packed.len()] {
                    assert!(undone(coding, &packed, cut).is_err(), "{coding:?} with {behind:?} behind it");
                }
            }
        }
    }

    #[test]
    fn a_head_says_what_was_done() {
        let coding = |values: &[&'static str]| Coding::of(&headers(&CONTENT_ENCODING, values));
        assert_eq!(coding(&[]), Coding::None);
        for plain in ["identity", "", "utf-8", "none"] {
            assert_eq!(coding(&[plain]), Coding::None, "{plain}");
        }
        assert_eq!((coding(&["GZIP"]), coding(&["x-gzip"])), (Coding::Gzip, Coding::Gzip));
        assert_eq!((coding(&["deflate"]), coding(&["identity, gzip"])), (Coding::Deflate, Coding::Gzip));
        for foreign in ["br", "zstd", "gzip, gzip", "br, gzip"] {
            assert_eq!(coding(&[foreign]), Coding::Foreign, "{foreign}");
        }
        assert_eq!(coding(&["gzip", "br"]), Coding::Foreign);
    }

    #[test]
    fn a_client_says_what_it_can_read() {
        let can = |accepts: &[&'static str], coding: &'static str| {
            is_accepted(&headers(&ACCEPT_ENCODING, accepts), &headers(&CONTENT_ENCODING, &[coding]))
        };
        assert!(
            can(&["gzip, deflate, br, zstd"], "br") && can(&["*"], "br") && can(&["gzip", "BR;q=0.5"], "br")
        );
        assert!(!can(&[], "br") && !can(&["gzip, deflate"], "br") && !can(&["br;q=0"], "br"));
        assert!(!can(&["br"], "br, gzip"));
    }
}
