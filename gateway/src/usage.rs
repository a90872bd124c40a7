//! Tokens: read from what an upstream says, or estimated from what was seen and said to be.

use serde::{Deserialize, Serialize};

/// Tokens of one answer. `cached_input` is part of `input`, `reasoning` part of `output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Prompt tokens.
    pub input: u64,
    /// Of these, from the upstream's cache.
    pub cached_input: u64,
    /// Answer tokens.
    pub output: u64,
    /// Of these, thinking that the client does not see.
    pub reasoning: u64,
}

impl Usage {
    /// By rule of thumb, where the upstream sent no usage.
    pub fn estimate(prompt_tokens: u64, answer_bytes: u64, answer_events: u64) -> Self {
        Self { input: prompt_tokens, output: answer_bytes.div_ceil(4).max(answer_events), ..Self::default() }
    }
}

/// The `usage` object of OpenAI's answers, as far as money is concerned.
#[derive(Debug, Deserialize)]
pub(crate) struct Reported {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    total_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<Reported> for Usage {
    fn from(reported: Reported) -> Self {
        let missing_output =
            reported.completion_tokens == 0 && reported.total_tokens > reported.prompt_tokens;
        let output = if missing_output {
            reported.total_tokens - reported.prompt_tokens
        } else {
            reported.completion_tokens
        };
        Self {
            input: reported.prompt_tokens,
            cached_input: reported.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0),
            output,
            reasoning: reported.completion_tokens_details.and_then(|d| d.reasoning_tokens).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Usage {
        serde_json::from_str::<Reported>(json).unwrap().into()
    }

    #[test]
    fn details_are_read_where_they_are_and_null_is_nothing() {
        let full = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}"#;
        assert_eq!(read(full), Usage { input: 10, cached_input: 4, output: 5, reasoning: 3 });
        let nulls = r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}"#;
        assert_eq!(read(nulls), Usage { input: 10, output: 5, ..Usage::default() });
    }

    #[test]
    fn an_estimate_counts_at_least_one_token_an_event() {
        assert_eq!(Usage::estimate(7, 10, 6).output, 6);
        assert_eq!(Usage::estimate(7, 400, 6).output, 100);
    }
}
