//! Graded answers, one JSON object a line: `{"prompt": …, "models": {name: score 0..1}, …}`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::data::{DataError, read_lines};

/// Characters that make a token, about: `out_chars` by it are tokens.
pub const CHARS_PER_TOKEN: f64 = 4.0;

/// One prompt and how well each of some models answered it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Outcome {
    /// What the user asked.
    pub prompt: String,
    /// The collection it comes from.
    #[serde(default)]
    pub source: String,
    /// What it is about, where known.
    #[serde(default)]
    pub domain: Option<String>,
    /// A finer label than the domain, where known.
    #[serde(default)]
    pub subject: Option<String>,
    /// Score per model, 0 to 1; a model that is absent was not asked.
    pub models: BTreeMap<String, f32>,
    /// What each answer cost in USD, where known.
    #[serde(default)]
    pub cost: BTreeMap<String, f64>,
    /// How many characters each answer had, where known.
    #[serde(default)]
    pub out_chars: BTreeMap<String, f64>,
    /// `train`, `dev` or `test`, where known.
    #[serde(default)]
    pub split: String,
    /// The part of a cross-validation it belongs to, where the file says.
    #[serde(default)]
    pub fold: Option<usize>,
    /// Known to be among a router's usual training data: left out by the protocol of RouteLLM.
    #[serde(default)]
    pub contaminated: bool,
}

/// Reads a file of graded answers; empty lines are skipped.
///
/// # Errors
///
/// When the file cannot be read, a line is not such a row or has a score outside 0..=1, or there is none.
pub fn read(path: &Path) -> Result<Vec<Outcome>, DataError> {
    let mut rows = Vec::new();
    read_lines(path, |row: Outcome| {
        if let Some((model, score)) = row.models.iter().find(|(_, score)| !(0.0..=1.0).contains(*score)) {
            return Err(format!("models.{model}: {score} is not a score of 0 to 1"));
        }
        rows.push(row);
        Ok(())
    })?;
    if rows.is_empty() {
        return Err(DataError::Empty { path: path.into(), wants: "a prompt and graded models" });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<Outcome>, DataError> {
        let path = std::env::temp_dir().join(format!("router-model-{name}-{}.jsonl", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let rows = read(&path);
        std::fs::remove_file(&path).unwrap();
        rows
    }

    #[test]
    fn a_row_needs_a_prompt_and_scores_and_may_say_more() {
        let rows =
            read_text("plain", "{\"prompt\":\"a\",\"models\":{\"x\":1,\"y\":0.5},\"fold\":3,\"id\":7}\n\n");
        let rows = rows.unwrap();
        assert_eq!((rows.len(), rows[0].models["y"], rows[0].fold), (1, 0.5, Some(3)));
    }

    #[test]
    fn a_score_out_of_range_names_its_line_and_model() {
        let rows =
            read_text("range", "{\"prompt\":\"a\",\"models\":{}}\n{\"prompt\":\"a\",\"models\":{\"x\":9}}\n");
        let message = rows.unwrap_err().to_string();
        assert!(message.contains(":2: models.x: 9 is not a score of 0 to 1"), "{message}");
    }
}
