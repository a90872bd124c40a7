//! The card: what a model is, where it came from and how good it was, kept inside its file.

use serde::{Deserialize, Serialize};

use crate::data::NONE;
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
    /// Per domain that a user added, in their order: the novelty of its examples, ascending. What is strange to everybody
    /// else is usual there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_novelty: Vec<Vec<f32>>,
    /// Logits are divided by it; fitted on strangers' requests where there are any, else on the tuning rows.
    pub temperature: f32,
    /// Novelty of the same rows at evenly spaced ranks, ascending; see [`crate::Scores::ood`].
    pub novelty: Vec<f32>,
    /// What is added to the weighted figures of difficulty, so that their mean is 0.
    #[serde(default)]
    pub difficulty_offset: f32,
    /// The models whose chances it knows, in the order of its heads.
    #[serde(default)]
    pub known: Vec<Known>,
    /// The graded answers that it carries, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswersCard>,
    /// How many requests it carries, as people write them.
    #[serde(default)]
    pub traffic: usize,
    /// How well it knows the length of answers, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<LengthCard>,
    /// Accuracy and calibration on the tuning rows.
    pub dev: DevFigures,
    /// How it does on requests of writers that were kept out of training, in turn; `None` where it learned from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strangers: Option<StrangerFigures>,
    /// The network as it was trained, where a user's own domains were added since, behind the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained: Option<Trained>,
    /// What labels of a user's own taught it since, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taught: Vec<Taught>,
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

impl Card {
    /// The ranks of novelty for what is most likely of this domain.
    pub(crate) fn novelty_of(&self, domain: usize) -> &[f32] {
        let own = self.trained.and_then(|trained| self.own_novelty.get(domain.checked_sub(trained.domains)?));
        own.filter(|ranks| ranks.len() > 1).unwrap_or(&self.novelty)
    }

    /// What is wrong with its domains, if anything is.
    pub(crate) fn misfit(&self) -> Option<&'static str> {
        let mut names: Vec<&String> = self.labels.iter().collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < self.labels.len() || !names.iter().all(|name| is_domain_name(name) && *name != NONE)
        {
            return Some("labels that are no names, or stand there twice");
        }
        let trained = self.trained?;
        let own = self.labels.len().saturating_sub(trained.domains);
        let fits = (1..=self.labels.len()).contains(&trained.domains)
            && trained.units.saturating_add(2 * own) <= self.shape.hidden;
        (!fits).then_some("domains that were added do not fit the network")
    }
}

/// Whether a domain may be called so: its name becomes a header and a label of metrics.
pub(crate) fn is_domain_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(good)
}

/// A set of graded answers; the answers themselves are tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswersCard {
    /// Where the prompts came from.
    pub source: String,
    /// The models that were asked.
    pub models: Vec<String>,
    /// Prompts.
    pub prompts: usize,
    /// How many of them, the first ones, the heads did not learn from; in files made before this was told: none.
    #[serde(default)]
    pub held_out: usize,
}

/// How long answers are expected to be; the weights are tensors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LengthCard {
    /// Logarithm of the tokens of a text without features.
    pub bias: f32,
    /// Least logarithm that is said: longer and shorter answers were too rare to learn from.
    pub low: f32,
    /// Greatest logarithm that is said.
    pub high: f32,
    /// Prompts it was learned from.
    pub prompts: usize,
    /// Mean squared error of the logarithm on prompts that it did not see.
    pub error: f32,
    /// The same of always saying the mean: the control.
    pub error_of_mean: f32,
}

/// What graded answers say of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Its name in the outcome data.
    pub name: String,
    /// Graded answers.
    pub rows: usize,
    /// Their mean score.
    pub mean: f32,
    /// Expected calibration error of its head on rows that the head did not see.
    pub ece: f32,
    /// The least that error could show on so few rows.
    pub ece_floor: f32,
    /// Quality per domain, where there are answers enough.
    pub domains: Vec<DomainQuality>,
    /// Where the prompts came from.
    pub sources: Vec<String>,
    /// How many times as long as expected of the prompt its answers were, where their length is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<f32>,
    /// Hashes of the prompts, where it was learned beside a trained network: what a later head must not be held
    /// against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learned: Vec<u32>,
}

/// Chance of a good answer in one domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainQuality {
    /// The domain.
    pub domain: String,
    /// Graded answers.
    pub rows: usize,
    /// Their mean, drawn a little towards the model's overall mean.
    pub quality: f32,
    /// Lower end of its 95 % interval.
    pub low: f32,
    /// Upper end.
    pub high: f32,
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

/// Figures on requests of writers that were kept out of training, each part by a network that had not read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StrangerFigures {
    /// Requests.
    pub rows: usize,
    /// Writers.
    pub writers: usize,
    /// Share whose best domain is the labelled one.
    pub accuracy: f32,
    /// Share whose best domain is the labelled one or another that could be right.
    pub lenient: f32,
    /// Expected calibration error after the temperature.
    pub ece: f32,
    /// Requests about nothing.
    pub none: usize,
    /// Chance that one of those is more novel than one about something.
    pub none_auroc: f32,
}

/// What a network had before domains were added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trained {
    /// Domains; the first ones.
    pub domains: usize,
    /// Hidden units; the first ones.
    pub units: usize,
}

/// What labels of a user's own taught a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Taught {
    /// The labels.
    pub file: DataFile,
    /// Domains that the model did not know before.
    pub new: Vec<String>,
    /// Share of them, of known domains, that is named as labelled without learning.
    pub before: f32,
    /// The same after learning from the others.
    pub after: f32,
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
