//! What stands before the last human turn and tells what a conversation is about.

use super::{Alone, words_of};
use crate::ask::{Ask, Role, Turn};

/// Human turns that are read together, the last ones.
const TURNS: usize = 8;
/// Bytes of each that are read.
const OF_A_TURN: usize = 1024;
/// Bytes of the last answer, and of the system prompt.
const OF_AN_ANSWER: usize = 512;

/// A text that is read beside the last human turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The human turns, the last one among them; of the first one the system prompt and the turn.
    Together,
    /// The beginning of the last answer.
    Answer,
}

/// The texts that say most of the subject of a last human turn of this kind; none where it stands alone.
pub fn context(ask: &Ask<'_>, alone: Alone) -> Vec<(Part, String)> {
    let human = ask.turns.iter().filter(|turn| turn.role == Role::Human);
    let together = match alone {
        Alone::Stands => return Vec::new(),
        Alone::Opens => {
            let system = ask.turns.iter().find(|turn| turn.role == Role::System);
            system.map(|turn| words_of(turn, OF_AN_ANSWER, 0)).into_iter().chain(last(human, 1)).collect()
        }
        Alone::Follows | Alone::Short | Alone::Leans => last(human, TURNS),
    };
    let mut parts = vec![(Part::Together, together.join("\n"))];
    let answer = ask.turns.iter().rev().find(|turn| turn.role == Role::Model && !turn.texts.is_empty());
    if alone != Alone::Opens {
        parts.extend(part(Part::Answer, answer));
    }
    parts
}

/// The words of the last `count` of these turns.
fn last<'t, 'a: 't>(turns: impl DoubleEndedIterator<Item = &'t Turn<'a>>, count: usize) -> Vec<String> {
    let mut texts: Vec<String> = turns.rev().take(count).map(|turn| words_of(turn, OF_A_TURN, 0)).collect();
    texts.reverse();
    texts
}

fn part(part: Part, turn: Option<&Turn<'_>>) -> Option<(Part, String)> {
    let text = words_of(turn?, OF_AN_ANSWER, 0);
    (!text.is_empty()).then_some((part, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Dialect;
    use crate::text::routable;

    fn of(turns: &[(&str, &str)]) -> Vec<(Part, String)> {
        let turns: Vec<String> =
            turns.iter().map(|(role, text)| format!(r#"{{"role":"{role}","content":"{text}"}}"#)).collect();
        let body = format!(r#"{{"model":"auto","messages":[{}]}}"#, turns.join(","));
        let ask = Ask::parse(Dialect::Chat, body.as_bytes()).unwrap();
        context(&ask, routable(&ask).alone)
    }

    #[test]
    fn the_human_turns_are_read_together_and_the_answer_by_itself() {
        let parts = of(&[
            ("system", "be brief"),
            ("user", "a lease"),
            ("assistant", "many"),
            ("user", "and in Texas?"),
        ]);
        assert_eq!(
            parts,
            [(Part::Together, "a lease\nand in Texas?".to_owned()), (Part::Answer, "many".into())]
        );
    }

    #[test]
    fn of_many_turns_the_last_eight_are_read() {
        let turns = ["1", "2", "3", "4", "5", "6", "7", "8", "9"].map(|text| ("user", text));
        assert_eq!(of(&turns), [(Part::Together, "2\n3\n4\n5\n6\n7\n8\n9".to_owned())]);
    }

    #[test]
    fn a_first_turn_is_read_together_with_the_system_prompt() {
        let answered = [("system", "a lawyer"), ("user", "why?"), ("assistant", "so")];
        assert_eq!(of(&answered), [(Part::Together, "a lawyer\nwhy?".to_owned())]);
        assert_eq!(of(&[("user", "why?")]), []);
    }

    #[test]
    fn a_long_turn_is_read_alone() {
        let long = "word ".repeat(60);
        assert_eq!(of(&[("system", "a lawyer"), ("user", &long)]), []);
        assert_eq!(of(&[("user", "why?"), ("user", &long)]), []);
    }
}
