//! Streams: bytes pass as they are, and a stream that is cut says so.

use crate::harness::{
    ANSWER, FINISH, Json, Model, Rig, STREAM, Setup, USAGE, WORD, error_code, error_of, json, streamed, with,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::{End, PATIENCE, Reply, Step, Upstream, answer, chunk, sse, sse_head, sse_then, within};

const ASKS_USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

/// One model only.
async fn alone(at: SocketAddr, more: &str) -> Rig {
    Setup::new().large(at, more).start().await
}

fn ask() -> String {
    streamed("large", "hello")
}

/// The code of the error that ends this stream; behind it there is nothing.
fn broken_by(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.end), (200, End::Complete), "{}", reply.text());
    let events = reply.events();
    assert!(reply.body.ends_with(b"\n\n") && !events.contains(&"[DONE]".to_owned()), "{}", reply.text());
    let parsed: Vec<Json> = events.iter().map(|event| json(event.as_bytes())).collect();
    let (last, before) = parsed.split_last().unwrap();
    assert!(before.iter().all(|event| event["choices"].is_array()), "{}", reply.text());
    error_of(last)
}

#[tokio::test]
async fn bytes_pass_unchanged_however_they_are_cut() {
    let stream = concat!(
        "\u{feff}: hello\r\n\r\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\u{e9} \u{1f600}\"}}],\"usage\":null}\r\n\r\n",
        "event: x\nid: 7\ndata: {\"choices\":[{\"index\":0,\ndata:\"delta\":{\"content\":\"two lines\"}}]}\n\n",
        ": ping\n\n",
        "data:{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}] , \"usage\" : null}\r\r",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}\n\n",
        "data: [DONE]\n\n",
    )
    .as_bytes();
    for size in [1, 2, 7, stream.len()] {
        let steps = stream.chunks(size).map(chunk);
        let steps = [sse_head()].into_iter().chain(steps).chain([Step::send("0\r\n\r\n")]).collect();
        let upstream = Upstream::script(steps).await;
        let rig = alone(upstream.addr(), "").await;
        let reply = rig.chat(&with("large", "hello", ASKS_USAGE)).await;
        assert_eq!((reply.status, reply.end), (200, End::Complete));
        assert_eq!(reply.text(), String::from_utf8_lossy(stream), "in pieces of {size}");
        let record = rig.record_of(&reply).await;
        assert_eq!((&record["outcome"], &record["usage"]["output"]), (&"ok".into(), &5.into()), "{record}");
    }
}

#[tokio::test]
async fn a_cut_stream_ends_with_an_error_and_never_looks_whole() {
    let torn = chunk(&FINISH[..FINISH.len() - 9]);
    let end = || Step::send("0\r\n\r\n");
    let cuts = [
        ("clean end without finish", vec![end()]),
        ("end inside an event", vec![chunk("data: "), torn.clone(), end()]),
        ("reset inside an event", vec![chunk("data: "), torn, Step::Reset]),
        ("reset", vec![Step::Reset]),
        ("missing last chunk", vec![Step::Close]),
        ("inside a chunk", vec![Step::send("40\r\ndata: {\"choi"), Step::Close]),
    ];
    for (name, cut) in cuts {
        // the pause lets the word arrive before a reset takes it away
        let steps = [Step::Sleep(Duration::from_millis(40))].into_iter().chain(cut);
        let upstream = Upstream::script(sse_then(&[WORD, WORD], steps)).await;
        let rig = alone(upstream.addr(), "").await;
        let reply = rig.chat(&ask()).await;
        assert_eq!(broken_by(&reply), "upstream_incomplete", "{name}");
        assert!(reply.text().starts_with(&format!("data: {WORD}\n\n")), "{name}: {}", reply.text());
        let record = rig.record_of(&reply).await;
        assert_eq!(record["outcome"], "upstream_error", "{name}");
        assert_eq!(record["attempts"][0]["outcome"], "incomplete", "{name}");
        assert_eq!(record["usage"]["output"], 3, "{name}: ten bytes in two events are estimated");
        rig.metric_becomes("in_flight_requests", &[("expert", "large")], 0.0).await;
    }
}

#[tokio::test]
async fn an_error_in_mid_stream_passes_and_is_recorded() {
    for fault in ["error-event-mid-stream", "error-event-then-done"] {
        let model = Model::with(&[fault]).await;
        let rig = alone(model.addr, "").await;
        let reply = rig.chat(&ask()).await;
        assert!(reply.events().iter().any(|event| event.contains("\"error\"")), "{}", reply.text());
        assert!(!reply.text().contains("upstream_incomplete"), "one error is enough: {}", reply.text());
        assert!(!reply.text().contains("[DONE]"), "{fault}: what failed is not done: {}", reply.text());
        let record = rig.record_of(&reply).await;
        assert_eq!(record["outcome"], "upstream_error", "{fault}: {record}");
    }
}

/// A stream whose events come in frames of up to 9000 bytes, with a pause behind the first.
fn in_frames(events: &[&str]) -> Vec<Step> {
    let (first, rest) = events.split_first().unwrap();
    let frames = |event: &str| -> Vec<Step> {
        format!("data: {event}\n\n").as_bytes().chunks(9_000).map(chunk).collect()
    };
    let pause = Step::Sleep(Duration::from_millis(40));
    let behind = [pause].into_iter().chain(rest.iter().flat_map(|event| frames(event)));
    let steps = [sse_head()].into_iter().chain(frames(first)).chain(behind);
    steps.chain([Step::send("0\r\n\r\n")]).collect()
}

#[tokio::test]
async fn an_error_of_any_length_and_shape_is_one_before_and_behind_the_first_word() {
    for length in [10, 20_000, 200_000] {
        let words = "x".repeat(length);
        for error in [
            format!(r#"{{"error":{{"message":"{words}","type":"server_error","code":500}}}}"#),
            format!(r#"{{"object":"error","message":"{words}","type":"InternalServerError","code":500}}"#),
            format!(r#"{{"message":"{words}","code":500,"object":"error"}}"#),
        ] {
            let first = Upstream::script(in_frames(&[&error, "[DONE]"])).await;
            let large = Upstream::script(sse(&STREAM)).await;
            let rig = Setup::new().expert("coder", first.addr(), "").large(large.addr(), "").start().await;
            let reply = rig.chat(&streamed("coder", "hello")).await;
            assert_eq!(reply.header("x-mixgate-expert"), Some("large"), "{length} {}", &error[..40]);

            let later = Upstream::script(in_frames(&[WORD, &error, "[DONE]"])).await;
            let rig = alone(later.addr(), "").await;
            let reply = rig.chat(&ask()).await;
            assert_eq!(reply.events(), [WORD, &error], "{length}: it passes, and nothing behind it");
            let record = rig.record_of(&reply).await;
            assert_eq!(record["outcome"], "upstream_error", "{length} {}", &error[..40]);
        }
    }
}

#[tokio::test]
async fn chunks_that_say_nothing_keep_no_stream_alive() {
    for ping in [
        r#"{"id":"c1","choices":[]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":null}]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
    ] {
        let pings = (0..40)
            .flat_map(|_| [Step::Sleep(Duration::from_millis(40)), chunk(format!("data: {ping}\n\n"))]);
        let upstream = Upstream::script(sse_then(&[WORD], pings.chain([Step::Hold]))).await;
        let rig = alone(upstream.addr(), "timeouts: { idle: 300ms }").await;
        let reply = rig.chat(&ask()).await;
        assert_eq!(broken_by(&reply), "upstream_timeout", "{ping}");
        let pings = reply.events().iter().filter(|event| *event == ping).count();
        assert!((1..30).contains(&pings), "{pings} of {ping}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_means_the_next_candidate() {
    let faults = [
        "error-event-first",
        "html",
        "empty",
        "choices-empty",
        "invalid-json",
        "false-gzip",
        "content-length-short",
        "reset-before-headers",
        "reset-after-headers",
    ];
    for fault in faults {
        let (coder, large) = (Model::with(&[fault]).await, Model::honest().await);
        let rig = Setup::new().expert("coder", coder.addr, "").large(large.addr, "").start().await;
        let count = |rig| async move {
            let rig: &Rig = rig;
            rig.metric("fallbacks_total", &[("from", "coder"), ("to", "large")]).await
        };
        for (round, fields) in [(1, ""), (2, r#","stream":true"#)] {
            if fault == "content-length-short" && round == 2 {
                // half of a stream is a stream that was cut
                continue;
            }
            let reply = rig.chat(&with("coder", "hello", fields)).await;
            assert_eq!((reply.status, reply.end), (200, End::Complete), "{fault} {fields}: {}", reply.text());
            assert_eq!(reply.header("x-mixgate-expert"), Some("large"), "{fault} {fields}");
            assert_eq!(reply.header("x-mixgate-attempts"), Some("2"), "{fault} {fields}");
            assert_eq!(reply.header("content-encoding"), None);
            assert_eq!(rig.record_of(&reply).await["outcome"], "ok");
            assert_eq!(count(&rig).await, f64::from(round), "{fault} {fields}");
        }
    }
}

#[tokio::test]
async fn usage_is_taken_out_unless_the_client_asked() {
    let word = WORD.replace("null}]}", "null}],\"usage\":null}");
    let events = [&word, FINISH, USAGE, "[DONE]"];
    let upstream = Upstream::script(sse(&events)).await;
    let rig = alone(upstream.addr(), "").await;
    let silent = rig.chat(&ask()).await;
    assert_eq!(silent.events(), [WORD, FINISH, "[DONE]"]);
    assert!(upstream.next_request().await.text().contains(r#""stream_options":{"include_usage":true}"#));
    let asked = rig.chat(&with("large", "hello", ASKS_USAGE)).await;
    assert_eq!(asked.events(), events);
    for reply in [&silent, &asked] {
        let record = rig.record_of(reply).await;
        assert_eq!((&record["usage"]["input"], &record["usage"]["output"]), (&10.into(), &5.into()));
        assert_eq!(record["usage_estimated"], false);
    }
    assert_eq!(rig.metric("tokens_total", &[("expert", "large"), ("kind", "output")]).await, 10.0);
}

#[tokio::test]
async fn missing_usage_is_estimated_and_said_to_be() {
    let model = Model::with(&["usage-missing"]).await;
    let rig = alone(model.addr, "").await;
    for (round, fields) in [(1, ""), (2, r#","stream":true"#)] {
        let reply = rig.chat(&with("large", "hello", fields)).await;
        let record = rig.record_of(&reply).await;
        assert_eq!(
            (&record["outcome"], &record["usage_estimated"]),
            (&"ok".into(), &true.into()),
            "{record}"
        );
        assert!(record["usage"]["output"].as_u64().unwrap() > 0, "{record}");
        assert_eq!(rig.metric("usage_missing_total", &[("expert", "large")]).await, f64::from(round));
    }
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let pause = Step::Sleep(Duration::from_millis(150));
    let rest = [pause, chunk(format!("data: {FINISH}\n\ndata: [DONE]\n\n")), Step::send("0\r\n\r\n")];
    let upstream = Upstream::script(sse_then(&[WORD], rest)).await;
    let rig = Setup::new().server("keep_alive: 20ms").large(upstream.addr(), "").start().await;
    let reply = rig.chat(&ask()).await;
    // without an empty line behind it: where events have ids, SDKs would read one that has no data
    let text = reply.text();
    assert!(text.contains("\n\n: keep-alive\n") && !text.contains("keep-alive\n\n"), "{text}");
    assert_eq!(reply.events(), [WORD, FINISH, "[DONE]"]);
}

#[tokio::test]
async fn a_stall_is_ended_even_if_it_sends_pings() {
    for fault in ["stall-after", "stall-with-pings"] {
        let model = Model::with(&[fault]).await;
        let rig = alone(model.addr, "timeouts: { idle: 100ms }").await;
        let reply = rig.chat(&ask()).await;
        assert_eq!(broken_by(&reply), "upstream_timeout", "{fault}");
        assert_eq!(rig.record_of(&reply).await["outcome"], "timeout", "{fault}");
    }
}

#[tokio::test]
async fn the_clients_own_limit_holds_before_and_after_the_commit() {
    let limit = [("x-mixgate-timeout-ms", "150")];
    for fault in ["silence", "stall-in-headers", "stall-after-headers"] {
        let model = Model::with(&[fault]).await;
        let rig = alone(model.addr, "").await;
        let reply = rig.chat_with(&limit, &ask()).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (504, "upstream_timeout"), "{fault}");
        assert_eq!(rig.record_of(&reply).await["outcome"], "timeout", "{fault}");
    }
    for fault in ["stall-after", "endless"] {
        let model = Model::with(&[fault]).await;
        let rig = alone(model.addr, "").await;
        let reply = within(PATIENCE, "the end of a stream", rig.chat_with(&limit, &ask())).await;
        assert_eq!(broken_by(&reply), "upstream_timeout", "{fault}");
    }
}

#[tokio::test]
async fn answers_name_the_requested_model_where_that_is_configured() {
    let renamed = |text: &str| text.replace(r#""id":"c1","#, r#""id":"c1","model":"served","#);
    let stream = [renamed(WORD), renamed(FINISH), renamed(USAGE), "[DONE]".to_owned()];
    let stream: Vec<&str> = stream.iter().map(String::as_str).collect();
    let body = answer(200, &[("content-type", "application/json")], ANSWER);
    let upstream = Upstream::scripts(vec![body, sse(&stream)]).await;
    let rig = Setup::new().server("response_model: requested").large(upstream.addr(), "").start().await;
    let whole = rig.chat(&with("auto", "hello", "")).await;
    assert_eq!(whole.text(), ANSWER.replace(r#""served""#, r#""auto""#));
    let reply = rig.chat(&streamed("auto", "hello")).await;
    let expected = [renamed(WORD), renamed(FINISH)].map(|event| event.replace(r#""served""#, r#""auto""#));
    assert_eq!(reply.events(), [&*expected[0], &*expected[1], "[DONE]"]);
    let large = ANSWER.replace("hello", &"a".repeat(2_500_000));
    let upstream = Upstream::script(answer(200, &[("content-type", "application/json")], &large)).await;
    let rig = Setup::new().server("response_model: requested").large(upstream.addr(), "").start().await;
    let reply = rig.chat(&with("auto", "hello", "")).await;
    assert!(reply.text() == large.replace(r#""served""#, r#""auto""#) && reply.end == End::Complete);
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_the_upstream_wait() {
    let model = Model::with(&["endless"]).await;
    let rig = alone(model.addr, "").await;
    let mut client = rig.asking(&[], &ask()).await;
    assert_eq!(client.head().await.status, 200);
    // the kernel's buffers fill; then nothing moves any more
    let started = Instant::now();
    let mut before = model.mock.seen.bill().completion_tokens;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = model.mock.seen.bill().completion_tokens;
        if now == before {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{now} tokens were sent to a client that reads none");
        before = now;
    }
    assert!(client.event().await.is_some(), "and it goes on for one that reads again");
}

#[tokio::test]
async fn a_client_that_leaves_behind_the_end_had_a_whole_answer() {
    let upstream = Upstream::script(sse_then(&STREAM, [Step::Hold])).await;
    let rig = alone(upstream.addr(), "").await;
    let mut client = rig.asking(&[], &ask()).await;
    let head = client.head().await;
    let id = head.header("x-request-id").unwrap().to_owned();
    while client.event().await.unwrap() != "[DONE]" {}
    drop(client);
    let record = rig.record(&id).await;
    assert_eq!((&record["outcome"], &record["usage"]["output"]), (&"ok".into(), &5.into()), "{record}");
}
