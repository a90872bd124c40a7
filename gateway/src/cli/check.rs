//! `mixgate check`: validates a configuration and prints what it resolves to.

use std::path::PathBuf;
use std::sync::Arc;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

use super::Exit;
use crate::config::written::Pricing;
use crate::config::{self, written};
use crate::meter::Meter;
use crate::snapshot::{load_classifier, snapshot_for_dry_runs};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "experts.yaml")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let checked = config::load(&args.config).map_err(|faults| Exit::Input(faults.to_string()))?;
    let classifier = load_classifier(&checked.config).map_err(Exit::Input)?;
    let mut warnings = checked.warnings.clone();
    // it may be another machine that serves
    warnings.extend(crate::ledger::look(&checked.config.log.decisions).err());
    let meter = Meter::new(classifier.version());
    let snapshot = snapshot_for_dry_runs(checked, Arc::clone(&classifier), &meter).map_err(Exit::Input)?;
    let config = &snapshot.config;
    anstream::println!("{}: valid, hash {}", args.config.display(), snapshot.hash);
    anstream::println!("data plane   http://{}", config.server.listen);
    anstream::println!("admin plane  http://{}", config.server.admin_listen);
    anstream::println!(
        "router model {} ({} domains), deadline {}",
        classifier.version(),
        classifier.domains().len(),
        config.router.deadline
    );
    for named in &snapshot.policies {
        let mark = if named.name == config.router.policy { " (auto)" } else { "" };
        let require = if named.require.is_empty() {
            String::new()
        } else {
            format!(", requires {}", named.require.join(", "))
        };
        anstream::println!("policy       {}{mark}: {}{require}", named.name, named.policy.describe());
        if let Some(measured) = named.measured(&snapshot.experts, snapshot.fallback, &*classifier) {
            anstream::println!("             {measured}");
        }
    }
    anstream::println!("rules        {}", config.rules.len());
    anstream::println!(
        "tenants      {}",
        if config.tenants.is_empty() {
            "none: anyone may call".to_owned()
        } else {
            config.tenants.len().to_string()
        }
    );
    anstream::println!("{}", experts(config));
    for warning in &warnings {
        anstream::eprintln!("warning: {warning}");
    }
    Ok(())
}

fn experts(config: &written::Config) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
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
