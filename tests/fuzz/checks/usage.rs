//! What holds of whatever a server says of its usage, and of every whole answer: parts are no more than the whole,
//! nothing overflows, and an answer that is one can be played as a stream that is one.

use bytes::Bytes;
use gateway::api::Dialect;
use gateway::config::written::{Price, ProviderName};
use gateway::price;
use gateway::provider::{self, AnswerFacts, Provider};
use gateway::usage::Usage;
use gateway::watch::{Edits, Watch};
use std::collections::VecDeque;

/// Dearest prices that a configuration takes.
const DEAREST: Price = Price {
    input_per_1m: 1e6,
    cached_input_per_1m: Some(1e6),
    cache_write_per_1m: Some(1e6),
    output_per_1m: 1e6,
};

/// Panics where a claim of this file does not hold.
pub(crate) fn check(input: &[u8]) {
    let provider = provider::of(ProviderName::Openai);
    let around =
        [&br#"{"choices":[{"index":0,"message":{"content":"a"}}],"usage":"#[..], input, b"}"].concat();
    for answer in [input, &around] {
        for dialect in Dialect::ALL {
            if let AnswerFacts::Good { usage, text_bytes } = provider.answer(dialect, answer) {
                assert!(text_bytes <= answer.len());
                usage.iter().for_each(believable);
                plays(provider, dialect, answer);
            }
        }
        for thorough in [true, false] {
            provider.event(answer, thorough).usage.iter().for_each(believable);
        }
        provider.usage_in_tail(answer).iter().for_each(believable);
    }
}

fn believable(usage: &Usage) {
    if usage.implausible {
        return;
    }
    assert!(
        usage.cached_input + usage.cache_write <= usage.input && usage.reasoning <= usage.output,
        "{usage:?}"
    );
    let most = price::Price::new(&DEAREST).cost(usage).usd();
    assert!((0.0..=1e10).contains(&most), "{usage:?} costs {most}");
    assert!(usage.cost.is_none_or(|cost| (0.0..=1e5).contains(&cost.usd())), "{usage:?}");
}

fn plays(provider: &'static dyn Provider, dialect: Dialect, answer: &[u8]) {
    if dialect == Dialect::Embeddings {
        return;
    }
    let Some(events) = provider.played(dialect, answer, true) else { return };
    let mut watch = Watch::new(provider, 1, Edits::default());
    let mut out = VecDeque::new();
    watch.take(&Bytes::from(events.clone()), &mut out);
    out.extend(watch.finish());
    let out: Vec<u8> = out.into_iter().flatten().collect();
    assert!(watch.is_done() && !watch.malformed, "{}", String::from_utf8_lossy(&events));
    assert!(out == events || watch.error.is_some(), "what is played passes");
}
