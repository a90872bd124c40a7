//! What deciding costs, by the number of experts: the policy alone, and the whole plan with text, scores,
//! constraints and policy.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::api::Dialect;
use gateway::ask::Ask;
use gateway::auth::Caller;
use gateway::plan::{Wish, plan};
use gateway::policy::Evidence;
use gateway::usage::Usage;
use gateway::weigh::weigh_scores;
use http::HeaderMap;
use router_model::{Scores, TAXONOMY};

#[path = "common/experts.rs"]
mod experts;

fn policy(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy");
    for count in [2, 10, 50, 200] {
        let Some(snapshot) = experts::snapshot(count) else { continue };
        let mut domains = [0.02; TAXONOMY.len()];
        domains[1] = 0.72;
        let scores = Scores::new(&domains, 0.5);
        let usage = Usage { input: 100, output: 250, ..Usage::default() };
        let candidates = weigh_scores(&snapshot, snapshot.default_policy, &scores, &[], &usage);
        let evidence = Evidence { domains: &domains, top: 1, confidence: domains[1], ood: 0.5 };
        let policy = &snapshot.policies[snapshot.default_policy].policy;
        group.bench_function(BenchmarkId::new("choose", count), |b| {
            b.iter(|| policy.choose(black_box(&candidates), Some(evidence), snapshot.fallback));
        });
        let Ok(ask) = Ask::parse(Dialect::Chat, experts::PROMPT.as_bytes()) else { continue };
        let headers = HeaderMap::new();
        let Ok(wish) = Wish::read(&snapshot, Caller(None), &headers, &ask.model) else { continue };
        group.bench_function(BenchmarkId::new("plan", count), |b| {
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
