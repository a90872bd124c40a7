//! What reading a request costs, by its size: `Ask`, the routable text, and the body for an upstream.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway::api::Dialect;
use gateway::ask::Ask;
use gateway::text;

const WORDS: &str = "Which of these three functions is correct, and why does the other one fail on lists? ";

fn chat(turns: usize, bytes: usize, more: &str) -> Bytes {
    let text = WORDS.repeat(bytes / turns / WORDS.len() + 1);
    let text = &text[..bytes / turns];
    let turn = |role| format!(r#"{{"role":"{role}","content":"A \"question\":\n{text}"}}"#);
    let turns: Vec<String> = ["user", "assistant"].into_iter().cycle().take(turns).map(turn).collect();
    Bytes::from(format!(r#"{{"model":"auto","stream":true,{more}"messages":[{}]}}"#, turns.join(",")))
}

fn tools() -> String {
    let tool = r#"{"type":"function","function":{"name":"find","description":"Finds it.","parameters":{"type":"object","properties":{"q":{"type":"string"},"n":{"type":"integer"}}}}}"#;
    format!(r#""tools":[{}],"#, vec![tool; 40].join(","))
}

fn bodies() -> Vec<(&'static str, Bytes)> {
    vec![
        ("100 tokens", chat(1, 400, "")),
        ("2 KiB", chat(1, 2 << 10, "")),
        ("40 tools", chat(1, 400, &tools())),
        ("20 turns of 2 KiB", chat(20, 40 << 10, "")),
        ("1 MiB", chat(1, 1 << 20, "")),
        ("10 MiB", chat(1, 10 << 20, "")),
    ]
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, body) in bodies() {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("ask", name), |b| {
            b.iter(|| Ask::parse(Dialect::Chat, black_box(&body)).map(|ask| ask.tokens_estimated));
        });
        let Ok(ask) = Ask::parse(Dialect::Chat, &body) else { continue };
        group.bench_function(BenchmarkId::new("routable text", name), |b| {
            b.iter(|| text::routable(black_box(&ask)).text.len());
        });
        group.bench_function(BenchmarkId::new("body for the upstream", name), |b| {
            b.iter(|| ask.rewrite(black_box(&body), "mistralai/Mistral-7B-Instruct-v0.3", true).len());
        });
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
