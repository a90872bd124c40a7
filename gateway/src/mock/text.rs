//! What the mock says: words chosen by the prompt, so that the same prompt always gets the same answer and
//! a person who reads it sees which prompt it belongs to. One word is one token.

use std::ops::Range;

/// An answer and where its tokens are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    all: String,
    ends: Vec<usize>,
}

/// Which words the mock has beside those of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Plain,
    /// Every word is more bytes than letters, for clients that cut between bytes.
    Multibyte,
}

const PLAIN: [&str; 24] = [
    "the",
    "answer",
    "is",
    "simulated",
    "and",
    "depends",
    "on",
    "your",
    "words",
    "about",
    "which",
    "this",
    "model",
    "knows",
    "nothing",
    "of",
    "a",
    "real",
    "one",
    "would",
    "say",
    "more",
    "with",
    "care",
];
const MULTIBYTE: [&str; 8] = ["größer", "naïve", "čeština", "日本語", "😀", "Ελλάδα", "é", "👩‍🚀"];
/// Words of the prompt that may come back in the answer.
const ECHOED: usize = 32;

impl Text {
    /// `count` words that depend on `prompt` and `salt` only.
    pub(super) fn about(prompt: &str, salt: u64, count: usize, words: Words) -> Text {
        let own: &[&str] = match words {
            Words::Plain => &PLAIN,
            Words::Multibyte => &MULTIBYTE,
        };
        let echoed: Vec<&str> = match words {
            Words::Plain => {
                prompt.split_ascii_whitespace().filter(|word| word.len() < 24).take(ECHOED).collect()
            }
            Words::Multibyte => Vec::new(),
        };
        let mut dice = Dice(seed(prompt) ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut text = Text { all: String::with_capacity(count * 8), ends: Vec::with_capacity(count) };
        for _ in 0..count {
            let number = dice.roll();
            let from = if number & 1 == 0 && !echoed.is_empty() { &echoed } else { own };
            text.push(from[(number >> 1) as usize % from.len()]);
        }
        text
    }

    /// A text that is given, such as JSON: its tokens are about four letters each.
    pub(super) fn verbatim(all: String) -> Text {
        let starts = all.char_indices().map(|(at, _)| at).step_by(4).skip(1);
        let ends = starts.chain((!all.is_empty()).then_some(all.len())).collect();
        Text { all, ends }
    }

    /// The first `count` tokens of it.
    pub(super) fn cut(mut self, count: usize) -> Text {
        self.ends.truncate(count);
        self.all.truncate(self.ends.last().copied().unwrap_or(0));
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.all
    }

    /// How many tokens.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Token number `at`, if there are so many.
    pub(super) fn token(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        self.all.get(Range { start, end })
    }

    fn push(&mut self, word: &str) {
        if !self.all.is_empty() {
            self.all.push(' ');
        }
        self.all.push_str(word);
        self.ends.push(self.all.len());
    }
}

/// Tokens of a prompt: four letters each, as models do on English text.
pub(super) fn prompt_tokens(letters: usize) -> u64 {
    letters.div_ceil(4).max(1) as u64
}

/// FNV-1a over words of eight bytes: small, fast on long prompts, and the same on every machine.
pub(super) fn seed(text: &str) -> u64 {
    let mixed = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(23);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| mixed(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| mixed(hash, u64::from(*byte)))
}

/// SplitMix64: the numbers behind the words and the vectors.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_prompt_gets_the_same_answer() {
        let text = |prompt, salt| Text::about(prompt, salt, 24, Words::Plain);
        assert_eq!(text("what is a lease", 0), text("what is a lease", 0));
        assert_ne!(text("what is a lease", 0), text("what is a loan", 0));
        assert_ne!(text("what is a lease", 0), text("what is a lease", 1));
    }

    #[test]
    fn the_tokens_are_the_text() {
        for text in
            [Text::about("größe", 0, 24, Words::Multibyte), Text::verbatim("{\"größe\":\"😀😀😀\"}".into())]
        {
            let joined: String = (0..text.len()).map(|at| text.token(at).unwrap()).collect();
            assert_eq!((joined.as_str(), text.token(text.len())), (text.as_str(), None));
            let cut = text.clone().cut(2);
            assert_eq!(
                (cut.len(), cut.as_str()),
                (2, [text.token(0).unwrap(), text.token(1).unwrap()].concat().as_str())
            );
        }
        assert_eq!(Text::verbatim(String::new()).len(), 0);
    }
}
