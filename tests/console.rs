//! What the console stands on: figures, events, feedback, dry runs, settings; and that pages of other sites get nothing.

use crate::harness::{ANSWER, Json, Model, Rig, Setup, chat, error_code, json, message};
use std::fs;
use testkit::{Client, PATIENCE, Reply, Upstream, get, post_json, within};

async fn rig() -> (Rig, [Model; 2]) {
    let models = [Model::honest().await, Model::honest().await];
    let setup = Setup::new().expert("coder", models[0].addr, "quality: { code: 0.9 }, domains: [code]");
    let rig = setup.large(models[1].addr, "").section("policies: { auto-ish: { tolerance: 0.2 } }");
    (rig.section("router: { policy: auto-ish, deadline: 100ms }").start().await, models)
}

async fn read(rig: &Rig, path: &str) -> Json {
    let reply = get(rig.gateway.admin, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    json(&reply.body)
}

async fn post(rig: &Rig, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    post_json(rig.gateway.admin, path, headers, body).await
}

/// The next event that has this field.
async fn event(client: &mut Client, field: &str) -> Json {
    let next = async {
        loop {
            let event = json(client.event().await.expect("the stream goes on").as_bytes());
            if event.get(field).is_some() {
                return event;
            }
        }
    };
    within(PATIENCE, field, next).await
}

#[tokio::test]
async fn figures_say_what_was_asked_answered_and_paid() {
    let (rig, _models) = rig().await;
    for _ in 0..3 {
        rig.chat(&chat("auto", "@code hello")).await;
    }
    let last = rig.chat(&chat("auto", "@legal hello")).await;
    rig.record_of(&last).await;
    let figures = read(&rig, "/api/figures").await;
    assert_eq!(figures["requests"]["ok"], 4);
    let expert = |name: &str| {
        figures["experts"].as_array().unwrap().iter().find(|expert| expert["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (&expert("coder")["requests"]["ok"], &expert("large")["requests"]["ok"]),
        (&3.into(), &1.into())
    );
    assert_eq!(expert("coder")["endpoints"][0]["circuit"], "closed");
    assert_eq!(figures["request_duration"]["count"], 4);
    let saved = expert("coder")["saved_usd"].as_f64().unwrap();
    assert!(saved > 0.0 && (figures["saved_usd"].as_f64().unwrap() - saved).abs() < 1e-9, "{figures}");
    assert!((rig.metric("saved_usd", &[]).await - saved).abs() < 1e-9);
    let code = figures["decisions"].as_array().unwrap().iter().find(|row| row["domain"] == "code").unwrap();
    assert_eq!(
        (&code["expert"], &code["reason"], &code["count"]),
        (&"coder".into(), &"routed".into(), &3.into())
    );
}

#[tokio::test]
async fn events_bring_figures_every_second_and_decisions_as_they_end() {
    let (rig, _models) = rig().await;
    let mut console = Client::connect(rig.gateway.admin).await;
    console.send("GET /api/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
    let head = console.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let before = event(&mut console, "requests").await;
    assert_eq!(before["requests"]["ok"], 0);
    let reply = rig.chat(&chat("auto", "@code hello")).await;
    let decision = event(&mut console, "attempts").await;
    assert_eq!(decision["id"].as_str(), reply.header("x-mixgate-decision"));
    assert_eq!((&decision["chosen"], &decision["domain"]), (&"coder".into(), &"code".into()));
    assert!(decision["candidates"][0]["score"].is_number(), "{decision}");
    let after = event(&mut console, "requests").await;
    assert_eq!(after["requests"]["ok"], 1);
    assert!(after["time"].as_f64() > before["time"].as_f64());
}

#[tokio::test]
async fn feedback_goes_into_the_log_and_a_metric() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("decisions.jsonl");
    let model = Model::honest().await;
    let setup = Setup::new().large(model.addr, "");
    let rig = setup.section(&format!("log: {{ decisions: '{}' }}", log.display())).start().await;
    let reply = rig.chat(&chat("large", "hello")).await;
    let id = reply.header("x-mixgate-decision").unwrap().to_owned();
    rig.record_of(&reply).await;
    let said = post(&rig, "/api/feedback", &[], &format!("{{\"decision\":\"{id}\",\"score\":0.75}}")).await;
    assert_eq!((said.status, json(&said.body)["expert"].as_str()), (200, Some("large")));
    assert_eq!(rig.metric("feedback_score_sum", &[("expert", "large")]).await, 0.75);
    let old = post(&rig, "/api/feedback", &[], "{\"decision\":\"long-gone\",\"score\":1}").await;
    assert_eq!((old.status, &json(&old.body)["expert"]), (200, &Json::Null));
    for (body, code) in [
        ("{\"decision\":\"a\",\"score\":2}", "invalid_value"),
        ("{\"decision\":\"a b\",\"score\":1}", "invalid_value"),
        ("{\"decision\":\"a\"}", "invalid_json"),
        ("{", "invalid_json"),
    ] {
        let reply = post(&rig, "/api/feedback", &[], body).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, code), "{body}");
    }
    rig.gateway.drain().await;
    let lines = fs::read_to_string(&log).unwrap();
    let lines: Vec<Json> = lines.lines().map(|line| json(line.as_bytes())).collect();
    assert_eq!((lines.len(), lines[0]["id"].as_str()), (3, Some(id.as_str())));
    assert_eq!((lines[1]["decision"].as_str(), lines[1]["score"].as_f64()), (Some(id.as_str()), Some(0.75)));
    assert!(lines[1]["time"].as_str().unwrap().starts_with("20"), "{}", lines[1]);
}

#[tokio::test]
async fn a_dry_run_moves_the_dial_and_sends_nothing() {
    let (rig, models) = rig().await;
    let chosen = async |query: &str| {
        let reply = post(&rig, &format!("/api/route{query}"), &[], &chat("auto", "@code hello")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        json(&reply.body)
    };
    let as_configured = chosen("").await;
    assert_eq!(as_configured["chosen"], "coder");
    let dial = &as_configured["flips"]["dial"];
    assert_eq!(
        (&dial["dial"], dial["value"].as_f64().map(|v| (v * 10.0).round())),
        (&"tolerance".into(), Some(2.0))
    );
    assert_eq!(chosen("?tolerance=0.05").await["chosen"], "large");
    assert_eq!(chosen("?tolerance=0.15").await["chosen"], "coder");
    for query in ["?tolerance=2", "?tolerance=x", "?dial=1"] {
        let reply = post(&rig, &format!("/api/route{query}"), &[], &chat("auto", "hello")).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, "invalid_value"), "{query}");
    }
    assert_eq!(models.iter().map(Model::requests).sum::<u64>(), 0);
}

#[tokio::test]
async fn settings_and_status_tell_what_is_running_and_keep_secrets() {
    let model = Model::honest().await;
    let rig = Setup::new()
        .large(model.addr, "api_key: sk-very-secret, catalogue: gpt-4o-2024-05-13")
        .start_real()
        .await;
    let settings = read(&rig, "/api/config").await;
    let of = |path: &str| {
        let all = settings["settings"].as_array().unwrap().iter();
        all.clone()
            .find(|setting| setting["path"] == path)
            .unwrap_or_else(|| panic!("{path}: {settings}"))
            .clone()
    };
    assert_eq!(
        (&of("experts[0].api_key")["value"], &of("experts[0].name")["line"]),
        (&"[REDACTED]".into(), &4.into())
    );
    assert_eq!(of("server.max_in_flight")["line"], Json::Null);
    assert!(!settings.to_string().contains("very-secret"));
    let status = read(&rig, "/status").await;
    let large = &status["experts"][0];
    assert_eq!(
        (&large["price"]["output_per_1m"], &large["catalogue"]["name"]),
        (&10.0.into(), &"gpt-4o-2024-05-13".into())
    );
    assert_eq!(large["catalogue"].get("learned"), None);
}

#[tokio::test]
async fn the_console_is_served_with_a_strict_policy_and_not_sent_twice() {
    let (rig, _models) = rig().await;
    for path in ["/", "/ui"] {
        let reply = get(rig.gateway.admin, path).await;
        assert_eq!((reply.status, reply.header("location")), (308, Some("/ui/")));
    }
    let page = get(rig.gateway.admin, "/ui/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let mut again = Client::connect(rig.gateway.admin).await;
    let tag = page.header("etag").unwrap();
    again.send(format!("GET /ui/ HTTP/1.1\r\nhost: 127.0.0.1\r\nif-none-match: {tag}\r\n\r\n")).await;
    let again = again.reply().await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(get(rig.gateway.admin, "/ui/../secret").await.status, 404);
}

#[tokio::test]
async fn other_sites_pages_read_and_do_nothing() {
    let (rig, _models) = rig().await;
    for headers in [[("origin", "http://evil.example")], [("sec-fetch-site", "cross-site")]] {
        for path in ["/-/reload", "/api/feedback", "/api/route"] {
            let reply = post(&rig, path, &headers, "{}").await;
            assert_eq!(reply.status, 403, "{path}");
            assert!(message(&reply).contains("another site"), "{}", reply.text());
        }
    }
    let mut form = Client::connect(rig.gateway.admin).await;
    let post = "POST /api/feedback HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    form.send(post).await;
    assert_eq!(form.reply().await.status, 415);
    let mut rebound = Client::connect(rig.gateway.admin).await;
    rebound.send("GET /api/decisions HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(rebound.reply().await.status, 400);
}

/// `mixgate top`, which this test's gateway answers meanwhile.
async fn top(arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mixgate"));
    command.arg("top").args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_key_in_the_query_of_an_address_is_sent_and_not_shown() {
    let upstream = Upstream::script(testkit::json(200, ANSWER)).await;
    let addresses = ["?key=canary", "?api-version=1&key=canary"]
        .map(|query| format!("{{ base_url: 'http://{}/v1{query}' }}", upstream.addr()));
    for place in [
        format!("base_url: 'http://{}/v1?key=canary'", upstream.addr()),
        format!("endpoints: [{}]", addresses.join(", ")),
    ] {
        let rig = Setup::new().large_at(&place).start().await;
        let reply = rig.chat(&chat("large", "hello")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(upstream.next_request().await.path().ends_with("key=canary"));
        let mut seen = rig.record_of(&reply).await.to_string();
        for path in ["/api/config", "/status", "/metrics", "/api/decisions"] {
            seen += &get(rig.gateway.admin, path).await.text();
        }
        assert!(!seen.contains("canary"), "{seen}");
        assert!(seen.contains("/v1?"), "{seen}");
    }
}

#[tokio::test]
async fn a_page_of_an_application_sees_nothing_of_the_admin_plane_without_a_key() {
    let page = ("origin", "https://app.example");
    let foreign = ("sec-fetch-site", "cross-site");
    let key = ("authorization", "Bearer of-the-operator");
    let hash = |key: &str| gateway::auth::KeyHash::of(key).to_string();
    let tenants = format!("tenants: [{{ name: a, keys: ['{}'] }}]", hash("of-a"));
    let admin_keys = format!("admin_keys: ['{}']", hash("of-the-operator"));
    for origins in ["'*'", "'https://app.example'"] {
        for keyed in [false, true] {
            let model = Model::honest().await;
            let cors = format!("cors: {{ origins: [{origins}] }}");
            let server = if keyed { format!("{cors}, {admin_keys}") } else { cors };
            let rig = Setup::new().large(model.addr, "").server(&server).section(&tenants).start().await;
            let headers: &[(&str, &str)] = if keyed { &[page, foreign, key] } else { &[page, foreign] };
            for path in ["/api/config", "/api/decisions", "/status"] {
                let mut client = Client::connect(rig.gateway.admin).await;
                let lines: String =
                    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n")).await;
                let reply = client.reply().await;
                let readable = reply.header("access-control-allow-origin").is_some();
                assert_eq!(readable, keyed, "{origins} {path}");
            }
            let reply = post(&rig, "/api/route", headers, &chat("auto", "@code hello")).await;
            assert_eq!(reply.status, if keyed { 200 } else { 403 }, "{origins} {}", reply.text());
        }
    }
}

#[tokio::test]
async fn top_shows_a_running_gateway_in_the_terminal() {
    let (rig, _models) = rig().await;
    rig.record_of(&rig.chat(&chat("auto", "@code hello")).await).await;
    let admin = format!("http://{}", rig.gateway.admin);
    let said = top(&["--once", "--every", "0.3", "--admin", &admin]).await;
    let said = (said.status.success(), String::from_utf8(said.stdout).unwrap());
    assert!(said.0, "{}", said.1);
    for part in ["requests/s", "cost so far $0.", "all to large", "coder", "healthy", "routed", "100.0 %"] {
        assert!(said.1.contains(part), "{part}: {}", said.1);
    }
    let nobody = top(&["--once", "--admin", "http://127.0.0.1:1"]).await;
    let told = String::from_utf8(nobody.stderr).unwrap();
    assert!(nobody.status.code() == Some(1) && told.contains("http://127.0.0.1:1: "), "{told}");
    let wrong = top(&["--once", "--admin", "localhost"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8(wrong.stderr).unwrap());
    let data = format!("http://{}", rig.addr());
    let told = String::from_utf8(top(&["--once", "--admin", &data]).await.stderr).unwrap();
    assert!(told.contains("no such path") || told.contains("/api/figures"), "{told}");
}
