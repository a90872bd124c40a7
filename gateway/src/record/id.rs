//! Ids of requests and decisions.

use std::time::SystemTime;

use http::HeaderValue;
use serde::Serialize;

/// A UUID of version 7 (RFC 9562), as its 36 characters: milliseconds, then chance; sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id([u8; 36]);

impl Id {
    /// A fresh one.
    pub fn new(time: SystemTime) -> Self {
        let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let (chance, more) = (fastrand::u64(..), fastrand::u64(..));
        let high = millis << 16 | 0x7000 | chance & 0xfff;
        let low = 1 << 63 | more >> 2;
        let mut text = [b'-'; 36];
        let places = (0..36).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
        for (digit, at) in places.enumerate() {
            let half = if digit < 16 { high } else { low };
            let value = half >> (60 - digit % 16 * 4) & 0xf;
            text[at] = b"0123456789abcdef"[value as usize];
        }
        Self(text)
    }

    /// Its characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As a header.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7_that_sort_by_time_and_differ() {
        let at = |millis| Id::new(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        let id = at(0x0123_4567_89ab);
        assert!(id.as_str().starts_with("01234567-89ab-7"), "{id:?}");
        assert!(matches!(id.0[19], b'8' | b'9' | b'a' | b'b'), "{id:?}");
        assert!(at(1_000) < at(2_000));
        assert_ne!(at(1_000), at(1_000));
    }
}
