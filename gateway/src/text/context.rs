//! What stands before the last human turn and tells what a conversation is about.

use super::{Alone, TURNS_BACK, is_follow_up, words_of};
use crate::ask::{Ask, Role, Turn};

/// Bytes of an earlier human turn that are read.
const OF_A_TURN: usize = 1024;
/// Bytes of the last answer, and of the system prompt.
const OF_AN_ANSWER: usize = 512;

/// A text that stands before the last human turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A human turn.
    Turn,
    /// The beginning of the last answer.
    Answer,
    /// The system prompt, where no human turn stands before.
    System,
}

/// The texts before the last human turn that say most of its subject: the nearest turn that does not point back itself
/// and the beginning of the last answer; where no turn stands before, the system prompt.
pub fn context(ask: &Ask<'_>) -> Vec<(Part, String)> {
    let human = ask.turns.iter().rev().filter(|turn| turn.role == Role::Human);
    let before = human.skip(1).take(TURNS_BACK).map(|turn| words_of(turn, OF_A_TURN, 0));
    let mut nearest = None;
    for text in before.filter(|text| !is_follow_up(text)) {
        let leans = Alone::of(&text) == Alone::Leans;
        nearest = Some(text);
        if !leans {
            break;
        }
    }
    let Some(nearest) = nearest else {
        let system = ask.turns.iter().find(|turn| turn.role == Role::System);
        return part(Part::System, system).into_iter().collect();
    };
    let mut parts = vec![(Part::Turn, nearest)];
    let answer = ask.turns.iter().rev().find(|turn| turn.role == Role::Model && !turn.texts.is_empty());
    parts.extend(part(Part::Answer, answer));
    parts
}

fn part(part: Part, turn: Option<&Turn<'_>>) -> Option<(Part, String)> {
    let text = words_of(turn?, OF_AN_ANSWER, 0);
    (!text.is_empty()).then_some((part, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Dialect;

    const LONG: &str = "what are the duties of a landlord in the state of New York";

    fn of(turns: &[(&str, &str)]) -> Vec<(Part, String)> {
        let turns: Vec<String> =
            turns.iter().map(|(role, text)| format!(r#"{{"role":"{role}","content":"{text}"}}"#)).collect();
        let body = format!(r#"{{"model":"auto","messages":[{}]}}"#, turns.join(","));
        context(&Ask::parse(Dialect::Chat, body.as_bytes()).unwrap())
    }

    #[test]
    fn the_turn_before_and_the_answer_are_read() {
        let parts =
            of(&[("system", "be brief"), ("user", LONG), ("assistant", "many"), ("user", "and in Texas?")]);
        assert_eq!(parts, [(Part::Turn, LONG.to_owned()), (Part::Answer, "many".to_owned())]);
    }

    #[test]
    fn behind_remarks_the_nearest_turn_that_does_not_point_back_is_read() {
        let turns = [
            ("user", "old"),
            ("user", LONG),
            ("user", "make it shorter"),
            ("user", "continue"),
            ("user", "ok"),
        ];
        assert_eq!(of(&turns), [(Part::Turn, LONG.to_owned())]);
        let turns =
            [("user", LONG), ("user", "tell me a joke"), ("user", "another one"), ("user", "and another")];
        assert_eq!(of(&turns), [(Part::Turn, "tell me a joke".to_owned())]);
        let turns = [("user", "explain it"), ("user", "make it shorter"), ("user", "and this?")];
        assert_eq!(
            of(&turns),
            [(Part::Turn, "explain it".to_owned())],
            "the first of them is near to something"
        );
    }

    #[test]
    fn without_an_earlier_turn_the_system_prompt_is_read() {
        assert_eq!(of(&[("system", "a lawyer"), ("user", "why?")]), [(Part::System, "a lawyer".to_owned())]);
        assert_eq!(of(&[("user", "why?")]), []);
    }
}
