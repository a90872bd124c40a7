//! What holds of every stream, however it is cut: the bytes that go out are those that came in, and what is
//! read or edited does not depend on the cuts.

use bytes::Bytes;
use gateway::config::written::ProviderName;
use gateway::provider;
use gateway::sse::{self, Splitter};
use gateway::usage::Usage;
use gateway::watch::{Edits, Watch};
use std::collections::VecDeque;

/// An end that makes any stream whole.
const END: &[u8] = b"\n\ndata: [DONE]\n\n";

/// The first byte says how many of the next ones are distances between cuts (the digit `0` none, `1` one …);
/// the rest is the stream.
pub(crate) fn cuts_and_stream(input: &[u8]) -> (Vec<usize>, &[u8]) {
    let Some((number, rest)) = input.split_first() else { return (Vec::new(), input) };
    let (distances, stream) = rest.split_at(usize::from(number % 16).min(rest.len()));
    let place = |sum: &mut usize, distance: &u8| {
        *sum += usize::from(*distance);
        Some(*sum)
    };
    (distances.iter().scan(0, place).collect(), stream)
}

/// Panics where a claim of this file does not hold. Cuts behind the end count as the end.
pub(crate) fn check(stream: &[u8], cuts: &[usize]) {
    let whole = [stream, END].concat();
    for thorough in [true, false] {
        let as_it_is = pass(stream, cuts, thorough, &Edits::default());
        assert!(stream.starts_with(&as_it_is.out), "what goes out came in");
        let whole_or_failed = as_it_is.out == stream || as_it_is.error.is_some();
        assert!(whole_or_failed || !as_it_is.complete, "a whole stream goes out whole");
        let ended = pass(&whole, cuts, thorough, &Edits::default());
        assert!(ended.complete);
        // behind an upstream's error its marker of the end is taken out
        assert!(ended.out == whole || ended.error.is_some(), "bytes out are bytes in");
        let edits = Edits { strip_usage: true, model: Some("org/\"other\"".to_owned()) };
        let (cut, uncut) = (pass(&whole, cuts, thorough, &edits), pass(&whole, &[], thorough, &edits));
        assert_eq!(data_of(&cut.out), data_of(&uncut.out), "edits do not depend on the cuts");
        assert_eq!((cut.complete, cut.usage, cut.error), (uncut.complete, uncut.usage, uncut.error));
    }
}

struct Passed {
    out: Vec<u8>,
    complete: bool,
    usage: (Usage, bool),
    error: Option<String>,
}

fn pass(stream: &[u8], cuts: &[usize], thorough: bool, edits: &Edits) -> Passed {
    let mut watch = Watch::new(provider::of(ProviderName::Openai), 1, edits.clone());
    if !thorough {
        watch.commit();
    }
    let mut out = VecDeque::new();
    let mut from = 0;
    for to in cuts.iter().map(|cut| (*cut).min(stream.len())).chain([stream.len()]) {
        watch.take(&Bytes::copy_from_slice(&stream[from..to]), &mut out);
        from = to;
    }
    out.extend(watch.finish());
    Passed {
        out: out.into_iter().flatten().collect(),
        complete: watch.is_complete(),
        usage: watch.usage(1),
        error: watch.error,
    }
}

fn data_of(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    Splitter::default()
        .feed(stream, |event| found.extend(sse::data(&event.bytes).map(|data| data.into_owned())));
    found
}
