//! `mixgate train`: a router model from one's own labelled prompts.
//!
//! The same files, options and program give the same bytes, so that a model can be checked by making it
//! again; for this the day in the card is an option and not the clock's.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use router_model::train::{Progress, Recipe, train};
use router_model::{DataFile, RouterModel, data, eval};
use sha2::{Digest, Sha256};

use super::Exit;

/// Train a router model on prompts labelled with their domains.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Prompts to learn from: JSON lines with `prompt`, `domain` and, where known, `source` and `license`.
    #[arg(long, value_name = "FILE")]
    domains: PathBuf,
    /// Prompts to calibrate on, of the same shape; none of them should be among the others.
    #[arg(long, value_name = "FILE")]
    dev: PathBuf,
    /// Where the model goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Passes over the prompts.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Seed of every random choice.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The day to write into the model's card, such as 2026-01-31; none is written otherwise.
    #[arg(long, value_name = "DAY")]
    date: Option<String>,
}

/// Reads, trains, writes, and says how good the model is.
pub(crate) fn run(args: Args) -> Result<(), Exit> {
    check_folder(&args.out)?;
    let (rows, rows_file) = read(&args.domains)?;
    let (dev, dev_file) = read(&args.dev)?;
    let out = args.out.clone();
    let recipe = recipe(args, vec![rows_file, dev_file]);
    let bar = bar();
    let trained = train(&recipe, &rows, &dev, &mut |progress| advance(&bar, progress));
    bar.finish_and_clear();
    let model = trained.map_err(|error| Exit::Input(error.to_string()))?;
    let bytes = model.to_bytes().map_err(|error| Exit::Internal(error.to_string()))?;
    std::fs::write(&out, &bytes).map_err(|error| Exit::Input(format!("{}: {error}", out.display())))?;
    super::eval::show(&eval::evaluate(&model, &dev));
    show_card(&model, &out, bytes.len());
    Ok(())
}

/// Asks before the work whether its result has a place to go.
fn check_folder(out: &Path) -> Result<(), Exit> {
    match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(Exit::Input(format!("{}: no folder {}", out.display(), folder.display())))
        }
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<(Vec<data::Row>, DataFile), Exit> {
    let rows = data::read(path).map_err(|error| Exit::Input(error.to_string()))?;
    let bytes = std::fs::read(path).map_err(|error| Exit::Input(format!("{}: {error}", path.display())))?;
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let file = DataFile { name: name(path), sha256, rows: rows.len() };
    Ok((rows, file))
}

/// The file's name without its folder, which is nobody else's business.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn recipe(args: Args, files: Vec<DataFile>) -> Recipe {
    let standard = Recipe::default();
    Recipe {
        epochs: args.epochs.unwrap_or(standard.epochs),
        seed: args.seed.unwrap_or(standard.seed),
        files,
        command: command(&args),
        date: args.date,
        ..standard
    }
}

/// The command that makes this model again, in a folder that holds its files.
fn command(args: &Args) -> String {
    let mut command = format!(
        "mixgate train --domains {} --dev {} --out {}",
        name(&args.domains),
        name(&args.dev),
        name(&args.out)
    );
    for (option, value) in [
        ("epochs", args.epochs.map(|epochs| epochs.to_string())),
        ("seed", args.seed.map(|seed| seed.to_string())),
        ("date", args.date.clone()),
    ] {
        if let Some(value) = value {
            command += &format!(" --{option} {value}");
        }
    }
    command
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % of prompts, loss {msg}, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of as u64);
    bar.set_position(progress.rows as u64);
    bar.set_message(format!("{:.3}", progress.loss));
}

fn show_card(model: &RouterModel, out: &Path, bytes: usize) {
    let card = model.card();
    anstream::println!("\nmodel {} in {}: {:.1} MiB", card.version, out.display(), bytes as f64 / 1048576.0);
    anstream::println!("  domains      {}", card.labels.join(" "));
    anstream::println!("  features     version {}, hash seed {:#x}", card.features, card.hash_seed);
    anstream::println!("  training     {} passes, seed {}", card.epochs, card.seed);
    anstream::println!("  temperature  {:.3}", card.temperature);
    for file in &card.files {
        anstream::println!("  data         {} ({} rows, sha256 {})", file.name, file.rows, file.sha256);
    }
    anstream::println!("  sources      {}", card.sources.len());
    anstream::println!("  command      {}", card.command);
    anstream::println!("  date         {}", card.date.as_deref().unwrap_or("none given"));
}
