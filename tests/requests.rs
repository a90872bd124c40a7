//! Bad input, each with a clear error of all four fields.

use gateway::classify::Classifier;
use router_model::{Attribution, Scores};
use std::fmt::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;
use std::time::Duration;
use testkit::{Client, PATIENCE, Reply, Upstream, get, json as json_steps, post_json, soon, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{
    ANSWER, CHAT, Json, Model, Rig, Setup, StandIn, chat, error_code, error_of, json, message,
    post_over_http2, streamed, with,
};

async fn rig() -> (Model, Rig) {
    let model = Model::honest().await;
    let rig = Setup::new().large(model.addr, "").server("max_body: 4KiB").start().await;
    (model, rig)
}

#[tokio::test]
async fn bad_bodies_are_told_what_is_wrong() {
    let (model, rig) = rig().await;
    let large = chat("auto", &"x".repeat(5000));
    let cases = [
        ("{\"model\":", 400, "invalid_json", "not usable JSON"),
        ("[]", 400, "invalid_json", "not usable JSON"),
        (r#"{"model":"auto"}"#, 400, "missing_required_parameter", "`messages`"),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, 400, "missing_required_parameter", "`model`"),
        (r#"{"model":"auto","messages":[]}"#, 400, "invalid_value", "at least one message"),
        (r#"{"model":"a","model":"b","messages":[]}"#, 400, "invalid_json", "`model` stands twice"),
        (r#"{"model":"a","Model":"b","messages":[]}"#, 400, "invalid_json", "write it in lower case"),
        (
            r#"{"model":"larg","messages":[{"role":"user","content":"x"}]}"#,
            404,
            "model_not_found",
            "did you mean `large`",
        ),
        (large.as_str(), 413, "request_body_too_large", "4096 bytes"),
    ];
    for (body, status, code, says) in cases {
        let reply = rig.chat(body).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (status, code), "{body:.60}");
        assert!(message(&reply).contains(says), "{} should say {says}", message(&reply));
    }
    assert_eq!(model.requests(), 0);
}

async fn raw(rig: &Rig, request: &str) -> (u16, String) {
    let mut client = Client::connect(rig.addr()).await;
    client.send(request).await;
    let reply = client.reply().await;
    (reply.status, reply.text())
}

#[tokio::test]
async fn heads_that_two_readers_read_differently_are_refused() {
    let (model, rig) = rig().await;
    let body = chat("auto", "x");
    let length = body.len();
    let json = "content-type: application/json\r\n";
    let cases = [
        format!("POST {CHAT} HTTP/1.1\r\n{json}content-length: {length}\r\n\r\n{body}"),
        format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\nhost: b\r\n{json}content-length: {length}\r\n\r\n{body}"),
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: a\r\n{json}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("POST {CHAT} HTTP/1.1\nhost: a\ncontent-length: {length}\n\n{body}"),
    ];
    for request in cases {
        assert_eq!(raw(&rig, &request).await.0, 400, "{request}");
    }
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn paths_methods_and_types_are_told_apart() {
    let (_model, rig) = rig().await;
    let reply = get(rig.addr(), "/v1/chat").await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (404, "unknown_url"));
    let reply = get(rig.addr(), CHAT).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\n{{}}"
    );
    assert_eq!(raw(&rig, &head).await.0, 415);
}

#[tokio::test]
async fn a_path_that_is_nearly_right_is_told_the_right_one() {
    let (model, rig) = rig().await;
    for (path, right) in [
        ("/chat/completions", "`/v1/chat/completions`"),
        ("/v1/v1/chat/completions", "`/v1/chat/completions`"),
        ("/v1/chat/completions/", "`/v1/chat/completions`"),
        ("/embeddings", "`/v1/embeddings`"),
        ("/v1/models/", "`/v1/models`"),
        ("/", "POST /v1/chat/completions"),
    ] {
        let reply = get(rig.addr(), path).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (404, "unknown_url"), "{path}");
        assert!(message(&reply).contains(right), "{}", message(&reply));
    }
    let long = format!("/{}", "x".repeat(20_000));
    assert!(get(rig.addr(), &long).await.body.len() < 1000, "a long path does not come back");
    assert_eq!(get(rig.addr(), "/v1/models?limit=5").await.status, 200);
    assert_eq!(model.requests(), 0);
}

/// Does as the stand-in, notes which thread it is asked on, and explains when it may.
#[derive(Debug, Default)]
struct Watched {
    inner: StandIn,
    asked_on: Mutex<Vec<ThreadId>>,
    held: Mutex<bool>,
    let_go: Condvar,
}

impl Classifier for Watched {
    fn domains(&self) -> &[String] {
        self.inner.domains()
    }

    fn version(&self) -> &str {
        "watched"
    }

    fn score(&self, text: &str, give_up: &mut dyn FnMut() -> bool) -> Option<Scores> {
        self.asked_on.lock().unwrap().push(std::thread::current().id());
        self.inner.score(text, give_up)
    }

    fn explain(&self, _: &str, _: &dyn Fn(&Scores) -> f32) -> Vec<Attribution> {
        drop(self.let_go.wait_while(self.held.lock().unwrap(), |held| *held).unwrap());
        Vec::new()
    }
}

/// Only what would hold up a lane leaves it: the gateway of a test runs on the test's own thread.
#[tokio::test]
async fn a_large_body_is_read_beside_the_lane_and_a_small_one_on_it() {
    let model = Model::honest().await;
    let watched = Arc::new(Watched::default());
    let rig = Setup::new().large(model.addr, "context_window: 10000000").start_with(watched.clone()).await;
    let here = std::thread::current().id();
    for (length, on_lane) in [(10, true), (100 << 10, true), (130 << 10, false), (4 << 20, false)] {
        assert_eq!(rig.chat(&chat("auto", &"x".repeat(length))).await.status, 200, "{length}");
        let asked_on = std::mem::take(&mut *watched.asked_on.lock().unwrap());
        assert!(
            !asked_on.is_empty() && asked_on.iter().all(|thread| (*thread == here) == on_lane),
            "{length}"
        );
    }
}

#[tokio::test]
async fn explanations_hold_up_nobody_and_too_many_are_refused() {
    let model = Model::honest().await;
    let watched = Arc::new(Watched::default());
    let rig = Setup::new().large(model.addr, "").start_with(watched.clone()).await;
    let addr = rig.addr();
    let explain = || async move { post_json(addr, "/v1/route", &[], &chat("auto", "hello there")).await };
    let cores = std::thread::available_parallelism().unwrap().get();
    *watched.held.lock().unwrap() = true;
    let mut asking = JoinSet::new();
    for _ in 0..cores {
        asking.spawn(explain());
    }
    let refused = if cores > 1 { asking.join_next().await.unwrap().unwrap() } else { explain().await };
    assert_eq!((refused.status, error_code(&refused).as_str()), (503, "overloaded"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(get(rig.addr(), "/health").await.status, 200);
    assert_eq!(rig.chat(&chat("large", "x")).await.status, 200);
    *watched.held.lock().unwrap() = false;
    watched.let_go.notify_all();
    soon("a place", || async { explain().await.status == 200 }).await;
}

#[tokio::test]
async fn what_is_kept_beside_a_body_counts_as_buffered_too() {
    let model = Model::honest().await;
    let setup = Setup::new().large(model.addr, "context_window: 10000000");
    let rig = setup.server("max_body: 4MiB, max_buffered: 4MiB").start().await;
    let messages = vec![r#"{"role":"user","content":"x"}"#; 90_000].join(",");
    let many = format!(r#"{{"model":"large","messages":[{messages}]}}"#);
    let text = chat("large", &"x".repeat(many.len() - 100));
    let reply = rig.chat(&many).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (503, "overloaded"));
    for _ in 0..3 {
        assert_eq!(rig.chat(&text).await.status, 200, "of one text nothing is kept, and places come back");
    }
}

#[tokio::test]
async fn numbers_that_servers_take_go_on_as_they_stand() {
    let upstream = Upstream::script(json_steps(200, ANSWER)).await;
    let rig = Setup::new().large(upstream.addr(), "").start().await;
    for fields in [
        ",\"max_tokens\":256.0",
        ",\"n\":1.0",
        ",\"max_completion_tokens\":2.56e2",
        ",\"max_tokens\":-1",
        ",\"max_tokens\":null,\"n\":null",
        ",\"max_tokens\":256,\"max_completion_tokens\":256",
        ",\"temperature\":1e-400,\"seed\":123456789012345678901234567890",
    ] {
        let reply = rig.chat(&with("auto", "x", fields)).await;
        assert_eq!(reply.status, 200, "{fields}: {}", reply.text());
        assert!(upstream.next_request().await.text().contains(fields));
    }
}

#[tokio::test]
async fn a_large_body_arrives_whole_with_the_experts_model_in_it() {
    let upstream = Upstream::script(json_steps(200, ANSWER)).await;
    let rig = Setup::new().large(upstream.addr(), "context_window: 10000000").start().await;
    for length in [60 << 10, 70 << 10, 3 << 20] {
        let body = chat("large", &"é".repeat(length / 2));
        assert_eq!(rig.chat(&body).await.status, 200);
        let request = upstream.next_request().await;
        assert_eq!(request.header("content-length"), Some(&*request.body.len().to_string()));
        assert!(request.text() == body.replacen("\"large\"", "\"large-model\"", 1), "{length} bytes");
    }
}

#[tokio::test]
async fn a_trace_goes_on_only_if_it_is_one() {
    let upstream = Upstream::script(json_steps(200, ANSWER)).await;
    let rig = Setup::new().large(upstream.addr(), "").start().await;
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (parent, passes) in [(good, true), ("00-0-0-01", false), ("x", false)] {
        let headers = [("traceparent", parent), ("tracestate", "a=b")];
        assert_eq!(rig.chat_with(&headers, &chat("large", "x")).await.status, 200);
        let request = upstream.next_request().await;
        let passed = (request.header("traceparent"), request.header("tracestate"));
        assert_eq!(passed, if passes { (Some(parent), Some("a=b")) } else { (None, None) }, "{parent}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_model, rig) = rig().await;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut client = Client::connect(rig.addr()).await;
    client.send(one("/health") + &one("/v1/models/large") + &one("/nowhere")).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.reply().await.status);
    }
    assert_eq!(statuses, [200, 200, 404]);
}

#[tokio::test]
async fn a_dry_run_decides_and_sends_nothing() {
    let (model, rig) = rig().await;
    let reply = post_json(rig.addr(), "/v1/route", &[], &chat("auto", "@code x")).await;
    let decision = json(reply.text().as_bytes());
    assert_eq!(
        (reply.status, &decision["chosen"], &decision["domain"]),
        (200, &"large".into(), &"code".into())
    );
    assert!(decision["candidates"][0]["eligible"].as_bool().unwrap());
    assert_eq!(model.requests(), 0);
}

/// The head of a chat request that announces its body by these lines.
fn head(lines: &str) -> String {
    format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{lines}\r\n")
}

fn chunked(chunks: &[&str], trailers: &str) -> String {
    let mut request = head("transfer-encoding: chunked\r\n");
    for chunk in chunks {
        let _ = write!(request, "{:x}\r\n{chunk}\r\n", chunk.len());
    }
    request + "0\r\n" + trailers + "\r\n"
}

#[tokio::test]
async fn who_expects_it_is_told_to_go_on() {
    let (_model, rig) = rig().await;
    let body = chat("large", "x");
    let mut client = Client::connect(rig.addr()).await;
    client.send(head(&format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len()))).await;
    assert_eq!(client.head().await.status, 100);
    client.send(body).await;
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn who_is_refused_anyway_is_not_told_to_go_on() {
    let model = Model::honest().await;
    let hash = gateway::auth::KeyHash::of("good");
    let tenants = format!("tenants: [{{ name: acme, keys: [\"{hash}\"] }}]");
    let setup = Setup::new().large(model.addr, "").server("max_body: 4KiB").section(&tenants);
    let rig = setup.start().await;
    for (lines, status) in [
        ("authorization: Bearer bad\r\ncontent-length: 10\r\n", 401),
        ("authorization: Bearer bad\r\ntransfer-encoding: chunked\r\n", 401),
        ("authorization: Bearer good\r\ncontent-length: 4097\r\n", 413),
        ("authorization: Bearer good\r\ncontent-length: 10\r\ncontent-encoding: gzip\r\n", 415),
    ] {
        let mut client = Client::connect(rig.addr()).await;
        client.send(head(&format!("expect: 100-continue\r\n{lines}"))).await;
        assert_eq!(client.reply().await.status, status, "{lines}");
        client.closed().await;
    }
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn a_chunked_body_goes_on_whole_and_its_trailers_do_not() {
    let upstream = Upstream::script(json_steps(200, ANSWER)).await;
    let rig = Setup::new().large(upstream.addr(), "").start().await;
    let body = chat("large-model", "hello");
    let mut client = Client::connect(rig.addr()).await;
    let hidden = "POST /v1/chat/completions HTTP/1.1\nhost: a\n\n";
    client.send(chunked(&[&body[..1], &body[1..20], &body[20..]], "x-secret: 1\r\n") + hidden).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")), "nothing is read behind it");
    let request = upstream.next_request().await;
    assert_eq!((request.text(), request.header("x-secret"), request.header("trailer")), (body, None, None));
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_refused() {
    let (model, rig) = rig().await;
    let body = chat("large", &"x".repeat(5000));
    let mut client = Client::connect(rig.addr()).await;
    client.send(chunked(&[&body[..3000], &body[3000..]], "")).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (413, "request_body_too_large"));
    assert_eq!((reply.header("connection"), model.requests()), (Some("close"), 0));
}

#[tokio::test]
async fn a_body_in_small_chunks_takes_no_more_room_than_it_has_bytes() {
    let model = Model::honest().await;
    let setup = Setup::new().large(model.addr, "").server("max_body: 8KiB, max_buffered: 16KiB");
    let rig = setup.start().await;
    let body = chat("large", "hello");
    let bytes: Vec<&str> = body.split_inclusive(|_| true).collect();
    let mut client = Client::connect(rig.addr()).await;
    client.send(chunked(&bytes, "")).await;
    let reply = client.reply().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_body_that_breaks_off_reaches_no_model() {
    let (model, rig) = rig().await;
    let body = chat("large", "x");
    let (half, length) = (&body[..20], body.len());
    let whole_chunk =
        |end: &str| head("transfer-encoding: chunked\r\n") + &format!("{length:x}\r\n{body}\r\n{end}");
    let broken = [
        head(&format!("content-length: {length}\r\n")) + half,
        whole_chunk(""),
        whole_chunk("zz\r\n"),
        whole_chunk("0\r\nno trailer\r\n\r\n"),
    ];
    for request in &broken {
        let mut client = Client::connect(rig.addr()).await;
        client.send(request).await;
        client.finish_sending().await;
        let reply = client.reply().await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, "bad_request"), "{request}");
    }
    let mut client = Client::connect(rig.addr()).await;
    client.send(&broken[0]).await;
    client.reset();
    rig.metric_becomes("requests_total", &[], broken.len() as f64 + 1.0).await;
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_waited_for_so_long() {
    let model = Model::honest().await;
    let rig = Setup::new().large(model.addr, "").server("body_timeout: 50ms").start().await;
    let mut client = Client::connect(rig.addr()).await;
    client.send(head("content-length: 100\r\n") + "{\"model\":").await;
    let reply = client.reply().await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (408, "request_timeout"));
    assert_eq!((reply.header("connection"), model.requests()), (Some("close"), 0));
}

#[tokio::test]
async fn http2_without_tls_is_spoken_to_who_knows() {
    let (model, rig) = rig().await;
    let (status, body) = post_over_http2(rig.addr(), CHAT, &[], &chat("large", "x")).await;
    assert_eq!((status, json(body.as_bytes())["object"].as_str()), (200, Some("chat.completion")));
    let (status, body) = post_over_http2(rig.addr(), CHAT, &[], &streamed("large", "x")).await;
    assert!(status == 200 && body.starts_with("data: ") && body.ends_with("data: [DONE]\n\n"), "{body}");
    for (request, status, code) in [
        (chat("none", "x"), 404, "model_not_found"),
        (chat("large", &"x".repeat(5000)), 413, "request_body_too_large"),
    ] {
        let (got, body) = post_over_http2(rig.addr(), CHAT, &[], &request).await;
        assert_eq!((got, error_of(&json(body.as_bytes())).as_str()), (status, code));
    }
    assert_eq!(model.requests(), 2);
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let (model, rig) = rig().await;
    for encoding in ["gzip", "br", "identity, gzip"] {
        let reply = rig.chat_with(&[("content-encoding", encoding)], &chat("large", "x")).await;
        assert_eq!(
            (reply.status, error_code(&reply).as_str()),
            (415, "unsupported_media_type"),
            "{encoding}"
        );
    }
    assert_eq!(model.requests(), 0);
    assert_eq!(rig.chat_with(&[("content-encoding", "identity")], &chat("large", "x")).await.status, 200);
}

#[tokio::test]
async fn a_clients_request_id_is_kept_where_it_is_fit_to_be_one() {
    let (_model, rig) = rig().await;
    let longest = "a".repeat(128);
    for id in ["req-1_a.b:c/D", &longest] {
        for model in ["large", "none"] {
            let reply = rig.chat_with(&[("x-request-id", id)], &chat(model, "x")).await;
            assert_eq!(reply.header("x-request-id"), Some(id), "{model}");
            assert_eq!(rig.record_of(&reply).await["request_id"], id);
        }
    }
    let reply = get(rig.addr(), "/nowhere").await;
    assert!(reply.header("x-request-id").is_some_and(|id| id.len() > 10), "who sent none gets one");
}

#[tokio::test]
async fn a_request_id_that_could_pass_for_something_else_is_replaced() {
    let (_model, rig) = rig().await;
    let too_long = "a".repeat(129);
    for id in [&too_long, "two words", "caf\u{e9}", "a\tb", "\"}{\"", ""] {
        for model in ["large", "none"] {
            let mut client = Client::connect(rig.addr()).await;
            client.post_json(CHAT, &[("x-request-id", id)], &chat(model, "x")).await;
            let reply = client.reply().await;
            let given = reply.header("x-request-id").unwrap_or_default();
            let fit = given.len() > 10 && given.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            assert!(fit && given != id, "{id:?} became {given:?}");
            assert_eq!(rig.record_of(&reply).await["request_id"], given);
        }
    }
}

#[tokio::test]
async fn tunnels_traces_and_upgrades_are_refused() {
    let (model, rig) = rig().await;
    let cases = [
        ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", [404, 405]),
        ("TRACE /v1/models HTTP/1.1\r\nhost: a\r\nx-secret: 1\r\n\r\n", [405, 405]),
        ("TRACE / HTTP/1.1\r\nhost: a\r\nx-secret: 1\r\n\r\n", [404, 405]),
    ];
    for (request, statuses) in cases {
        let (status, text) = raw(&rig, request).await;
        assert!(statuses.contains(&status) && !text.contains("x-secret"), "{status} {text}");
    }
    for protocol in ["websocket", "h2c"] {
        let upgrade = format!("connection: upgrade\r\nupgrade: {protocol}\r\n");
        let get = format!("GET /v1/models HTTP/1.1\r\nhost: a\r\n{upgrade}\r\n");
        let mut client = Client::connect(rig.addr()).await;
        client.send(get).await;
        let reply = client.reply().await;
        assert_ne!(reply.status, 101, "{protocol}");
        assert_eq!(reply.header("upgrade"), None);
        client.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200, "it goes on in HTTP/1.1");
    }
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn the_second_of_two_heads_in_one_packet_is_looked_at_too() {
    let (model, rig) = rig().await;
    let body = chat("large", "x");
    let first = "GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let bare = format!("POST {CHAT} HTTP/1.1\nhost: a\ncontent-length: {}\n\n{body}", body.len());
    let both = head("content-length: 3\r\ntransfer-encoding: chunked\r\n") + &chunks;
    for second in [bare, both] {
        let mut client = Client::connect(rig.addr()).await;
        client.send(first.to_owned() + &second).await;
        assert_eq!(client.reply().await.status, 200);
        assert_eq!(client.reply().await.status, 400, "{second}");
    }
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn deep_nesting_is_an_error_and_no_crash() {
    let (model, rig) = rig().await;
    let deep = |open: &str, close: &str| open.repeat(600) + &close.repeat(600);
    let nested = [deep("[", "]"), deep("{\"a\":[", "]}")[..2400].to_owned(), "[".repeat(3000)];
    for value in nested {
        for body in [
            with("large", "x", &format!(",\"x\":{value}")),
            format!(r#"{{"model":"large","messages":{value}}}"#),
            value,
        ] {
            let reply = rig.chat(&body).await;
            assert_eq!((reply.status, error_code(&reply).as_str()), (400, "invalid_json"), "{body:.80}");
        }
    }
    assert_eq!(model.requests(), 0);
    assert_eq!(rig.chat(&chat("large", "x")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_no_utf8_is_refused() {
    let (model, rig) = rig().await;
    for body in [chat("large", "?"), with("large", "x", r#","user":"?""#), with("large", "x", r#","?":1"#)] {
        let bytes: Vec<u8> = body.bytes().map(|b| if b == b'?' { 0xff } else { b }).collect();
        let mut client = Client::connect(rig.addr()).await;
        client
            .send([head(&format!("content-length: {}\r\n", bytes.len())).as_bytes(), &bytes].concat())
            .await;
        let reply = client.reply().await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, "invalid_json"), "{body}");
    }
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn a_limit_of_tokens_beyond_all_windows_fits_none() {
    let (model, rig) = rig().await;
    let reply = rig.chat(&with("auto", "x", &format!(",\"max_tokens\":{}", u64::MAX))).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (400, "context_length_exceeded"));
    assert_eq!(model.requests(), 0);
}

/// A gateway with a model id that has a slash in it.
async fn with_a_slash() -> (Model, Rig) {
    let model = Model::honest().await;
    let setup = Setup::new().expert("coder", model.addr, "model: org/coder-7b, domains: [code]");
    let rig = setup.large(model.addr, "").section("aliases: { gpt-4: large }").start().await;
    (model, rig)
}

fn ids(list: &Json) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn models_are_listed_in_openais_shape() {
    let (_model, rig) = with_a_slash().await;
    let list = json(&get(rig.addr(), "/v1/models").await.body);
    assert_eq!(list["object"], "list");
    let named: Vec<&str> = ids(&list).into_iter().filter(|id| !id.starts_with("auto:")).collect();
    assert_eq!(named, ["auto", "gpt-4", "coder", "large", "large-model", "org/coder-7b"]);
    for model in list["data"].as_array().unwrap() {
        assert!(model["object"] == "model" && model["created"].is_u64() && model["owned_by"].is_string());
    }
}

#[tokio::test]
async fn one_model_is_found_by_its_id_with_slashes_too() {
    let (_model, rig) = with_a_slash().await;
    let one = async |path: &str| get(rig.addr(), &format!("/v1/models/{path}")).await;
    let list = json(&get(rig.addr(), "/v1/models").await.body);
    for (id, listed) in ids(&list).into_iter().zip(list["data"].as_array().unwrap()) {
        for path in [id, &id.replace('/', "%2F"), &id.replace('/', "%2f")] {
            let reply: Reply = one(path).await;
            assert_eq!((reply.status, &json(&reply.body)), (200, listed), "{path}");
        }
    }
    for (path, near) in [("org/coder-8b", "`org/coder-7b`"), ("gpt-5", "`gpt-4`"), ("%zz%", "`%zz%`")] {
        let reply = one(path).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (404, "model_not_found"), "{path}");
        assert!(message(&reply).contains(near), "{}", reply.text());
    }
}

#[tokio::test]
async fn empty_lines_before_a_request_are_skipped() {
    let (_model, rig) = rig().await;
    let mut client = Client::connect(rig.addr()).await;
    for _ in 0..2 {
        client.send("\r\n\r\n\r\nGET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200);
    }
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let (model, rig) = rig().await;
    let mut client = Client::connect(rig.addr()).await;
    client.send(head("content-length: 4194304\r\n")).await;
    client.send(vec![b'x'; 4 << 20]).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (413, "request_body_too_large"));
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn a_body_that_only_trickles_is_given_up() {
    let model = Model::honest().await;
    let rig = Setup::new().large(model.addr, "").server("body_timeout: 300ms").start().await;
    let mut client = Client::connect(rig.addr()).await;
    client.send(head("content-length: 1000\r\n")).await;
    let reply = within(PATIENCE, "the end of patience", async {
        loop {
            client.send("{").await;
            tokio::select! {
                reply = client.reply() => return reply,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    })
    .await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (408, "request_timeout"));
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go_of() {
    let (_model, rig) = rig().await;
    let silent = async |said: &str| {
        let mut stream = TcpStream::connect(rig.addr()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        // the head timeout is five seconds, looked at every five
        within(PATIENCE * 3, "its end", stream.read_to_end(&mut Vec::new())).await
    };
    let half_a_head = "GET /health HTTP/1.1\r\nhost:";
    let (a, b, c) = tokio::join!(silent(""), silent("PRI * HT"), silent(half_a_head));
    assert_eq!([a, b, c].map(Result::unwrap), [0; 3]);
}
