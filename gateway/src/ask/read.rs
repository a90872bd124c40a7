//! Reads messages and prompts: one pass, of which only places are kept.
//!
//! A body of 32 MiB may hold ten million parts. So what is kept of them is bounded by [`MAX_PIECES`], not by what a
//! client sends, and is little beside the body: a place for a text, and a few flags for a turn.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{self, inside, plain_len};
use super::{Ask, Literal, Role, Turn};
use crate::api::Dialect;
use crate::constraint::Capabilities;
use crate::error::Failure;

/// Messages and parts of one request, together; and texts of a prompt.
pub const MAX_PIECES: usize = 100_000;

/// Tokens of an image, a recording, a file: nobody knows before the model.
const MEDIUM_TOKENS: u64 = 1000;

impl<'a> Ask<'a> {
    pub(super) fn read_messages(&mut self, raw: &'a RawValue) -> Result<(), Failure> {
        let mut reading = Reading { ask: self, pieces: 0 };
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        let read = Messages(&mut reading).deserialize(&mut deserializer);
        read.map_err(|error| Failure::InvalidValue("messages", plain(&error)))?;
        if self.turns.is_empty() {
            return Err(Failure::InvalidValue("messages", "there must be at least one message".to_owned()));
        }
        Ok(())
    }

    /// A prompt: a text, the ids of one, or a list of either. Each is answered by itself.
    pub(super) fn read_prompt(&mut self, raw: &'a RawValue) -> Result<(), Failure> {
        let mut texts = Vec::new();
        let prompts = self.read_input(Dialect::Completions, raw, |text| {
            texts.push(Literal(text));
        })?;
        self.choices =
            u32::try_from(prompts.max(1)).map_or(u32::MAX, |prompts| self.choices.saturating_mul(prompts));
        self.turns.push(Turn { role: Role::Human, texts, calls_tools: false });
        Ok(())
    }

    /// An embedding's input, of which only the size matters.
    pub(super) fn read_embedded(&mut self, raw: &'a RawValue) -> Result<(), Failure> {
        self.read_input(Dialect::Embeddings, raw, |_| {}).map(drop)
    }

    /// Counts what is there, shows its texts, and says how many inputs they are.
    fn read_input(
        &mut self,
        dialect: Dialect,
        raw: &'a RawValue,
        mut show: impl FnMut(&'a str),
    ) -> Result<usize, Failure> {
        let refuse = |what: String| Failure::InvalidValue(dialect.input(), what);
        if let Some(text) = inside(raw) {
            self.text_bytes += plain_len(text) as u64;
            show(text);
            return Ok(1);
        }
        let list = raw.get();
        if !list.starts_with('[') {
            return Err(refuse("must be a text or a list".to_owned()));
        }
        // ids of one text: not worth a look at each
        if memchr::memchr3(b'"', b'[', b'{', &list.as_bytes()[1..]).is_none() {
            self.has_token_ids = true;
            self.tokens_estimated += json::numbers_in(list);
            return Ok(1);
        }
        let mut inputs = 0;
        let mut deserializer = serde_json::Deserializer::from_str(list);
        let read = deserializer.deserialize_seq(Each(|item: &'a RawValue| {
            inputs += 1;
            if inputs > MAX_PIECES {
                return Err(too_many());
            }
            match inside(item) {
                Some(text) => {
                    self.text_bytes += plain_len(text) as u64;
                    show(text);
                }
                None => {
                    self.has_token_ids = true;
                    let is_list = item.get().starts_with('[');
                    self.tokens_estimated += if is_list { json::numbers_in(item.get()) } else { 1 };
                }
            }
            Ok(())
        }));
        read.map_err(|error| refuse(plain(&error)))?;
        Ok(inputs)
    }

    /// Bytes that it holds beside the body.
    pub fn weight(&self) -> usize {
        let texts: usize = self.turns.iter().map(|turn| turn.texts.capacity()).sum();
        self.turns.capacity() * size_of::<Turn<'_>>() + texts * size_of::<Literal<'_>>()
    }
}

fn too_many() -> String {
    format!("more than {MAX_PIECES} messages and parts")
}

/// Without serde's place: it counts from the start of the value, not of the body.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Shows each item of a list as it stands.
struct Each<F>(F);

impl<'de, F: FnMut(&'de RawValue) -> Result<(), String>> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element()? {
            self.0(item).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

struct Reading<'r, 'a> {
    ask: &'r mut Ask<'a>,
    pieces: usize,
}

impl Reading<'_, '_> {
    fn piece<E: de::Error>(&mut self) -> Result<(), E> {
        self.pieces += 1;
        if self.pieces > MAX_PIECES { Err(E::custom(too_many())) } else { Ok(()) }
    }

    fn weigh(&mut self, raw: &RawValue) {
        self.ask.text_bytes += plain_len(raw.get()) as u64;
    }
}

struct Messages<'m, 'r, 'a>(&'m mut Reading<'r, 'a>);

impl<'a> DeserializeSeed<'a> for Messages<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Messages<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of messages")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Message(self.0))?.is_some() {}
        Ok(())
    }
}

/// Keys of a message that are read.
const OF_MESSAGES: [&str; 6] =
    ["role", "content", "tool_calls", "function_call", "reasoning_content", "refusal"];

struct Message<'m, 'r, 'a>(&'m mut Reading<'r, 'a>);

impl<'a> DeserializeSeed<'a> for Message<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.piece()?;
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Message<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a message")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found: [Option<&'a RawValue>; OF_MESSAGES.len()] = [None; _];
        read_known(&mut map, &OF_MESSAGES, &mut found)?;
        let [role, content, calls, function, thoughts, refusal] = found;
        let role = role.ok_or_else(|| de::Error::missing_field("role"))?;
        let role = json::text(role).ok_or_else(|| de::Error::custom("`role` must be a text"))?;
        let mut turn = Turn { role: role_of(&role), texts: Vec::new(), calls_tools: false };
        for calls in [calls, function].into_iter().flatten().filter(|raw| json::asks(Some(raw))) {
            turn.calls_tools = true;
            self.0.weigh(calls);
        }
        [thoughts, refusal].into_iter().flatten().for_each(|raw| self.0.weigh(raw));
        if let Some(content) = content {
            self.0.read_content(content, &mut turn)?;
        }
        self.0.ask.turns.push(turn);
        Ok(())
    }
}

impl<'a> Reading<'_, 'a> {
    fn read_content<E: de::Error>(&mut self, content: &'a RawValue, turn: &mut Turn<'a>) -> Result<(), E> {
        match content.get().as_bytes().first() {
            Some(b'"') => {
                let text = inside(content).unwrap_or_default();
                self.ask.text_bytes += plain_len(text) as u64;
                turn.texts = vec![Literal(text)];
            }
            Some(b'[') => {
                let mut results = 0;
                let mut deserializer = serde_json::Deserializer::from_str(content.get());
                let parts = Parts { reading: self, turn, results: &mut results };
                deserializer.deserialize_seq(parts).map_err(|error| E::custom(plain(&error)))?;
                if results > 0 && turn.texts.is_empty() && turn.role == Role::Human {
                    turn.role = Role::Tool;
                }
            }
            Some(b'n') => {}
            _ => return Err(E::custom("`content` must be a text or a list of parts")),
        }
        Ok(())
    }

    fn read_kind(&mut self, kind: &str) {
        let (needs, tokens) = match kind {
            "image_url" | "input_image" | "image" | "image_file" => (Capabilities::VISION, MEDIUM_TOKENS),
            "input_audio" | "audio" | "audio_url" => (Capabilities::AUDIO, MEDIUM_TOKENS),
            "" | "text" | "input_text" | "output_text" | "refusal" | "tool_result" | "tool_use"
            | "thinking" | "redacted_thinking" | "reasoning" => return,
            // a file, a video, what nobody knows yet
            _ => (Capabilities::OTHER, MEDIUM_TOKENS),
        };
        self.ask.needs.set(needs, true);
        self.ask.tokens_estimated += tokens;
    }
}

struct Parts<'p, 'r, 'a> {
    reading: &'p mut Reading<'r, 'a>,
    turn: &'p mut Turn<'a>,
    results: &'p mut usize,
}

impl<'a> Visitor<'a> for Parts<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of parts")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Part(&mut self))?.is_some() {}
        Ok(())
    }
}

/// Keys of a part that are read; `content`, `input` and `thinking` are what tools and models wrote.
const OF_PARTS: [&str; 6] = ["type", "text", "content", "input", "thinking", "refusal"];

struct Part<'m, 'p, 'r, 'a>(&'m mut Parts<'p, 'r, 'a>);

impl<'a> DeserializeSeed<'a> for Part<'_, '_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.reading.piece()?;
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Part<'_, '_, '_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a part")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found: [Option<&'a RawValue>; OF_PARTS.len()] = [None; _];
        read_known(&mut map, &OF_PARTS, &mut found)?;
        let [kind, text, rest @ ..] = found;
        let kind = kind.and_then(json::text).unwrap_or_default();
        *self.0.results += usize::from(kind == "tool_result");
        self.0.reading.read_kind(&kind);
        if let Some(text) = text.and_then(inside) {
            self.0.reading.ask.text_bytes += plain_len(text) as u64;
            self.0.turn.texts.push(Literal(text));
        }
        rest.into_iter().flatten().for_each(|raw| self.0.reading.weigh(raw));
        Ok(())
    }

    /// Some servers take a bare text for a part.
    fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<(), E> {
        self.0.turn.texts.push(Literal(text));
        self.visit_str(text)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.0.reading.ask.text_bytes += text.len() as u64;
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads the known keys of an object, each once; the others are skipped.
fn read_known<'a, A: MapAccess<'a>>(
    map: &mut A,
    known: &[&str],
    found: &mut [Option<&'a RawValue>],
) -> Result<(), A::Error> {
    while let Some(key) = map.next_key::<&RawValue>()? {
        let key = json::text(key).unwrap_or_default();
        match known.iter().position(|known| *known == key) {
            Some(at) => {
                let value = map.next_value()?;
                json::once(&mut found[at], &key, value).map_err(de::Error::custom)?;
            }
            None => {
                json::refuse_case_variant(&key, known).map_err(de::Error::custom)?;
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    Ok(())
}

fn role_of(role: &str) -> Role {
    match role {
        "system" | "developer" => Role::System,
        "assistant" => Role::Model,
        "tool" | "function" => Role::Tool,
        _ => Role::Human,
    }
}
