//! What one score costs on one core, by the length of the text.

use std::hint::black_box;
use std::time::{Duration, Instant};

use comfy_table::Table;
use router_model::data::Row;
use router_model::{RouterModel, Scratch};
use serde::Serialize;

use super::domains::table;

/// Time of one score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Latency {
    text: &'static str,
    n: usize,
    p50_micros: f64,
    p99_micros: f64,
}

/// Lengths that are tried: their names, bytes, and how many texts of each. A token is taken for 4.5 bytes.
const LENGTHS: [(&str, usize, usize); 4] = [
    ("20 tokens", 90, 2000),
    ("100 tokens", 450, 2000),
    ("1,000 tokens", 4500, 500),
    ("1 MiB", 1 << 20, 200),
];

/// Times the prompts as they are, then pieces of them of some lengths.
pub(super) fn measure(model: &RouterModel, rows: &[Row]) -> Vec<Latency> {
    let mut scratch = Scratch::default();
    let whole: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    let mut found = vec![of("the prompts of the file", model, &whole, &mut scratch)];
    let mut all = whole.join("\n");
    while !all.is_empty() && all.len() < 2 << 20 {
        all.extend_from_within(..);
    }
    for (name, bytes, count) in LENGTHS {
        let room = all.len().saturating_sub(bytes);
        let piece = |at: usize| {
            let start = all.floor_char_boundary(room * at / count);
            &all[start..all.floor_char_boundary(start + bytes)]
        };
        found.push(of(name, model, &(0..count).map(piece).collect::<Vec<_>>(), &mut scratch));
    }
    found
}

fn of(text: &'static str, model: &RouterModel, texts: &[&str], scratch: &mut Scratch) -> Latency {
    let mut times: Vec<Duration> = texts.iter().map(|text| time(model, text, scratch)).collect();
    times.sort_unstable();
    let at = |share: f64| {
        let place = times.len().saturating_sub(1) as f64 * share;
        times.get(place.round() as usize).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Latency { text, n: times.len(), p50_micros: at(0.5), p99_micros: at(0.99) }
}

fn time(model: &RouterModel, text: &str, scratch: &mut Scratch) -> Duration {
    let start = Instant::now();
    black_box(model.score(black_box(text), scratch));
    start.elapsed()
}

pub(super) fn show(found: &[Latency]) -> Table {
    let mut table = table(&["one score, one core", "texts", "p50 µs", "p99 µs"]);
    for Latency { text, n, p50_micros, p99_micros } in found {
        let figures = [p50_micros, p99_micros].map(|micros| format!("{micros:.1}"));
        table.add_row([(*text).to_owned(), n.to_string()].into_iter().chain(figures));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_measured_even_of_short_files() {
        let model = RouterModel::builtin().unwrap();
        let row = Row { prompt: "Wie spät ist es? ".repeat(3), ..Row::default() };
        let found = measure(&model, &[row]);
        assert_eq!(found.iter().map(|latency| latency.n).collect::<Vec<_>>(), [1, 2000, 2000, 500, 200]);
        assert!(found.iter().all(|latency| latency.p50_micros > 0.0));
    }
}
