//! The upstream and the client against each other.

use super::*;
use crate::{Client, End, get, json, post_json, sse, sse_then, within};

#[tokio::test]
async fn each_request_gets_the_next_script_and_the_last_one_stays() {
    let upstream = Upstream::scripts(vec![json(429, "{}"), json(200, r#"{"ok":1}"#)]).await;
    let mut client = Client::connect(upstream.addr()).await;
    for expected in [429, 200, 200] {
        client.send("GET /x HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.reply().await.status, expected);
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (3, 1));
}

#[tokio::test]
async fn a_request_is_seen_as_it_was_sent() {
    let upstream = Upstream::script(json(200, "{}")).await;
    let reply = post_json(upstream.addr(), "/v1/x", &[("X-Key", "secret")], r#"{"a": 1}"#).await;
    assert_eq!((reply.status, reply.text().as_str(), reply.end), (200, "{}", End::Complete));
    let seen = upstream.next_request().await;
    assert_eq!((seen.method(), seen.path(), seen.text().as_str()), ("POST", "/v1/x", r#"{"a": 1}"#));
    assert_eq!(seen.header("x-key"), Some("secret"));
}

#[tokio::test]
async fn a_stream_comes_in_the_frames_of_its_script() {
    let upstream = Upstream::script(sse(&["a", "[DONE]"])).await;
    let mut client = Client::connect(upstream.addr()).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.head().await.header("content-type"), Some("text/event-stream"));
    assert_eq!(client.frame().await.unwrap(), b"data: a\n\n");
    assert_eq!(client.event().await.as_deref(), Some("[DONE]"));
    assert_eq!((client.event().await, client.end()), (None, Some(End::Complete)));
}

#[tokio::test]
async fn a_cut_a_reset_and_an_end_are_told_apart() {
    let ends = [(Step::Close, End::Cut), (Step::Reset, End::Reset), (Step::send("0\r\n\r\n"), End::Complete)];
    for (last, expected) in ends {
        let upstream = Upstream::script(sse_then(&["a"], [last])).await;
        let reply = get(upstream.addr(), "/").await;
        assert_eq!((reply.end, reply.events()), (expected, vec!["a".to_owned()]));
    }
}

#[tokio::test]
async fn the_moment_a_client_leaves_is_known() {
    let upstream = Upstream::script(vec![Step::Hold]).await;
    let mut client = Client::connect(upstream.addr()).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    upstream.next_request().await;
    let left = Instant::now();
    drop(client);
    let closed = upstream.next_closed().await;
    assert!(closed.in_answer && closed.at >= left && closed.connection == 0);
}

#[tokio::test]
async fn a_raw_upstream_does_not_wait_for_a_request() {
    let upstream =
        Upstream::raw(vec![Step::send("HTTP/1.1 408 Too Late\r\ncontent-length: 0\r\n\r\n")]).await;
    let mut client = Client::connect(upstream.addr()).await;
    assert_eq!(client.reply().await.status, 408);
}

#[tokio::test]
async fn a_refusing_address_refuses() {
    let refusing = Refusing::new();
    let refused =
        within(crate::PATIENCE, "a refusal", TcpStream::connect(refusing.addr())).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_dropped_upstream_is_gone() {
    let upstream = Upstream::script(vec![Step::Hold]).await;
    let address = upstream.addr();
    drop(upstream);
    crate::soon("the port to close", || async { TcpStream::connect(address).await.is_err() }).await;
}
