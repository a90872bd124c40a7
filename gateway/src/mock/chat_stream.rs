//! A streamed chat: the chunks that OpenAI sends, in the order in which it sends them.

use super::answer::{Part, Piece};
use super::chat::{Call, FINGERPRINT, Function, TIER, call_id, now};
use super::mould::Mould;
use super::seen::Bill;
use super::speak::{Choice, Speech, Usage};
use serde::Serialize;

/// Role chunks, then the choices' tokens in turn, the reasons to finish, usage, `[DONE]`.
pub(super) fn pieces(speech: &Speech, id: &str, with_usage: bool) -> Vec<Piece> {
    let chunks = Chunks { speech, id, created: now(), with_usage };
    let longest = speech.choices.iter().map(|choice| choice.text.len()).max().unwrap_or(0);
    let mut pieces = Vec::with_capacity(longest * speech.choices.len() + 4);
    for (index, choice) in speech.choices.iter().enumerate() {
        let owed = if index == 0 { speech.opening_bill() } else { Bill::default() };
        pieces.push(chunks.delta(Part::Opening, index, choice.opening(id, index)).billed(owed));
    }
    let choices = speech.choices.iter().enumerate();
    let moulds: Vec<Mould> = choices
        .map(|(index, choice)| Mould::of(chunks.delta(Part::Token, index, choice.no_token())))
        .collect();
    for at in 0..longest {
        let tokens = speech
            .choices
            .iter()
            .zip(&moulds)
            .filter_map(|(choice, mould)| Some((mould, choice.text.token(at)?)));
        pieces.extend(tokens.map(|(mould, token)| mould.cast(token)));
    }
    pieces
        .extend(speech.choices.iter().enumerate().map(|(index, choice)| chunks.finish(index, choice.finish)));
    if speech.choices.is_empty() {
        pieces.push(chunks.event(Part::Opening, &[], None).billed(speech.opening_bill()));
    }
    if with_usage {
        pieces.push(chunks.event(Part::Usage, &[], Some(speech.usage())));
    }
    pieces.push(Piece::done());
    pieces
}

/// What all chunks of a stream have in common.
struct Chunks<'a> {
    speech: &'a Speech,
    id: &'a str,
    created: u64,
    with_usage: bool,
}

impl Chunks<'_> {
    fn delta(&self, part: Part, index: usize, delta: Delta<'_>) -> Piece {
        self.event(part, &[ChunkChoice { index, delta, logprobs: None, finish_reason: None }], None)
    }

    fn finish(&self, index: usize, reason: Option<&'static str>) -> Piece {
        let choice = ChunkChoice { index, delta: Delta::default(), logprobs: None, finish_reason: reason };
        self.event(Part::Finish, &[choice], None)
    }

    fn event(&self, part: Part, choices: &[ChunkChoice<'_>], usage: Option<Usage>) -> Piece {
        let chunk = Chunk {
            id: self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.speech.model,
            service_tier: TIER,
            system_fingerprint: FINGERPRINT,
            choices,
            usage: self.with_usage.then_some(usage),
        };
        Piece::event(part, &chunk)
    }
}

impl Choice {
    fn opening(&self, id: &str, index: usize) -> Delta<'_> {
        let call = |tool| Call {
            index: Some(0),
            id: Some(call_id(id, index)),
            r#type: Some("function"),
            function: Function { name: Some(tool), arguments: "" },
        };
        Delta {
            role: Some("assistant"),
            content: Some(self.tool.is_none().then_some("")),
            tool_calls: self.tool.as_deref().map(|tool| [call(tool)]),
            refusal: Some(None),
        }
    }

    /// The delta of a token, with nothing where the token goes.
    fn no_token(&self) -> Delta<'_> {
        let function = Function { name: None, arguments: "" };
        match self.tool {
            Some(_) => Delta {
                tool_calls: Some([Call { index: Some(0), id: None, r#type: None, function }]),
                ..Delta::default()
            },
            None => Delta { content: Some(Some("")), ..Delta::default() },
        }
    }
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    service_tier: &'static str,
    system_fingerprint: &'static str,
    choices: &'a [ChunkChoice<'a>],
    /// Absent where nobody asked; `null` in every chunk but the last where somebody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Default)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// `null` is sent where a tool is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Option<()>>,
}
