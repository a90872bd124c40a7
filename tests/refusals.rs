//! Who is at fault for a refusal decides who hears of it: the next candidate where routing chose, the client where it
//! named the model, and nobody but the operator where the gateway's own key, model, address or field was refused.

use crate::harness::{ANSWER, Json, Model, Rig, STREAM, Setup, chat, error_code, message, with};
use testkit::{Reply, Upstream, answer, json as json_steps, sse};

/// A coder that is chosen for `@code`, before `large`.
const CODER: &str = "quality: { code: 1 }";

async fn refusing(status: u16, body: &str) -> Upstream {
    Upstream::script(answer(status, &[("content-type", "application/json")], body)).await
}

async fn rig(coder: &Upstream, large: &Model) -> Rig {
    Setup::new().expert("coder", coder.addr(), CODER).large(large.addr, "").start().await
}

fn outcomes(record: &Json) -> Vec<&str> {
    record["attempts"].as_array().unwrap().iter().map(|a| a["outcome"].as_str().unwrap()).collect()
}

/// Refusals of what a client sent, in the words of servers.
const CLIENTS: [(u16, &str); 6] = [
    (
        400,
        r#"{"error":{"message":"Unexpected message role.","type":"BadRequestError","param":null,"code":400}}"#,
    ),
    (
        400,
        r#"{"object":"error","message":"This model's maximum context length is 8192 tokens.","type":"BadRequestError","param":null,"code":400}"#,
    ),
    (
        400,
        r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#,
    ),
    (413, "<html><h1>413 Request Entity Too Large</h1></html>"),
    (422, r#"{"detail":[{"type":"missing","loc":["body","x"],"msg":"Field required"}]}"#),
    (404, r#"{"error":{"message":"No such File object: file-1","param":"file_id"}}"#),
];

/// Refusals that only the operator can do something about.
const OPERATORS: [(u16, &str, &str); 9] = [
    (401, r#"{"error":{"message":"Incorrect API key"}}"#, "auth_error"),
    (403, "<html>", "auth_error"),
    (402, r#"{"error":{"message":"Insufficient Balance"}}"#, "out_of_credit"),
    (424, r#"{"error":"x","error_type":"generation"}"#, "server_error"),
    (404, r#"{"detail":"Not Found"}"#, "not_found"),
    (405, r#"{"detail":"Method Not Allowed"}"#, "not_found"),
    (404, r#"{"error":"model \"x\" not found, try pulling it first"}"#, "unknown_model"),
    (
        404,
        r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
        "unknown_model",
    ),
    (
        400,
        r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#,
        "unknown_model",
    ),
];

#[tokio::test]
async fn where_routing_chose_any_refusal_means_the_next_candidate() {
    let operators = OPERATORS.map(|(status, body, outcome)| (status, body, outcome));
    let clients = CLIENTS.map(|(status, body)| (status, body, "client_error"));
    for (status, body, outcome) in clients.into_iter().chain(operators) {
        for fields in ["", r#","stream":true"#] {
            let (coder, large) = (refusing(status, body).await, Model::honest().await);
            let rig = rig(&coder, &large).await;
            let reply = rig.chat(&with("auto", "@code please", fields)).await;
            rig.tells(&reply, "large", "upstream_failure").await;
            let record = rig.record_of(&reply).await;
            assert_eq!(outcomes(&record), [outcome, "ok"], "{status} {body}");
            assert_eq!((&record["outcome"], coder.requests().len()), (&"ok".into(), 1), "{status} {body}");
        }
    }
}

async fn stand(rig: &Rig) -> f64 {
    rig.metric("circuit_state", &[("expert", "coder")]).await
}

#[tokio::test]
async fn where_the_client_named_the_model_its_own_fault_comes_back_as_it_is_after_one_call() {
    for (status, body) in CLIENTS {
        let (coder, large) = (refusing(status, body).await, Model::honest().await);
        let rig = rig(&coder, &large).await;
        for asked in 1..=7 {
            let reply = rig.chat(&chat("coder", "hello")).await;
            assert_eq!((reply.status, reply.text().as_str()), (status, body));
            assert_eq!((coder.requests().len(), large.requests()), (asked, 0));
        }
        assert_eq!(stand(&rig).await, 0.0, "what a client sends opens no circuit");
        assert_eq!(rig.metric("requests_total", &[("outcome", "upstream_error")]).await, 0.0);
    }
}

#[tokio::test]
async fn what_the_operator_must_see_to_never_reaches_a_client_and_opens_no_circuit() {
    for (status, body, outcome) in OPERATORS {
        let (coder, large) = (refusing(status, body).await, Model::honest().await);
        let rig = rig(&coder, &large).await;
        for _ in 0..7 {
            let reply = rig.chat(&chat("coder", "hello")).await;
            assert_eq!(
                (reply.status, reply.header("x-mixgate-expert")),
                (200, Some("large")),
                "{status} {body}"
            );
        }
        assert_eq!((coder.requests().len(), stand(&rig).await), (7, 0.0), "{status} {body}");
        let failed = [("expert", "coder"), ("outcome", outcome)];
        assert_eq!(rig.metric("upstream_attempts_total", &failed).await, 7.0, "{status} {body}");

        let alone = Setup::new().large(coder.addr(), "").start().await;
        let reply = alone.chat(&chat("auto", "hello")).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (502, "upstream_error"), "{status} {body}");
        let said = message(&reply);
        let hints = ["`api_key`", "credit", "its model failed", "`base_url`", "`model`"];
        assert!(hints.iter().any(|hint| said.contains(hint)), "what to look at: {said}");
    }
}

#[tokio::test]
async fn the_last_candidates_refusal_reaches_the_client() {
    let (status, body) = CLIENTS[0];
    let (coder, large) = (refusing(status, body).await, refusing(status, CLIENTS[1].1).await);
    let setup = Setup::new().expert("coder", coder.addr(), CODER).large(large.addr(), "");
    let rig = setup.start().await;
    let reply = rig.chat(&chat("auto", "@code please")).await;
    assert_eq!((reply.status, reply.text().as_str()), (400, CLIENTS[1].1));
    assert_eq!((coder.requests().len(), large.requests().len()), (1, 1));
    assert_eq!(rig.record_of(&reply).await["outcome"], "client_error");
}

#[tokio::test]
async fn a_refusal_of_the_fallback_is_the_last_word_though_others_could_answer() {
    let (status, body) = CLIENTS[0];
    let (weak, large) = (Model::honest().await, refusing(status, body).await);
    let setup = Setup::new().expert("weak", weak.addr, "quality: { code: 0.1 }").large(large.addr(), "");
    let rig = setup.start().await;
    let reply = rig.chat(&chat("auto", "@code please")).await;
    assert_eq!((reply.status, weak.requests()), (400, 0), "{}", reply.text());
}

const REFUSED_FIELD: [(u16, &str); 3] = [
    (
        422,
        r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}}"#,
    ),
    (
        400,
        r#"{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error"}}"#,
    ),
    (400, r#"{"error":{"message":"json: unknown field \"stream_options\"","type":"invalid_request_error"}}"#),
];

async fn asks_for_usage(upstream: &Upstream) -> bool {
    upstream.next_request().await.text().contains("stream_options")
}

fn whole(reply: &Reply) {
    assert_eq!((reply.status, reply.events().last().unwrap().as_str()), (200, "[DONE]"), "{}", reply.text());
}

#[tokio::test]
async fn a_field_that_the_gateway_added_is_left_out_once_it_is_refused() {
    for (status, body) in REFUSED_FIELD {
        let refusal = answer(status, &[("content-type", "application/json")], body);
        let upstream = Upstream::scripts(vec![refusal, sse(&STREAM)]).await;
        let rig = Setup::new().large(upstream.addr(), "").start().await;
        let reply = rig.chat(&with("large", "hello", r#","stream":true"#)).await;
        whole(&reply);
        assert_eq!(outcomes(&rig.record_of(&reply).await), ["refused_field", "ok"], "{body}");
        assert!(asks_for_usage(&upstream).await && !asks_for_usage(&upstream).await, "{body}");
        whole(&rig.chat(&with("large", "hello", r#","stream":true"#)).await);
        assert!(!asks_for_usage(&upstream).await, "it is not asked again: {body}");
        assert_eq!(rig.metric("circuit_state", &[]).await, 0.0);
    }
}

#[tokio::test]
async fn a_field_that_the_client_sent_itself_is_its_own() {
    let (status, body) = REFUSED_FIELD[1];
    let upstream = refusing(status, body).await;
    let rig = Setup::new().large(upstream.addr(), "").start().await;
    let fields = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let reply = rig.chat(&with("large", "hello", fields)).await;
    assert_eq!((reply.status, reply.text().as_str(), upstream.requests().len()), (status, body, 1));
}

#[tokio::test]
async fn usage_is_asked_for_as_the_configuration_says() {
    for (switch, asked) in [("auto", true), ("ask", true), ("off", false)] {
        let upstream = Upstream::script(sse(&STREAM)).await;
        let rig = Setup::new().large(upstream.addr(), &format!("stream_usage: {switch}")).start().await;
        whole(&rig.chat(&with("large", "hello", r#","stream":true"#)).await);
        assert_eq!(asks_for_usage(&upstream).await, asked, "{switch}");
    }
    let (status, body) = REFUSED_FIELD[1];
    let (coder, large) = (refusing(status, body).await, Model::honest().await);
    let setup = Setup::new().expert("coder", coder.addr(), "stream_usage: ask").large(large.addr, "");
    let rig = setup.start().await;
    let reply = rig.chat(&with("coder", "hello", r#","stream":true"#)).await;
    assert_eq!((reply.header("x-mixgate-expert"), coder.requests().len()), (Some("large"), 1));
}

#[tokio::test]
async fn an_experts_own_headers_and_query_go_with_every_request() {
    let upstream = Upstream::script(json_steps(200, ANSWER)).await;
    let at = format!(
        "base_url: 'http://{}/openai/deployments/gpt?api-version=2024-10-21', headers: {{ api-key: ' abc ', X-Title: demo, user-agent: own }}",
        upstream.addr()
    );
    let rig = Setup::new().large_at(&at).start().await;
    assert_eq!(rig.chat(&chat("large", "hello")).await.status, 200);
    let request = upstream.next_request().await;
    assert_eq!(request.path(), "/openai/deployments/gpt/chat/completions?api-version=2024-10-21");
    for (name, value) in [("api-key", "abc"), ("x-title", "demo"), ("user-agent", "own")] {
        assert_eq!(request.header(name), Some(value));
    }
}

#[tokio::test]
async fn a_refusal_that_comes_with_a_good_status_is_one_all_the_same() {
    let error =
        r#"{"error":{"message":"max_tokens is too large","type":"BadRequestError","param":null,"code":400}}"#;
    for (fields, upstream) in [
        ("", Upstream::script(json_steps(200, error)).await),
        (r#","stream":true"#, Upstream::script(json_steps(200, error)).await),
        (r#","stream":true"#, Upstream::script(sse(&[error])).await),
        (r#","stream":true"#, Upstream::script(sse(&[error, "[DONE]"])).await),
    ] {
        let large = Model::honest().await;
        let rig = rig(&upstream, &large).await;
        for _ in 0..6 {
            let named = rig.chat(&with("coder", "hello", fields)).await;
            assert_eq!((named.status, error_code(&named).as_str()), (400, ""), "{fields}: {}", named.text());
            assert!(message(&named).contains("too large"), "{}", named.text());
        }
        let routed = rig.chat(&with("auto", "@code please", fields)).await;
        assert_eq!((routed.status, routed.header("x-mixgate-expert")), (200, Some("large")), "{fields}");
        assert_eq!((large.requests(), stand(&rig).await), (1, 0.0));
    }
    let busy = Upstream::script(sse(&[r#"{"error":{"message":"slow down","code":429}}"#])).await;
    let rig = Setup::new().large(busy.addr(), "").start().await;
    let reply = rig.chat(&with("large", "hello", r#","stream":true"#)).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (429, "rate_limit_exceeded"));
}
