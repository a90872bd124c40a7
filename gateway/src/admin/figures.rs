//! `/api/figures`: every figure of the console's first page, as it stands now. Counters only rise; whoever wants a rate
//! takes the difference of two answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::expert::Expert;
use crate::meter::{Buckets, ExpertFigures};
use crate::past::{self, Moment};
use crate::record::Outcome;
use crate::snapshot::Snapshot;
use crate::state::State;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// Unix time, seconds.
    time: f64,
    draining: bool,
    config_hash: String,
    router_version: String,
    fallback: Arc<str>,
    client_connections: i64,
    in_flight: u32,
    /// By outcome, `none`'s too.
    requests: BTreeMap<&'static str, u64>,
    /// Seconds.
    request_duration: Buckets,
    time_to_first_token: Buckets,
    time_per_output_token: Buckets,
    overhead: Buckets,
    route_duration: Buckets,
    cost_usd: f64,
    baseline_cost_usd: f64,
    saved_usd: f64,
    experts: Vec<ExpertRow>,
    decisions: Vec<DecisionRow>,
}

#[derive(Debug, Serialize)]
struct ExpertRow {
    name: Arc<str>,
    in_flight: u32,
    max_concurrency: u32,
    requests: BTreeMap<&'static str, u64>,
    request_duration: Buckets,
    time_to_first_token: Buckets,
    tokens: BTreeMap<&'static str, u64>,
    cost_usd: f64,
    retried_usd: f64,
    baseline_cost_usd: f64,
    saved_usd: f64,
    hosting_usd_per_hour: f64,
    unpriced_requests: u64,
    usage_missing: u64,
    endpoints: Vec<EndpointRow>,
}

#[derive(Debug, Serialize)]
struct EndpointRow {
    authority: Arc<str>,
    circuit: &'static str,
    in_flight: u32,
}

#[derive(Debug, Serialize)]
struct DecisionRow {
    domain: String,
    expert: Arc<str>,
    reason: &'static str,
    count: u64,
}

/// Every figure now.
pub(super) fn figures(state: &State) -> Figures {
    let snapshot = state.snapshot();
    let nobody = snapshot.nobody.figures();
    let all: Vec<ExpertFigures> = snapshot.meters.iter().map(|meter| meter.figures()).collect();
    let sum = |of: fn(&ExpertFigures) -> f64| all.iter().map(of).sum::<f64>();
    let merged = |of: fn(&ExpertFigures) -> &Buckets| {
        let mut merged = Buckets::default();
        all.iter().map(of).filter(|buckets| buckets.count > 0).for_each(|buckets| merged.add(buckets));
        merged
    };
    let mut requests = by_outcome(&nobody.requests);
    for (outcome, count) in all.iter().flat_map(|figures| by_outcome(&figures.requests)) {
        *requests.entry(outcome).or_default() += count;
    }
    Figures {
        time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        draining: state.draining.is_cancelled(),
        config_hash: snapshot.hash.clone(),
        router_version: snapshot.classifier.version().to_owned(),
        fallback: Arc::clone(&snapshot.experts[snapshot.fallback].name),
        client_connections: state.meter.connections.get(),
        in_flight: snapshot.experts.iter().map(|expert| expert.load.load(Ordering::Relaxed)).sum(),
        requests,
        request_duration: merged(|figures| &figures.duration),
        time_to_first_token: merged(|figures| &figures.first_token),
        time_per_output_token: merged(|figures| &figures.per_token),
        overhead: state.meter.overhead_figures(),
        route_duration: state.meter.route_figures(),
        cost_usd: sum(|figures| figures.served_usd + figures.retried_usd),
        baseline_cost_usd: sum(|figures| figures.baseline_usd),
        saved_usd: sum(|figures| figures.saved_usd),
        decisions: decisions(&snapshot, &all, &nobody),
        experts: snapshot.experts.iter().zip(all).map(|(expert, figures)| row(expert, figures)).collect(),
    }
}

/// Keeps a moment of them every few seconds, until the gateway drains.
pub(crate) async fn remember(state: Arc<State>) {
    let mut every = tokio::time::interval(past::EVERY);
    loop {
        tokio::select! {
            () = state.draining.cancelled() => return,
            _ = every.tick() => {
                let Figures { time, requests, cost_usd, baseline_cost_usd, .. } = figures(&state);
                state.past.push(Moment { time, requests, cost_usd, baseline_cost_usd });
            }
        }
    }
}

fn by_outcome(requests: &[u64; Outcome::ALL.len()]) -> BTreeMap<&'static str, u64> {
    Outcome::ALL.iter().map(|outcome| outcome.as_str()).zip(requests.iter().copied()).collect()
}

fn row(expert: &Expert, figures: ExpertFigures) -> ExpertRow {
    let kinds = ["input", "cached_input", "output", "reasoning"];
    let endpoint = |endpoint: &Arc<crate::expert::endpoint::Endpoint>| EndpointRow {
        authority: Arc::clone(&endpoint.authority),
        circuit: endpoint.circuit.stand().as_str(),
        in_flight: endpoint.load.load(Ordering::Relaxed),
    };
    ExpertRow {
        name: Arc::clone(&expert.name),
        in_flight: expert.load.load(Ordering::Relaxed),
        max_concurrency: expert.max_concurrency,
        requests: by_outcome(&figures.requests),
        request_duration: figures.duration,
        time_to_first_token: figures.first_token,
        tokens: kinds.into_iter().zip(figures.tokens).collect(),
        cost_usd: figures.served_usd + figures.retried_usd,
        retried_usd: figures.retried_usd,
        baseline_cost_usd: figures.baseline_usd,
        saved_usd: figures.saved_usd,
        hosting_usd_per_hour: expert.hosting,
        unpriced_requests: figures.unpriced,
        usage_missing: figures.usage_missing,
        endpoints: expert.endpoints.iter().map(endpoint).collect(),
    }
}

/// Decisions by domain, expert and reason.
fn decisions(snapshot: &Snapshot, all: &[ExpertFigures], nobody: &ExpertFigures) -> Vec<DecisionRow> {
    let domains = snapshot.classifier.domains();
    let none: Arc<str> = "none".into();
    let names = snapshot.experts.iter().map(|expert| &expert.name).chain([&none]);
    let figures = all.iter().chain([nobody]);
    let rows = names.zip(figures).flat_map(|(name, figures)| {
        figures.decided.iter().map(move |decided| DecisionRow {
            domain: domains.get(decided.domain).map_or("unknown", String::as_str).to_owned(),
            expert: Arc::clone(name),
            reason: decided.reason.as_str(),
            count: decided.count,
        })
    });
    rows.collect()
}
