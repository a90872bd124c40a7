//! A client that leaves takes its upstream's work with it, at once, wherever the answer stands.

use crate::harness::{CHAT, Json, Rig, Setup, WORD, chat, streamed};
use std::time::Duration;
use testkit::{Client, Step, Upstream, sse_head, sse_then, within};

/// What the upstream may still hear after the client left.
const AT_ONCE: Duration = Duration::from_millis(100);

async fn behind(upstream: &Upstream) -> Rig {
    Setup::new().large(upstream.addr(), "max_concurrency: 1").start().await
}

/// The only record, once it is closed; its places are given back.
async fn closed(rig: &Rig) -> Json {
    rig.metric_becomes("requests_total", &[("outcome", "cancelled")], 1.0).await;
    assert_eq!(rig.metric("in_flight_requests", &[]).await, 0.0);
    let records = rig.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["outcome"], "cancelled");
    records[0].clone()
}

#[tokio::test]
async fn before_the_head_of_an_answer() {
    for body in [chat("large", "hello"), streamed("large", "hello")] {
        let upstream = Upstream::script(vec![Step::Hold]).await;
        let rig = behind(&upstream).await;
        let client = rig.asking(&[], &body).await;
        upstream.next_request().await;
        drop(client);
        within(AT_ONCE, "the upstream to be left", upstream.next_closed()).await;
        let record = closed(&rig).await;
        assert_eq!(record["attempts"][0]["outcome"], "cancelled", "{record}");
        assert!(record["attempts"][0]["millis"].as_f64() > Some(0.0), "the time it took is known: {record}");
    }
}

#[tokio::test]
async fn before_the_first_token_and_in_a_body_that_is_held() {
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{";
    for (begun, body) in
        [(sse_head(), streamed("large", "hello")), (Step::send(half), chat("large", "hello"))]
    {
        let upstream = Upstream::script(vec![begun, Step::Hold]).await;
        let rig = behind(&upstream).await;
        let client = rig.asking(&[], &body).await;
        upstream.next_request().await;
        drop(client);
        within(AT_ONCE, "the upstream to be left", upstream.next_closed()).await;
        let record = closed(&rig).await;
        assert!(record["cost_usd"].as_f64() > Some(0.0), "the prompt was read, so it is paid for: {record}");
    }
}

#[tokio::test]
async fn in_mid_stream_the_tokens_so_far_are_counted() {
    for reset in [false, true] {
        let upstream = Upstream::script(sse_then(&[WORD, WORD], [Step::Hold])).await;
        let rig = behind(&upstream).await;
        let mut client = rig.asking(&[], &streamed("large", "hello")).await;
        assert_eq!(client.head().await.status, 200);
        client.event().await.unwrap();
        client.event().await.unwrap();
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        within(AT_ONCE, "the upstream to be left", upstream.next_closed()).await;
        let record = closed(&rig).await;
        assert_eq!(
            (&record["usage"]["output"], &record["usage_estimated"]),
            (&3.into(), &true.into()),
            "{record}"
        );
        assert!(record["cost_usd"].as_f64().unwrap() > 0.0, "{record}");
        assert_eq!(rig.metric("usage_missing_total", &[]).await, 1.0);
    }
}

#[tokio::test]
async fn pipelined_bytes_do_not_hide_that_the_client_left() {
    let upstream = Upstream::script(vec![Step::Hold]).await;
    let rig = behind(&upstream).await;
    let mut client = rig.asking(&[], &chat("large", "hello")).await;
    client.send(format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n0123456789")).await;
    upstream.next_request().await;
    drop(client);
    within(AT_ONCE * 2, "the upstream to be left", upstream.next_closed()).await;
    closed(&rig).await;
}

#[tokio::test]
async fn the_place_of_one_who_left_is_the_next_ones() {
    let upstream =
        Upstream::scripts(vec![vec![Step::Hold], testkit::json(200, crate::harness::ANSWER)]).await;
    let rig = behind(&upstream).await;
    let client = rig.asking(&[], &chat("large", "hello")).await;
    upstream.next_request().await;
    assert_eq!(rig.chat(&chat("large", "hello")).await.status, 503, "its only place is taken");
    drop(client);
    upstream.next_closed().await;
    assert_eq!(rig.chat(&chat("large", "hello")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_never_reaches_a_model() {
    let upstream = Upstream::script(vec![Step::Hold]).await;
    let rig = behind(&upstream).await;
    let mut client = Client::connect(rig.addr()).await;
    client
        .send(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{{"
        ))
        .await;
    drop(client);
    rig.metric_becomes("requests_total", &[], 1.0).await;
    assert_eq!(upstream.connections(), 0);
}
