//! What holds of whatever stands in a configuration and in the environment: it is read, or refused with a
//! word, and every fault has its place in the file.

use gateway::config;

/// What every variable is set to.
const CANARY: &str = "canary-7f3a91";

/// Panics where a claim of this file does not hold.
pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // YAML ends a line at a carriage return, too
    let lines = text.replace("\r\n", "\n").replace('\r', "\n").lines().count();
    for value in [CANARY, "\"canary-7f3a91: {[", "canary-7f3a91\n- x: y # z", "${A}canary-7f3a91"] {
        match config::parse("t.yaml", &text, &|_| Some(value.to_owned())) {
            Ok(checked) => assert!(!checked.config.fallback.primary().is_empty(), "nobody would answer"),
            Err(faults) => {
                assert!(!faults.is_empty(), "refused without a word");
                for fault in faults.list() {
                    assert!(fault.place.line <= lines.max(1), "{fault:?} is not in {lines} lines");
                }
                let shown = faults.to_string();
                assert!(shown.contains("t.yaml"), "{shown}");
            }
        }
    }
}
