//! Any bytes as an upstream's stream, cut anywhere.
#![no_main]

#[path = "../checks/watch.rs"]
mod watch;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (cuts, stream) = watch::cuts_and_stream(input);
    watch::check(stream, &cuts);
});
