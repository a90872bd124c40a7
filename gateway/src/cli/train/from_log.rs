//! `mixgate train --from-log`: heads for one's own experts, from one's own traffic and what people said of the
//! answers. The network stays as it is; what is no better on answers it did not see is refused.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use router_model::fit::LEAST_ROWS;
use router_model::outcomes::{CHARS_PER_TOKEN, Outcome};
use router_model::{RouterModel, Scratch};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Exit;
use crate::cli::calibrate;

/// A line of the log: a record, or what was said of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Record(Box<Record>),
    Grade(Grade),
}

/// What is read of a decision record.
#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default)]
    chosen: Option<String>,
    #[serde(default)]
    attempts: Vec<Attempt>,
    #[serde(default)]
    score: Option<f32>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    output: f64,
}

#[derive(Deserialize)]
struct Attempt {
    expert: String,
    outcome: String,
}

/// What was said of an answer.
#[derive(Deserialize)]
struct Grade {
    decision: String,
    score: f32,
}

/// A line of a file of grades: `mixgate label` writes labels that nobody graded beside those with a score.
#[derive(Deserialize)]
struct Labelled {
    #[serde(default)]
    decision: Option<String>,
    #[serde(default)]
    score: Option<f32>,
    #[serde(default)]
    prompt: Option<IgnoredAny>,
}

impl Record {
    /// Who answered.
    fn served(&self) -> Option<&String> {
        let ended_well = self.attempts.iter().rev().find(|attempt| attempt.outcome == "ok");
        ended_well.map(|attempt| &attempt.expert).or(self.chosen.as_ref())
    }
}

/// Records of a log by what became of them.
#[derive(Default)]
struct Tally {
    records: usize,
    without_text: usize,
    without_grade: usize,
}

/// Fits a head for every expert with graded answers enough, and writes the model.
pub(super) fn run(model: &RouterModel, log: &Path, grades: Option<&Path>, out: &Path) -> Result<(), Exit> {
    let mut scores = HashMap::new();
    let mut take = |grade: Grade| {
        if !(0.0..=1.0).contains(&grade.score) {
            return Err(format!("score {} is not one of 0 to 1", grade.score));
        }
        scores.insert(grade.decision, grade.score);
        Ok(())
    };
    let mut records = Vec::new();
    lines(log, |line: Line| match line {
        Line::Grade(grade) => take(grade),
        Line::Record(record) => {
            records.push(*record);
            Ok(())
        }
    })?;
    if let Some(grades) = grades {
        lines(grades, |line: Labelled| match (line.decision, line.score) {
            (Some(decision), Some(score)) => take(Grade { decision, score }),
            _ if line.prompt.is_some() => Ok(()),
            _ => Err("a grade has a `decision` and a `score`".to_owned()),
        })?;
    }
    // by names of one's own, which a configuration may change, no figure would be found again
    let mut scratch = Scratch::default();
    for record in &mut records {
        let known = record.domain.as_ref().is_none_or(|domain| model.domains().contains(domain));
        if let (false, Some(text)) = (known, &record.text) {
            record.domain = Some(model.domains()[model.score(text, &mut scratch).top().0].clone());
        }
    }
    let mut tally = Tally { records: records.len(), ..Tally::default() };
    let rows: Vec<Outcome> =
        records.into_iter().filter_map(|record| outcome(record, &scores, &mut tally)).collect();
    let experts = experts(&rows);
    if experts.is_empty() {
        return Err(Exit::Input(nothing(log, &rows, &tally)));
    }
    calibrate::learn(model, &rows, &experts, None, Some(out))
}

fn outcome(record: Record, scores: &HashMap<String, f32>, tally: &mut Tally) -> Option<Outcome> {
    let Some(score) = scores.get(&record.id).copied().or(record.score) else {
        tally.without_grade += 1;
        return None;
    };
    let served = record.served()?.clone();
    let Some(prompt) = record.text else {
        tally.without_text += 1;
        return None;
    };
    let chars = record.usage.map(|usage| (served.clone(), usage.output * CHARS_PER_TOKEN));
    Some(Outcome {
        prompt,
        domain: record.domain,
        source: "log".into(),
        models: BTreeMap::from([(served, score)]),
        out_chars: chars.into_iter().collect(),
        ..Outcome::default()
    })
}

/// Experts with graded answers enough, by name.
fn experts(rows: &[Outcome]) -> Vec<String> {
    let mut counts = BTreeMap::<&String, usize>::new();
    for name in rows.iter().flat_map(|row| row.models.keys()) {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count >= LEAST_ROWS).map(|(name, _)| name.clone()).collect()
}

fn nothing(log: &Path, rows: &[Outcome], tally: &Tally) -> String {
    let Tally { records, without_text, without_grade } = tally;
    format!(
        "{}: no expert has {LEAST_ROWS} graded answers. Of {records} records {without_grade} have no grade \
         (`POST /api/feedback`, or --grades: JSON lines of `decision` and `score`), {without_text} graded ones have no text \
         (`log.content: full` keeps it), {} can be learned from",
        log.display(),
        rows.len()
    )
}

fn lines<T: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(T) -> Result<(), String>,
) -> Result<(), Exit> {
    let fault =
        |line: usize, what: &dyn std::fmt::Display| Exit::Input(format!("{}:{line}: {what}", path.display()));
    let file = File::open(path).map_err(|error| Exit::Input(format!("{}: {error}", path.display())))?;
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| fault(index + 1, &error))?;
        if !line.trim().is_empty() {
            let row = serde_json::from_str(&line).map_err(|error| error.to_string());
            row.and_then(&mut take).map_err(|error| fault(index + 1, &error))?;
        }
    }
    Ok(())
}
