//! The large model can fail: others stand in for it, then the best expert answers, within the retry budget.

use crate::harness::{ANSWER, Model, Rig, Setup, chat, error_code, streamed};
use std::time::Duration;
use testkit::{PATIENCE, Reply, Step, Upstream, chunk, json, soon, sse_head, status, within};

/// How long a circuit is open at first, and a moment.
const OPEN: Duration = Duration::from_millis(5100);

async fn sick() -> Upstream {
    Upstream::script(status(500, &[])).await
}

fn told(reply: &Reply) -> (u16, Option<&str>, Option<&str>) {
    (reply.status, reply.header("x-mixgate-expert"), reply.header("x-mixgate-reason"))
}

/// `coder` with a figure, `second` and `large` as fallbacks.
async fn rig(coder: &Model, second: &Upstream, large: &Upstream, more: &str) -> Rig {
    let setup = Setup::new().expert("coder", coder.addr, "quality: { code: 0.9, general: 0.3 }");
    let setup = setup.expert("second", second.addr(), "").large(large.addr(), "");
    setup.fallbacks(&["large", "second"]).section(more).start().await
}

#[tokio::test]
async fn who_stands_in_for_the_fallback_answers_while_it_fails() {
    let (coder, second, large) =
        (Model::honest().await, Upstream::script(json(200, ANSWER)).await, sick().await);
    let rig = rig(&coder, &second, &large, "").await;
    for model in ["auto", "large"] {
        let reply = rig.chat(&chat(model, "hello")).await;
        assert_eq!(told(&reply), (200, Some("second"), Some("upstream_failure")), "{model}");
        let record = rig.record_of(&reply).await;
        let cost = |key: &str| record[key].as_f64().unwrap();
        assert!(cost("baseline_cost_usd") > cost("cost_usd"), "the baseline is the first: {record}");
    }
    assert_eq!(coder.requests(), 0);
}

#[tokio::test]
async fn when_every_fallback_fails_the_best_expert_answers_unless_that_is_not_wanted() {
    for (more, answers) in [
        ("", true),
        ("degrade: true", true),
        ("degrade: false", false),
        ("policies: { balanced: { tolerance: 0.05, degrade: false } }", false),
        ("degrade: false\npolicies: { balanced: { tolerance: 0.05, degrade: true } }", true),
    ] {
        let (coder, second, large) = (Model::honest().await, sick().await, sick().await);
        let rig = rig(&coder, &second, &large, more).await;
        let reply = rig.chat(&chat("auto", "hello")).await;
        if answers {
            assert_eq!(told(&reply), (200, Some("coder"), Some("upstream_failure")), "{more}");
        } else {
            assert_eq!((reply.status, error_code(&reply).as_str()), (502, "upstream_error"), "{more}");
        }
        assert_eq!(coder.requests(), u64::from(answers), "{more}");
    }
}

#[tokio::test]
async fn whoever_gets_an_error_can_find_its_record() {
    let (coder, second, large) = (Model::honest().await, sick().await, sick().await);
    let rig = rig(&coder, &second, &large, "degrade: false").await;
    let cut = r#"{"model":"large","messages":[]}"#.to_owned();
    for (body, status, code, reason, attempts) in [
        (chat("large", "hello"), 502, "upstream_error", Some("upstream_failure"), Some("2")),
        (chat("nobody", "hello"), 404, "model_not_found", None, None),
        (cut, 400, "invalid_value", None, None),
    ] {
        let reply = rig.chat(&body).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (status, code), "{body}");
        let record = rig.record_of(&reply).await;
        assert_eq!(reply.header("x-mixgate-decision"), record["id"].as_str(), "{record}");
        assert_eq!(record["error"], code, "{record}");
        assert_eq!(reply.header("x-mixgate-attempts"), attempts, "{body}");
        assert!(reason.is_none() || reply.header("x-mixgate-reason").is_some(), "{body}");
        assert_eq!(reply.header("x-mixgate-expert"), None, "nobody answered");
    }
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!((reply.status, &rig.record_of(&reply).await["error"]), (200, &serde_json::Value::Null));
}

#[tokio::test]
async fn a_model_that_was_named_is_exchanged_for_a_fallback_only() {
    let (coder, second, large) = (Model::honest().await, sick().await, sick().await);
    let rig = rig(&coder, &second, &large, "").await;
    let reply = rig.chat(&chat("large", "hello")).await;
    assert_eq!((reply.status, coder.requests()), (502, 0), "{}", reply.text());
}

#[tokio::test]
async fn a_rule_holds_for_whoever_stands_in_too() {
    let rule = "rules: [{ require: [indemnified] }]";
    let (coder, second, large) =
        (Model::honest().await, Upstream::script(json(200, ANSWER)).await, sick().await);
    let indemnified = "governance: { indemnified: true }";
    let setup = Setup::new().expert("coder", coder.addr, "quality: { general: 1 }");
    let setup = setup.expert("second", second.addr(), "").large(large.addr(), indemnified);
    let rig = setup.fallbacks(&["large", "second"]).section(rule).start().await;
    let reply = rig.chat(&chat("auto", "hello")).await;
    assert_eq!((reply.status, coder.requests(), second.requests().len()), (502, 0, 0), "{}", reply.text());
}

#[tokio::test]
async fn where_a_rule_shuts_the_fallback_out_its_stand_in_goes_before_smaller_ones() {
    let rule = "rules: [{ require: [indemnified] }]";
    let (weak, second, large) = (Model::honest().await, Model::honest().await, Model::honest().await);
    let indemnified = "governance: { indemnified: true }";
    let setup =
        Setup::new().expert("weak", weak.addr, &format!("quality: {{ general: 0.2 }}, {indemnified}"));
    let setup = setup.expert("second", second.addr, indemnified).large(large.addr, "");
    let rig = setup.fallbacks(&["large", "second"]).section(rule).start().await;
    let reply = rig.chat(&chat("auto", "@unsure")).await;
    assert_eq!(told(&reply), (200, Some("second"), Some("ineligible")));
}

#[tokio::test]
async fn over_the_retry_budget_an_expert_is_not_called_again_and_the_next_is_asked() {
    // every second call fails: a circuit never opens, as a success lies between
    let scripts = || (0..30).flat_map(|_| [status(500, &[]), json(200, ANSWER)]).collect();
    let (one, two) = (Upstream::scripts(scripts()).await, Upstream::scripts(scripts()).await);
    let large = Model::honest().await;
    for (budget, most) in [("0%", 1), ("100%", 2)] {
        let section = format!("retry: {{ budget: {budget}, min_per_second: {} }}", most - 1);
        let setup = Setup::new().expert_at_all("coder", &[one.addr(), two.addr()], "");
        let rig = setup.large(large.addr, "").section(&section).start().await;
        for _ in 0..6 {
            let before = one.requests().len() + two.requests().len();
            let reply = rig.chat(&chat("coder", "hello")).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let calls = one.requests().len() + two.requests().len() - before;
            assert!((1..=most).contains(&calls), "{budget}: {calls}");
        }
    }
    assert!(large.requests() > 0);
}

#[tokio::test]
async fn a_storm_of_failures_is_no_reason_not_to_ask_a_healthy_fallback() {
    let (coder, large) = (Model::with(&["status-503"]).await, Model::honest().await);
    let setup = Setup::new().expert("coder", coder.addr, "").large(large.addr, "");
    let rig = setup.section("retry: { budget: 0%, min_per_second: 0 }").start().await;
    for _ in 0..40 {
        assert_eq!(rig.chat(&chat("coder", "hello")).await.status, 200);
    }
    assert_eq!(large.requests(), 40);
}

#[tokio::test]
async fn a_request_that_breaks_two_endpoints_never_meets_the_second() {
    let broken = [Model::with(&["reset-before-headers"]).await, Model::with(&["reset-before-headers"]).await];
    let large = Model::honest().await;
    let at = broken.each_ref().map(|model| model.addr);
    let setup = Setup::new().expert_at_all("coder", &at, "quality: { code: 1 }");
    let rig = setup.large(large.addr, "").start().await;
    let reply = rig.chat(&chat("auto", "@code hello")).await;
    assert_eq!(told(&reply), (200, Some("large"), Some("upstream_failure")));
    assert_eq!(broken.iter().map(Model::requests).sum::<u64>(), 1);
}

#[tokio::test]
async fn what_one_fallback_refuses_the_next_may_take() {
    let too_long = json(400, r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#);
    let (large, second) = (Upstream::script(too_long).await, Model::honest().await);
    let setup = Setup::new().expert("second", second.addr, "").large(large.addr(), "");
    let rig = setup.fallbacks(&["large", "second"]).start().await;
    let reply = rig.chat(&chat("auto", "@unsure")).await;
    assert_eq!(told(&reply), (200, Some("second"), Some("upstream_failure")));
    // the client named it: it hears what it says
    assert_eq!(rig.chat(&chat("large", "hello")).await.status, 400);
}

#[tokio::test]
async fn endpoints_that_take_no_connection_do_not_keep_a_request_from_the_third() {
    let well = Model::honest().await;
    let at = format!(
        "{{ base_url: 'http://127.0.0.1:1/v1' }}, {{ base_url: 'http://127.0.0.1:2/v1' }}, {{ base_url: 'http://{}/v1' }}",
        well.addr
    );
    for _ in 0..4 {
        let rig = Setup::new().large_at(&format!("endpoints: [{at}]")).start().await;
        for _ in 0..3 {
            assert_eq!(rig.chat(&chat("large", "hello")).await.status, 200);
        }
    }
}

#[tokio::test]
async fn clients_hear_of_the_shortest_wait_of_all_who_want_to_be_left_alone() {
    for code in [429, 503] {
        let busy = |seconds: &'static str| Upstream::script(status(code, &[("retry-after", seconds)]));
        let (coder, second, large) = (busy("50").await, busy("7").await, busy("60").await);
        let setup = Setup::new().expert("coder", coder.addr(), "quality: { code: 0.9, general: 0.3 }");
        let setup = setup.expert("second", second.addr(), "").large(large.addr(), "");
        let rig = setup.fallbacks(&["large", "second"]).start().await;
        for _ in 0..2 {
            let reply = rig.chat(&chat("auto", "hello")).await;
            assert_eq!(reply.status, code);
            let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((5..=7).contains(&wait), "{code}: {wait}");
        }
    }
}

#[tokio::test]
async fn what_one_expert_refuses_while_the_others_are_busy_may_be_asked_again() {
    let coder = Upstream::script(json(400, r#"{"error":{"message":"temperature must be below 2"}}"#)).await;
    let large = Upstream::script(vec![Step::Hold]).await;
    let setup = Setup::new().expert("coder", coder.addr(), "quality: { code: 0.9, general: 0.9 }");
    let rig = setup.large(large.addr(), "max_concurrency: 1").start().await;
    let first = chat("large", "hello");
    let held = rig.chat(&first);
    let asked = async {
        within(PATIENCE, "the large model's place", async {
            while large.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        rig.chat(&chat("auto", "@code x")).await
    };
    let reply = tokio::select! { _ = held => panic!("it holds"), reply = asked => reply };
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{}", reply.text());
    assert_eq!(coder.requests().len(), 1);
}

#[tokio::test]
async fn a_refusal_that_costs_nothing_takes_nothing_from_the_budget() {
    let (coder, large) = (Upstream::script(status(401, &[])).await, Model::honest().await);
    let setup = Setup::new().expert("coder", coder.addr(), "").large(large.addr, "");
    let rig = setup.section("retry: { budget: 0%, min_per_second: 0 }").start().await;
    assert_eq!(
        told(&rig.chat(&chat("coder", "hello")).await),
        (200, Some("large"), Some("upstream_failure"))
    );
}

#[tokio::test]
async fn who_asks_to_be_left_alone_is_and_clients_hear_for_how_long_still() {
    for code in [429, 503] {
        let large = Upstream::script(status(code, &[("retry-after", "30")])).await;
        let rig = Setup::new().large(large.addr(), "").start().await;
        for outcome in [if code == 429 { "upstream_error" } else { "rejected" }, "rejected", "rejected"] {
            let reply = rig.chat(&chat("large", "hello")).await;
            assert_eq!(rig.record_of(&reply).await["outcome"], outcome, "{code}");
            let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=30).contains(&wait) && wait > 15, "{code}: {wait}");
            assert_eq!(reply.status, code, "the first and those that come while it waits");
        }
        assert_eq!(large.requests().len(), 1, "{code}");
    }
}

/// A stream that breaks off behind its first word.
fn torn() -> Vec<Step> {
    let word = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    vec![sse_head(), chunk(format!("data: {word}\n\n")), Step::Reset]
}

#[tokio::test]
async fn streams_that_break_in_their_middle_open_the_circuit() {
    let (coder, large) = (Upstream::script(torn()).await, Model::honest().await);
    let rig = Setup::new().expert("coder", coder.addr(), "").large(large.addr, "").start().await;
    for _ in 0..5 {
        let reply = rig.chat(&streamed("coder", "hello")).await;
        assert_eq!(reply.header("x-mixgate-expert"), Some("coder"));
        rig.record_of(&reply).await;
    }
    let state = [("expert", "coder")];
    assert_eq!(rig.metric("circuit_state", &state).await, 2.0);
    assert_eq!(rig.chat(&streamed("coder", "hello")).await.header("x-mixgate-expert"), Some("large"));
}

#[tokio::test]
async fn a_trial_lasts_until_the_last_byte_of_its_answer() {
    let word = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    let slow = vec![sse_head(), chunk(format!("data: {word}\n\n")), Step::Hold];
    let scripts = [vec![status(500, &[]); 5], vec![slow, json(200, ANSWER)]].concat();
    let coder = Upstream::scripts(scripts).await;
    let large = Model::honest().await;
    let rig = Setup::new().expert("coder", coder.addr(), "").large(large.addr, "").start().await;
    for _ in 0..5 {
        rig.chat(&chat("coder", "hello")).await;
    }
    let state = [("expert", "coder")];
    tokio::time::sleep(OPEN).await;
    assert_eq!(rig.metric("circuit_state", &state).await, 1.0);
    let mut trial = rig.asking(&[], &streamed("coder", "hello")).await;
    soon("the trial", || async { coder.requests().len() == 6 }).await;
    assert_eq!(trial.head().await.status, 200);
    for _ in 0..3 {
        assert_eq!(rig.chat(&chat("coder", "hello")).await.header("x-mixgate-expert"), Some("large"));
    }
    assert_eq!((rig.metric("circuit_state", &state).await, coder.requests().len()), (1.0, 6));
    drop(trial);
    coder.next_closed().await;
    soon("another trial", || async {
        rig.chat(&chat("coder", "hello")).await;
        coder.requests().len() == 7
    })
    .await;
}
