//! Keeps other sites' pages, which a browser lets speak to any address, from spending and reading here.
//!
//! A page sends what needs no permission (a form, an untyped body) wherever it likes, and says where it comes from in
//! `origin` and `sec-fetch-site`. And a page may have its own name resolve to a loopback address (DNS rebinding): then it
//! says that name in `host`. Where a key is asked for, neither gets it anywhere; where none is, both are looked at.

use std::net::IpAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};

use crate::body::Body;
use crate::error::Failure;

/// Which pages may speak to a listener.
#[derive(Debug, Clone, Copy)]
pub struct Pages<'c> {
    /// Their origins, as configured.
    pub origins: &'c [String],
    /// Pages that this machine serves on a loopback name too: those of who develops an application here.
    pub of_this_machine: bool,
}

impl Pages<'_> {
    /// The origin of a page that may speak to this listener; `None`: no page asks, or one that may not.
    pub fn allowed<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let listed =
            || self.origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes());
        (self.of_this_machine && is_of_this_machine(origin) || listed()).then_some(origin)
    }

    /// Refuses what a page of another site does.
    pub fn refuse_foreign(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if is_foreign(headers) && self.allowed(headers).is_none() {
            Err(Failure::ForeignPage)
        } else {
            Ok(())
        }
    }

    /// The answer to a browser that asks what a page may do: everything, if it may ask at all.
    pub fn preflight(&self, head: &Parts) -> Result<Response<Body>, Failure> {
        if self.allowed(&head.headers).is_none() {
            return Err(Failure::ForeignPage);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
        // named one by one: `*` does not cover `authorization`
        let asked = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            asked.unwrap_or_else(|| HeaderValue::from_static("content-type")),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Ok(response)
    }
}

/// Whether a page comes from a server on a loopback name: other machines have none.
fn is_of_this_machine(origin: &HeaderValue) -> bool {
    let authority =
        origin.to_str().ok().and_then(|text| text.strip_prefix("http://").or(text.strip_prefix("https://")));
    authority.is_some_and(|authority| {
        let name = without_port(authority);
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// Whether a page of another site asks, as its browser says.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |value: &'_ HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let site = headers.get("sec-fetch-site").map(text);
    match (site.as_deref(), headers.get(ORIGIN).map(text)) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = headers.get(HOST).map(text).unwrap_or_default();
            origin.split_once("://").is_none_or(|(_, authority)| authority != host)
        }
        (None, None) => false,
    }
}

/// Whether a request names this machine by a literal address, by a name without a dot such as `localhost`, which no
/// other site can have, or by one of `hosts`. A request without a name is none of a browser's.
pub fn names_this_machine(head: &Parts, hosts: &[String]) -> bool {
    let of_uri = head.uri.authority().map(Authority::as_str);
    let Some(named) = of_uri.or_else(|| head.headers.get(HOST)?.to_str().ok()) else {
        return !head.headers.contains_key(HOST);
    };
    let name = without_port(named).trim_end_matches('.');
    !name.contains('.')
        || name.parse::<IpAddr>().is_ok()
        || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
}

/// The host of an authority, without brackets.
fn without_port(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

/// Whether a browser asks what a page may do.
pub fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Headers of an answer that a page may read, besides those that it always may.
const EXPOSED: &str = "x-request-id, x-mixgate-decision, x-mixgate-expert, x-mixgate-model, x-mixgate-domain, \
                       x-mixgate-reason, x-mixgate-confidence, x-mixgate-attempts, x-mixgate-cost-usd, \
                       x-mixgate-saved-usd, retry-after";

/// Lets the page that asked read an answer. `origin`: its own, once it is allowed.
pub fn let_read(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(VARY, HeaderValue::from(HeaderName::from_static("origin")));
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(pairs: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::post("/v1/chat/completions");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_name_that_only_resolves_to_this_machine_is_not_its_own() {
        let hosts = ["gateway.internal".to_owned()];
        for (host, own) in [
            ("127.0.0.1:8080", true),
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("localhost.", true),
            ("[::1]:8080", true),
            ("10.0.0.7", true),
            ("Gateway.internal:80", true),
            ("evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("gateway:8080", true),
        ] {
            assert_eq!(names_this_machine(&head(&[("host", host)]), &hosts), own, "{host}");
        }
        assert!(names_this_machine(&head(&[]), &hosts), "HTTP/1.0 names nobody");
        let absolute = Request::post("http://evil.example/v1").header("host", "localhost").body(()).unwrap();
        assert!(!names_this_machine(&absolute.into_parts().0, &hosts));
    }

    #[test]
    fn another_sites_page_does_nothing_unless_it_is_listed() {
        let here = ("host", "127.0.0.1:9090");
        let origins = ["https://app.example".to_owned()];
        let listed = Pages { origins: &origins, of_this_machine: false };
        for (more, passes) in [
            (vec![], true),
            (vec![("origin", "http://127.0.0.1:9090")], true),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:9090")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("origin", "http://evil.example")], false),
            (vec![("origin", "null")], false),
            (vec![("origin", "http://127.0.0.1:3000")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("origin", "https://app.example"), ("sec-fetch-site", "cross-site")], true),
            (vec![("origin", "https://app.example.evil.example")], false),
        ] {
            let all = head(&[&[here][..], &more].concat());
            assert_eq!(listed.refuse_foreign(&all.headers).is_ok(), passes, "{more:?}");
        }
        let any = head(&[here, ("origin", "http://evil.example")]);
        let origins = ["*".to_owned()];
        assert!(Pages { origins: &origins, ..listed }.refuse_foreign(&any.headers).is_ok());
    }

    #[test]
    fn a_page_that_this_machine_serves_is_its_own_where_that_is_wanted() {
        for (origin, own) in [
            ("http://localhost:5173", true),
            ("https://127.0.0.1", true),
            ("http://[::1]:3000", true),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://192.168.0.7", false),
            ("file://localhost", false),
            ("null", false),
        ] {
            let asked =
                head(&[("host", "127.0.0.1:8080"), ("origin", origin), ("sec-fetch-site", "cross-site")]);
            for of_this_machine in [true, false] {
                let pages = Pages { origins: &[], of_this_machine };
                let passes = pages.refuse_foreign(&asked.headers).is_ok();
                assert_eq!(passes, own && of_this_machine, "{origin}");
            }
        }
    }

    #[test]
    fn a_preflight_is_answered_for_listed_pages_only() {
        let asked = head(&[
            ("origin", "https://app.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ]);
        let origins = ["https://app.example".to_owned()];
        let answer = Pages { origins: &origins, of_this_machine: false }.preflight(&asked).unwrap();
        assert_eq!(answer.headers()["access-control-allow-headers"], "authorization,content-type");
        assert!(Pages { origins: &[], of_this_machine: true }.preflight(&asked).is_err());
    }
}
