//! Watches an answer that is too large to be held: only its end is kept, because there its usage stands.

use bytes::Bytes;

use crate::api::Dialect;
use crate::provider::Provider;
use crate::usage::Usage;

/// Bytes of the end that are kept: usage objects take a few hundred.
const KEPT: usize = 4 * 1024;

/// The end of what has passed so far.
#[derive(Debug, Default)]
pub struct LastBytes(Vec<u8>);

impl LastBytes {
    /// Takes what passes.
    pub fn take(&mut self, bytes: &[u8]) {
        let fresh = &bytes[bytes.len().saturating_sub(KEPT)..];
        if self.0.len() + fresh.len() > 2 * KEPT {
            let keep = KEPT.saturating_sub(fresh.len()).min(self.0.len());
            self.0.drain(..self.0.len() - keep);
        }
        self.0.extend_from_slice(fresh);
    }

    /// At least the last 4 KiB, where there were so many.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The watcher of one large answer.
#[derive(Debug)]
pub struct Tail {
    provider: &'static dyn Provider,
    dialect: Dialect,
    last: LastBytes,
    bytes: u64,
}

impl Tail {
    /// For an answer of this dialect.
    pub fn new(provider: &'static dyn Provider, dialect: Dialect) -> Self {
        Self { provider, dialect, last: LastBytes::default(), bytes: 0 }
    }

    /// Looks at a frame that passes.
    pub fn take(&mut self, frame: &Bytes) {
        self.bytes += frame.len() as u64;
        self.last.take(frame);
    }

    /// Tokens, and whether they are estimated: then from the bytes seen.
    pub fn usage(&self, prompt_tokens: u64) -> (Usage, bool) {
        let answer = if self.dialect == Dialect::Embeddings { 0 } else { self.bytes };
        let told = self.provider.usage_in_tail(self.last.bytes());
        Usage::or_estimate(told, || Usage::estimate(prompt_tokens, answer, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::written::ProviderName;
    use crate::provider;

    fn usage(answer: &str, cut: usize) -> (Usage, bool) {
        let mut tail = Tail::new(provider::of(ProviderName::Openai), Dialect::Chat);
        for frame in answer.as_bytes().chunks(cut) {
            tail.take(&Bytes::copy_from_slice(frame));
        }
        tail.usage(7)
    }

    #[test]
    fn usage_is_found_at_the_end_however_the_answer_is_cut() {
        let text = "x".repeat(20_000);
        let answer = format!(
            r#"{{"choices":[{{"message":{{"content":"\"usage\": {{ {text}"}}}}],"usage":{{"prompt_tokens":3,"completion_tokens":5000}},"x":{{"y":null}}}}"#
        );
        for cut in [1, 7, 4096, 5000, 30_000] {
            assert_eq!(usage(&answer, cut), (Usage { input: 3, output: 5000, ..Usage::default() }, false));
        }
    }

    #[test]
    fn without_usage_bytes_are_counted() {
        assert_eq!(
            usage(&"x".repeat(20_000), 999),
            (Usage { input: 7, output: 5000, ..Usage::default() }, true)
        );
    }
}
