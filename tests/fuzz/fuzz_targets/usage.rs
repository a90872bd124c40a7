//! Any bytes as a usage, and as an answer.
#![no_main]

#[path = "../checks/usage.rs"]
mod usage;

libfuzzer_sys::fuzz_target!(|input: &[u8]| usage::check(input));
