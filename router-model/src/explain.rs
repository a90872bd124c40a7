//! Why the scores are what they are, exactly: each word is left out once and the text scored again.
//!
//! No approximation stands between the weight shown and the decision taken; a pass costs microseconds,
//! so a text of hundreds of words is explained in a few milliseconds.

use std::ops::Range;

use crate::text::{cut, words};
use crate::{RouterModel, Scores, Scratch};

/// The most words that are explained, from the start of the text.
pub const MAX_WORDS: usize = 256;

/// What one word did to a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// The word's place in the text, in bytes.
    pub text: Range<usize>,
    /// The score of the whole text minus that of the text without the word.
    pub weight: f32,
}

impl RouterModel {
    /// What each of the first [`MAX_WORDS`] words adds to the score `of`, in reading order.
    ///
    /// Of a text longer than [`MAX_BYTES`](crate::MAX_BYTES), the part that is read is explained.
    pub fn explain(
        &self,
        text: &str,
        scratch: &mut Scratch,
        of: &dyn Fn(&Scores) -> f32,
    ) -> Vec<Attribution> {
        let [head, tail] = cut(text);
        let full = of(&self.score(text, scratch));
        let mut without = String::with_capacity(head.len());
        let mut leave_out = |word: Range<usize>| {
            without.clear();
            without.push_str(&head[..word.start]);
            without.push_str(&head[word.end..]);
            let scores = self.score_parts([&without, tail], scratch, &mut || false)?;
            Some(Attribution { text: word, weight: full - of(&scores) })
        };
        words(head).take(MAX_WORDS).filter_map(&mut leave_out).collect()
    }
}
