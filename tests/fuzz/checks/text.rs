//! What holds of every text, however it is escaped and wherever it is cut: what is looked at is bounded, and is a piece
//! of what was written.

use gateway::ask::Literal;

/// The first two bytes say how much of head and tail is looked at, in units of 97 bytes; the rest is the literal.
pub(crate) fn sizes_and_literal(input: &[u8]) -> Option<(usize, usize, &str)> {
    let (sizes, literal) = input.split_at_checked(2)?;
    let literal = std::str::from_utf8(literal).ok()?;
    Some((usize::from(sizes[0]) * 97, usize::from(sizes[1]) * 97, literal))
}

/// Panics where a claim of this file does not hold.
pub(crate) fn check(head: usize, tail: usize, literal: &str) {
    let bounded = Literal(literal).bounded(head, tail);
    assert!(bounded.len() <= 3 * (head + tail) + 4, "what is not looked at is not there");
    // what no reader takes, or what ends in half a character, has no meaning to compare with
    let Ok(whole) = serde_json::from_str::<String>(&format!("\"{literal}\"")) else { return };
    assert!(bounded.len() <= literal.len() + 1);
    if literal.len() <= head + tail {
        assert_eq!(bounded, whole);
        return;
    }
    assert!(whole.starts_with(&*Literal(literal).bounded(head, 0)), "a head begins the text");
    let back = Literal(literal).bounded(0, tail);
    // behind a long run of backslashes it is left open what the last one begins
    let back = back.trim_start_matches('\n').trim_start_matches(['\\', '\u{fffd}']);
    assert!(whole.ends_with(back), "a tail ends it");
}
