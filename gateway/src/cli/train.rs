//! `mixgate train`: a router model from one's own labelled prompts.
//!
//! The same files, options and program give the same bytes, so that a model can be checked by making it
//! again; for this the day in the card is an option and not the clock's.

mod add;
#[cfg(feature = "encoder")]
mod distill;
mod from_log;

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use router_model::outcomes::{self, Outcome};
use router_model::train::{Checkpoint, KeyedVectors, Progress, Recipe, Rows, TrainError, WordVectors, train};
use router_model::{DataFile, RouterModel, data, eval};

use super::{Exit, sha256};
use crate::cli::print;

/// Train a router model: its network on labelled prompts, or heads for one's own experts on graded traffic.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Prompts to learn from: JSON lines with `prompt`, `domain` and, where known, `source` and `license`.
    #[arg(long, value_name = "FILE", required_unless_present = "from_log")]
    domains: Option<PathBuf>,
    /// Requests as people write them, of the same shape, `source` naming who wrote each: learned from eight times a pass,
    /// and what the model says of writers kept out of training is what it is calibrated on. Rows whose `split` is `dev`
    /// are not learned from.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    requests: Vec<PathBuf>,
    /// Prompts to calibrate on, of the same shape; none of them should be among the others.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["distill", "from_log", "add"])]
    dev: Option<PathBuf>,
    /// Graded answers to learn the chances of models from: JSON lines with `prompt` and `models`. Rows whose
    /// `split` is `dev` are not learned from, but carried to make promises; of other splits than `train` none is used.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    outcomes: Vec<PathBuf>,
    /// Train no network, but learn the chances of one's own experts from this decision log, whose records must have
    /// their text (`log.content: full`). The experts' names become names of the catalogue.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["domains", "add", "requests", "folds", "dev", "outcomes", "distill", "words", "checkpoints", "epochs", "seed", "date"])]
    from_log: Option<PathBuf>,
    /// What was said of the answers in the log: JSON lines with `decision`, its id, and `score`, 0 to 1.
    #[arg(long, value_name = "FILE", requires = "from_log")]
    grades: Option<PathBuf>,
    /// Train no network, but teach a model by the labels of `--domains`, such as `mixgate label` writes: from 25 on it
    /// names the domains more as you do, and from 50 examples it learns a domain that it does not know.
    #[arg(long, requires = "domains", conflicts_with_all = ["requests", "folds", "dev", "outcomes", "distill", "words", "checkpoints", "epochs", "seed", "date"])]
    add: bool,
    /// The router model that `--from-log` and `--add` start from: `builtin`, or a file.
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    model: String,
    /// Where the model, or what `--distill` makes, goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Train nothing, but write vectors for `--words`, of the words of the prompts as a sentence encoder
    /// reads them: a folder with the config.json, tokenizer.json and model.safetensors of a BERT.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["folds", "dev", "outcomes", "words", "checkpoints", "epochs", "seed", "date"])]
    distill: Option<PathBuf>,
    /// Vectors of words to start from, made by `--distill`; without it those of the built-in model.
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,
    /// Keep the network after each pass too, as pass-1.safetensors and so on in this folder: what is there when
    /// training is stopped can be used, and passes can be compared with `mixgate eval`.
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Parts into which the writers of `--requests` are dealt, each kept out of training once; under 2: none is, and
    /// `--dev` is calibrated on.
    #[arg(long, value_name = "N")]
    folds: Option<usize>,
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

/// Distils or trains, as the options say.
pub(crate) fn run(args: Args) -> Result<(), Exit> {
    check_folder(&args.out)?;
    if let Some(log) = &args.from_log {
        let model = super::load_router_model(&args.model)?;
        return from_log::run(&model, log, args.grades.as_deref(), &args.out);
    }
    if let (true, Some(labels)) = (args.add, &args.domains) {
        let model = super::load_router_model(&args.model)?;
        let (rows, file) = read(labels)?;
        return add::run(&model, rows, file, &args.out);
    }
    match (&args.distill, &args.domains, &args.dev) {
        (Some(teacher), Some(domains), _) => {
            let files: Vec<&Path> =
                [domains].into_iter().chain(&args.requests).map(PathBuf::as_path).collect();
            distill::run(teacher, &files, &args.out)
        }
        (None, Some(domains), Some(dev)) => fit(&domains.clone(), &dev.clone(), args),
        _ => Err(Exit::Usage(
            "--domains and --dev are wanted: prompts to learn from and to calibrate on".into(),
        )),
    }
}

/// What stands in for distillation where no encoder is built in.
#[cfg(not(feature = "encoder"))]
mod distill {
    use super::{Exit, Path};

    pub(super) fn run(_: &Path, _: &[&Path], _: &Path) -> Result<(), Exit> {
        let message = "--distill needs an encoder, which this mixgate was built without; build one with it: \
                       cargo build --release --features encoder";
        Err(Exit::Usage(message.into()))
    }
}

/// Reads, trains, writes, and says how good the model is.
fn fit(domains: &Path, dev: &Path, args: Args) -> Result<(), Exit> {
    let (rows, rows_file) = read(domains)?;
    let (dev, dev_file) = read(dev)?;
    let (requests, request_files) = read_all(&args.requests)?;
    let (outcomes, outcome_files) = read_outcomes(&args.outcomes)?;
    let out = args.out.clone();
    let (words, checkpoints) = (args.words.clone(), args.checkpoints.clone());
    if let Some(folder) = &checkpoints {
        std::fs::create_dir_all(folder)
            .map_err(|error| Exit::Input(format!("{}: {error}", folder.display())))?;
    }
    let mut recipe =
        recipe(args, [rows_file, dev_file].into_iter().chain(request_files).chain(outcome_files).collect());
    (recipe.words, recipe.hash_seed) = vectors(words.as_deref(), recipe.hash_seed)?;
    let bar = bar();
    let keep = |pass: usize, model: &RouterModel| keep(checkpoints.as_deref(), &bar, pass, model);
    let keep: Option<Checkpoint<'_>> = if checkpoints.is_some() { Some(&keep) } else { None };
    let rows = Rows { labelled: &rows, requests: &requests, dev: &dev };
    let trained = train(&recipe, rows, &outcomes, &mut |progress| advance(&bar, progress), keep);
    bar.finish_and_clear();
    let model = trained.map_err(|error| Exit::Input(error.to_string()))?;
    let bytes = model.to_bytes().map_err(|error| Exit::Internal(error.to_string()))?;
    write(&out, &bytes)?;
    super::eval::show(&eval::evaluate(&model, &dev));
    show_card(&model, &out, bytes.len());
    Ok(())
}

/// Writes the network after a pass, and says how good it is by then.
fn keep(
    folder: Option<&Path>,
    bar: &ProgressBar,
    pass: usize,
    model: &RouterModel,
) -> Result<(), TrainError> {
    let Some(folder) = folder else { return Ok(()) };
    let path = folder.join(format!("pass-{pass}.safetensors"));
    let bytes = model.to_bytes().map_err(TrainError::Write)?;
    std::fs::write(&path, bytes)
        .map_err(|error| TrainError::Checkpoint(format!("{}: {error}", path.display())))?;
    let accuracy = model.card().dev.accuracy;
    bar.suspend(|| print::err!("pass {pass}: accuracy {accuracy:.3}, in {}", path.display()));
    Ok(())
}

/// The vectors of a file, else those of the built-in model; and the start of the hashes that they are known by.
fn vectors(path: Option<&Path>, seed: u64) -> Result<(KeyedVectors, u64), Exit> {
    let Some(path) = path else {
        let model = RouterModel::builtin().map_err(|error| Exit::Internal(error.to_string()))?;
        return Ok(KeyedVectors::of(&model));
    };
    let fault = |error: &dyn std::fmt::Display| Exit::Input(format!("{}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| fault(&error))?;
    let vectors = WordVectors::from_bytes(&bytes).map_err(|error| fault(&error))?;
    Ok((vectors.keyed(seed), seed))
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
    let file = describe(path, rows.len())?;
    Ok((rows, file))
}

fn read_all(paths: &[PathBuf]) -> Result<(Vec<data::Row>, Vec<DataFile>), Exit> {
    let (mut all, mut files) = (Vec::new(), Vec::new());
    for path in paths {
        let (rows, file) = read(path)?;
        all.extend(rows);
        files.push(file);
    }
    Ok((all, files))
}

fn describe(path: &Path, rows: usize) -> Result<DataFile, Exit> {
    Ok(DataFile { name: name(path), sha256: sha256(path)?, rows })
}

fn read_outcomes(paths: &[PathBuf]) -> Result<(Vec<Outcome>, Vec<DataFile>), Exit> {
    let (mut all, mut files) = (Vec::new(), Vec::new());
    for path in paths {
        let mut rows = outcomes::read(path).map_err(|error| Exit::Input(error.to_string()))?;
        rows.retain(|row| ["", super::eval::LEARNED, "dev"].contains(&row.split.as_str()));
        files.push(describe(path, rows.len())?);
        all.extend(rows);
    }
    Ok((all, files))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Exit> {
    super::replace(path, bytes)
}

/// The file's name without its folder, which is nobody else's business.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn recipe(args: Args, files: Vec<DataFile>) -> Recipe {
    let standard = Recipe::default();
    Recipe {
        epochs: args.epochs.unwrap_or(standard.epochs),
        folds: args.folds.unwrap_or(standard.folds),
        seed: args.seed.unwrap_or(standard.seed),
        files,
        command: command(&args),
        date: args.date,
        ..standard
    }
}

/// The command that makes this model again, in a folder that holds its files.
fn command(args: &Args) -> String {
    let mut command = "mixgate train".to_owned();
    let list = |paths: &[PathBuf]| {
        let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
        (!names.is_empty()).then(|| names.join(" "))
    };
    for (option, value) in [
        ("domains", args.domains.as_deref().map(name)),
        ("dev", args.dev.as_deref().map(name)),
        ("words", args.words.as_deref().map(name)),
        ("requests", list(&args.requests)),
        ("outcomes", list(&args.outcomes)),
        ("out", Some(name(&args.out))),
        ("folds", args.folds.map(|folds| folds.to_string())),
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
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % {msg}, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn advance(bar: &ProgressBar, progress: Progress) {
    let (done, of, message) = match progress {
        Progress::Network { network, networks, rows, of, loss } => {
            (rows, of, format!("of prompts, network {network} of {networks}, loss {loss:.3}"))
        }
        Progress::Heads { done, of } => (done, of, "of heads".to_owned()),
    };
    bar.set_length(of as u64);
    bar.set_position(done as u64);
    bar.set_message(message);
}

fn show_card(model: &RouterModel, out: &Path, bytes: usize) {
    let card = model.card();
    print::out!("\nmodel {} in {}: {:.1} MiB", card.version, out.display(), bytes as f64 / 1048576.0);
    print::out!("  domains      {}", card.labels.join(" "));
    print::out!("  features     version {}, hash seed {:#x}", card.features, card.hash_seed);
    print::out!("  training     {} passes, seed {}", card.epochs, card.seed);
    print::out!("  temperature  {:.3}", card.temperature);
    if let Some(found) = &card.strangers {
        print::out!(
            "  strangers    {} requests of {} writers kept out in turn: accuracy {:.3}, with second labels {:.3}, ECE {:.3}; AUROC of {} about nothing {:.3}",
            found.rows,
            found.writers,
            found.accuracy,
            found.lenient,
            found.ece,
            found.none,
            found.none_auroc
        );
    }
    for file in &card.files {
        print::out!("  data         {} ({} rows, sha256 {})", file.name, file.rows, file.sha256);
    }
    print::out!("  sources      {}", card.sources.len());
    print::out!("  models known {}", card.known.len());
    if let Some(length) = &card.length {
        print::out!(
            "  lengths      of answers to {} prompts: squared error {:.3} of their logarithm, {:.3} of always the mean",
            length.prompts,
            length.error,
            length.error_of_mean
        );
    }
    for set in &card.answers {
        print::out!("  answers      {} prompts of {}, {} models", set.prompts, set.source, set.models.len());
    }
    print::out!("  command      {}", card.command);
    print::out!("  date         {}", card.date.as_deref().unwrap_or("none given"));
}
