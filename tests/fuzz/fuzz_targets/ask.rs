//! Any bytes as the body of a request.
#![no_main]

#[path = "../checks/ask.rs"]
mod ask;

libfuzzer_sys::fuzz_target!(|body: &[u8]| ask::check(body));
