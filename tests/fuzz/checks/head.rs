//! What holds of every head: where it ends does not depend on how it came, and what is said to stand behind it is what
//! every reader would say.

use gateway::wire::head::{Stage, end_of_head, has_bare_lf, stage_behind};

/// Panics where a claim of this file does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let end = end_of_head(bytes, 0);
    for cut in 0..=bytes.len() {
        let early = end_of_head(&bytes[..cut], 0);
        let found = early.or_else(|| end_of_head(bytes, cut.saturating_sub(3)));
        assert_eq!(found, end, "cut at {cut}");
    }
    let Some(end) = end else { return };
    let head = &bytes[..end];
    let lengths = values(head, "content-length");
    let codings = values(head, "transfer-encoding");
    let alone = |values: &[String]| (values.len() == 1).then(|| values[0].clone());
    match stage_behind(head) {
        None => {}
        Some(stage) => {
            assert!(!has_bare_lf(head, 0), "an LF by itself ends a line for some");
            match stage {
                Stage::Body(0) if lengths.is_empty() => assert!(codings.is_empty()),
                Stage::Body(length) => {
                    assert!(codings.is_empty());
                    assert_eq!(alone(&lengths).and_then(|text| text.parse().ok()), Some(length));
                }
                Stage::Free => {
                    assert!(lengths.is_empty());
                    assert_eq!(alone(&codings).as_deref(), Some("chunked"));
                }
                Stage::Head => panic!("behind a head stands no head"),
            }
        }
    }
}

/// The values of a header, read as slowly as can be.
fn values(head: &[u8], name: &str) -> Vec<String> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named
        .map(|(_, value)| value.trim_matches([' ', '\t', '\r', '\n', '\u{c}']).to_ascii_lowercase())
        .collect()
}
