//! What the mock reads of a request: the fields that change its answer. Everything else is accepted and ignored.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// `POST /v1/chat/completions`.
#[derive(Deserialize)]
pub(super) struct ChatAsk<'a> {
    #[serde(borrow)]
    pub(super) model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) messages: Option<Vec<Message<'a>>>,
    #[serde(borrow)]
    pub(super) tools: Option<Vec<Tool<'a>>>,
    pub(super) tool_choice: Option<ToolChoice>,
    #[serde(borrow)]
    pub(super) response_format: Option<ResponseFormat<'a>>,
    pub(super) n: Option<usize>,
    #[serde(default, deserialize_with = "tokens")]
    pub(super) max_tokens: Option<usize>,
    #[serde(default, deserialize_with = "tokens")]
    pub(super) max_completion_tokens: Option<usize>,
    /// Load testers ask for answers of exactly `max_tokens` by this.
    pub(super) ignore_eos: Option<bool>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
}

/// `POST /v1/completions`.
#[derive(Deserialize)]
pub(super) struct CompletionAsk<'a> {
    #[serde(borrow)]
    pub(super) model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) prompt: Option<Texts<'a>>,
    pub(super) n: Option<usize>,
    #[serde(default, deserialize_with = "tokens")]
    pub(super) max_tokens: Option<usize>,
    pub(super) ignore_eos: Option<bool>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
}

/// `POST /v1/embeddings`.
#[derive(Deserialize)]
pub(super) struct EmbeddingAsk<'a> {
    #[serde(borrow)]
    pub(super) model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) input: Option<Texts<'a>>,
    #[serde(borrow)]
    pub(super) encoding_format: Option<Cow<'a, str>>,
    pub(super) dimensions: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Parts(#[serde(borrow)] Vec<Part<'a>>),
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Tool<'a> {
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) parameters: Option<&'a RawValue>,
}

/// `"auto"`, `"none"`, `"required"`, or the name of one function.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ToolChoice {
    Mode(String),
    Named { function: Name },
}

#[derive(Deserialize)]
pub(super) struct Name {
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct ResponseFormat<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) json_schema: Option<JsonSchema<'a>>,
}

#[derive(Deserialize)]
pub(super) struct JsonSchema<'a> {
    #[serde(borrow)]
    pub(super) schema: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

/// One text or several, as letters or as token numbers.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Texts<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(#[serde(borrow)] Vec<Cow<'a, str>>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

impl Message<'_> {
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let (whole, parts) = match &self.content {
            None => (None, &[][..]),
            Some(Content::Text(text)) => (Some(text.as_ref()), &[][..]),
            Some(Content::Parts(parts)) => (None, &parts[..]),
        };
        whole.into_iter().chain(parts.iter().filter_map(|part| part.text.as_deref()))
    }
}

impl Texts<'_> {
    /// Each text and its tokens; token numbers become a text of digits.
    pub(super) fn each(self) -> Vec<(String, u64)> {
        let lettered = |text: Cow<'_, str>| {
            let tokens = super::text::prompt_tokens(text.chars().count());
            (text.into_owned(), tokens)
        };
        let numbered = |tokens: Vec<u32>| {
            let words: Vec<String> = tokens.iter().map(u32::to_string).collect();
            (words.join(" "), tokens.len() as u64)
        };
        match self {
            Texts::One(text) => vec![lettered(text)],
            Texts::Many(texts) => texts.into_iter().map(lettered).collect(),
            Texts::Tokens(tokens) => vec![numbered(tokens)],
            Texts::ManyTokens(many) => many.into_iter().map(numbered).collect(),
        }
    }
}

/// Whether the answer is streamed, and whether the stream tells its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Whole,
    Stream { usage: bool },
}

impl Shape {
    pub(super) fn of(stream: Option<bool>, options: Option<StreamOptions>) -> Shape {
        let usage = options.and_then(|options| options.include_usage).unwrap_or(false);
        if stream.unwrap_or(false) { Shape::Stream { usage } } else { Shape::Whole }
    }
}

/// A limit on tokens as servers take it: `100`, `100.0`, and a negative one for none.
fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    match number {
        Some(number) if number.fract() != 0.0 => Err(D::Error::custom("a limit on tokens is a whole number")),
        number => Ok(number.filter(|n| *n >= 0.0).map(|n| n as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_a_string_or_parts_or_nothing() {
        for (json, expected) in [
            (r#"{"role":"user","content":"a\nb"}"#, "a\nb"),
            (
                r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"},{"text":"b"}]}"#,
                "ab",
            ),
            (r#"{"role":"assistant","content":null,"tool_calls":[]}"#, ""),
        ] {
            let message: Message<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(message.texts().collect::<String>(), expected);
        }
    }

    #[test]
    fn input_is_text_or_token_numbers() {
        for (json, count, tokens) in
            [("\"abcde\"", 1, 2), ("[\"a\",\"b\"]", 2, 1), ("[7,8,9]", 1, 3), ("[[7],[8]]", 2, 1)]
        {
            let texts = serde_json::from_str::<Texts<'_>>(json).unwrap().each();
            assert_eq!((texts.len(), texts[0].1), (count, tokens), "{json}");
        }
    }
}
