//! The mock over real sockets: honest answers here, faults next door.

mod faults;

use super::{Bill, Mock, serve};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Client, End, PATIENCE, Reply, get, post_json, soon, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const CHATS: &str = "/v1/chat/completions";
const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"what is a lease"}]}"#;
const STREAM: &str = r#"{"model":"m","messages":[{"role":"user","content":"what is a lease"}],"stream":true,"stream_options":{"include_usage":true}}"#;

#[expect(clippy::disallowed_types, reason = "a test reads small answers, any place of them")]
type Json = serde_json::Value;

/// A mock that runs until dropped.
struct Running {
    address: SocketAddr,
    mock: Arc<Mock>,
    stop: CancellationToken,
    serving: JoinSet<io::Result<()>>,
}

impl Running {
    async fn start(mock: Mock) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mock, stop) = (Arc::new(mock), CancellationToken::new());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, mock.clone(), stop.clone()));
        Running { address, mock, stop, serving }
    }

    async fn with(faults: &[&str]) -> Running {
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        Running::start(Mock { faults, ..Mock::default() }).await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        post_json(self.address, path, &[], body).await
    }

    async fn asked(&self, body: &str) -> Client {
        let mut client = Client::connect(self.address).await;
        client.post_json(CHATS, &[], body).await;
        client
    }
}

#[tokio::test]
async fn a_chat_is_answered_in_openais_shape_and_always_the_same() {
    let mock = Running::with(&[]).await;
    let (first, second) = (mock.post(CHATS, CHAT).await, mock.post(CHATS, CHAT).await);
    let json = |reply: &Reply| serde_json::from_slice::<Json>(&reply.body).unwrap();
    let (first, second) = (json(&first), json(&second));
    assert_eq!(first["choices"], second["choices"]);
    assert_eq!((&first["object"], &first["model"]), (&"chat.completion".into(), &"m".into()));
    assert_eq!(first["choices"][0]["finish_reason"], "stop");
    assert_eq!(first["usage"]["completion_tokens"], 24);
    assert_eq!(first["usage"]["prompt_tokens"], 4);
    let bill = Bill { prompt_tokens: 8, completion_tokens: 48, ..Bill::default() };
    assert_eq!(mock.mock.seen.bill(), bill);
}

#[tokio::test]
async fn a_stream_says_what_the_plain_answer_says() {
    let mock = Running::with(&[]).await;
    let plain: Json = serde_json::from_slice(&mock.post(CHATS, CHAT).await.body).unwrap();
    let events = mock.post(CHATS, STREAM).await.events();
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks: Vec<Json> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let said: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, plain["choices"][0]["message"]["content"]);
    let [.., finish, usage] = &chunks[..] else { panic!("{chunks:?}") };
    assert_eq!((&finish["choices"][0]["finish_reason"], &finish["usage"]), (&"stop".into(), &Json::Null));
    assert_eq!((&usage["choices"], &usage["usage"]), (&serde_json::json!([]), &plain["usage"]));
}

#[tokio::test]
async fn a_streamed_tool_call_comes_in_pieces_that_join_to_json() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Graz"}],"stream":true,"n":2,"tools":[{"type":"function",
        "function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]}"#;
    let events = Running::with(&[]).await.post(CHATS, body).await.events();
    let mut arguments = [String::new(), String::new()];
    for event in &events[..events.len() - 1] {
        let choice = &serde_json::from_str::<Json>(event).unwrap()["choices"][0];
        let call = &choice["delta"]["tool_calls"][0]["function"]["arguments"];
        arguments[choice["index"].as_u64().unwrap() as usize].push_str(call.as_str().unwrap_or(""));
    }
    assert_eq!(arguments, [r#"{"city":"Graz"}"#, r#"{"city":"Graz"}"#]);
    assert!(events[events.len() - 2].contains(r#""finish_reason":"tool_calls""#));
}

#[tokio::test]
async fn the_other_endpoints_answer() {
    let mock = Running::with(&[]).await;
    let text =
        mock.post("/v1/completions", r#"{"model":"m","prompt":["a","b"],"max_tokens":3}"#).await.text();
    assert!(text.contains(r#""object":"text_completion""#) && text.contains(r#""index":1"#), "{text}");
    let events = mock.post("/v1/completions", r#"{"model":"m","prompt":"a","stream":true}"#).await.events();
    assert_eq!((events.len(), events.last().unwrap().as_str()), (26, "[DONE]"));
    let text =
        mock.post("/v1/embeddings", r#"{"model":"m","input":"a","encoding_format":"base64","dimensions":3}"#);
    assert!(text.await.text().contains(r#""embedding":""#));
    for (path, part) in [("/health", "ok"), ("/v1/models", "mock-model"), ("/v1/models/any", r#""id":"any""#)]
    {
        assert!(get(mock.address, path).await.text().contains(part), "{path}");
    }
    assert_eq!(get(mock.address, "/nowhere").await.status, 404);
}

#[tokio::test]
async fn a_bad_request_gets_an_openai_error() {
    let mock = Running::start(Mock { strict_model: true, ..Mock::default() }).await;
    for (body, status, code) in [
        (r#"{"model":"#, 400, "invalid_json"),
        (r#"{"messages":[]}"#, 400, "missing_required_parameter"),
        (CHAT, 404, "model_not_found"),
    ] {
        let reply = mock.post(CHATS, body).await;
        assert_eq!(reply.status, status, "{body}");
        assert!(reply.text().contains(&format!(r#""code":"{code}""#)), "{}", reply.text());
    }
}

#[tokio::test]
async fn what_was_seen_is_told_over_http() {
    let mock = Running::with(&["html@1"]).await;
    mock.post(CHATS, CHAT).await;
    let stats = get(mock.address, "/mock/stats").await.text();
    assert!(stats.contains(r#""requests":1"#) && stats.contains(r#""faults":{"html@1":1}"#), "{stats}");
    let requests = get(mock.address, "/mock/requests").await.text();
    assert!(requests.contains("POST /v1/chat/completions HTTP/1.1") && requests.contains("what is a lease"));
}

#[tokio::test]
async fn requests_in_any_framing_are_read() {
    let mock = Running::with(&[]).await;
    let mut client = Client::connect(mock.address).await;
    let length = CHAT.len();
    let (one, two) = CHAT.split_at(20);
    client.send(format!("POST {CHATS} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n14\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", two.len())).await;
    assert_eq!(client.reply().await.status, 200);
    client
        .send(format!("POST {CHATS} HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"))
        .await;
    assert_eq!(client.head().await.status, 100);
    client.send(CHAT).await;
    assert_eq!(client.reply().await.status, 200);
    let pipelined = format!("POST {CHATS} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{CHAT}");
    client.send([pipelined.as_str(), &pipelined].concat()).await;
    assert_eq!((client.reply().await.status, client.reply().await.status), (200, 200));
    client.send("nonsense\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 400);
}

#[tokio::test]
async fn stopping_ends_everything() {
    let mut mock = Running::with(&["silence"]).await;
    let mut client = mock.asked(CHAT).await;
    soon("the request", || async { mock.mock.seen.in_flight() == 1 }).await;
    mock.stop.cancel();
    within(PATIENCE, "the end", mock.serving.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(client.closed().await, b"");
    assert_eq!((mock.mock.seen.aborted(), mock.mock.seen.open_connections()), (0, 0));
}
