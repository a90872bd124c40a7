//! Every seed of the fuzz targets, without a fuzzer.

use std::fs;
use std::path::Path;

#[path = "fuzz/checks/ask.rs"]
mod ask;
#[path = "fuzz/checks/config.rs"]
mod config;
#[path = "fuzz/checks/head.rs"]
mod head;
#[path = "fuzz/checks/text.rs"]
mod text;
#[path = "fuzz/checks/usage.rs"]
mod usage;
#[path = "fuzz/checks/watch.rs"]
mod watch;
#[path = "fuzz/checks/weights.rs"]
mod weights;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds").join(target);
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let seeds: Vec<Vec<u8>> = files.collect();
    assert!(seeds.len() >= 12, "only {} seeds for {target}", seeds.len());
    seeds
}

#[test]
fn no_seed_breaks_the_reading_and_rewriting_of_bodies() {
    for seed in seeds("ask") {
        ask::check(&seed);
    }
}

#[test]
fn no_seed_breaks_the_reading_of_usage_and_answers() {
    for seed in seeds("usage") {
        usage::check(&seed);
        for at in 0..=seed.len() {
            usage::check(&seed[..at]);
            usage::check(&seed[at..]);
        }
    }
}

#[test]
fn no_seed_breaks_the_watching_of_streams_wherever_it_is_cut() {
    for seed in seeds("watch") {
        let (cuts, stream) = watch::cuts_and_stream(&seed);
        watch::check(stream, &cuts);
        for at in 0..=stream.len() {
            watch::check(stream, &[at]);
        }
    }
}

#[test]
fn no_seed_breaks_the_judging_of_heads_wherever_it_is_cut() {
    for seed in seeds("head") {
        head::check(&seed);
    }
}

#[test]
fn no_seed_breaks_the_reading_of_texts_however_little_is_looked_at() {
    for seed in seeds("text") {
        let (head, tail, literal) = text::sizes_and_literal(&seed).expect("a seed is a text");
        text::check(head, tail, literal);
        for size in (0..80).chain([4095, 4096, 4097, 8191, 8192, 8193]) {
            text::check(size, 0, literal);
            text::check(0, size, literal);
            text::check(size, size, literal);
        }
    }
}

#[test]
fn no_seed_breaks_the_reading_of_configurations() {
    for seed in seeds("config") {
        config::check(&seed);
        for at in (0..seed.len()).step_by(7) {
            config::check(&seed[..at]);
        }
    }
}

#[test]
fn no_seed_breaks_the_reading_of_router_models() {
    for seed in seeds("weights") {
        weights::check(&seed);
        for at in 0..=seed.len() {
            weights::check(&seed[..at]);
        }
    }
}
