//! `mixgate eval`: how well a router model names the domains of labelled prompts, beside the controls.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use router_model::eval::{DomainReport, evaluate};
use router_model::{RouterModel, Scratch, data};
use serde::Serialize;

use super::Exit;

/// Judge a router model on labelled prompts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model: `builtin`, or a file made by `mixgate train`.
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    model: String,
    /// Labelled prompts: JSON lines with `prompt`, `domain` and, where known, `source`.
    #[arg(long, value_name = "FILE")]
    domains: PathBuf,
    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Judgement<'a> {
    model: &'a str,
    domains: DomainReport,
    latency: Latency,
}

/// Time of one score, over the prompts of the file, on one core.
#[derive(Serialize)]
struct Latency {
    p50_micros: f64,
    p99_micros: f64,
}

/// Judges, and prints a table or JSON.
pub(crate) fn run(args: Args) -> Result<(), Exit> {
    let Args { model, domains, json } = args;
    let model = load(&model)?;
    let rows = data::read(&domains).map_err(|error| Exit::Input(error.to_string()))?;
    let judgement = Judgement {
        model: model.version(),
        domains: evaluate(&model, &rows),
        latency: latency(&model, &rows),
    };
    if json {
        let json = serde_json::to_string(&judgement).map_err(|error| Exit::Internal(error.to_string()))?;
        anstream::println!("{json}");
        return Ok(());
    }
    anstream::println!("router model {} on {}", judgement.model, domains.display());
    show(&judgement.domains);
    let Latency { p50_micros, p99_micros } = judgement.latency;
    anstream::println!("latency of one score, one core: p50 {p50_micros:.1} µs, p99 {p99_micros:.1} µs");
    Ok(())
}

fn load(model: &str) -> Result<RouterModel, Exit> {
    if model == "builtin" {
        return RouterModel::builtin().map_err(|error| Exit::Internal(error.to_string()));
    }
    let bytes = std::fs::read(Path::new(model)).map_err(|error| Exit::Input(format!("{model}: {error}")))?;
    RouterModel::from_bytes(&bytes).map_err(|error| Exit::Input(format!("{model}: {error}")))
}

fn latency(model: &RouterModel, rows: &[data::Row]) -> Latency {
    let mut scratch = Scratch::default();
    let mut times: Vec<Duration> = rows.iter().map(|row| time(model, &row.prompt, &mut scratch)).collect();
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len().saturating_sub(1)) as f64 * share;
        times.get(place.round() as usize).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Latency { p50_micros: at(0.5), p99_micros: at(0.99) }
}

fn time(model: &RouterModel, text: &str, scratch: &mut Scratch) -> Duration {
    let start = Instant::now();
    black_box(model.score(black_box(text), scratch));
    start.elapsed()
}

/// Prints a report: the figure, its controls, its calibration, and the tables.
pub(super) fn show(report: &DomainReport) {
    let [low, high] = report.accuracy_interval;
    anstream::println!(
        "accuracy   {:.3} of {} prompts (95 %: {low:.3} to {high:.3})",
        report.accuracy,
        report.n
    );
    anstream::println!("macro F1   {:.3}", report.macro_f1);
    let (name, share) = &report.most_frequent;
    anstream::println!("control    {share:.3} by always saying {name}");
    if low <= *share {
        anstream::println!("           the model is not significantly better than that control");
    }
    anstream::println!(
        "ECE        {:.4}, where its floor on so few rows is {:.4}",
        report.ece,
        report.ece_floor
    );
    if report.unknown > 0 {
        anstream::println!("left out   {} prompts of domains that the model does not know", report.unknown);
    }
    anstream::println!("{}", domains(report));
    anstream::println!("{}", sources(report));
}

fn domains(report: &DomainReport) -> Table {
    let mut table = table(&["domain", "prompts", "precision", "recall", "mostly mistaken for"]);
    for (index, domain) in report.domains.iter().enumerate().filter(|(_, domain)| domain.n > 0) {
        table.add_row([
            domain.domain.clone(),
            domain.n.to_string(),
            format!("{:.3}", domain.precision),
            format!("{:.3}", domain.recall),
            mistaken(report, index),
        ]);
    }
    table
}

/// The other domain that rows of this one are most often given.
fn mistaken(report: &DomainReport, domain: usize) -> String {
    let others = report.confusion[domain].iter().enumerate().filter(|&(named, &n)| named != domain && n > 0);
    let most = others.max_by_key(|&(_, n)| n);
    most.map_or_else(String::new, |(named, n)| format!("{} ({n})", report.domains[named].domain))
}

fn sources(report: &DomainReport) -> Table {
    let mut table = table(&["source", "prompts", "accuracy"]);
    for source in &report.sources {
        table.add_row([source.source.clone(), source.n.to_string(), format!("{:.3}", source.accuracy)]);
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
