//! Bad input, each with a clear error of all four fields.

use testkit::{Client, get};

use crate::harness::{CHAT, Model, Rig, Setup, chat, error_code, json, message};

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
    let reply = testkit::post_json(rig.addr(), "/v1/route", &[], &chat("auto", "@code x")).await;
    let decision = json(reply.text().as_bytes());
    assert_eq!(
        (reply.status, &decision["chosen"], &decision["domain"]),
        (200, &"large".into(), &"code".into())
    );
    assert!(decision["candidates"][0]["eligible"].as_bool().unwrap());
    assert_eq!(model.requests(), 0);
}
