//! Any text as the inside of a JSON string, looked at in part.
#![no_main]

#[path = "../checks/text.rs"]
mod text;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((head, tail, literal)) = text::sizes_and_literal(input) {
        text::check(head, tail, literal);
    }
});
