//! `mixgate check`: validates a configuration and prints what it resolves to.

mod reach;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::Exit;
use crate::cli::print;
use crate::config::written::Pricing;
use crate::config::{self, written};
use crate::meter::Meter;
use crate::policy::{self, Measured, Reach};
use crate::router_file;
use crate::snapshot::{Snapshot, snapshot_for_dry_runs};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "experts.yaml")]
    config: PathBuf,
    /// What the policies do, and the warnings, as JSON.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Found<'a> {
    hash: &'a str,
    router_version: &'a str,
    policies: Vec<PolicyFound<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct PolicyFound<'a> {
    name: &'a str,
    dial: String,
    auto: bool,
    /// On graded prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<&'a Measured>,
    /// On requests as people write them.
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<&'a Reach>,
}

impl<'a> PolicyFound<'a> {
    fn of(snapshot: &'a Snapshot, place: usize) -> Self {
        let named = &snapshot.policies[place];
        PolicyFound {
            name: &named.name,
            dial: named.policy.describe(),
            auto: place == snapshot.default_policy,
            measured: policy::measured(snapshot, place),
            reach: policy::reach(snapshot, place),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let loaded = router_file::load(&args.config);
    let (checked, classifier) = loaded.map_err(|faults| Exit::Input(faults.to_string()))?;
    let mut warnings = checked.warnings.clone();
    // it may be another machine that serves
    warnings.extend(crate::ledger::look(&checked.config.log.decisions).err());
    let meter = Meter::new(classifier.version());
    let snapshot = snapshot_for_dry_runs(checked, Arc::clone(&classifier), &meter).map_err(Exit::Input)?;
    warnings.extend(reach::warnings(&snapshot));
    if args.json {
        return print_json(&snapshot, &warnings);
    }
    show(&args.config, &snapshot);
    for warning in &warnings {
        print::err!("warning: {warning}");
    }
    Ok(())
}

fn print_json(snapshot: &Snapshot, warnings: &[String]) -> Result<(), Exit> {
    let found = Found {
        hash: &snapshot.hash,
        router_version: snapshot.classifier.version(),
        policies: (0..snapshot.policies.len()).map(|place| PolicyFound::of(snapshot, place)).collect(),
        warnings,
    };
    let json = serde_json::to_string_pretty(&found).map_err(|e| Exit::Internal(e.to_string()))?;
    print::out!("{json}");
    Ok(())
}

fn show(path: &Path, snapshot: &Snapshot) {
    let (config, classifier) = (&snapshot.config, &snapshot.classifier);
    print::out!("{}: valid, hash {}", path.display(), snapshot.hash);
    print::out!("data plane   http://{}", config.server.listen);
    print::out!("admin plane  http://{}", config.server.admin_listen);
    print::out!(
        "router model {} ({} domains), deadline {}",
        classifier.version(),
        classifier.domains().len(),
        config.router.deadline
    );
    for (place, named) in snapshot.policies.iter().enumerate() {
        let mark = if named.name == config.router.policy { " (auto)" } else { "" };
        let require = if named.require.is_empty() {
            String::new()
        } else {
            format!(", requires {}", named.require.join(", "))
        };
        print::out!("policy       {}{mark}: {}{require}", named.name, named.policy.describe());
        if let Some(reach) = policy::reach(snapshot, place) {
            print::out!("             {reach}");
        }
        if let Some(measured) = policy::measured(snapshot, place) {
            print::out!("             {measured}");
        }
    }
    print::out!("rules        {}", config.rules.len());
    print::out!(
        "tenants      {}",
        if config.tenants.is_empty() {
            "none: anyone may call".to_owned()
        } else {
            config.tenants.len().to_string()
        }
    );
    print::out!("{}", experts(config));
    if let (Some(shares), Some(auto)) =
        (reach::shares(snapshot), policy::reach(snapshot, snapshot.default_policy))
    {
        print::out!("\nwho answers requests as people write them, by policy:\n{shares}");
        let name = &snapshot.policies[snapshot.default_policy].name;
        if !auto.experts.is_empty() {
            print::out!("\nwhere each expert wins under {name}:\n{}", reach::wins(auto));
        }
    }
}

/// Columns of a table where there is no terminal.
const WIDTH: u16 = 160;

/// Columns that a table may have.
fn width() -> u16 {
    console::Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| columns)
}

fn experts(config: &written::Config) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width());
    table.set_header([
        "expert",
        "model",
        "endpoints",
        "USD/1M in · out",
        "context",
        "domains with a figure, catalogue",
    ]);
    for expert in &config.experts {
        let role = if expert.name == config.fallback.primary() { " (fallback)" } else { "" };
        let endpoints: Vec<String> = expert
            .base_url
            .iter()
            .map(String::as_str)
            .chain(expert.endpoints.iter().map(|e| e.base_url.as_str()))
            .map(config::without_secrets)
            .collect();
        let price = match expert.price {
            Some(Pricing::Listed(price)) => format!("{} · {}", price.input_per_1m, price.output_per_1m),
            Some(Pricing::Reported(_)) => "reported".to_owned(),
            None => "unpriced".to_owned(),
        };
        let quality = expert.quality.iter().map(|(d, q)| format!("{d} {q}"));
        let quality: Vec<String> = quality.chain(expert.catalogue.clone()).collect();
        table.add_row([
            format!("{}{role}", expert.name),
            expert.model.clone(),
            endpoints.join("\n"),
            price,
            expert.context_window.to_string(),
            quality.join(", "),
        ]);
    }
    table
}
