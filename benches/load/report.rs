//! A run for readers: tables with the expectation beside the result, a chart per curve.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::chart::{self, short};
use crate::machine::Machine;
use crate::run::{Compared, Curve, Figure, Row, Run, Spread};

/// Writes `run.json`, `README.md` and the charts.
pub(crate) fn write(run: &Run, out: &Path) -> io::Result<()> {
    fs::create_dir_all(out)?;
    fs::write(out.join("run.json"), serde_json::to_string_pretty(run)? + "\n")?;
    fs::write(out.join("README.md"), text(run))?;
    for curve in &run.curves {
        fs::write(out.join(format!("{}.svg", curve.name)), chart::svg(curve))?;
    }
    Ok(())
}

/// The README.
pub(crate) fn text(run: &Run) -> String {
    let mut out = "# Load: direct, through nginx, through mixgate\n\n".to_owned();
    setting(&mut out, &run.command, &run.machine, run.quick);
    rows(&mut out, &run.rows);
    figures(&mut out, &run.figures);
    for curve in &run.curves {
        table(&mut out, curve);
    }
    let _ = writeln!(out, "Requests without a whole 200: {}.", run.failed);
    out
}

/// The command, and where and when it ran.
pub(crate) fn setting(out: &mut String, command: &str, m: &Machine, quick: bool) {
    let _ = writeln!(
        out,
        "```sh\n{}\n```\n\n\
         | | |\n|---|---|\n| commit | {} |\n| date | {} |\n| machine | {}, {} cores, {} |\n\
         | load average before | {} |\n| compared with | {} |\n| compiler | {}, profile `{}` |\n",
        command, m.commit, m.date, m.cpu, m.cores, m.kernel, m.load_before, m.nginx, m.rustc, m.profile
    );
    let _ = writeln!(
        out,
        "Generator, servers and mock share this machine. CPU is the server's own, user and system; «direct» is \
         the mock's. Figures are medians over rounds, with least and most. What to believe are ratios: the \
         three ways take turns in one run.{}\n",
        if quick { " This was a quick run: short slices, few rounds." } else { "" }
    );
}

fn rows(out: &mut String, rows: &[Row]) {
    out.push_str(
        "| measure | direct | nginx | mixgate | added by nginx | added by mixgate | ratio | expected | |\n",
    );
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|---|\n");
    for row in rows {
        let added = |way: &Spread| match row.compared {
            Compared::Added => digits(way.median - row.direct.median),
            Compared::Own => String::new(),
        };
        let _ = writeln!(
            out,
            "| {}, {} | {} | {} | {} | {} | {} | {:.2} | ≤ {} | {} |",
            row.name,
            row.unit,
            spread(&row.direct),
            spread(&row.nginx),
            spread(&row.mixgate),
            added(&row.nginx),
            added(&row.mixgate),
            row.ratio,
            row.at_most,
            met(row.ratio <= row.at_most)
        );
    }
    out.push('\n');
}

fn figures(out: &mut String, figures: &[Figure]) {
    out.push_str("| mixgate | result | expected | |\n|---|--:|--:|---|\n");
    for figure in figures {
        let (expected, verdict) = figure.below.map_or_else(Default::default, |below| {
            (format!("< {below} {}", figure.unit), met(figure.value.median < below))
        });
        let _ = writeln!(
            out,
            "| {} | {} {} | {expected} | {verdict} |",
            figure.name,
            spread(&figure.value),
            figure.unit
        );
    }
    out.push('\n');
}

fn table(out: &mut String, curve: &Curve) {
    let _ = writeln!(out, "## {}\n\n![{}]({}.svg)\n", curve.title, curve.title, curve.name);
    let names: Vec<&str> = curve.lines.iter().map(|line| line.name).collect();
    let _ = writeln!(out, "| {} | {} |", curve.x_label, names.join(" | "));
    let _ = writeln!(out, "|--:|{}", "--:|".repeat(names.len()));
    let longest = curve.lines.first().map_or(0, |line| line.points.len());
    for at in 0..longest {
        let cells: Vec<String> = curve.lines.iter().map(|line| spread(&line.points[at].y)).collect();
        let _ = writeln!(out, "| {} | {} |", short(curve.lines[0].points[at].x), cells.join(" | "));
    }
    let _ = writeln!(out, "\nIn {}.\n", curve.y_label);
}

pub(crate) fn met(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

pub(crate) fn spread(spread: &Spread) -> String {
    let Spread { median, min, max, rounds } = spread;
    if rounds.len() < 2 {
        return digits(*median);
    }
    format!("{} ({}–{})", digits(*median), digits(*min), digits(*max))
}

fn digits(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
