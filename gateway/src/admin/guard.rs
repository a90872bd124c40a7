//! Keeps other sites' pages, which a browser lets speak to any address, from reading and doing things here.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{HOST, HeaderValue, ORIGIN};
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

/// A request that does something must not come from a page of another site.
pub(super) fn from_here(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let site = headers.get("sec-fetch-site").map(text);
    let foreign = match (site.as_deref(), headers.get(ORIGIN).map(text)) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = headers.get(HOST).map(text).unwrap_or_default();
            origin.split_once("://").is_none_or(|(_, authority)| authority != host)
        }
        (None, None) => false,
    };
    if foreign {
        return Err(Failure::InvalidValue("origin", "a page of another site may not do this".to_owned()));
    }
    Ok(())
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

    #[test]
    fn another_sites_page_does_nothing() {
        let here = ("host", "127.0.0.1:9090");
        for (more, passes) in [
            (vec![], true),
            (vec![("origin", "http://127.0.0.1:9090")], true),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:9090")], true),
            (vec![("origin", "http://evil.example")], false),
            (vec![("origin", "null")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-site")], false),
        ] {
            let all = headers(&[&[here][..], &more].concat());
            assert_eq!(from_here(&all).is_ok(), passes, "{more:?}");
        }
    }
}
