//! What is shown of a prompt, on standard error. Texts of strangers are shown without control characters, which could
//! steer the terminal.

use owo_colors::OwoColorize;
use router_model::Scores;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::item::{Answer, Item};
use crate::cli::print;

/// Characters of a text that are shown, at its beginning and its end.
const HEAD: usize = 1500;
const TAIL: usize = 400;
/// Domains that are shown with their probability.
const LIKELIEST: usize = 4;
/// Turns before the prompt that are shown.
const TURNS: usize = 4;

/// A prompt and what the router model says of it.
pub(super) fn prompt(at: usize, of: usize, item: &Item, domains: &[String], scores: &Scores) {
    let decision = item.decision.as_ref().map(|id| format!(", decision {id}")).unwrap_or_default();
    let place = format!("── {at} of {of}, from {}{decision} ", plain(&item.source));
    print::err!("\n{}", place.dimmed());
    for (role, text) in turns(item) {
        print::err!("{} {}", format!("{role}:").dimmed(), shown(&text));
    }
    print::err!("{}\n", shown(&item.prompt));
    let mut likely: Vec<(&String, f32)> = domains.iter().zip(scores.domains().iter().copied()).collect();
    likely.sort_by(|one, other| other.1.total_cmp(&one.1));
    let likely: Vec<String> =
        likely.iter().take(LIKELIEST).map(|(name, p)| format!("{name} {p:.2}")).collect();
    print::err!("{}", likely.join("   "));
}

/// The keys for a domain.
pub(super) fn keys(proposed: &str, also: &[String]) {
    let also = if also.is_empty() { String::new() } else { format!(" (or {})", also.join(", ")) };
    print::err!(
        "{}{also}   Enter: right   c: another   +: could also be …   -: about nothing\n\
         s: cannot say   u: take back   q: stop",
        proposed.bold()
    );
}

/// The letters of the domains.
pub(super) fn domains(domains: &[String]) {
    let letters = ('a'..='z').zip(domains).map(|(letter, name)| format!("{letter} {name}"));
    print::err!("{}   - about nothing   Enter: back", letters.collect::<Vec<_>>().join("   "));
}

/// An answer and the keys for it.
pub(super) fn answer(answer: &Answer) {
    match &answer.text {
        Some(text) => {
            let head = format!("answer of {}:", plain(&answer.model));
            print::err!("\n{}\n{}", head.dimmed(), shown(text));
        }
        None => {
            let decision = answer.decision.as_ref().map(|id| format!(", decision {}", plain(id)));
            let (model, decision) = (plain(&answer.model), decision.unwrap_or_default());
            print::err!("\n{} answered{decision}; the log does not keep what", model.bold());
        }
    }
    grades();
}

/// The keys for a grade.
pub(super) fn grades() {
    print::err!("1: a good answer   0: a bad one   Enter: cannot say   q: stop");
}

#[derive(Deserialize)]
struct Turn<'a> {
    role: String,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// The last turns before the prompt, those that are texts.
fn turns(item: &Item) -> Vec<(String, String)> {
    let turns = item.messages.as_deref().and_then(|m| serde_json::from_str::<Vec<Turn<'_>>>(m.get()).ok());
    let texts = turns.into_iter().flatten().filter_map(|turn| {
        let text: String = serde_json::from_str(turn.content?.get()).ok()?;
        Some((plain(&turn.role), text))
    });
    let mut texts: Vec<(String, String)> = texts.collect();
    if texts.last().is_some_and(|(_, text)| *text == item.prompt) {
        texts.pop();
    }
    texts.split_off(texts.len().saturating_sub(TURNS))
}

/// As much of a text as one reads.
fn shown(text: &str) -> String {
    let text = plain(text);
    let count = text.chars().count();
    if count <= HEAD + TAIL {
        return text;
    }
    let head: String = text.chars().take(HEAD).collect();
    let tail: String = text.chars().skip(count - TAIL).collect();
    format!("{head}\n… {} characters …\n{tail}", count - HEAD - TAIL)
}

/// A text without what could steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\r\u{9b}c\n\td"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\n\td");
    }

    #[test]
    fn of_a_long_text_both_ends_are_shown() {
        let text = format!("begin{}end", "é".repeat(5000));
        let shown = shown(&text);
        assert!(
            shown.starts_with("begin") && shown.ends_with("end") && shown.contains("… 3108 characters …"),
            "{shown}"
        );
        assert_eq!(super::shown("short"), "short");
    }
}
