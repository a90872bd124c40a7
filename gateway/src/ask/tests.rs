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
