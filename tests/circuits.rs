//! An endpoint that fails again and again is left alone, and is asked again by itself.

use crate::harness::{ANSWER, Model, Rig, Setup, chat};
use std::net::SocketAddr;
use std::time::Duration;
use testkit::{Reply, Upstream, json, soon, status};

/// What stays open after failures in a row, seconds.
const WAIT: u64 = 5;

async fn stand(rig: &Rig, expert: &str, at: SocketAddr) -> f64 {
    rig.metric("circuit_state", &[("expert", expert), ("endpoint", &at.to_string())]).await
}

async fn ask(rig: &Rig, who: &str) -> Reply {
    rig.chat(&chat(who, "hello")).await
}

#[tokio::test]
async fn a_sick_endpoint_is_left_alone_and_comes_back_by_itself() {
    let coder = Upstream::scripts([vec![status(503, &[]); 5], vec![json(200, ANSWER)]].concat()).await;
    let large = Model::honest().await;
    let rig = Setup::new().expert("coder", coder.addr(), "").large(large.addr, "").start().await;
    for _ in 0..5 {
        assert_eq!(ask(&rig, "coder").await.header("x-mixgate-attempts"), Some("2"));
    }
    assert_eq!(stand(&rig, "coder", coder.addr()).await, 2.0);
    let passed_by = ask(&rig, "coder").await;
    assert_eq!(
        (passed_by.header("x-mixgate-expert"), passed_by.header("x-mixgate-attempts")),
        (Some("large"), Some("1"))
    );
    assert_eq!(passed_by.header("x-mixgate-reason"), Some("upstream_failure"));
    assert_eq!(coder.requests().len(), 5, "nothing more was sent to it");

    tokio::time::sleep(Duration::from_millis(WAIT * 1000 + 100)).await;
    assert_eq!(stand(&rig, "coder", coder.addr()).await, 1.0);
    assert_eq!(ask(&rig, "coder").await.header("x-mixgate-expert"), Some("coder"));
    assert_eq!(stand(&rig, "coder", coder.addr()).await, 0.0);
}

#[tokio::test]
async fn too_many_requests_close_the_door_for_as_long_as_they_say() {
    let busy = status(429, &[("retry-after", "1")]);
    let coder = Upstream::scripts(vec![busy, json(200, ANSWER)]).await;
    let large = Model::honest().await;
    let rig = Setup::new().expert("coder", coder.addr(), "").large(large.addr, "").start().await;
    for attempts in ["2", "1", "1"] {
        let reply = ask(&rig, "coder").await;
        assert_eq!((reply.status, reply.header("x-mixgate-attempts")), (200, Some(attempts)));
    }
    soon("the turn of coder", || async {
        ask(&rig, "coder").await.header("x-mixgate-expert") == Some("coder")
    })
    .await;
}

#[tokio::test]
async fn the_last_one_is_asked_even_so() {
    let large = Model::with(&["status-503"]).await;
    let rig = Setup::new().large(large.addr, "").start().await;
    for _ in 0..8 {
        assert_eq!(ask(&rig, "large").await.status, 502);
    }
    assert_eq!(stand(&rig, "large", large.addr).await, 2.0);
    assert_eq!(large.requests(), 8);
}

#[tokio::test]
async fn a_clients_own_hurry_says_nothing_of_an_endpoint() {
    let slow = Model::with(&["silence"]).await;
    let rig = Setup::new().large(slow.addr, "").start().await;
    for _ in 0..8 {
        let reply = rig.chat_with(&[("x-mixgate-timeout-ms", "20")], &chat("large", "hello")).await;
        assert_eq!(reply.status, 504, "{}", reply.text());
    }
    assert_eq!(stand(&rig, "large", slow.addr).await, 0.0);
}

#[tokio::test]
async fn the_last_candidate_too_passes_by_a_sick_endpoint_while_another_is_well() {
    let [sick, well] = [Model::with(&["status-503"]).await, Model::honest().await];
    let endpoints = format!(
        "endpoints: [{{ base_url: 'http://{}/v1' }}, {{ base_url: 'http://{}/v1' }}]",
        sick.addr, well.addr
    );
    let rig = Setup::new().large_at(&endpoints).start().await;
    for _ in 0..60 {
        assert_eq!(ask(&rig, "large").await.status, 200);
    }
    assert!(stand(&rig, "large", sick.addr).await > 0.0 && sick.requests() < 10, "{}", sick.requests());
}
