//! A chunk with a gap where the token goes. All else is the same in each chunk of a choice, and to serialise
//! it anew for every token was half of what a stream cost.

use super::answer::{Part, Piece};
use super::speak::ONE_TOKEN;

/// What is before the token and what is behind it.
pub(super) struct Mould {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Mould {
    /// Of an event whose last empty string is where the token goes.
    pub(super) fn of(empty: Piece) -> Mould {
        let mut before = empty.bytes;
        // quotes inside strings are escaped, so this is a value
        let gap = memchr::memmem::rfind(&before, b":\"\"").map_or(before.len(), |at| at + 1);
        let after = before.get(gap + 2..).unwrap_or_default().to_vec();
        before.truncate(gap);
        Mould { before, after }
    }

    /// The event of one token.
    pub(super) fn cast(&self, token: &str) -> Piece {
        let mut bytes = Vec::with_capacity(self.before.len() + token.len() + 16 + self.after.len());
        bytes.extend_from_slice(&self.before);
        // a string always serialises, and a vector takes everything
        let _ = serde_json::to_writer(&mut bytes, token);
        bytes.extend_from_slice(&self.after);
        Piece { bytes, part: Part::Token, bill: ONE_TOKEN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::seen::Bill;

    #[test]
    fn a_cast_is_what_serialising_gives() {
        let empty = br#"data: {"model":"","x":":\"\"","content":"","finish":null}"#.to_vec();
        let mould = Mould::of(Piece { bytes: empty, part: Part::Token, bill: Bill::default() });
        let expected = r#"data: {"model":"","x":":\"\"","content":" a\"b","finish":null}"#;
        assert_eq!(String::from_utf8(mould.cast(" a\"b").bytes).unwrap(), expected);
    }
}
