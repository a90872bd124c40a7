//! Who asks: a key becomes a `Caller`, or the request ends here.
//!
//! Keys are random strings, so one SHA-256 is enough; what is kept is the hash, and comparing goes through every
//! stored hash in constant time, whether or not one has matched already.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::error::Failure;
use crate::snapshot::Snapshot;

/// The hash of a key, as configurations keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &str) -> Self {
        Self(sha256(key.as_bytes()))
    }

    /// Reads `sha256:` and 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").filter(|d| d.len() == 64)?;
        // `from_str_radix` would take a sign
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    fn same(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl std::fmt::Display for KeyHash {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "sha256:{}", hex(&self.0))
    }
}

/// Who asks. `None`: anyone, where no tenant is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller(pub Option<usize>);

/// Finds the tenant of the request's key; without tenants everyone is welcome.
pub fn check(snapshot: &Snapshot, headers: &HeaderMap) -> Result<Caller, Failure> {
    if snapshot.tenants.is_empty() {
        return Ok(Caller(None));
    }
    let key = key_of(headers).ok_or(Failure::NoApiKey)?;
    let given = KeyHash::of(key);
    let mut found = None;
    for (index, tenant) in snapshot.tenants.iter().enumerate() {
        if matches(&given, &tenant.keys) {
            found = Some(index);
        }
    }
    found.map(|index| Caller(Some(index))).ok_or(Failure::WrongApiKey)
}

/// Whether the request carries one of these keys; for the admin listener.
pub fn carries_one_of(headers: &HeaderMap, keys: &[KeyHash]) -> bool {
    key_of(headers).is_some_and(|key| matches(&KeyHash::of(key), keys))
}

fn matches(given: &KeyHash, keys: &[KeyHash]) -> bool {
    keys.iter().fold(Choice::from(0), |found, key| found | given.same(key)).into()
}

/// A Bearer key, else that of `x-api-key`: proxies put credentials of their own into `authorization`.
fn key_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.trim_start().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok().map(str::trim))
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_being_written_and_read() {
        let hash = KeyHash::of("sk-one");
        assert_eq!(KeyHash::parse(&hash.to_string()), Some(hash));
        assert_ne!(KeyHash::of("sk-two"), hash);
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let long = format!("sha256:{}", "g".repeat(64));
        let signed = format!("sha256:{}", "+1".repeat(32));
        for text in ["", "sk-one", "sha256:", "sha256:00", long.as_str(), signed.as_str()] {
            assert_eq!(KeyHash::parse(text), None, "{text}");
        }
        let lower = format!("sha256:{}", "a1".repeat(32));
        assert_eq!(KeyHash::parse(&lower.to_uppercase().replace("SHA", "sha")), KeyHash::parse(&lower));
        assert!(KeyHash::parse(&lower).is_some());
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", "k1".parse().unwrap());
        assert_eq!(key_of(&headers), Some("k1"));
        headers.insert(AUTHORIZATION, "bearer  k2".parse().unwrap());
        assert_eq!(key_of(&headers), Some("k2"));
        for other in ["Basic k2", "Bearer", "k2", "AWS4-HMAC-SHA256 Credential=x"] {
            headers.insert(AUTHORIZATION, other.parse().unwrap());
            assert_eq!(key_of(&headers), Some("k1"), "{other} is no key of ours");
        }
        headers.remove("x-api-key");
        assert_eq!(key_of(&headers), None);
    }
}
