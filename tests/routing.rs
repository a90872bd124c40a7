//! Where requests go, and that header, record and metric give the same reason.

use crate::harness::{ANSWER, Model, STREAM, Setup, chat, error_code, json, message, streamed, with};
use router_model::RouterModel;
use std::sync::Arc;
use testkit::{Step, Upstream, get, post_json, sse_then};

/// A coder that is cheap, a large model for the rest.
async fn coder_and_large() -> (Model, Model, Setup) {
    let (coder, large) = (Model::honest().await, Model::honest().await);
    let setup = Setup::new().expert("coder", coder.addr, "quality: { code: 0.97 }").large(large.addr, "");
    (coder, large, setup)
}

#[tokio::test]
async fn a_prompt_goes_to_the_cheapest_expert_that_is_good_enough() {
    let (coder, large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply = rig.chat(&chat("auto", "@code write a parser")).await;
    rig.tells(&reply, "coder", "routed").await;
    assert_eq!(reply.header("x-mixgate-domain"), Some("code"));
    assert_eq!(reply.header("x-mixgate-model"), Some("coder-model"));
    assert_eq!(reply.header("x-mixgate-confidence"), Some("1.000"));
    assert_eq!(reply.header("x-mixgate-attempts"), Some("1"));
    let reply = rig.chat(&chat("auto", "@math prove it")).await;
    rig.tells(&reply, "large", "routed").await;
    assert_eq!((coder.requests(), large.requests()), (1, 1));
}

#[tokio::test]
async fn the_built_in_router_model_tells_code_from_law() {
    let (coder, large, setup) = coder_and_large().await;
    let rig = setup.start_with(Arc::new(RouterModel::builtin().unwrap())).await;
    let code = "Write a Rust function that reverses a linked list in place, with unit tests.";
    let law = "Does this clause of the contract limit the liability of the seller under the governing law?";
    let code = rig.chat(&chat("auto:frugal", code)).await;
    let law = rig.chat(&chat("auto:frugal", law)).await;
    assert_eq!(code.header("x-mixgate-domain"), Some("code"));
    assert_eq!(code.header("x-mixgate-expert"), Some("coder"));
    assert_eq!(law.header("x-mixgate-domain"), Some("legal"));
    assert_eq!(law.header("x-mixgate-expert"), Some("large"));
    assert_eq!((coder.requests(), large.requests()), (1, 1));
}

#[tokio::test]
async fn an_expert_named_in_the_model_field_is_pinned_whatever_the_prompt() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply = rig.chat(&chat("coder", "@math prove it")).await;
    rig.tells(&reply, "coder", "pinned").await;
    let reply = rig.chat(&chat("coder-model", "@math prove it")).await;
    assert_eq!(reply.header("x-mixgate-expert"), Some("coder"));
    let reply = rig.chat(&chat("large", "@code write a parser")).await;
    rig.tells(&reply, "large", "pinned").await;
}

#[tokio::test]
async fn a_request_for_a_model_id_reaches_its_upstream_byte_for_byte() {
    let upstream = Upstream::script(testkit::json(200, ANSWER)).await;
    let rig = Setup::new().expert("coder", upstream.addr(), "").large(upstream.addr(), "").start().await;
    let body = "{ \"temperature\": 1.0e-2, \"model\" : \"coder-model\",\n\t\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9 \\ud83d\\ude00\"}], \"seed\":12345678901234567890, \"x\":{\"b\":1,\"a\":[1.50]} }\n";
    let reply = rig.chat(body).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, ANSWER));
    assert_eq!(upstream.next_request().await.text(), body);
}

#[tokio::test]
async fn a_header_forces_an_expert() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply = rig.chat_with(&[("x-mixgate-expert", "coder")], &chat("auto", "@math prove it")).await;
    rig.tells(&reply, "coder", "forced").await;
    let reply = rig.chat_with(&[("x-mixgate-expert", "codr")], &chat("auto", "@math")).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (404, "model_not_found"));
    assert!(message(&reply).contains("`coder`"), "{}", reply.text());
}

#[tokio::test]
async fn an_unsure_router_means_the_large_model() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply = rig.chat(&chat("auto", "@unsure hm")).await;
    rig.tells(&reply, "large", "low_confidence").await;
}

#[tokio::test]
async fn a_router_that_misses_its_deadline_means_the_large_model() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply = rig.chat(&chat("auto", "@slow write a parser")).await;
    rig.tells(&reply, "large", "deadline").await;
    assert_eq!(reply.header("x-mixgate-domain"), None, "nothing is known of it");
}

#[tokio::test]
async fn a_router_that_panics_means_the_large_model_and_harms_nobody_else() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply = rig.chat(&chat("auto", "@panic write a parser")).await;
    rig.tells(&reply, "large", "router_error").await;
    let reply = rig.chat(&chat("auto", "@code write a parser")).await;
    rig.tells(&reply, "coder", "routed").await;
}

#[tokio::test]
async fn scores_that_are_no_numbers_mean_the_large_model() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply = rig.chat(&chat("auto", "@nonsense write a parser")).await;
    rig.tells(&reply, "large", "router_error").await;
}

#[tokio::test]
async fn a_choice_that_may_not_take_the_request_is_passed_over() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let tools = r#","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#;
    let reply = rig.chat(&with("auto", "@code write a parser", tools)).await;
    rig.tells(&reply, "large", "ineligible").await;
    let record = rig.record_of(&reply).await;
    assert_eq!(record["candidates"][0]["why_not"], "lacks capability tools");
    assert_eq!(record["features"]["has_tools"], true);
}

#[tokio::test]
async fn a_choice_at_its_capacity_gives_way() {
    let busy = Upstream::script(sse_then(&STREAM[..1], [Step::Hold])).await;
    let large = Model::honest().await;
    let rig = Setup::new()
        .expert("coder", busy.addr(), "quality: { code: 0.97 }, max_concurrency: 1")
        .large(large.addr, "")
        .start()
        .await;
    let mut first = rig.asking(&[], &streamed("auto", "@code one")).await;
    assert_eq!(first.head().await.header("x-mixgate-expert"), Some("coder"));
    let reply = rig.chat(&chat("auto", "@code two")).await;
    rig.tells(&reply, "large", "capacity").await;
    let labels = [("from", "coder"), ("to", "large"), ("reason", "capacity")];
    assert_eq!(rig.metric("fallbacks_total", &labels).await, 1.0);
    drop(first);
    rig.metric_becomes("in_flight_requests", &[("expert", "coder")], 0.0).await;
}

#[tokio::test]
async fn a_choice_that_fails_gives_way() {
    let (coder, large) = (Model::with(&["status-500"]).await, Model::honest().await);
    let rig = Setup::new()
        .expert("coder", coder.addr, "quality: { code: 0.97 }")
        .large(large.addr, "")
        .start()
        .await;
    let reply = rig.chat(&chat("auto", "@code write a parser")).await;
    rig.tells(&reply, "large", "upstream_failure").await;
    assert_eq!(reply.header("x-mixgate-attempts"), Some("2"));
    let record = rig.record_of(&reply).await;
    let attempts: Vec<_> =
        record["attempts"].as_array().unwrap().iter().map(|a| (&a["expert"], &a["outcome"])).collect();
    assert_eq!(attempts, [(&"coder".into(), &"server_error".into()), (&"large".into(), &"ok".into())]);
    let labels = [("from", "coder"), ("to", "large"), ("reason", "upstream_failure")];
    assert_eq!(rig.metric("fallbacks_total", &labels).await, 1.0);
}

/// `cheap` chats, `coder` codes and chats for more.
async fn conversation() -> (Model, Setup) {
    let model = Model::honest().await;
    let dearer = "quality: { code: 0.97, chat: 0.97 }, price: { input_per_1m: 0.5, output_per_1m: 0.5 }";
    let setup = Setup::new()
        .expert("cheap", model.addr, "quality: { chat: 0.97, code: 0.5 }")
        .expert("coder", model.addr, dearer)
        .large(model.addr, "");
    (model, setup)
}

fn turns(turns: &[(&str, &str)]) -> String {
    let turns: Vec<String> =
        turns.iter().map(|(role, text)| format!(r#"{{"role":"{role}","content":"{text}"}}"#)).collect();
    format!(r#"{{"model":"auto","messages":[{}]}}"#, turns.join(","))
}

#[tokio::test]
async fn a_second_turn_keeps_its_expert_though_a_cheaper_one_would_win_now() {
    let (_model, setup) = conversation().await;
    let rig = setup.start().await;
    let fresh = rig.chat(&turns(&[("user", "@chat and how are you")])).await;
    assert_eq!(
        fresh.header("x-mixgate-expert"),
        Some("cheap"),
        "a conversation of its own goes to the cheap one"
    );
    let first = rig.chat(&turns(&[("user", "@code write a parser")])).await;
    rig.tells(&first, "coder", "routed").await;
    let second =
        turns(&[("user", "@code write a parser"), ("assistant", "ok"), ("user", "@chat and how are you")]);
    let second = rig.chat(&second).await;
    rig.tells(&second, "coder", "sticky").await;
    assert_eq!(second.header("x-mixgate-domain"), Some("chat"));
}

#[tokio::test]
async fn a_turn_its_expert_is_not_good_enough_for_goes_elsewhere() {
    let (_model, setup) = conversation().await;
    let rig = setup.start().await;
    rig.chat(&turns(&[("user", "@code write a parser")])).await;
    let second =
        turns(&[("user", "@code write a parser"), ("assistant", "ok"), ("user", "@math prove that it ends")]);
    let second = rig.chat(&second).await;
    rig.tells(&second, "large", "routed").await;
}

#[tokio::test]
async fn an_open_tool_loop_never_changes_its_expert() {
    let model = Model::honest().await;
    let rig = Setup::new()
        .expert("cheap", model.addr, "quality: { math: 0.99 }, capabilities: [tools]")
        .expert("coder", model.addr, "quality: { code: 0.97 }, capabilities: [tools]")
        .large(model.addr, "")
        .start()
        .await;
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#;
    let call = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"@math 42"}"#;
    let first = rig.chat(&with("auto", "@code write a parser", &format!(",{tools}"))).await;
    rig.tells(&first, "coder", "routed").await;
    let turn = r#"{"role":"user","content":"@math now the sum"}"#;
    let opening = r#"{"role":"user","content":"@code write a parser"}"#;
    let open = format!(r#"{{"model":"auto",{tools},"messages":[{opening},{call}]}}"#);
    let open = rig.chat(&open).await;
    rig.tells(&open, "coder", "sticky").await;
    let later = format!(
        r#"{{"model":"auto",{tools},"messages":[{opening},{{"role":"assistant","content":"k"}},{turn},{call}]}}"#
    );
    let later = rig.chat(&later).await;
    assert_eq!(later.header("x-mixgate-expert"), Some("coder"), "math or not, the loop is open");
    let closed = format!(
        r#"{{"model":"auto",{tools},"messages":[{opening},{call},{{"role":"assistant","content":"k"}},{turn}]}}"#
    );
    let closed = rig.chat(&closed).await;
    assert_eq!(closed.header("x-mixgate-expert"), Some("cheap"), "the loop is closed, math goes to math");
}

#[tokio::test]
async fn continue_keeps_its_expert() {
    let (_model, setup) = conversation().await;
    let rig = setup.start().await;
    rig.chat(&turns(&[("user", "@code write a parser")])).await;
    for word in ["continue", "Go on.", "yes please"] {
        let body = turns(&[("user", "@code write a parser"), ("assistant", "@unsure"), ("user", word)]);
        let reply = rig.chat(&body).await;
        let told = (reply.header("x-mixgate-expert"), reply.header("x-mixgate-reason"));
        assert_eq!(told, (Some("coder"), Some("sticky")), "{word}");
    }
}

#[tokio::test]
async fn a_session_header_groups_requests_that_share_no_word() {
    let (_model, setup) = conversation().await;
    let rig = setup.start().await;
    let session = [("x-mixgate-session", "s-1")];
    rig.chat_with(&session, &chat("auto", "@code write a parser")).await;
    let same = rig.chat_with(&session, &chat("auto", "@chat how are you")).await;
    rig.tells(&same, "coder", "sticky").await;
    let other = rig.chat_with(&[("x-mixgate-session", "s-2")], &chat("auto", "@chat how are you")).await;
    rig.tells(&other, "cheap", "routed").await;
    let goes_on = rig.chat_with(&session, &chat("auto", "continue")).await;
    let told = (goes_on.header("x-mixgate-expert"), goes_on.header("x-mixgate-reason"));
    assert_eq!(told, (Some("coder"), Some("sticky")), "the name says what it goes on with");
}

#[tokio::test]
async fn aliases_and_policies_lead_where_they_say() {
    let model = Model::honest().await;
    let rig = Setup::new()
        .expert("coder", model.addr, "quality: { code: 0.80 }")
        .large(model.addr, "")
        .section("policies: { balanced: { tolerance: 0.05 }, frugal: { tolerance: 0.3 } }")
        .section("aliases: { gpt-4: 'auto:frugal', helper: coder, id: large-model }")
        .start()
        .await;
    let cases = [
        ("auto", "large", "routed", "balanced"),
        ("auto:balanced", "large", "routed", "balanced"),
        ("auto:frugal", "coder", "routed", "frugal"),
        ("gpt-4", "coder", "routed", "frugal"),
        ("helper", "coder", "pinned", "balanced"),
        ("id", "large", "pinned", "balanced"),
    ];
    for (name, expert, reason, policy) in cases {
        let reply = rig.chat(&chat(name, "@code write a parser")).await;
        let record = rig.record_of(&reply).await;
        let told = (reply.header("x-mixgate-expert"), reply.header("x-mixgate-reason"));
        assert_eq!(told, (Some(expert), Some(reason)), "{name}");
        assert_eq!((&record["policy"], &record["requested_model"]), (&policy.into(), &name.into()));
    }
    let by_header = rig.chat_with(&[("x-mixgate-policy", "frugal")], &chat("auto", "@code x")).await;
    assert_eq!(by_header.header("x-mixgate-expert"), Some("coder"));
    let unknown = rig.chat_with(&[("x-mixgate-policy", "frugl")], &chat("auto", "@code x")).await;
    assert_eq!((unknown.status, error_code(&unknown).as_str()), (400, "invalid_value"));
    assert!(message(&unknown).contains("`frugal`"));
}

#[tokio::test]
async fn behind_a_pinned_model_that_fails_the_fallback_answers_and_says_so() {
    let (coder, large) = (Model::with(&["status-503"]).await, Model::honest().await);
    let rig = Setup::new().expert("coder", coder.addr, "").large(large.addr, "").start().await;
    let reply = rig.chat(&chat("coder", "@code write a parser")).await;
    rig.tells(&reply, "large", "upstream_failure").await;
    assert_eq!(reply.header("x-mixgate-model"), Some("large-model"));
    assert_eq!(json(&reply.body)["model"], "large-model", "the body says who answered, too");
}

#[tokio::test]
async fn an_unknown_model_is_not_found_and_near_ones_are_named() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply = rig.chat(&chat("coder-modl", "@code x")).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (404, "model_not_found"));
    assert_eq!(json(&reply.body)["error"]["param"], "model");
    assert!(message(&reply).contains("`coder-model`"), "{}", reply.text());
    let reply = rig.chat(&chat("auto:nothing", "@code x")).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (404, "model_not_found"));
    let one = get(rig.addr(), "/v1/models/codr").await;
    assert_eq!((one.status, error_code(&one).as_str()), (404, "model_not_found"));
}

#[tokio::test]
async fn embeddings_go_where_they_are_told_and_nowhere_else() {
    let (coder, large) = (Model::with(&["status-500@1"]).await, Model::honest().await);
    let rig = Setup::new().expert("coder", coder.addr, "").large(large.addr, "").start().await;
    let embed = |model: &str| format!(r#"{{"model":"{model}","input":"@panic hello"}}"#);
    let post = async |model: &str| post_json(rig.addr(), "/v1/embeddings", &[], &embed(model)).await;
    let failed = post("coder").await;
    assert_eq!((failed.status, error_code(&failed).as_str()), (502, "upstream_error"));
    assert_eq!(large.requests(), 0, "another model's vectors cannot be compared");
    let good = post("coder").await;
    assert_eq!((good.status, good.header("x-mixgate-reason")), (200, Some("pinned")));
    let record = rig.record_of(&good).await;
    assert_eq!((&record["endpoint"], &record["outcome"]), (&"embeddings".into(), &"ok".into()));
    let auto = post("auto").await;
    assert_eq!((auto.status, error_code(&auto).as_str()), (400, "invalid_value"));
    assert_eq!(coder.requests(), 2);
}

#[tokio::test]
async fn legacy_completions_are_routed_too() {
    let (_coder, _large, setup) = coder_and_large().await;
    let rig = setup.start().await;
    let reply =
        post_json(rig.addr(), "/v1/completions", &[], r#"{"model":"auto","prompt":"@code fn main"}"#).await;
    rig.tells(&reply, "coder", "routed").await;
    assert_eq!(rig.metric("requests_total", &[("endpoint", "completions"), ("outcome", "ok")]).await, 1.0);
}
