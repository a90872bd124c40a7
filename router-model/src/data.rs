//! Labelled prompts, one JSON object a line: `{"prompt": …, "domain": …, "source": …}`.
//!
//! Fields that are not needed are ignored, so any of the project's data files can be read; a fault names
//! its file and line.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One labelled prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// What the user asked.
    pub prompt: String,
    /// What it is about; rows without are neither learned from nor judged by.
    #[serde(default)]
    pub domain: Option<String>,
    /// Other domains that an honest second reader could have chosen.
    #[serde(default)]
    pub also: Vec<String>,
    /// What kind of request it is, where the file says so: for tables, never for learning.
    #[serde(default)]
    pub kind: String,
    /// The messages of the conversation that ends with the prompt, as JSON.
    #[serde(default, deserialize_with = "as_written")]
    pub messages: Option<String>,
    /// Human turns of the conversation that ends with the prompt, where its messages are not there.
    #[serde(default)]
    pub turns: u32,
    /// `train`, `dev`, or nothing where the file does not say.
    #[serde(default)]
    pub split: String,
    /// The collection it comes from, or who wrote it.
    #[serde(default)]
    pub source: String,
    /// The licence of that collection.
    #[serde(default)]
    pub license: Option<String>,
}

fn as_written<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let raw = Option::<Box<RawValue>>::deserialize(from)?;
    Ok(raw.map(|raw| raw.get().to_owned()))
}

/// The domain of rows that are about nothing: mash, blobs, word salad.
pub const NONE: &str = "none";

impl Row {
    /// Whether nothing tells a subject in it.
    pub fn is_none(&self) -> bool {
        self.domain.as_deref() == Some(NONE)
    }
}

/// Why a data file could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be opened or read on.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A line is not a row.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: String,
    },
    /// No row has what is wanted.
    Empty {
        /// The file.
        path: PathBuf,
        /// What is wanted.
        wants: &'static str,
    },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            DataError::Line { path, line, error } => write!(f, "{}:{line}: {error}", path.display()),
            DataError::Empty { path, wants } => write!(f, "{}: no row has {wants}", path.display()),
        }
    }
}

impl std::error::Error for DataError {}

/// Reads the rows of a file that have a domain; empty lines are skipped.
///
/// # Errors
///
/// When the file cannot be read, a line is not a row, or no row has a domain.
pub fn read(path: &Path) -> Result<Vec<Row>, DataError> {
    let mut rows = Vec::new();
    read_lines(path, |row: Row| {
        rows.extend(row.domain.is_some().then_some(row));
        Ok(())
    })?;
    if rows.is_empty() {
        return Err(DataError::Empty { path: path.into(), wants: "a prompt and a domain" });
    }
    Ok(rows)
}

/// Reads the prompts of a file, whether they have a domain or not.
///
/// # Errors
///
/// As [`read`].
pub fn read_prompts(path: &Path) -> Result<Vec<String>, DataError> {
    let mut prompts = Vec::new();
    read_lines(path, |row: Row| {
        prompts.push(row.prompt);
        Ok(())
    })?;
    if prompts.is_empty() {
        return Err(DataError::Empty { path: path.into(), wants: "a prompt" });
    }
    Ok(prompts)
}

/// Hands each line of a file to `take`, which may refuse it in words; empty lines are skipped.
pub(crate) fn read_lines<T: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(T) -> Result<(), String>,
) -> Result<(), DataError> {
    let io = |error| DataError::Io { path: path.into(), error };
    let file = BufReader::new(File::open(path).map_err(io)?);
    for (index, line) in file.lines().enumerate() {
        let line = line.map_err(io)?;
        if line.trim().is_empty() {
            continue;
        }
        let row = serde_json::from_str(&line).map_err(|error| error.to_string());
        row.and_then(&mut take).map_err(|error| DataError::Line {
            path: path.into(),
            line: index + 1,
            error,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_file_and_line() {
        let path = std::env::temp_dir().join(format!("router-model-data-{}.jsonl", std::process::id()));
        std::fs::write(&path, "{\"prompt\":\"a\",\"domain\":\"chat\",\"id\":3}\n\n{\"prompt\":4}\n").unwrap();
        let message = read(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(message.contains(".jsonl:3: invalid type: integer `4`"), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(read(Path::new("no/such.jsonl")).unwrap_err().to_string().starts_with("no/such.jsonl: "));
    }
}
