//! Just enough of a request, borrowed from its bytes.
//!
//! The body is never rebuilt: a model name and `stream_options` are exchanged by splicing at the offsets of the
//! original, so unknown fields, number formats and key order survive. What two JSON readers could read
//! differently (duplicate keys, `Model` beside `model`, endless nesting) is refused.

mod json;
mod read;
mod spliced;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::Dialect;
use crate::constraint::Capabilities;
use crate::error::Failure;

pub(crate) use json::unescape;
pub use read::MAX_PIECES;
pub use spliced::Spliced;

/// Deepest nesting of a body, skipped values included.
pub const MAX_DEPTH: usize = 128;

/// A body larger than this goes out in pieces; below it one copy costs less.
const SPLICED: usize = 64 * 1024;

/// Most answers that are told apart.
const MAX_CHOICES: u32 = 128;

/// One request, as far as a gateway needs to know it.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The value of `model`.
    pub model: Cow<'a, str>,
    /// The turns; those of a legacy completion are one human turn. An embedding has none.
    pub turns: Vec<Turn<'a>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client itself asked for usage in its stream.
    pub wants_usage: bool,
    /// Number of answers asked for: `n`, for each prompt.
    pub choices: u32,
    /// Longest answer asked for, tokens; `None` also where the client set no limit by a negative one.
    pub max_output: Option<u64>,
    /// What an expert must be able to do.
    pub needs: Capabilities,
    /// Prompt tokens by rule of thumb: 4 bytes of text each, of tools and schemas too, and 1,000 an image, a recording
    /// or a file.
    pub tokens_estimated: u64,
    /// What the request says of the conversation it belongs to.
    pub session: Option<Cow<'a, str>>,
    /// A hint that may be shared by conversations: `prompt_cache_key`.
    pub cache_key: Option<Cow<'a, str>>,
    /// The body as it stands: rules on domains look at all of it.
    pub body: &'a str,
    /// A prompt, or a part of it, is a list of token ids: nothing to read.
    pub has_token_ids: bool,
    /// Bytes of all that the model reads, escapes undone.
    text_bytes: u64,
    model_at: Range<usize>,
    /// What makes the stream tell its usage.
    usage_edit: Edit,
}

/// A place in the body, and what is to stand there.
type Edit = (Range<usize>, &'static str);

/// One message.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// The texts of it, still as JSON string literals.
    pub texts: Vec<Literal<'a>>,
    /// The model asked for tools in it.
    pub calls_tools: bool,
}

/// Who speaks, as far as routing cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `system`, `developer`.
    System,
    /// `user` with something a person may have written.
    Human,
    /// `assistant`.
    Model,
    /// `tool`, `function`, and `user` turns that carry nothing but tool results.
    Tool,
}

/// The inside of a JSON string literal, escapes and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Literal<'a>(pub &'a str);

impl<'a> Ask<'a> {
    /// Reads a body of this dialect.
    pub fn parse(dialect: Dialect, body: &'a [u8]) -> Result<Self, Failure> {
        json::check_depth(body)?;
        let text = std::str::from_utf8(body).map_err(|e| Failure::InvalidJson(e.to_string()))?;
        let top: Top<'a> = serde_json::from_str(text).map_err(|e| Failure::InvalidJson(e.to_string()))?;
        let model = top.model.ok_or(Failure::MissingParameter("model"))?;
        let limits = [top.max_tokens, top.max_completion_tokens, top.max_output_tokens];
        let mut ask = Ask {
            model: json::text(model)
                .ok_or_else(|| Failure::InvalidValue("model", "must be a text".to_owned()))?,
            turns: Vec::new(),
            stream: truth(top.stream, "stream")?,
            wants_usage: false,
            choices: whole(top.n).map_or(1, |n| u32::try_from(n.max(1)).unwrap_or(u32::MAX)),
            max_output: limits.into_iter().filter_map(whole).max(),
            needs: top.needs(),
            tokens_estimated: 0,
            session: None,
            cache_key: top.cache_key.and_then(json::text),
            body: text,
            has_token_ids: false,
            text_bytes: 0,
            model_at: place(body, model.get()),
            usage_edit: (0..0, ""),
        };
        ask.read_stream_options(body, top.stream_options)?;
        ask.read_session(&top);
        ask.read_turns(dialect, &top)?;
        Ok(ask)
    }

    fn read_stream_options(&mut self, body: &[u8], raw: Option<&'a RawValue>) -> Result<(), Failure> {
        let end = self.model_at.end;
        self.usage_edit = (end..end, r#","stream_options":{"include_usage":true}"#);
        let Some(raw) = raw else { return Ok(()) };
        let at = place(body, raw.get());
        if raw.get() == "null" {
            self.usage_edit = (at, r#"{"include_usage":true}"#);
            return Ok(());
        }
        let mut asked = None;
        let read = json::fields(raw.get(), |key, value| match key {
            "include_usage" => json::once(&mut asked, key, value),
            _ => json::refuse_case_variant(key, &["include_usage"]),
        });
        read.map_err(|e| Failure::InvalidValue("stream_options", e.to_string()))?;
        self.usage_edit = match asked {
            Some(value) => (place(body, value.get()), "true"),
            None => {
                let empty = raw.get()[1..].trim_start().starts_with('}');
                let text = if empty { r#""include_usage":true"# } else { r#""include_usage":true,"# };
                (at.start + 1..at.start + 1, text)
            }
        };
        self.wants_usage = asked.is_some_and(|value| value.get() == "true");
        Ok(())
    }

    fn read_session(&mut self, top: &Top<'a>) {
        const KEYS: [&str; 4] = ["session_id", "conversation_id", "thread_id", "chat_id"];
        self.session =
            top.session_id.and_then(json::text).or_else(|| top.conversation_id.and_then(json::text));
        let mut hints = [None; KEYS.len()];
        if let Some(metadata) = top.metadata.filter(|_| self.session.is_none()) {
            // what cannot be read is no hint
            let _ = json::fields(metadata.get(), |key, value| {
                if let Some(at) = KEYS.iter().position(|known| *known == key) {
                    hints[at] = Some(value);
                }
                Ok(())
            });
            self.session = hints.into_iter().flatten().find_map(json::text);
        }
    }

    fn read_turns(&mut self, dialect: Dialect, top: &Top<'a>) -> Result<(), Failure> {
        let missing = Failure::MissingParameter(dialect.input());
        match dialect {
            Dialect::Chat => self.read_messages(top.messages.ok_or(missing)?)?,
            Dialect::Completions => self.read_prompt(top.prompt.ok_or(missing)?)?,
            Dialect::Embeddings => self.read_embedded(top.input.ok_or(missing)?)?,
        }
        self.choices = self.choices.min(MAX_CHOICES);
        // what a model reads beside the turns
        let beside =
            [top.tools, top.functions, top.response_format, top.suffix, top.prediction, top.documents];
        let beside = beside.into_iter().flatten().filter(|raw| json::asks(Some(raw)));
        self.text_bytes += beside.map(|raw| json::plain_len(raw.get()) as u64).sum::<u64>();
        self.tokens_estimated += self.text_bytes.div_ceil(4) + 4 * self.turns.len() as u64;
        Ok(())
    }

    /// The same without what routing read: all that is needed to send it on, and free of the body.
    pub fn decided(self) -> Ask<'static> {
        Ask {
            model: Cow::Owned(self.model.into_owned()),
            turns: Vec::new(),
            session: None,
            cache_key: None,
            stream: self.stream,
            wants_usage: self.wants_usage,
            choices: self.choices,
            max_output: self.max_output,
            needs: self.needs,
            tokens_estimated: self.tokens_estimated,
            body: "",
            has_token_ids: self.has_token_ids,
            text_bytes: self.text_bytes,
            model_at: self.model_at,
            usage_edit: self.usage_edit,
        }
    }

    /// Whether the gateway has to ask for usage where it wants to know it: the client streams and did not.
    pub fn adds_usage(&self, dialect: Dialect) -> bool {
        self.stream && !self.wants_usage && dialect != Dialect::Embeddings
    }

    /// The body for an upstream: `model` exchanged, usage asked for in streams where `usage` says so.
    pub fn rewrite(&self, body: &Bytes, model: &str, usage: bool) -> Bytes {
        let edits = self.edits(model, usage);
        if edits.iter().all(Option::is_none) {
            return body.clone();
        }
        let mut out = BytesMut::with_capacity(body.len() + 160);
        splice(body, edits, |piece| {
            out.extend_from_slice(match &piece {
                Piece::Own(range) => &body[range.clone()],
                Piece::New(text) => text.as_bytes(),
            });
        });
        out.freeze()
    }

    /// The same, where a large body is not copied.
    pub fn outgoing(&self, body: &Bytes, model: &str, usage: bool) -> Spliced {
        if body.len() <= SPLICED {
            return Spliced::one(self.rewrite(body, model, usage));
        }
        let mut pieces = Vec::with_capacity(5);
        splice(body, self.edits(model, usage), |piece| {
            pieces.push(match piece {
                Piece::Own(range) => body.slice(range),
                Piece::New(text) => Bytes::from(text.into_owned()),
            });
        });
        Spliced::many(pieces)
    }

    /// In their order, apart from each other.
    fn edits(&self, model: &str, usage: bool) -> [Option<(Range<usize>, Cow<'static, str>)>; 2] {
        let quoted = || Cow::Owned(serde_json::to_string(model).unwrap_or_default());
        let model = (self.model != model).then(|| (self.model_at.clone(), quoted()));
        let (at, text) = &self.usage_edit;
        let usage = (usage && self.stream && !self.wants_usage).then(|| (at.clone(), Cow::Borrowed(*text)));
        if at.start < self.model_at.start { [usage, model] } else { [model, usage] }
    }
}

/// A stretch of the body, or what stands in its place.
enum Piece {
    Own(Range<usize>),
    New(Cow<'static, str>),
}

/// The pieces of a body with these edits.
fn splice(body: &[u8], edits: [Option<(Range<usize>, Cow<'static, str>)>; 2], mut put: impl FnMut(Piece)) {
    let mut done = 0;
    for (range, text) in edits.into_iter().flatten() {
        put(Piece::Own(done..range.start));
        put(Piece::New(text));
        done = range.end;
    }
    put(Piece::Own(done..body.len()));
}

fn place(body: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - body.as_ptr() as usize;
    start..start + part.len()
}

fn truth(raw: Option<&RawValue>, name: &'static str) -> Result<bool, Failure> {
    match raw.map(RawValue::get) {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure::InvalidValue(name, "must be true or false".to_owned())),
    }
}

/// A number as servers take it: `256`, `256.0`, `2.56e2`. What is below zero, or no number at all, is no limit here; the
/// upstream gets it as it stands, and says what it makes of it.
fn whole(raw: Option<&RawValue>) -> Option<u64> {
    let text = raw?.get();
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        (value >= 0.0).then_some(value as u64)
    })
}

/// Declares the fields that are read, and where each of them is kept.
macro_rules! top {
    ($($field:ident: $key:literal,)*) => {
        /// The top level of a body: the fields that matter, as they stand.
        #[derive(Default)]
        struct Top<'a> {
            $($field: Option<&'a RawValue>,)*
        }

        impl<'a> Top<'a> {
            fn slot(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
                Some(match key {
                    $($key => &mut self.$field,)*
                    _ => return None,
                })
            }
        }

        /// Fields of which two readers must not see different values.
        const DECISIVE: &[&str] = &[$($key,)*];
    };
}

top! {
    model: "model",
    messages: "messages",
    prompt: "prompt",
    input: "input",
    stream: "stream",
    stream_options: "stream_options",
    n: "n",
    max_tokens: "max_tokens",
    max_completion_tokens: "max_completion_tokens",
    max_output_tokens: "max_output_tokens",
    tools: "tools",
    functions: "functions",
    parallel_tools: "parallel_tool_calls",
    response_format: "response_format",
    structured: "structured_outputs",
    guided_json: "guided_json",
    guided_regex: "guided_regex",
    guided_choice: "guided_choice",
    guided_grammar: "guided_grammar",
    web_search: "web_search_options",
    modalities: "modalities",
    suffix: "suffix",
    prediction: "prediction",
    documents: "documents",
    logprobs: "logprobs",
    reasoning_effort: "reasoning_effort",
    reasoning: "reasoning",
    thinking: "thinking",
    audio: "audio",
    metadata: "metadata",
    session_id: "session_id",
    conversation_id: "conversation_id",
    cache_key: "prompt_cache_key",
}

impl Top<'_> {
    /// What an expert must be able to do for the fields beside the messages.
    fn needs(&self) -> Capabilities {
        let tools = json::asks(self.tools) || json::asks(self.functions);
        let logprobs = json::asks(self.logprobs) && self.logprobs.is_some_and(|raw| raw.get() != "0");
        let reasoning = json::asks(self.reasoning_effort)
            || self.reasoning.is_some_and(asks_to_reason)
            || self.thinking.is_some_and(asks_to_reason);
        // a form that is not known here is not simpler than a schema
        let formed = |raw| !matches!(field(raw, "type").as_deref(), None | Some("text" | "json_object"));
        let schema = self.response_format.is_some_and(formed);
        let guided = [self.guided_json, self.guided_regex, self.guided_choice, self.guided_grammar];
        let guided = guided.into_iter().chain([self.structured]).any(json::asks);
        let speaks = |raw: &RawValue, what: &str| raw.get().contains(&format!("\"{what}\""));
        let audio = json::asks(self.audio) || self.modalities.is_some_and(|raw| speaks(raw, "audio"));
        let draws = self.modalities.is_some_and(|raw| speaks(raw, "image") || speaks(raw, "video"));
        let mut needs = Capabilities::default();
        needs.set(Capabilities::TOOLS, tools);
        needs.set(Capabilities::PARALLEL_TOOLS, tools && json::asks(self.parallel_tools));
        needs.set(Capabilities::LOGPROBS, logprobs);
        needs.set(Capabilities::REASONING, reasoning);
        needs.set(Capabilities::AUDIO, audio);
        needs.set(Capabilities::JSON_SCHEMA, schema || guided);
        needs.set(Capabilities::OTHER, draws || self.web_search.is_some_and(|raw| raw.get() != "null"));
        needs
    }
}

/// Whether `reasoning` or `thinking` asks for it: an effort, a budget of tokens, or just that it be on.
fn asks_to_reason(raw: &RawValue) -> bool {
    if !raw.get().starts_with('{') {
        return json::asks(Some(raw));
    }
    let mut asks = false;
    let mut off = false;
    // what cannot be read asks for nothing that is known
    let _ = json::fields(raw.get(), |key, value| {
        let no = !json::asks(Some(value)) || matches!(value.get(), "0" | "\"disabled\"");
        match key {
            "effort" | "max_tokens" | "budget_tokens" | "enabled" | "type" if no => {
                off |= value.get() != "null";
            }
            "exclude" | "summary" | "generate_summary" => {}
            _ => asks |= !no,
        }
        Ok(())
    });
    asks && !off
}

/// The text in a field of an object.
fn field<'a>(object: &'a RawValue, name: &str) -> Option<Cow<'a, str>> {
    let mut found = None;
    json::fields(object.get(), |key, value| {
        if key == name {
            found = Some(value);
        }
        Ok(())
    })
    .ok()?;
    json::text(found?)
}

impl<'de: 'a, 'a> Deserialize<'de> for Top<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TopVisitor)
    }
}

struct TopVisitor;

impl<'de> Visitor<'de> for TopVisitor {
    type Value = Top<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top<'de>, A::Error> {
        let mut top = Top::default();
        while let Some(key) = map.next_key::<&RawValue>()? {
            let key = json::text(key).unwrap_or_default();
            let Some(slot) = top.slot(&key) else {
                json::refuse_case_variant(&key, DECISIVE).map_err(de::Error::custom)?;
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            json::once(slot, &key, map.next_value()?).map_err(de::Error::custom)?;
        }
        Ok(top)
    }
}

#[cfg(test)]
mod tests;
