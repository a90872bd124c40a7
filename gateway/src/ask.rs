//! Just enough of a request, borrowed from its bytes.
//!
//! The body is never rebuilt: a model name and `stream_options` are exchanged by splicing at the offsets of the
//! original, so unknown fields, number formats and key order survive. What two JSON readers could read
//! differently (duplicate keys, `Model` beside `model`, endless nesting) is refused.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::Dialect;
use crate::constraint::Capabilities;
use crate::error::Failure;

/// Deepest nesting of a body, skipped values included.
pub const MAX_DEPTH: usize = 128;

/// One request, as far as a gateway needs to know it.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The value of `model`.
    pub model: Cow<'a, str>,
    /// The turns; those of a legacy completion are one human turn.
    pub turns: Vec<Turn<'a>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client itself asked for usage in its stream.
    pub wants_usage: bool,
    /// Number of answers asked for.
    pub choices: u32,
    /// Longest answer asked for, tokens.
    pub max_output: Option<u64>,
    /// What an expert must be able to do.
    pub needs: Capabilities,
    /// Prompt tokens by rule of thumb: 4 bytes of text each, 1,000 an image.
    pub tokens_estimated: u64,
    /// What the request says of the conversation it belongs to.
    pub session: Option<Cow<'a, str>>,
    /// A hint that may be shared by conversations: `prompt_cache_key`.
    pub cache_key: Option<Cow<'a, str>>,
    model_at: Range<usize>,
    stream_options: Option<(Range<usize>, &'a str)>,
}

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
        check_depth(body)?;
        let text = std::str::from_utf8(body).map_err(|e| Failure::InvalidJson(e.to_string()))?;
        let top: Top<'a> = serde_json::from_str(text).map_err(|e| Failure::InvalidJson(e.to_string()))?;
        let model = top.model.ok_or(Failure::MissingParameter("model"))?;
        let mut ask = Ask {
            model: text_of(model, "model")?,
            turns: Vec::new(),
            stream: truth(top.stream, "stream")?,
            wants_usage: false,
            choices: number(top.n, "n")?.map_or(1, |n| n.clamp(1, 128) as u32),
            max_output: number(top.max_output, "max_tokens")?,
            needs: Capabilities::default(),
            tokens_estimated: 0,
            session: None,
            cache_key: top.cache_key.and_then(|raw| serde_json::from_str(raw.get()).ok()),
            model_at: place(body, model.get()),
            stream_options: top.stream_options.map(|raw| (place(body, raw.get()), raw.get())),
        };
        ask.read_options(&top)?;
        ask.read_turns(dialect, &top)?;
        Ok(ask)
    }

    fn read_options(&mut self, top: &Top<'a>) -> Result<(), Failure> {
        if let Some((_, raw)) = self.stream_options
            && raw != "null"
        {
            let options: StreamOptions = serde_json::from_str(raw)
                .map_err(|e| Failure::InvalidValue("stream_options", e.to_string()))?;
            self.wants_usage = options.include_usage == Some(true);
        }
        let hint: Hint<'a> =
            top.metadata.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let direct = top.session.and_then(|raw| serde_json::from_str(raw.get()).ok());
        self.session =
            direct.or(hint.session_id).or(hint.conversation_id).or(hint.thread_id).or(hint.chat_id);
        let asks =
            |raw: Option<&RawValue>| raw.is_some_and(|r| !matches!(r.get(), "null" | "false" | "[]" | "{}"));
        self.needs.set(Capabilities::TOOLS, asks(top.tools));
        self.needs.set(Capabilities::PARALLEL_TOOLS, asks(top.tools) && asks(top.parallel_tools));
        self.needs
            .set(Capabilities::LOGPROBS, asks(top.logprobs) && top.logprobs.is_some_and(|r| r.get() != "0"));
        self.needs.set(Capabilities::REASONING, asks(top.reasoning));
        self.needs.set(Capabilities::AUDIO, asks(top.audio));
        self.needs.set(Capabilities::JSON_SCHEMA, top.response_format.is_some_and(is_json_schema));
        Ok(())
    }

    fn read_turns(&mut self, dialect: Dialect, top: &Top<'a>) -> Result<(), Failure> {
        let missing = Failure::MissingParameter(dialect.input());
        match dialect {
            Dialect::Chat => self.read_messages(top.messages.ok_or(missing)?)?,
            Dialect::Completions => self.read_prompt(dialect, top.prompt.ok_or(missing)?)?,
            Dialect::Embeddings => self.read_prompt(dialect, top.input.ok_or(missing)?)?,
        }
        let text: usize = self.turns.iter().flat_map(|t| &t.texts).map(|t| t.0.len()).sum();
        self.tokens_estimated += (text as u64).div_ceil(4) + 4 * self.turns.len() as u64;
        Ok(())
    }

    fn read_messages(&mut self, raw: &'a RawValue) -> Result<(), Failure> {
        let messages: Vec<Message<'a>> =
            serde_json::from_str(raw.get()).map_err(|e| Failure::InvalidValue("messages", e.to_string()))?;
        if messages.is_empty() {
            return Err(Failure::InvalidValue("messages", "there must be at least one message".to_owned()));
        }
        self.turns.reserve_exact(messages.len());
        for message in messages {
            let turn = self.read_message(&message)?;
            self.turns.push(turn);
        }
        Ok(())
    }

    fn read_message(&mut self, message: &Message<'a>) -> Result<Turn<'a>, Failure> {
        let mut turn = Turn { role: role_of(&message.role), texts: Vec::new(), calls_tools: false };
        turn.calls_tools = message.tool_calls.is_some_and(|r| !matches!(r.get(), "null" | "[]"))
            || message.function_call.is_some_and(|r| r.get() != "null");
        let Some(content) = message.content.map(RawValue::get) else { return Ok(turn) };
        match content.as_bytes().first() {
            Some(b'"') => turn.texts.push(Literal(inside(content))),
            Some(b'[') => self.read_parts(content, &mut turn)?,
            Some(b'n') => {}
            _ => {
                return Err(Failure::InvalidValue(
                    "messages",
                    "`content` must be a text or a list of parts".to_owned(),
                ));
            }
        }
        Ok(turn)
    }

    fn read_parts(&mut self, content: &'a str, turn: &mut Turn<'a>) -> Result<(), Failure> {
        let parts: Vec<Part<'a>> =
            serde_json::from_str(content).map_err(|e| Failure::InvalidValue("messages", e.to_string()))?;
        let mut results = 0;
        for part in &parts {
            match &*part.r#type {
                "image_url" | "input_image" | "image" => {
                    self.needs.set(Capabilities::VISION, true);
                    self.tokens_estimated += 1000;
                }
                "input_audio" | "audio" => self.needs.set(Capabilities::AUDIO, true),
                "tool_result" => results += 1,
                _ => {}
            }
            let literal = part.text.map(RawValue::get).filter(|t| t.starts_with('"'));
            turn.texts.extend(literal.map(|t| Literal(inside(t))));
        }
        if results > 0 && turn.texts.is_empty() && turn.role == Role::Human {
            turn.role = Role::Tool;
        }
        Ok(())
    }

    /// A prompt or an embedding's input: a text, or a list whose texts are kept and whose token ids are counted.
    fn read_prompt(&mut self, dialect: Dialect, raw: &'a RawValue) -> Result<(), Failure> {
        let mut texts = Vec::new();
        match raw.get().as_bytes().first() {
            Some(b'"') => texts.push(Literal(inside(raw.get()))),
            Some(b'[') => {
                let items: Vec<&'a RawValue> = serde_json::from_str(raw.get())
                    .map_err(|e| Failure::InvalidValue(dialect.input(), e.to_string()))?;
                // a list of texts or of lists is so many prompts, one of token ids is one
                let prompts = items.iter().filter(|item| item.get().starts_with(['"', '['])).count().max(1);
                if dialect == Dialect::Completions {
                    self.choices = self.choices.saturating_mul(u32::try_from(prompts).unwrap_or(u32::MAX));
                }
                for item in items {
                    match item.get().as_bytes().first() {
                        Some(b'"') => texts.push(Literal(inside(item.get()))),
                        _ => self.tokens_estimated += token_ids(item),
                    }
                }
            }
            _ => return Err(Failure::InvalidValue(dialect.input(), "must be a text or a list".to_owned())),
        }
        self.turns.push(Turn { role: Role::Human, texts, calls_tools: false });
        Ok(())
    }

    /// Whether the gateway has to ask for usage where it wants to know it: the client streams and did not.
    pub fn adds_usage(&self, dialect: Dialect) -> bool {
        self.stream && !self.wants_usage && dialect != Dialect::Embeddings
    }

    /// The body for an upstream: `model` exchanged, usage asked for in streams where `usage` says so.
    pub fn rewrite(&self, body: &Bytes, model: &str, usage: bool) -> Bytes {
        let mut edits: [Option<(Range<usize>, Cow<'static, str>)>; 2] = [None, None];
        if self.model != model {
            let quoted = serde_json::to_string(model).unwrap_or_default();
            edits[0] = Some((self.model_at.clone(), Cow::Owned(quoted)));
        }
        if usage && self.stream && !self.wants_usage {
            edits[1] = Some(self.usage_edit());
        }
        if edits[0].is_none() && edits[1].is_none() {
            return body.clone();
        }
        if let [Some(a), Some(b)] = &edits
            && b.0.start < a.0.start
        {
            edits.swap(0, 1);
        }
        splice(body, edits.into_iter().flatten())
    }

    fn usage_edit(&self) -> (Range<usize>, Cow<'static, str>) {
        let Some((at, raw)) = &self.stream_options else {
            let end = self.model_at.end;
            return (end..end, Cow::Borrowed(r#","stream_options":{"include_usage":true}"#));
        };
        let options: StreamOptions<'_> = serde_json::from_str(raw).unwrap_or_default();
        if let Some(value) = options.include_usage_raw {
            let offset = value.get().as_ptr() as usize - raw.as_ptr() as usize;
            let start = at.start + offset;
            return (start..start + value.get().len(), Cow::Borrowed("true"));
        }
        if let Some(inside) = raw.strip_prefix('{') {
            let empty = inside.trim_start().starts_with('}');
            let insert = if empty { r#""include_usage":true"# } else { r#""include_usage":true,"# };
            return (at.start + 1..at.start + 1, Cow::Borrowed(insert));
        }
        (at.clone(), Cow::Borrowed(r#"{"include_usage":true}"#))
    }
}

/// Puts the edits, in order and apart from each other, into a copy of the body.
fn splice(body: &[u8], edits: impl Iterator<Item = (Range<usize>, Cow<'static, str>)>) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + 160);
    let mut done = 0;
    for (range, text) in edits {
        out.extend_from_slice(&body[done..range.start]);
        out.extend_from_slice(text.as_bytes());
        done = range.end;
    }
    out.extend_from_slice(&body[done..]);
    out.freeze()
}

/// Refuses nesting deeper than `MAX_DEPTH`; strings are skipped at memchr's speed.
fn check_depth(body: &[u8]) -> Result<(), Failure> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => at = end_of_string(body, at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Failure::InvalidJson(format!("nested deeper than {MAX_DEPTH} levels at byte {at}")));
        }
        at += 1;
    }
    Ok(())
}

/// The index of the quote that closes the string whose inside starts at `at`.
fn end_of_string(body: &[u8], mut at: usize) -> usize {
    while let Some(found) = body.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        if body[at + found] == b'"' {
            return at + found;
        }
        at += found + 2;
    }
    body.len()
}

/// Ids in a list of tokens.
fn token_ids(list: &RawValue) -> u64 {
    1 + memchr::memchr_iter(b',', list.get().as_bytes()).count() as u64
}

fn place(body: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - body.as_ptr() as usize;
    start..start + part.len()
}

fn inside(literal: &str) -> &str {
    &literal[1..literal.len() - 1]
}

fn text_of<'a>(raw: &'a RawValue, name: &'static str) -> Result<Cow<'a, str>, Failure> {
    let text: Text<'a> = serde_json::from_str(raw.get())
        .map_err(|_| Failure::InvalidValue(name, "must be a text".to_owned()))?;
    Ok(text.0)
}

fn truth(raw: Option<&RawValue>, name: &'static str) -> Result<bool, Failure> {
    match raw.map(RawValue::get) {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure::InvalidValue(name, "must be true or false".to_owned())),
    }
}

fn number(raw: Option<&RawValue>, name: &'static str) -> Result<Option<u64>, Failure> {
    match raw.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| Failure::InvalidValue(name, "must be a whole number".to_owned())),
    }
}

fn role_of(role: &str) -> Role {
    match role {
        "system" | "developer" => Role::System,
        "assistant" => Role::Model,
        "tool" | "function" => Role::Tool,
        _ => Role::Human,
    }
}

fn is_json_schema(raw: &RawValue) -> bool {
    let format: Result<Format<'_>, _> = serde_json::from_str(raw.get());
    format.is_ok_and(|f| f.r#type == "json_schema")
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
}

#[derive(Default)]
struct StreamOptions<'a> {
    include_usage: Option<bool>,
    include_usage_raw: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for StreamOptions<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written<'a> {
            #[serde(borrow)]
            include_usage: Option<&'a RawValue>,
        }
        let raw = Option::<Written<'a>>::deserialize(deserializer)?.and_then(|w| w.include_usage);
        Ok(Self {
            include_usage: raw.and_then(|r| serde_json::from_str(r.get()).ok()),
            include_usage_raw: raw,
        })
    }
}

#[derive(Deserialize, Default)]
struct Hint<'a> {
    #[serde(borrow)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    conversation_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thread_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    chat_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

/// The top level of a body: the fields that matter, as they stand.
#[derive(Default)]
struct Top<'a> {
    model: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    prompt: Option<&'a RawValue>,
    input: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    stream_options: Option<&'a RawValue>,
    n: Option<&'a RawValue>,
    max_output: Option<&'a RawValue>,
    tools: Option<&'a RawValue>,
    parallel_tools: Option<&'a RawValue>,
    response_format: Option<&'a RawValue>,
    logprobs: Option<&'a RawValue>,
    reasoning: Option<&'a RawValue>,
    audio: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    session: Option<&'a RawValue>,
    cache_key: Option<&'a RawValue>,
}

impl<'a> Top<'a> {
    fn slot(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match key {
            "model" => &mut self.model,
            "messages" => &mut self.messages,
            "prompt" => &mut self.prompt,
            "input" => &mut self.input,
            "stream" => &mut self.stream,
            "stream_options" => &mut self.stream_options,
            "n" => &mut self.n,
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => &mut self.max_output,
            "tools" | "functions" => &mut self.tools,
            "parallel_tool_calls" => &mut self.parallel_tools,
            "response_format" => &mut self.response_format,
            "logprobs" => &mut self.logprobs,
            "reasoning_effort" => &mut self.reasoning,
            "audio" => &mut self.audio,
            "metadata" => &mut self.metadata,
            "session_id" | "conversation_id" => &mut self.session,
            "prompt_cache_key" => &mut self.cache_key,
            _ => return None,
        })
    }
}

/// Fields of which two readers must not see different values.
const DECISIVE: [&str; 6] = ["model", "messages", "prompt", "input", "stream", "stream_options"];

impl<'de: 'a, 'a> Deserialize<'de> for Top<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            let Some(slot) = top.slot(&key) else {
                refuse_case_variant(&key)?;
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if slot.is_some() && DECISIVE.contains(&&*key) {
                return Err(de::Error::custom(format!("the key `{key}` stands twice")));
            }
            *slot = Some(map.next_value()?);
        }
        Ok(top)
    }
}

fn refuse_case_variant<E: de::Error>(key: &str) -> Result<(), E> {
    match DECISIVE.iter().find(|known| known.eq_ignore_ascii_case(key)) {
        Some(known) => {
            Err(E::custom(format!("the key `{key}` could be read as `{known}`: write it in lower case")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
