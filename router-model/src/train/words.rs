//! Word vectors: what a teacher knows of words, and how they follow what the rows say.

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::RouterModel;
use crate::encode::{Encoding, word_hash};
use crate::lexicon::{Lexicon, MAX_WORD_ROWS};
use crate::slices::to_unit;
use crate::weights::WORD_DIM;

/// Words and their vectors, most frequent first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WordVectors {
    /// The words, lower case.
    pub words: Vec<String>,
    /// One vector per word.
    pub vectors: Vec<[f32; WORD_DIM]>,
}

impl WordVectors {
    /// Reads a file of `words` (their bytes, a line each) and `vectors` `(words, at least WORD_DIM)`, in f32.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, in words.
    pub fn from_bytes(bytes: &[u8]) -> Result<WordVectors, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let words = file.tensor("words").map_err(|error| error.to_string())?;
        let vectors = file.tensor("vectors").map_err(|error| error.to_string())?;
        let words = std::str::from_utf8(words.data()).map_err(|error| format!("words: {error}"))?;
        let words: Vec<String> = words.lines().map(str::to_owned).collect();
        let [rows, columns] = *vectors.shape() else { return Err("vectors: not a table".into()) };
        if vectors.dtype() != Dtype::F32 || rows != words.len() || columns < WORD_DIM || rows > MAX_WORD_ROWS
        {
            return Err(format!("vectors: expected F32 [{}, at least {WORD_DIM}]", words.len()));
        }
        let numbers: Vec<f32> = vectors.data().as_chunks().0.iter().map(|&n| f32::from_le_bytes(n)).collect();
        let row = |row: &[f32]| std::array::from_fn(|column| row[column]);
        Ok(WordVectors { words, vectors: numbers.chunks_exact(columns).map(row).collect() })
    }

    /// The bytes of a file that [`WordVectors::from_bytes`] reads back; no word may hold the end of a line.
    ///
    /// # Errors
    ///
    /// What safetensors said.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let words = self.words.join("\n").into_bytes();
        let vectors: Vec<u8> = self.vectors.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        let words = TensorView::new(Dtype::U8, vec![words.len()], &words);
        let vectors = TensorView::new(Dtype::F32, vec![self.vectors.len(), WORD_DIM], &vectors);
        let file = |words, vectors| serialize([("words", words), ("vectors", vectors)], None);
        (words.and_then(|words| file(words, vectors?))).map_err(|error| error.to_string())
    }
}

/// Vectors by the hashes of their words, most frequent first: what training starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyedVectors {
    /// Hash of each word.
    pub(crate) keys: Vec<u32>,
    /// One vector per word.
    pub(crate) vectors: Vec<[f32; WORD_DIM]>,
}

impl WordVectors {
    /// The vectors by the hashes that start from `seed`.
    pub fn keyed(&self, seed: u64) -> KeyedVectors {
        let hash = |word: &String| word_hash(word, seed).unwrap_or_default();
        KeyedVectors { keys: self.words.iter().map(hash).collect(), vectors: self.vectors.clone() }
    }
}

impl KeyedVectors {
    /// The vectors of a trained model, and the start of the hashes that they are known by.
    pub fn of(model: &RouterModel) -> (KeyedVectors, u64) {
        let weights = &model.weights;
        let vector =
            |row: &[i8]| std::array::from_fn(|column| f32::from(row[column]) * weights.word_scales[column]);
        let vectors = weights.words.chunks_exact(WORD_DIM).map(vector).collect();
        (KeyedVectors { keys: weights.lexicon.keys.clone(), vectors }, weights.lexicon.seed)
    }
}

/// The table while it learns: f32 rows, each with its own step size.
pub(super) struct WordTable {
    pub(super) lexicon: Lexicon,
    rows: Vec<[f32; WORD_DIM]>,
    squares: Vec<f32>,
}

impl WordTable {
    pub(super) fn new(vectors: &KeyedVectors, seed: u64) -> WordTable {
        WordTable {
            lexicon: Lexicon::new(seed, &vectors.keys),
            rows: vectors.vectors.clone(),
            squares: vec![0.0; vectors.vectors.len()],
        }
    }

    fn sum(&self, encoding: &Encoding) -> [f32; WORD_DIM] {
        let mut sum = [0.0; WORD_DIM];
        for &row in &encoding.rows {
            sum.iter_mut().zip(&self.rows[usize::from(row)]).for_each(|(sum, x)| *sum += x);
        }
        sum
    }

    /// Appends the direction of the sum of the words, `(WORD_DIM)`.
    pub(super) fn pool(&self, encoding: &Encoding, input: &mut Vec<f32>) {
        let mut sum = self.sum(encoding);
        to_unit(&mut sum);
        input.extend(sum);
    }

    /// Moves the rows of `encoding` against the gradient of its input.
    pub(super) fn descend(&mut self, encoding: &Encoding, gradient: &[f32], rate: f32) {
        let sum = self.sum(encoding);
        let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length <= 1e-6 {
            return;
        }
        let along = sum.iter().zip(gradient).map(|(x, g)| x * g).sum::<f32>() / (length * length);
        let gradient: [f32; WORD_DIM] =
            std::array::from_fn(|column| (gradient[column] - along * sum[column]) / length);
        let square = gradient.iter().map(|g| g * g).sum::<f32>() / WORD_DIM as f32;
        for &row in &encoding.rows {
            let row = usize::from(row);
            self.squares[row] += square;
            let step = rate / (self.squares[row].sqrt() + 1e-6);
            self.rows[row].iter_mut().zip(gradient).for_each(|(x, g)| *x -= step * g);
        }
    }

    /// The table as bytes and the scale of each column.
    pub(super) fn quantize(&self) -> (Vec<i8>, Vec<f32>) {
        let mut highest = [1e-6_f32; WORD_DIM];
        for row in &self.rows {
            highest.iter_mut().zip(row).for_each(|(high, x)| *high = high.max(x.abs()));
        }
        let scales = highest.map(|high| high / 127.0);
        let byte = |(x, scale): (&f32, &f32)| (x / scale).round() as i8;
        let table = self.rows.iter().flat_map(|row| row.iter().zip(&scales).map(byte)).collect();
        (table, scales.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_vectors_are_read_back_as_they_were_written() {
        let vectors = [[0.5; WORD_DIM], std::array::from_fn(|column| column as f32 - 1e-7)].to_vec();
        let made = WordVectors { words: ["the", "élan"].map(String::from).to_vec(), vectors };
        for made in [made, WordVectors::default()] {
            let bytes = made.to_bytes().unwrap();
            assert_eq!(WordVectors::from_bytes(&bytes).as_ref(), Ok(&made));
        }
    }

    #[test]
    fn a_file_with_more_words_than_vectors_is_refused() {
        let made =
            WordVectors { words: ["a", "b"].map(String::from).to_vec(), vectors: vec![[0.0; WORD_DIM]] };
        let error = WordVectors::from_bytes(&made.to_bytes().unwrap()).unwrap_err();
        assert_eq!(error, "vectors: expected F32 [2, at least 128]");
    }
}
