use proptest::prelude::*;

use super::*;

fn chat(body: &str) -> Result<Ask<'_>, Failure> {
    Ask::parse(Dialect::Chat, body.as_bytes())
}

fn rewritten(body: &str, model: &str) -> String {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let ask = Ask::parse(Dialect::Chat, &bytes).unwrap();
    String::from_utf8(ask.rewrite(&bytes, model, true).to_vec()).unwrap()
}

#[test]
fn only_the_model_is_exchanged() {
    let body = r#"{ "seed": 1.0e2, "model" : "auto","x":{"model":"y"}, "messages":[{"role":"user","content":"hi"}]}"#;
    let expected =
        r#"{ "seed": 1.0e2, "model" : "m/1","x":{"model":"y"}, "messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(rewritten(body, "m/1"), expected);
}

#[test]
fn an_unchanged_body_is_not_copied() {
    let body = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#);
    let ask = Ask::parse(Dialect::Chat, &body).unwrap();
    assert_eq!(ask.rewrite(&body, "m", true).as_ptr(), body.as_ptr());
}

#[test]
fn usage_is_asked_for_wherever_stream_options_stand() {
    let with = |options: &str| {
        format!(r#"{{{options}"stream":true,"model":"m","messages":[{{"role":"user","content":"x"}}]}}"#)
    };
    let cases = [
        (with(""), r#""model":"m","stream_options":{"include_usage":true},"#),
        (with(r#""stream_options":{},"#), r#"{"stream_options":{"include_usage":true},"#),
        (with(r#""stream_options":null,"#), r#"{"stream_options":{"include_usage":true},"#),
        (with(r#""stream_options":{ "a":1},"#), r#"{"stream_options":{"include_usage":true, "a":1},"#),
        (
            with(r#""stream_options":{"include_usage": false,"a":1},"#),
            r#""stream_options":{"include_usage": true,"a":1},"#,
        ),
    ];
    for (body, expected) in cases {
        let out = rewritten(&body, "m");
        assert!(out.contains(expected), "{out} should contain {expected}");
        assert!(Ask::parse(Dialect::Chat, out.as_bytes()).unwrap().wants_usage, "{out}");
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let cases = [
        r#"{"model":"a","model":"b","messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"a","mod\u0065l":"b","messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"a","Model":"b","messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"a","messages":[{"role":"user","content":"x"}],"MESSAGES":[]}"#,
        r#"{"model":"a","messages":[{"role":"user","content":"x"}]} {}"#,
    ];
    for body in cases {
        assert!(matches!(chat(body), Err(Failure::InvalidJson(_))), "{body}");
    }
}

#[test]
fn nesting_is_bounded_in_skipped_values_too() {
    let deep = format!(
        r#"{{"x":{}{},"model":"a","messages":[{{"role":"user","content":"x"}}]}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    assert!(matches!(chat(&deep), Err(Failure::InvalidJson(_))));
    let brackets_in_text =
        format!(r#"{{"model":"a","messages":[{{"role":"user","content":"{}"}}]}}"#, "[{".repeat(500));
    assert!(chat(&brackets_in_text).is_ok());
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(chat("{}").unwrap_err(), Failure::MissingParameter("model"));
    assert_eq!(chat(r#"{"model":"a"}"#).unwrap_err(), Failure::MissingParameter("messages"));
    assert!(matches!(chat(r#"{"model":"a","messages":[]}"#), Err(Failure::InvalidValue("messages", _))));
    assert!(matches!(chat(r#"{"model":1,"messages":[]}"#), Err(Failure::InvalidValue("model", _))));
}

#[test]
fn needs_are_read_from_the_request() {
    let ask = chat(
        r#"{"model":"a","tools":[{"type":"function"}],"response_format":{"type":"json_schema","json_schema":{}},
        "messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:"}}]}]}"#,
    )
    .unwrap();
    for need in [Capabilities::TOOLS, Capabilities::JSON_SCHEMA, Capabilities::VISION] {
        assert!(ask.needs.has(need), "{need:?}");
    }
    let plain =
        chat(r#"{"model":"a","tools":[],"logprobs":false,"messages":[{"role":"user","content":"x"}]}"#)
            .unwrap();
    assert_eq!(plain.needs, Capabilities::default());
}

#[test]
fn a_user_turn_of_tool_results_is_no_human_turn() {
    let ask = chat(
        r#"{"model":"a","messages":[{"role":"user","content":[{"type":"tool_result","content":"42"}]}]}"#,
    )
    .unwrap();
    assert_eq!(ask.turns[0].role, Role::Tool);
}

#[test]
fn usage_of_null_is_replaced_and_not_doubled() {
    let body = r#"{"stream_options":{"include_usage": null,"a":1},"stream":true,"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    assert_eq!(rewritten(body, "m"), body.replace("null", "true"));
}

#[test]
fn every_key_that_decides_stands_once_and_in_lower_case() {
    for key in DECISIVE {
        let value = if *key == "stream_options" { "{}" } else { "null" };
        let twice = format!(r#"{{"{key}":{value},"{key}":{value}}}"#);
        assert!(matches!(chat(&twice), Err(Failure::InvalidJson(_))), "{twice}");
        let capitals = format!(r#"{{"{}":1}}"#, key.to_uppercase());
        assert!(matches!(chat(&capitals), Err(Failure::InvalidJson(_))), "{capitals}");
    }
    assert!(matches!(chat(r#"{"meſſages":[]}"#), Err(Failure::InvalidJson(_))), "Go folds it");
    for messages in [
        r#"[{"role":"user","role":"tool","content":"x"}]"#,
        r#"[{"role":"user","content":"x","content":"y"}]"#,
        r#"[{"role":"user","content":"x","Content":"y"}]"#,
        r#"[{"role":"user","content":[{"type":"text","type":"image_url","text":"y"}]}]"#,
        r#"[{"role":"user","content":[{"type":"text","text":"x","TEXT":"y"}]}]"#,
    ] {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        assert!(matches!(chat(&body), Err(Failure::InvalidValue("messages", _))), "{body}");
    }
    assert!(
        chat(r#"{"user":"a","user":"b","User":"c","model":"m","messages":[{"role":"user","content":"x"}]}"#)
            .is_ok()
    );
}

fn with(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{fields}}}"#)
}

#[test]
fn numbers_are_read_as_servers_read_them() {
    for (fields, most, choices) in [
        ("", None, 1),
        (r#","max_tokens":256,"n":2"#, Some(256), 2),
        (r#","max_tokens":256.0,"n":2.0"#, Some(256), 2),
        (r#","max_completion_tokens":2.56e2"#, Some(256), 1),
        (r#","max_tokens":16,"max_completion_tokens":256"#, Some(256), 1),
        (r#","max_tokens":-1,"n":-1"#, None, 1),
        (r#","max_tokens":null,"n":null"#, None, 1),
        (r#","max_tokens":"256","n":0"#, None, 1),
        (r#","max_tokens":0"#, Some(0), 1),
        (r#","max_tokens":0.5"#, Some(0), 1),
        (r#","max_tokens":1e400,"n":1e400"#, Some(u64::MAX), MAX_CHOICES),
        (r#","max_tokens":1e30,"n":1e30"#, Some(u64::MAX), MAX_CHOICES),
        (r#","max_tokens":18446744073709551616"#, Some(u64::MAX), 1),
    ] {
        let body = with(fields);
        let ask = chat(&body).unwrap();
        assert_eq!((ask.max_output, ask.choices), (most, choices), "{fields}");
        assert!(rewritten(&body, "other").contains(fields), "they go on as they stand");
    }
}

#[test]
fn what_the_model_reads_counts_wherever_it_stands() {
    let count = |body: &str| chat(body).unwrap().tokens_estimated;
    let base = count(&with(""));
    let long = "word ".repeat(800);
    let message =
        |message: &str| format!(r#"{{"model":"m","messages":[{message},{{"role":"user","content":"x"}}]}}"#);
    for body in [
        with(&format!(r#","tools":[{{"type":"function","function":{{"description":"{long}"}}}}]"#)),
        with(&format!(r#","functions":[{{"description":"{long}"}}]"#)),
        with(&format!(
            r#","response_format":{{"type":"json_schema","json_schema":{{"description":"{long}"}}}}"#
        )),
        with(&format!(r#","suffix":"{long}""#)),
        with(&format!(r#","prediction":{{"type":"content","content":"{long}"}}"#)),
        with(&format!(r#","documents":[{{"title":"a","text":"{long}"}}]"#)),
        message(&format!(
            r#"{{"role":"assistant","content":null,"tool_calls":[{{"function":{{"arguments":"{long}"}}}}]}}"#
        )),
        message(&format!(r#"{{"role":"assistant","function_call":{{"arguments":"{long}"}}}}"#)),
        message(&format!(r#"{{"role":"assistant","content":"","reasoning_content":"{long}"}}"#)),
        message(&format!(r#"{{"role":"tool","content":"{long}"}}"#)),
        message(&format!(r#"{{"role":"user","content":[{{"type":"tool_result","content":"{long}"}}]}}"#)),
        message(&format!(r#"{{"role":"user","content":["{long}"]}}"#)),
    ] {
        let more = count(&body) - base;
        assert!((1000..1100).contains(&more), "{more} tokens more: {body:.120}");
    }
    assert_eq!(count(&with(r#","tools":[],"response_format":null,"suffix":null"#)), base);
}

#[test]
fn escaped_and_plain_text_count_alike() {
    let text = "你好世界 «é» 😀 \n".repeat(100);
    let plain = serde_json::to_string(&text).unwrap();
    let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let tokens = |literal: &str| {
        let tools = format!(r#","tools":[{{"description":{literal}}}]"#);
        let body = with(&tools).replace(r#""content":"x""#, &format!(r#""content":{literal}"#));
        chat(&body).unwrap().tokens_estimated
    };
    assert_eq!(tokens(&plain), tokens(&format!("\"{escaped}\"")));
}

#[test]
fn reasoning_is_needed_where_it_is_asked_for() {
    for (fields, needed) in [
        (r#","reasoning_effort":"low""#, true),
        (r#","reasoning_effort":"none""#, false),
        (r#","reasoning_effort":null"#, false),
        (r#","reasoning":{"effort":"high"}"#, true),
        (r#","reasoning":{"effort":"none"}"#, false),
        (r#","reasoning":{"effort":null}"#, false),
        (r#","reasoning":{"max_tokens":2000}"#, true),
        (r#","reasoning":{"enabled":true}"#, true),
        (r#","reasoning":{"enabled":false}"#, false),
        (r#","reasoning":{"exclude":true}"#, false),
        (r#","reasoning":{}"#, false),
        (r#","thinking":{"type":"enabled","budget_tokens":1024}"#, true),
        (r#","thinking":{"type":"disabled"}"#, false),
    ] {
        let body = with(fields);
        assert_eq!(chat(&body).unwrap().needs.has(Capabilities::REASONING), needed, "{fields}");
    }
}

#[test]
fn forms_and_media_of_an_answer_are_abilities() {
    let text = Capabilities::default();
    for (fields, needed) in [
        (r#","response_format":{"type":"text"}"#, text),
        (r#","response_format":{"type":"json_object"}"#, text),
        (r#","response_format":{"type":"json_schema","json_schema":{}}"#, Capabilities::JSON_SCHEMA),
        (r#","response_format":{"type":"grammar","grammar":"x"}"#, Capabilities::JSON_SCHEMA),
        (r#","structured_outputs":{"json":{}}"#, Capabilities::JSON_SCHEMA),
        (r#","guided_json":{"type":"object"}"#, Capabilities::JSON_SCHEMA),
        (r#","guided_regex":null"#, text),
        (r#","modalities":["text"]"#, text),
        (r#","modalities":null"#, text),
        (r#","modalities":["text","audio"]"#, Capabilities::AUDIO),
        (r#","modalities":["image","text"]"#, Capabilities::OTHER),
        (r#","web_search_options":{"search_context_size":"low"}"#, Capabilities::OTHER),
        (r#","web_search_options":{}"#, Capabilities::OTHER),
        (r#","web_search_options":null"#, text),
    ] {
        assert_eq!(chat(&with(fields)).unwrap().needs, needed, "{fields}");
    }
}

#[test]
fn parts_tell_what_an_expert_must_take() {
    let text = Capabilities::default();
    for (kind, needed) in [
        ("text", text),
        ("input_text", text),
        ("image_url", Capabilities::VISION),
        ("input_audio", Capabilities::AUDIO),
        ("file", Capabilities::OTHER),
        ("video_url", Capabilities::OTHER),
        ("hologram", Capabilities::OTHER),
    ] {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"{kind}","text":"x"}}]}}]}}"#
        );
        assert_eq!(chat(&body).unwrap().needs, needed, "{kind}");
    }
}

#[test]
fn half_a_character_is_read_as_one_that_cannot_be_shown() {
    let body = r#"{"m\ud83d":1,"model":"\u0061uto","metadata":{"session_id":"\ud83d"},"messages":[{"role":"user","content":"x\ud83d"}]}"#;
    let ask = chat(body).unwrap();
    assert_eq!((&*ask.model, ask.session.as_deref()), ("auto", Some("\u{fffd}")));
    assert_eq!(rewritten(body, "m"), body.replace(r#""\u0061uto""#, r#""m""#));
}

#[test]
fn so_many_messages_and_parts_are_read_and_no_more() {
    let list = |item: &str, count: usize| vec![item; count].join(",");
    let user = r#"{"role":"user","content":"x"}"#;
    let messages = |count| format!(r#"{{"model":"m","messages":[{}]}}"#, list(user, count));
    let parts = |count| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{}]}}]}}"#, list("{}", count))
    };
    let prompts = |count| format!(r#"{{"model":"m","prompt":[{}]}}"#, list(r#""x""#, count));
    for (body, good) in [
        (messages(MAX_PIECES), true),
        (messages(MAX_PIECES + 1), false),
        (parts(MAX_PIECES - 1), true),
        (parts(MAX_PIECES), false),
    ] {
        let told = chat(&body).map(|ask| ask.weight() < 4 * body.len());
        assert!(if good { told == Ok(true) } else { told.unwrap_err().message().contains("100000") });
    }
    for (count, good) in [(MAX_PIECES, true), (MAX_PIECES + 1, false)] {
        assert_eq!(Ask::parse(Dialect::Completions, prompts(count).as_bytes()).is_ok(), good);
    }
}

#[test]
fn prompts_are_texts_ids_or_lists_of_them() {
    for (prompt, choices, tokens) in [
        (r#""four""#, 1, 5),
        (r#"["four","four"]"#, 2, 6),
        ("[1,2,3]", 1, 7),
        ("[[1,2,3],[4]]", 2, 8),
        ("[]", 1, 4),
        ("[[]]", 1, 4),
    ] {
        let body = format!(r#"{{"model":"m","prompt":{prompt}}}"#);
        let ask = Ask::parse(Dialect::Completions, body.as_bytes()).unwrap();
        assert_eq!((ask.choices, ask.tokens_estimated), (choices, tokens), "{prompt}");
    }
}

/// A large body goes out in pieces that are the same bytes.
#[test]
fn a_large_body_is_sent_on_without_a_copy() {
    use http_body::Body as _;
    let long = "x".repeat(SPLICED);
    let body = Bytes::from(with(&format!(r#","stream":true,"user":"{long}""#)));
    let ask = Ask::parse(Dialect::Chat, &body).unwrap();
    let mut outgoing = std::pin::pin!(ask.outgoing(&body, "other", true));
    let announced = outgoing.size_hint().exact();
    let mut pieces = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Some(Ok(frame))) = outgoing.as_mut().poll_frame(&mut context) {
        pieces.push(frame.into_data().unwrap());
    }
    let last = pieces.last().unwrap();
    assert!(body.as_ptr_range().contains(&last.as_ptr()), "these are the client's own bytes");
    assert_eq!(pieces.concat(), ask.rewrite(&body, "other", true));
    assert_eq!(announced, Some(pieces.concat().len() as u64));
    assert!(outgoing.is_end_stream());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Embeddings] {
            let _ = Ask::parse(dialect, &bytes);
        }
    }

    #[test]
    fn no_json_like_text_makes_it_panic(text in r#"[{}\[\]":, a-z\\0-9]{0,200}"#) {
        let body = format!(r#"{{"model":"m","messages":{text}"#);
        let _ = chat(&body);
        let body = Bytes::from(format!(r#"{{"stream_options":{text},"stream":true,"model":"m","messages":[{{"role":"user","content":"x"}}]}}"#));
        if let Ok(ask) = Ask::parse(Dialect::Chat, &body) {
            let _ = ask.rewrite(&body, "other", true);
        }
    }
}
