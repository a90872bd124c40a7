//! What can be labelled: prompts of a file, with the answers that are on record.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use router_model::data::Row;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::Exit;

/// A prompt to label.
#[derive(Debug, Default)]
pub(super) struct Item {
    /// What the user asked.
    pub(super) prompt: String,
    /// The conversation that ends with it, as JSON.
    pub(super) messages: Option<Box<RawValue>>,
    /// Human turns of its conversation, where a record says so.
    pub(super) turns: u32,
    /// Id of the decision, of a record; the first one where several are about the same prompt.
    pub(super) decision: Option<String>,
    /// Who wrote it: what the file says, else the tenant.
    pub(super) source: String,
    /// Answers that are not graded yet.
    pub(super) answers: Vec<Answer>,
}

/// An answer on record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Who gave it.
    pub(super) model: String,
    /// What it said; a decision log does not keep it.
    pub(super) text: Option<String>,
    /// Id of the decision that it answers, of a record: its grade belongs to that.
    pub(super) decision: Option<String>,
}

/// What one prompt is told from another by: the same words in another conversation are another prompt.
pub(super) type Key = (String, Option<String>);

/// The key of a prompt and the conversation that ends with it.
pub(super) fn key(prompt: &str, messages: Option<&RawValue>) -> Key {
    (prompt.to_owned(), messages.map(|messages| messages.get().to_owned()))
}

impl Item {
    /// What it is told from others by.
    pub(super) fn key(&self) -> Key {
        key(&self.prompt, self.messages.as_deref())
    }

    /// As the router model reads it.
    pub(super) fn row(&self) -> Row {
        let messages = self.messages.as_ref().map(|messages| messages.get().to_owned());
        Row { prompt: self.prompt.clone(), messages, turns: self.turns, ..Row::default() }
    }

    /// Takes the answers over that another line has of the same prompt.
    fn join(&mut self, other: Self) {
        self.answers.extend(other.answers);
        self.decision = self.decision.take().or(other.decision);
    }

    /// Leaves one answer of each model that nobody graded.
    fn leave_open(&mut self, graded: &HashSet<String>) {
        let is_graded = |answer: &Answer| answer.decision.as_ref().is_some_and(|id| graded.contains(id));
        let known = self.answers.iter().filter(|answer| is_graded(answer));
        let mut done: HashSet<String> = known.map(|answer| answer.model.clone()).collect();
        self.answers.retain(|answer| done.insert(answer.model.clone()));
    }
}

/// A line of either kind of file, or a grade in a decision log.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Option<Box<RawValue>>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    messages: Option<Box<RawValue>>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    answers: BTreeMap<String, Option<String>>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    features: Features,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    attempts: Vec<Attempt>,
    #[serde(default)]
    decision: Option<String>,
}

#[derive(Default, Deserialize)]
struct Features {
    #[serde(default)]
    turns: u32,
}

#[derive(Deserialize)]
struct Attempt {
    expert: String,
    outcome: String,
}

impl Line {
    /// `None`: nothing of it can be shown.
    fn item(self) -> Option<Item> {
        let said = || crate::cli::eval::served::text_of(self.messages.as_deref()?);
        if let Some(prompt) = self.prompt.or_else(said) {
            let answers = self.answers.into_iter().filter(|(_, text)| text.is_some());
            let answers = answers.map(|(model, text)| Answer { model, text, decision: None }).collect();
            let source = self.source.unwrap_or_else(|| "label".to_owned());
            return Some(Item { prompt, messages: self.messages, source, answers, ..Item::default() });
        }
        let served = self.attempts.into_iter().rev().find(|attempt| attempt.outcome == "ok");
        let decision: Option<String> = self.id.and_then(|id| serde_json::from_str(id.get()).ok());
        let answer =
            |attempt: Attempt| Answer { model: attempt.expert, text: None, decision: decision.clone() };
        let answers = served.into_iter().map(answer).collect();
        let source = self.tenant.map_or_else(|| "log".to_owned(), |tenant| format!("log/{tenant}"));
        let turns = self.features.turns;
        Some(Item { prompt: self.text?, messages: None, turns, decision, source, answers })
    }
}

/// The prompts of some files, each once and with the answers of all its lines, in their order.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<Item>, Exit> {
    let (mut items, mut seen, mut graded) =
        (Vec::<Item>::new(), HashMap::<Key, usize>::new(), HashSet::new());
    let mut without = 0;
    for path in files {
        let fault = |line: usize, what: &dyn std::fmt::Display| {
            Exit::Input(format!("{}:{line}: {what}", path.display()))
        };
        let file = File::open(path).map_err(|error| Exit::Input(format!("{}: {error}", path.display())))?;
        for (index, text) in BufReader::new(file).lines().enumerate() {
            let text = text.map_err(|error| fault(index + 1, &error))?;
            if text.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(&text).map_err(|error| fault(index + 1, &error))?;
            graded.extend(line.decision.clone());
            match line.item() {
                Some(item) if item.prompt.trim().is_empty() => without += 1,
                Some(item) => match seen.entry(item.key()) {
                    Entry::Occupied(place) => items[*place.get()].join(item),
                    Entry::Vacant(place) => {
                        place.insert(items.len());
                        items.push(item);
                    }
                },
                None => without += 1,
            }
        }
    }
    if items.is_empty() {
        return Err(Exit::Input(format!(
            "none of {without} lines has a text to show: prompts stand under `prompt` or in `messages`, and a decision log keeps \
             them with `log.content: full`"
        )));
    }
    items.iter_mut().for_each(|item| item.leave_open(&graded));
    Ok(items)
}
