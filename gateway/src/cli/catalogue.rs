//! `mixgate catalogue`: the models that the router model knows from graded answers, and how good they were.

use comfy_table::{CellAlignment, Table, presets};
use router_model::{Known, RouterModel};

use super::Exit;
use crate::cli::print;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The router model: `builtin`, or a file made by `mixgate train` or `mixgate calibrate`.
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    model: String,
    /// Everything as one JSON array.
    #[arg(long)]
    json: bool,
    /// Only models whose name contains this; of one alone, its domains are shown.
    name: Option<String>,
}

pub(super) fn run(args: Args) -> Result<(), Exit> {
    let Args { model, json, name } = args;
    let model = super::load_router_model(&model)?;
    let name = name.unwrap_or_default().to_lowercase();
    let known: Vec<&Known> =
        model.card().known.iter().filter(|k| k.name.to_lowercase().contains(&name)).collect();
    if json {
        let json = serde_json::to_string(&known).map_err(|error| Exit::Internal(error.to_string()))?;
        print::out!("{json}");
        return Ok(());
    }
    match known[..] {
        [] => return Err(Exit::Input(nothing(&model, &name))),
        [one] => print::out!("{}\n{}", one.name, domains(one)),
        _ => print::out!("{}", models(&known)),
    }
    print::out!(
        "Scores of different sources do not compare: a mean over hard questions is lower than one over easy ones."
    );
    Ok(())
}

fn nothing(model: &RouterModel, name: &str) -> String {
    let names = model.card().known.iter().map(|known| known.name.as_str());
    let near = crate::config::fault_suggestion(name, names);
    format!("the router model {} knows no model `{name}`; {near}", model.version())
}

fn models(known: &[&Known]) -> Table {
    let mut table =
        table(&["model", "graded answers", "mean score", "ECE", "its floor", "domains", "sources"], 5);
    for known in known {
        let figures = [known.mean, known.ece, known.ece_floor].map(|figure| format!("{figure:.3}"));
        let row = [known.name.clone(), known.rows.to_string()].into_iter().chain(figures);
        table.add_row(row.chain([known.domains.len().to_string(), known.sources.join(" ")]));
    }
    table
}

fn domains(known: &Known) -> Table {
    let mut table = table(&["domain", "graded answers", "quality", "95 %"], 4);
    for domain in &known.domains {
        table.add_row([
            domain.domain.clone(),
            domain.rows.to_string(),
            format!("{:.3}", domain.quality),
            format!("{:.3} to {:.3}", domain.low, domain.high),
        ]);
    }
    table
}

fn table(header: &[&str], figures: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1).take(figures) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
