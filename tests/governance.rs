//! Hard constraints hold where they are easiest to lose: no scores, a forced expert, the next candidate.

use crate::harness::{Json, Model, Rig, Setup, chat, error_code, json, message, with};
use testkit::{Reply, Upstream, post_json, soon, status};

const LEGAL: &str = "rules: [{ when: { domain: [legal] }, require: [indemnified] }]";
const SAFE: &str = "governance: { indemnified: true }";

/// Two experts good at everything asked here, the second one indemnified as the fallback is where `large` says so.
async fn rig(large: &str, rules: &str) -> (Model, Model, Rig) {
    let (plain, fallback) = (Model::honest().await, Model::honest().await);
    let setup = Setup::new().expert("plain", plain.addr, "quality: { code: 1, legal: 1, general: 1 }");
    let rig = setup.large(fallback.addr, large).section(rules).start().await;
    (plain, fallback, rig)
}

/// The same, where this is said of the first.
async fn rig_with_plain(more: &str) -> (Model, Model, Rig) {
    let (plain, fallback) = (Model::honest().await, Model::honest().await);
    let setup = Setup::new().expert("plain", plain.addr, &format!("quality: {{ code: 1 }}, {more}"));
    let rig = setup.large(fallback.addr, "").start().await;
    (plain, fallback, rig)
}

#[tokio::test]
async fn a_rule_on_a_domain_moves_its_requests() {
    let (plain, _large, rig) = rig(SAFE, LEGAL).await;
    let reply = rig.chat(&chat("auto", "@legal is this binding")).await;
    rig.tells(&reply, "large", "ineligible").await;
    assert_eq!(plain.requests(), 0);
}

#[tokio::test]
async fn a_record_names_the_rule_that_shuts_an_expert_out_and_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("decisions.jsonl");
    let sections = format!(
        "log: {{ decisions: '{}' }}
policies: {{ balanced: {{ tolerance: 0.2 }}, strict: {{ tolerance: 0.2, require: [indemnified] }} }}
rules:
  - {{ when: {{ domain: [code] }}, require: [indemnified] }}
  - when: {{ domain: [legal] }}
    forbid: ['trained_on:web']",
        log.display()
    );
    let model = Model::honest().await;
    let known = "quality: { code: 1, legal: 1, general: 1 }, governance: { trained_on: [web] }";
    let large = "governance: { indemnified: true, trained_on: [] }";
    let setup = Setup::new().expert("plain", model.addr, known).large(model.addr, large).section(&sections);
    let yaml = setup.yaml();
    let named = |rule: usize, start: &str| {
        let line = yaml.lines().position(|line| line.contains(start)).unwrap() + 1;
        Json::from(format!("rules[{rule}], test.yaml:{line}"))
    };
    let rig = setup.start().await;
    for (model, prompt, why, rule) in [
        ("auto", "@code x", "lacks required tag indemnified", named(0, "domain: [code]")),
        ("auto", "@legal x", "forbidden tag trained_on:web", named(1, "domain: [legal]")),
        ("auto:strict", "@general x", "lacks required tag indemnified", Json::Null),
    ] {
        let asked = chat(model, prompt);
        let reply = rig.chat(&asked).await;
        assert_eq!(reply.header("x-mixgate-expert"), Some("large"), "{prompt}");
        let dry = json(&post_json(rig.addr(), "/v1/route", &[], &asked).await.body);
        let record = rig.record_of(&reply).await;
        let id = record["id"].as_str().unwrap();
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        let written = || read().lines().map(str::to_owned).find(|line| line.contains(id));
        soon("the line of the log", || async { written().is_some() }).await;
        for told in [&dry, &record, &json(written().unwrap().as_bytes())] {
            let (plain, large) = (&told["candidates"][0], &told["candidates"][1]);
            assert_eq!((&plain["why_not"], &plain["rule"]), (&why.into(), &rule), "{told}");
            assert!(large["why_not"].is_null() && large.get("rule").is_none(), "{told}");
        }
    }
}

#[tokio::test]
async fn it_applies_when_the_router_misses_its_deadline_or_fails() {
    for prompt in ["@slow", "@panic", "@nonsense"] {
        let (plain, large, rig) = rig("", LEGAL).await;
        let reply = rig.chat(&chat("auto", prompt)).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, "no_eligible_expert"), "{prompt}");
        assert!(message(&reply).contains("lacks required tag indemnified"), "{}", reply.text());
        assert_eq!((plain.requests(), large.requests()), (0, 0));
        let record = rig.record_of(&reply).await;
        let told = (&record["reason"], &record["outcome"], &record["candidates"][0]["why_not"]);
        let expected = ("ineligible", "client_error", "lacks required tag indemnified");
        assert_eq!(told, (&expected.0.into(), &expected.1.into(), &expected.2.into()), "{record}");
    }
}

#[tokio::test]
async fn it_applies_to_a_forced_and_to_a_pinned_expert() {
    let (plain, _large, rig) = rig(SAFE, LEGAL).await;
    let forced = rig.chat_with(&[("x-mixgate-expert", "plain")], &chat("auto", "@legal x")).await;
    let pinned = rig.chat(&chat("plain", "@legal x")).await;
    for reply in [forced, pinned] {
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, "no_eligible_expert"));
        assert!(message(&reply).contains("plain: lacks required tag"), "{}", reply.text());
    }
    assert_eq!(plain.requests(), 0);
    assert_eq!(rig.chat(&chat("plain", "@code x")).await.status, 200, "other domains are free");
}

#[tokio::test]
async fn it_applies_at_every_fallback_hop() {
    let safe = Model::with(&["status-503"]).await;
    let fallback = Model::honest().await;
    let quality = format!("quality: {{ legal: 1 }}, {SAFE}");
    let rig = Setup::new()
        .expert("safe", safe.addr, &quality)
        .large(fallback.addr, "")
        .section(LEGAL)
        .start()
        .await;
    for model in ["auto", "safe"] {
        let reply = rig.chat(&chat(model, "@legal x")).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (502, "upstream_error"), "{model}");
    }
    assert_eq!(fallback.requests(), 0, "the fallback is not indemnified");
    assert_eq!(rig.chat(&chat("safe", "@code x")).await.header("x-mixgate-expert"), Some("large"));
}

#[tokio::test]
async fn a_header_only_tightens() {
    let (plain, _large, rig) = rig(SAFE, "").await;
    let reply = rig.chat_with(&[("x-mixgate-require", "indemnified")], &chat("auto", "@code x")).await;
    assert_eq!(reply.header("x-mixgate-expert"), Some("large"));
    assert_eq!(plain.requests(), 0);
}

#[tokio::test]
async fn a_header_names_tags_that_are_configured_few_and_short() {
    let long = "t".repeat(64);
    let governance = format!("governance: {{ tags: [{long}, {long}t, house] }}");
    let (_plain, large, rig) = rig_with_plain(&governance).await;
    let asked = async |tags: &str| {
        let reply = rig.chat_with(&[("x-mixgate-require", tags)], &chat("auto", "@code x")).await;
        (reply.status, error_code(&reply), message(&reply))
    };
    for tags in [&*long, "house", &["house"; 16].join(", ")] {
        let reply = rig.chat_with(&[("x-mixgate-require", tags)], &chat("auto", "@code x")).await;
        assert_eq!(reply.header("x-mixgate-expert"), Some("plain"), "{tags}");
    }
    for (tags, says) in [
        (format!("{long}t"), "more than 64 bytes"),
        (["house"; 17].join(","), "more than 16 tags"),
        ("house,region:moon".to_owned(), "`region:moon`"),
        ("hause".to_owned(), "`house`"),
        ("x".repeat(60_000), "more than 64 bytes"),
    ] {
        let (status, code, said) = asked(&tags).await;
        assert_eq!((status, code.as_str()), (400, "invalid_value"), "{tags:.80}");
        assert!(said.contains(says) && said.len() < 400, "{said:.400}");
    }
    let unknown = "p".repeat(60_000);
    let said = message(&rig.chat_with(&[("x-mixgate-policy", &unknown)], &chat("auto", "@code x")).await);
    assert!(said.len() < 400, "{} bytes of a header come back", said.len());
    assert_eq!(large.requests(), 0);
}

#[tokio::test]
async fn an_expert_takes_what_it_can_answer_and_its_parts_and_length_are_part_of_that() {
    let (plain, _large, rig) =
        rig_with_plain("context_window: 2500, max_output_tokens: 100, capabilities: [vision]").await;
    let expert = async |body: &str| rig.chat(body).await.header("x-mixgate-expert").map(str::to_owned);
    let part = |kind: &str| {
        format!(
            r#"{{"model":"auto","messages":[{{"role":"user","content":[{{"type":"text","text":"@code x"}},{{"type":"{kind}","{kind}":{{}}}}]}}]}}"#
        )
    };
    let long = "word ".repeat(2400);
    for (body, who) in [
        (with("auto", "@code x", ""), "plain"),
        (with("auto", "@code x", ",\"max_tokens\":100.0"), "plain"),
        (with("auto", "@code x", ",\"max_tokens\":-1"), "plain"),
        (with("auto", "@code x", ",\"max_tokens\":101"), "large"),
        (with("auto", "@code x", ",\"reasoning_effort\":\"none\""), "plain"),
        (with("auto", "@code x", ",\"reasoning\":{\"effort\":\"low\"}"), "large"),
        (
            with("auto", "@code x", &format!(",\"response_format\":{{\"type\":\"text\",\"x\":\"{long}\"}}")),
            "large",
        ),
        (part("image_url"), "plain"),
        (part("file"), "large"),
        (part("video_url"), "large"),
        (part("hologram"), "large"),
    ] {
        assert_eq!(expert(&body).await.as_deref(), Some(who), "{body:.160}");
    }
    assert_eq!(plain.requests(), 5);
}

#[tokio::test]
async fn an_expert_that_does_not_say_what_it_was_trained_on_is_no_safe_choice() {
    let rules = "rules: [{ forbid: [\"trained_on:social-media\"] }]";
    let (plain, _large, rig) = rig("governance: { trained_on: [web] }", rules).await;
    let reply = rig.chat(&chat("auto", "@code x")).await;
    assert_eq!(reply.header("x-mixgate-expert"), Some("large"));
    assert_eq!(plain.requests(), 0);
}

#[tokio::test]
async fn abilities_and_context_move_a_request() {
    let (plain, _large, rig) = rig("context_window: 100000", "").await;
    let long = "x ".repeat(30_000);
    for body in [
        with("auto", "@code x", r#","tools":[{"type":"function","function":{"name":"f"}}]"#),
        with(
            "auto",
            "@code x",
            r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}"#,
        ),
        chat("auto", &format!("@code {long}")),
    ] {
        let reply = rig.chat(&body).await;
        assert_eq!(
            (reply.status, reply.header("x-mixgate-expert")),
            (200, Some("large")),
            "{}",
            reply.text()
        );
    }
    assert_eq!(plain.requests(), 0);
    let reply = rig.chat(&chat("auto", &"x ".repeat(400_000))).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (400, "context_length_exceeded"));
}

#[tokio::test]
async fn keys_are_needed_and_open_what_their_tenant_may_use() {
    let hash = |key: &str| gateway::auth::KeyHash::of(key).to_string();
    let tenants = format!(
        "tenants: [{{ name: acme, keys: [\"{}\", \"{}\"], experts: [plain] }}]",
        hash("old-key"),
        hash("new-key")
    );
    let (_plain, large, rig) = rig("", &tenants).await;
    let body = chat("auto", "@code x");
    for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic old-key")]] {
        let reply = rig.chat_with(headers, &body).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (401, "invalid_api_key"), "{headers:?}");
    }
    for headers in
        [("authorization", "Bearer old-key"), ("authorization", "Bearer new-key"), ("x-api-key", "new-key")]
    {
        assert_eq!(rig.chat_with(&[headers], &body).await.status, 200, "{headers:?}");
    }
    let reply = rig.chat_with(&[("x-api-key", "new-key")], &chat("large", "@code x")).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (403, "model_not_allowed"));
    let reply = rig.chat_with(&[("x-api-key", "new-key")], &chat("auto", "@math x")).await;
    assert_eq!(reply.header("x-mixgate-expert"), Some("plain"), "the fallback is not on the list");
    let reply = rig.chat_with(&[("x-api-key", "new-key")], &chat("auto", &"x ".repeat(30_000))).await;
    let told = (reply.status, error_code(&reply));
    assert_eq!(told, (400, "context_length_exceeded".to_owned()), "a shorter one would be taken");
    assert_eq!(large.requests(), 0);
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let elsewhere = Model::honest().await;
    let to = format!("http://{}/v1/chat/completions", elsewhere.addr);
    for code in [301, 302, 307, 308] {
        let upstream = Upstream::script(status(code, &[("location", &to)])).await;
        let rig = Setup::new().large(upstream.addr(), "").start().await;
        let reply = rig.chat(&chat("large", "hello")).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (502, "upstream_error"), "{code}");
    }
    assert_eq!(elsewhere.requests(), 0, "the prompt went where no configuration says");
}

/// An embedding by this model.
async fn embed(rig: &Rig, model: &str, headers: &[(&str, &str)]) -> Reply {
    let body = format!(r#"{{"model":"{model}","input":"@code x"}}"#);
    post_json(rig.addr(), "/v1/embeddings", headers, &body).await
}

#[tokio::test]
async fn embeddings_go_only_to_what_the_tenant_may_use() {
    let hash = |key: &str| gateway::auth::KeyHash::of(key).to_string();
    let sections = format!(
        "tenants:\n  - {{ name: listed, keys: [\"{}\"], experts: [plain] }}\n  - {{ name: ruled, keys: [\"{}\"] }}\n\
         rules: [{{ when: {{ tenant: ruled }}, require: [indemnified] }}]",
        hash("listed-key"),
        hash("ruled-key")
    );
    let (plain, large, rig) = rig(SAFE, &sections).await;
    let cases = [
        ("listed-key", "plain", 200, ""),
        ("listed-key", "large", 403, "model_not_allowed"),
        ("listed-key", "large-model", 403, "model_not_allowed"),
        ("ruled-key", "large", 200, ""),
        ("ruled-key", "plain", 400, "no_eligible_expert"),
        ("ruled-key", "plain-model", 400, "no_eligible_expert"),
    ];
    for (key, model, status, code) in cases {
        let reply = embed(&rig, model, &[("x-api-key", key)]).await;
        assert_eq!(reply.status, status, "{key} {model}: {}", reply.text());
        assert!(status == 200 || error_code(&reply) == code, "{key} {model}: {}", reply.text());
    }
    let forced = embed(&rig, "large", &[("x-api-key", "ruled-key"), ("x-mixgate-expert", "plain")]).await;
    assert_eq!(error_code(&forced), "no_eligible_expert", "a header opens nothing");
    assert_eq!((plain.requests(), large.requests()), (1, 1));
}

#[tokio::test]
async fn a_rule_on_a_domain_holds_for_embeddings_whose_domain_nobody_knows() {
    let (plain, large, rig) = rig(SAFE, LEGAL).await;
    let reply = embed(&rig, "plain", &[]).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (400, "no_eligible_expert"));
    assert!(message(&reply).contains("plain: lacks required tag indemnified"), "{}", reply.text());
    assert_eq!(embed(&rig, "large", &[]).await.status, 200);
    assert_eq!((plain.requests(), large.requests()), (0, 1));
}

#[tokio::test]
async fn a_header_tightens_embeddings_too() {
    let (plain, _large, rig) = rig(SAFE, "").await;
    let reply = embed(&rig, "plain", &[("x-mixgate-require", "indemnified")]).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (400, "no_eligible_expert"));
    assert_eq!(plain.requests(), 0);
}

#[tokio::test]
async fn embeddings_are_not_chosen_for_the_client() {
    let (plain, large, rig) = rig(SAFE, "aliases: { vectors: auto }").await;
    for model in ["auto", "auto:balanced", "vectors"] {
        let reply = embed(&rig, model, &[]).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, "invalid_value"), "{model}");
        assert!(message(&reply).contains("name the model"), "{}", reply.text());
    }
    assert_eq!((plain.requests(), large.requests()), (0, 0));
}

#[tokio::test]
async fn embeddings_of_a_model_that_fails_go_to_no_other() {
    let (down, busy, large) =
        (Model::with(&["status-503"]).await, Model::with(&["status-429"]).await, Model::honest().await);
    let setup = Setup::new().expert("down", down.addr, "").expert("busy", busy.addr, "");
    let rig = setup.large(large.addr, "").start().await;
    for (model, status) in [("down", 502), ("busy", 429)] {
        let reply = embed(&rig, model, &[]).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(rig.record_of(&reply).await["chosen"], model);
    }
    assert_eq!(large.requests(), 0);
}

/// `open` asks for nothing, `strict` for indemnified models; `bank` may use `strict`, `acme` only `large`.
async fn two_tenants(default: &str) -> (Model, Model, Rig) {
    let (plain, large) = (Model::honest().await, Model::honest().await);
    let hash = |key: &str| gateway::auth::KeyHash::of(key).to_string();
    let sections = format!(
        "policies: {{ open: {{ tolerance: 0.1 }}, strict: {{ tolerance: 0.1, require: [indemnified] }} }}\nrouter: {{ policy: {default}, deadline: 100ms }}\ntenants: [{{ name: bank, keys: ['{}'], policies: [strict] }}, {{ name: acme, keys: ['{}'], experts: [large] }}]",
        hash("bank-key"),
        hash("acme-key")
    );
    let more = "model: PLAIN_MODEL, quality: { general: 1 }";
    let setup = Setup::new().expert("plain", plain.addr, more).large(large.addr, SAFE);
    (plain, large, setup.section(&sections).start().await)
}

async fn as_tenant(rig: &Rig, who: &str, model: &str, headers: &[(&str, &str)]) -> Reply {
    let key = format!("Bearer {who}-key");
    rig.chat_with(&[&[("authorization", &*key)], headers].concat(), &chat(model, "hello")).await
}

#[tokio::test]
async fn no_header_loosens_what_a_policy_requires() {
    let policy = |name| ("x-mixgate-policy", name);
    for default in ["strict", "open"] {
        let (plain, _large, rig) = two_tenants(default).await;
        for (model, headers, status) in [
            ("plain", vec![], 400),
            ("plain", vec![policy("open")], 403),
            ("plain", vec![policy("strict")], 400),
            ("auto", vec![policy("open")], 403),
            ("auto:open", vec![], 403),
            ("auto:strict", vec![policy("open"), ("x-mixgate-expert", "plain")], 403),
            ("auto:strict", vec![("x-mixgate-expert", "plain")], 400),
            ("auto:open", vec![("x-mixgate-expert", "plain")], 403),
            ("auto:open", vec![("x-mixgate-expert", "large")], 403),
            ("auto:strict", vec![], 200),
            ("large", vec![], 200),
        ] {
            let reply = as_tenant(&rig, "bank", model, &headers).await;
            assert_eq!(reply.status, status, "{default}: {model} {headers:?} {}", reply.text());
        }
        assert_eq!(plain.requests(), 0, "{default}");
    }
}

#[tokio::test]
async fn what_is_required_in_several_lines_is_all_required() {
    let (plain, large) = (Model::honest().await, Model::honest().await);
    let place = "governance: { regions: [eu] }";
    let rig = Setup::new().expert("plain", plain.addr, place).large(large.addr, SAFE).start().await;
    let require = |tags| ("x-mixgate-require", tags);
    for (lines, status) in [
        (vec![require("region:eu")], 200),
        (vec![require("region:eu, indemnified")], 400),
        (vec![require("region:eu"), require("indemnified")], 400),
        (vec![require(""), require("indemnified")], 400),
        (vec![require("region:eu"), require(""), require("region:eu")], 200),
    ] {
        let reply = rig.chat_with(&lines, &chat("plain", "hello")).await;
        assert_eq!(reply.status, status, "{lines:?} {}", reply.text());
    }
    // of what is one value, two are a contradiction
    for name in ["x-mixgate-expert", "x-mixgate-policy", "x-mixgate-session"] {
        let reply = rig.chat_with(&[(name, "balanced"), (name, "frugal")], &chat("auto", "hello")).await;
        assert_eq!(reply.status, 400, "{name}");
        assert!(reply.text().contains("must stand once"), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_policy_named_by_header_adds_to_the_one_it_takes_the_place_of() {
    let (plain, large) = (Model::honest().await, Model::honest().await);
    let sections = "policies: { open: { tolerance: 0.1 }, strict: { tolerance: 0.1, require: [indemnified] } }\nrouter: { policy: strict, deadline: 100ms }";
    let setup = Setup::new().expert("plain", plain.addr, "quality: { general: 1 }").large(large.addr, SAFE);
    let rig = setup.section(sections).start().await;
    let open = [("x-mixgate-policy", "open")];
    assert_eq!(rig.chat_with(&open, &chat("plain", "hello")).await.status, 400);
    assert_eq!(rig.chat_with(&open, &chat("auto", "hello")).await.header("x-mixgate-expert"), Some("large"));
    let chosen = rig.chat(&chat("auto:open", "hello")).await;
    assert_eq!(chosen.header("x-mixgate-expert"), Some("plain"), "`model` is the caller's to choose");
}

#[tokio::test]
async fn a_tenant_hears_of_no_expert_and_no_policy_but_its_own() {
    let (_plain, _large, rig) = two_tenants("open").await;
    let tools = with(
        "auto",
        "hello",
        r#","tools":[{"type":"function","function":{"name":"f"}}],"modalities":["text"],"x":1"#,
    );
    let key = [("authorization", "Bearer acme-key")];
    let bank = [("authorization", "Bearer bank-key")];
    let mut said = vec![
        as_tenant(&rig, "acme", "plian", &[]).await,
        as_tenant(&rig, "acme", "auto", &[("x-mixgate-expert", "plai")]).await,
        as_tenant(&rig, "acme", "auto", &[("x-mixgate-require", "indemnified,nothing")]).await,
        as_tenant(&rig, "acme", "auto", &[("x-mixgate-require", "zzz")]).await,
        rig.chat_with(&key, &tools).await,
        post_json(rig.addr(), "/v1/route", &key, &chat("auto", "hello")).await,
    ];
    // another name of it tells the one that was written, and no more
    let reply = as_tenant(&rig, "acme", "PLAIN_MODEL", &[]).await;
    assert_eq!((reply.status, reply.text().contains("`PLAIN_MODEL`")), (403, true), "{}", reply.text());
    said.push(reply);
    for path in ["/v1/models", "/v1/models/plian"] {
        let mut client = testkit::Client::connect(rig.addr()).await;
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer acme-key\r\n\r\n");
        client.send(head).await;
        said.push(client.reply().await);
    }
    for reply in said {
        let all = format!("{} {:?}", reply.text(), reply.headers);
        assert!(!all.contains("plain"), "{all}");
    }
    let unknown =
        rig.chat_with(&[&bank[..], &[("x-mixgate-policy", "opem")]].concat(), &chat("auto", "x")).await;
    assert!(!unknown.text().contains("`open`"), "{}", unknown.text());
}

#[tokio::test]
async fn conversations_belong_to_the_tenants_name_not_to_its_place() {
    use gateway::session::Sessions;
    use std::sync::Arc;
    let body = chat("auto", "hello");
    let ask = gateway::ask::Ask::parse(gateway::api::Dialect::Chat, body.as_bytes()).unwrap();
    let (sessions, text) = (Sessions::new(8), gateway::text::routable(&ask));
    let of = |name: &str| sessions.identify(Some(&Arc::from(name)), Some("s"), &ask, &text).0;
    assert_eq!(of("acme"), of("acme"));
    assert_ne!(of("acme"), of("bank"));
}
