//! What records call the things of a configuration.

use std::sync::Arc;

use super::Fragments;

/// The names of a configuration, by position.
#[derive(Debug)]
pub struct Names {
    /// Experts.
    pub experts: Vec<Arc<str>>,
    /// Policies.
    pub policies: Vec<String>,
    /// Domains of the router model.
    pub domains: Vec<String>,
    /// Its version.
    pub router_version: String,
    /// Rules, as [`crate::config::Checked::rules`] has them.
    pub rules: Vec<Arc<str>>,
    /// Position of the fallback.
    pub fallback: usize,
    /// The same as they stand in a line.
    pub(super) fragments: Fragments,
}

impl Names {
    /// Collects them.
    pub fn new(
        experts: Vec<Arc<str>>,
        policies: Vec<String>,
        rules: Vec<Arc<str>>,
        domains: &[String],
        router_version: &str,
        fallback: usize,
    ) -> Self {
        let fragments =
            Fragments::new(experts.iter().map(|name| &**name), domains.iter().map(String::as_str));
        let (domains, router_version) = (domains.to_vec(), router_version.to_owned());
        Self { experts, policies, domains, router_version, rules, fallback, fragments }
    }

    /// With these experts only, in the order of their positions.
    pub(super) fn with_experts(&self, kept: &[usize]) -> Self {
        let experts = kept.iter().map(|&index| Arc::clone(&self.experts[index])).collect();
        let fallback = kept.iter().position(|&index| index == self.fallback).unwrap_or(0);
        let (policies, rules) = (self.policies.clone(), self.rules.clone());
        Self::new(experts, policies, rules, &self.domains, &self.router_version, fallback)
    }
}
