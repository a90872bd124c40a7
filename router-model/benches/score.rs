//! What one score costs, by the length of the prompt. Mixed English, code and figures; one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use router_model::{RouterModel, Scratch};

/// About 100 tokens.
const PROMPT: &str = "You are given the quarterly figures of a small company. Revenue rose from $1,240 to \
    $1,312 thousand while costs of goods sold fell by 3.5 %. Write a Python function `margin(revenue, cost)` \
    that returns the gross margin, then explain in two sentences, for a reader who is no accountant, whether \
    the company is healthier than a year ago and which single number you would look at next. Do not use any \
    library; keep the answer under 150 words, please.";

fn prompt(bytes: usize) -> String {
    PROMPT.chars().cycle().take(bytes).collect()
}

fn score(c: &mut Criterion) {
    let Ok(model) = RouterModel::builtin() else { return };
    let mut scratch = Scratch::default();
    let mut group = c.benchmark_group("score");
    for (name, bytes) in [("20 tokens", 90), ("100 tokens", 450), ("1000 tokens", 4500), ("1 MiB", 1 << 20)] {
        let text = prompt(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |b| b.iter(|| model.score(black_box(&text), &mut scratch)));
    }
    group.finish();
}

fn explain(c: &mut Criterion) {
    let Ok(model) = RouterModel::builtin() else { return };
    let mut scratch = Scratch::default();
    let text = prompt(450);
    c.bench_function("explain/100 tokens", |b| {
        b.iter(|| model.explain(black_box(&text), &mut scratch, &|scores| scores.top().1));
    });
}

fn load(c: &mut Criterion) {
    c.bench_function("load", |b| b.iter(RouterModel::builtin));
}

criterion_group!(benches, score, explain, load);
criterion_main!(benches);
