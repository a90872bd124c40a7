//! What a model would say: pure, from the request and the mock's character to choices of text, JSON or a
//! tool call, with the usage that belongs to them. The endpoints only put it into their shapes.

use super::Mock;
use super::ask::{ChatAsk, Function, ToolChoice};
use super::fault::Kind;
use super::schema;
use super::seen::Bill;
use super::text::{self, Text, Words};
use serde::Serialize;

/// All that is said to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) model: String,
    /// Differs between prompts, for ids.
    pub(super) seed: u64,
    pub(super) choices: Vec<Choice>,
    pub(super) bill: Bill,
}

/// One choice: a text, or the arguments of a call of `tool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) text: Text,
    pub(super) tool: Option<String>,
    /// `None` where a fault leaves it out.
    pub(super) finish: Option<&'static str>,
}

/// How long an answer may be and how many there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) choices: Option<usize>,
    pub(super) max_tokens: Option<usize>,
    pub(super) ignore_eos: bool,
}

/// OpenAI's usage object.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

/// Choices that one request may have, so that a typing error does not fill the memory.
const MOST_CHOICES: usize = 128;
/// Tokens that one choice may have.
const MOST_TOKENS: usize = 1_000_000;

/// The speech to a chat.
pub(super) fn to_chat(mock: &Mock, ask: &ChatAsk<'_>, fault: Option<&Kind>) -> Speech {
    let messages = ask.messages.as_deref().unwrap_or_default();
    let prompt: String = messages.last().map(|last| last.texts().collect()).unwrap_or_default();
    let letters = messages.iter().flat_map(|message| message.texts()).map(|text| text.chars().count()).sum();
    let limits = Limits {
        choices: ask.n,
        max_tokens: ask.max_completion_tokens.or(ask.max_tokens),
        ignore_eos: ask.ignore_eos.unwrap_or(false),
    };
    let fixed = fixed_text(ask, &prompt);
    let choice = |at| match &fixed {
        Some((tool, text)) => given(*tool, text.clone(), limits),
        None => free(mock, &prompt, at, limits, fault),
    };
    let choices = (0..limits.choices(fault)).map(choice).map(|choice| choice.finished(fault)).collect();
    speech(mock, ask.model.as_deref(), &prompt, text::prompt_tokens(letters), choices, fault)
}

/// The speech to one or several prompts: `n` choices each.
pub(super) fn to_prompts(
    mock: &Mock,
    model: Option<&str>,
    prompts: &[(String, u64)],
    limits: Limits,
    fault: Option<&Kind>,
) -> Speech {
    let each = |(prompt, _): &(String, u64)| -> Vec<Choice> {
        (0..limits.choices(fault)).map(|at| free(mock, prompt, at, limits, fault).finished(fault)).collect()
    };
    let tokens = prompts.iter().map(|(_, tokens)| tokens).sum();
    let first = prompts.first().map_or("", |(prompt, _)| prompt);
    speech(mock, model, first, tokens, prompts.iter().flat_map(each).collect(), fault)
}

fn speech(
    mock: &Mock,
    model: Option<&str>,
    prompt: &str,
    prompt_tokens: u64,
    choices: Vec<Choice>,
    fault: Option<&Kind>,
) -> Speech {
    let model = match fault {
        Some(Kind::WrongModel(wrong)) if wrong.is_empty() => "another-model",
        Some(Kind::WrongModel(wrong)) => wrong,
        _ => model.unwrap_or(&mock.model),
    };
    let said: usize = choices.iter().map(|choice| choice.text.len()).sum();
    let reasoning = mock.reasoning_tokens * choices.len();
    let bill = Bill {
        prompt_tokens,
        cached_tokens: prompt_tokens * mock.cached_percent.min(100) as u64 / 100,
        completion_tokens: (said + reasoning) as u64,
        reasoning_tokens: reasoning as u64,
    };
    Speech { model: model.to_owned(), seed: text::seed(prompt), choices, bill }
}

/// Words about the prompt, as many as the mock is used to say.
fn free(mock: &Mock, prompt: &str, at: usize, limits: Limits, fault: Option<&Kind>) -> Choice {
    let most = limits.max_tokens.unwrap_or(usize::MAX);
    let wanted = if limits.ignore_eos { limits.max_tokens.unwrap_or(mock.tokens) } else { mock.tokens };
    let words = if fault == Some(&Kind::SplitUtf8) { Words::Multibyte } else { Words::Plain };
    let text = Text::about(prompt, at as u64, wanted.min(most).min(MOST_TOKENS), words);
    let finish = if wanted > most || (limits.ignore_eos && wanted == most) { "length" } else { "stop" };
    Choice { text, tool: None, finish: Some(finish) }
}

/// A text that is fixed by a schema; only the request's limit cuts it.
fn given(tool: Option<&str>, text: Text, limits: Limits) -> Choice {
    let finish = match limits.max_tokens {
        Some(most) if most < text.len() => "length",
        _ if tool.is_some() => "tool_calls",
        _ => "stop",
    };
    Choice {
        text: text.cut(limits.max_tokens.unwrap_or(usize::MAX)),
        tool: tool.map(str::to_owned),
        finish: Some(finish),
    }
}

fn fixed_text<'a>(ask: &'a ChatAsk<'_>, prompt: &str) -> Option<(Option<&'a str>, Text)> {
    let word = prompt.split_whitespace().next().unwrap_or("mock");
    if let Some(function) = called(ask) {
        return Some((Some(&function.name), Text::verbatim(schema::fitting(function.parameters, word))));
    }
    let format = ask.response_format.as_ref()?;
    let schema = format.json_schema.as_ref().and_then(|schema| schema.schema);
    matches!(format.kind.as_ref(), "json_object" | "json_schema")
        .then(|| (None, Text::verbatim(schema::fitting(schema, word))))
}

/// The function that a model would call: the named one, or the first; none behind a tool's own answer.
fn called<'a>(ask: &'a ChatAsk<'_>) -> Option<&'a Function<'a>> {
    let mut functions = ask.tools.iter().flatten().filter_map(|tool| tool.function.as_ref());
    let answered = ask.messages.iter().flatten().last().is_some_and(|last| last.role == "tool");
    match &ask.tool_choice {
        Some(ToolChoice::Mode(mode)) if mode == "none" => None,
        Some(ToolChoice::Named { function }) => functions.find(|known| known.name == function.name),
        _ if answered => None,
        _ => functions.next(),
    }
}

impl Limits {
    fn choices(self, fault: Option<&Kind>) -> usize {
        match fault {
            Some(Kind::ChoicesEmpty) => 0,
            _ => self.choices.unwrap_or(1).min(MOST_CHOICES),
        }
    }
}

impl Choice {
    fn finished(self, fault: Option<&Kind>) -> Choice {
        match fault {
            Some(Kind::EndWithoutFinish) => Choice { finish: None, ..self },
            _ => self,
        }
    }
}

impl Speech {
    pub(super) fn usage(&self) -> Usage {
        let bill = self.bill;
        Usage {
            prompt_tokens: bill.prompt_tokens,
            completion_tokens: bill.completion_tokens,
            total_tokens: bill.prompt_tokens + bill.completion_tokens,
            prompt_tokens_details: PromptDetails { cached_tokens: bill.cached_tokens, audio_tokens: 0 },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: bill.reasoning_tokens,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
        }
    }

    /// What is owed once the answer begins: the prompt, and the reasoning that nobody sees.
    pub(super) fn opening_bill(&self) -> Bill {
        Bill { completion_tokens: self.bill.reasoning_tokens, ..self.bill }
    }
}

/// What one visible token costs.
pub(super) const ONE_TOKEN: Bill =
    Bill { prompt_tokens: 0, cached_tokens: 0, completion_tokens: 1, reasoning_tokens: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> Speech {
        let mock = Mock { cached_percent: 50, reasoning_tokens: 5, ..Mock::default() };
        to_chat(&mock, &serde_json::from_str(json).unwrap(), None)
    }

    #[test]
    fn a_limit_cuts_and_says_so() {
        let speech = said(r#"{"messages":[{"role":"user","content":"12345678"}],"max_tokens":7,"n":2}"#);
        let lengths: Vec<_> =
            speech.choices.iter().map(|choice| (choice.text.len(), choice.finish)).collect();
        assert_eq!(lengths, [(7, Some("length")), (7, Some("length"))]);
        let bill = Bill { prompt_tokens: 2, cached_tokens: 1, completion_tokens: 24, reasoning_tokens: 10 };
        assert_eq!(speech.bill, bill);
    }

    #[test]
    fn a_load_tester_gets_exactly_what_it_asks_for() {
        let speech = said(r#"{"messages":[],"max_completion_tokens":300,"ignore_eos":true}"#);
        assert_eq!((speech.choices[0].text.len(), speech.choices[0].finish), (300, Some("length")));
        assert_eq!(said(r#"{"messages":[],"max_tokens":300}"#).choices[0].finish, Some("stop"));
    }

    #[test]
    fn a_tool_is_called_until_it_has_answered() {
        let ask = |role: &str, choice: &str| {
            let tool = r#"{"type":"function","function":{"name":"weather","parameters":{"properties":{"city":{"type":"string"}}}}}"#;
            format!(r#"{{"messages":[{{"role":"{role}","content":"Graz"}}],"tools":[{tool}]{choice}}}"#)
        };
        let called = said(&ask("user", "")).choices.remove(0);
        assert_eq!(
            (called.tool.as_deref(), called.text.as_str(), called.finish),
            (Some("weather"), r#"{"city":"Graz"}"#, Some("tool_calls"))
        );
        for (role, choice) in [("tool", ""), ("user", r#","tool_choice":"none""#)] {
            assert_eq!(said(&ask(role, choice)).choices[0].tool, None);
        }
        let forced = r#","tool_choice":{"type":"function","function":{"name":"weather"}}"#;
        assert!(said(&ask("tool", forced)).choices[0].tool.is_some());
    }
}
