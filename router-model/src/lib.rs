//! The router model: text in, [`Scores`] out, in microseconds on one core.
//!
//! A text is cut to 12 KiB at most (`text`) and encoded: hashes of its words, pairs of words and the
//! letters within (`encode`), the words that a table of word vectors holds (`lexicon`), and figures of its
//! surface (`surface`). The hashes choose rows of three small tables; their sums, the direction of the words'
//! vectors and the figures go through one hidden layer to the chances of the domains. The network is written in
//! candle (`net`) and trained there (`train`); the hot path reads the same weights as slices (`slices`). Beside
//! the chances stand the chance that the text is about none of the domains, a unit of its own on the hidden layer,
//! and how unlike the known the text is (`ood`); any score can be explained word by word, exactly (`explain`).
//!
//! Of models with graded answers it also knows the chance of a good answer: a head each (`heads`, `link`), fitted
//! beside the frozen network in seconds (`fit`). From the same answers it is known what may be promised
//! (`answers`, `promise`), and how long an answer will be (`length`). How good all of it is, beside the controls, is judged in `eval`.
//!
//! Everything here is pure: no I/O but the readers of training files, no clock, no threads, no knowledge
//! of experts or money. Same model, same text, same scores.

pub mod answers;
mod card;
pub mod data;
mod encode;
pub mod eval;
mod explain;
pub mod fit;
mod heads;
mod length;
mod lexicon;
mod link;
mod net;
mod ood;
pub mod outcomes;
pub mod promise;
mod random;
mod scores;
mod slices;
mod surface;
mod text;
pub mod traffic;
#[cfg(feature = "train")]
pub mod train;
mod weights;

pub use card::{
    AnswersCard, Card, DataFile, DevFigures, DomainQuality, Known, LengthCard, Source, StrangerFigures,
    Taught,
};
pub use data::NONE;
pub use encode::{Encoding, FEATURE_VERSION, KINDS};
pub use explain::{Attribution, MAX_WORDS};
pub use heads::{Head, Heads};
pub use lexicon::MAX_WORD_ROWS;
pub use link::Link;
pub use net::Net;
pub use scores::{MAX_DOMAINS, Scores};
pub use surface::SURFACE;
pub use weights::{DIM, INPUT, LoadError, Shape, WORD_DIM};

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
    heads: Heads,
    answers: Vec<answers::AnswerSet>,
    length: length::Length,
    traffic: traffic::Traffic,
}

/// The memory of one thread's scoring: it grows with the first texts, then nothing is allocated.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    encoding: Encoding,
    buffers: slices::Buffers,
    head_buffers: heads::HeadBuffers,
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
        weights::read(bytes)
    }

    /// The bytes of the model's file; [`RouterModel::from_bytes`] reads them back.
    ///
    /// # Errors
    ///
    /// When the card cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LoadError> {
        weights::write(self)
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
        let Scratch { encoding, buffers, .. } = scratch;
        encoding.read(parts, &self.weights.lexicon, give_up)?;
        encoding.keep(&self.weights.seen);
        slices::forward(&self.weights, encoding, buffers);
        scores::softmax(&mut buffers.logits, self.card.temperature);
        let strangeness = ood::strangeness(encoding, &buffers.logits);
        let none = ood::none(&self.weights, &buffers.hidden, &strangeness, &encoding.surface);
        let novelty = ood::novelty(encoding, &strangeness, none);
        let scores = Scores::new(&buffers.logits, 0.0);
        let ood = ood::rank(novelty, self.card.novelty_of(scores.top().0));
        let scores = scores.with_domains(&buffers.logits, ood).with_none(none);
        let figures = encoding.surface.iter().zip(&self.weights.difficulty);
        let difficulty = self.card.difficulty_offset + figures.map(|(x, w)| x * w).sum::<f32>();
        let tokens = self.card.length.map_or(0.0, |card| {
            self.length.tokens(&card, encoding, &buffers.input[KINDS * DIM..][..WORD_DIM])
        });
        Some(scores.with_difficulty(difficulty).with_output_tokens(tokens))
    }

    /// What its numbers take in memory, in bytes, without the card.
    pub fn memory_bytes(&self) -> usize {
        let Weights { tables, scales, lexicon, words, word_scales, .. } = &self.weights;
        let Weights { trunk, trunk_bias, head, head_bias, none, difficulty, seen, .. } = &self.weights;
        let floats = [scales, word_scales, trunk, trunk_bias, head, head_bias, none, difficulty];
        let floats = floats.into_iter().map(|floats| size_of_val(&floats[..])).sum::<usize>();
        let bytes = tables.iter().chain([words]).map(Vec::len).sum::<usize>() + seen.len();
        let Self { answers, length, traffic, .. } = self;
        let answers = answers.iter().map(|set| size_of_val(&set.prompts[..]) + size_of_val(&set.cells[..]));
        let length = size_of_val(&length.surface[..]) + size_of_val(&length.words[..]);
        let carried = answers.sum::<usize>() + traffic.memory_bytes();
        floats + bytes + lexicon.memory_bytes() + self.heads.memory_bytes() + carried + length
    }

    /// The models whose chances it knows.
    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// The graded answers that it carries, oldest set first: what promises are made from.
    pub fn answers(&self) -> &[answers::AnswerSet] {
        &self.answers
    }

    /// The requests that it carries, as people write them.
    pub fn traffic(&self) -> &traffic::Traffic {
        &self.traffic
    }

    /// Carries no graded answers any more.
    pub(crate) fn carry_no_answers(&mut self) {
        self.answers.clear();
        self.card.answers.clear();
    }

    /// Carries another set of graded answers; one of the same source goes, and those that are left without a choice.
    fn carry(&mut self, set: answers::AnswerSet) {
        self.answers.retain(|old| old.source != set.source);
        self.answers.push(set);
        self.answers.retain(|set| set.models.len() > 1 && !set.is_empty());
        let card = |set: &answers::AnswerSet| AnswersCard {
            source: set.source.clone(),
            models: set.models.clone(),
            prompts: set.len(),
            held_out: set.held_out,
        };
        self.card.answers = self.answers.iter().map(card).collect();
    }

    /// Eight hexadecimal digits of a hash of everything that scores depend on.
    fn fingerprint(&self) -> String {
        let RouterModel { card, weights, heads, answers, length, traffic: _ } = self;
        let links = heads.links.iter().flat_map(|link| link.from.into_iter().chain(link.to)).collect();
        let tables = weights.tables.iter().chain([&weights.words, &heads.grams]).flatten();
        let floats = [
            &weights.scales,
            &weights.word_scales,
            &weights.trunk,
            &weights.trunk_bias,
            &weights.head,
            &weights.head_bias,
            &weights.none,
            &weights.difficulty,
            &heads.surface,
            &heads.words,
            &heads.scales,
            &heads.bias,
            &links,
            &card.novelty,
            &length.surface,
            &length.words,
        ];
        let floats = floats.into_iter().flatten().chain([
            &weights.none_bias,
            &card.temperature,
            &card.difficulty_offset,
        ]);
        let length = card.length.map(|card| [card.bias, card.low, card.high]);
        let answers = answers.iter().flat_map(|set| {
            let prompts = set.prompts.iter().flat_map(move |prompt| prompt.bytes_of(card.labels.len()));
            prompts.chain(set.cells.iter().flat_map(|cell| cell.0.to_le_bytes()))
        });
        let figures = card.known.iter().flat_map(|known| &known.domains);
        let figures = figures.flat_map(|figure| figure.domain.bytes().chain(figure.quality.to_le_bytes()));
        let names = card.labels.iter().chain(&heads.names).flat_map(|name| name.bytes());
        let bytes = tables.map(|&number| number as u8);
        let bytes = bytes.chain(
            floats.copied().chain(length.into_iter().flatten()).flat_map(|number| number.to_le_bytes()),
        );
        let bytes = bytes.chain(weights.seen.iter().copied()).chain(answers).chain(figures);
        let bytes = bytes.chain(weights.lexicon.keys.iter().flat_map(|key| key.to_le_bytes())).chain(names);
        format!("{:08x}", encode::fnv(bytes) >> 32)
    }

    /// Per head the chance of a good answer to the text that `scratch` was last used for.
    pub fn chances(&self, heads: &Heads, scratch: &mut Scratch, chances: &mut Vec<f32>) {
        let Scratch { encoding, buffers, head_buffers } = scratch;
        let direction = buffers.input.get(KINDS * DIM..KINDS * DIM + WORD_DIM).unwrap_or(&[0.0; WORD_DIM]);
        heads.log_odds(encoding, direction, head_buffers, chances);
        chances.iter_mut().for_each(|odds| *odds = heads::logistic(*odds));
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
        if encoding.read(text::cut(text), &self.weights.lexicon, &mut || false).is_none() {
            return Ok(Vec::new());
        }
        encoding.keep(&self.weights.seen);
        self.net()?.forward(&net::input(&self.weights, &encoding)?)?.squeeze(0)?.to_vec1()
    }
}
