//! What each fault does to the bytes, without a socket.

use super::*;
use crate::mock::answer::{EVENTS, Piece};

const CONTEXT: Context =
    Context { latency: Duration::ZERO, token_interval: Duration::ZERO, number: 7, keep_alive: true };

fn stream() -> Answer {
    let piece = |part, text: &str| Piece { bytes: text.into(), part, bill: ONE_TOKEN };
    let tokens = ["a1", "b2", "c3", "d\u{e9}"].map(|token| piece(Part::Token, token));
    let mut pieces = vec![piece(Part::Opening, "<role>")];
    pieces.extend(tokens);
    pieces.extend([piece(Part::Finish, "<finish>"), piece(Part::Usage, "<usage>"), Piece::done()]);
    Answer::stream(pieces)
}

/// The body as chunks joined by `|`, and how it ends.
fn played(answer: Answer, fault: &str) -> (String, Option<Step>) {
    let kind = fault.parse::<Kind>().unwrap();
    let mut sent = Vec::new();
    let mut last = None;
    for step in script(answer, Some(&kind), CONTEXT) {
        match step {
            Step::Send { bytes, .. } | Step::Trickle { bytes, .. } => sent.extend(bytes),
            step => last = Some(step),
        }
    }
    let sent = String::from_utf8_lossy(&sent).into_owned();
    let body = sent.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let chunks: Vec<&str> = body.split("\r\n").skip(1).step_by(2).collect();
    (chunks.join("|"), last)
}

#[test]
fn each_fault_of_a_stream_cuts_where_it_says() {
    let all = "<role>|a1|b2|c3|d\u{e9}|<finish>|<usage>|data: [DONE]\n\n|";
    for (fault, body, last) in [
        ("close-after-answer", all, Some(Step::Close)),
        ("stall-after:2", "<role>|a1|b2", Some(Step::Hold)),
        ("stall-after-headers", "", Some(Step::Hold)),
        ("reset-after-headers", "", Some(Step::Reset)),
        ("reset-in-event:1", "<role>|a1|b", Some(Step::Reset)),
        ("end-in-event:1", "<role>|a1|b|", None),
        ("end-without-last-chunk:1", "<role>|a1", Some(Step::Close)),
        ("end-without-finish", "<role>|a1|b2|c3|d\u{e9}|", None),
        ("end-without-done", "<role>|a1|b2|c3|d\u{e9}|<finish>|<usage>|", None),
        ("usage-twice", "<role>|a1|b2|c3|d\u{e9}|<finish>|<usage>|<usage>|data: [DONE]\n\n|", None),
        ("silence", "", Some(Step::Hold)),
        ("stall-in-headers", "", Some(Step::Hold)),
        ("reset-before-headers", "", Some(Step::Reset)),
        ("byte-by-byte", "<|r|o|l|e|>|a|1|b|2", None),
    ] {
        let (said, end) = played(stream(), fault);
        assert!(
            if fault == "byte-by-byte" { said.starts_with(body) } else { said == body },
            "{fault}: {said}"
        );
        assert_eq!(end, last, "{fault}");
    }
}

#[test]
fn errors_in_a_stream_come_where_they_should() {
    for (fault, before, after) in [
        ("error-event-first", "data: {\"error\"", "}}\n\n|"),
        ("error-event-mid-stream:1", "<role>|a1|data: {\"error\"", "}}\n\n|"),
        ("error-event-then-done:1", "<role>|a1|data: {\"error\"", "|data: [DONE]\n\n|"),
    ] {
        let (said, _) = played(stream(), fault);
        assert!(said.starts_with(before) && said.ends_with(after), "{fault}: {said}");
    }
}

#[test]
fn characters_are_split_between_chunks() {
    let kind = Kind::SplitUtf8;
    let steps = script(stream(), Some(&kind), CONTEXT);
    let Some(Step::Send { bytes, .. }) = steps.first() else { panic!("{steps:?}") };
    assert!(bytes.ends_with(b"2\r\nd\xc3\r\n"), "{:?}", String::from_utf8_lossy(bytes));
    let Some(Step::Send { bytes, .. }) = steps.get(1) else { panic!("{steps:?}") };
    assert!(bytes.starts_with(b"1\r\n\xa9\r\n"));
}

#[test]
fn an_honest_answer_is_one_write() {
    assert_eq!(script(stream(), None, CONTEXT).len(), 1);
    let whole = Answer::whole(200, "x", b"body".to_vec(), ONE_TOKEN);
    let expected =
        "HTTP/1.1 200 OK\r\ncontent-type: x\r\nx-request-id: req_7\r\ncontent-length: 4\r\n\r\nbody";
    let expected = Step::Send { bytes: expected.into(), bill: ONE_TOKEN };
    assert_eq!(script(whole, None, CONTEXT), [expected]);
}

#[test]
fn tokens_come_at_their_pace_and_are_billed_when_they_go() {
    let context = Context { token_interval: Duration::from_millis(5), ..CONTEXT };
    let steps = script(stream(), None, context);
    let pauses = steps.iter().filter(|step| **step == Step::Pause(context.token_interval)).count();
    assert_eq!(pauses, 3);
    let billed = |step: &Step| if let Step::Send { bill, .. } = step { bill.completion_tokens } else { 0 };
    assert_eq!(steps.iter().map(billed).collect::<Vec<_>>(), [2, 0, 1, 0, 1, 0, 3]);
}

#[test]
fn a_wrong_length_is_announced() {
    let whole = || Answer::whole(200, "x", b"body".to_vec(), Bill::default());
    for (fault, length) in [("content-length-short", 2), ("content-length-long", 20), ("empty", 0)] {
        let steps = script(whole(), Some(&fault.parse().unwrap()), CONTEXT);
        let Some(Step::Send { bytes, .. }) = steps.first() else { panic!("{steps:?}") };
        let announced = format!("content-length: {length}\r\n");
        assert!(String::from_utf8_lossy(bytes).contains(&announced), "{fault}");
    }
    assert_eq!(Answer::stream(Vec::new()).content_type, EVENTS);
}

#[test]
fn a_body_that_is_no_stream_is_cut_in_the_middle() {
    let whole = || Answer::whole(200, "x", b"body".to_vec(), Bill::default());
    assert_eq!(played(whole(), "end-in-event"), ("bo|d|".to_owned(), None));
    assert_eq!(played(whole(), "reset-in-event"), ("bo|d".to_owned(), Some(Step::Reset)));
    assert_eq!(played(whole(), "stall-after"), ("bo".to_owned(), Some(Step::Hold)));
}
