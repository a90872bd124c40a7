//! Tokens: read from what an upstream says, or estimated from what was seen and said to be.
//!
//! Servers agree on little here. Cached tokens have six names; thinking stands inside the completion (OpenAI,
//! DeepSeek), beside it and in the total (xAI), or in the total alone. What is read is brought to one meaning:
//! cached and written tokens are part of the input, thinking is part of the output.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::json::pick;
use crate::price::MicroUsd;

/// Most tokens of one kind that are believed: far above any model's window, far below what would spoil a sum.
const MOST: u64 = 1 << 27;
/// Highest cost of one request that is believed, USD.
const DEAREST: f64 = 100_000.0;

/// Tokens of one answer. `cached_input` and `cache_write` are parts of `input`, `reasoning` is part of `output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Prompt tokens.
    pub input: u64,
    /// Of these, read from the upstream's cache.
    pub cached_input: u64,
    /// Of the input, written to the upstream's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Answer tokens.
    pub output: u64,
    /// Of these, thinking that the client does not see.
    pub reasoning: u64,
    /// What the upstream itself says it cost.
    #[serde(skip)]
    pub cost: Option<MicroUsd>,
    /// The upstream told figures that cannot be true: nothing else it told here counts.
    #[serde(skip)]
    pub implausible: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over like this")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl Usage {
    /// By rule of thumb, where the upstream sent no usage.
    pub fn estimate(prompt_tokens: u64, answer_bytes: u64, answer_events: u64) -> Self {
        Self { input: prompt_tokens, output: answer_bytes.div_ceil(4).max(answer_events), ..Self::default() }
    }

    /// What was told, where it can be believed, else the estimate; and whether it is one.
    pub fn or_estimate(told: Option<Self>, estimate: impl FnOnce() -> Self) -> (Self, bool) {
        match told {
            Some(told) if !told.implausible => (told, false),
            told => (Self { implausible: told.is_some(), ..estimate() }, true),
        }
    }

    /// Tells no tokens at all.
    fn is_empty(&self) -> bool {
        self.input == 0 && self.output == 0 && !self.implausible
    }

    /// The later of two reports of one answer: totals that run on, or a last one that some servers send empty. A cost
    /// stands until another is told.
    #[must_use]
    pub fn followed_by(self, later: Self) -> Self {
        let cost = later.cost.or(self.cost);
        Self { cost, ..if later.is_empty() { self } else { later } }
    }
}

const NAMES: [&str; 16] = [
    "prompt_tokens",
    "input_tokens",
    "completion_tokens",
    "output_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "input_tokens_details",
    "completion_tokens_details",
    "output_tokens_details",
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
    "cost",
];

/// Reads a `usage` object as far as money is concerned. `None`: it tells no tokens.
pub(crate) fn reported(usage: &str) -> Option<Usage> {
    let [
        prompt,
        input,
        completion,
        output,
        total,
        prompt_details,
        input_details,
        completion_details,
        output_details,
        cached,
        hit,
        miss,
        cache_read,
        cache_creation,
        reasoning,
        cost,
    ] = pick(usage.as_bytes(), NAMES)?;
    let mut seen = Figures::default();
    let [prompt, input, cached, hit, miss, cache_read, cache_creation] =
        [prompt, input, cached, hit, miss, cache_read, cache_creation].map(|raw| seen.count(raw));
    let (read, written) = seen.input_details(prompt_details.or(input_details));
    let cached = cached.max(hit).max(cache_read).max(read).unwrap_or(0);
    let cache_write = cache_creation.max(written).unwrap_or(0);
    // Anthropic's names: there the cache's tokens stand beside the input; DeepSeek's halves make the whole
    let beside =
        input.map(|n| if cache_read.or(cache_creation).is_some() { n + cached + cache_write } else { n });
    let halves = || hit.zip(miss).map(|(hit, miss)| hit + miss);
    let input = prompt.or(beside).or_else(halves);
    let told = seen.count(completion).max(seen.count(output));
    let total = seen.count(total);
    let reasoning = seen.reasoning(completion_details.or(output_details)).max(seen.count(reasoning));
    let reasoning = reasoning.unwrap_or(0);
    let input = match input {
        Some(input) => input,
        None if seen.implausible => 0,
        None => return None,
    };
    let rest = total.map_or(0, |total| total.saturating_sub(input));
    let told = told.unwrap_or(0);
    // thinking that is more than the completion cannot be in it
    let output = if reasoning > told.max(rest) { told + reasoning } else { told.max(rest) };
    let cached_input = cached.min(input);
    Some(Usage {
        input,
        cached_input,
        cache_write: cache_write.min(input - cached_input),
        output,
        reasoning,
        cost: cost.and_then(usd),
        implausible: seen.implausible,
    })
}

/// The figures of one report, read with distrust.
#[derive(Default)]
struct Figures {
    /// One of them cannot be true.
    implausible: bool,
}

impl Figures {
    /// A count of tokens; some servers write it as `10.0`, or in quotes.
    fn count(&mut self, raw: Option<&RawValue>) -> Option<u64> {
        let text = raw?.get().trim_matches('"');
        let count = text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok()?;
            (number >= 0.0 && number <= MOST as f64).then_some(number as u64)
        });
        let believed = count.filter(|n| *n <= MOST);
        self.implausible |= believed.is_none() && !text.is_empty();
        believed
    }

    /// Read from the cache, and written to it.
    fn input_details(&mut self, details: Option<&RawValue>) -> (Option<u64>, Option<u64>) {
        let names = [
            "cached_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "cache_creation_tokens",
            "cache_creation_input_tokens",
        ];
        let Some([cached, read, write, creation, creation_input]) =
            details.and_then(|details| pick(details.get().as_bytes(), names))
        else {
            return (None, None);
        };
        let read = self.count(cached).max(self.count(read));
        (read, self.count(write).max(self.count(creation)).max(self.count(creation_input)))
    }

    fn reasoning(&mut self, details: Option<&RawValue>) -> Option<u64> {
        let [reasoning, thinking] = pick(details?.get().as_bytes(), ["reasoning_tokens", "thinking_tokens"])?;
        self.count(reasoning).max(self.count(thinking))
    }
}

/// A cost in USD: a number (OpenRouter), or an object with the sum in it (Perplexity); some servers write it in quotes.
fn usd(raw: &RawValue) -> Option<MicroUsd> {
    let number = |raw: &RawValue| raw.get().trim_matches('"').parse::<f64>().ok();
    let number = match number(raw) {
        Some(number) => number,
        None => number(pick(raw.get().as_bytes(), ["total_cost"])?[0]?)?,
    };
    (0.0..=DEAREST).contains(&number).then(|| MicroUsd((number * 1e6).round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Usage {
        reported(json).unwrap()
    }

    /// Input, cached, written, output, reasoning.
    fn tokens(json: &str) -> [u64; 5] {
        let usage = read(json);
        assert!(!usage.implausible, "{json}");
        [usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning]
    }

    #[test]
    fn details_are_read_where_they_are_and_null_is_nothing() {
        let full = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}"#;
        assert_eq!(tokens(full), [10, 4, 0, 5, 3]);
        let nulls = r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}"#;
        assert_eq!(tokens(nulls), [10, 0, 0, 5, 0]);
    }

    #[test]
    fn every_spelling_of_cached_tokens_is_read() {
        let spellings = [
            ("OpenAI, vLLM, llama.cpp, xAI", r#""prompt_tokens_details":{"cached_tokens":4}"#),
            ("Moonshot", r#""cached_tokens":4"#),
            ("DeepSeek", r#""prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6"#),
            ("LiteLLM", r#""cache_read_input_tokens":4"#),
            ("by the name of responses", r#""input_tokens_details":{"cached_tokens":4}"#),
            ("two of them", r#""cached_tokens":4,"prompt_tokens_details":{"cached_tokens":0}"#),
            ("as a float", r#""prompt_tokens_details":{"cached_tokens":4.0}"#),
        ];
        for (who, spelling) in spellings {
            let json =
                format!(r#"{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,{spelling}}}"#);
            assert_eq!(tokens(&json), [10, 4, 0, 5, 0], "{who}");
        }
    }

    #[test]
    fn every_spelling_of_tokens_written_to_a_cache_is_read() {
        let spellings = [
            r#""prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3}"#,
            r#""prompt_tokens_details":{"cached_tokens":4,"cache_creation_tokens":3}"#,
            r#""prompt_tokens_details":{"cached_tokens":4,"cache_creation_input_tokens":3}"#,
            r#""cache_read_input_tokens":4,"cache_creation_input_tokens":3"#,
        ];
        for spelling in spellings {
            let json = format!(r#"{{"prompt_tokens":10,"completion_tokens":5,{spelling}}}"#);
            assert_eq!(tokens(&json), [10, 4, 3, 5, 0], "{spelling}");
        }
        // more was cached and written than there was
        let more = r#"{"prompt_tokens":10,"cached_tokens":8,"cache_creation_input_tokens":8}"#;
        assert_eq!(tokens(more), [10, 8, 2, 0, 0]);
    }

    #[test]
    fn other_names_mean_the_same_and_where_cache_stands_beside_the_input_it_is_added() {
        assert_eq!(
            tokens(r#"{"input_tokens":10,"output_tokens":5,"output_tokens_details":{"thinking_tokens":3}}"#),
            [10, 0, 0, 5, 3]
        );
        let anthropic = r#"{"input_tokens":3,"output_tokens":7,"cache_read_input_tokens":4,"cache_creation_input_tokens":4}"#;
        assert_eq!(tokens(anthropic), [11, 4, 4, 7, 0]);
        let responses = r#"{"input_tokens":11,"output_tokens":7,"input_tokens_details":{"cached_tokens":4}}"#;
        assert_eq!(tokens(responses), [11, 4, 0, 7, 0]);
        assert_eq!(
            tokens(r#"{"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":7,"completion_tokens":2}"#),
            [11, 4, 0, 2, 0]
        );
    }

    #[test]
    fn thinking_is_paid_for_wherever_it_stands() {
        let with = |completion: u64, total: &str, reasoning: u64| {
            tokens(&format!(
                r#"{{"prompt_tokens":10,"completion_tokens":{completion}{total},"completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#
            ))
        };
        assert_eq!(with(1005, r#","total_tokens":1015"#, 1000), [10, 0, 0, 1005, 1000], "inside");
        assert_eq!(with(5, r#","total_tokens":1015"#, 1000), [10, 0, 0, 1005, 1000], "beside");
        assert_eq!(with(5, r#","total_tokens":1015"#, 0), [10, 0, 0, 1005, 0], "in the total alone");
        assert_eq!(with(5, "", 1000), [10, 0, 0, 1005, 1000], "beside, and no total");
        assert_eq!(with(1000, "", 1000), [10, 0, 0, 1000, 1000], "all of it");
        assert_eq!(with(999, "", 1000), [10, 0, 0, 1999, 1000], "one more than there is");
        assert_eq!(with(20, r#","total_tokens":15"#, 0), [10, 0, 0, 20, 0], "a total that is too small");
        assert_eq!(
            tokens(r#"{"prompt_tokens":10,"completion_tokens":5,"reasoning_tokens":3}"#),
            [10, 0, 0, 5, 3],
            "without details"
        );
    }

    #[test]
    fn what_tells_no_tokens_is_no_usage_and_sums_are_taken_apart() {
        for json in [r#""none""#, "{}", r#"{"prompt_tokens":null,"completion_tokens":5}"#, "[]", "3"] {
            assert_eq!(reported(json), None, "{json}");
        }
        assert_eq!(tokens(r#"{"prompt_tokens":10.0}"#), [10, 0, 0, 0, 0]);
        assert_eq!(tokens(r#"{"prompt_tokens":"10","completion_tokens":"5"}"#), [10, 0, 0, 5, 0]);
        assert_eq!(
            tokens(r#"{"prompt_tokens":10,"completion_tokens":0,"total_tokens":15}"#),
            [10, 0, 0, 5, 0]
        );
    }

    #[test]
    fn figures_that_cannot_be_true_are_not_believed_up_to_the_boundary() {
        assert_eq!(tokens(r#"{"prompt_tokens":134217728,"completion_tokens":134217728}"#)[0], MOST);
        for figure in [
            "134217729",
            "900000000",
            "1e30",
            "-1",
            "18446744073709551616",
            "1e400",
            "\"many\"",
            "[]",
            "true",
        ] {
            for json in [
                format!(r#"{{"prompt_tokens":{figure},"completion_tokens":5}}"#),
                format!(r#"{{"prompt_tokens":5,"completion_tokens":{figure}}}"#),
                format!(r#"{{"prompt_tokens":5,"completion_tokens":5,"total_tokens":{figure}}}"#),
                format!(r#"{{"prompt_tokens":5,"completion_tokens":5,"cached_tokens":{figure}}}"#),
            ] {
                assert!(read(&json).implausible, "{json}");
            }
        }
        let (usage, estimated) =
            Usage::or_estimate(reported(r#"{"prompt_tokens":1e30}"#), || Usage::estimate(7, 40, 1));
        assert_eq!((usage.input, usage.output, usage.implausible, estimated), (7, 10, true, true));
    }

    #[test]
    fn what_the_upstream_says_it_cost_is_read_where_it_can_be_true() {
        let cost = |cost: &str| read(&format!(r#"{{"prompt_tokens":1,"cost":{cost}}}"#)).cost;
        assert_eq!(cost("0.00014"), Some(MicroUsd(140)));
        assert_eq!(cost("0"), Some(MicroUsd(0)));
        assert_eq!(cost("1.4e-4"), Some(MicroUsd(140)));
        assert_eq!(cost(r#"{"input_tokens_cost":0.1,"total_cost":0.3}"#), Some(MicroUsd(300_000)));
        assert_eq!(cost("\"0.25\""), Some(MicroUsd(250_000)));
        assert_eq!(cost(r#"{"total_cost":"0.3"}"#), Some(MicroUsd(300_000)));
        for nonsense in
            ["\"\"", "\"NaN\"", "\"inf\"", "\"-1\"", "-1", "1e30", "1e400", "null", "\"free\"", "{}", "[]"]
        {
            assert_eq!(cost(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_last_report_counts_unless_it_is_empty() {
        let first = read(r#"{"prompt_tokens":10,"completion_tokens":1}"#);
        let later = read(r#"{"prompt_tokens":10,"completion_tokens":5}"#);
        assert_eq!(first.followed_by(later), later);
        assert_eq!(later.followed_by(read(r#"{"prompt_tokens":0,"completion_tokens":0}"#)), later);
    }

    #[test]
    fn a_cost_stands_until_another_is_told() {
        let paid = read(r#"{"prompt_tokens":10,"completion_tokens":1,"cost":0.25}"#);
        let silent = read(r#"{"prompt_tokens":10,"completion_tokens":5}"#);
        assert_eq!(paid.followed_by(silent), Usage { cost: Some(MicroUsd(250_000)), ..silent });
        let more = read(r#"{"prompt_tokens":10,"completion_tokens":5,"cost":0.5}"#);
        assert_eq!(paid.followed_by(more).followed_by(silent).cost, Some(MicroUsd(500_000)));
    }

    #[test]
    fn an_estimate_counts_at_least_one_token_an_event() {
        assert_eq!(Usage::estimate(7, 10, 6).output, 6);
        assert_eq!(Usage::estimate(7, 400, 6).output, 100);
    }
}
