//! Keeps other sites' pages, which a browser lets speak to any address, from reading and doing things here.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;

use crate::error::Failure;

/// Where no key is asked for, a page could reach this listener under its own name (DNS rebinding): what is not for
/// machines is told only to who names it by a loopback address.
pub(super) fn named_by_loopback(path: &str, headers: &HeaderMap) -> Result<(), Failure> {
    if matches!(path, "/metrics" | "/status") {
        return Ok(());
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if host.is_empty() || says_loopback(host) {
        return Ok(());
    }
    let why =
        "without `server.admin_keys` this is open to loopback addresses only: use 127.0.0.1 or localhost";
    Err(Failure::InvalidValue("host", why.to_owned()))
}

/// Whether a `host` is a loopback address as it stands: a name that only resolves to one is what must be kept out.
fn says_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_loopback_names_reach_what_has_no_key() {
        for (host, reaches) in [
            ("127.0.0.1:9090", true),
            ("localhost:9090", true),
            ("[::1]:9090", true),
            ("mixgate.example:9090", false),
            ("127.0.0.1.evil.example", false),
        ] {
            assert_eq!(
                named_by_loopback("/api/decisions", &headers(&[("host", host)])).is_ok(),
                reaches,
                "{host}"
            );
        }
        assert!(named_by_loopback("/metrics", &headers(&[("host", "mixgate.example")])).is_ok());
    }
}
