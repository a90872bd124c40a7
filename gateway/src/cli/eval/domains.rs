//! The table of domains.

use comfy_table::{CellAlignment, Table, presets};
use router_model::eval::{DomainReport, SourceFigures};

use crate::cli::print;

/// Prints a report: the figure, its controls, its calibration, and the tables.
pub(in crate::cli) fn show(report: &DomainReport) {
    let [low, high] = report.accuracy_interval;
    print::out!("accuracy   {:.3} of {} prompts (95 %: {low:.3} to {high:.3})", report.accuracy, report.n);
    if report.lenient > report.accuracy {
        print::out!("lenient    {:.3}, where a second label counts", report.lenient);
    }
    print::out!("macro F1   {:.3}", report.macro_f1);
    let (name, share) = &report.most_frequent;
    print::out!("control    {share:.3} by always saying {name}");
    if low <= *share {
        print::out!("           the model is not significantly better than that control");
    }
    print::out!("ECE        {:.4}, where its floor on so few rows is {:.4}", report.ece, report.ece_floor);
    if report.unknown > 0 {
        print::out!("left out   {} prompts of domains that the model does not know", report.unknown);
    }
    print::out!("{}", domains(report));
    if !report.kinds.is_empty() {
        print::out!("{}", groups("kind", &report.kinds));
    }
    print::out!("{}", groups("source", &report.sources));
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

fn groups(name: &str, figures: &[SourceFigures]) -> Table {
    let mut table = table(&[name, "prompts", "accuracy", "lenient"]);
    for group in figures {
        let shares = [group.accuracy, group.lenient].map(|share| format!("{share:.3}"));
        table.add_row([group.source.clone(), group.n.to_string()].into_iter().chain(shares));
    }
    table
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
