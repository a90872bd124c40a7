//! The teacher: a sentence encoder of BERT's kind, read from its folder.
//!
//! What it makes of a word is the mean of its last layer over the word's tokens, as sentence-transformers
//! pools. Words of as many tokens are read together, so nothing is padded and no batch changes a word's
//! vector.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{Tokenizer, TruncationParams};

use super::DistillError;
use super::vocabulary::Word;
use crate::slices::to_unit;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const MODEL: &str = "model.safetensors";

/// Tokens of a word that are read, the marks of its start and end among them.
const MAX_TOKENS: usize = 32;
/// Words that are read together.
const BATCH: usize = 256;

/// A sentence encoder of BERT's kind.
pub struct Teacher {
    folder: PathBuf,
    tokenizer: Tokenizer,
    model: BertModel,
    hidden: usize,
}

/// What a teacher makes of words: one row of length 1 each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meanings {
    /// `(words, hidden)`
    pub(super) numbers: Vec<f32>,
    pub(super) hidden: usize,
}

impl Teacher {
    /// The teacher of a folder that holds `config.json`, `tokenizer.json` and `model.safetensors`.
    ///
    /// # Errors
    ///
    /// When one of them is missing, damaged, or not that of a BERT.
    pub fn load(folder: &Path) -> Result<Teacher, DistillError> {
        let config = config(folder)?;
        Ok(Teacher {
            tokenizer: tokenizer(folder, config.max_position_embeddings)?,
            model: model(folder, &config)?,
            hidden: config.hidden_size,
            folder: folder.into(),
        })
    }

    /// The file with the weights.
    pub fn file(&self) -> PathBuf {
        self.folder.join(MODEL)
    }

    /// The tokens it knows, in no order.
    pub(super) fn tokens(&self) -> impl Iterator<Item = String> {
        self.tokenizer.get_vocab(false).into_keys()
    }

    /// Reads each word by itself.
    pub(super) fn read(
        &self,
        words: &[Word],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Meanings, DistillError> {
        let tokens = words.iter().map(|word| self.tokenize(word)).collect::<Result<Vec<_>, _>>()?;
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by_key(|&word| tokens[word].len());
        let mut numbers = vec![0.0; words.len() * self.hidden];
        let mut done = 0;
        let equals = order.chunk_by(|&a, &b| tokens[a].len() == tokens[b].len());
        for batch in equals.flat_map(|equals| equals.chunks(BATCH)) {
            let picks: Vec<&[u32]> = batch.iter().map(|&word| tokens[word].as_slice()).collect();
            let rows = self.forward(&picks).map_err(|error| self.fault(error))?;
            for (&word, row) in batch.iter().zip(rows.chunks_exact(self.hidden)) {
                let place = &mut numbers[word * self.hidden..][..self.hidden];
                place.copy_from_slice(row);
                to_unit(place);
                self.check(&words[word], place)?;
            }
            done += batch.len();
            progress(done, words.len());
        }
        Ok(Meanings { numbers, hidden: self.hidden })
    }

    fn tokenize(&self, word: &Word) -> Result<Vec<u32>, DistillError> {
        let encoding = self.tokenizer.encode_fast(word.text.as_str(), true);
        let path = || self.folder.join(TOKENIZER);
        Ok(encoding.map_err(|error| DistillError::Tokenizer { path: path(), error })?.get_ids().to_vec())
    }

    /// The mean of the last layer over the tokens of each word, `(batch, hidden)`; all have as many tokens.
    fn forward(&self, batch: &[&[u32]]) -> CandleResult<Vec<f32>> {
        let tokens = Tensor::new(batch.concat(), &Device::Cpu)?.reshape((batch.len(), ()))?;
        let states = self.model.forward(&tokens, &tokens.zeros_like()?, None)?;
        states.mean(1)?.flatten_all()?.to_vec1()
    }

    fn check(&self, word: &Word, row: &[f32]) -> Result<(), DistillError> {
        if row.iter().all(|x| x.is_finite()) {
            return Ok(());
        }
        Err(DistillError::NotFinite { path: self.file(), word: word.text.clone() })
    }

    /// A fault of the weights.
    pub(super) fn fault(&self, error: candle_core::Error) -> DistillError {
        DistillError::Model { path: self.file(), error }
    }
}

fn config(folder: &Path) -> Result<Config, DistillError> {
    let path = folder.join(CONFIG);
    let config: Config = match serde_json::from_slice(&bytes(&path)?).and_then(check_heads) {
        Ok(config) => config,
        Err(error) => return Err(DistillError::Config { path, error }),
    };
    // Others have the same fields and count positions otherwise: they would load, and read nonsense.
    match config.model_type {
        Some(found) if found != "bert" => Err(DistillError::Kind { path, found }),
        _ => Ok(config),
    }
}

/// candle divides by the number of heads without a look at it.
fn check_heads(config: Config) -> Result<Config, serde_json::Error> {
    let Config { hidden_size: hidden, num_attention_heads: heads, .. } = config;
    if hidden == 0 || heads == 0 || hidden % heads != 0 {
        let message = format!("{heads} num_attention_heads cannot share a hidden_size of {hidden}");
        return Err(serde::de::Error::custom(message));
    }
    Ok(config)
}

/// The tokenizer without the padding that its file may ask for.
fn tokenizer(folder: &Path, positions: usize) -> Result<Tokenizer, DistillError> {
    let path = folder.join(TOKENIZER);
    let bytes = bytes(&path)?;
    let read = || {
        let mut tokenizer = Tokenizer::from_bytes(bytes)?;
        let max_length = MAX_TOKENS.min(positions);
        tokenizer.with_truncation(Some(TruncationParams { max_length, ..Default::default() }))?;
        tokenizer.with_padding(None);
        Ok(tokenizer)
    };
    read().map_err(|error| DistillError::Tokenizer { path, error })
}

fn model(folder: &Path, config: &Config) -> Result<BertModel, DistillError> {
    let path = folder.join(MODEL);
    let bytes = bytes(&path)?;
    VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)
        .and_then(|weights| BertModel::load(weights, config))
        .map_err(|error| DistillError::Model { path, error })
}

fn bytes(path: &Path) -> Result<Vec<u8>, DistillError> {
    std::fs::read(path).map_err(|error| DistillError::Io { path: path.into(), error })
}
