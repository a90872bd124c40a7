//! What deciding costs, by the number of experts: the policy alone, and the whole plan with text, scores,
//! constraints and policy.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::api::Dialect;
use gateway::ask::Ask;
use gateway::auth::Caller;
use gateway::config;
use gateway::meter::Meter;
use gateway::plan::{Wish, plan};
use gateway::policy::{Candidate, Evidence};
use gateway::price::MicroUsd;
use gateway::state::{Snapshot, load_classifier, snapshot_for_dry_runs};
use http::HeaderMap;
use router_model::TAXONOMY;

const PROMPT: &str = r#"{"model":"auto","messages":[{"role":"user","content":"You are given the quarterly figures of a small company. Revenue rose from $1,240 to $1,312 thousand while costs of goods sold fell by 3.5 %. Write a Python function that returns the gross margin, then explain in two sentences whether the company is healthier than a year ago, and which single number you would look at next."}]}"#;

/// So many experts, each good at one domain, and a rule on one of the domains.
fn snapshot(experts: usize) -> Option<Arc<Snapshot>> {
    let mut yaml =
        "fallback: e0\nrules: [{ when: { domain: [legal] }, require: [indemnified] }]\nexperts:\n".to_owned();
    for index in 0..experts {
        let domain = TAXONOMY[index % TAXONOMY.len()];
        let quality = if index == 0 { String::new() } else { format!("quality: {{ {domain}: 0.97 }}, ") };
        let _ = writeln!(
            yaml,
            "  - {{ name: e{index}, model: m{index}, base_url: 'http://127.0.0.1:1/v1', {quality}\
             price: {{ input_per_1m: {index}.1, output_per_1m: {index}.2 }} }}"
        );
    }
    let checked = config::parse("bench.yaml", &yaml, &|_| None).ok()?;
    let classifier = load_classifier(&checked.config).ok()?;
    let meter = Meter::new(classifier.version());
    Some(Arc::new(snapshot_for_dry_runs(checked, classifier, &meter)))
}

fn policy(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy");
    for experts in [2, 10, 50, 200] {
        let Some(snapshot) = snapshot(experts) else { continue };
        let mut domains = [0.02; TAXONOMY.len()];
        domains[1] = 0.72;
        let candidates: Vec<Candidate<'_>> = snapshot
            .experts
            .iter()
            .map(|expert| Candidate {
                expert,
                quality: expert.expected_quality(&domains),
                cost: Some(MicroUsd(expert.index as i64)),
                why_not: None,
            })
            .collect();
        let evidence = Evidence { domains: &domains, top: 1, confidence: domains[1] };
        let policy = &snapshot.policies[snapshot.default_policy].policy;
        group.bench_function(BenchmarkId::new("choose", experts), |b| {
            b.iter(|| policy.choose(black_box(&candidates), Some(evidence), snapshot.fallback));
        });
        let Ok(ask) = Ask::parse(Dialect::Chat, PROMPT.as_bytes()) else { continue };
        let headers = HeaderMap::new();
        let Ok(wish) = Wish::read(&snapshot, Caller(None), &headers, &ask.model) else { continue };
        group.bench_function(BenchmarkId::new("plan", experts), |b| {
            b.iter(|| {
                plan(&snapshot, None, Caller(None), &wish, black_box(&ask), Dialect::Chat)
                    .map(|p| p.decision.order)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, policy);
criterion_main!(benches);
