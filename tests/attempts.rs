//! Before the commit the next endpoint, and then the next candidate, takes over; what the client caused passes.

use crate::harness::{
    ANSWER, Json, Model, Rig, STREAM, Setup, chat, error_code, error_of, json, message, streamed, with,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::{
    End, PATIENCE, Refusing, Reply, Step, Upstream, answer, get, json as json_steps, soon, sse, within,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

const WHOLE: &str = "";
const STREAMED: &str = r#","stream":true"#;
const BOTH: [&str; 2] = [WHOLE, STREAMED];

/// `coder` at this address, an honest `large` behind it.
async fn before_large(coder: SocketAddr, more: &str) -> (Rig, Model) {
    let large = Model::honest().await;
    let rig = Setup::new().expert("coder", coder, more).large(large.addr, "").start().await;
    (rig, large)
}

/// Expert, outcome and status of each attempt.
fn attempts(record: &Json) -> Vec<(&str, &str, Option<u64>)> {
    let attempts = record["attempts"].as_array().unwrap().iter();
    attempts
        .map(|a| (a["expert"].as_str().unwrap(), a["outcome"].as_str().unwrap(), a["status"].as_u64()))
        .collect()
}

/// Asks `coder`, whose attempt ends like this, and `large` answers: header, record and metrics say so.
async fn gives_way(coder: SocketAddr, more: &str, fields: &str, outcome: &str, status: Option<u64>) {
    let (rig, large) = before_large(coder, more).await;
    let reply = rig.chat(&with("coder", "hello", fields)).await;
    let case = format!("{outcome} {status:?} {more} {fields}");
    assert_eq!((reply.status, reply.end), (200, End::Complete), "{case}: {}", reply.text());
    rig.tells(&reply, "large", "upstream_failure").await;
    assert_eq!(reply.header("x-mixgate-attempts"), Some("2"), "{case}");
    let record = rig.record_of(&reply).await;
    assert_eq!(attempts(&record), [("coder", outcome, status), ("large", "ok", Some(200))], "{case}");
    assert_eq!(record["outcome"], "ok", "{case}");
    let labels = [("from", "coder"), ("to", "large"), ("reason", "upstream_failure")];
    assert_eq!(rig.metric("fallbacks_total", &labels).await, 1.0, "{case}");
    let failed = [("expert", "coder"), ("outcome", outcome)];
    assert_eq!(rig.metric("upstream_attempts_total", &failed).await, 1.0, "{case}");
    assert_eq!(large.requests(), 1, "{case}");
}

#[tokio::test]
async fn a_dead_endpoint_costs_an_attempt_and_no_answer() {
    let (dead, alive, large) = (Refusing::new(), Model::honest().await, Model::honest().await);
    let setup = Setup::new().expert_at_all("pair", &[dead.addr(), alive.addr], "");
    let rig = setup.large(large.addr, "").start().await;
    for _ in 0..8 {
        let reply = rig.chat(&chat("pair", "hello")).await;
        assert_eq!((reply.status, reply.header("x-mixgate-expert")), (200, Some("pair")));
    }
    let dead = dead.addr().to_string();
    let refused = rig.metric("upstream_attempts_total", &[("endpoint", &dead), ("outcome", "ok")]).await;
    assert_eq!((refused, alive.requests(), large.requests()), (0.0, 8, 0));
}

#[tokio::test]
async fn two_endpoints_of_an_expert_are_tried_and_then_the_next_candidate() {
    let sick = [Model::with(&["status-503"]).await, Model::with(&["html"]).await, Model::honest().await];
    let (large, at) = (Model::honest().await, [sick[0].addr, sick[1].addr]);
    let rig = Setup::new().expert_at_all("pair", &at, "").large(large.addr, "").start().await;
    let reply = rig.chat(&chat("pair", "hello")).await;
    rig.tells(&reply, "large", "upstream_failure").await;
    assert_eq!(reply.header("x-mixgate-attempts"), Some("3"));
    assert_eq!((sick[0].requests(), sick[1].requests()), (1, 1));
}

#[tokio::test]
async fn a_pooled_connection_that_dies_over_a_request_is_repeated_once_and_both_calls_are_counted() {
    for death in [Step::Close, Step::Reset] {
        let good = json_steps(200, ANSWER);
        let coder = Upstream::scripts(vec![good.clone(), vec![death], good]).await;
        let (rig, large) = before_large(coder.addr(), "").await;
        for (stale, tried) in [(0.0, "1"), (1.0, "2")] {
            let reply = rig.chat(&chat("coder", "hello")).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, ANSWER));
            assert_eq!(reply.header("x-mixgate-attempts"), Some(tried));
            assert_eq!(rig.metric("stale_connections_total", &[("expert", "coder")]).await, stale);
            let record = rig.record_of(&reply).await;
            let all = [("coder", "stale_connection", None), ("coder", "ok", Some(200))];
            assert_eq!(attempts(&record), all[2 - tried.parse::<usize>().unwrap()..]);
        }
        let retried = rig.metric("cost_usd_total", &[("expert", "coder"), ("kind", "retried")]).await;
        assert!(retried > 0.0, "the lost one may have been read, and is estimated");
        let seen = coder.requests();
        let connections: Vec<usize> = seen.iter().map(|request| request.connection).collect();
        assert_eq!((connections.as_slice(), &seen[1].body), ([0, 0, 1].as_slice(), &seen[2].body));
        assert_eq!(large.requests(), 0);
    }
}

#[tokio::test]
async fn a_pooled_connection_that_closed_while_it_was_idle_costs_nothing() {
    let good = [json_steps(200, ANSWER), vec![Step::Close]].concat();
    let coder = Upstream::scripts(vec![good.clone(), good]).await;
    let (rig, _large) = before_large(coder.addr(), "").await;
    for _ in 0..2 {
        let reply = rig.chat(&chat("coder", "hello")).await;
        assert_eq!((reply.status, reply.header("x-mixgate-attempts")), (200, Some("1")));
        let snapshot = rig.gateway.state.snapshot();
        let pool = &snapshot.experts[snapshot.expert_named("coder").unwrap()].endpoints[0].pool;
        soon("the close to be seen", || async {
            pool.sweep();
            pool.count() == 0
        })
        .await;
    }
    assert_eq!(rig.metric("cost_usd_total", &[("kind", "retried")]).await, 0.0);
}

#[tokio::test]
async fn a_reused_connection_that_breaks_late_is_not_repeated() {
    let late = vec![Step::Sleep(Duration::from_millis(1100)), Step::Close];
    let coder = Upstream::scripts(vec![json_steps(200, ANSWER), late]).await;
    let (rig, large) = before_large(coder.addr(), "").await;
    rig.chat(&chat("coder", "hello")).await;
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!(attempts(&rig.record_of(&reply).await)[0], ("coder", "reset", None));
    assert_eq!((coder.requests().len(), large.requests()), (2, 1), "it may have been worked on");
}

#[tokio::test]
async fn an_idle_connection_is_kept_until_its_server_closes_it() {
    let open = Model::honest().await;
    let closing = Upstream::script([json_steps(200, ANSWER), vec![Step::Close]].concat()).await;
    let rig = Setup::new().expert("coder", closing.addr(), "").large(open.addr, "").start().await;
    for (name, kept) in [("coder", 0), ("large", 1)] {
        assert_eq!(rig.chat(&chat(name, "hello")).await.status, 200);
        let snapshot = rig.gateway.state.snapshot();
        let pool = &snapshot.experts[snapshot.expert_named(name).unwrap()].endpoints[0].pool;
        soon("the close to be seen", || async {
            pool.sweep();
            pool.count() == kept
        })
        .await;
    }
}

#[tokio::test]
async fn what_may_have_been_read_is_repeated_once_and_no_more() {
    let coder = Upstream::scripts(vec![json_steps(200, ANSWER), vec![Step::Close]]).await;
    let (rig, large) = before_large(coder.addr(), "").await;
    rig.chat(&chat("coder", "hello")).await;
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (502, "upstream_error"));
    let record = rig.record_of(&reply).await;
    assert_eq!(attempts(&record), [("coder", "stale_connection", None), ("coder", "reset", None)]);
    assert!(record["cost_usd"].as_f64().unwrap() > 0.0, "{record}");
    assert_eq!((coder.requests().len(), large.requests()), (3, 0), "a good one, a stale one, a fresh one");
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!(reply.header("x-mixgate-expert"), Some("large"));
    assert_eq!(
        (coder.requests().len(), large.requests()),
        (4, 1),
        "a fresh one broke, and large is the repeat"
    );
    let both = rig.record_of(&reply).await;
    let retried = rig.metric("cost_usd_total", &[("expert", "coder"), ("kind", "retried")]).await;
    assert!(retried > 0.0 && both["cost_usd"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn where_the_operator_wants_it_nothing_that_was_sent_is_sent_again() {
    for (fault, limit) in [("reset-before-headers", ""), ("silence", "timeouts: { total: 50ms }")] {
        let (coder, large) = (Model::with(&[fault]).await, Model::honest().await);
        let setup = Setup::new().expert("coder", coder.addr, limit).large(large.addr, "");
        let rig = setup.section("retry: { after_sent: never }").start().await;
        let reply = rig.chat(&chat("coder", "hello")).await;
        assert!(matches!(reply.status, 502 | 504), "{fault}: {}", reply.text());
        assert_eq!((coder.requests(), large.requests()), (1, 0), "{fault}");
    }
    let (refusing, large) = (Refusing::new(), Model::honest().await);
    let setup = Setup::new().expert("coder", refusing.addr(), "").large(large.addr, "");
    let rig = setup.section("retry: { after_sent: never }").start().await;
    assert_eq!(rig.chat(&chat("coder", "hello")).await.status, 200, "nothing was sent to who refused");
}

#[tokio::test]
async fn who_cannot_be_reached_gives_way() {
    gives_way(Refusing::new().addr(), "", WHOLE, "connect_error", None).await;
    let hanging = Model::with(&["connect-hang"]).await;
    let hangs =
        || async { timeout(Duration::from_millis(20), TcpStream::connect(hanging.addr)).await.is_err() };
    soon("connecting to hang", hangs).await;
    gives_way(hanging.addr, "timeouts: { connect: 50ms }", WHOLE, "timeout", None).await;
}

#[tokio::test]
async fn who_is_too_slow_before_the_commit_gives_way() {
    let cases = [
        ("silence", "headers", None),
        ("stall-in-headers", "headers", None),
        ("stall-after-headers", "first_token", Some(200)),
        ("stall-with-pings:0", "first_token", Some(200)),
        ("silence", "total", None),
        ("stall-after-headers", "total", Some(200)),
    ];
    for (fault, limit, status) in cases {
        // a whole answer has no limit but the total
        for fields in BOTH.into_iter().filter(|fields| limit == "total" || *fields != WHOLE) {
            let coder = Model::with(&[fault]).await;
            let limit = format!("timeouts: {{ {limit}: 50ms }}");
            gives_way(coder.addr, &limit, fields, "timeout", status).await;
        }
    }
}

#[tokio::test]
async fn who_refuses_for_no_fault_of_the_client_gives_way() {
    let cases = [
        ("status-429", "rate_limited"),
        ("status-500", "server_error"),
        ("status-502", "server_error"),
        ("status-503:retry-after=1", "server_error"),
        ("status-408", "server_error"),
        ("status-401", "auth_error"),
        ("status-403", "auth_error"),
        ("status-404", "unknown_model"),
        ("status-400:code=model_not_found", "unknown_model"),
    ];
    for (fault, outcome) in cases {
        for fields in BOTH {
            let status = fault["status-".len()..][..3].parse().ok();
            gives_way(Model::with(&[fault]).await.addr, "", fields, outcome, status).await;
        }
    }
    for (status, body, outcome) in [
        (404, r#"{"error":{"message":"model 'x' not found, try pulling it first"}}"#, "unknown_model"),
        (404, "<html>no such page</html>", "not_found"),
        (302, "", "malformed"),
    ] {
        let elsewhere = [("location", "http://127.0.0.1:1/")];
        let coder = Upstream::script(answer(status, &elsewhere, body)).await;
        gives_way(coder.addr(), "", WHOLE, outcome, Some(status.into())).await;
    }
}

#[tokio::test]
async fn who_says_200_and_gives_no_answer_gives_way() {
    let cases = [
        ("html", "malformed", &BOTH[..]),
        ("empty", "malformed", &BOTH),
        ("choices-empty", "malformed", &BOTH),
        ("invalid-json", "malformed", &BOTH),
        ("error-event-first", "malformed", &BOTH),
        ("false-gzip", "malformed", &BOTH),
        ("reset-after-headers", "reset", &BOTH),
        // half of a stream is a stream that was cut, and half of an answer is none
        ("content-length-short", "malformed", &[WHOLE]),
        ("content-length-long", "reset", &[WHOLE]),
        ("end-without-last-chunk", "reset", &[WHOLE]),
        ("end-in-event", "malformed", &[WHOLE]),
    ];
    for (fault, outcome, modes) in cases {
        for fields in modes {
            gives_way(Model::with(&[fault]).await.addr, "", fields, outcome, Some(200)).await;
        }
    }
    gives_way(Model::with(&["reset-before-headers"]).await.addr, "", STREAMED, "reset", None).await;
}

#[tokio::test]
async fn what_the_client_caused_passes_as_it_is_and_nobody_else_is_asked() {
    let body =
        "{ \"error\" : {\"message\":\"max_tokens is t\\u006fo large\", \"x\": 1.0e0, \"code\":null} }\n";
    let headers =
        [("content-type", "application/json; x=y"), ("x-should-retry", "false"), ("set-cookie", "a")];
    for status in [400, 409, 413, 422, 451] {
        for fields in BOTH {
            let coder = Upstream::script(answer(status, &headers, body)).await;
            let (rig, large) = before_large(coder.addr(), "").await;
            let reply = rig.chat(&with("coder", "hello", fields)).await;
            assert_eq!((reply.status, reply.text().as_str()), (status, body), "{fields}");
            assert_eq!(reply.header("content-type"), Some("application/json; x=y"));
            assert_eq!((reply.header("x-should-retry"), reply.header("set-cookie")), (Some("false"), None));
            let told = (reply.header("x-mixgate-expert"), reply.header("x-mixgate-attempts"));
            assert_eq!(told, (Some("coder"), Some("1")));
            let record = rig.record_of(&reply).await;
            assert_eq!(attempts(&record), [("coder", "client_error", Some(status.into()))]);
            assert_eq!((&record["outcome"], &record["cost_usd"]), (&"client_error".into(), &Json::Null));
            assert_eq!((coder.requests().len(), large.requests()), (1, 0));
            assert_eq!(rig.metric("fallbacks_total", &[]).await, 0.0);
        }
    }
}

#[tokio::test]
async fn when_all_fail_the_last_failure_is_told() {
    let (slow, sick, busy) = ("silence", "status-500", "status-429:retry-after=7");
    let cases = [
        (sick, sick, 502, "upstream_error", None),
        (sick, "html", 502, "upstream_error", None),
        (sick, "status-401", 502, "upstream_error", None),
        (sick, "status-404", 502, "upstream_error", None),
        (sick, slow, 504, "upstream_timeout", None),
        (slow, sick, 502, "upstream_error", None),
        (sick, busy, 429, "rate_limit_exceeded", Some("7")),
        (busy, "status-429", 429, "rate_limit_exceeded", Some("1")),
        (busy, "status-429:retry-after=9999", 429, "rate_limit_exceeded", Some("7")),
        (sick, "status-429:retry-after=9999", 429, "rate_limit_exceeded", Some("600")),
        (sick, "status-503:retry-after=7", 503, "no_healthy_upstream", Some("7")),
    ];
    for (first, last, status, code, retry_after) in cases {
        for fields in BOTH {
            let (coder, large) = (Model::with(&[first]).await, Model::with(&[last]).await);
            let limit = "timeouts: { headers: 50ms, total: 2s }";
            let setup = Setup::new().expert("coder", coder.addr, limit).large(large.addr, limit);
            let rig = setup.start().await;
            let reply = rig.chat(&with("coder", "hello", fields)).await;
            let told = (reply.status, error_code(&reply), reply.header("retry-after"));
            assert_eq!(told, (status, code.to_owned(), retry_after), "{first}, {last} {fields}");
            assert!(!message(&reply).contains("127.0.0.1"), "addresses are the operator's: {}", reply.text());
            let record = rig.record_of(&reply).await;
            let outcome = match status {
                504 => "timeout",
                503 => "rejected",
                _ => "upstream_error",
            };
            assert_eq!((attempts(&record).len(), &record["outcome"]), (2, &outcome.into()), "{record}");
            assert_eq!((coder.requests(), large.requests()), (1, 1));
        }
    }
}

/// The code of the error that ends a stream.
fn broken_by(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.end), (200, End::Complete), "{}", reply.text());
    error_of(&json(reply.events().last().unwrap().as_bytes()))
}

#[tokio::test]
async fn behind_the_commit_nobody_else_is_asked() {
    let cases = [
        ("stall-after", "timeouts: { idle: 50ms }", "upstream_timeout", "timeout"),
        ("stall-with-pings", "timeouts: { idle: 50ms }", "upstream_timeout", "timeout"),
        ("endless", "timeouts: { total: 500ms }", "upstream_timeout", "timeout"),
        ("end-in-event", "", "upstream_incomplete", "incomplete"),
        ("end-without-finish", "", "upstream_incomplete", "incomplete"),
        ("end-without-last-chunk", "", "upstream_incomplete", "incomplete"),
    ];
    for (fault, limit, code, outcome) in cases {
        let coder = Model::with(&[fault]).await;
        let (rig, large) = before_large(coder.addr, limit).await;
        let reply = within(PATIENCE, "the end of a stream", rig.chat(&streamed("coder", "hello"))).await;
        assert_eq!(broken_by(&reply), code, "{fault}");
        assert_eq!(attempts(&rig.record_of(&reply).await), [("coder", outcome, Some(200))], "{fault}");
        assert_eq!((coder.requests(), large.requests()), (1, 0), "{fault}");
    }
}

#[tokio::test]
async fn a_cut_in_an_answer_too_large_to_hold_breaks_it_off_and_nobody_else_is_asked() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n{\"choices\":[\"";
    let steps = vec![Step::send(head), Step::send(vec![b'x'; 2_000_000]), Step::Close];
    let coder = Upstream::script(steps).await;
    let (rig, large) = before_large(coder.addr(), "").await;
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!(reply.status, 200);
    assert!(matches!(reply.end, End::Cut | End::Reset), "{:?}", reply.end);
    assert_eq!(reply.header("x-mixgate-cost-usd"), None);
    assert_eq!(attempts(&rig.record_of(&reply).await), [("coder", "incomplete", Some(200))]);
    assert_eq!(large.requests(), 0);
}

#[tokio::test]
async fn the_clients_limit_bounds_all_attempts_together() {
    // the first attempt may take less than the limit, or more: then there is no second
    for (headers, expected) in [("100ms", 2), ("10s", 1)] {
        for fields in BOTH {
            let (coder, large) = (Model::with(&["silence"]).await, Model::with(&["silence"]).await);
            let rig = Setup::new()
                .expert("coder", coder.addr, &format!("timeouts: {{ total: {headers} }}"))
                .large(large.addr, "")
                .start()
                .await;
            let asked = Instant::now();
            let reply =
                rig.chat_with(&[("x-mixgate-timeout-ms", "400")], &with("coder", "hello", fields)).await;
            assert!(asked.elapsed() >= Duration::from_millis(399), "{:?}", asked.elapsed());
            assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
            assert_eq!((reply.status, error_code(&reply).as_str()), (504, "upstream_timeout"));
            let record = rig.record_of(&reply).await;
            let all = [("coder", "timeout", None), ("large", "timeout", None)];
            assert_eq!(attempts(&record), all[..expected], "{headers} {fields}");
            assert_eq!(record["outcome"], "timeout");
        }
    }
}

#[tokio::test]
async fn a_limit_that_is_none_is_the_clients_fault() {
    let (rig, large) = before_large(Refusing::new().addr(), "").await;
    for value in ["0", "-5", "1.5", "soon"] {
        let reply = rig.chat_with(&[("x-mixgate-timeout-ms", value)], &chat("large", "hello")).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, "invalid_value"), "{value}");
    }
    assert_eq!(large.requests(), 0);
}

#[tokio::test]
async fn what_is_more_than_an_expert_takes_at_once_goes_to_the_next_candidate() {
    let coder = Upstream::scripts(vec![vec![Step::Hold], json_steps(200, ANSWER)]).await;
    let (rig, large) = before_large(coder.addr(), "max_concurrency: 1").await;
    let first = rig.asking(&[], &chat("coder", "hello")).await;
    coder.next_request().await;
    let reply = rig.chat(&chat("coder", "hello")).await;
    rig.tells(&reply, "large", "capacity").await;
    assert_eq!(reply.header("x-mixgate-attempts"), Some("1"), "a full expert is not called");
    let labels = [("from", "coder"), ("to", "large"), ("reason", "capacity")];
    assert_eq!((rig.metric("fallbacks_total", &labels).await, large.requests()), (1.0, 1));
    drop(first);
    coder.next_closed().await;
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!((reply.status, reply.header("x-mixgate-expert")), (200, Some("coder")));
}

#[tokio::test]
async fn where_all_are_full_the_client_is_told_when_to_come_back() {
    let busy = Upstream::script(vec![Step::Hold]).await;
    let rig = Setup::new()
        .expert("coder", busy.addr(), "max_concurrency: 1")
        .large(busy.addr(), "max_concurrency: 1")
        .start()
        .await;
    let mut holding = Vec::new();
    for name in ["coder", "large"] {
        holding.push(rig.asking(&[], &chat(name, "hello")).await);
        busy.next_request().await;
    }
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (503, "no_healthy_upstream"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    let record = rig.record_of(&reply).await;
    assert_eq!((attempts(&record).len(), &record["outcome"]), (0, &"rejected".into()), "{record}");
    assert_eq!(busy.requests().len(), 2);
}

/// A gateway that takes one request at a time, and is at it.
async fn full() -> (Rig, Upstream, testkit::Client) {
    let large = Upstream::scripts(vec![vec![Step::Hold], json_steps(200, ANSWER)]).await;
    let rig = Setup::new().server("max_in_flight: 1").large(large.addr(), "").start().await;
    let first = rig.asking(&[], &chat("large", "hello")).await;
    large.next_request().await;
    (rig, large, first)
}

#[tokio::test]
async fn over_its_own_limit_the_gateway_sheds_at_once_and_stays_healthy() {
    let (rig, large, first) = full().await;
    for _ in 0..20 {
        let reply = rig.chat(&chat("large", "hello")).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (503, "overloaded"));
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(get(rig.addr(), "/health").await.status, 200);
    }
    assert_eq!(large.requests().len(), 1);
    drop(first);
    rig.metric_becomes("requests_total", &[("outcome", "cancelled")], 1.0).await;
    assert_eq!(rig.chat(&chat("large", "hello")).await.status, 200, "its place is free again");
}

#[tokio::test]
async fn what_the_gateway_sheds_is_counted() {
    let (rig, _large, _first) = full().await;
    rig.chat(&chat("large", "hello")).await;
    rig.metric_becomes("requests_total", &[("outcome", "rejected")], 1.0).await;
}

#[tokio::test]
async fn only_the_model_and_the_wish_for_usage_differ_from_the_clients_bytes() {
    let rest = "\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9 \\ud83d\\ude00\", \"name\":null}], \"temperature\": 1.0e0,\n\t\"seed\":12345678901234567890, \"x\":{\"model\":\"coder\",\"a\":[-0, 1.50]} }\n";
    let cases = [
        (r#"{ "model" : "coder", "#, r#"{ "model" : "coder-model", "#),
        (r#"{"model":"coder","stream":false,"#, r#"{"model":"coder-model","stream":false,"#),
        (
            r#"{"stream":true,"model":"c\u006fder","#,
            r#"{"stream":true,"model":"coder-model","stream_options":{"include_usage":true},"#,
        ),
        (
            r#"{"model":"coder","stream_options": {"x":1.0} ,"stream":true,"#,
            r#"{"model":"coder-model","stream_options": {"include_usage":true,"x":1.0} ,"stream":true,"#,
        ),
        (
            r#"{"stream_options":{ },"model":"coder","stream":true,"#,
            r#"{"stream_options":{"include_usage":true },"model":"coder-model","stream":true,"#,
        ),
        (
            r#"{"model":"coder","stream":true,"stream_options":null,"#,
            r#"{"model":"coder-model","stream":true,"stream_options":{"include_usage":true},"#,
        ),
        (
            r#"{"stream_options":{"x":1, "include_usage" : false},"model":"coder","stream":true,"#,
            r#"{"stream_options":{"x":1, "include_usage" : true},"model":"coder-model","stream":true,"#,
        ),
        (
            r#"{"stream_options":{ "include_usage" :true },"model":"coder","stream":true,"#,
            r#"{"stream_options":{ "include_usage" :true },"model":"coder-model","stream":true,"#,
        ),
    ];
    for (sent, expected) in cases {
        let coder = Upstream::script(vec![Step::Close]).await;
        let (rig, _large) = before_large(coder.addr(), "").await;
        assert_eq!(rig.chat(&format!("{sent}{rest}")).await.status, 200, "{sent}");
        assert_eq!(coder.next_request().await.text(), format!("{expected}{rest}"));
    }
}

#[tokio::test]
async fn of_the_clients_headers_only_the_trace_goes_upstream_and_each_expert_gets_its_own_key() {
    let coder = Upstream::script(testkit::status(500, &[])).await;
    let large = Upstream::script(sse(&STREAM)).await;
    let rig = Setup::new()
        .expert("coder", coder.addr(), "api_key: key-of-coder")
        .large(large.addr(), "api_key: key-of-large")
        .start()
        .await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let secret = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-mixgate-session",
        "x-forwarded-for",
        "openai-organization",
        "user-agent",
        "accept",
        "x-request-id",
    ];
    let mut headers: Vec<_> = secret.iter().map(|name| (*name, "canary")).collect();
    headers.extend([("accept-encoding", "gzip, br"), ("traceparent", trace), ("te", "trailers")]);
    let reply = rig.chat_with(&headers, &streamed("coder", "hello")).await;
    assert_eq!((reply.status, reply.header("x-mixgate-expert")), (200, Some("large")));
    for (upstream, name) in [(&coder, "coder"), (&large, "large")] {
        let request = upstream.next_request().await;
        let mut sent: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sent.sort_unstable();
        let (key, host, length) =
            (format!("Bearer key-of-{name}"), upstream.addr().to_string(), request.body.len().to_string());
        let expected = [
            ("accept", "text/event-stream"),
            ("accept-encoding", "identity"),
            ("authorization", &*key),
            ("content-length", &*length),
            ("content-type", "application/json"),
            ("host", &*host),
            ("traceparent", trace),
            ("user-agent", concat!("mixgate/", env!("CARGO_PKG_VERSION"))),
        ];
        assert_eq!(sent, expected);
    }
}
