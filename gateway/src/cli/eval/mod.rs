//! `mixgate eval`: how good a router model is, beside the controls.
//!
//! Which tables it prints follows from what it is given: labelled prompts, graded answers of two models, graded
//! answers of a panel of experts, or the rules of a configuration.

mod domains;
mod latency;
mod outcomes;
pub(super) mod picture;
mod robust;
mod rules;
pub(super) mod served;
mod strange;

use std::path::{Path, PathBuf};

use router_model::eval::{DomainReport, evaluate_by};
use router_model::{RouterModel, data};
use serde::Serialize;

use super::Exit;
use crate::cli::print;
pub(super) use domains::show;
use latency::Latency;
pub(super) use outcomes::{LEARNED, parameters};

/// Judge a router model on labelled prompts or graded answers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model: `builtin`, or a file made by `mixgate train`.
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    model: String,
    /// Labelled prompts: JSON lines with `prompt`, `domain` and, where known, `source`.
    #[arg(long, value_name = "FILE", required_unless_present = "outcomes")]
    domains: Option<PathBuf>,
    /// Prompts unlike those of `--domains`, of the same shape, that should be taken for strange ones. Made-up
    /// gibberish is tried in any case.
    #[arg(long, value_name = "FILE", requires = "domains")]
    unlike: Option<PathBuf>,
    /// Judge the governance rules of `--config` on the prompts of `--domains`, and nothing else: how many prompts of a
    /// rule's domains escape it, and to how many others it applies.
    #[arg(long, requires_all = ["config", "domains"], conflicts_with_all = ["model", "unlike", "outcomes"])]
    rules: bool,
    /// The configuration whose rules are judged, with the router model that it names.
    #[arg(long, value_name = "FILE", requires = "rules")]
    config: Option<PathBuf>,
    #[command(flatten)]
    outcomes: outcomes::Args,
    /// Write pictures of what graded answers tell into this folder, as SVG: `experts.svg`, `pair.svg`,
    /// `calibration.svg`.
    #[arg(long, value_name = "DIR", requires = "outcomes")]
    pictures: Option<PathBuf>,
    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Judgement<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domains: Option<DomainReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    robust: Vec<robust::Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_of_distribution: Option<strange::Strange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latency: Vec<Latency>,
    memory_bytes: usize,
    #[serde(flatten)]
    outcomes: outcomes::Judgement,
}

/// Judges, and prints tables or JSON.
pub(crate) fn run(args: Args) -> Result<(), Exit> {
    let Args { model, domains, unlike, rules, config, outcomes, pictures, json } = args;
    if let (true, Some(config), Some(domains)) = (rules, &config, &domains) {
        return run_rules(config, domains, json);
    }
    let model = super::load_router_model(&model)?;
    let rows = match &domains {
        Some(file) => Some(data::read(file).map_err(|error| Exit::Input(error.to_string()))?),
        None => None,
    };
    let unlike = match &unlike {
        Some(file) => data::read_prompts(file).map_err(|error| Exit::Input(error.to_string()))?,
        None => Vec::new(),
    };
    if let Some(file) = &domains {
        warn_if_seen(&model, file)?;
    }
    if let (Some(rows), Some(file)) = (&rows, &domains)
        && !rows.iter().any(|row| {
            row.is_none() || row.domain.as_ref().is_some_and(|name| model.domains().contains(name))
        })
    {
        return Err(Exit::Input(format!(
            "{}: no label is a domain of the router model, which knows {}",
            file.display(),
            model.domains().join(" ")
        )));
    }
    let judgement = Judgement {
        model: model.version(),
        domains: rows
            .as_ref()
            .map(|rows| evaluate_by(model.domains(), rows, &mut |row| served::read(&model, row))),
        robust: rows.as_ref().map_or_else(Vec::new, |rows| robust::judge(&model, rows)),
        out_of_distribution: rows.as_ref().map(|rows| strange::judge(&model, rows, &unlike)),
        latency: rows.as_ref().map_or_else(Vec::new, |rows| latency::measure(&model, rows)),
        memory_bytes: model.memory_bytes(),
        outcomes: outcomes::judge(&model, &outcomes)?,
    };
    if let Some(folder) = &pictures {
        outcomes::draw(&judgement.outcomes, folder)?;
    }
    if json {
        return print_json(&judgement);
    }
    if let (Some(report), Some(file)) = (&judgement.domains, &domains) {
        print::out!("router model {} on {}", judgement.model, file.display());
        show(report);
        print::out!("{}", robust::show(&judgement.robust));
    }
    if let Some(strange) = &judgement.out_of_distribution {
        strange::show(strange);
    }
    if !judgement.latency.is_empty() {
        print::out!("{}", latency::show(&judgement.latency));
        let mebibytes = judgement.memory_bytes as f64 / 1048576.0;
        print::out!("memory of the loaded model: {mebibytes:.1} MiB");
    }
    outcomes::show(&judgement.outcomes);
    Ok(())
}

/// Judges the rules of a configuration, and prints tables or JSON.
fn run_rules(config: &Path, domains: &Path, json: bool) -> Result<(), Exit> {
    let report = rules::judge(config, domains)?;
    if json {
        return print_json(&report);
    }
    rules::show(&report);
    Ok(())
}

fn print_json<T: Serialize>(value: &T) -> Result<(), Exit> {
    let json = serde_json::to_string(value).map_err(|error| Exit::Internal(error.to_string()))?;
    print::out!("{json}");
    Ok(())
}

/// Figures on what a model was made from flatter it.
fn warn_if_seen(model: &RouterModel, file: &Path) -> Result<(), Exit> {
    if has_seen(model, file)? {
        print::err!("warning: the model was trained or tuned on {}", file.display());
    }
    Ok(())
}

/// Whether a file is among those that a model was made from.
fn has_seen(model: &RouterModel, file: &Path) -> Result<bool, Exit> {
    let digest = super::sha256(file)?;
    Ok(model.card().files.iter().any(|seen| seen.sha256 == digest))
}
