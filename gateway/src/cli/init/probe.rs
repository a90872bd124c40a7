//! Asks a server what models it has, and a model for a word, so that a wrong address, key or id is told before there is
//! traffic. The same connections and the same reading of answers as in the gateway.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::model::Model;
use crate::api::Dialect;
use crate::ask::Spliced;
use crate::config::written::ProviderName;
use crate::config::{self, Secret};
use crate::expert::Timeouts;
use crate::expert::endpoint::Endpoint;
use crate::provider::{self, AnswerFacts, Provider};
use crate::upstream::{Connector, NoHead, Terms};

/// Longest list of models, and longest answer, that are read.
const MOST: usize = 8 << 20;
/// Tokens of an answer to the probe.
const SHORT: u32 = 16;
/// The same where a model thinks first.
const THOUGHTFUL: u32 = 512;

/// Calls servers, within this time each.
pub(super) struct Probe {
    connector: Connector,
    limit: Duration,
    runtime: tokio::runtime::Runtime,
}

/// A model that a server has.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Listed {
    /// Its id.
    pub(super) id: String,
    #[serde(default)]
    max_model_len: Option<u64>,
    #[serde(default)]
    context_length: Option<u64>,
    #[serde(default)]
    context_window: Option<u64>,
}

impl Listed {
    /// Its window, where the server says it: in the words of vLLM, of OpenRouter or of Groq.
    pub(super) fn context(&self) -> Option<u64> {
        self.max_model_len.or(self.context_length).or(self.context_window)
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Listed>,
}

#[derive(Serialize)]
struct Chat<'a> {
    model: &'a str,
    messages: [Message; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: &'static str,
}

impl Probe {
    pub(super) fn new(limit: Duration) -> Result<Self, crate::cli::Exit> {
        let runtime = crate::cli::runtime()?;
        let connector = Connector::with_system_roots().map_err(crate::cli::Exit::Input)?;
        Ok(Self { connector, limit, runtime })
    }

    /// The models of a server.
    pub(super) fn models(&self, model: &Model) -> Result<Vec<Listed>, String> {
        let (status, body) = self.call(model, None)?;
        if status != 200 {
            return Err(refused(model, "/models", status, &body));
        }
        let list = serde_json::from_slice::<List>(&body);
        let list = list.map_err(|_| format!("{}/models is no list of models as OpenAI has it", model.url))?;
        Ok(list.data)
    }

    /// Has the model say a word.
    pub(super) fn chat(&self, model: &Model) -> Result<(), String> {
        let ask = |max_tokens, max_completion_tokens| {
            let content = "Say the word: ok";
            let messages = [Message { role: "user", content }];
            let chat = Chat { model: &model.model, messages, max_tokens, max_completion_tokens };
            let chat = Bytes::from(serde_json::to_vec(&chat).map_err(|error| error.to_string())?);
            self.call(model, Some(&chat))
        };
        let mut answer = ask(Some(SHORT), None)?;
        // OpenAI's models that think have another word for it
        if answer.0 == 400 && answer.1.windows(21).any(|part| part == b"max_completion_tokens") {
            answer = ask(None, Some(THOUGHTFUL))?;
        }
        let (status, body) = answer;
        if status != 200 {
            return Err(refused(model, "/chat/completions", status, &body));
        }
        match openai().answer(Dialect::Chat, &body) {
            AnswerFacts::Good { .. } => Ok(()),
            AnswerFacts::Bad(why) => Err(format!("{} answered, but {why}", model.url)),
        }
    }

    /// Status and body of the answer to a chat, or without one to the question for the models.
    fn call(&self, model: &Model, chat: Option<&Bytes>) -> Result<(u16, Vec<u8>), String> {
        let nowhere = || format!("{} is no address", model.url);
        let endpoint = Arc::new(Endpoint::new(&model.url, 1, openai()).ok_or_else(nowhere)?);
        let path = &endpoint.paths[Dialect::Chat.index()];
        let models = || path.to_string().replacen("/chat/completions", "/models", 1).parse::<Uri>();
        let path = if chat.is_some() { path.clone() } else { models().map_err(|_| nowhere())? };
        let request = || request(&endpoint, &path, chat.cloned(), model.key.as_deref());
        let limit = self.limit;
        let limits =
            Timeouts { connect: limit, headers: limit, first_token: limit, idle: limit, total: limit };
        self.runtime.block_on(async {
            let until = Instant::now() + limit;
            let answered = self.connector.send(&endpoint, request, &Terms::new(&limits, until)).await;
            let mut answered = answered.map_err(|error| self.unreached(model, error))?;
            let late = || format!("{}: the answer did not end within {} s", model.url, limit.as_secs_f64());
            let body = timeout_at(until, async {
                let mut body = Vec::new();
                while let Some(piece) = poll_fn(|cx| answered.body.poll_data(cx)).await {
                    body.extend_from_slice(
                        &piece.map_err(|_| format!("{}: the answer broke off", model.url))?,
                    );
                    if body.len() > MOST {
                        return Err(format!("{}: the answer is longer than 8 MiB", model.url));
                    }
                }
                Ok(body)
            });
            Ok((answered.head.status.as_u16(), body.await.map_err(|_| late())??))
        })
    }

    fn unreached(&self, model: &Model, error: NoHead) -> String {
        let (url, limit) = (&model.url, self.limit.as_secs_f64());
        match error {
            NoHead::Connect(why) => format!("{url} cannot be reached: {why}"),
            NoHead::ConnectTimeout => format!("{url} cannot be reached within {limit} s"),
            NoHead::HeadersTimeout => format!("{url} takes the request and does not answer within {limit} s"),
            NoHead::Broken(why) => format!("{url}: the connection broke, or what came is no HTTP: {why}"),
            NoHead::Stale => format!("{url} closed the connection"),
        }
    }
}

fn openai() -> &'static dyn Provider {
    provider::of(ProviderName::Openai)
}

fn request(endpoint: &Endpoint, path: &Uri, chat: Option<Bytes>, key: Option<&str>) -> Request<Spliced> {
    let is_chat = chat.is_some();
    let mut request = Request::new(Spliced::one(chat.unwrap_or_default()));
    *request.method_mut() = if is_chat { Method::POST } else { Method::GET };
    *request.uri_mut() = path.clone();
    let headers = request.headers_mut();
    headers.insert(HOST, endpoint.host_header.clone());
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("mixgate/", env!("CARGO_PKG_VERSION"))));
    if is_chat {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let key = key.and_then(config::environment).map(Secret::from);
    if let Some((name, value)) = key.and_then(|key| openai().authorization(&key)) {
        headers.insert(name, value);
    }
    request
}

#[derive(Deserialize)]
struct Fault {
    error: Words,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Object { message: String },
    Text(String),
}

/// What a refusal means, and what to look at.
fn refused(model: &Model, path: &str, status: u16, body: &[u8]) -> String {
    let url = &model.url;
    let said = said(model, body);
    match (status, &model.key) {
        (401 | 403, Some(key)) => format!("{url} refuses the key in {key} ({status}){said}"),
        (401 | 403, None) => format!("{url} wants a key ({status}): name the variable that holds it{said}"),
        (404, _) if !url.split('?').next().unwrap_or(url).ends_with("/v1") => {
            format!("there is nothing at {url}{path} (404): most addresses end in /v1{said}")
        }
        _ => format!("{url}{path} answered {status}{said}"),
    }
}

/// The server's own words, if any; a key in them is not repeated.
fn said(model: &Model, body: &[u8]) -> String {
    let words = serde_json::from_slice::<Fault>(body).map(|fault| match fault.error {
        Words::Object { message } | Words::Text(message) => message,
    });
    let Ok(words) = words else { return String::new() };
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let key = model.key.as_ref().and_then(|key| Some((key, config::environment(key)?)));
    let words = key.map_or(words.clone(), |(name, key)| words.replace(key.trim(), &format!("${{{name}}}")));
    let shown: String = words.chars().take(200).collect();
    if shown.is_empty() { shown } else { format!(": {shown}") }
}
