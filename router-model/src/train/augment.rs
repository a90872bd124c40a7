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

/// `text` as it is, three times of five; else lower-cased, upper-cased, opened politely, or without
/// punctuation.
pub(super) fn augment<'a>(text: &'a str, random: &mut Random) -> Cow<'a, str> {
    match random.below(20) {
        0..=2 => text.to_lowercase().into(),
        3 => text.to_uppercase().into(),
        4..=5 => format!("{}{text}", OPENINGS[random.below(OPENINGS.len())]).into(),
        6..=7 => text.chars().filter(|c| !matches!(c, '.' | ',' | '?' | '!' | ':' | ';' | '"')).collect(),
        _ => text.into(),
    }
}
