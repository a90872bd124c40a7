//! Addresses: those that are listened on, and those that are called. One that can only fail, or that leads back here, is
//! refused where it stands.

use std::collections::BTreeSet;

use http::Uri;

use super::{Check, Expert, Place, Spot, address};

/// What the gateway itself puts behind a base URL.
const PATHS: [&str; 3] = ["/chat/completions", "/completions", "/embeddings"];

impl Check<'_> {
    /// Both listeners need a port of their own.
    pub(super) fn listeners(&mut self) {
        let server = &self.config.server;
        let (Some(data), Some(admin)) = (address(&server.listen), address(&server.admin_listen)) else {
            return;
        };
        let every = |one: std::net::IpAddr, other: std::net::IpAddr| {
            one.is_unspecified() && one.is_ipv4() == other.is_ipv4()
        };
        let (one, other) = (data.ip(), admin.ip());
        if data.port() != 0
            && data.port() == admin.port()
            && (one == other || every(one, other) || every(other, one))
        {
            let key = |key: &str| self.tree.get("server").and_then(|s| s.get(key)).map(|s| s.place);
            let place = key("listen").max(key("admin_listen")).unwrap_or_default();
            let what = format!("`listen` and `admin_listen` are the same port, `{}`", server.admin_listen);
            self.faults.push(place, what, "give each its own: 127.0.0.1:8080 and 127.0.0.1:9090");
        }
    }

    /// Where an expert is found.
    pub(super) fn addresses(&mut self, expert: &Expert, spot: &Spot) {
        let name = &expert.name;
        match (&expert.base_url, expert.endpoints.is_empty()) {
            (None, true) if spot.get("base_url").is_none() && spot.get("endpoints").is_none() => {
                let help = "base_url: http://127.0.0.1:8001/v1";
                self.faults.push(spot.place, format!("the expert `{name}` has no address"), help);
            }
            (Some(_), false) => {
                let place = spot.key("endpoints").unwrap_or(spot.place);
                self.faults.push(
                    place,
                    "`base_url` and `endpoints` say the same thing twice",
                    "keep one of them",
                );
            }
            _ => {}
        }
        if let Some(url) = &expert.base_url {
            self.url(url, spot.get("base_url").map_or(spot.place, |s| s.place));
        }
        let endpoints = spot.get("endpoints");
        let mut seen = BTreeSet::new();
        for (index, endpoint) in expert.endpoints.iter().enumerate() {
            let at = endpoints.and_then(|e| e.item(index));
            let place = at.and_then(|e| e.get("base_url")).map_or(spot.place, |s| s.place);
            self.url(&endpoint.base_url, place);
            if !seen.insert(endpoint.base_url.trim_end_matches('/')) {
                let help = "take one of them out; `weight` gives an endpoint a larger share";
                self.faults.push(place, format!("`{name}` has the same endpoint twice"), help);
            }
            if endpoint.weight == 0 {
                let place = at.and_then(|e| e.get("weight")).map_or(spot.place, |s| s.place);
                self.faults.push(
                    place,
                    "a weight of 0 would never be chosen",
                    "take the endpoint out instead",
                );
            }
        }
    }

    fn url(&mut self, url: &str, place: Place) {
        let parsed: Option<Uri> = url.parse().ok();
        let good = parsed.filter(|u| {
            matches!(u.scheme_str(), Some("http" | "https"))
                && u.authority().is_some_and(|a| !a.as_str().contains('@') && !a.host().is_empty())
        });
        let Some(uri) = good else {
            let help = "write the address up to and including /v1: https://api.openai.com/v1";
            self.faults.push(place, "this is no http or https address", help);
            return;
        };
        let behind_host = uri.authority().and_then(|a| a.as_str().rsplit(']').next()).unwrap_or_default();
        if behind_host.contains(':') && uri.port_u16().is_none() {
            self.faults.push(
                place,
                "its port is no number from 1 to 65535",
                "write the port of the model's server",
            );
            return;
        }
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let here = format!("{}:{port}", uri.host().unwrap_or_default());
        let path = PATHS.into_iter().find(|path| uri.path().trim_end_matches('/').ends_with(path));
        if port == 0 {
            self.faults.push(place, "nobody listens on port 0", "write the port of the model's server");
        } else if url.contains('#') {
            self.faults.push(
                place,
                "an address has no `#`: what stands behind it is never sent",
                "take it out",
            );
        } else if let Some(path) = path {
            let what = format!("`{path}` is not part of the address: the gateway adds it");
            self.faults.push(place, what, "write the address up to and including /v1");
        } else if here.eq_ignore_ascii_case(&self.config.server.listen) && super::is_loopback(&here) {
            let what = format!("`{here}` is this gateway's own `server.listen`: it would call itself");
            self.faults.push(place, what, "write the address of the model's server");
        }
    }
}
