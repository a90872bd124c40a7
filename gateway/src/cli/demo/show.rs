//! What the demo shows: a line per request as it happens, then the sums.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use owo_colors::OwoColorize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::world::World;
use crate::cli::print;
use crate::price::MicroUsd;
use crate::record::{Finished, Reason};

/// One request.
pub(super) struct Row<'a> {
    pub(super) prompt: &'a str,
    pub(super) domain: &'a str,
    pub(super) record: &'a Finished,
    /// Whether the answer is right, where that is on record.
    pub(super) right: Option<bool>,
}

/// Columns of a prompt: what a terminal of 100 leaves.
const PROMPT: usize = 26;

#[derive(Default)]
struct Sum {
    requests: u32,
    cost: MicroUsd,
    baseline: MicroUsd,
}

impl Sum {
    fn add(&mut self, record: &Finished) {
        self.requests += 1;
        self.cost += record.cost_usd.unwrap_or_default();
        self.baseline += record.baseline_cost_usd.unwrap_or_default();
    }
}

/// The table, and what it adds up to.
#[derive(Default)]
pub(super) struct Show {
    all: Sum,
    experts: BTreeMap<String, Sum>,
    named: u32,
    route_micros: Vec<u64>,
}

impl Show {
    /// Says what runs and what is simulated.
    pub(super) fn begin(world: &World, took: Duration) -> Self {
        let count = world.gateway.state.snapshot().experts.len();
        print::out!(
            "{} {count} models behind one endpoint, up in {} ms",
            "mixgate demo".bold(),
            took.as_millis()
        );
        for line in [
            "The answers are simulated by mock models on this machine. Routing, sockets and metering are real;",
            "so is ✓ or ✗, where the very model's answer to the very prompt is on record.",
        ] {
            print::out!("{}", line.yellow());
        }
        print::out!();
        let head = format!(
            "{:<PROMPT$} {:<12} {:<13} ? {:>5} {:<19} {:>8} {:>8}",
            "prompt", "domain", "expert", "conf.", "reason", "cost µ$", "saved µ$"
        );
        print::out!("{}", head.dimmed());
        Self::default()
    }

    /// One line.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        let record = row.record;
        let Some(decision) = &record.decision else { return };
        let domain = decision.domain().unwrap_or("unknown");
        self.named += u32::from(domain == row.domain);
        self.route_micros.push(decision.route_micros);
        let expert = record.chosen.as_deref().unwrap_or("none");
        self.all.add(record);
        self.experts.entry(expert.to_owned()).or_default().add(record);
        let reason = record.reason.map_or("", Reason::as_str);
        let reason = format!("{reason:<19}");
        let plain = record.reason == Some(Reason::Routed);
        let money = |m: Option<MicroUsd>| m.map_or_else(|| "-".to_owned(), |m| m.0.to_string());
        print::out!(
            "{} {:<12} {:<13} {} {:>5.2} {} {:>8} {:>8}",
            shortened(row.prompt, PROMPT),
            domain,
            expert,
            match row.right {
                Some(true) => "✓".green().to_string(),
                Some(false) => "✗".red().to_string(),
                None => " ".to_owned(),
            },
            decision.confidence(),
            if plain { reason.dimmed().to_string() } else { reason.yellow().to_string() },
            money(record.cost_usd),
            money(record.saved_usd).green(),
        );
    }

    /// The sums.
    pub(super) fn totals(&mut self, world: &World) {
        let snapshot = world.gateway.state.snapshot();
        print::out!();
        print::out!("{}", self.table(&snapshot.experts[snapshot.fallback].name));
        let saved = self.all.baseline - self.all.cost;
        let share = 100.0 * saved.usd() / self.all.baseline.usd().max(f64::MIN_POSITIVE);
        print::out!(
            "{} requests cost ${} instead of ${} at {}: {} saved, {:.0} %.",
            self.all.requests,
            self.all.cost,
            self.all.baseline,
            snapshot.experts[snapshot.fallback].name,
            format!("${saved}").green().bold(),
            share
        );
        self.route_micros.sort_unstable();
        let median = self.route_micros.get(self.route_micros.len() / 2).copied().unwrap_or_default();
        print::out!(
            "The router named the labelled domain of {} of {} prompts, in {median} µs each (median).",
            self.named,
            self.all.requests
        );
        print::out!(
            "Prices are examples, lengths of answers simulated: this shows the mechanism, not your traffic."
        );
    }

    fn table(&self, fallback: &str) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            "expert",
            "requests",
            "share",
            "cost $",
            "at the fallback $",
            "saved $",
        ]);
        for (name, sum) in &self.experts {
            let name = if name == fallback { format!("{name} (fallback)") } else { name.clone() };
            table.add_row(self.cells(&name, sum));
        }
        table.add_row(self.cells("all", &self.all));
        table
    }

    fn cells(&self, name: &str, sum: &Sum) -> Vec<Cell> {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let share = 100.0 * f64::from(sum.requests) / f64::from(self.all.requests.max(1));
        vec![
            Cell::new(name),
            right(sum.requests.to_string()),
            right(format!("{share:.0} %")),
            right(sum.cost.to_string()),
            right(sum.baseline.to_string()),
            right((sum.baseline - sum.cost).to_string()),
        ]
    }

    /// What to try next.
    pub(super) fn invite(&self, world: &World) {
        let (data, admin) = (world.gateway.data, world.gateway.admin);
        print::out!();
        print::out!("{}", "Still serving; Ctrl-C ends it. Try:".bold());
        print::out!("  curl -i http://{data}/v1/chat/completions -H 'content-type: application/json' \\");
        print::out!(
            "    -d '{{\"model\":\"auto\",\"messages\":[{{\"role\":\"user\",\"content\":\"Integrate x^2 from 0 to 3\"}}]}}'"
        );
        print::out!("  curl http://{data}/v1/models");
        print::out!("  curl http://{admin}/metrics");
        print::out!("  mixgate top --admin http://{admin}");
        print::out!("Or open the console in a browser: http://{admin}/ui/");
    }
}

/// The prompt in one line, cut or filled up to a width in columns.
fn shortened(prompt: &str, width: usize) -> String {
    let line = prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = String::new();
    let mut columns = 0;
    for letter in line.chars() {
        let wide = letter.width().unwrap_or(0);
        if columns + wide > width - 1 && line.width() > width {
            shown.push('…');
            columns += 1;
            break;
        }
        shown.push(letter);
        columns += wide;
    }
    shown + &" ".repeat(width.saturating_sub(columns))
}
