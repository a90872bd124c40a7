//! How long an answer to a text is likely to be: one linear head over what the encoder already made.
//!
//! Learned from answers whose length is on record (`fit::length`). It is for weighing prices before a request is
//! sent; what an answer did cost is counted from its usage.

use crate::card::LengthCard;
use crate::encode::Encoding;

/// Weights of the head; the rest is in its card.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Length {
    /// `(SURFACE)`
    pub(crate) surface: Vec<f32>,
    /// `(WORD_DIM)`
    pub(crate) words: Vec<f32>,
}

impl Length {
    /// Tokens of an answer of a model of usual verbosity to an encoded text whose words point to `direction`.
    pub(crate) fn tokens(&self, card: &LengthCard, encoding: &Encoding, direction: &[f32]) -> f32 {
        let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>();
        let log = card.bias + dot(&encoding.surface, &self.surface) + dot(direction, &self.words);
        log.clamp(card.low, card.high).exp()
    }
}
