//! One screen: the sums, the experts, the last decisions.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use owo_colors::OwoColorize;
use serde::Deserialize;

/// What is read of `/api/figures`.
#[derive(Deserialize)]
pub(super) struct Figures {
    time: f64,
    draining: bool,
    config_hash: String,
    router_version: String,
    fallback: String,
    in_flight: u64,
    requests: BTreeMap<String, u64>,
    request_duration: Buckets,
    time_to_first_token: Buckets,
    overhead: Buckets,
    cost_usd: f64,
    baseline_cost_usd: f64,
    saved_usd: f64,
    experts: Vec<Expert>,
}

#[derive(Deserialize, Default)]
struct Buckets {
    le: Vec<f64>,
    cumulative: Vec<u64>,
    count: u64,
}

#[derive(Deserialize)]
struct Expert {
    name: String,
    in_flight: u64,
    max_concurrency: u64,
    requests: BTreeMap<String, u64>,
    request_duration: Buckets,
    cost_usd: f64,
    saved_usd: f64,
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    circuit: String,
}

/// What is read of `/api/decisions`.
#[derive(Deserialize)]
pub(super) struct Recent {
    decisions: Vec<Decision>,
}

#[derive(Deserialize)]
struct Decision {
    time: String,
    domain: Option<String>,
    chosen: Option<String>,
    reason: Option<String>,
    outcome: String,
    cost_usd: Option<f64>,
    saved_usd: Option<f64>,
    total_millis: f64,
}

/// Outcomes that are nobody's wish.
const FAILED: [&str; 3] = ["upstream_error", "timeout", "rejected"];

fn total(requests: &BTreeMap<String, u64>) -> u64 {
    requests.values().sum()
}

fn failed(requests: &BTreeMap<String, u64>) -> u64 {
    FAILED.iter().filter_map(|outcome| requests.get(*outcome)).sum()
}

/// A quantile of what came between two looks, straight lines within buckets; `None` of nothing.
fn quantile(part: f64, now: &Buckets, before: Option<&Buckets>) -> Option<f64> {
    let old = |at: usize| before.and_then(|before| before.cumulative.get(at)).copied().unwrap_or(0);
    let count = now.count - before.map_or(0, |before| before.count.min(now.count));
    let rank = part * count as f64;
    let (mut low, mut below) = (0.0, 0.0);
    for (at, &le) in now.le.iter().enumerate() {
        let up_to = now.cumulative[at].saturating_sub(old(at)) as f64;
        if count > 0 && up_to >= rank {
            let inside = (up_to - below).max(1.0);
            return Some(low + (le - low) * (rank - below) / inside);
        }
        (low, below) = (le, up_to);
    }
    (count > 0).then_some(low)
}

fn seconds(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(s) if s >= 1.0 => format!("{s:.2} s"),
        Some(s) if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        Some(s) => format!("{:.0} µs", s * 1e6),
    }
}

fn usd(value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "" };
    let size = value.abs();
    if size >= 1.0 || size == 0.0 { format!("{sign}${size:.2}") } else { format!("{sign}${size:.6}") }
}

/// The screen.
pub(super) fn show(now: &Figures, before: &Figures, recent: &Recent, address: &str) -> String {
    let mut lines = vec![
        format!(
            "{} {address}   configuration {}   router {}{}",
            "mixgate".bold(),
            now.config_hash,
            now.router_version,
            if now.draining { "   draining" } else { "" }
        ),
        sums(now, before),
        money(now),
        experts(now, before).to_string(),
    ];
    if !recent.decisions.is_empty() {
        lines.push(decisions(recent).to_string());
    }
    lines.join("\n")
}

fn sums(now: &Figures, before: &Figures) -> String {
    let span = (now.time - before.time).max(1e-3);
    let new = total(&now.requests).saturating_sub(total(&before.requests));
    let wrong = failed(&now.requests).saturating_sub(failed(&before.requests));
    let of = |part, of: fn(&Figures) -> &Buckets| seconds(quantile(part, of(now), Some(of(before))));
    let failed =
        if new == 0 { "–".to_owned() } else { format!("{:.1} %", wrong as f64 / new as f64 * 100.0) };
    format!(
        "{:.1} requests/s   failed {failed}   in flight {}   latency {} · 95 %: {}   first token {}   own time {}",
        if span > 0.1 { new as f64 / span } else { 0.0 },
        now.in_flight,
        of(0.5, |figures| &figures.request_duration),
        of(0.95, |figures| &figures.request_duration),
        of(0.5, |figures| &figures.time_to_first_token),
        of(0.5, |figures| &figures.overhead),
    )
}

fn money(now: &Figures) -> String {
    let share = if now.baseline_cost_usd > 0.0 {
        format!(" ({:.1} %)", now.saved_usd / now.baseline_cost_usd * 100.0)
    } else {
        String::new()
    };
    format!(
        "cost so far {}   all to {} {}   saved {}{share}",
        usd(now.cost_usd),
        now.fallback,
        usd(now.baseline_cost_usd),
        usd(now.saved_usd)
    )
}

fn table(header: &[&str], figures_from: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for column in table.column_iter_mut().skip(figures_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn experts(now: &Figures, before: &Figures) -> Table {
    let mut table = table(
        &[
            "\nexpert",
            "\nhealth",
            "\nrequests",
            "\nshare",
            "\nfailed",
            "\nin flight",
            "\nmedian",
            "\n95 %",
            "\ncost",
            "\nsaved",
        ],
        2,
    );
    let all = total(&now.requests).max(1) as f64;
    for expert in &now.experts {
        let old = before.experts.iter().find(|old| old.name == expert.name).map(|old| &old.request_duration);
        let sick = expert.endpoints.iter().filter(|endpoint| endpoint.circuit != "closed").count();
        let health = match sick {
            0 => "healthy".to_owned(),
            sick => format!("{sick} of {} left alone", expert.endpoints.len()),
        };
        let requests = total(&expert.requests);
        table.add_row([
            expert.name.clone(),
            health,
            requests.to_string(),
            format!("{:.1} %", requests as f64 / all * 100.0),
            failed(&expert.requests).to_string(),
            format!("{}/{}", expert.in_flight, expert.max_concurrency),
            seconds(quantile(0.5, &expert.request_duration, old)),
            seconds(quantile(0.95, &expert.request_duration, old)),
            usd(expert.cost_usd),
            usd(expert.saved_usd),
        ]);
    }
    table
}

fn decisions(recent: &Recent) -> Table {
    let mut table = table(
        &["\nlast decisions", "\ndomain", "\nexpert", "\nreason", "\noutcome", "\ncost", "\nsaved", "\ntook"],
        5,
    );
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let money = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), usd);
    for decision in &recent.decisions {
        table.add_row([
            Cell::new(decision.time.get(11..19).unwrap_or(&decision.time)),
            Cell::new(or(&decision.domain)),
            Cell::new(or(&decision.chosen)),
            Cell::new(or(&decision.reason)),
            Cell::new(&decision.outcome),
            Cell::new(money(decision.cost_usd)),
            Cell::new(money(decision.saved_usd)),
            Cell::new(seconds(Some(decision.total_millis / 1e3))),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_that_of_what_came_between_two_looks() {
        let buckets = |cumulative: [u64; 3], count| Buckets {
            le: vec![0.1, 1.0, 10.0],
            cumulative: cumulative.into(),
            count,
        };
        let (before, now) = (buckets([100, 100, 100], 100), buckets([100, 110, 110], 110));
        let median = quantile(0.5, &now, Some(&before)).unwrap();
        assert!((median - 0.55).abs() < 1e-9, "{median}");
        assert_eq!(quantile(0.5, &before, Some(&before)), None);
        assert_eq!(quantile(0.5, &buckets([0, 0, 0], 3), None), Some(10.0), "beyond the last bound");
    }

    #[test]
    fn figures_have_units() {
        assert_eq!([0.000_012, 0.0345, 2.5].map(|s| seconds(Some(s))), ["12 µs", "34.5 ms", "2.50 s"]);
        assert_eq!([-0.001, 12.0, 0.0].map(usd), ["−$0.001000", "$12.00", "$0.00"]);
    }
}
