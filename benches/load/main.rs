//! What mixgate costs beside nginx: CPU, latency, memory, and how they grow, all in one run against one mock.
//!
//! Figures of two machines, or of two days, cannot be compared; the ratio of two servers that took turns on one
//! machine can. So nginx stands beside mixgate in every run, and the expectations are ratios.

#![expect(clippy::disallowed_macros, reason = "whoever measures sees a panic")]

mod chart;
mod client;
mod curves;
mod drive;
mod machine;
mod measures;
mod pace;
mod process;
mod prompts;
mod report;
mod run;
mod watching;
mod world;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::curves::Plotter;
use crate::machine::Machine;
use crate::measures::Found;
use crate::pace::Pace;
use crate::run::Run;
use crate::world::World;

type Fault = Box<dyn Error + Send + Sync>;

const USAGE: &str =
    "cargo bench --profile dist --bench load -- --out benches/runs/<name> [--watching] [--quick]";

struct Args {
    /// Below the workspace's root.
    out: String,
    pace: Pace,
    /// Only what being watched costs.
    watching: bool,
}

fn main() -> ExitCode {
    let Some(args) = arguments(std::env::args().skip(1)) else {
        anstream::println!("load: takes minutes and wants a place for its results:\n  {USAGE}");
        return ExitCode::SUCCESS;
    };
    match measure_and_report(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            anstream::eprintln!("load: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// `None` without a place for results: a plain `cargo bench` does not want minutes of load. What is not known is
/// let pass, for cargo adds arguments of its own.
fn arguments(mut args: impl Iterator<Item = String>) -> Option<Args> {
    let (mut out, mut pace, mut watching) = (None, Pace::FULL, false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => out = args.next(),
            "--quick" => pace = Pace::QUICK,
            "--watching" => watching = true,
            _ => {}
        }
    }
    Some(Args { out: out?, pace, watching })
}

fn measure_and_report(args: &Args) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let out = root().join(&args.out);
    let text = if args.watching {
        let watched = runtime.block_on(watching::measure(&args.pace, command(args)))?;
        watched.write(&out)?
    } else {
        let run = runtime.block_on(measure(args))?;
        report::write(&run, &out)?;
        report::text(&run)
    };
    anstream::println!("{text}");
    anstream::eprintln!("written to {}", args.out);
    Ok(())
}

/// cargo runs benchmarks in the package's folder, people start them in the workspace's.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

async fn measure(args: &Args) -> Result<Run, Fault> {
    let pace = &args.pace;
    let machine = Machine::look(&root());
    let world = World::start(&[], 10)?;
    let mut found = Found::default();
    step("starts");
    let mut figures = Vec::from(measures::starts(&world)?);
    step("CPU per request");
    measures::cpu(pace, &world, &mut found).await?;
    figures.push(measures::memory(&world, "resident memory, after 64 connections at full speed", Some(60.0)));
    step("latency");
    measures::latency(pace, &world, &mut found).await?;
    step("CPU per chunk");
    measures::chunks(pace, &mut found).await?;
    step("curves");
    let mut plotter = Plotter { pace, world: &world, failed: 0 };
    let curves = plotter.all().await?;
    let failed = found.failed + plotter.failed;
    figures.push(measures::memory(
        &world,
        "resident memory, after bodies of 10 MiB and 1,000 connections",
        None,
    ));
    Ok(Run { command: command(args), quick: pace.quick, machine, rows: found.rows, figures, curves, failed })
}

fn step(name: &str) {
    anstream::eprintln!("load: {name}");
}

fn command(args: &Args) -> String {
    let quick = if args.pace.quick { " --quick" } else { "" };
    let watching = if args.watching { " --watching" } else { "" };
    // without one, cargo takes its profile `bench`, which is `release`
    let profile = if world::profile() == "release" {
        String::new()
    } else {
        format!("--profile {} ", world::profile())
    };
    format!("cargo bench {profile}--bench load -- --out {}{watching}{quick}", args.out)
}
