//! Holds the parts of a configuration against each other: names that must exist, ranges, addresses, and the
//! refusals that keep a gateway from starting in a state its operator did not mean.

mod addresses;
mod bounds;
mod keys;

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};

use http::HeaderName;
use http::uri::Authority;
use router_model::TAXONOMY;

use super::fault::{Faults, Place, suggestion};
use super::tree::Spot;
use super::written::{Config, Expert, Policy, Pricing, Tenant};
use crate::own_domains::{Groups, Misnamed};

/// Checks everything that needs more than one value; returns remarks that refuse nothing.
pub(super) fn check(config: &Config, tree: &Spot, faults: &mut Faults) -> Vec<String> {
    let domains = TAXONOMY.map(String::from).to_vec();
    let mut check = Check { config, tree, faults, domains, warnings: Vec::new() };
    check.own_domains();
    check.server();
    check.bounds();
    check.names();
    check.experts();
    check.policies();
    check.references();
    check.tenants();
    check.keys();
    check.warnings
}

struct Check<'c> {
    config: &'c Config,
    tree: &'c Spot,
    faults: &'c mut Faults,
    /// What requests can be about, with the built-in router model.
    domains: Vec<String>,
    warnings: Vec<String>,
}

impl<'c> Check<'c> {
    /// The place of `path`, or of the nearest part of it that is written.
    fn place(&self, path: &[&str]) -> Place {
        self.tree.nearest(path).place
    }

    fn server(&mut self) {
        let server = &self.config.server;
        for (key, value) in [("listen", &server.listen), ("admin_listen", &server.admin_listen)] {
            if address(value).is_none() {
                let place = self.place(&["server", key]);
                let help = "write an address and a port: 127.0.0.1:8080, or 0.0.0.0:8080 for every interface";
                self.faults.push(place, format!("`{value}` is no address to listen on"), help);
            }
        }
        if !is_loopback(&server.listen) && self.config.tenants.is_empty() && !server.anonymous {
            let place = self.place(&["server", "listen"]);
            let help = "give it tenants with keys, listen on 127.0.0.1, or say `server.anonymous: true`";
            self.faults.push(
                place,
                format!("anyone who reaches `{}` could spend your money", server.listen),
                help,
            );
        }
        if !is_loopback(&server.admin_listen) && server.admin_keys.is_empty() {
            let place = self.place(&["server", "admin_listen"]);
            let help = "set `server.admin_keys` (see `mixgate hash-key`), or listen on 127.0.0.1";
            self.faults.push(place, "the admin listener is beyond loopback without a key", help);
        }
        self.listeners();
        self.pages();
    }

    /// Origins of pages and names of this machine.
    fn pages(&mut self) {
        let server = &self.config.server;
        let spot = self.tree.get("server");
        let origins = spot.and_then(|s| s.get("cors")).and_then(|cors| cors.get("origins"));
        for (index, origin) in server.cors.origins.iter().enumerate() {
            let place = origins.and_then(|o| o.item(index)).map_or_else(Place::default, |s| s.place);
            if origin == "*" && self.config.tenants.is_empty() {
                let help = "list the pages, or give it tenants with keys";
                self.faults.push(place, "without keys any page could spend your money", help);
            } else if origin != "*" && (origin.contains('*') || !is_origin(origin)) {
                let help = "a scheme and a host, such as https://app.example or http://localhost:3000";
                self.faults.push(place, format!("`{origin}` is no origin of a page"), help);
            }
        }
        for (index, host) in server.hosts.iter().enumerate() {
            let is_name = |a: Authority| a.port().is_none() && a.host() == host && !host.contains('*');
            if host.parse::<Authority>().is_ok_and(is_name) {
                continue;
            }
            let place = spot
                .and_then(|s| s.get("hosts"))
                .and_then(|h| h.item(index))
                .map_or_else(Place::default, |s| s.place);
            self.faults.push(
                place,
                format!("`{host}` is no name of a machine"),
                "without scheme, port and `*`: gateway.internal",
            );
        }
    }

    fn names(&mut self) {
        let mut seen = BTreeSet::new();
        for (expert, spot) in self.config.experts.iter().zip(self.expert_spots()) {
            let place = spot.get("name").map_or(spot.place, |s| s.place);
            if !is_name(&expert.name) {
                let help = "letters, digits, `-`, `_`, `.`; it becomes a header and a label";
                self.faults.push(place, format!("`{}` is no name for an expert", expert.name), help);
            }
            if expert.name == "auto" || expert.name.starts_with("auto:") {
                self.faults.push(
                    place,
                    "`auto` is what clients write to have their requests routed",
                    "choose another name",
                );
            }
            if !seen.insert(expert.name.as_str()) {
                self.faults.push(
                    place,
                    format!("there are two experts `{}`", expert.name),
                    "names are unique",
                );
            }
        }
        if self.config.experts.is_empty() && self.tree.get("experts").is_some_and(|e| e.items().is_empty()) {
            self.faults.push(
                self.place(&["experts"]),
                "there is no expert",
                "the fallback at least must be one",
            );
        }
    }

    fn expert_spots(&self) -> Vec<&'c Spot> {
        self.good("experts")
    }

    fn experts(&mut self) {
        for (expert, spot) in self.config.experts.iter().zip(self.expert_spots()) {
            self.addresses(expert, spot);
            self.headers(expert, spot);
            self.figures(expert, spot);
            self.expert_bounds(expert, spot);
            self.quality(expert, spot);
        }
    }

    /// The key and further headers: what cannot be sent is refused, not left out.
    fn headers(&mut self, expert: &Expert, spot: &Spot) {
        if expert.api_key.as_ref().is_some_and(|key| key.header("").is_none()) {
            let place = spot.get("api_key").map_or(spot.place, |s| s.place);
            let what = format!("the key of `{}` holds a character that no header may", expert.name);
            self.faults.push(place, what, "look for a line end or a control character inside of it");
        }
        let written = spot.get("headers");
        for (name, value) in &expert.headers {
            let place = written.and_then(|h| h.key(name)).unwrap_or(spot.place);
            let known = HeaderName::from_bytes(name.as_bytes());
            match known {
                Err(_) => self.faults.push(place, format!("`{name}` is no name for a header"), ""),
                Ok(known) if OWN_HEADERS.contains(&known.as_str()) => {
                    let what = format!("the header `{name}` is the gateway's own to set");
                    self.faults.push(place, what, "take it out");
                }
                Ok(_) if value.header("").is_none() => {
                    let what = format!("the value of `{name}` holds a character that no header may");
                    self.faults.push(place, what, "look for a line end or a control character inside of it");
                }
                Ok(_) => {}
            }
        }
    }

    fn figures(&mut self, expert: &Expert, spot: &Spot) {
        let name = &expert.name;
        if expert.price.is_none()
            && expert.hosting.is_none()
            && spot.get("price").is_none()
            && spot.get("hosting").is_none()
        {
            let help = "price: { input_per_1m: 0.10, output_per_1m: 0.10 } (USD; 0 for a model whose tokens cost nothing)";
            self.faults.push(spot.place, format!("the expert `{name}` has no price"), help);
        }
        if let Some(price) = expert.price.as_ref().and_then(Pricing::listed) {
            let price_spot = spot.get("price");
            let figures = [
                ("input_per_1m", Some(price.input_per_1m)),
                ("cached_input_per_1m", price.cached_input_per_1m),
                ("cache_write_per_1m", price.cache_write_per_1m),
                ("output_per_1m", Some(price.output_per_1m)),
            ];
            for (key, value) in figures {
                if value.is_some_and(|v| !(0.0..=1e6).contains(&v)) {
                    let place = price_spot.and_then(|p| p.get(key)).map_or(spot.place, |s| s.place);
                    self.faults.push(
                        place,
                        "a price lies between 0 and 1,000,000 USD per million tokens",
                        "",
                    );
                }
            }
        }
    }

    fn quality(&mut self, expert: &Expert, spot: &Spot) {
        for (domain, chance) in &expert.quality {
            let quality = spot.get("quality");
            if !(0.0..=1.0).contains(chance) {
                let place = quality.and_then(|q| q.get(domain)).map_or(spot.place, |s| s.place);
                self.faults.push(
                    place,
                    format!("the quality `{chance}` is no chance"),
                    "a chance lies between 0 and 1",
                );
            }
            if self.config.router.model == "builtin" {
                self.domain(domain, quality.and_then(|q| q.key(domain)).unwrap_or(spot.place));
            }
        }
        let domains = spot.get("domains");
        for (index, domain) in expert.domains.iter().enumerate() {
            if self.config.router.model == "builtin" {
                self.domain(domain, domains.and_then(|d| d.item(index)).map_or(spot.place, |s| s.place));
            }
        }
        let is_fallback = expert.name == self.config.fallback.primary();
        if is_fallback && matches!(expert.price, Some(Pricing::Reported(_))) {
            self.warnings.push(format!(
                "the fallback `{}` has `price: reported`: its cost is unknown before it answers, so no savings are told; give it a price list",
                expert.name
            ));
        }
        if expert.quality.is_empty() && expert.catalogue.is_none() && !is_fallback {
            let note = format!(
                "the expert `{}` has no quality figure: it is used only where a request names it",
                expert.name
            );
            self.warnings.push(note);
        }
    }

    fn domain(&mut self, domain: &str, place: Place) {
        if self.domains.iter().any(|known| known == domain) {
            return;
        }
        let owner =
            self.config.domains.iter().find(|(_, parts)| parts.names().iter().any(|part| part == domain));
        let help = match owner {
            Some((own, _)) => format!("by `domains:` its name is `{own}`"),
            None => suggestion(domain, self.domains.iter().map(String::as_str)),
        };
        self.faults.push(place, format!("the router model knows no domain `{domain}`"), help);
    }

    fn own_domain(&self, name: &str) -> Place {
        self.tree.get("domains").and_then(|domains| domains.key(name)).unwrap_or_default()
    }

    /// Names of one's own for domains. What a model that is read from a file knows is seen when it is loaded.
    fn own_domains(&mut self) {
        for name in self.config.domains.keys().filter(|name| !is_name(name)) {
            let place = self.own_domain(name);
            let help = "letters, digits, `-`, `_`, `.`; it becomes a header and a label";
            self.faults.push(place, format!("`{name}` is no name for a domain"), help);
        }
        if self.config.router.model != "builtin" {
            return;
        }
        match Groups::new(&self.config.domains, &TAXONOMY) {
            Ok(groups) => self.domains = groups.names().to_vec(),
            Err(faults) => {
                for Misnamed { name, what, help } in faults {
                    self.faults.push(self.own_domain(&name), what, help);
                }
                self.domains.extend(self.config.domains.keys().cloned());
            }
        }
    }

    fn policies(&mut self) {
        for (name, policy) in &self.config.policies {
            let place = self.tree.get("policies").and_then(|p| p.key(name)).unwrap_or_default();
            if !is_name(name) {
                self.faults.push(
                    place,
                    format!("`{name}` is no name for a policy"),
                    "letters, digits, `-`, `_`, `.`",
                );
            }
            self.policy(name, policy, place);
        }
    }

    fn policy(&mut self, name: &str, policy: &Policy, place: Place) {
        let written =
            |key: &str| self.tree.get("policies").and_then(|p| p.get(name)).and_then(|p| p.key(key));
        match (policy.tolerance, policy.max_under_route) {
            (Some(_), Some(_)) => {
                self.faults.push(
                    place,
                    format!("the policy `{name}` has two dials"),
                    "keep `tolerance` or `max_under_route`",
                );
            }
            (None, None) if written("tolerance").is_none() => {
                self.faults.push(place, format!("the policy `{name}` has no dial"), "tolerance: 0.05");
            }
            _ => {}
        }
        let dials = [
            ("tolerance", policy.tolerance),
            ("max_under_route", policy.max_under_route),
            ("min_confidence", policy.min_confidence),
            ("max_ood_score", policy.max_ood_score),
        ];
        for (key, value) in dials {
            let place = self.place(&["policies", name, key]);
            if value.is_some_and(|v| !(0.0..=1.0).contains(&v)) {
                self.faults.push(place, format!("`{key}` lies between 0 and 1"), "");
            } else if key == "max_under_route" && value == Some(0.0) {
                let help = "a small share such as 0.01, or `tolerance: 0` to choose only what is as good";
                self.faults.push(
                    place,
                    "no finite number of graded answers can promise `max_under_route: 0`",
                    help,
                );
            }
        }
    }

    /// Every name that refers to something.
    fn references(&mut self) {
        let experts = self.written_experts();
        let policies = self.policy_names();
        self.fallbacks(&experts);
        let place = self.place(&["router", "policy"]);
        self.known("policy", &self.config.router.policy, &policies, place);
        for (alias, target) in &self.config.aliases {
            self.alias(alias, target, &experts, &policies);
        }
        let tenants: Vec<&str> = self.config.tenants.iter().map(|t| t.name.as_str()).collect();
        for (rule, spot) in self.config.rules.iter().zip(self.good("rules")) {
            let when = spot.get("when");
            if let Some(tenant) = &rule.when.tenant {
                let place = when.and_then(|w| w.get("tenant")).map_or(spot.place, |s| s.place);
                self.known("tenant", tenant, &tenants, place);
            }
            let domains = when.and_then(|w| w.get("domain"));
            for (index, domain) in rule.when.domain.iter().enumerate() {
                if self.config.router.model == "builtin" {
                    self.domain(domain, domains.and_then(|d| d.item(index)).map_or(spot.place, |s| s.place));
                }
            }
            if rule.when.at.is_some_and(|at| !(0.0..=1.0).contains(&at)) {
                let place = when.and_then(|w| w.get("at")).map_or(spot.place, |s| s.place);
                self.faults.push(place, "`at` is a probability between 0 and 1", "");
            }
            if rule.require.is_empty() && rule.forbid.is_empty() {
                self.faults.push(
                    spot.place,
                    "this rule asks for nothing",
                    "require: [indemnified], or forbid: [\"trained_on:web\"]",
                );
            }
        }
        self.warn_of_unknown_tags();
    }

    fn fallbacks(&mut self, experts: &[&str]) {
        let spot = self.tree.get("fallback");
        let whole = spot.map_or_else(Place::default, |spot| spot.place);
        let names = self.config.fallback.names();
        if names.is_empty() {
            self.faults.push(whole, "the list of fallbacks is empty", "name the large model at least");
        }
        for (index, name) in names.iter().enumerate() {
            let place = spot.and_then(|s| s.item(index)).map_or(whole, |s| s.place);
            self.known("expert", name, experts, place);
            if names[..index].contains(name) {
                self.faults.push(place, format!("`{name}` is named twice as a fallback"), "name each once");
            }
        }
    }

    fn alias(&mut self, alias: &str, target: &str, experts: &[&str], policies: &[&str]) {
        let place = self.place(&["aliases", alias]);
        if experts.contains(&alias) || alias == "auto" || alias.starts_with("auto:") {
            self.faults.push(
                place,
                format!("the alias `{alias}` hides what already has this name"),
                "choose another",
            );
        }
        if alias.trim().is_empty() || alias.trim() != alias {
            let help = "write the name that clients send as `model`";
            self.faults.push(place, format!("`{alias}` is no name for a model"), help);
        }
        let hidden =
            self.config.experts.iter().find(|e| e.model == alias && e.name != target && e.model != target);
        if let Some(expert) = hidden {
            self.warnings.push(format!(
                "the alias `{alias}` takes the place of the model id of `{}`, which then only its name selects",
                expert.name
            ));
        }
        if let Some(policy) = target.strip_prefix("auto:") {
            self.known("policy", policy, policies, place);
        } else if target != "auto" && !self.config.experts.iter().any(|e| e.model == *target) {
            self.known("expert", target, experts, place);
        }
    }

    fn good(&self, section: &str) -> Vec<&'c Spot> {
        self.tree.get(section).map(Spot::good_items).unwrap_or_default()
    }

    fn known(&mut self, noun: &str, name: &str, known: &[&str], place: Place) {
        if !known.contains(&name) {
            let help = if known.is_empty() { String::new() } else { suggestion(name, known.iter().copied()) };
            self.faults.push(place, format!("there is no {noun} `{name}`"), help);
        }
    }

    /// Names as written, so that a fault elsewhere in an expert does not make references to it look wrong.
    fn written_experts(&self) -> Vec<&'c str> {
        let items = self.tree.get("experts").map(Spot::items).unwrap_or_default();
        items.iter().filter_map(|item| item.get("name")?.text()).collect()
    }

    fn policy_names(&self) -> Vec<&'c str> {
        if self.tree.get("policies").is_some() {
            return self.config.policies.keys().map(String::as_str).collect();
        }
        crate::policy::SHIPPED.iter().map(|(name, _)| *name).collect()
    }

    fn warn_of_unknown_tags(&mut self) {
        let tags: BTreeSet<String> =
            self.config.experts.iter().flat_map(|e| crate::constraint::tags_of(&e.governance)).collect();
        let rules = self.config.rules.iter().flat_map(|r| &r.require);
        let required = rules.chain(self.config.policies.values().flat_map(|p| &p.require));
        for tag in required.filter(|tag| !tags.contains(*tag)).collect::<BTreeSet<_>>() {
            self.warnings.push(format!(
                "no expert has the tag `{tag}` that is required: such requests will be refused"
            ));
        }
        let forbidden = self.config.rules.iter().flat_map(|r| &r.forbid);
        for tag in forbidden.filter(|tag| !tags.contains(*tag)).collect::<BTreeSet<_>>() {
            self.warnings.push(format!(
                "no expert says that it has the tag `{tag}` that a rule forbids: check how it is spelt"
            ));
        }
    }

    fn tenants(&mut self) {
        let experts = self.written_experts();
        let policies = self.policy_names();
        let mut seen = BTreeSet::new();
        for (tenant, spot) in self.config.tenants.iter().zip(self.good("tenants")) {
            let Tenant { name, keys, .. } = tenant;
            let place = spot.get("name").map_or(spot.place, |s| s.place);
            if !seen.insert(name) {
                self.faults.push(place, format!("there are two tenants `{name}`"), "names are unique");
            }
            if keys.is_empty() {
                self.faults.push(
                    place,
                    format!("the tenant `{name}` has no key"),
                    "`mixgate hash-key` makes one fit for `keys`",
                );
            }
            for (list, noun, names, known) in [
                ("experts", "expert", tenant.experts.as_deref(), &experts),
                ("policies", "policy", tenant.policies.as_deref(), &policies),
            ] {
                for (index, name) in names.unwrap_or_default().iter().enumerate() {
                    let place = spot.get(list).and_then(|l| l.item(index)).map_or(spot.place, |s| s.place);
                    self.known(noun, name, known, place);
                }
            }
        }
    }
}

/// Headers of a connection or a body, which decide how a request is read.
const OWN_HEADERS: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "accept-encoding",
];

/// As browsers write it: nothing behind the port, and no default port.
fn is_origin(text: &str) -> bool {
    let rest = text
        .split_once("://")
        .filter(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
    rest.is_some_and(|(scheme, rest)| {
        let default = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        !rest.contains('/')
            && (default.is_empty() || !rest.ends_with(default))
            && rest.parse::<Authority>().is_ok()
    })
}

/// Whether something may be called so: it becomes a header and a label.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(good)
}

fn address(text: &str) -> Option<SocketAddr> {
    text.to_socket_addrs().ok()?.next()
}

/// Whether an address to listen on is reachable from this machine only.
pub fn is_loopback(listen: &str) -> bool {
    listen.to_socket_addrs().is_ok_and(|mut all| all.all(|a| a.ip().is_loopback()))
}
