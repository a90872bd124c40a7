//! The card: what a model is, where it came from and how good it was, kept inside its file.

use serde::{Deserialize, Serialize};

use crate::weights::Shape;

/// What a model says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Short and stable: models that score alike have the same version.
    pub version: String,
    /// Domains, in the order of the scores.
    pub labels: Vec<String>,
    /// Version of the features; see [`crate::FEATURE_VERSION`].
    pub features: u32,
    /// Start of every hash.
    pub hash_seed: u64,
    /// Sizes of the network.
    pub shape: Shape,
    /// Logits are divided by it; fitted on the tuning rows.
    pub temperature: f32,
    /// Novelty of the tuning rows at evenly spaced ranks, ascending; see [`crate::Scores::ood`].
    pub novelty: Vec<f32>,
    /// Accuracy and calibration on the tuning rows.
    pub dev: DevFigures,
    /// The files it was trained and tuned on.
    pub files: Vec<DataFile>,
    /// Where the training rows came from, by name.
    pub sources: Vec<Source>,
    /// The command that made it.
    pub command: String,
    /// The day it was made, where the maker gave one.
    pub date: Option<String>,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Seed of every random choice in training.
    pub seed: u64,
}

/// Figures on the rows used for tuning: a little better than on rows never looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct DevFigures {
    /// Rows.
    pub rows: usize,
    /// Share of rows whose best domain is the labelled one.
    pub accuracy: f32,
    /// Mean over domains of the F1 score.
    pub macro_f1: f32,
    /// Expected calibration error after the temperature.
    pub ece: f32,
}

/// A file of labelled prompts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its name, without the folder.
    pub name: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its rows with a domain.
    pub rows: usize,
}

/// A collection the training rows were taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name in the data files, up to a slash.
    pub name: String,
    /// Its licences as the rows state them.
    pub licenses: Vec<String>,
    /// How many training rows.
    pub rows: usize,
}
