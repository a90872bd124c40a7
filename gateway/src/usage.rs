//! Tokens: read from what an upstream says, or estimated from what was seen and said to be.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::json::pick;

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

/// Reads the `usage` object of OpenAI's answers, as far as money is concerned. `None`: it tells no tokens.
pub(crate) fn reported(usage: &str) -> Option<Usage> {
    let names = [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
    ];
    let [input, output, total, input_details, output_details] = pick(usage.as_bytes(), names)?;
    let [input, output, total] = [input, output, total].map(|raw| raw.and_then(whole));
    let detail = |raw: Option<&RawValue>, name| {
        let [value] = pick(raw?.get().as_bytes(), [name])?;
        whole(value?)
    };
    let input = input?;
    Some(Usage {
        input,
        cached_input: detail(input_details, "cached_tokens").unwrap_or(0).min(input),
        // embeddings have none; some servers tell only the sum
        output: output.filter(|n| *n > 0).or(total.map(|n| n.saturating_sub(input))).unwrap_or(0),
        reasoning: detail(output_details, "reasoning_tokens").unwrap_or(0),
    })
}

/// A count; some servers write it as `10.0`.
fn whole(raw: &RawValue) -> Option<u64> {
    let text = raw.get();
    text.parse().ok().or_else(|| text.parse::<f64>().ok().filter(|n| *n >= 0.0).map(|n| n as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Usage {
        reported(json).unwrap()
    }

    #[test]
    fn details_are_read_where_they_are_and_null_is_nothing() {
        let full = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}"#;
        assert_eq!(read(full), Usage { input: 10, cached_input: 4, output: 5, reasoning: 3 });
        let nulls = r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}"#;
        assert_eq!(read(nulls), Usage { input: 10, output: 5, ..Usage::default() });
    }

    #[test]
    fn what_tells_no_tokens_is_no_usage_and_sums_are_taken_apart() {
        for json in
            [r#""none""#, "{}", r#"{"prompt_tokens":null,"completion_tokens":5}"#, r#"{"prompt_tokens":-1}"#]
        {
            assert_eq!(reported(json), None, "{json}");
        }
        assert_eq!(read(r#"{"prompt_tokens":10.0}"#), Usage { input: 10, ..Usage::default() });
        let sum = r#"{"prompt_tokens":10,"completion_tokens":0,"total_tokens":15}"#;
        assert_eq!(read(sum), Usage { input: 10, output: 5, ..Usage::default() });
    }

    #[test]
    fn an_estimate_counts_at_least_one_token_an_event() {
        assert_eq!(Usage::estimate(7, 10, 6).output, 6);
        assert_eq!(Usage::estimate(7, 400, 6).output, 100);
    }
}
