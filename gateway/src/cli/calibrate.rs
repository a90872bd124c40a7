//! `mixgate calibrate`: the router model learns one's own experts from a few hundred graded answers, and what it
//! may promise. The network stays as it is; the result is a new file with a new version.

mod verdict;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use router_model::answers::set_of;
use router_model::fit::{Calibrated, Report, calibrate};
use router_model::outcomes::{self, Outcome};
use router_model::promise::{Promise, Promised};
use router_model::{NONE, RouterModel};

use super::Exit;
use crate::cli::print;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Graded answers: JSON lines with `prompt`, `models{name: score 0..1}` and, where known, `domain`.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    outcomes: Vec<PathBuf>,
    /// An expert to learn, by its name in the file; several: cheapest first.
    #[arg(long = "expert", value_name = "MODEL", required = true)]
    experts: Vec<String>,
    /// The large model, by its name in the file: then promises can be made from these answers.
    #[arg(long, value_name = "MODEL")]
    fallback: Option<String>,
    /// The router model to start from: `builtin`, or a file.
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    model: String,
    /// Where the new model goes; without it nothing is written.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    if args.fallback.as_ref().is_some_and(|fallback| args.experts.contains(fallback)) {
        return Err(Exit::Usage(
            "the fallback is one of the experts: an expert is held against another model".into(),
        ));
    }
    let model = super::load_router_model(&args.model)?;
    let rows = read(args)?;
    learn(&model, &rows, &args.experts, args.fallback.as_ref(), args.out.as_deref())
}

/// Learns, shows what was learned, and writes it unless it is of no use.
pub(super) fn learn(
    model: &RouterModel,
    rows: &[Outcome],
    experts: &[String],
    fallback: Option<&String>,
    out: Option<&Path>,
) -> Result<(), Exit> {
    let unknown: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row.domain.as_deref())
        .filter(|domain| *domain != NONE && !model.domains().iter().any(|known| known == domain))
        .collect();
    if !unknown.is_empty() {
        let unknown: Vec<&str> = unknown.into_iter().collect();
        print::err!(
            "the router model knows no domain {}: figures of it will not be found; it knows {}",
            unknown.join(", "),
            model.domains().join(" ")
        );
    }
    let Calibrated { model, reports } = calibrate(model, rows, experts, fallback).map_err(Exit::Input)?;
    if let Some(fallback) = fallback {
        for expert in experts {
            print::out!("{}", verdict::verdict(&model, rows, expert, fallback));
        }
        if let Some(share) = promised_share(&model, experts, fallback) {
            print::out!("{share}");
        }
        print::out!();
    }
    print::out!("{}", learned(&reports));
    for report in &reports {
        show_quality(report);
    }
    if let Some(fallback) = fallback {
        show_promises(&model, experts, fallback);
    }
    let objections: Vec<String> = reports.iter().filter_map(Report::objection).collect();
    if !objections.is_empty() {
        return Err(Exit::Input(format!("nothing was written\n{}", objections.join("\n"))));
    }
    let Some(out) = out else {
        print::err!("nothing was written: say where with --out FILE");
        return Ok(());
    };
    let bytes = model.to_bytes().map_err(|error| Exit::Internal(error.to_string()))?;
    super::replace(out, &bytes)?;
    print::out!("model {} in {}", model.version(), out.display());
    print::out!("use it: `router: {{ model: {} }}`, and `catalogue: NAME` to each expert", out.display());
    Ok(())
}

fn read(args: &Args) -> Result<Vec<Outcome>, Exit> {
    let mut rows = Vec::new();
    for file in &args.outcomes {
        rows.extend(outcomes::read(file).map_err(|error| Exit::Input(error.to_string()))?);
    }
    Ok(rows)
}

/// A table whose columns behind the first `names` hold figures.
pub(super) fn table(header: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn learned(reports: &[Report]) -> Table {
    let header =
        ["expert", "graded answers", "mean score", "ECE", "its floor", "error", "of the mean", "new to old"];
    let mut table = table(&header, 1);
    for Report { known, error, error_of_mean, against_before } in reports {
        table.add_row([
            known.name.clone(),
            known.rows.to_string(),
            format!("{:.3}", known.mean),
            format!("{:.4}", known.ece),
            format!("{:.4}", known.ece_floor),
            format!("{error:.4}"),
            format!("{error_of_mean:.4}"),
            against_before.map_or_else(|| "–".to_owned(), |[new, before]| format!("{new:.4} to {before:.4}")),
        ]);
    }
    table
}

/// The line for the configuration of those who would rather write figures per domain.
fn show_quality(report: &Report) {
    let domains =
        report.known.domains.iter().map(|domain| format!("{}: {:.2}", domain.domain, domain.quality));
    let domains: Vec<String> = domains.collect();
    if !domains.is_empty() {
        print::out!("{}   quality: {{ {} }}", report.known.name, domains.join(", "));
    }
}

/// The promise that the verdict speaks of.
const USUAL_PROMISE: f64 = 0.05;

/// What may go to experts at the usual promise, in words.
fn promised_share(model: &RouterModel, experts: &[String], fallback: &str) -> Option<String> {
    let experts: Vec<&str> = experts.iter().map(String::as_str).collect();
    let panel = [&experts[..], &[fallback]].concat();
    let calibration = set_of(model.answers(), &panel)?.calibration(&experts, fallback, model.domains())?;
    let share = 100.0 * USUAL_PROMISE;
    Some(match calibration.solve(USUAL_PROMISE, DELTA) {
        Ok(Promised { served, .. }) => format!(
            "at a promise of {share:.0} % (`max_under_route: {USUAL_PROMISE}`) {:.0} % of requests like these go to {}",
            100.0 * served,
            experts.join(", ")
        ),
        Err(few) => format!("a promise of {share:.0} % cannot be made from these answers: {few}"),
    })
}

/// Promises that are shown, and the chance that each breaks by bad luck.
const PROMISES: [f64; 4] = [0.01, 0.05, 0.10, 0.20];
const DELTA: f64 = 0.10;

fn show_promises(model: &RouterModel, experts: &[String], fallback: &str) {
    let experts: Vec<&str> = experts.iter().map(String::as_str).collect();
    let panel = [&experts[..], &[fallback]].concat();
    let set = set_of(model.answers(), &panel);
    let Some(calibration) = set.and_then(|set| set.calibration(&experts, fallback, model.domains())) else {
        print::out!("no prompt has graded answers of {}: nothing can be promised", panel.join(", "));
        return;
    };
    let domains: Vec<&str> = calibration.names().collect();
    print::out!(
        "promises from {} graded prompts that the heads did not learn from, about {}",
        calibration.samples.len(),
        domains.join(", ")
    );
    let mut table =
        table(&["max_under_route", "in", "graded", "in need", "threshold", "bound", "to experts"], 0);
    let mut refusals = Vec::new();
    for at_most in PROMISES {
        match calibration.solve(at_most, DELTA) {
            Ok(Promised { whole, own, served, .. }) => {
                table.add_row(row(at_most, "all", &whole, served));
                for own in own {
                    match own.promise {
                        Ok(promise) => table.add_row(row(at_most, &own.name, &promise, promise.served)),
                        Err(few) => table.add_row([
                            at_most.to_string(),
                            own.name,
                            few.graded.to_string(),
                            few.needing.to_string(),
                            "the fallback answers".to_owned(),
                        ]),
                    };
                }
            }
            Err(few) => refusals.push(format!("  max_under_route: {at_most}   {few}")),
        }
    }
    print::out!("{table}");
    refusals.iter().for_each(|refusal| print::out!("{refusal}"));
}

fn row(at_most: f64, domain: &str, promise: &Promise, served: f64) -> [String; 7] {
    let Promise { graded, needing, threshold, bound, .. } = promise;
    [
        at_most.to_string(),
        domain.to_owned(),
        graded.to_string(),
        needing.to_string(),
        format!("{threshold:.4}"),
        format!("{bound:.4}"),
        format!("{:.1} %", served * 100.0),
    ]
}
