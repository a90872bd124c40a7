//! Connections as clients hold them: for long, half closed, in pieces, with bytes where none are awaited, and too many.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::{
    Client, End, PATIENCE, Step, Upstream, chunk, get, json as json_steps, soon, sse_head, within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{
    ANSWER, CHAT, FINISH, Model, Rig, Setup, WORD, chat, error_code, error_of, json, streamed,
};

/// Longer than any of the timers that end a connection: two looks at it, and the time for a head.
const LONG: u64 = 12;

/// A stream that takes its time.
fn long_stream() -> Vec<Step> {
    let event = |data: &str| chunk(format!("data: {data}\n\n"));
    let words = (0..LONG).flat_map(|_| [event(WORD), Step::Sleep(Duration::from_secs(1))]);
    let end = [event(FINISH), event("[DONE]"), Step::send("0\r\n\r\n")];
    [sse_head()].into_iter().chain(words).chain(end).collect()
}

/// Reads a stream to its end over HTTP/1.1; `behind` comes behind the request. Its connection.
async fn read_over_http1(at: SocketAddr, behind: &str) -> Client {
    let mut client = Client::connect(at).await;
    client.post_json(CHAT, &[], &streamed("large", "x")).await;
    client.send(behind).await;
    assert_eq!(client.head().await.status, 200);
    let mut events = Vec::new();
    while let Some(event) = client.event().await {
        events.push(event);
    }
    assert_eq!(client.end(), Some(End::Complete), "behind it: {behind:?}");
    assert_eq!((events.len() as u64, events.last().unwrap().as_str()), (LONG + 2, "[DONE]"), "{behind:?}");
    client
}

async fn read_over_http2(at: SocketAddr) {
    let stream = TokioIo::new(TcpStream::connect(at).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let request =
        http::Request::post(format!("http://{at}{CHAT}")).header("content-type", "application/json");
    let request = request.body(Full::new(Bytes::from(streamed("large", "x")))).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.expect("a whole stream").to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"), "{}", String::from_utf8_lossy(&body));
}

/// Speaks HTTP/2 with its preface in two pieces, and is still heard after a while.
async fn hold_http2_in_pieces(at: SocketAddr) {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], b"12345678"].concat();
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"PRI * HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(b"TP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&settings).await.unwrap();
    tokio::time::sleep(Duration::from_secs(LONG)).await;
    stream.write_all(&ping).await.unwrap();
    let mut heard = Vec::new();
    let answered = async {
        while !heard.windows(8).any(|bytes| bytes == b"12345678") {
            assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "it was closed");
        }
    };
    within(PATIENCE, "the answer to a ping", answered).await;
}

#[tokio::test]
async fn a_stream_lasts_as_long_as_it_lasts_over_every_http_and_whatever_lies_behind_its_request() {
    let upstream = Upstream::scripts((0..5).map(|_| long_stream()).collect()).await;
    let rig = Setup::new().large(upstream.addr(), "").start().await;
    let next = "GET /health HTTP/1.1\r\n";
    let half_a_head = async {
        let mut client = read_over_http1(rig.addr(), next).await;
        client.send("host: a\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200, "the other half is read when the stream is over");
    };
    let at = rig.addr();
    tokio::join!(
        read_over_http1(at, ""),
        read_over_http1(at, "\r\n"),
        read_over_http1(at, "\r\n\r\n"),
        half_a_head,
        read_over_http2(at),
        hold_http2_in_pieces(at),
    );
}

/// A gateway in front of an upstream that begins and then holds still.
async fn held(steps: Vec<Step>) -> (Upstream, Rig) {
    let upstream = Upstream::script(steps).await;
    let rig = Setup::new().large(upstream.addr(), "max_concurrency: 1").start().await;
    (upstream, rig)
}

#[tokio::test]
async fn who_stops_sending_before_the_answer_is_told_so_and_the_upstream_is_left() {
    let (upstream, rig) = held(vec![Step::Hold]).await;
    for body in [chat("large", "x"), streamed("large", "x")] {
        let mut client = rig.asking(&[], &body).await;
        upstream.next_request().await;
        client.finish_sending().await;
        let reply = client.reply().await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (408, "request_timeout"));
        assert_eq!(reply.header("connection"), Some("close"));
        upstream.next_closed().await;
    }
    rig.metric_becomes("requests_total", &[("outcome", "cancelled")], 2.0).await;
    assert_eq!(rig.metric("in_flight_requests", &[]).await, 0.0);
}

#[tokio::test]
async fn who_stops_sending_in_mid_stream_gets_an_event_that_says_why_it_ends() {
    // the answer stands in the middle of an event
    let (upstream, rig) =
        held(vec![sse_head(), chunk(format!("data: {WORD}\n\n")), chunk("data: {\"id\":\"c1"), Step::Hold])
            .await;
    let mut client = rig.asking(&[], &streamed("large", "x")).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.event().await.unwrap(), WORD);
    client.finish_sending().await;
    upstream.next_closed().await;
    let body = client.body().await;
    let text = String::from_utf8_lossy(&body.bytes).into_owned();
    let last = text.trim_end().rsplit("\n\n").next().and_then(|event| event.strip_prefix("data: "));
    let last = last.unwrap_or_else(|| panic!("no event at the end: {text:?}"));
    assert_eq!(error_of(&json(last.as_bytes())), "request_timeout");
    assert!(!text.contains("[DONE]"), "{text}");
    rig.metric_becomes("requests_total", &[("outcome", "cancelled")], 1.0).await;
}

#[tokio::test]
async fn who_stops_sending_when_the_answer_is_there_gets_all_of_it() {
    let upstream = Upstream::script(json_steps(200, ANSWER)).await;
    let rig = Setup::new().large(upstream.addr(), "").start().await;
    let mut client = rig.asking(&[], &chat("large", "x")).await;
    let head = client.head().await;
    client.finish_sending().await;
    assert_eq!((head.status, client.body().await.end), (200, End::Complete));
}

#[tokio::test]
async fn a_transfer_coding_that_the_next_reader_may_not_know_is_refused() {
    let model = Model::honest().await;
    let rig = Setup::new().large(model.addr, "").start().await;
    let body = chat("large", "x");
    for coding in [
        "xchunked",
        "identity",
        "gzip, chunked",
        "chunked, identity",
        "chunked\r\ntransfer-encoding: chunked",
    ] {
        let mut client = Client::connect(rig.addr()).await;
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: {coding}\r\n\r\n"
        );
        client.send(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())).await;
        assert_eq!(client.reply().await.status, 400, "{coding}");
        client.closed().await;
    }
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn a_refused_tunnel_ends_its_connection() {
    let model = Model::honest().await;
    let rig = Setup::new().large(model.addr, "").start().await;
    let mut client = Client::connect(rig.addr()).await;
    // what follows would be the tunnel's
    client
        .send("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(matches!(head.status, 404 | 405), "{}", head.status);
    let rest = String::from_utf8_lossy(&client.closed().await).into_owned();
    assert!(!rest.contains("\"list\""), "{rest}");
}

#[tokio::test]
async fn an_answer_to_head_has_a_length_and_no_bytes_in_either_version() {
    let rig = Setup::new().large("127.0.0.1:1".parse().unwrap(), "").start().await;
    for (at, path, status) in [
        (rig.addr(), "/health", 200),
        (rig.addr(), "/v1/models", 200),
        (rig.addr(), "/v1/chat/completions", 405),
    ] {
        let io = TokioIo::new(TcpStream::connect(at).await.unwrap());
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        let request =
            hyper::Request::head(format!("http://{at}{path}")).body(Full::<Bytes>::default()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let length: u64 = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
        assert_eq!((answer.status().as_u16(), length > 0), (status, true), "{path}");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 0, "{path}");
        let mut client = Client::connect(at).await;
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        let raw = client.closed().await;
        assert!(raw.ends_with(b"\r\n\r\n"), "{path}: {}", String::from_utf8_lossy(&raw));
    }
}

#[tokio::test]
async fn large_heads_pass_or_are_told_that_they_are_too_large() {
    let headers: String = (0..40).map(|i| format!("x-upstream-{i}: {}\r\n", "v".repeat(900))).collect();
    let length = ANSWER.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{ANSWER}"
    );
    let upstream = Upstream::script(vec![Step::send(answer)]).await;
    let rig = Setup::new().large(upstream.addr(), "").start().await;
    let many: Vec<(String, String)> = (0..90).map(|i| (format!("x-h-{i}"), "v".repeat(40))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (key, cookie, huge) = ("a".repeat(8192), "b".repeat(20 << 10), "c".repeat(100 << 10));
    let bearer = format!("Bearer {key}");
    let cases: [(&[(&str, &str)], u16); 4] = [
        (&[("authorization", &bearer)], 200),
        (&[("cookie", &cookie)], 200),
        (&many, 200),
        (&[("cookie", &huge)], 431),
    ];
    for (headers, status) in cases {
        let reply = rig.chat_with(headers, &chat("large", "x")).await;
        assert_eq!(reply.status, status, "{:.20}", headers[0].0);
    }
}

/// So many connections that say nothing.
async fn idle(at: SocketAddr, many: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..many {
        all.push(within(PATIENCE, "connecting", TcpStream::connect(at)).await.unwrap());
    }
    all
}

#[tokio::test]
async fn health_answers_on_both_planes_while_their_tables_are_full() {
    let model = Model::honest().await;
    let rig = Setup::new().large(model.addr, "").server("max_connections: 8").start().await;
    let (data, admin) = (rig.addr(), rig.gateway.admin);
    let _idle = (idle(data, 40).await, idle(admin, 300).await);
    for _ in 0..10 {
        assert_eq!(get(data, "/health").await.status, 200);
        assert_eq!(get(admin, "/livez").await.status, 200);
        assert_eq!(get(admin, "/readyz").await.status, 200);
    }
    let open = rig.metric("client_connections", &[]).await;
    assert!(open <= 8.0, "connections to the admin plane are none of clients: {open}");
}

#[tokio::test]
async fn health_answers_while_every_connection_is_at_work() {
    let (upstream, rig) = {
        let upstream = Upstream::script(vec![Step::Hold]).await;
        let rig = Setup::new().large(upstream.addr(), "").server("max_connections: 2").start().await;
        (upstream, rig)
    };
    let _one = rig.asking(&[], &chat("large", "x")).await;
    let _two = rig.asking(&[], &chat("large", "x")).await;
    upstream.next_request().await;
    upstream.next_request().await;
    assert_eq!(get(rig.addr(), "/health").await.status, 200);
}

#[tokio::test]
async fn connections_without_a_known_key_are_the_first_to_go_and_those_at_work_stay() {
    let upstream = Upstream::script(vec![Step::Hold]).await;
    let hash = gateway::auth::KeyHash::of("good");
    let tenants = format!("tenants: [{{ name: acme, keys: [\"{hash}\"] }}]");
    let setup = Setup::new().large(upstream.addr(), "").server("max_connections: 3").section(&tenants);
    let rig = setup.start().await;
    let key = ("authorization", "Bearer good");
    let mut working = rig.asking(&[key], &chat("large", "x")).await;
    upstream.next_request().await;
    let keyed_get = "GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\n\r\n";
    let mut keyed = Client::connect(rig.addr()).await;
    keyed.send(keyed_get).await;
    assert_eq!(keyed.reply().await.status, 200);
    let mut wrong = Client::connect(rig.addr()).await;
    wrong.send("GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer bad\r\n\r\n").await;
    assert_eq!(wrong.reply().await.status, 401);
    for _ in 0..5 {
        assert_eq!(get(rig.addr(), "/health").await.status, 200);
    }
    wrong.closed().await;
    keyed.send(keyed_get).await;
    assert_eq!(keyed.reply().await.status, 200, "it carried a key");
    assert_eq!(rig.metric("in_flight_requests", &[]).await, 1.0, "what is at work stays");
    working.send("").await;
}

#[tokio::test]
async fn a_place_comes_back_when_its_connection_ends() {
    let model = Model::honest().await;
    let rig = Setup::new().large(model.addr, "").server("max_connections: 4").start().await;
    for _ in 0..30 {
        assert_eq!(get(rig.addr(), "/health").await.status, 200);
    }
    soon("all to be closed", || async { rig.metric("client_connections", &[]).await == 0.0 }).await;
}
