//! The routable text: what of a request says which expert suits it.
//!
//! The last human turn decides. The turn before it is added only where it asks to go on («continue»), and the system
//! prompt only where nothing else is there, because they would drown a short question; but unless it is long, what stands
//! before it has its say in a second text («and in Texas?»; `context`, `conversation`). What a harness wraps around
//! the words of a person (`<system-reminder>` and its like) and what tools answered is left out. Work is bounded in
//! what is looked at, not in what is kept: of a text 8 KiB of its head and 4 KiB of its tail, of a turn 48 KiB and 512
//! parts, of a conversation the last 32 human turns.

mod alone;
mod context;

use std::borrow::Cow;

pub use alone::Alone;
use alone::is_follow_up;
pub use context::{Part, context};

use crate::ask::{Ask, Literal, Role, Turn, unescape};

const HEAD: usize = 8 * 1024;
const TAIL: usize = 4 * 1024;
/// Bytes of a turn that are looked at, whatever comes of them.
const LOOKED_AT: usize = 48 * 1024;
/// Parts of a turn that are looked at.
const PARTS: usize = 512;
/// Human turns that are asked for words, the last ones.
const TURNS_BACK: usize = 32;
/// Texts that a conversation is known by.
const OPENING: usize = 64;
/// A turn shorter than this says too little alone.
const SHORT: usize = 24;

/// What the router model reads, and what the conversation looked like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routable {
    /// The text.
    pub text: String,
    /// Human turns.
    pub turns: u32,
    /// The last human turn asks only to go on: «continue», «yes please».
    pub goes_on: bool,
    /// It does, and what it goes on with stands in the request too.
    pub follow_up: bool,
    /// The request answers a tool call of the model.
    pub open_tool_loop: bool,
    /// How far the last human turn tells its subject by itself.
    pub alone: Alone,
}

/// Collects the routable text of a request.
pub fn routable(ask: &Ask<'_>) -> Routable {
    let human: Vec<&Turn<'_>> = ask.turns.iter().filter(|t| t.role == Role::Human).collect();
    let last = human.last().map(|t| words_of(t, HEAD, TAIL)).unwrap_or_default();
    let goes_on = is_follow_up(&last);
    let follow_up = human.len() > 1 && goes_on;
    let system = ask.turns.iter().find(|t| t.role == Role::System);
    let alone = match human.len() {
        0 | 1 if system.is_some() => Alone::of_first(&last),
        0 | 1 => Alone::Stands,
        _ if follow_up => Alone::Leans,
        _ => Alone::of(&last),
    };
    let mut text = last;
    if follow_up {
        let says_something = |turn: &&&Turn<'_>| !is_follow_up(&words_of(turn, 64, 0));
        let before = human.iter().rev().skip(1).take(TURNS_BACK).find(says_something);
        before.into_iter().for_each(|turn| append(&mut text, &words_of(turn, 1024, 0)));
    }
    if text.len() < SHORT
        && human.len() < 2
        && let Some(system) = system
    {
        append(&mut text, &words_of(system, 512, 0));
    }
    let open_tool_loop = is_tool_loop(&ask.turns);
    Routable { text, turns: human.len() as u32, goes_on, follow_up, open_tool_loop, alone }
}

/// System prompt and first human turn: what stays the same through a conversation.
pub fn opening<'a>(ask: &'a Ask<'_>) -> impl Iterator<Item = &'a str> {
    let system = ask.turns.iter().filter(|t| t.role == Role::System);
    let first = ask.turns.iter().find(|t| t.role == Role::Human);
    system.chain(first).flat_map(|t| t.texts.iter().map(|l| l.0)).take(OPENING)
}

/// Script of most of the first letters: a hint at the language that costs nothing.
pub fn script(text: &str) -> &'static str {
    const NAMES: [&str; 7] = ["latin", "cyrillic", "greek", "arabic", "han", "kana", "other"];
    let start = &text.as_bytes()[..text.len().min(96)];
    if start.is_ascii() {
        return if start.iter().any(u8::is_ascii_alphabetic) { NAMES[0] } else { "none" };
    }
    let mut counts = [0_u32; NAMES.len()];
    for letter in text.chars().take(96).filter(|c| c.is_alphabetic()) {
        counts[match letter as u32 {
            0..=0x24F | 0x1E00..=0x1EFF => 0,
            0x400..=0x52F => 1,
            0x370..=0x3FF => 2,
            0x600..=0x6FF => 3,
            0x4E00..=0x9FFF | 0x3400..=0x4DBF => 4,
            0x3040..=0x30FF => 5,
            _ => 6,
        }] += 1;
    }
    let most = (0..NAMES.len()).max_by_key(|i| counts[*i]).filter(|i| counts[*i] > 0);
    most.map_or("none", |i| NAMES[i])
}

fn append(text: &mut String, more: &str) {
    if !more.is_empty() && !text.contains(more) {
        text.push('\n');
        text.push_str(more);
    }
}

/// The words a person wrote in this turn.
fn words_of(turn: &Turn<'_>, head: usize, tail: usize) -> String {
    let mut words = String::new();
    let mut left = LOOKED_AT;
    for literal in turn.texts.iter().take(PARTS) {
        let part = literal.bounded(head, tail);
        left = left.saturating_sub(literal.0.len().min(head + tail));
        let part = without_harness(&part);
        let part = part.trim();
        if !part.is_empty() {
            if !words.is_empty() {
                words.push('\n');
            }
            words.push_str(part);
        }
        if words.len() > HEAD + TAIL || left == 0 {
            break;
        }
    }
    words
}

/// Wrappers that agent harnesses put into human turns.
const WRAPPERS: [&str; 9] = [
    "system-reminder",
    "environment_context",
    "environment_details",
    "user_instructions",
    "tool_result",
    "function_results",
    "local-command-stdout",
    "command-message",
    "ide_selection",
];

/// The text without harness wrappers; borrowed where there is none. One that is not closed goes to the end.
fn without_harness(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let (mut done, mut from) = (0, 0);
    while let Some(at) = memchr::memchr(b'<', &text.as_bytes()[from..]) {
        let start = from + at;
        let name = WRAPPERS.iter().find(|name| text[start + 1..].starts_with(**name));
        let Some(name) = name else {
            from = start + 1;
            continue;
        };
        kept.push_str(&text[done..start]);
        let closed = text[start..].find(&format!("</{name}>"));
        done = closed.map_or(text.len(), |at| start + at + name.len() + "</>".len());
        from = done;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[done..]);
    Cow::Owned(kept)
}

/// The last turn carries results of tools, or the model's call still waits for them.
fn is_tool_loop(turns: &[Turn<'_>]) -> bool {
    turns.iter().rev().find(|t| t.role != Role::System).is_some_and(|t| t.role == Role::Tool || t.calls_tools)
}

impl<'a> Literal<'a> {
    /// The text, unescaped; of a long one only `head` and `tail` bytes of the literal, cut where no escape is broken.
    pub fn bounded(&self, head: usize, tail: usize) -> Cow<'a, str> {
        if self.0.len() <= head + tail {
            return unescape(self.0);
        }
        let front = &self.0[..cut_before(self.0, head)];
        if tail == 0 {
            return unescape(front);
        }
        let back = &self.0[cut_after(self.0, self.0.len() - tail)..];
        Cow::Owned(format!("{}\n{}", unescape(front), unescape(back)))
    }
}

/// Longest escape, and half of what a surrogate pair is written with.
const ESCAPE: usize = 6;
/// A longer run of backslashes is not counted to its start behind a cut: whether its last one begins an escape is left
/// open there.
const COUNTED: usize = 64;

/// A character boundary at or before `at` that is inside no escape and between no two halves of a pair.
pub(crate) fn cut_before(raw: &str, at: usize) -> usize {
    let at = raw.floor_char_boundary(at);
    let bytes = raw.as_bytes();
    let at = match last_backslash(bytes, at) {
        // all that stands before it is kept, so to count it is no more than to copy it
        Some(slash) if !run_to(bytes, slash, at).is_multiple_of(2) && slash + length(bytes, slash) > at => {
            slash
        }
        _ => at,
    };
    if is_half(bytes, at.wrapping_sub(ESCAPE), b"89abAB") { at - ESCAPE } else { at }
}

/// The same at or after `at`.
fn cut_after(raw: &str, at: usize) -> usize {
    let at = raw.ceil_char_boundary(at);
    let bytes = raw.as_bytes();
    let at = match last_backslash(bytes, at) {
        None => at,
        Some(slash) => match run_to(bytes, slash, COUNTED) {
            // whether or not it begins an escape, there is none behind what would be its
            COUNTED => {
                let more = bytes[at..].iter().take_while(|b| **b == b'\\').count();
                let last = if slash + 1 == at { slash + more } else { slash };
                at.max(last + length(bytes, last))
            }
            run if run % 2 == 1 => at.max(slash + length(bytes, slash)),
            _ => at,
        },
    };
    let at = raw.ceil_char_boundary(at);
    let pair = is_half(bytes, at.wrapping_sub(ESCAPE), b"89abAB") && is_half(bytes, at, b"cdefCDEF");
    if pair { at + ESCAPE } else { at }
}

/// The last backslash whose escape could reach beyond `at`.
fn last_backslash(bytes: &[u8], at: usize) -> Option<usize> {
    let earliest = at.saturating_sub(ESCAPE - 1);
    memchr::memrchr(b'\\', &bytes[earliest..at]).map(|found| earliest + found)
}

/// Backslashes in a row that end at `last`, at most `most`.
fn run_to(bytes: &[u8], last: usize, most: usize) -> usize {
    bytes[..=last].iter().rev().take(most).take_while(|b| **b == b'\\').count()
}

/// Length of the escape that begins at `slash`, if one does.
fn length(bytes: &[u8], slash: usize) -> usize {
    let is_unicode = bytes.get(slash + 1) == Some(&b'u')
        && bytes.get(slash + 2..slash + ESCAPE).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
    if is_unicode { ESCAPE } else { 2.min(bytes.len() - slash) }
}

/// Whether half of a surrogate pair is written at `at`: the third digit says which.
fn is_half(bytes: &[u8], at: usize, digits: &[u8]) -> bool {
    let Some(written) = at.checked_add(ESCAPE).and_then(|end| bytes.get(at..end)) else { return false };
    let is_escape = written.starts_with(b"\\u") && run_to(bytes, at, COUNTED) % 2 == 1;
    is_escape && written[2].eq_ignore_ascii_case(&b'd') && digits.contains(&written[3])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::Dialect;

    fn of(messages: &str) -> Routable {
        let body = format!(r#"{{"model":"auto","messages":{messages}}}"#);
        routable(&Ask::parse(Dialect::Chat, body.as_bytes()).unwrap())
    }

    #[test]
    fn the_last_human_turn_comes_first() {
        let long = "x".repeat(300);
        let text = of(&format!(
            r#"[{{"role":"system","content":"You are"}},{{"role":"user","content":"first"}},{{"role":"assistant","content":"a"}},{{"role":"user","content":"{long}"}}]"#
        ));
        assert_eq!(text.text, long);
        assert_eq!(text.turns, 2);
    }

    #[test]
    fn a_short_turn_brings_its_context() {
        let text = of(
            r#"[{"role":"system","content":"You are a SQL assistant"},{"role":"user","content":"hello"}]"#,
        );
        assert_eq!(text.text, "hello\nYou are a SQL assistant");
        let text = of(
            r#"[{"role":"user","content":"Prove it"},{"role":"assistant","content":"…"},{"role":"user","content":"continue"}]"#,
        );
        assert_eq!(text.text, "continue\nProve it");
        assert!(text.follow_up);
    }

    #[test]
    fn harness_wrappers_and_tool_results_are_left_out() {
        let text = of(
            r#"[{"role":"user","content":"<system-reminder>\nbe nice\n</system-reminder>fix the bug"},{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},{"role":"tool","tool_call_id":"1","content":"secret result"}]"#,
        );
        assert_eq!(text.text, "fix the bug");
        assert!(text.open_tool_loop);
    }

    #[test]
    fn content_parts_are_joined() {
        let text = of(
            r#"[{"role":"user","content":[{"type":"text","text":"a\nb"},{"type":"image_url","image_url":{"url":"data:AAAA"}},{"type":"text","text":"c"}]}]"#,
        );
        assert_eq!(text.text, "a\nb\nc");
    }

    #[test]
    fn a_first_turn_is_never_a_follow_up() {
        assert!(!of(r#"[{"role":"user","content":"continue"}]"#).follow_up);
    }

    /// Literals whose cuts fall into something that must not be cut.
    fn awkward() -> Vec<String> {
        let mut all = Vec::new();
        for run in [1, 2, 40, 63, 64, 65, 4000, 4095, 4096, 4097, 8191, 8192, 8193, 12_599, 12_600, 100_001] {
            for end in ["", "n", "u4e2d", "\"", "ud83d\\ude00"] {
                for before in ["", "a", "é", "x\\n"] {
                    let even = end.is_empty() != (run % 2 == 1);
                    let run = "\\".repeat(if even { run } else { run + 1 });
                    all.push(format!("{before}{run}{end}{}", "z".repeat(3000)));
                    all.push(format!("{}{run}{end}", "z".repeat(9000)));
                }
            }
        }
        all.into_iter().filter(|raw| serde_json::from_str::<String>(&format!("\"{raw}\"")).is_ok()).collect()
    }

    #[test]
    fn long_runs_of_backslashes_are_cut_like_any_text() {
        let awkward = awkward();
        assert!(awkward.len() > 300, "only {}", awkward.len());
        for raw in awkward {
            let whole: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            for (head, tail) in [(HEAD, TAIL), (HEAD, 0), (64, 0), (0, TAIL), (0, 1), (0, 7)] {
                let bounded = Literal(&raw).bounded(head, tail).into_owned();
                assert!(bounded.len() <= head + tail + 1 || raw.len() <= head + tail);
                for part in bounded.split('\n').filter(|part| part.len() > 1 && raw.len() > head + tail) {
                    // behind a long run it is left open whether its last backslash is one, or begins half a pair
                    let part = part.trim_start_matches(['\\', '\u{fffd}']);
                    assert!(whole.contains(part), "{part:.80} of {raw:.80}, {head} and {tail}");
                }
            }
        }
    }

    /// What is looked at in a turn is bounded, whatever comes of it: counted in the words that are kept.
    #[test]
    fn a_turn_is_looked_at_in_part() {
        let part = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
        let turn = |parts: Vec<String>| format!(r#"[{{"role":"user","content":[{}]}}]"#, parts.join(","));
        // an unclosed wrapper says nothing, and hides nothing that follows soon
        let wrapper = part(&format!("<tool_result{}", "x".repeat(12_600)));
        let question = part("what is the capital of France, please?");
        let after =
            |count: usize| of(&turn([vec![wrapper.clone(); count], vec![question.clone()]].concat())).text;
        assert_eq!(after(3), "what is the capital of France, please?");
        assert_eq!(after(64), "", "what stands behind 48 KiB of a turn is not looked for");
        let words = of(&turn(vec![part("a"); 50_000])).text;
        assert_eq!(words.len(), 2 * PARTS - 1);
    }

    #[test]
    fn wrappers_are_taken_out_wherever_they_stand() {
        let many = "<system-reminder>a</system-reminder>b".repeat(300);
        for (text, words) in [
            ("a < b <and> c", "a < b <and> c"),
            ("<tool_result>x</tool_result>y<tool_result>z</tool_result>", "y"),
            ("x<ide_selection>never closed", "x"),
            (
                "<tool_result id=1>a<system-reminder>b</tool_result>c</system-reminder>d",
                "c</system-reminder>d",
            ),
            ("é<command-message>ü</command-message>ñ", "éñ"),
            (&many, &"b".repeat(300)),
        ] {
            assert_eq!(without_harness(text), words);
        }
    }

    proptest! {
        #[test]
        fn a_bounded_text_is_a_cut_of_the_whole(text in any::<String>(), head in 0_usize..64, tail in 0_usize..64) {
            let literal = serde_json::to_string(&text).unwrap();
            let literal = Literal(&literal[1..literal.len() - 1]);
            let bounded = literal.bounded(head, tail);
            if literal.0.len() <= head + tail {
                prop_assert_eq!(&*bounded, &text);
            } else if tail == 0 {
                prop_assert!(text.starts_with(&*bounded));
            } else {
                prop_assert!(bounded.len() <= head + tail + 1);
            }
        }

        #[test]
        fn escapes_are_never_cut(text in "(\\\\u[dD]83[dD]\\\\u[dD][eE]00|\\\\n|a|\\\\\\\\){0,40}", head in 0_usize..64, tail in 0_usize..64) {
            let bounded = Literal(&text).bounded(head, tail).into_owned();
            let whole: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            for part in bounded.split('\n').filter(|p| !p.is_empty()) {
                prop_assert!(whole.contains(part), "{:?} in {:?}", part, whole);
            }
        }
    }
}
