//! Time: limits ring whatever the upstream and the client do, and places come back.

use crate::harness::{
    ANSWER, CHAT, FINISH, Rig, STREAM, Setup, WORD, chat, error_code, error_of, json, streamed, with,
};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::time::Duration;
use testkit::{End, PATIENCE, Reply, Step, Upstream, chunk, sse_head, sse_then, within};
use tokio::net::TcpStream;

const PLACES: [(&str, &str); 1] = [("expert", "large")];

async fn alone(at: SocketAddr, more: &str) -> Rig {
    Setup::new().large(at, more).start().await
}

/// An upstream that always has more to say: 64 MiB of small events, and then it holds.
async fn babbling() -> Upstream {
    let block = chunk(format!("data: {WORD}\n\n").repeat(10_000));
    let steps = [sse_head()].into_iter().chain(std::iter::repeat_n(block, 64)).chain([Step::Hold]);
    Upstream::script(steps.collect()).await
}

/// The code of the error event that ends a stream.
fn broken_by(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.end), (200, End::Complete));
    error_of(&json(reply.events().last().unwrap().as_bytes()))
}

#[tokio::test]
async fn a_whole_answer_is_bounded_by_the_total_alone() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    let answer = format!("{head}{}\r\n\r\n", ANSWER.len());
    let (first, second) = ANSWER.split_at(20);
    let pause = || Step::Sleep(Duration::from_millis(200));
    let steps = vec![pause(), Step::send(answer), pause(), Step::send(first), pause(), Step::send(second)];
    let upstream = Upstream::script(steps).await;
    let limits = "headers: 50ms, first_token: 50ms, idle: 50ms";
    let rig = alone(upstream.addr(), &format!("timeouts: {{ {limits}, total: 10s }}")).await;
    assert_eq!(rig.chat(&chat("large", "hello")).await.text(), ANSWER);
    let reply = rig.chat(&streamed("large", "hello")).await;
    assert_eq!(
        (reply.status, error_code(&reply).as_str()),
        (504, "upstream_timeout"),
        "a stream has the others"
    );
    for total in ["100ms", "300ms", "500ms"] {
        let rig = alone(upstream.addr(), &format!("timeouts: {{ {limits}, total: {total} }}")).await;
        let reply = rig.chat(&chat("large", "hello")).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (504, "upstream_timeout"), "{total}");
    }
}

#[tokio::test]
async fn the_total_rings_while_the_upstream_always_has_more_to_say() {
    let upstream = babbling().await;
    for (more, headers) in [("timeouts: { total: 100ms }", None), ("", Some(("x-mixgate-timeout-ms", "100")))]
    {
        let rig = alone(upstream.addr(), more).await;
        let headers: Vec<(&str, &str)> = headers.into_iter().collect();
        let reply = rig.chat_with(&headers, &streamed("large", "hello")).await;
        assert_eq!(broken_by(&reply), "upstream_timeout", "{more}");
        assert!(reply.body.len() < 64 * 10_000 * WORD.len(), "it was cut");
        assert_eq!(rig.record_of(&reply).await["outcome"], "timeout");
        rig.metric_becomes("in_flight_requests", &PLACES, 0.0).await;
    }
}

#[tokio::test]
async fn a_client_that_never_reads_gives_its_place_back_when_its_time_is_up() {
    let upstream = babbling().await;
    let rig = alone(upstream.addr(), "timeouts: { total: 300ms }, max_concurrency: 1").await;
    let mut client = rig.asking(&[], &streamed("large", "hello")).await;
    let head = client.head().await;
    let record = rig.record(head.header("x-request-id").unwrap()).await;
    assert_eq!(
        (&record["outcome"], &record["attempts"][0]["outcome"]),
        (&"timeout".into(), &"timeout".into())
    );
    assert_eq!(rig.metric("in_flight_requests", &PLACES).await, 0.0);
    upstream.next_closed().await;
    // what lay in between still comes, and then it is no whole answer
    let body = client.body().await;
    assert_ne!(body.end, End::Complete);
}

#[tokio::test]
async fn over_http2_only_the_stream_that_nobody_reads_ends() {
    let upstream = babbling().await;
    let rig = alone(upstream.addr(), "timeouts: { total: 300ms }").await;
    let io = TokioIo::new(TcpStream::connect(rig.addr()).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async { drop(connection.await) });
    let request = |body: String| {
        let request = hyper::Request::post(format!("http://{}{CHAT}", rig.addr()));
        request
            .header("content-type", "application/json")
            .body(Full::<bytes::Bytes>::new(body.into()))
            .unwrap()
    };
    let unread = sender.send_request(request(streamed("large", "hello"))).await.unwrap();
    let id = unread.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(rig.record(&id).await["outcome"], "timeout");
    rig.metric_becomes("in_flight_requests", &PLACES, 0.0).await;
    // it is reset with CANCEL, which hyper's client takes for an end
    let came = within(PATIENCE, "the reset", async {
        let (mut body, mut came) = (unread.into_body(), 0);
        while let Some(Ok(frame)) = body.frame().await {
            came += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
        came
    });
    assert!(came.await < 16 << 20, "and the rest of it is not sent");
    let other = sender.send_request(request(chat("nobody", "hello"))).await.unwrap();
    assert_eq!(other.status(), 404, "the connection goes on");
}

/// What a client holds that reads no body at all over HTTP/2: its window is shut.
struct ShutWindow {
    status: u16,
    _answer: hyper::Response<hyper::body::Incoming>,
    _connection: tokio::task::JoinSet<()>,
}

impl ShutWindow {
    async fn ask(rig: &Rig, body: String) -> Self {
        let io = TokioIo::new(TcpStream::connect(rig.addr()).await.unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) = builder.initial_stream_window_size(0).handshake(io).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        let request = hyper::Request::post(format!("http://{}{CHAT}", rig.addr()));
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::<bytes::Bytes>::new(body.into())).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        Self { status: answer.status().as_u16(), _answer: answer, _connection: tasks }
    }
}

#[tokio::test]
async fn a_whole_answer_that_nobody_takes_holds_its_place_for_its_time_only() {
    let long = format!(
        r#"{{"id":"a","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}]}}"#,
        "a".repeat(20_000)
    );
    let upstream = Upstream::script(testkit::json(200, &long)).await;
    let setup = Setup::new().large(upstream.addr(), "timeouts: { total: 1s }").server("max_in_flight: 1");
    let rig = setup.start().await;
    let unread = ShutWindow::ask(&rig, chat("large", "hello")).await;
    assert_eq!(unread.status, 200);
    assert_eq!(rig.chat(&chat("large", "hello")).await.status, 503, "its place is taken");
    // a second beyond the least time that a client has, and some
    within(3 * PATIENCE, "the place", async {
        while rig.chat(&chat("large", "hello")).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_that_nobody_takes_holds_no_place() {
    let upstream = Upstream::script(testkit::json(200, ANSWER)).await;
    let rig = Setup::new().large(upstream.addr(), "").server("max_in_flight: 1").start().await;
    let unread = ShutWindow::ask(&rig, chat("nobody", "hello")).await;
    assert_eq!(unread.status, 404);
    assert_eq!(rig.chat(&chat("large", "hello")).await.status, 200);
}

#[tokio::test]
async fn silence_of_the_client_is_no_silence_of_the_upstream() {
    // far more than the buffers in between hold, and the last word long after the client has paused
    let block = chunk(format!("data: {WORD}\n\n").repeat(10_000));
    let rest = [
        Step::Sleep(Duration::from_millis(20)),
        chunk(format!("data: {FINISH}\n\ndata: [DONE]\n\n")),
        Step::send("0\r\n\r\n"),
    ];
    let steps = [sse_head()].into_iter().chain(std::iter::repeat_n(block, 20)).chain(rest);
    let upstream = Upstream::script(steps.collect()).await;
    let rig = alone(upstream.addr(), "timeouts: { idle: 400ms }").await;
    let mut client = rig.asking(&[], &streamed("large", "hello")).await;
    client.head().await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let body = client.body().await;
    let text = String::from_utf8_lossy(&body.bytes);
    assert!(body.end == End::Complete && text.ends_with("data: [DONE]\n\n"), "{}", &text[text.len() - 300..]);
}

#[tokio::test]
async fn behind_the_end_marker_nothing_is_waited_for() {
    let upstream = Upstream::script(sse_then(&STREAM, [Step::Hold])).await;
    let rig = alone(upstream.addr(), "timeouts: { idle: 60s }").await;
    for connections in [1, 2] {
        let reply = rig.chat(&streamed("large", "hello")).await;
        assert_eq!((reply.end, reply.events().last().unwrap().as_str()), (End::Complete, "[DONE]"));
        let record = rig.record_of(&reply).await;
        assert_eq!((&record["outcome"], &record["usage"]["output"]), (&"ok".into(), &5.into()), "{record}");
        assert_eq!(rig.metric("in_flight_requests", &PLACES).await, 0.0);
        assert_eq!(
            upstream.connections(),
            connections,
            "an answer that did not end leaves no connection to use"
        );
    }
}

#[tokio::test]
async fn an_end_that_comes_behind_the_end_marker_leaves_its_connection_to_the_next() {
    let late = [Step::Sleep(Duration::from_millis(50)), Step::send("0\r\n\r\n")];
    let upstream = Upstream::script(sse_then(&STREAM, late)).await;
    let rig = alone(upstream.addr(), "").await;
    for _ in 0..3 {
        let reply = rig.chat(&streamed("large", "hello")).await;
        assert_eq!((reply.end, reply.events().last().unwrap().as_str()), (End::Complete, "[DONE]"));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn what_an_upstream_adds_behind_the_end_marker_has_an_end() {
    let babble = std::iter::repeat_n(chunk(": x\n\n".repeat(2_000)), 50);
    let upstream = Upstream::script(sse_then(&STREAM, babble.chain([Step::Hold]))).await;
    let rig = alone(upstream.addr(), "").await;
    let reply = rig.chat(&with("large", "hello", r#","stream":true"#)).await;
    assert_eq!(reply.end, End::Complete);
    assert!(reply.text().contains("data: [DONE]\n\n") && reply.body.len() < 100_000, "{}", reply.body.len());
    assert_eq!(rig.record_of(&reply).await["outcome"], "ok");
}
