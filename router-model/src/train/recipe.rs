//! What training is told, what it tells on its way, and why it may fail.

use super::words::KeyedVectors;
use crate::card::DataFile;
use crate::weights::Shape;
use crate::{LoadError, MAX_DOMAINS};

/// Everything that decides what training gives, beside the rows.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows a step.
    pub batch: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// Start of every hash.
    pub hash_seed: u64,
    /// Sizes of the network.
    pub shape: Shape,
    /// First learning rate of the trunk and the head; it falls to zero along a line.
    pub net_rate: f64,
    /// First learning rate of the tables; it falls to zero along a line.
    pub table_rate: f32,
    /// First learning rate of the word vectors; 0: they stay as the teacher gave them.
    pub word_rate: f32,
    /// Share of words whose vectors are left out of each text at each pass.
    pub word_dropout: f32,
    /// Vectors of words to start from.
    pub words: KeyedVectors,
    /// Weight decay of the trunk and the head.
    pub decay: f64,
    /// Share of n-grams left out of each text at each pass.
    pub dropout: f32,
    /// Share of the target given to all domains alike.
    pub smoothing: f32,
    /// How far large sources are held down: weight of a row = (rows of its source)^−flatten.
    pub flatten: f32,
    /// How often a pass learns from each request.
    pub times: usize,
    /// Share of a request's target that other labels get which could be right.
    pub also: f32,
    /// Parts into which the writers of requests are dealt; each part is kept out once.
    pub folds: usize,
    /// The files the rows were read from, for the card.
    pub files: Vec<DataFile>,
    /// The command, for the card.
    pub command: String,
    /// The day, for the card. No clock is read: it would make each day's file another.
    pub date: Option<String>,
}

impl Default for Recipe {
    /// Held down as hard as helps on requests of writers that were not learned from without a loss on prompts from chat
    /// arenas. With half of the n-grams left out, labels smoothed by a twentieth and tables that learn three times as fast a
    /// network names more of its benchmarks' dev rows (.91, now .89) and fewer requests of strangers (.617, now .641).
    fn default() -> Self {
        Recipe {
            epochs: 6,
            batch: 256,
            seed: 1,
            hash_seed: 0x6d69_7867_6174_6531,
            shape: Shape { table_bits: [15, 16, 14], hidden: 64, words: 0, seen_bits: 21 },
            net_rate: 3e-3,
            table_rate: 0.03,
            word_rate: 0.01,
            word_dropout: 0.5,
            words: KeyedVectors::default(),
            decay: 0.01,
            dropout: 0.85,
            smoothing: 0.3,
            flatten: 0.2,
            times: 8,
            also: 0.2,
            folds: 4,
            files: Vec::new(),
            command: String::new(),
            date: None,
        }
    }
}

/// How far training is; handed to the caller's callback after every few steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// A network learns domains.
    Network {
        /// Which of them, from 1: those without a part of the writers come first.
        network: usize,
        /// Networks there will be.
        networks: usize,
        /// Rows learned from so far, over all passes.
        rows: usize,
        /// Rows there will be.
        of: usize,
        /// Mean loss since the last report.
        loss: f32,
    },
    /// Heads are fitted.
    Heads {
        /// Heads fitted so far.
        done: usize,
        /// Heads there will be.
        of: usize,
    },
}

impl Progress {
    /// The same of the network with this number among so many.
    pub(super) fn of_network(self, network: usize, networks: usize) -> Progress {
        match self {
            Progress::Network { rows, of, loss, .. } => {
                Progress::Network { network, networks, rows, of, loss }
            }
            heads @ Progress::Heads { .. } => heads,
        }
    }
}

/// Why nothing was trained.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrainError {
    /// The rows name too few or too many domains.
    Domains {
        /// How many they name.
        found: usize,
    },
    /// candle failed.
    Candle(candle_core::Error),
    /// The result cannot be written.
    Write(LoadError),
    /// A checkpoint cannot be written: where and why.
    Checkpoint(String),
}

impl std::fmt::Display for TrainError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TrainError::Domains { found } => {
                write!(f, "the training rows name {found} domains, where 2 to {MAX_DOMAINS} can be learned")
            }
            TrainError::Candle(error) => write!(f, "training: {error}"),
            TrainError::Write(error) => write!(f, "training: {error}"),
            TrainError::Checkpoint(why) => write!(f, "training: the checkpoint {why}"),
        }
    }
}

impl std::error::Error for TrainError {}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        TrainError::Candle(error)
    }
}
