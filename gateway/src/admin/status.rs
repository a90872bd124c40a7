//! `/status`: what is running. `/api/config`: every value of it and where it came from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use router_model::Known;
use serde::Serialize;

use crate::config::{Setting, written};
use crate::policy::{self, Measured};
use crate::state::State;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    config_hash: String,
    config_file: Option<String>,
    router_version: String,
    draining: bool,
    default_policy: String,
    policies: Vec<PolicyStatus>,
    fallback: Arc<str>,
    experts: Vec<ExpertStatus>,
}

#[derive(Debug, Serialize)]
struct PolicyStatus {
    name: String,
    dial: String,
    require: Vec<String>,
    /// Where it stands on the graded prompts that the router model carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
}

#[derive(Debug, Serialize)]
struct ExpertStatus {
    name: Arc<str>,
    model: String,
    domains: Vec<String>,
    tags: Vec<String>,
    priced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<written::Pricing>,
    hosting_usd_per_hour: f64,
    context_window: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    capabilities: Vec<written::CapabilityName>,
    /// Chance of a good answer per domain, as configured.
    quality: BTreeMap<String, f64>,
    /// What the router model's catalogue says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalogue: Option<Known>,
    in_flight: u32,
    max_concurrency: u32,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Debug, Serialize)]
struct EndpointStatus {
    authority: Arc<str>,
    tls: bool,
    weight: u32,
    in_flight: u32,
    idle_connections: usize,
    circuit: &'static str,
}

/// What is running now.
pub(super) fn status(state: &State) -> Status {
    let snapshot = state.snapshot();
    let policies = snapshot.policies.iter().enumerate().map(|(place, p)| PolicyStatus {
        name: p.name.clone(),
        dial: p.policy.describe(),
        require: p.require.iter().map(ToString::to_string).collect(),
        measured: policy::measured(&snapshot, place).cloned(),
    });
    let known = |name: &String| snapshot.classifier.known().iter().find(|known| known.name == *name);
    let written = snapshot.experts.iter().zip(&snapshot.config.experts);
    let experts = written.map(|(expert, written)| ExpertStatus {
        name: Arc::clone(&expert.name),
        model: expert.model.clone(),
        domains: expert.domains.clone(),
        tags: expert.tags.iter().cloned().collect(),
        priced: written.price.is_some(),
        price: written.price,
        hosting_usd_per_hour: expert.hosting,
        context_window: expert.context_window,
        max_output_tokens: expert.max_output_tokens,
        capabilities: written.capabilities.clone(),
        quality: written.quality.clone(),
        catalogue: expert
            .catalogue
            .as_ref()
            .and_then(known)
            .map(|known| Known { learned: Vec::new(), ..known.clone() }),
        in_flight: expert.load.load(Ordering::Relaxed),
        max_concurrency: expert.max_concurrency,
        endpoints: expert
            .endpoints
            .iter()
            .map(|e| EndpointStatus {
                authority: Arc::clone(&e.authority),
                tls: e.tls,
                weight: e.weight,
                in_flight: e.load.load(Ordering::Relaxed),
                idle_connections: e.pool.count(),
                circuit: e.circuit.stand().as_str(),
            })
            .collect(),
    });
    Status {
        version: env!("CARGO_PKG_VERSION"),
        config_hash: snapshot.hash.clone(),
        config_file: state.path.as_ref().map(|p| p.display().to_string()),
        router_version: snapshot.classifier.version().to_owned(),
        draining: state.draining.is_cancelled(),
        default_policy: snapshot.policies[snapshot.default_policy].name.clone(),
        policies: policies.collect(),
        fallback: Arc::clone(&snapshot.experts[snapshot.fallback].name),
        experts: experts.collect(),
    }
}

/// Every value of the running configuration.
#[derive(Debug, Serialize)]
pub(super) struct Configuration {
    hash: String,
    file: Option<String>,
    settings: Vec<Setting>,
}

/// What is running, value by value.
pub(super) fn configuration(state: &State) -> Configuration {
    let snapshot = state.snapshot();
    Configuration {
        hash: snapshot.hash.clone(),
        file: state.path.as_ref().map(|path| path.display().to_string()),
        settings: snapshot.settings.clone(),
    }
}
