//! Answers as real servers send them: compressed, under a wrong media type, in one piece, with pings before the
//! first word. What OpenAI's clients read directly they read through the gateway.

use crate::harness::{
    ANSWER, FINISH, Json, Rig, STREAM, Setup, USAGE, WORD, chat, error_code, json, streamed, with,
};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::Write;
use std::net::SocketAddr;
use testkit::{End, Reply, Step, Upstream, chunk, json as json_steps, post_json, sse, sse_then};

async fn alone(at: SocketAddr, more: &str) -> Rig {
    Setup::new().large(at, more).start().await
}

/// A broken expert before a good one: who answered.
async fn behind(coder: Vec<Step>, request: &str, headers: &[(&str, &str)]) -> (Reply, String) {
    let (coder, large) = (Upstream::script(coder).await, Upstream::script(json_steps(200, ANSWER)).await);
    let rig = Setup::new().expert("coder", coder.addr(), "").large(large.addr(), "").start().await;
    let reply = rig.chat_with(headers, request).await;
    let who = reply.header("x-mixgate-expert").unwrap_or_default().to_owned();
    (reply, who)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// An answer of any bytes.
fn packed(status: u16, media: &str, coding: &str, body: &[u8]) -> Vec<Step> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: {media}\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n"
    );
    vec![Step::send([head.as_bytes(), body].concat())]
}

fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

#[tokio::test]
async fn compressed_answers_are_readable_whole_streamed_and_refused() {
    let refusal = r#"{"error":{"message":"temperature must be <= 2","type":"invalid_request_error","param":"temperature","code":"invalid_value"}}"#;
    let stream = events(&STREAM);
    for (coding, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("X-GZip", gzip), ("deflate", zlib)] {
        for (status, media, text, fields) in [
            (200, "application/json", ANSWER, ""),
            (
                200,
                "text/event-stream",
                stream.as_str(),
                r#","stream":true,"stream_options":{"include_usage":true}"#,
            ),
            (400, "application/json", refusal, ""),
            (422, "application/json", refusal, r#","stream":true"#),
        ] {
            let upstream = Upstream::script(packed(status, media, coding, &pack(text.as_bytes()))).await;
            let rig = alone(upstream.addr(), "").await;
            for headers in [&[][..], &[("accept-encoding", "gzip, deflate, br")]] {
                let reply = rig.chat_with(headers, &with("large", "hello", fields)).await;
                assert_eq!((reply.status, reply.text().as_str()), (status, text), "{coding}");
                assert_eq!((reply.header("content-encoding"), reply.end), (None, End::Complete), "{coding}");
            }
        }
    }
}

#[tokio::test]
async fn a_compressed_stream_arrives_event_by_event() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut packed = |text: &str| {
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.flush().unwrap();
        chunk(std::mem::take(encoder.get_mut()))
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
    let steps = vec![Step::send(head), packed(&events(&[WORD])), Step::Hold];
    let upstream = Upstream::script(steps).await;
    let rig = alone(upstream.addr(), "").await;
    let mut client = rig.asking(&[], &streamed("large", "hello")).await;
    client.head().await;
    assert_eq!(client.event().await.as_deref(), Some(WORD), "nothing came behind it");
}

#[tokio::test]
async fn every_member_of_a_gzip_is_read() {
    let large = ANSWER.replace("hello", &"a".repeat(2_500_000));
    for answer in [ANSWER, &large] {
        let (first, rest) = answer.as_bytes().split_at(answer.len() / 2);
        let members = [gzip(first), gzip(rest)].concat();
        let upstream = Upstream::script(packed(200, "application/json", "gzip", &members)).await;
        let reply = alone(upstream.addr(), "").await.chat(&chat("large", "hello")).await;
        assert_eq!((reply.status, reply.end, reply.body.len()), (200, End::Complete, answer.len()));
        assert!(reply.body == answer.as_bytes());
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
    let each = |event: &&str| chunk(gzip(events(&[event]).as_bytes()));
    let steps = [Step::send(head)].into_iter().chain(STREAM[..2].iter().map(each)).chain([Step::Hold]);
    let upstream = Upstream::script(steps.collect()).await;
    let rig = alone(upstream.addr(), "").await;
    let mut client = rig.asking(&[], &streamed("large", "hello")).await;
    client.head().await;
    for event in &STREAM[..2] {
        assert_eq!(client.event().await.as_deref(), Some(*event), "nothing came behind it");
    }
}

#[tokio::test]
async fn what_cannot_be_undone_goes_on_with_its_header_to_a_client_that_reads_it() {
    let body = b"\x8b\x02\x80not really brotli\x03";
    for fields in ["", r#","stream":true"#] {
        let request = with("coder", "hello", fields);
        let answer = || packed(200, "application/json", "br", body);
        let (reply, who) = behind(answer(), &request, &[("accept-encoding", "gzip, br;q=0.9")]).await;
        assert_eq!((reply.status, who.as_str(), reply.body.as_slice()), (200, "coder", &body[..]));
        assert_eq!((reply.header("content-encoding"), reply.end), (Some("br"), End::Complete));
        for headers in [&[][..], &[("accept-encoding", "gzip, br;q=0")]] {
            let (reply, who) = behind(answer(), &request, headers).await;
            assert_eq!((who.as_str(), reply.header("content-encoding")), ("large", None));
        }
    }
    let refused = Upstream::script(packed(400, "application/json", "br", body)).await;
    let rig = alone(refused.addr(), "").await;
    let reply = rig.chat_with(&[("accept-encoding", "br")], &chat("large", "hello")).await;
    assert_eq!(
        (reply.status, reply.header("content-encoding")),
        (400, Some("br")),
        "never without its header"
    );
    assert_eq!(reply.body, body);
    let reply = rig.chat(&chat("large", "hello")).await;
    assert_eq!((reply.status, reply.header("content-encoding")), (400, None), "to who cannot read it");
    assert_eq!(error_code(&reply), "upstream_error");
}

#[tokio::test]
async fn a_bomb_of_an_answer_is_relayed_in_pieces_and_never_held() {
    let zeros = 256 << 20;
    let upstream = Upstream::script(packed(200, "application/json", "gzip", &gzip(&vec![b' '; zeros]))).await;
    let rig = alone(upstream.addr(), "").await;
    let mut client = rig.asking(&[], &chat("large", "hello")).await;
    assert_eq!(client.head().await.status, 200);
    let mut came = 0;
    while let Some(frame) = client.frame().await {
        came += frame.len();
    }
    assert_eq!((came, client.end()), (zeros, Some(End::Complete)));
}

#[tokio::test]
async fn a_stream_is_one_under_any_media_type() {
    for media in [
        "content-type: text/event-stream\r\n",
        "content-type: Text/Event-Stream; Charset=UTF-8\r\n",
        "content-type: application/json\r\n",
        "content-type: text/plain\r\n",
        "content-type: application/octet-stream\r\n",
        "content-type: text/html\r\n",
        "",
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{media}transfer-encoding: chunked\r\n\r\n");
        for blanks in ["", "\n\n", "\u{feff}", ": hello\n\n", "event: x\n", "id: 1\n"] {
            let sent = format!("{blanks}{}", events(&[WORD, FINISH, "[DONE]"]));
            let steps = vec![Step::send(head.clone()), chunk(&sent), Step::send("0\r\n\r\n")];
            let upstream = Upstream::script(steps).await;
            let reply = alone(upstream.addr(), "").await.chat(&streamed("large", "hello")).await;
            assert_eq!((reply.status, reply.text()), (200, sent), "{media}{blanks:?}");
            let told = reply.header("content-type").unwrap_or_default().to_ascii_lowercase();
            assert!(told.starts_with("text/event-stream"), "{media}: {told}");
        }
    }
}

#[tokio::test]
async fn a_whole_answer_where_a_stream_was_asked_for_is_played_as_one() {
    for (media, blanks) in [("application/json", ""), ("text/event-stream", ""), ("text/plain", "\n \n")] {
        let body = format!("{blanks}{ANSWER}");
        let upstream = Upstream::script(testkit::answer(200, &[("content-type", media)], &body)).await;
        let rig = alone(upstream.addr(), "").await;
        for (fields, usage) in [("", 0), (r#","stream_options":{"include_usage":true}"#, 1)] {
            let reply = rig.chat(&with("large", "hello", &format!(r#","stream":true{fields}"#))).await;
            assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
            let events = reply.events();
            let (marker, chunks) = events.split_last().unwrap();
            let chunks: Vec<Json> = chunks.iter().map(|event| json(event.as_bytes())).collect();
            assert_eq!((marker.as_str(), chunks.len()), ("[DONE]", 3 + usage), "{media}: {events:?}");
            assert!(chunks.iter().all(|c| c["object"] == "chat.completion.chunk" && c["id"] == "c1"));
            assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
            assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "hello");
            assert_eq!(chunks[2]["choices"][0]["finish_reason"], "stop");
            let record = rig.record_of(&reply).await;
            assert_eq!(
                (&record["outcome"], &record["usage"]["output"]),
                (&"ok".into(), &5.into()),
                "{record}"
            );
        }
    }
    let completion =
        r#"{"id":"c","object":"text_completion","choices":[{"index":0,"text":"hi","finish_reason":"stop"}]}"#;
    let upstream = Upstream::script(json_steps(200, completion)).await;
    let rig = alone(upstream.addr(), "").await;
    let body = r#"{"model":"large","prompt":"x","stream":true}"#;
    let reply = post_json(rig.addr(), "/v1/completions", &[], body).await;
    let events = reply.events();
    assert_eq!((json(events[0].as_bytes())["choices"][0]["text"].as_str(), events.len()), (Some("hi"), 2));
}

#[tokio::test]
async fn a_played_answer_tells_its_usage_to_a_client_that_asked() {
    for stream_usage in ["stream_usage: off", ""] {
        for (asks, told) in [
            (r#","stream":true"#, false),
            (r#","stream":true,"stream_options":{"include_usage":false}"#, false),
            (r#","stream":true,"stream_options":{"include_usage":true}"#, true),
        ] {
            let upstream = Upstream::script(json_steps(200, ANSWER)).await;
            let rig = alone(upstream.addr(), stream_usage).await;
            let reply = rig.chat(&with("large", "hello", asks)).await;
            let has = |what: &str| reply.events().iter().any(|event| event.contains(what));
            assert_eq!((has("\"usage\""), has("\"choices\":[]")), (told, told), "{asks}: {}", reply.text());
            let record = rig.record_of(&reply).await;
            assert_eq!((&record["usage"]["output"], &record["usage_estimated"]), (&5.into(), &false.into()));
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_in_either_form_means_the_next_candidate() {
    let stream = |data: &[&str]| sse(data);
    let page = testkit::answer(200, &[("content-type", "text/event-stream")], "<html>busy</html>");
    let large = format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}]}}"#, "x".repeat(1 << 20));
    for (name, steps, fields) in [
        (
            "an error where a stream was asked for",
            json_steps(200, r#"{"error":{"message":"x"}}"#),
            r#","stream":true"#,
        ),
        ("a page", page, r#","stream":true"#),
        ("an answer too large to be played", json_steps(200, &large), r#","stream":true"#),
        (
            "an event named error",
            vec![testkit::sse_head(), chunk("event: error\ndata: {\"message\":\"x\"}\n\n"), Step::Hold],
            r#","stream":true"#,
        ),
        (
            "vLLM's flat error",
            stream(&[r#"{"object":"error","message":"x","code":500}"#]),
            r#","stream":true"#,
        ),
        ("pings and no word", stream(&["null", ": keepalive", "[DONE]"]), r#","stream":true"#),
        (
            "a role, an empty reason, and the end",
            stream(&[r#"{"choices":[{"delta":{"role":"assistant"},"finish_reason":""}]}"#]),
            r#","stream":true"#,
        ),
        ("a stream where none was asked for", stream(&STREAM), ""),
        ("null choices", json_steps(200, r#"{"id":"x","choices":null}"#), ""),
    ] {
        let (reply, who) = behind(steps, &with("coder", "hello", fields), &[]).await;
        assert_eq!((reply.status, who.as_str()), (200, "large"), "{name}: {}", reply.text());
    }
}

#[tokio::test]
async fn pings_before_the_first_word_pass_and_hurt_nobody() {
    for ping in [
        "data: : keepalive",
        "data: ",
        "data:",
        "data: null",
        "event: ping\ndata: {\"type\": \"ping\"}",
        "event:keepalive",
        ":",
        "data: {}",
    ] {
        let word = format!("data: {WORD}");
        let lines = [ping, ping, &word, ping, &format!("data: {FINISH}"), ping, "data: [DONE]"];
        let sent = lines.map(|line| format!("{line}\n\n")).concat();
        let upstream =
            Upstream::script(vec![testkit::sse_head(), chunk(&sent), Step::send("0\r\n\r\n")]).await;
        let reply = alone(upstream.addr(), "").await.chat(&streamed("large", "hello")).await;
        assert_eq!((reply.status, reply.text()), (200, sent), "{ping}");
    }
}

#[tokio::test]
async fn several_prompts_are_several_choices() {
    let finished =
        |index: u32| format!(r#"{{"choices":[{{"index":{index},"text":"a","finish_reason":"stop"}}]}}"#);
    let (first, second) = (finished(0), finished(1));
    for (fields, whole) in [
        (r#""prompt":["one","two"]"#, false),
        (r#""prompt":[[1,2],[3]]"#, false),
        (r#""prompt":"one","n":2"#, false),
        (r#""prompt":["one"]"#, true),
        (r#""prompt":[1,2,3]"#, true),
    ] {
        let body = format!(r#"{{"model":"large","stream":true,{fields}}}"#);
        for (sent, complete) in [(vec![first.as_str()], whole), (vec![&first, &second], true)] {
            let upstream = Upstream::script(sse_then(
                &sent,
                [Step::Sleep(std::time::Duration::from_millis(40)), Step::Close],
            ))
            .await;
            let rig = alone(upstream.addr(), "").await;
            let reply = post_json(rig.addr(), "/v1/completions", &[], &body).await;
            assert_eq!(!reply.text().contains("upstream_incomplete"), complete, "{fields}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_stream_says_that_it_must_not_be_gathered() {
    let upstream = Upstream::scripts(vec![sse(&STREAM), json_steps(200, ANSWER)]).await;
    let rig = alone(upstream.addr(), "").await;
    assert_eq!(rig.chat(&streamed("large", "hello")).await.header("x-accel-buffering"), Some("no"));
    assert_eq!(rig.chat(&chat("large", "hello")).await.header("x-accel-buffering"), None);
    let own = Upstream::script(testkit::answer(
        200,
        &[("content-type", "text/event-stream"), ("x-accel-buffering", "yes")],
        &events(&STREAM),
    ))
    .await;
    let reply = alone(own.addr(), "").await.chat(&streamed("large", "hello")).await;
    assert_eq!(reply.header("x-accel-buffering"), Some("yes"), "its upstream knows better");
}

#[tokio::test]
async fn an_error_too_long_to_pass_is_told_in_words_that_can_be_read() {
    for (size, passes) in [(200 << 10, true), (300 << 10, false)] {
        let error = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(size));
        let upstream = Upstream::script(json_steps(400, &error)).await;
        let reply = alone(upstream.addr(), "").await.chat(&chat("large", "hello")).await;
        assert_eq!((reply.status, reply.body == error.as_bytes()), (400, passes));
        if !passes {
            assert_eq!(error_code(&reply), "upstream_error", "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn what_a_server_adds_beside_usage_reaches_a_client_that_did_not_ask_for_usage() {
    let timed =
        USAGE.replace("\"total_tokens\":15}", "\"total_tokens\":15},\"timings\":{\"predicted_ms\":1.5}");
    let upstream = Upstream::script(sse(&[WORD, FINISH, &timed, "[DONE]"])).await;
    let reply = alone(upstream.addr(), "").await.chat(&streamed("large", "hello")).await;
    let added = r#"{"id":"c1","choices":[],"timings":{"predicted_ms":1.5}}"#;
    assert_eq!(reply.events(), [WORD, FINISH, added, "[DONE]"]);
}

#[tokio::test]
async fn half_a_surrogate_pair_and_pythons_numbers_pass() {
    let odd = r#"{"id":"c","\ud83d":1,"choices":[{"index":0,"message":{"content":"cut \ud83d"},"logprobs":{"x":-Infinity},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
    let word = r#"{"choices":[{"index":0,"delta":{"content":"\ud83d"},"logprobs":{"x":NaN}}],"\ude00":null}"#;
    let upstream = Upstream::scripts(vec![json_steps(200, odd), sse(&[word, FINISH, "[DONE]"])]).await;
    let rig = alone(upstream.addr(), "").await;
    let reply = rig.chat(&chat("large", "hello")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, odd));
    assert_eq!(rig.record_of(&reply).await["usage"]["output"], 5);
    assert_eq!(rig.chat(&streamed("large", "hello")).await.events(), [word, FINISH, "[DONE]"]);
}
