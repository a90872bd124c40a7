//! `mixgate compare`: can several small models stand in for a large one? On graded answers, with the controls
//! and intervals that keep the answer honest; as a table, as JSON, or as a document with a picture.

mod document;
mod picture;
mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use comfy_table::{Table, presets};
use router_model::RouterModel;
use router_model::eval::compare::{self, Comparison};
use router_model::eval::panel::Trial;
use router_model::fit::{Design, FOLDS, How, judge};
use router_model::outcomes::{self, Outcome};
use serde::Serialize;

use super::Exit;
use super::eval::parameters;
use crate::cli::print;

/// Prompts that a domain needs for a comparison of its own.
const DOMAIN_ROWS: usize = 100;
/// Prompts that a set needs.
const LEAST_ROWS: usize = 50;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  mixgate compare --panel graded.jsonl=small-7b,other-8b:large-70b --out answer.md\n\n\
    Each prompt goes to the small model that is most likely to answer it well, as heads say that were learned \
    from the other four fifths of the file. Costs are the file's own where it has them for all models of a \
    panel; else prices, where all have one; else the parameters that the names tell."
)]
pub(super) struct Args {
    /// Graded answers and who is compared on them: the small models, then the large one. May be repeated.
    #[arg(long = "panel", value_name = "FILE=SMALL,…:LARGE", required = true)]
    panels: Vec<Panel>,
    /// Price of a model in USD per million tokens, input and output taken together. May be repeated.
    #[arg(long = "price", value_name = "MODEL=USD", value_parser = price)]
    prices: Vec<(String, f64)>,
    /// The router model whose features are used: `builtin`, or a file.
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    model: String,
    /// Write the answer as Markdown, and a picture of the same name that ends in `.svg` beside it.
    #[arg(long, value_name = "FILE.md")]
    out: Option<PathBuf>,
    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,
}

/// A file and who is compared on it.
#[derive(Debug, Clone, PartialEq)]
struct Panel {
    file: PathBuf,
    small: Vec<String>,
    large: String,
}

impl FromStr for Panel {
    type Err = String;

    fn from_str(text: &str) -> Result<Panel, String> {
        let parts = text.split_once('=').and_then(|(file, models)| Some((file, models.rsplit_once(':')?)));
        let (file, (small, large)) = parts.ok_or("wants FILE=SMALL,…:LARGE")?;
        let small: Vec<String> = small.split(',').map(|name| name.trim().to_owned()).collect();
        let large = large.trim().to_owned();
        if small.iter().chain([&large]).any(String::is_empty) || small.contains(&large) {
            return Err("wants small models and another, large one: FILE=SMALL,…:LARGE".to_owned());
        }
        Ok(Panel { file: file.into(), small, large })
    }
}

fn price(text: &str) -> Result<(String, f64), String> {
    let (name, usd) = text.split_once('=').ok_or("wants MODEL=USD")?;
    let usd: f64 = usd.parse().map_err(|_| format!("{usd} is not a price"))?;
    if usd.is_finite() && usd >= 0.0 {
        Ok((name.to_owned(), usd))
    } else {
        Err(format!("{usd} is not a price"))
    }
}

/// What costs are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    /// What the file says of each answer.
    UsdOfTheFile,
    /// The same for each answer of a model.
    UsdPerMillionTokens,
    /// The same for each answer of a model.
    BillionsOfParameters,
}

/// What was found of one file.
#[derive(Debug, Serialize)]
struct Set {
    name: String,
    file: String,
    small: Vec<String>,
    large: String,
    /// Asked for, but not in the file.
    absent: Vec<String>,
    /// Prompts that some of the models were not asked.
    left_out: usize,
    unit: Unit,
    /// Mean cost of an answer, by model.
    costs: BTreeMap<String, f64>,
    whole: Comparison,
    domains: Vec<(String, Comparison)>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answer {
    router_model: String,
    command: String,
    sets: Vec<Set>,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let model = super::load_router_model(&args.model)?;
    let sets = args.panels.iter().map(|panel| set(&model, panel, &args.prices));
    let sets = sets.collect::<Result<Vec<Set>, Exit>>()?;
    let answer = Answer { router_model: model.version().to_owned(), command: command(args), sets };
    if let Some(out) = &args.out {
        write(&answer, out)?;
    }
    if args.json {
        let json = serde_json::to_string(&answer).map_err(|error| Exit::Internal(error.to_string()))?;
        print::out!("{json}");
    } else {
        print::out!("{}", table(&answer.sets));
    }
    Ok(())
}

fn write(answer: &Answer, out: &Path) -> Result<(), Exit> {
    let drawn = out.with_extension("svg");
    if drawn == out {
        return Err(Exit::Usage("--out is for the Markdown; the picture goes beside it".to_owned()));
    }
    let name = drawn.file_name().unwrap_or_default().to_string_lossy();
    let save = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|error| Exit::Input(format!("{}: {error}", path.display())))
    };
    save(out, document::write(answer, &name))?;
    save(&drawn, picture::draw(&answer.sets))?;
    print::err!("the answer is in {}, its picture in {}", out.display(), drawn.display());
    Ok(())
}

/// The command line, with files by their names only: where they lie is nobody's business.
fn command(args: &Args) -> String {
    let mut line = "mixgate compare".to_owned();
    for Panel { file, small, large } in &args.panels {
        line += &format!(" \\\n  --panel {}={}:{large}", file_name(file), small.join(","));
    }
    for (name, usd) in &args.prices {
        line += &format!(" \\\n  --price {name}={usd}");
    }
    if args.model != "builtin" {
        line += &format!(" \\\n  --model {}", file_name(Path::new(&args.model)));
    }
    if let Some(out) = &args.out {
        line += &format!(" \\\n  --out {}", file_name(out));
    }
    line
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn set(model: &RouterModel, panel: &Panel, prices: &[(String, f64)]) -> Result<Set, Exit> {
    let Panel { file, small, large } = panel;
    let mut rows = outcomes::read(file).map_err(|error| Exit::Input(error.to_string()))?;
    rows.retain(|row| !row.contaminated);
    let asked = |name: &String| rows.iter().any(|row| row.models.contains_key(name));
    let (small, absent): (Vec<String>, Vec<String>) = small.iter().cloned().partition(asked);
    if small.is_empty() || !asked(large) {
        let who = if small.is_empty() { absent.join(", ") } else { large.clone() };
        return Err(Exit::Input(format!("{}: no row has a score of {who}", file.display())));
    }
    let names: Vec<String> = small.iter().chain([large]).cloned().collect();
    let before = rows.len();
    rows.retain(|row| names.iter().all(|name| row.models.contains_key(name)));
    if rows.len() < LEAST_ROWS {
        let (rows, who) = (rows.len(), names.join(", "));
        let what = format!("{rows} rows have all of {who}; {LEAST_ROWS} are needed");
        return Err(Exit::Input(format!("{}: {what}", file.display())));
    }
    let (unit, prices) = money(&rows, &names, prices).map_err(|who| {
        Exit::Input(format!("{}: no cost, price or size of {who}; give --price", file.display()))
    })?;
    let (trials, parts) = trials(model, &mut rows, &names, &prices).map_err(Exit::Input)?;
    let mean = |at: usize| trials.iter().map(|trial| trial.costs[at]).sum::<f64>() / trials.len() as f64;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Set {
        name: stem.strip_prefix("outcomes_").unwrap_or(&stem).to_owned(),
        file: file_name(file),
        left_out: before - rows.len(),
        unit,
        costs: names.iter().cloned().enumerate().map(|(at, name)| (name, mean(at))).collect(),
        whole: compare::judge(&names, &trials, &parts),
        domains: domains(&rows, &names, &trials, &parts),
        small,
        large: large.clone(),
        absent,
    })
}

/// What the answers of `names` cost: per model one figure for all answers, or none where each row says it. Never
/// two units in one panel. The error names who has none.
fn money(
    rows: &[Outcome],
    names: &[String],
    prices: &[(String, f64)],
) -> Result<(Unit, Vec<Option<f64>>), String> {
    if rows.iter().all(|row| names.iter().all(|name| row.cost.contains_key(name))) {
        return Ok((Unit::UsdOfTheFile, vec![None; names.len()]));
    }
    let price = |name: &String| prices.iter().find(|(of, _)| of == name).map(|(_, usd)| *usd);
    let all = |of: &dyn Fn(&String) -> Option<f64>| -> Option<Vec<Option<f64>>> {
        names.iter().map(|name| of(name).map(Some)).collect()
    };
    if let Some(prices) = all(&price) {
        return Ok((Unit::UsdPerMillionTokens, prices));
    }
    let sizes = all(&|name| parameters(name)).map(|sizes| (Unit::BillionsOfParameters, sizes));
    sizes.ok_or_else(|| {
        let without = names.iter().filter(|name| price(name).is_none() && parameters(name).is_none());
        let without: Vec<&str> = without.map(String::as_str).collect();
        if without.is_empty() { names.join(", ") } else { without.join(", ") }
    })
}

/// The rows as trials, with chances from heads that did not see them, and the part that each is in.
fn trials(
    model: &RouterModel,
    rows: &mut [Outcome],
    names: &[String],
    prices: &[Option<f64>],
) -> Result<(Vec<Trial>, Vec<usize>), String> {
    // parts by the text of the prompt, so that the same prompt twice is never learned and judged
    let parts = Design::new(model, rows.iter().map(|row| row.prompt.as_str())).folds().to_vec();
    rows.iter_mut().zip(&parts).for_each(|(row, part)| row.fold = Some(*part));
    let judged = judge(model, rows, names, How::Folds(FOLDS))?;
    let mut chances: Vec<(usize, Vec<f32>)> = judged.chances().collect();
    chances.sort_by_key(|(row, _)| *row);
    let trial = |(row, chances): (usize, Vec<f32>)| Trial {
        chances,
        scores: names.iter().map(|name| rows[row].models[name]).collect(),
        costs: names
            .iter()
            .zip(prices)
            .map(|(name, price)| price.unwrap_or_else(|| rows[row].cost[name]))
            .collect(),
    };
    Ok((chances.into_iter().map(trial).collect(), parts))
}

/// A comparison for each domain that is large enough and not all of the set, most prompts first.
fn domains(
    rows: &[Outcome],
    names: &[String],
    trials: &[Trial],
    parts: &[usize],
) -> Vec<(String, Comparison)> {
    let mut places = BTreeMap::<&str, Vec<usize>>::new();
    for (place, row) in rows.iter().enumerate() {
        places.entry(row.domain.as_deref().unwrap_or_default()).or_default().push(place);
    }
    places
        .retain(|name, places| !name.is_empty() && places.len() >= DOMAIN_ROWS && places.len() < rows.len());
    let one = |(name, places): (&str, Vec<usize>)| {
        let trials: Vec<Trial> = places.iter().map(|&place| trials[place].clone()).collect();
        let parts: Vec<usize> = places.iter().map(|&place| parts[place]).collect();
        (name.to_owned(), compare::judge(names, &trials, &parts))
    };
    let mut found: Vec<(String, Comparison)> = places.into_iter().map(one).collect();
    found.sort_by_key(|(_, found)| std::cmp::Reverse(found.n));
    found
}

/// The short answer: a line per set and domain.
fn table(sets: &[Set]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "set",
        "prompts",
        "large",
        "best small",
        "routed small",
        "verdict (points of a hundred)",
        "with fallback",
        "verdict",
    ]);
    let percent = |value: f64| format!("{:.1} %", value * 100.0);
    for set in sets {
        let whole = std::iter::once((set.name.clone(), &set.whole));
        let domains = set.domains.iter().map(|(name, found)| (format!("  {name}"), found));
        for (name, found) in whole.chain(domains) {
            let fallback = found.fallback.as_ref();
            table.add_row([
                name,
                found.n.to_string(),
                percent(found.large.value),
                percent(found.best.quality.value),
                percent(found.routed.quality.value),
                found.routed.verdict.of_whom("small"),
                fallback.map_or_else(String::new, |fallback| percent(fallback.way.quality.value)),
                fallback.map_or_else(String::new, |fallback| fallback.way.verdict.of_whom("mixture")),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_is_read_from_one_word() {
        let panel: Panel = "a/b.jsonl=x-7b,y:z".parse().unwrap();
        let wanted =
            Panel { file: "a/b.jsonl".into(), small: vec!["x-7b".into(), "y".into()], large: "z".into() };
        assert_eq!(panel, wanted);
        for wrong in ["f", "f=a,b", "f=:z", "f=a,:z", "f=a:", "f=z:z"] {
            assert!(wrong.parse::<Panel>().is_err(), "{wrong}");
        }
        assert_eq!(price("m=0.2"), Ok(("m".into(), 0.2)));
        assert!(price("m").is_err() && price("m=-1").is_err() && price("m=x").is_err());
    }

    #[test]
    fn costs_of_one_panel_have_one_unit() {
        let names = ["a-7b".to_owned(), "big".to_owned()];
        let prices = [("a-7b".to_owned(), 0.2), ("big".to_owned(), 10.0)];
        let mut row = Outcome::default();
        let unit = |rows: &[Outcome], names: &[String], prices: &[(String, f64)]| {
            money(rows, names, prices).map(|(unit, _)| unit)
        };
        assert_eq!(unit(&[row.clone()], &names, &prices), Ok(Unit::UsdPerMillionTokens));
        assert_eq!(unit(&[row.clone()], &names[..1], &[]), Ok(Unit::BillionsOfParameters));
        assert_eq!(unit(&[row.clone()], &names, &prices[..1]), Err("big".to_owned()));
        row.cost = BTreeMap::from([("a-7b".to_owned(), 1e-4), ("big".to_owned(), 1e-3)]);
        assert_eq!(unit(&[row], &names, &prices), Ok(Unit::UsdOfTheFile));
    }
}
