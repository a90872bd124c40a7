//! `mixgate train --domains F --add`: a model learns from one's own labels how its user names things, and domains of the
//! user's own. Its tables and its trunk stay as they are; it takes seconds.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use router_model::data::Row;
use router_model::fit::{Lessons, NewDomain, Step, teach};
use router_model::{DataFile, RouterModel, Taught};

use super::Exit;
use crate::cli::eval::served::is_conversation;
use crate::cli::print;

/// Teaches `model` by the labels of a file, shows what that does, and writes the model unless it does harm.
pub(super) fn run(model: &RouterModel, rows: Vec<Row>, file: DataFile, out: &Path) -> Result<(), Exit> {
    let name = file.name.clone();
    // what goes on with a conversation says little about its domain by itself
    let (conversations, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_conversation);
    let taught = Taught { file, ..Taught::default() };
    let lessons = teach(model, &rows, taught).map_err(|why| Exit::Input(format!("{name}: {why}")))?;
    show(&lessons, conversations.len());
    let objections = lessons.objections();
    if !objections.is_empty() {
        return Err(Exit::Input(format!("nothing was written\n{}", objections.join("\n"))));
    }
    let bytes = lessons.model.to_bytes().map_err(|error| Exit::Internal(error.to_string()))?;
    super::write(out, &bytes)?;
    print::out!("model {} in {}", lessons.model.version(), out.display());
    print::out!("use it: `router: {{ model: {} }}`", out.display());
    Ok(())
}

fn show(lessons: &Lessons, conversations: usize) {
    print::out!("{}", verdict(lessons));
    let counts = lessons.counts.iter().map(|(domain, count)| format!("{domain} {count}"));
    print::out!("labels: {}", counts.collect::<Vec<_>>().join(", "));
    for (count, what) in [
        (conversations, "go on with a conversation: passed over, their last turn says little alone"),
        (lessons.nothing, "are about nothing: passed over"),
    ] {
        if count > 0 {
            print::out!("{count} {what}");
        }
    }
    if !lessons.curve.is_empty() {
        print::out!("\nof the requests that were not learned from, named as labelled (8 draws)");
        print::out!("{}", curve(&lessons.curve));
    }
    if !lessons.new.is_empty() {
        print::out!("\nnew domains, on requests that were not learned from");
        print::out!("{}", new(&lessons.new));
    }
}

/// What the labels do, in a sentence.
fn verdict(lessons: &Lessons) -> String {
    let Lessons { before: [before, loss_before], after: [after, loss_after], judged, .. } = lessons;
    if *judged == 0 {
        return "no label is of a domain that the model knows: what it says of those stays".into();
    }
    let change = match 100.0 * (after - before) {
        points if points >= 0.5 => format!("{points:.0} of 100 more"),
        points if points <= -0.5 => format!("{:.0} of 100 fewer", -points),
        _ => "as many".into(),
    };
    format!(
        "of {judged} labelled requests {before:.3} are named as labelled; of those not learned from, once the others are: {after:.3}, {change} (log loss {loss_before:.3}, then {loss_after:.3})"
    )
}

fn table(header: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn curve(steps: &[Step]) -> Table {
    let mut table = table(&["labels", "judged", "before", "after"], 0);
    for Step { labels, judged, before, after } in steps {
        let cells = [labels.to_string(), judged.to_string(), format!("{before:.3}"), format!("{after:.3}")];
        table.add_row(cells);
    }
    table
}

fn new(domains: &[NewDomain]) -> Table {
    let mut table = table(&["domain", "examples", "found", "others", "named so by mistake"], 1);
    for NewDomain { name, examples, found, others, mistaken } in domains {
        let counts = [examples, found, others, mistaken].map(usize::to_string);
        table.add_row([name.clone()].into_iter().chain(counts));
    }
    table
}
