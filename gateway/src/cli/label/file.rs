//! The labels on disk: a line for each, synced before anything else is asked.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::item::{Answer, Item, Key, key};
use crate::cli::Exit;
use crate::cli::print;
use crate::record::Rfc3339;

/// One label, as it is written.
#[derive(Debug, Serialize)]
pub(super) struct Label<'a> {
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a RawValue>,
    /// Human turns of its conversation, where there are more than this one and the messages are not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<u32>,
    /// `null`: whoever labelled could not say.
    pub(super) domain: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
    source: &'a str,
    /// Grades by model.
    models: BTreeMap<&'a str, u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a str>,
    /// The grade of the decision's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<u8>,
    time: String,
    /// Grades of further decisions about the same prompt: a line for each.
    #[serde(skip)]
    further: Vec<Further<'a>>,
}

/// The grade of a decision whose prompt is labelled in another line.
#[derive(Debug, Serialize)]
struct Further<'a> {
    prompt: &'a str,
    source: &'a str,
    /// None: they stand in the label, together, so that they are one row to learn from.
    models: BTreeMap<&'a str, u8>,
    decision: &'a str,
    score: u8,
    time: String,
}

impl<'a> Label<'a> {
    pub(super) fn of(item: &'a Item, domain: Option<String>, also: Vec<String>) -> Self {
        Self {
            prompt: &item.prompt,
            messages: item.messages.as_deref(),
            turns: Some(item.turns).filter(|turns| *turns > 1),
            domain,
            also,
            source: &item.source,
            models: BTreeMap::new(),
            decision: item.decision.as_deref(),
            score: None,
            time: Rfc3339(SystemTime::now()).to_string(),
            further: Vec::new(),
        }
    }

    /// Grades an answer.
    pub(super) fn grade(&mut self, answer: &'a Answer, grade: u8) {
        self.models.insert(&answer.model, grade);
        match answer.decision.as_deref() {
            decision if decision == self.decision => self.score = decision.map(|_| grade),
            Some(decision) => self.further.push(Further {
                prompt: self.prompt,
                source: self.source,
                models: BTreeMap::new(),
                decision,
                score: grade,
                time: self.time.clone(),
            }),
            None => {}
        }
    }

    /// Its lines, as they stand in the file.
    fn lines(&self) -> Result<Vec<u8>, Exit> {
        let internal = |error: serde_json::Error| Exit::Internal(error.to_string());
        let mut lines = serde_json::to_vec(self).map_err(internal)?;
        lines.push(b'\n');
        for further in &self.further {
            serde_json::to_writer(&mut lines, further).map_err(internal)?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct Labels {
    path: PathBuf,
    file: File,
    labelled: HashSet<Key>,
    count: usize,
    /// Where each label of this run begins.
    begins: Vec<u64>,
}

#[derive(Deserialize)]
struct Written {
    prompt: String,
    #[serde(default)]
    messages: Option<Box<RawValue>>,
}

impl Written {
    fn key(&self) -> Key {
        key(&self.prompt, self.messages.as_deref())
    }
}

/// How every label begins.
const BEGINS: &[u8] = b"{\"prompt\":";

/// Whether a line without its end may be what is left of a label.
fn is_cut_label(line: &[u8]) -> bool {
    line.starts_with(BEGINS) || BEGINS.starts_with(line)
}

impl Labels {
    /// Opens or makes the file. A line that was cut off, by a crash in the middle of its writing, is taken out: its
    /// prompt is asked again.
    pub(super) fn open(path: &Path) -> Result<Self, Exit> {
        let fault = |error: &dyn std::fmt::Display| Exit::Input(format!("{}: {error}", path.display()));
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = file.map_err(|error| fault(&error))?;
        // two who write there would take each other's labels back
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(fault(
                    &"another `mixgate label` writes there; end it, or name another file with --out",
                ));
            }
            // a file that cannot be locked is written as it is
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| fault(&error))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut labels =
            Self { path: path.to_owned(), file, labelled: HashSet::new(), count: 0, begins: Vec::new() };
        for (index, line) in text[..whole].split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let written: Written = serde_json::from_slice(line)
                .map_err(|error| Exit::Input(format!("{}:{}: {error}", path.display(), index + 1)))?;
            labels.count += usize::from(labels.labelled.insert(written.key()));
        }
        if whole < text.len() {
            // what is a whole label lacks its line end only
            if let Ok(written) = serde_json::from_slice::<Written>(&text[whole..]) {
                labels.file.write_all(b"\n").map_err(|error| fault(&error))?;
                labels.count += usize::from(labels.labelled.insert(written.key()));
            } else if !is_cut_label(&text[whole..]) {
                return Err(fault(
                    &"its last line is no label: this is another file; give one of your own with --out",
                ));
            } else {
                print::err!("{}: its last line was cut off and is taken out", path.display());
                labels.file.set_len(whole as u64).map_err(|error| fault(&error))?;
            }
        }
        Ok(labels)
    }

    /// Whether a prompt is labelled.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.labelled.contains(key)
    }

    /// Labelled prompts in the file.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Writes a label, and comes back when it is on the disk.
    pub(super) fn append(&mut self, label: &Label<'_>) -> Result<(), Exit> {
        let lines = label.lines()?;
        let begins = self.file.metadata().map(|about| about.len());
        let written = begins.and_then(|begins| {
            self.file.write_all(&lines)?;
            self.file.sync_data()?;
            Ok(begins)
        });
        self.begins.push(written.map_err(|error| self.fault(&error))?);
        self.count += 1;
        Ok(())
    }

    /// Takes the last label of this run back.
    pub(super) fn take_back(&mut self) -> Result<(), Exit> {
        if let Some(begins) = self.begins.pop() {
            let cut = self.file.set_len(begins).and_then(|()| self.file.sync_data());
            cut.map_err(|error| self.fault(&error))?;
            self.count -= 1;
        }
        Ok(())
    }

    fn fault(&self, error: &dyn std::fmt::Display) -> Exit {
        Exit::Input(format!("{}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(prompt: &str) -> Item {
        Item { prompt: prompt.to_owned(), source: "log".to_owned(), ..Item::default() }
    }

    #[test]
    fn a_line_that_was_cut_off_is_asked_again_and_one_without_its_end_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        for (last, whole) in [(r#"{"prompt":"b","dom"#, false), (r#"{"prompt":"b","domain":"chat"}"#, true)] {
            std::fs::write(&path, format!("{{\"prompt\":\"a\"}}\n{last}")).unwrap();
            let mut labels = Labels::open(&path).unwrap();
            assert_eq!(
                (labels.has(&key("a", None)), labels.has(&key("b", None)), labels.count()),
                (true, whole, 1 + usize::from(whole))
            );
            labels.append(&Label::of(&item("c"), None, Vec::new())).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), if whole { 3 } else { 2 }, "{text}");
            assert!(text.ends_with("}\n") && text.contains("\"prompt\":\"c\""), "{text}");
        }
    }

    #[test]
    fn two_do_not_write_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let mut first = Labels::open(&path).unwrap();
        first.append(&Label::of(&item("a"), None, Vec::new())).unwrap();
        let second = Labels::open(&path).map(drop).unwrap_err().to_string();
        assert!(second.contains("another `mixgate label` writes there"), "{second}");
        drop(first);
        assert_eq!(Labels::open(&path).unwrap().count(), 1);
    }

    #[test]
    fn what_is_taken_back_is_gone_and_what_was_there_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        std::fs::write(&path, "{\"prompt\":\"a\"}\n").unwrap();
        let mut labels = Labels::open(&path).unwrap();
        labels.append(&Label::of(&item("b"), Some("chat".to_owned()), Vec::new())).unwrap();
        labels.take_back().unwrap();
        labels.take_back().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"prompt\":\"a\"}\n");
        assert_eq!(labels.count(), 1);
    }

    #[test]
    fn a_file_of_something_else_is_left_alone_though_its_last_line_has_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["my notes", "{\"key\":\"abc\"}", "{\"prompt\":\"a\",\"domain\":null}\nmy notes"] {
            std::fs::write(&path, text).unwrap();
            assert!(Labels::open(&path).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        for cut in ["{", "{\"pro", "{\"prompt\":\"a"] {
            std::fs::write(&path, cut).unwrap();
            assert_eq!(Labels::open(&path).unwrap().count(), 0, "{cut}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        }
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "my notes\n").unwrap();
        let fault = Labels::open(&path).unwrap_err();
        assert!(matches!(fault, Exit::Input(why) if why.contains("notes.txt:1: ")));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "my notes\n");
    }
}
