//! How far labels of one's own traffic lift accuracy on the rest of it: for each writer of a file of labelled requests, as
//! written and as a company's traffic, where a few domains are most of it.
//!
//! ```text
//! cargo run --release -p router-model --example teaching -- MODEL.safetensors REQUESTS.jsonl
//! ```
//!
//! The model should not have learned from these writers (`mixgate train --requests` with the others). Requests that go on
//! with a conversation are left out.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use router_model::data::{Row, read};
use router_model::fit::{Step, teach};
use router_model::{RouterModel, Taught};

/// Mixtures drawn for each writer.
const MIXTURES: u64 = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, requests] = &arguments[..] else {
        return Err("usage: teaching MODEL.safetensors REQUESTS.jsonl".into());
    };
    let model = RouterModel::from_bytes(&std::fs::read(model)?)?;
    let mut rows = read(Path::new(requests))?;
    rows.retain(|row| !row.is_none() && row.messages.is_none());
    let (mut even, mut uneven) = (BTreeMap::new(), BTreeMap::new());
    for writer in rows.iter().map(|row| &row.source).collect::<BTreeSet<_>>() {
        let own: Vec<Row> = rows.iter().filter(|row| row.source == *writer).cloned().collect();
        add(&mut even, teach(&model, &own, Taught::default())?.curve);
        for seed in 1..=MIXTURES {
            let mixed = mixed(&own, seed);
            if let Ok(lessons) = teach(&model, &mixed, Taught::default()) {
                add(&mut uneven, lessons.curve);
            }
        }
    }
    show("as written, all domains about alike", &even);
    show("a few domains are most of it", &uneven);
    Ok(())
}

/// Requests judged, and how many of them are named as labelled before and after.
type Sums = BTreeMap<usize, (usize, f64, f64)>;

fn add(sums: &mut Sums, curve: Vec<Step>) {
    for Step { labels, judged, before, after } in curve {
        let sum = sums.entry(labels).or_default();
        sum.0 += judged;
        sum.1 += before * judged as f64;
        sum.2 += after * judged as f64;
    }
}

fn show(what: &str, sums: &Sums) {
    println!("{what}\n labels    judged   before    after");
    for (labels, (judged, before, after)) in sums {
        let [before, after] = [before, after].map(|sum| sum / *judged as f64);
        println!("{labels:7} {judged:9} {before:8.3} {after:8.3}");
    }
}

/// The requests with those of each domain thinned to a share drawn for it: the cube of an even number, so that a fifth of
/// the domains has about half of what is left.
fn mixed(rows: &[Row], seed: u64) -> Vec<Row> {
    let share = |domain: &str| unit(seed, domain.as_bytes()).powi(3);
    let kept = |row: &&Row| {
        let share = share(row.domain.as_deref().unwrap_or_default());
        unit(seed ^ 0x5eed, row.prompt.as_bytes()) < share
    };
    rows.iter().filter(kept).cloned().collect()
}

/// An even number of 0 to 1 for these bytes: FNV-1a, mixed.
fn unit(seed: u64, bytes: &[u8]) -> f64 {
    let hash =
        bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mixed = (hash ^ hash >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ mixed >> 29) >> 11) as f64 / (1_u64 << 53) as f64
}
