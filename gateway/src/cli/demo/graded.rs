//! The graded part of the demo: models whose answers to these very prompts are on record, and the record.
//!
//! `graded.jsonl` holds nothing that training saw (PROMPTS.md says how its rows were drawn), so what it says of
//! routing is a measurement, if a small one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Prompt;
use crate::cli::Exit;

/// A model whose answers are on record.
pub(super) struct Graded {
    /// The expert's name.
    pub(super) expert: &'static str,
    /// Its name in the record, and in the router model's catalogue.
    pub(super) catalogue: &'static str,
    /// Prompt and answer tokens, one price for both: examples of what hosts asked in 2024, USD per million.
    pub(super) usd_per_1m: f64,
    /// Tokens.
    pub(super) context_window: u64,
    /// Licence of the weights.
    pub(super) license: &'static str,
}

/// The models that join the reference configuration.
pub(super) const JOINING: [Graded; 4] = [
    Graded {
        expert: "phi-3-mini",
        catalogue: "phi-3-mini-4k-instruct",
        usd_per_1m: 0.10,
        context_window: 4096,
        license: "mit",
    },
    Graded {
        expert: "llama-3-8b",
        catalogue: "meta-llama-3-8b-instruct",
        usd_per_1m: 0.20,
        context_window: 8192,
        license: "llama3",
    },
    Graded {
        expert: "llama-3.1-8b",
        catalogue: "meta-llama-3.1-8b-instruct",
        usd_per_1m: 0.18,
        context_window: 131_072,
        license: "llama3.1",
    },
    Graded {
        expert: "llama-3.1-70b",
        catalogue: "meta-llama-3.1-70b-instruct",
        usd_per_1m: 0.88,
        context_window: 131_072,
        license: "llama3.1",
    },
];

/// The reference configuration's fallback in the record.
pub(super) const LARGE: &str = "gpt-4o-2024-05-13";

const ROWS: &str = include_str!("graded.jsonl");

#[derive(Debug, Deserialize)]
struct Row {
    prompt: String,
    domain: String,
    models: BTreeMap<String, f32>,
}

/// Every model on record, the large one last.
pub(super) fn catalogue() -> impl Iterator<Item = &'static str> {
    JOINING.iter().map(|graded| graded.catalogue).chain([LARGE])
}

/// The graded prompts, as carried by this build.
pub(super) fn prompts() -> Result<Vec<Prompt>, Exit> {
    let rows: Result<Vec<Row>, _> = ROWS.lines().map(serde_json::from_str).collect();
    let rows = rows.map_err(|e| Exit::Internal(format!("the demo's graded prompts: {e}")))?;
    let prompt = |row: Row| {
        let right = row.models.into_iter().map(|(model, score)| (model, score >= 0.5)).collect();
        Prompt { prompt: row.prompt, domain: row.domain, right }
    };
    Ok(rows.into_iter().map(prompt).collect())
}

/// The domains that some graded prompt is about.
pub(super) fn domains(prompts: &[Prompt]) -> BTreeSet<&str> {
    prompts.iter().filter(|prompt| !prompt.right.is_empty()).map(|prompt| prompt.domain.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        prompt: String,
        domain: String,
        source: String,
        license: String,
        models: BTreeMap<String, f32>,
    }

    #[test]
    fn every_row_has_a_source_a_licence_and_a_grade_of_every_model() {
        let rows: Vec<Whole> = ROWS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(rows.len() >= 150, "{}", rows.len());
        let models: BTreeSet<&str> = catalogue().collect();
        for row in &rows {
            assert!(!row.source.is_empty() && !row.license.is_empty(), "{row:?}");
            assert!(router_model::TAXONOMY.contains(&row.domain.as_str()), "{row:?}");
            assert!((1..=4000).contains(&row.prompt.chars().count()), "{row:?}");
            assert_eq!(row.models.keys().map(String::as_str).collect::<BTreeSet<_>>(), models, "{row:?}");
            assert!(row.models.values().all(|grade| [0.0, 1.0].contains(grade)), "{row:?}");
        }
    }

    #[test]
    fn no_prompt_is_there_twice() {
        let prompts = prompts().unwrap();
        let different: BTreeSet<&str> = prompts.iter().map(|prompt| prompt.prompt.as_str()).collect();
        assert_eq!(different.len(), prompts.len());
    }
}
