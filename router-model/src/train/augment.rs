//! Texts as users would also have typed them, so that form is not mistaken for subject.

use std::borrow::Cow;

use crate::random::Random;

const OPENINGS: [&str; 8] = [
    "please ",
    "Please help: ",
    "hi, ",
    "Hello! ",
    "I have a question. ",
    "can you help me with this? ",
    "Question: ",
    "quick question - ",
];

/// What stands around a question in a conversation: before it or behind it.
const SURROUNDINGS: [&str; 8] = [
    "You are a helpful assistant.",
    "You are a helpful, respectful and honest assistant. Answer as well as you can.",
    "Answer briefly.",
    "Think step by step.",
    "Thanks in advance!",
    "Let me know if anything is unclear.",
    "You are an expert. Use markdown in your answers.",
    "Here is what I have so far:",
];

/// `text` as it is, about every second time; else lower-cased, upper-cased, opened politely, without punctuation,
/// mistyped, or with what surrounds it in a conversation.
pub(super) fn augment<'a>(text: &'a str, random: &mut Random) -> Cow<'a, str> {
    match random.below(20) {
        0..=2 => text.to_lowercase().into(),
        3 => text.to_uppercase().into(),
        4..=5 => format!("{}{text}", OPENINGS[random.below(OPENINGS.len())]).into(),
        6..=7 => text.chars().filter(|c| !matches!(c, '.' | ',' | '?' | '!' | ':' | ';' | '"')).collect(),
        8 => mistype(text, random).into(),
        9 => format!("{}\n{text}", SURROUNDINGS[random.below(SURROUNDINGS.len())]).into(),
        10 => format!("{text}\n{}", SURROUNDINGS[random.below(SURROUNDINGS.len())]).into(),
        _ => text.into(),
    }
}

/// One letter in 25 left out, doubled, or swapped with the next.
fn mistype(text: &str, random: &mut Random) -> String {
    let mut typed = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_alphabetic() {
            typed.push(letter);
            continue;
        }
        match random.below(75) {
            0 => {}
            1 => typed.extend([letter, letter]),
            2 => {
                typed.extend(letters.next_if(|next| next.is_alphabetic()));
                typed.push(letter);
            }
            _ => typed.push(letter),
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_text_is_nearly_the_text() {
        let text = "what is the derivative of a polynomial of degree seven? ".repeat(20);
        let typed = mistype(&text, &mut Random::new(1));
        assert_ne!(typed, text);
        assert!(typed.len().abs_diff(text.len()) < 25, "{typed}");
    }
}
