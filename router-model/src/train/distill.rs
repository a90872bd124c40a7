//! Distillation: what a sentence encoder knows of words, as one short vector per word.
//!
//! A teacher reads each word once, alone, so that the router never has to run it: a text's meaning is then
//! the sum of the vectors of its words. What all words share says nothing and is taken away, the axes along
//! which words differ most are kept, and the commonest words are made short (SIF: Arora et al. 2017, «A
//! simple but tough-to-beat baseline for sentence embeddings»). Same folder, same rows, same vectors.

mod axes;
mod teacher;
mod vocabulary;

use std::fmt;
use std::path::PathBuf;

use super::WordVectors;
use crate::data::Row;
use crate::slices::to_unit;
pub use teacher::Teacher;
pub use vocabulary::MAX_WORDS;
use vocabulary::Word;

/// How rare a word must be to count for half: the share of all words it is one of.
const HALF_WEIGHT_AT: f64 = 1e-3;

/// What distillation gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Distilled {
    /// The words and their vectors, the most frequent among the rows first.
    pub vectors: WordVectors,
    /// The share of the teacher's variance that the axes kept hold, 0 to 1.
    pub kept: f64,
}

/// Has `teacher` read the words of `rows` and the whole words that it knows itself, at most
/// [`MAX_WORDS`]. `progress` is told of words read so far, and of how many there are.
///
/// # Errors
///
/// When there are no words, or the teacher fails at one.
pub fn distill(
    teacher: &Teacher,
    rows: &[Row],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Distilled, DistillError> {
    let words = vocabulary::vocabulary(rows, teacher.tokens());
    if words.is_empty() {
        return Err(DistillError::NoWords);
    }
    let meanings = teacher.read(&words, progress)?;
    let (mut vectors, kept) = axes::reduce(meanings).map_err(|error| teacher.fault(error))?;
    for (vector, weight) in vectors.iter_mut().zip(weights(&words)) {
        to_unit(vector);
        vector.iter_mut().for_each(|x| *x *= weight);
    }
    let words = words.into_iter().map(|word| word.text).collect();
    Ok(Distilled { vectors: WordVectors { words, vectors }, kept })
}

/// What each word counts for: a / (a + p), where p is the share of all words that it makes up, one more
/// of each counted so that none is 0.
fn weights(words: &[Word]) -> impl Iterator<Item = f32> {
    let total = words.iter().map(|word| word.times + 1).sum::<usize>() as f64;
    words.iter().map(move |word| {
        let share = (word.times + 1) as f64 / total;
        (HALF_WEIGHT_AT / (HALF_WEIGHT_AT + share)) as f32
    })
}

/// Why nothing was distilled.
#[derive(Debug)]
#[non_exhaustive]
pub enum DistillError {
    /// A file of the teacher cannot be read.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The teacher's configuration is not that of a BERT.
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The teacher is of a kind that is read otherwise.
    Kind {
        /// The file that says so.
        path: PathBuf,
        /// The kind.
        found: String,
    },
    /// The teacher's tokenizer cannot be read, or fails at a word.
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: tokenizers::Error,
    },
    /// The teacher's weights do not fit its configuration, or its tokens.
    Model {
        /// The file.
        path: PathBuf,
        /// What candle said.
        error: candle_core::Error,
    },
    /// The teacher's weights make something of a word that is not a number.
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The word.
        word: String,
    },
    /// Neither the rows nor the teacher have a word.
    NoWords,
}

impl fmt::Display for DistillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DistillError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            DistillError::Config { path, error } => {
                write!(f, "{}: not the configuration of a BERT: {error}", path.display())
            }
            DistillError::Kind { path, found } => {
                write!(f, "{}: model_type is {found}, where only bert can be read", path.display())
            }
            DistillError::Tokenizer { path, error } => write!(f, "{}: {error}", path.display()),
            DistillError::Model { path, error } => write!(f, "{}: {error}", path.display()),
            DistillError::NotFinite { path, word } => {
                write!(f, "{}: reading «{word}» gives numbers that are not finite", path.display())
            }
            DistillError::NoWords => write!(f, "neither the rows nor the teacher have a word to read"),
        }
    }
}

impl std::error::Error for DistillError {}

#[cfg(test)]
mod tests;
