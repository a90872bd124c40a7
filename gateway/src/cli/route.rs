//! `mixgate route`: a dry run. Where would this prompt go, what would it cost, and which words decided?

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use http::{HeaderMap, HeaderValue};
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Exit;
use crate::api::Dialect;
use crate::api::explain::{DryRun, dry_run};
use crate::ask::Ask;
use crate::auth::Caller;
use crate::cli::print;
use crate::error::Failure;
use crate::expert::Expert;
use crate::meter::Meter;
use crate::plan::cost_text;
use crate::policy::Steady;
use crate::record::{Decision, Stand};
use crate::router_file;
use crate::snapshot::{Snapshot, snapshot_for_dry_runs};
use crate::text;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; default: experts.yaml here, else the reference configuration of this build.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The decision record as JSON.
    #[arg(long)]
    json: bool,
    /// A policy other than the default.
    #[arg(long)]
    policy: Option<String>,
    /// One decision record per line of this JSONL file of `{id, prompt}` or `{id, messages, …}`.
    #[arg(long, value_name = "F.jsonl", conflicts_with = "prompt")]
    batch: Option<PathBuf>,
    /// The prompt; without it standard input is read.
    prompt: Option<String>,
}

pub(super) fn run(args: Args) -> Result<(), Exit> {
    let snapshot = snapshot(args.config.as_deref())?;
    let headers = headers(args.policy.as_deref())?;
    if let Some(file) = &args.batch {
        return batch(&snapshot, &headers, file);
    }
    let prompt = match args.prompt {
        Some(prompt) => prompt,
        None => standard_input()?,
    };
    let body = body_of(&prompt)?;
    let dry_run =
        dry_run(&snapshot, Caller(None), &headers, &body, None).map_err(|f| Exit::Input(f.message()))?;
    if args.json {
        let line = serde_json::to_string(&Line {
            large_score: large_score(&dry_run.decision),
            known_models: known_models(&snapshot, &body),
            dry_run: &dry_run,
        });
        print::out!("{}", line.map_err(|e| Exit::Internal(e.to_string()))?);
    } else {
        show(&snapshot, &dry_run);
    }
    Ok(())
}

fn snapshot(path: Option<&Path>) -> Result<Arc<Snapshot>, Exit> {
    let here = Path::new("experts.yaml");
    let loaded = match path.or(here.exists().then_some(here)) {
        Some(path) => router_file::load(path),
        None => router_file::reference(),
    };
    let (checked, classifier) = loaded.map_err(|faults| Exit::Input(faults.to_string()))?;
    let meter = Meter::new(classifier.version());
    snapshot_for_dry_runs(checked, classifier, &meter).map(Arc::new).map_err(Exit::Input)
}

fn headers(policy: Option<&str>) -> Result<HeaderMap, Exit> {
    let mut headers = HeaderMap::new();
    if let Some(policy) = policy {
        let value = HeaderValue::from_str(policy)
            .map_err(|_| Exit::Usage(format!("--policy {policy}: no such policy")))?;
        headers.insert("x-mixgate-policy", value);
    }
    Ok(headers)
}

fn standard_input() -> Result<String, Exit> {
    if std::io::stdin().is_terminal() {
        return Err(Exit::Usage("no prompt: mixgate route \"What is the derivative of x²?\"".to_owned()));
    }
    let mut prompt = String::new();
    std::io::stdin().read_to_string(&mut prompt).map_err(|e| Exit::Input(format!("standard input: {e}")))?;
    Ok(prompt)
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: [Message<'a>; 1],
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

fn body_of(prompt: &str) -> Result<Vec<u8>, Exit> {
    let body = Body { model: "auto", messages: [Message { role: "user", content: prompt }] };
    serde_json::to_vec(&body).map_err(|e| Exit::Internal(e.to_string()))
}

/// What one spread of difficulty adds to the log-odds of needing the fallback.
const DIFFICULTY: f32 = 0.5;

/// How much a request needs the fallback, 0 to 1: the chance that the fallback answers well and the best other
/// expert does not, were both independent, moved by how hard the prompt looks.
fn large_score(decision: &Decision) -> f32 {
    let fallback = decision.names.fallback;
    let others =
        decision.candidates.iter().enumerate().filter(|(i, c)| *i != fallback && c.why_not.is_none());
    let best = others.map(|(_, c)| c.score).fold(0.0, f32::max);
    let needs = (decision.candidates[fallback].score * (1.0 - best)).clamp(0.005, 0.995);
    let difficulty = decision.scores.as_ref().map_or(0.0, router_model::Scores::difficulty);
    let odds = (needs / (1.0 - needs)).ln() + DIFFICULTY * difficulty;
    1.0 / (1.0 + (-odds).exp())
}

#[derive(Serialize)]
struct Line<'a> {
    large_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    known_models: Option<BTreeMap<&'a str, f32>>,
    #[serde(flatten)]
    dry_run: &'a DryRun,
}

/// The chance of a good answer of every model that the router model knows.
fn known_models<'a>(snapshot: &'a Snapshot, body: &[u8]) -> Option<BTreeMap<&'a str, f32>> {
    let heads = snapshot.classifier.heads()?;
    let text = text::routable(&Ask::parse(Dialect::Chat, body).ok()?).text;
    let mut chances = Vec::new();
    let _scores = snapshot.classifier.judge(&text, heads, &mut chances, &mut || false)?;
    Some(heads.names().iter().map(String::as_str).zip(chances).collect())
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
}

fn batch(snapshot: &Arc<Snapshot>, headers: &HeaderMap, path: &Path) -> Result<(), Exit> {
    let fault =
        |line: usize, what: &dyn std::fmt::Display| Exit::Input(format!("{}:{line}: {what}", path.display()));
    let file = File::open(path).map_err(|e| fault(0, &e))?;
    let length = file.metadata().map_or(0, |m| m.len());
    let bar = ProgressBar::new(length).with_style(style());
    let mut out = std::io::BufWriter::new(anstream::stdout());
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| fault(index + 1, &e))?;
        bar.inc(line.len() as u64 + 1);
        if line.trim().is_empty() {
            continue;
        }
        let record = decide_row(snapshot, headers, &line).map_err(|what| fault(index + 1, &what))?;
        if let Err(error) = writeln!(out, "{record}") {
            return print::lost(&error);
        }
    }
    bar.finish_and_clear();
    out.flush().or_else(|error| print::lost(&error))
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn decide_row(snapshot: &Arc<Snapshot>, headers: &HeaderMap, line: &str) -> Result<String, String> {
    let row: Row<'_> = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let body = match (&row.prompt, row.messages, row.model) {
        (_, Some(_), Some(_)) => line.as_bytes().to_vec(),
        (_, Some(_), None) => {
            format!("{{\"model\":\"auto\",{}", line.trim_start().trim_start_matches('{')).into_bytes()
        }
        (Some(prompt), None, _) => body_of(prompt).map_err(|e| e.to_string())?,
        (None, None, _) => return Err("the line has neither `prompt` nor `messages`".to_owned()),
    };
    let mut dry_run =
        dry_run(snapshot, Caller(None), headers, &body, None).map_err(|f: Failure| f.message())?;
    dry_run.id = row.id.map(RawValue::to_owned);
    let known_models = known_models(snapshot, &body);
    let line = Line { large_score: large_score(&dry_run.decision), known_models, dry_run: &dry_run };
    serde_json::to_string(&line).map_err(|e| e.to_string())
}

fn show(snapshot: &Snapshot, run: &DryRun) {
    let decision = &run.decision;
    let domain = decision.domain().unwrap_or("unknown");
    print::out!("{} → {}   {}", domain.bold(), run.chosen.green().bold(), run.reason.as_str().dimmed());
    print::out!(
        "confidence {:.3}   unlike anything known {:.2}   policy {}   {} µs",
        decision.confidence(),
        decision.scores.as_ref().map_or(0.0, router_model::Scores::ood),
        decision.names.policies[decision.policy],
        decision.route_micros
    );
    if let Some(tokens) = run.expected_output_tokens {
        print::out!("an answer of about {tokens} tokens is expected");
    }
    print::out!("{}", experts(snapshot, decision));
    if let Some(scores) = &decision.scores {
        print::out!("domains   {}", domains(decision, scores));
    }
    if !decision.attribution.is_empty() {
        let words = decision.attribution.iter().map(|a| format!("{} {:+.3}", a.text, a.weight));
        print::out!("words     {}", words.collect::<Vec<_>>().join("   "));
        print::out!(
            "{}",
            format!("          change of the probability of {domain} by each word, found by leaving it out")
                .dimmed()
        );
    }
    show_flips(run);
}

/// The runner-up, and what would have made it another.
fn show_flips(run: &DryRun) {
    if let Some(next) = &run.runner_up {
        let by = next.behind_by;
        let text = if by >= 0.0 { format!("lower by {by:.3}") } else { format!("higher by {:.3}", -by) };
        print::out!("next      {}, its expected quality {text}", next.expert);
    }
    if let Some(Steady { dial, value, from, to }) = run.flips.dial {
        let to = to.map_or("on".to_owned(), |to| format!("to {to:.3}"));
        print::out!("dial      the choice stays from a {dial} of {from:.3} {to}; it stands at {value:.3}");
    }
    if !run.flips.words.is_empty() {
        let words = run.flips.words.iter().map(|word| format!("«{}» → {}", word.text, word.chosen));
        print::out!("flips     without {}", words.collect::<Vec<_>>().join(", without "));
    }
}

/// Whether an expert may take the request, and where the rule stands that shuts it out.
fn may_take(decision: &Decision, stand: &Stand) -> String {
    match (&stand.why_not, stand.rule(&decision.names)) {
        (None, _) => "yes".to_owned(),
        (Some(why), None) => why.to_string(),
        (Some(why), Some(rule)) => format!("{why} ({rule})"),
    }
}

fn domains(decision: &Decision, scores: &router_model::Scores) -> String {
    let names = &decision.names.domains;
    let mut all: Vec<(&String, f32)> = names.iter().zip(scores.domains().iter().copied()).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.iter().take(5).map(|(name, p)| format!("{name} {p:.3}")).collect::<Vec<_>>().join("   ")
}

/// Probability of the domains that an expert has figures for, together.
fn own_domains(expert: &Expert, decision: &Decision) -> String {
    let Some(scores) = &decision.scores else { return String::new() };
    let known = scores.domains().iter().enumerate().filter(|(domain, _)| expert.knows(*domain));
    format!("{:.3}", known.map(|(_, probability)| probability).sum::<f32>())
}

fn experts(snapshot: &Snapshot, decision: &Decision) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["", "expert", "expected quality", "its domains", "expected cost", "may take it"]);
    let mut order: Vec<usize> = (0..decision.candidates.len()).collect();
    let rank = |i: &usize| decision.order.iter().position(|o| o == i).unwrap_or(usize::MAX);
    order.sort_by(|a, b| {
        let (qa, qb) = (decision.candidates[*a].score, decision.candidates[*b].score);
        rank(a).cmp(&rank(b)).then(qb.total_cmp(&qa))
    });
    for index in order {
        let stand = &decision.candidates[index];
        let place =
            decision.order.iter().position(|o| *o == index).map_or(String::new(), |at| (at + 1).to_string());
        table.add_row([
            Cell::new(place),
            Cell::new(&decision.names.experts[index]),
            Cell::new(format!("{:.3}", stand.score)).set_alignment(CellAlignment::Right),
            Cell::new(own_domains(&snapshot.experts[index], decision)).set_alignment(CellAlignment::Right),
            Cell::new(cost_text(stand.cost)).set_alignment(CellAlignment::Right),
            Cell::new(may_take(decision, stand)),
        ]);
    }
    table
}
