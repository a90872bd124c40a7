//! `POST /v1/completions`, the legacy endpoint: the same speech, as plain text.

use super::Mock;
use super::answer::{Answer, JSON, Part, Piece, json};
use super::ask::{CompletionAsk, Shape};
use super::chat::now;
use super::fault::Kind;
use super::mould::Mould;
use super::refuse;
use super::speak::{self, Limits, Speech, Usage};
use serde::Serialize;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    /// Outer: is there a key; inner: `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: usize,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

/// The answer to one prompt or several.
pub(super) fn answer(mock: &Mock, number: u64, body: &[u8], fault: Option<&Kind>) -> Answer {
    let ask: CompletionAsk<'_> = match serde_json::from_slice(body) {
        Ok(ask) => ask,
        Err(error) => return refuse::bad_json(&error),
    };
    if let Some(refused) = refuse::model(mock, ask.model.as_deref()) {
        return refused;
    }
    let Some(prompt) = ask.prompt else { return refuse::missing("prompt") };
    let limits =
        Limits { choices: ask.n, max_tokens: ask.max_tokens, ignore_eos: ask.ignore_eos.unwrap_or(false) };
    let speech = speak::to_prompts(mock, ask.model.as_deref(), &prompt.each(), limits, fault);
    let maker = Maker { speech: &speech, id: format!("cmpl-{:016x}{number}", speech.seed), created: now() };
    let told = fault != Some(&Kind::UsageMissing);
    match Shape::of(ask.stream, ask.stream_options) {
        Shape::Whole => maker.whole(told),
        Shape::Stream { usage } => Answer::stream(maker.stream(usage && told)),
    }
}

struct Maker<'a> {
    speech: &'a Speech,
    id: String,
    created: u64,
}

impl Maker<'_> {
    fn whole(&self, told: bool) -> Answer {
        let spoken = self.speech.choices.iter().enumerate();
        let choices = spoken.map(|(index, choice)| Choice {
            text: choice.text.as_str(),
            index,
            logprobs: None,
            finish_reason: choice.finish,
        });
        let completion = self.completion(choices.collect(), told.then(|| Some(self.speech.usage())));
        Answer::whole(200, JSON, json(&completion), self.speech.bill)
    }

    fn stream(&self, told: bool) -> Vec<Piece> {
        let null = told.then_some(None);
        let event = |part, index, text, finish_reason| {
            let choice = Choice { text, index, logprobs: None, finish_reason };
            Piece::event(part, &self.completion(vec![choice], null))
        };
        let choices = || self.speech.choices.iter().enumerate();
        let longest = choices().map(|(_, choice)| choice.text.len()).max().unwrap_or(0);
        let mut pieces = Vec::with_capacity(longest + 4);
        let moulds: Vec<Mould> =
            choices().map(|(index, _)| Mould::of(event(Part::Token, index, "", None))).collect();
        for at in 0..longest {
            let tokens = choices().filter_map(|(index, choice)| Some((index, choice.text.token(at)?)));
            pieces.extend(tokens.map(|(index, token)| moulds[index].cast(token)));
        }
        pieces.extend(choices().map(|(index, choice)| event(Part::Finish, index, "", choice.finish)));
        if choices().len() == 0 {
            pieces.push(Piece::event(Part::Opening, &self.completion(Vec::new(), null)));
        }
        if told {
            let usage = self.completion(Vec::new(), Some(Some(self.speech.usage())));
            pieces.push(Piece::event(Part::Usage, &usage));
        }
        pieces.push(Piece::done());
        // there is no role chunk that could carry what the beginning costs
        pieces[0].bill += self.speech.opening_bill();
        pieces
    }

    fn completion<'a>(&'a self, choices: Vec<Choice<'a>>, usage: Option<Option<Usage>>) -> Completion<'a> {
        let Maker { speech, id, created } = self;
        Completion { id, object: "text_completion", created: *created, model: &speech.model, choices, usage }
    }
}
