//! What writing a decision record costs, by the number of experts: as the log does it, and as serde would.

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::api::Dialect;
use gateway::ask::Ask;
use gateway::auth::Caller;
use gateway::plan::{Wish, plan};
use gateway::price::MicroUsd;
use gateway::record::{Attempt, AttemptOutcome, Finished, Id, Outcome};
use gateway::snapshot::Snapshot;
use gateway::usage::Usage;
use http::HeaderMap;

#[path = "common/experts.rs"]
mod experts;

fn record(snapshot: &Arc<Snapshot>) -> Option<Finished> {
    let ask = Ask::parse(Dialect::Chat, experts::PROMPT.as_bytes()).ok()?;
    let headers = HeaderMap::new();
    let wish = Wish::read(snapshot, Caller(None), &headers, &ask.model).ok()?;
    let decision = plan(snapshot, None, Caller(None), &wish, &ask, Dialect::Chat).ok()?.decision;
    let first = &snapshot.experts[*decision.order.first()?];
    let attempt = Attempt {
        expert: Arc::clone(&first.name),
        endpoint: Arc::clone(first.endpoints.first()?),
        outcome: AttemptOutcome::Ok,
        status: Some(200),
        millis: 812.345,
    };
    let id = Id::new(SystemTime::UNIX_EPOCH);
    Some(Finished {
        id,
        time: SystemTime::UNIX_EPOCH,
        request_id: id.header(),
        endpoint: Some("chat/completions"),
        tenant: None,
        requested_model: "auto".to_owned(),
        chosen: Some(Arc::clone(&first.name)),
        reason: Some(decision.reason),
        decision: Some(Arc::new(decision)),
        attempts: vec![attempt.into()],
        outcome: Outcome::Ok,
        error: None,
        usage: Some(Usage { input: 120, output: 240, ..Usage::default() }),
        usage_estimated: false,
        cost_usd: Some(MicroUsd(1234)),
        baseline_cost_usd: Some(MicroUsd(5678)),
        saved_usd: Some(MicroUsd(4444)),
        streaming: false,
        first_token_millis: Some(80.1),
        total_millis: 812.4,
    })
}

fn line(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    for count in [2, 10, 50] {
        let Some(record) = experts::snapshot(count).as_ref().and_then(record) else { continue };
        let mut line = Vec::new();
        group.bench_function(BenchmarkId::new("by hand", count), |b| {
            b.iter(|| {
                line.clear();
                black_box(&record).write_line(&mut line);
            });
        });
        group.bench_function(BenchmarkId::new("by serde", count), |b| {
            b.iter(|| {
                line.clear();
                serde_json::to_writer(&mut line, black_box(&record)).is_ok()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, line);
criterion_main!(benches);
