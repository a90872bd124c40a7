//! A new file is judged against what runs: it opens nothing, is taken whole, and leaves nothing of the old behind.

use crate::harness::{Model, Setup, chat};
use crate::operators::Served;
use std::time::Duration;
use testkit::{get, post_json, soon};

fn keyed(model: &Model) -> (Setup, String) {
    let key = gateway::auth::KeyHash::of("k");
    let setup = || Setup::new().large(model.addr, "governance: { indemnified: true }");
    let sections =
        format!("rules: [{{ require: [indemnified] }}]\ntenants: [{{ name: acme, keys: ['{key}'] }}]");
    (setup(), setup().section(&sections).yaml())
}

#[tokio::test]
async fn a_reload_never_takes_the_last_key_away() {
    let model = Model::honest().await;
    let (open, keyed) = keyed(&model);
    let served = Served::with(&keyed, &[], &[]).await;
    assert_eq!(served.chat(&chat("large", "hello")).await.status, 401);
    served.write_text(&open.yaml());
    let (code, told) = served.reload().await;
    assert_eq!(code, 400, "{told}");
    assert!(told["error"].as_str().unwrap().contains("no tenant is left"), "{told}");
    assert_eq!(served.chat(&chat("large", "hello")).await.status, 401);
    served.write_text(&open.server("anonymous: true").yaml());
    assert_eq!(served.reload().await.0, 200, "where it is meant, it is said");
    assert_eq!(served.chat(&chat("large", "hello")).await.status, 200);
}

#[tokio::test]
async fn a_file_that_is_half_written_is_not_taken() {
    let model = Model::honest().await;
    let (open, whole) = keyed(&model);
    let served = Served::with(&whole, &[], &[]).await;
    // a content that would do by itself, for less than it takes to be believed
    let half = open.server("anonymous: true").yaml();
    served.write_text(&half);
    tokio::time::sleep(Duration::from_millis(2600)).await;
    served.write_text(&whole);
    for _ in 0..25 {
        assert_eq!(served.chat(&chat("large", "hello")).await.status, 401);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    served.write_text(&half);
    soon("the file that stands still", || async { served.chat(&chat("large", "hello")).await.status == 200 })
        .await;
}

#[tokio::test]
async fn keys_that_wait_for_a_restart_are_told() {
    let model = Model::honest().await;
    let served = Served::start(&Setup::new().large(model.addr, "")).await;
    served.write_text(&Setup::new().large(model.addr, "").server("max_in_flight: 7").yaml());
    let (code, told) = served.reload().await;
    let warning = "`server.max_in_flight` has changed and is read at start only: restart for it to count";
    assert_eq!((code, &told["warnings"]), (200, &serde_json::json!([warning])), "{told}");
}

#[tokio::test]
async fn metrics_follow_what_runs_and_a_refused_file_changes_none() {
    let (model, second) = (Model::honest().await, Model::honest().await);
    let rent = |usd: u32| format!("hosting: {{ usd_per_hour: {usd} }}");
    let one = || Setup::new().large(model.addr, "");
    let served = Served::start(&one().expert("second", second.addr, &rent(3))).await;
    let text = || async { get(served.admin, "/metrics").await.text() };
    assert_eq!(served.chat(&chat("second", "hello")).await.status, 200);
    let before = text().await;
    for series in [
        "hosting_usd_per_hour{expert=\"second\"} 3",
        "circuit_state{endpoint=",
        "in_flight_requests{expert=\"second\"}",
    ] {
        assert!(before.contains(series), "{series}");
    }
    let refused = one().expert("second", second.addr, &rent(99)).expert("third", second.addr, &rent(7));
    served.write_text(
        &refused.section("policies: { p: { max_under_route: 0.05 } }\nrouter: { policy: p }").yaml(),
    );
    assert_eq!(served.reload().await.0, 400);
    let after = text().await;
    assert!(
        after.contains("hosting_usd_per_hour{expert=\"second\"} 3") && !after.contains("third"),
        "{after}"
    );
    served.write_text(&one().yaml());
    assert_eq!(served.reload().await.0, 200);
    let left: Vec<String> =
        text().await.lines().filter(|line| line.contains("\"second\"")).map(str::to_owned).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn no_series_is_missing_while_two_scrape() {
    let model = Model::honest().await;
    let rig = Setup::new().expert("coder", model.addr, "").large(model.addr, "").start().await;
    let scrapes = (0..60).map(|_| async { get(rig.gateway.admin, "/metrics").await.text() });
    let mut scraping = tokio::task::JoinSet::new();
    let admin = rig.gateway.admin;
    for _ in 0..4 {
        scraping.spawn(async move {
            for _ in 0..60 {
                let text = get(admin, "/metrics").await.text();
                assert_eq!(text.matches("mixgate_circuit_state{").count(), 2);
            }
        });
    }
    drop(scrapes);
    while let Some(done) = scraping.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_key_leaves_a_record_and_a_metric_on_both_planes() {
    let model = Model::honest().await;
    let (_, keyed) = keyed(&model);
    let keyed = keyed.replace(
        "listen: 127.0.0.1:0,",
        &format!("listen: 127.0.0.1:0, admin_keys: ['{}'],", gateway::auth::KeyHash::of("a")),
    );
    let served = Served::with(&keyed, &[], &[]).await;
    let wrong = [("authorization", "Bearer nope")];
    for _ in 0..3 {
        assert_eq!(
            post_json(served.data, crate::harness::CHAT, &wrong, &chat("large", "x")).await.status,
            401
        );
        assert_eq!(post_json(served.admin, "/-/reload", &wrong, "").await.status, 401);
    }
    let admin = || async {
        let mut client = testkit::Client::connect(served.admin).await;
        client.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer a\r\n\r\n").await;
        client.reply().await.text()
    };
    for plane in ["data", "admin"] {
        let series = format!("mixgate_authentication_failures_total{{plane=\"{plane}\"}} 3");
        soon(&series, || async { admin().await.contains(&series) }).await;
    }
    served.process.says("a key was refused").await;
}
