//! The router model: text in, [`Scores`] out, in microseconds on one core.
//!
//! A text is cut to 12 KiB at most (`text`) and encoded: hashes of its words, pairs of words and the
//! letters within (`encode`), and figures of its surface (`surface`). The hashes choose rows of three
//! small tables; their sums and the figures go through one hidden layer to the chances of the domains.
//! The network is written in candle (`net`) and trained there (`train`); the hot path reads the same
//! weights as slices (`slices`). Beside the chances stands how unlike the known the text is (`ood`), and
//! any score can be explained word by word, exactly (`explain`).
//!
//! Everything here is pure: no I/O but the readers of training files, no clock, no threads, no knowledge
//! of experts or money. Same model, same text, same scores.

mod card;
pub mod data;
mod encode;
pub mod eval;
mod explain;
mod net;
mod ood;
mod random;
mod scores;
mod slices;
mod surface;
mod text;
#[cfg(feature = "train")]
pub mod train;
mod weights;

pub use card::{Card, DataFile, DevFigures, Source};
pub use encode::{Encoding, FEATURE_VERSION, KINDS};
pub use explain::{Attribution, MAX_WORDS};
pub use net::Net;
pub use scores::{MAX_DOMAINS, Scores};
pub use surface::SURFACE;
pub use weights::{DIM, INPUT, LoadError, Shape};

use weights::Weights;

/// The most bytes of a text that are read: 8 KiB of its head and 4 KiB of its tail.
pub const MAX_BYTES: usize = text::HEAD_BYTES + text::TAIL_BYTES;

/// The domains of the built-in model, in the order of its scores.
pub const TAXONOMY: [&str; 15] = [
    "chat",
    "code",
    "engineering",
    "finance",
    "general",
    "humanities",
    "legal",
    "math",
    "medical",
    "multilingual",
    "reasoning",
    "science",
    "sql",
    "text_ops",
    "writing",
];

/// A trained model. Immutable; share one among all threads.
#[derive(Debug, Clone)]
pub struct RouterModel {
    card: Card,
    weights: Weights,
}

/// The memory of one thread's scoring: it grows with the first texts, then nothing is allocated.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    encoding: Encoding,
    buffers: slices::Buffers,
}

impl RouterModel {
    /// The model that is shipped with this crate.
    ///
    /// # Errors
    ///
    /// Only when this crate was built from damaged sources.
    pub fn builtin() -> Result<RouterModel, LoadError> {
        RouterModel::from_bytes(include_bytes!("../weights/router.safetensors"))
    }

    /// The model of a safetensors file.
    ///
    /// # Errors
    ///
    /// When the file is damaged, or made for other features than this program computes.
    pub fn from_bytes(bytes: &[u8]) -> Result<RouterModel, LoadError> {
        let (card, weights) = weights::read(bytes)?;
        Ok(RouterModel { card, weights })
    }

    /// The bytes of the model's file; [`RouterModel::from_bytes`] reads them back.
    ///
    /// # Errors
    ///
    /// When the card cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LoadError> {
        weights::write(&self.card, &self.weights)
    }

    /// What the model is and where it came from.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// A short stable name of these weights.
    pub fn version(&self) -> &str {
        &self.card.version
    }

    /// The domains, in the order of the scores.
    pub fn domains(&self) -> &[String] {
        &self.card.labels
    }

    /// Scores a text of any length and content.
    pub fn score(&self, text: &str, scratch: &mut Scratch) -> Scores {
        let scores = self.score_parts(text::cut(text), scratch, &mut || false);
        scores.unwrap_or_else(|| Scores::new(&[], 1.0))
    }

    /// As [`RouterModel::score`], but asks `give_up` at every KiB of text, and ends with `None` when it
    /// says so.
    pub fn score_until(
        &self,
        text: &str,
        scratch: &mut Scratch,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Option<Scores> {
        self.score_parts(text::cut(text), scratch, give_up)
    }

    fn score_parts(
        &self,
        parts: [&str; 2],
        scratch: &mut Scratch,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Option<Scores> {
        let Scratch { encoding, buffers } = scratch;
        encoding.read(parts, self.card.hash_seed, give_up)?;
        slices::forward(&self.weights, encoding, buffers);
        scores::softmax(&mut buffers.logits, self.card.temperature);
        let novelty = ood::novelty(encoding, &self.weights, &buffers.logits);
        Some(Scores::new(&buffers.logits, ood::rank(novelty, &self.card.novelty)))
    }

    /// The same model in candle: the reference for the hot path.
    ///
    /// # Errors
    ///
    /// Those of candle, none of which a loaded model should meet.
    pub fn net(&self) -> candle_core::Result<Net> {
        Net::load(&self.card.shape, &self.weights)
    }

    /// The logits of a text by way of candle, before the temperature.
    ///
    /// # Errors
    ///
    /// Those of candle, none of which a loaded model should meet.
    pub fn reference_logits(&self, text: &str) -> candle_core::Result<Vec<f32>> {
        let mut encoding = Encoding::default();
        if encoding.read(text::cut(text), self.card.hash_seed, &mut || false).is_none() {
            return Ok(Vec::new());
        }
        self.net()?.forward(&net::input(&self.weights, &encoding)?)?.squeeze(0)?.to_vec1()
    }
}
