//! What every end-to-end test needs: a gateway on ports of its own, models behind it, and a look at what it
//! says of itself in `/metrics` and `/api/decisions`.
//!
//! The router model is a stand-in that does as the prompt says: `@code` is code for sure, `@code=0.6` is code
//! with that chance and general with the rest, `@unsure` is anything, `@slow` misses the deadline, `@panic`
//! and `@nonsense` fail. A prompt without a word of these is general.

use bytes::Bytes;
use gateway::classify::Classifier;
use gateway::config;
use gateway::gateway::Gateway;
use gateway::lanes::Lanes;
use gateway::mock::{Mock, serve};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use router_model::{Attribution, Scores, TAXONOMY};
use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Client, PATIENCE, Reply, get, post_json, soon, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) type Json = serde_json::Value;

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A good answer of 10 and 5 tokens.
pub(crate) const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"served","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;

/// The first word of a stream.
pub(crate) const WORD: &str =
    r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}"#;
/// Its reason to finish.
pub(crate) const FINISH: &str = r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
/// Its usage: 10 and 5 tokens.
pub(crate) const USAGE: &str =
    r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;
/// A whole stream.
pub(crate) const STREAM: [&str; 4] = [WORD, FINISH, USAGE, "[DONE]"];

/// A chat request.
pub(crate) fn chat(model: &str, prompt: &str) -> String {
    with(model, prompt, "")
}

/// The same, streamed.
pub(crate) fn streamed(model: &str, prompt: &str) -> String {
    with(model, prompt, r#","stream":true"#)
}

/// The same with further fields, such as `,"n":2`.
pub(crate) fn with(model: &str, prompt: &str, fields: &str) -> String {
    let (model, prompt) = (Json::from(model), Json::from(prompt));
    format!(r#"{{"model":{model},"messages":[{{"role":"user","content":{prompt}}}]{fields}}}"#)
}

/// A configuration in the making.
pub(crate) struct Setup {
    server: String,
    fallback: String,
    experts: String,
    sections: String,
}

impl Setup {
    pub(crate) fn new() -> Setup {
        let server = "listen: 127.0.0.1:0, admin_listen: 127.0.0.1:0".to_owned();
        Setup { server, fallback: String::new(), experts: String::new(), sections: String::new() }
    }

    /// An expert at this address; `more` is what else is said of it, as in a flow mapping. Its model id is
    /// `NAME-model`, its price 0.10 USD per million tokens, unless said otherwise.
    pub(crate) fn expert(self, name: &str, at: SocketAddr, more: &str) -> Setup {
        self.expert_at(name, &format!("base_url: 'http://{at}/v1'"), "0.1", "0.1", more)
    }

    /// One with several addresses.
    pub(crate) fn expert_at_all(self, name: &str, at: &[SocketAddr], more: &str) -> Setup {
        let endpoints: Vec<String> =
            at.iter().map(|at| format!("{{ base_url: 'http://{at}/v1' }}")).collect();
        self.expert_at(name, &format!("endpoints: [{}]", endpoints.join(", ")), "0.1", "0.1", more)
    }

    /// The expert `large`, the fallback: 2.50 and 10 USD per million tokens, all abilities.
    pub(crate) fn large(mut self, at: SocketAddr, more: &str) -> Setup {
        "large".clone_into(&mut self.fallback);
        let able = "capabilities: [tools, json_schema, vision, audio, logprobs, parallel_tools, reasoning]";
        let able = if more.contains("capabilities:") { "" } else { able };
        let more = [able, more].iter().filter(|m| !m.is_empty()).copied().collect::<Vec<_>>().join(", ");
        self.expert_at("large", &format!("base_url: 'http://{at}/v1'"), "2.5", "10", &more)
    }

    /// The same at these addresses, as in a flow mapping.
    pub(crate) fn large_at(mut self, place: &str) -> Setup {
        "large".clone_into(&mut self.fallback);
        self.expert_at("large", place, "2.5", "10", "")
    }

    fn expert_at(mut self, name: &str, place: &str, input: &str, output: &str, more: &str) -> Setup {
        let mut line = format!("  - {{ name: {name}, {place}");
        if !more.contains("model:") {
            let _ = write!(line, ", model: {name}-model");
        }
        if !more.contains("price:") && !more.contains("hosting:") {
            let _ = write!(line, ", price: {{ input_per_1m: {input}, output_per_1m: {output} }}");
        }
        let comma = if more.is_empty() { "" } else { ", " };
        let _ = writeln!(self.experts, "{line}{comma}{more} }}");
        self
    }

    /// These as fallbacks, in this order.
    pub(crate) fn fallbacks(mut self, names: &[&str]) -> Setup {
        self.fallback = format!("[{}]", names.join(", "));
        self
    }

    /// Further keys of `server`.
    pub(crate) fn server(mut self, more: &str) -> Setup {
        let _ = write!(self.server, ", {more}");
        self
    }

    /// A further section, such as `rules: [..]`.
    pub(crate) fn section(mut self, yaml: &str) -> Setup {
        let _ = writeln!(self.sections, "{yaml}");
        self
    }

    pub(crate) fn yaml(&self) -> String {
        let Setup { server, fallback, experts, sections } = self;
        let log = if sections.contains("log:") { "" } else { "log: { decisions: off }\n" };
        let router = if sections.contains("router:") { "" } else { "router: { deadline: 100ms }\n" };
        format!("server: {{ {server} }}\nfallback: {fallback}\nexperts:\n{experts}{router}{log}{sections}")
    }

    /// Runs it with the stand-in.
    pub(crate) async fn start(self) -> Rig {
        self.start_with(Arc::new(StandIn::default())).await
    }

    /// Runs it with the router model that it names, by default the built-in one.
    pub(crate) async fn start_real(self) -> Rig {
        let yaml = self.yaml();
        let loaded = gateway::router_file::parse("test.yaml", &yaml, &|_| None);
        let (checked, classifier) = loaded.unwrap_or_else(|faults| panic!("{faults}\n{yaml}"));
        Rig::start(checked, classifier).await
    }

    pub(crate) async fn start_with(self, classifier: Arc<dyn Classifier>) -> Rig {
        let yaml = self.yaml();
        let checked = config::parse("test.yaml", &yaml, &|_| None);
        Rig::start(checked.unwrap_or_else(|faults| panic!("{faults}\n{yaml}")), classifier).await
    }
}

/// A running gateway. Its tasks end with the test's runtime.
pub(crate) struct Rig {
    pub(crate) gateway: Gateway,
}

impl Rig {
    async fn start(checked: config::Checked, classifier: Arc<dyn Classifier>) -> Rig {
        Rig { gateway: Gateway::start(checked, None, classifier, Lanes::ambient(), None).await.unwrap() }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.gateway.data
    }

    /// Posts a chat request.
    pub(crate) async fn chat(&self, body: &str) -> Reply {
        self.chat_with(&[], body).await
    }

    pub(crate) async fn chat_with(&self, headers: &[(&str, &str)], body: &str) -> Reply {
        post_json(self.gateway.data, CHAT, headers, body).await
    }

    /// A connection on which a chat request was posted.
    pub(crate) async fn asking(&self, headers: &[(&str, &str)], body: &str) -> Client {
        let mut client = Client::connect(self.gateway.data).await;
        client.post_json(CHAT, headers, body).await;
        client
    }

    /// The sum of the series of this family (without `mixgate_`) that have these labels.
    pub(crate) async fn metric(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        metric_in(&get(self.gateway.admin, "/metrics").await.text(), family, labels)
    }

    /// Waits until that sum is `value`.
    pub(crate) async fn metric_becomes(&self, family: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{family} {labels:?} to become {value}");
        soon(&what, || async { (self.metric(family, labels).await - value).abs() < 1e-9 }).await;
    }

    /// The newest records, newest first.
    pub(crate) async fn records(&self) -> Vec<Json> {
        let reply = get(self.gateway.admin, "/api/decisions?limit=1000").await;
        let json: Json = serde_json::from_slice(&reply.body).unwrap();
        json["decisions"].as_array().unwrap().clone()
    }

    /// The record of the request that was answered so, once it is closed.
    pub(crate) async fn record_of(&self, reply: &Reply) -> Json {
        self.record(reply.header("x-request-id").expect("every answer has an id")).await
    }

    /// The record of the request with this id, once it is closed.
    pub(crate) async fn record(&self, request_id: &str) -> Json {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let records = self.records().await;
            if let Some(record) = records.into_iter().find(|r| r["request_id"] == request_id) {
                return record;
            }
            assert!(Instant::now() < deadline, "no record of {request_id} was written");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Header, record and metric say that `expert` answered for this reason, and that this was the first
    /// decision of the kind.
    pub(crate) async fn tells(&self, reply: &Reply, expert: &str, reason: &str) {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let told = (reply.header("x-mixgate-expert"), reply.header("x-mixgate-reason"));
        assert_eq!(told, (Some(expert), Some(reason)));
        let record = self.record_of(reply).await;
        assert_eq!((&record["chosen"], &record["reason"]), (&expert.into(), &reason.into()), "{record}");
        assert_eq!(reply.header("x-mixgate-decision"), record["id"].as_str());
        let labels = [("expert", expert), ("reason", reason)];
        assert_eq!(self.metric("route_decisions_total", &labels).await, 1.0, "{labels:?}");
    }
}

/// The sum of the series in `text` that have these labels.
pub(crate) fn metric_in(text: &str, family: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |line: &str| labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")));
    let series = |line: &&str| {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        name.strip_prefix("mixgate_") == Some(family) && has(line)
    };
    let value = |line: &str| line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok()).unwrap();
    text.lines().filter(series).map(value).sum()
}

/// Checks that this is an error object with all four fields, and gives its code.
pub(crate) fn error_code(reply: &Reply) -> String {
    let json: Json = serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {}", reply.text()));
    error_of(&json)
}

/// The code of an error object, in an answer or an event.
pub(crate) fn error_of(json: &Json) -> String {
    let error = json["error"].as_object().unwrap_or_else(|| panic!("no error object: {json}"));
    let mut fields: Vec<&str> = error.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["code", "message", "param", "type"], "{json}");
    assert!(error["message"].as_str().is_some_and(|m| m.len() > 5) && error["type"].is_string(), "{json}");
    error["code"].as_str().unwrap_or_default().to_owned()
}

/// The message of an error object.
pub(crate) fn message(reply: &Reply) -> String {
    let json: Json = serde_json::from_slice(&reply.body).unwrap();
    json["error"]["message"].as_str().unwrap().to_owned()
}

pub(crate) fn json(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

/// Posts JSON over HTTP/2 without TLS, as a client that knows the server does; status and body of the answer.
pub(crate) async fn post_over_http2(
    at: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let io = TokioIo::new(TcpStream::connect(at).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let mut request = http::Request::post(format!("http://{at}{path}"));
    for (name, value) in [&[("content-type", "application/json")], headers].concat() {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let answering = async {
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    within(PATIENCE, "an answer over HTTP/2", answering).await
}

/// A mock model that runs until dropped.
pub(crate) struct Model {
    pub(crate) addr: SocketAddr,
    pub(crate) mock: Arc<Mock>,
    stop: CancellationToken,
    _serving: JoinSet<io::Result<()>>,
}

impl Model {
    pub(crate) async fn start(mock: Mock) -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (mock, stop) = (Arc::new(mock), CancellationToken::new());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&mock), stop.clone()));
        Model { addr, mock, stop, _serving: serving }
    }

    pub(crate) async fn honest() -> Model {
        Model::with(&[]).await
    }

    /// With these faults, such as `status-429:retry-after=2@1`.
    pub(crate) async fn with(faults: &[&str]) -> Model {
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        Model::start(Mock { faults, ..Mock::default() }).await
    }

    pub(crate) fn requests(&self) -> u64 {
        self.mock.seen.requests()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A router model that does as the prompt says.
#[derive(Debug)]
pub(crate) struct StandIn {
    domains: Vec<String>,
    places: HashMap<&'static str, usize>,
}

impl Default for StandIn {
    fn default() -> StandIn {
        StandIn {
            domains: TAXONOMY.iter().map(|d| (*d).to_owned()).collect(),
            places: TAXONOMY.iter().enumerate().map(|(at, d)| (*d, at)).collect(),
        }
    }
}

impl Classifier for StandIn {
    fn domains(&self) -> &[String] {
        &self.domains
    }

    fn version(&self) -> &str {
        "stand-in"
    }

    fn score(&self, text: &str, give_up: &mut dyn FnMut() -> bool) -> Option<Scores> {
        let order =
            text.split_ascii_whitespace().find_map(|word| word.strip_prefix('@')).unwrap_or("general");
        let (word, chance) = order.split_once('=').unwrap_or((order, "1"));
        let mut scores = vec![0.0; self.domains.len()];
        match word {
            "slow" => {
                while !give_up() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                return None;
            }
            "panic" => panic!("the prompt said so"),
            "nonsense" => scores[0] = f32::NAN,
            "unsure" => scores.fill(1.0 / self.domains.len() as f32),
            domain => {
                let chance: f32 = chance.parse().unwrap();
                scores[self.places["general"]] += 1.0 - chance;
                scores[self.places[domain]] += chance;
            }
        }
        Some(Scores::new(&scores, 0.0))
    }

    fn explain(&self, text: &str, _: &dyn Fn(&Scores) -> f32) -> Vec<Attribution> {
        let word = text.find(' ').unwrap_or(text.len());
        vec![Attribution { text: 0..word, weight: 0.5 }]
    }
}
