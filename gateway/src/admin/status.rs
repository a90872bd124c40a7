//! `/status`: what is running.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

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
}

#[derive(Debug, Serialize)]
struct ExpertStatus {
    name: Arc<str>,
    model: String,
    domains: Vec<String>,
    tags: Vec<String>,
    priced: bool,
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
    let policies = snapshot.policies.iter().map(|p| PolicyStatus {
        name: p.name.clone(),
        dial: p.policy.describe(),
        require: p.require.clone(),
    });
    let experts = snapshot.experts.iter().map(|expert| ExpertStatus {
        name: Arc::clone(&expert.name),
        model: expert.model.clone(),
        domains: expert.domains.clone(),
        tags: expert.tags.iter().cloned().collect(),
        priced: expert.price.is_some(),
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
