//! A rule on a domain holds for the whole request, wherever in it the domain shows, and where nobody can tell.

use crate::harness::{Json, Model, Rig, Setup, StandIn, chat, json, message};
use gateway::classify::Classifier;
use gateway::wide::MAX_READ;
use router_model::{Attribution, Scores};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{Reply, post_json};

const RULES: &str = "rules: [{ when: { domain: [finance, legal, medical] }, require: [indemnified] }]";
const PATIENT: &str = "router: { deadline: 1s }";
const PENSION: &str = "Should I move my pension fund from bonds into an index fund before the interest rate decision, and how are the capital gains taxed?";
const STORY: &str = "Write a short story about a cat that lives in a garden full of flowers. ";

/// `big`, the fallback, is good at everything and not indemnified; `safe` is.
async fn setup() -> (Model, Setup) {
    let model = Model::honest().await;
    let safe =
        "governance: { indemnified: true }, context_window: 2000000, capabilities: [tools, json_schema]";
    let setup = Setup::new().expert("safe", model.addr, safe).large(model.addr, "context_window: 2000000");
    (model, setup)
}

async fn real() -> (Model, Rig) {
    let (model, setup) = setup().await;
    (model, setup.section(RULES).section(PATIENT).start_real().await)
}

async fn expert_of(rig: &Rig, messages: &Json) -> String {
    expert(&rig.chat(&json!({"model": "auto", "messages": messages}).to_string()).await)
}

fn expert(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-mixgate-expert").unwrap_or_default().to_owned()
}

/// The domain of the passage that made a rule apply.
async fn seen(rig: &Rig, body: &Json) -> Json {
    let reply = post_json(rig.addr(), "/v1/route", &[], &body.to_string()).await;
    let told = &json(&reply.body)["rules"];
    assert_eq!(told["unknown"], Json::Null, "{}", reply.text());
    told["passage"]["domain"].clone()
}

fn user(content: &str) -> Json {
    json!({"role": "user", "content": content})
}

#[tokio::test]
async fn a_question_is_seen_wherever_it_stands_in_the_conversation() {
    let (_model, rig) = real().await;
    let call = |arguments: &str| json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look_up", "arguments": arguments}}]});
    let thanks = user("Write a short story about a cat in a garden, please, with a happy end.");
    let long =
        |before: usize, after: usize| user(&(STORY.repeat(before) + PENSION + " " + &STORY.repeat(after)));
    let words: Vec<Json> = PENSION.split(' ').map(|word| json!({"type": "text", "text": word})).collect();
    for (place, messages) in [
        ("plain", json!([user(PENSION)])),
        ("a wrapper", json!([user(&format!("<environment_context>{PENSION}</environment_context>{STORY}"))])),
        ("an unclosed wrapper", json!([user(&format!("{STORY}<tool_result {PENSION}"))])),
        ("the system prompt", json!([{"role": "system", "content": PENSION}, thanks])),
        ("the developer's prompt", json!([{"role": "developer", "content": PENSION}, thanks])),
        ("an earlier turn", json!([user(PENSION), {"role": "assistant", "content": "Yes."}, thanks])),
        ("an answer", json!([user(STORY), {"role": "assistant", "content": PENSION}, thanks])),
        (
            "thoughts",
            json!([user(STORY), {"role": "assistant", "content": "x", "reasoning_content": PENSION}, thanks]),
        ),
        (
            "a tool's answer",
            json!([thanks, call("{}"), {"role": "tool", "tool_call_id": "1", "content": PENSION}]),
        ),
        (
            "a tool call",
            json!([thanks, call(&json!({"query": PENSION}).to_string()), {"role": "tool", "tool_call_id": "1", "content": "ok"}]),
        ),
        (
            "a tool result of another dialect",
            json!([thanks, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": PENSION}]}]}]),
        ),
        ("parts of one word", json!([{"role": "user", "content": words}])),
        ("the middle of 18 KiB", json!([long(160, 100)])),
        ("behind the head", json!([long(115, 200)])),
        ("the middle of 50 KiB", json!([long(350, 350)])),
    ] {
        assert_eq!(expert_of(&rig, &messages).await, "safe", "{place}");
        if place != "plain" && place != "parts of one word" {
            let body = json!({"model": "auto", "messages": messages});
            assert_eq!(seen(&rig, &body).await, "finance", "{place}");
        }
    }
    // what no expert takes goes to no other either
    for part in [
        json!({"type": "hologram", "hologram": {"caption": PENSION}}),
        json!({"type": "document", "source": {"type": "text", "data": PENSION}}),
        json!({"type": "file", "file": {"filename": PENSION}}),
    ] {
        let messages = json!([{"role": "user", "content": [{"type": "text", "text": STORY}, part]}]);
        let reply = rig.chat(&json!({"model": "auto", "messages": messages}).to_string()).await;
        let says = message(&reply);
        assert!(says.contains("large: lacks required tag indemnified"), "{part}: {says}");
    }
}

#[tokio::test]
async fn a_question_is_seen_in_the_fields_beside_the_messages() {
    let (_model, rig) = real().await;
    let tool = json!([{"type": "function", "function": {"name": "f", "description": PENSION}}]);
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"a": {"type": "string", "description": PENSION}}}}});
    for (field, value) in [
        ("tools", tool),
        ("response_format", schema),
        ("prediction", json!({"type": "content", "content": PENSION})),
        ("documents", json!([{"title": "a", "text": PENSION}])),
    ] {
        let mut body = json!({"model": "auto", "messages": [user(STORY)]});
        assert_eq!(seen(&rig, &body).await, Json::Null, "without {field}");
        body[field] = value;
        assert_eq!(seen(&rig, &body).await, "finance", "{field}");
    }
    let prompts = json!({"model": "auto", "prompt": [STORY, PENSION]}).to_string();
    assert_eq!(expert(&post_json(rig.addr(), "/v1/completions", &[], &prompts).await), "safe");
}

#[tokio::test]
async fn ordinary_requests_are_not_moved() {
    let (_model, rig) = real().await;
    let call = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}]});
    for messages in [
        json!([user(STORY)]),
        json!([user(&STORY.repeat(300))]),
        json!([user("Write a Python function that reverses a linked list in place, with unit tests.")]),
        json!([{"role": "system", "content": "You are a helpful assistant. Answer in the language of the user."}, user("Who painted the Mona Lisa, and in which museum does it hang?")]),
        json!([user("What is the weather like in Paris today?"), call, {"role": "tool", "tool_call_id": "1", "content": "{\"temp_c\": 18, \"sky\": \"cloudy\"}"}]),
    ] {
        assert_eq!(expert_of(&rig, &messages).await, "large", "{messages:.300}");
    }
}

#[tokio::test]
async fn what_is_no_text_that_the_router_knows_is_unknown() {
    let (_model, rig) = real().await;
    for text in ["", "?!?! ... ---", "qwzx vbrtk plmqz xkcdw", "000 111 222"] {
        assert_eq!(expert_of(&rig, &json!([user(text)])).await, "safe", "{text}");
    }
    let ids =
        json!({"model": "auto", "prompt": [[15496, 995], "Write a Python function that reverses a list"]});
    let reply = post_json(rig.addr(), "/v1/completions", &[], &ids.to_string()).await;
    assert_eq!(reply.header("x-mixgate-expert"), Some("safe"), "{}", reply.text());
}

/// The stand-in of the harness, counting what it is asked.
#[derive(Debug, Default)]
struct Counting(StandIn, AtomicUsize);

impl Classifier for Counting {
    fn domains(&self) -> &[String] {
        self.0.domains()
    }

    fn version(&self) -> &str {
        self.0.version()
    }

    fn score(&self, text: &str, give_up: &mut dyn FnMut() -> bool) -> Option<Scores> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.score(text, give_up)
    }

    fn explain(&self, text: &str, of: &dyn Fn(&Scores) -> f32) -> Vec<Attribution> {
        self.0.explain(text, of)
    }
}

/// How often the router model is asked for a request of 20 KiB under these rules.
async fn readings(rules: &str, prompt: &str) -> usize {
    let (_model, setup) = setup().await;
    let counting = Arc::new(Counting::default());
    let rig = setup.section(rules).section(PATIENT).start_with(Arc::<Counting>::clone(&counting)).await;
    let text = format!("{prompt} {}", STORY.repeat(280));
    expert(&rig.chat(&chat("auto", &text)).await);
    counting.1.load(Ordering::Relaxed)
}

#[tokio::test]
async fn only_rules_on_domains_that_do_not_apply_yet_have_the_whole_request_read() {
    assert_eq!(readings("", "@chat").await, 1);
    assert_eq!(readings("rules: [{ require: [indemnified] }]", "@chat").await, 1);
    assert_eq!(readings(RULES, "@legal").await, 1, "it applies already");
    assert!(readings(RULES, "@chat").await > 100);
}

#[tokio::test]
async fn it_applies_where_the_wider_reading_does_not_come_to_its_end() {
    for hidden in ["@slow", "@panic", "@nonsense"] {
        let (_model, setup) = setup().await;
        let rig = setup.section(RULES).start().await;
        let system = json!({"role": "system", "content": hidden});
        let reply = expert_of(&rig, &json!([user(STORY)])).await;
        assert_eq!(reply, "large");
        let reply = expert_of(&rig, &json!([system, user(STORY)])).await;
        assert_eq!(reply, "safe", "{hidden}");
        let without = chat("auto", &STORY.repeat(2));
        assert_eq!(expert(&rig.chat(&without).await), "large", "the next request is read again");
    }
}

#[tokio::test]
async fn it_applies_to_more_text_than_is_read() {
    let (_model, setup) = setup().await;
    let rig = setup.section(RULES).section(PATIENT).start().await;
    let sized = |bytes: usize| json!([user(&"word ".repeat(bytes / 5))]);
    assert_eq!(expert_of(&rig, &sized(MAX_READ - 100)).await, "large");
    assert_eq!(expert_of(&rig, &sized(MAX_READ + 100)).await, "safe");
    let image = format!("data:image/png;base64,{}", "iVBORw0KGgo".repeat(20_000));
    let image = json!({"type": "image_url", "image_url": {"url": image}});
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": STORY}, image]}]);
    assert_eq!(expert_of(&rig, &messages).await, "large", "an image is no text");
}

#[tokio::test]
async fn a_passage_counts_from_the_probability_of_the_rule_on_where_it_is_the_likeliest() {
    for (at, chance, who) in [("0.6", "0.6", "safe"), ("0.6", "0.59", "large"), ("0.2", "0.45", "large")] {
        let (_model, setup) = setup().await;
        let rules = format!("rules: [{{ when: {{ domain: [legal], at: {at} }}, require: [indemnified] }}]");
        let rig = setup.section(&rules).section(PATIENT).start().await;
        let system = json!({"role": "system", "content": format!("@legal={chance} x")});
        assert_eq!(expert_of(&rig, &json!([system, user(&STORY.repeat(2))])).await, who, "{chance} at {at}");
        let first = expert_of(&rig, &json!([user(&format!("@legal={chance} x"))])).await;
        assert_eq!(first, if chance < at { "large" } else { "safe" }, "{chance} at {at}, plain");
    }
}
