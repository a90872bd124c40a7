//! The tables of graded answers: two models and a dial, a panel of experts and their cost, calibration, and
//! whether promises are kept.

use std::path::PathBuf;

use comfy_table::Table;
use router_model::RouterModel;
use router_model::eval::calibration::{self, Calibration};
use router_model::eval::pair::{self, PairReport};
use router_model::eval::panel::{self, PanelReport};
use router_model::eval::promise::{self, Kept};
use router_model::fit::{How, Judged, judge as judge_rows};
use router_model::outcomes::{self, Outcome};
use serde::Serialize;

use super::domains::table;
use super::picture;
use crate::cli::Exit;
use crate::cli::print;

/// What to judge on graded answers.
#[derive(Debug, clap::Args)]
#[group(id = "graded answers")]
pub(crate) struct Args {
    /// Graded answers: JSON lines with `prompt` and `models{name: score 0..1}`.
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,
    /// The large model, by its name in the file.
    #[arg(long, value_name = "MODEL", requires_all = ["outcomes", "weak"])]
    strong: Option<String>,
    /// The small model.
    #[arg(long, value_name = "MODEL", requires = "strong")]
    weak: Option<String>,
    /// A panel of experts, by their names in the file.
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', requires = "outcomes")]
    experts: Vec<String>,
    /// Price of each expert in USD per million tokens, in their order; without it an answer costs as much as
    /// the file says, else in proportion to the parameters that its name tells.
    #[arg(long, value_name = "USD,…", value_delimiter = ',', requires = "experts")]
    prices: Vec<f64>,
    /// Learn from the file itself, all parts but one, and judge on that one, in turn.
    #[arg(long, value_name = "N", requires = "outcomes", value_parser = clap::value_parser!(u64).range(2..=100))]
    folds: Option<u64>,
    /// Learn from this many graded prompts of the file, and judge on the others.
    #[arg(long, value_name = "N", requires = "outcomes", conflicts_with = "folds")]
    labels: Option<usize>,
    /// Only rows of this `split`.
    #[arg(long, value_name = "NAME", requires = "outcomes")]
    split: Option<String>,
    /// Leave out rows of this `subject` as well: a second figure without it.
    #[arg(long, value_name = "SUBJECT", requires = "strong")]
    without_subject: Option<String>,
}

/// What was found.
#[derive(Serialize)]
pub(super) struct Judgement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<Pair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    panel: Option<PanelReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calibration: Vec<(String, Calibration)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    promises: Vec<Kept>,
    #[serde(skip_serializing_if = "String::is_empty")]
    learned: String,
    /// What the panel's costs are in.
    #[serde(skip)]
    unit: &'static str,
}

#[derive(Serialize)]
struct Pair {
    strong: String,
    weak: String,
    #[serde(flatten)]
    report: PairReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    without: Option<(String, PairReport)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Published>,
}

/// The best router that RouteLLM's authors published on a benchmark (Ong et al., 2024, arXiv:2406.18665).
#[derive(Debug, Clone, Copy, Serialize)]
struct Published {
    benchmark: &'static str,
    apgr: f64,
    router: &'static str,
}

/// By the source of the rows.
const PUBLISHED: [(&str, Published); 2] = [
    ("routellm/mmlu", Published { benchmark: "MMLU", apgr: 0.603, router: "similarity-weighted ranking" }),
    (
        "routellm/gsm8k",
        Published { benchmark: "GSM8K", apgr: 0.622, router: "causal LLM of 8 billion parameters" },
    ),
];

/// What was published for rows that are all of one of these sources.
fn published(rows: &[Outcome]) -> Option<Published> {
    let of = |(source, _): &&(&str, Published)| rows.iter().all(|row| row.source == *source);
    PUBLISHED.iter().find(of).map(|(_, published)| *published)
}

/// The `split` of the rows that `mixgate train` learns from.
pub(in crate::cli) const LEARNED: &str = "train";

/// Promises that are tried: the most that may go elsewhere.
const PROMISES: [f64; 4] = [0.01, 0.05, 0.10, 0.20];
/// One promise in ten may break by bad luck.
const DELTA: f64 = 0.10;

pub(super) fn judge(model: &RouterModel, args: &Args) -> Result<Judgement, Exit> {
    let mut found = Judgement {
        pair: None,
        panel: None,
        calibration: Vec::new(),
        promises: Vec::new(),
        learned: String::new(),
        unit: "",
    };
    let Some(file) = &args.outcomes else { return Ok(found) };
    let mut rows = outcomes::read(file).map_err(|error| Exit::Input(error.to_string()))?;
    rows.retain(|row| !row.contaminated && args.split.as_ref().is_none_or(|split| *split == row.split));
    let how = how(args);
    found.learned = how.to_string();
    if how == How::AsShipped && super::has_seen(model, file)? {
        rows.retain(|row| !row.split.is_empty() && row.split != LEARNED);
        found.learned += ", which the model learned from: only the rows that it did not see are judged";
    }
    if let (Some(strong), Some(weak)) = (&args.strong, &args.weak) {
        let names = [strong.clone(), weak.clone()];
        let rows = having(&rows, &names, file)?;
        let judged = judge_rows(model, &rows, &names, how).map_err(Exit::Input)?;
        found.pair = Some(judge_pair(&rows, &judged, args, names));
        found.calibration.extend(chances(&judged, &rows));
        if judged.has_chances() {
            let samples = judged.samples(model, &rows);
            found.promises = PROMISES.map(|at_most| promise::judge(&samples, at_most, DELTA)).into();
        }
    }
    if !args.experts.is_empty() {
        let rows = having(&rows, &args.experts, file)?;
        let judged = judge_rows(model, &rows, &args.experts, how).map_err(Exit::Input)?;
        found.panel = Some(judge_panel(&rows, &judged, args)?);
        found.unit = match () {
            () if !args.prices.is_empty() => "USD per million tokens",
            () if rows.iter().all(|row| args.experts.iter().all(|name| row.cost.contains_key(name))) => "USD",
            () => "billions of parameters",
        };
        found.calibration.extend(chances(&judged, &rows));
    }
    if found.pair.is_none() && found.panel.is_none() {
        return Err(Exit::Usage("--outcomes wants --strong and --weak, or --experts".to_owned()));
    }
    Ok(found)
}

fn how(args: &Args) -> How {
    match (args.folds, args.labels) {
        (Some(folds), _) => How::Folds(folds as usize),
        (None, Some(labels)) => How::Labels(labels),
        (None, None) => How::AsShipped,
    }
}

/// The rows that have all of these models; an error that names those that are missing.
fn having(rows: &[Outcome], names: &[String], file: &std::path::Path) -> Result<Vec<Outcome>, Exit> {
    for name in names {
        if !rows.iter().any(|row| row.models.contains_key(name)) {
            let known = rows.iter().flat_map(|row| row.models.keys());
            let known: std::collections::BTreeSet<&str> = known.map(String::as_str).collect();
            let known: Vec<&str> = known.into_iter().collect();
            return Err(Exit::Input(format!(
                "{}: no row has a score of {name}; it has {}",
                file.display(),
                known.join(", ")
            )));
        }
    }
    let all = |row: &&Outcome| names.iter().all(|name| row.models.contains_key(name));
    let rows: Vec<Outcome> = rows.iter().filter(all).cloned().collect();
    if rows.len() < 20 {
        let what = format!("{} rows have all of {}", rows.len(), names.join(", "));
        return Err(Exit::Input(format!("{}: only {what}; 20 are needed", file.display())));
    }
    Ok(rows)
}

fn judge_pair(rows: &[Outcome], judged: &Judged, args: &Args, [strong, weak]: [String; 2]) -> Pair {
    let trials: Vec<(usize, pair::Trial)> = judged.pair_trials(rows);
    let report = pair::judge(&trials.iter().map(|(_, trial)| *trial).collect::<Vec<_>>());
    let without = args.without_subject.as_ref().map(|subject| {
        let kept = trials.iter().filter(|(row, _)| rows[*row].subject.as_ref() != Some(subject));
        (subject.clone(), pair::judge(&kept.map(|(_, trial)| *trial).collect::<Vec<_>>()))
    });
    Pair { strong, weak, report, without, published: published(rows) }
}

fn judge_panel(rows: &[Outcome], judged: &Judged, args: &Args) -> Result<PanelReport, Exit> {
    if !judged.has_chances() {
        let what = "the model has no head for some of these experts; learn from the file with --folds";
        return Err(Exit::Input(what.to_owned()));
    }
    if !args.prices.is_empty() && args.prices.len() != args.experts.len() {
        let (prices, experts) = (args.prices.len(), args.experts.len());
        return Err(Exit::Usage(format!("--prices has {prices} prices for {experts} experts")));
    }
    let mut fixed = Vec::new();
    for (index, name) in args.experts.iter().enumerate() {
        let from_file = rows.iter().all(|row| row.cost.contains_key(name));
        fixed.push(match (args.prices.get(index), parameters(name)) {
            (Some(price), _) => Some(*price),
            (None, _) if from_file => None,
            (None, Some(billions)) => Some(billions),
            (None, None) => {
                let what = format!("the file has no cost of {name} and its name tells no size");
                return Err(Exit::Input(format!("{what}; give --prices")));
            }
        });
    }
    let cost = |row: &Outcome, (name, fixed): (&String, &Option<f64>)| {
        fixed.or(row.cost.get(name).copied()).unwrap_or_default()
    };
    let costs = |row: &Outcome| args.experts.iter().zip(&fixed).map(|pair| cost(row, pair)).collect();
    let trial = |(row, chances): (usize, Vec<f32>)| panel::Trial {
        chances,
        scores: args.experts.iter().map(|name| rows[row].models[name]).collect(),
        costs: costs(&rows[row]),
    };
    Ok(panel::judge(&args.experts, &judged.chances().map(trial).collect::<Vec<_>>()))
}

/// Billions of parameters at work, as a model's name tells: `8x7b` works with two of its eight experts.
pub(in crate::cli) fn parameters(name: &str) -> Option<f64> {
    name.to_lowercase().split(['-', '_', '/']).find_map(|part| {
        let number = part.strip_suffix('b')?;
        match number.split_once('x') {
            Some((_, each)) => each.parse::<f64>().ok().map(|each| each * 2.0 * 0.92),
            None => number.parse().ok(),
        }
    })
}

fn chances(judged: &Judged, rows: &[Outcome]) -> Vec<(String, Calibration)> {
    if !judged.has_chances() {
        return Vec::new();
    }
    let of = |(at, name): (usize, &String)| {
        let pairs = judged.chances().map(|(row, chances)| (chances[at], rows[row].models[name]));
        (name.clone(), calibration::judge(pairs))
    };
    judged.names().iter().enumerate().map(of).collect()
}

/// Writes a picture of each table that has one.
pub(super) fn draw(found: &Judgement, folder: &std::path::Path) -> Result<(), Exit> {
    let pair = found.pair.as_ref().map(|pair| picture::pair(&pair.report, &pair.strong, &pair.weak));
    let panel = found.panel.as_ref().map(|panel| picture::panel(panel, found.unit));
    let chances = Some(&found.calibration).filter(|all| !all.is_empty()).map(|all| picture::reliability(all));
    let fault = |error: std::io::Error| Exit::Input(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(fault)?;
    for (name, svg) in [("pair.svg", pair), ("experts.svg", panel), ("calibration.svg", chances)] {
        if let Some(svg) = svg {
            std::fs::write(folder.join(name), svg).map_err(fault)?;
            print::err!("picture in {}", folder.join(name).display());
        }
    }
    Ok(())
}

pub(super) fn show(found: &Judgement) {
    if let Some(pair) = &found.pair {
        print::out!("{}\n", verdict(pair));
        print::out!("{} against {}, {}", pair.strong, pair.weak, found.learned);
        show_pair(&pair.report);
        if let Some(Published { benchmark, apgr, router }) = pair.published {
            print::out!(
                "published  the best of RouteLLM on {benchmark}: APGR {apgr:.3} ({router}; arXiv:2406.18665)"
            );
        }
        if let Some((subject, report)) = &pair.without {
            print::out!("the same without {subject}");
            show_pair(report);
        }
    }
    if let Some(panel) = &found.panel {
        show_panel(panel);
    }
    if !found.calibration.is_empty() {
        let mut table = table(&["chance of a good answer", "prompts", "ECE", "its floor", "Brier"]);
        for (name, found) in &found.calibration {
            let figures = [found.ece, found.floor, found.brier].map(|figure| format!("{figure:.4}"));
            table.add_row([name.clone(), found.n.to_string()].into_iter().chain(figures));
        }
        print::out!("{table}");
    }
    if !found.promises.is_empty() {
        print::out!("{}", promises(&found.promises));
    }
}

/// Below this difference in the mean score there is little to win by routing.
const LITTLE: f64 = 0.02;

/// What was found, in words.
fn verdict(Pair { strong, weak, report, .. }: &Pair) -> String {
    let gap = report.strong - report.weak;
    if gap < -LITTLE {
        return format!(
            "{strong}, named as the strong one, answers worse than {weak} ({:.3} and {:.3}): always {weak} would do.",
            report.strong, report.weak
        );
    }
    if gap < LITTLE {
        return format!(
            "{strong} is hardly better than {weak} here ({:.3} and {:.3}): always {weak} would do.",
            report.strong, report.weak
        );
    }
    let opening =
        format!("{strong} answers better than {weak} ({:.3} and {:.3})", report.strong, report.weak);
    if !report.better_than_shuffled {
        return format!("{opening}, but the router does not know where: dealing at random would do as well.");
    }
    let half = report.cpt[0].map_or(String::new(), |share| {
        format!(
            ": half of the gap is won back with {:.0} % of the requests, at random with 50 %",
            100.0 * share
        )
    });
    let length = if report.length_interval[1] >= report.apgr {
        " The prompt's length alone would do as well."
    } else {
        " The prompt's length alone would not."
    };
    format!("{opening}, and the router knows something of where{half}.{length}")
}

fn show_pair(report: &PairReport) {
    let [low, high] = report.apgr_interval;
    print::out!("APGR       {:.3} of {} prompts (95 %: {low:.3} to {high:.3})", report.apgr, report.n);
    let share =
        |share: Option<f64>| share.map_or("never".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let [half, most] = report.cpt;
    print::out!("CPT        half the gap at {} large, 80 % of it at {}", share(half), share(most));
    print::out!("controls   always large {:.3}, always cheap {:.3}", report.strong, report.weak);
    let [low, high] = report.shuffled_interval;
    print::out!(
        "           the same scores shuffled: APGR {:.3} (95 %: {low:.3} to {high:.3})",
        report.shuffled
    );
    let [low, high] = report.length_interval;
    print::out!(
        "           the prompt's length alone: APGR {:.3} (95 %: {low:.3} to {high:.3})",
        report.length
    );
    if !report.better_than_shuffled {
        print::out!("           the router is not significantly better than its shuffled self");
    }
    let mut table = table(&["large", "quality"]);
    for point in &report.curve {
        table.add_row([format!("{:.1} %", point.strong_share * 100.0), format!("{:.4}", point.quality)]);
    }
    print::out!("{table}");
}

fn show_panel(report: &PanelReport) {
    let mut table = table(&["expert", "cost", "quality"]);
    for (name, point) in &report.singles {
        table.add_row([name.clone(), format!("{:.3}", point.cost), format!("{:.4}", point.quality)]);
    }
    let oracle = report.oracle;
    table.add_row([
        "(who is right)".to_owned(),
        format!("{:.3}", oracle.cost),
        format!("{:.4}", oracle.quality),
    ]);
    print::out!("{table}");
    let target = panel::TARGET * 100.0;
    let share = |share: Option<f64>| share.map_or("never reached".to_owned(), |share| format!("{share:.3}"));
    let interval = report.cost_share_interval;
    let interval = interval.map_or(String::new(), |[low, high]| format!(" (95 %: {low:.3} to {high:.3})"));
    print::out!(
        "cost for {target:.0} % of {}'s quality, as a share of the hull's: {}{interval} over {} prompts",
        report.best,
        share(report.cost_share),
        report.n
    );
    print::out!("           shuffled: {}", share(report.shuffled_cost_share));
    if let (Some(ours), Some(shuffled)) = (report.cost_share_interval, report.shuffled_cost_share)
        && ours[1] >= shuffled
    {
        print::out!("           the router is not significantly better than its shuffled self");
    }
}

fn promises(kept: &[Kept]) -> Table {
    let mut table = table(&[
        "promised at most",
        "could be promised",
        "then broken",
        "broken when only tuned",
        "served by experts",
        "in a domain alone",
        "then broken",
        "any broken",
    ]);
    let share = |of: usize, share: f64| {
        if of == 0 { "–".to_owned() } else { format!("{:.1} %", share * 100.0) }
    };
    for kept in kept {
        table.add_row([
            format!("{:.0} %", kept.at_most * 100.0),
            format!("{} of {}", kept.promised, promise::SPLITS),
            share(kept.promised, kept.broken),
            format!("{:.1} %", kept.broken_by_tuning * 100.0),
            share(kept.promised, kept.served),
            kept.own.to_string(),
            share(kept.own, kept.own_broken),
            share(kept.promised, kept.any_broken),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_figure_stands_beside_its_own_benchmark_only() {
        let row = |source: &str| Outcome { source: source.into(), ..Outcome::default() };
        let mmlu = published(&[row("routellm/mmlu"), row("routellm/mmlu")]);
        assert_eq!(mmlu.map(|published| published.apgr), Some(0.603));
        assert!(published(&[row("routellm/mmlu"), row("mine")]).is_none());
    }

    fn judged(strong: f64, better_than_shuffled: bool, length: f64) -> String {
        let report = PairReport {
            n: 100,
            strong,
            weak: 0.5,
            curve: Vec::new(),
            apgr: 0.7,
            apgr_interval: [0.6, 0.8],
            cpt: [Some(0.3), None],
            shuffled: 0.5,
            shuffled_interval: [0.4, 0.6],
            length,
            length_interval: [length - 0.1, length],
            better_than_shuffled,
        };
        let (strong, weak) = ("large".to_owned(), "small".to_owned());
        verdict(&Pair { strong, weak, report, without: None, published: None })
    }

    #[test]
    fn the_verdict_says_in_words_what_the_controls_say() {
        assert!(judged(0.51, true, 0.5).contains("hardly better than small"));
        assert!(judged(0.4, true, 0.5).contains("answers worse than small"));
        assert!(judged(0.52, true, 0.5).contains("knows something of where"));
        assert!(judged(0.9, false, 0.5).contains("dealing at random would do as well"));
        assert!(judged(0.9, true, 0.69).ends_with(
            "with 30 % of the requests, at random with 50 %. The prompt's length alone would not."
        ));
        assert!(judged(0.9, true, 0.7).ends_with("The prompt's length alone would do as well."));
    }

    #[test]
    fn a_name_tells_its_size() {
        assert_eq!(parameters("mistral-7b-instruct-v0.2"), Some(7.0));
        assert_eq!(parameters("qwen2.5-0.5b"), Some(0.5));
        assert!((parameters("mixtral-8x7b-v0.1").unwrap() - 12.88).abs() < 1e-9);
        assert_eq!(parameters("gpt-4o"), None);
    }
}
