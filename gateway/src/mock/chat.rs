//! `POST /v1/chat/completions`: a speech in OpenAI's shape, at once; streams are next door.

use super::Mock;
use super::answer::{Answer, JSON, json};
use super::ask::{ChatAsk, Shape};
use super::chat_stream;
use super::fault::Kind;
use super::refuse;
use super::speak::{self, Choice, Speech, Usage};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<CompletionChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// The same key once more, for the fault `usage-twice`.
    #[serde(rename = "usage", skip_serializing_if = "Option::is_none")]
    usage_again: Option<Usage>,
    service_tier: &'static str,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct CompletionChoice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
    annotations: [(); 0],
}

/// A tool call; in streams the first piece names it and the others only bring arguments.
#[derive(Serialize)]
pub(super) struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#type: Option<&'static str>,
    pub(super) function: Function<'a>,
}

#[derive(Serialize)]
pub(super) struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

pub(super) const TIER: &str = "default";
pub(super) const FINGERPRINT: &str = "fp_mixgate_mock";

/// The answer to a chat. `number` makes its id unique.
pub(super) fn answer(mock: &Mock, number: u64, body: &[u8], fault: Option<&Kind>) -> Answer {
    let ask: ChatAsk<'_> = match serde_json::from_slice(body) {
        Ok(ask) => ask,
        Err(error) => return refuse::bad_json(&error),
    };
    if let Some(refused) = refuse::model(mock, ask.model.as_deref()) {
        return refused;
    }
    if ask.messages.as_ref().is_none_or(Vec::is_empty) {
        return refuse::missing("messages");
    }
    let speech = speak::to_chat(mock, &ask, fault);
    let id = format!("chatcmpl-{:016x}{number}", speech.seed);
    match Shape::of(ask.stream, ask.stream_options) {
        Shape::Whole => whole(&speech, &id, fault),
        Shape::Stream { usage } => {
            Answer::stream(chat_stream::pieces(&speech, &id, usage && fault != Some(&Kind::UsageMissing)))
        }
    }
}

fn whole(speech: &Speech, id: &str, fault: Option<&Kind>) -> Answer {
    let completion = Completion {
        id,
        object: "chat.completion",
        created: now(),
        model: &speech.model,
        choices: speech.choices.iter().enumerate().map(|(index, choice)| choice.whole(index, id)).collect(),
        usage: (fault != Some(&Kind::UsageMissing)).then(|| speech.usage()),
        usage_again: (fault == Some(&Kind::UsageTwice)).then(|| speech.usage()),
        service_tier: TIER,
        system_fingerprint: FINGERPRINT,
    };
    Answer::whole(200, JSON, json(&completion), speech.bill)
}

impl Choice {
    fn whole<'a>(&'a self, index: usize, id: &str) -> CompletionChoice<'a> {
        let call = |tool: &'a String| Call {
            index: None,
            id: Some(call_id(id, index)),
            r#type: Some("function"),
            function: Function { name: Some(tool), arguments: self.text.as_str() },
        };
        let message = Message {
            role: "assistant",
            content: self.tool.is_none().then(|| self.text.as_str()),
            refusal: None,
            tool_calls: self.tool.as_ref().map(|tool| [call(tool)]),
            annotations: [],
        };
        CompletionChoice { index, message, logprobs: None, finish_reason: self.finish }
    }
}

/// Unique within an answer, and always the same for the same answer.
pub(super) fn call_id(id: &str, index: usize) -> String {
    format!("call_{}{index}", id.trim_start_matches("chatcmpl-"))
}

/// Seconds since 1970, for `created`.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
