//! `mixgate train --domains F --add`: a model learns from one's own labels how its user names things, and domains of the
//! user's own. Its tables and its trunk stay as they are; it takes seconds.

use std::path::Path;

use comfy_table::Table;
use router_model::data::Row;
use router_model::fit::{Lessons, OwnDomain, Step, teach};
use router_model::{DataFile, RouterModel, Taught};

use super::Exit;
use crate::cli::calibrate::table;
use crate::cli::eval::served::is_conversation;
use crate::cli::print;

/// Teaches `model` by the labels of a file, shows what that does, and writes the model unless it does harm.
pub(super) fn run(model: &RouterModel, rows: Vec<Row>, file: DataFile, out: &Path) -> Result<(), Exit> {
    let name = file.name.clone();
    if model.card().taught.iter().any(|taught| taught.file.sha256 == file.sha256) {
        return Err(Exit::Input(format!(
            "{name}: this model was taught by these labels already; start from another with --model"
        )));
    }
    let all = rows.len();
    // what goes on with a conversation says little about its domain by itself
    let mut rows: Vec<Row> = rows.into_iter().filter(|row| !is_conversation(row)).collect();
    let conversations = all - rows.len();
    rows.retain(|row| row.split != HELD);
    let held = all - conversations - rows.len();
    let passed = match conversations {
        0 => String::new(),
        count => format!("; {count} rows go on with a conversation: their last turn says little alone"),
    };
    let taught = Taught { file, ..Taught::default() };
    let answers = !model.answers().is_empty();
    let lessons = teach(model, &rows, taught).map_err(|why| Exit::Input(format!("{name}: {why}{passed}")))?;
    show(&lessons, conversations, held);
    if answers {
        print::out!(
            "\nit carries graded answers no more, as it reads their prompts otherwise now: for `max_under_route` and what `check` measures, `mixgate calibrate --model` it anew"
        );
    }
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

/// The split of rows that are not learned from.
const HELD: &str = "dev";

fn show(lessons: &Lessons, conversations: usize, held: usize) {
    print::out!("{}", verdict(lessons));
    let counts = lessons.counts.iter().map(|(domain, count)| format!("{domain} {count}"));
    print::out!("labels: {}", counts.collect::<Vec<_>>().join(", "));
    for (count, what) in [
        (conversations, "go on with a conversation: passed over, their last turn says little alone"),
        (held, "are of the split `dev`: not learned from"),
        (lessons.twofold, "prompts have more than one label"),
        (lessons.nothing, "are about nothing: passed over"),
        (lessons.doubles, "stand there more than once: they count once"),
    ] {
        if count > 0 {
            print::out!("{count} {what}");
        }
    }
    if !lessons.curve.is_empty() {
        print::out!("\nof the requests that were not learned from, named as labelled (8 draws)");
        print::out!("{}", curve(&lessons.curve));
    }
    if !lessons.curve.is_empty() {
        let [before, after] = lessons.carried;
        print::out!(
            "of the requests of other people that the model carries {before:.3} are named as labelled before, {after:.3} after"
        );
    }
    if !lessons.own.is_empty() {
        print::out!("\ndomains of your own, on requests that were not learned from, before and after");
        print::out!("{}", own(&lessons.own));
    }
}

/// What the labels do, in a sentence.
fn verdict(lessons: &Lessons) -> String {
    let Lessons { before: [before, loss_before], after: [after, loss_after], judged, own, .. } = lessons;
    let new: Vec<&OwnDomain> = own.iter().filter(|domain| domain.is_new).collect();
    if !new.is_empty() {
        let found = |domain: &&OwnDomain| {
            format!(
                "of the {} examples of `{}` {} are found when they are not learned from",
                domain.examples, domain.name, domain.found
            )
        };
        let others = if *judged > 0 { "; labels of other domains are only what it is told from" } else { "" };
        return format!("{}{others}", new.iter().map(found).collect::<Vec<_>>().join("; "));
    }
    if *judged == 0 {
        return "no label is of a domain that the network was trained with: what it says of those stays"
            .into();
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

fn curve(steps: &[Step]) -> Table {
    let mut table = table(&["labels", "judged", "before", "after"], 0);
    for Step { labels, judged, before, after } in steps {
        let cells = [labels.to_string(), judged.to_string(), format!("{before:.3}"), format!("{after:.3}")];
        table.add_row(cells);
    }
    table
}

fn own(domains: &[OwnDomain]) -> Table {
    let mut table = table(&["domain", "examples", "found", "others", "named so by mistake"], 1);
    for domain in domains {
        let OwnDomain { name, examples, others, .. } = domain;
        let change = |before: usize, after: usize| {
            if domain.is_new { after.to_string() } else { format!("{before} → {after}") }
        };
        let found = change(domain.found_before, domain.found);
        let mistaken = change(domain.mistaken_before, domain.mistaken);
        table.add_row([name.clone(), examples.to_string(), found, others.to_string(), mistaken]);
    }
    table
}
