//! What holds of whatever is given for a router model: it is refused, or every text has scores that are a distribution.

use router_model::{RouterModel, Scratch};

/// Panics where a claim of this file does not hold.
pub(crate) fn check(input: &[u8]) {
    let with_header = [&(input.len() as u64).to_le_bytes()[..], input, &[0; 256]].concat();
    for bytes in [input, &with_header] {
        let Ok(model) = RouterModel::from_bytes(bytes) else { continue };
        for text in ["", "write a function", "\u{7f}\u{0}é"] {
            let scores = model.score(text, &mut Scratch::default());
            assert!(scores.domains().len() == model.domains().len(), "{text:?}");
        }
    }
}
