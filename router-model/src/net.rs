//! The network in candle: what is trained, and what the [hot path](crate::slices) must equal.
//!
//! ```text
//! hashes of words, pairs, letters → rows of three tables → sum / √n      3 × (DIM)
//! words → rows of the table of word vectors → sum / its length          (WORD_DIM)
//! surface figures                                                        (SURFACE)
//!   → concatenate (INPUT) → linear, GELU (hidden) → linear (domains) → logits
//! ```

use candle_core::{Device, Result, Tensor};

use crate::encode::{Encoding, KINDS};
use crate::slices::pooling;
use crate::weights::{DIM, INPUT, Shape, WORD_DIM, Weights};

/// The trunk and its heads.
#[derive(Debug, Clone)]
pub struct Net {
    /// `(INPUT, hidden)`
    pub trunk: Tensor,
    /// `(hidden)`
    pub trunk_bias: Tensor,
    /// `(hidden, domains)`
    pub head: Tensor,
    /// `(domains)`
    pub head_bias: Tensor,
}

impl Net {
    /// The network of a loaded model.
    pub(crate) fn load(shape: &Shape, weights: &Weights) -> Result<Net> {
        let domains = weights.head_bias.len();
        let tensor = |numbers: &[f32], shape: &[usize]| Tensor::from_slice(numbers, shape, &Device::Cpu);
        Ok(Net {
            trunk: tensor(&weights.trunk, &[INPUT, shape.hidden])?,
            trunk_bias: tensor(&weights.trunk_bias, &[shape.hidden])?,
            head: tensor(&weights.head, &[shape.hidden, domains])?,
            head_bias: tensor(&weights.head_bias, &[domains])?,
        })
    }

    /// `(batch, INPUT)` → logits `(batch, domains)`.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let hidden = input.matmul(&self.trunk)?.broadcast_add(&self.trunk_bias)?.gelu()?;
        hidden.matmul(&self.head)?.broadcast_add(&self.head_bias)
    }
}

/// The input of one text, `(1, INPUT)`.
pub(crate) fn input(weights: &Weights, encoding: &Encoding) -> Result<Tensor> {
    let scales = Tensor::from_slice(&weights.scales, (KINDS, DIM), &Device::Cpu)?;
    let mut parts = Vec::new();
    for kind in 0..KINDS {
        let table: Vec<f32> = weights.tables[kind].iter().map(|&number| f32::from(number)).collect();
        let rows = table.len() / DIM;
        let table = Tensor::from_vec(table, (rows, DIM), &Device::Cpu)?.broadcast_mul(&scales.get(kind)?)?;
        let shift = 32 - rows.ilog2();
        let picks: Vec<u32> = encoding.pooled(kind).iter().map(|hash| hash >> shift).collect();
        parts.push(pool(&table, &picks)?);
    }
    parts.push(words(weights, encoding)?);
    parts.push(Tensor::from_slice(&encoding.surface, encoding.surface.len(), &Device::Cpu)?);
    Tensor::cat(&parts, 0)?.unsqueeze(0)
}

/// The mean direction of the words' vectors, `(WORD_DIM)`.
fn words(weights: &Weights, encoding: &Encoding) -> Result<Tensor> {
    let mut sum = Tensor::zeros(WORD_DIM, candle_core::DType::F32, &Device::Cpu)?;
    let scales = Tensor::from_slice(&weights.word_scales, WORD_DIM, &Device::Cpu)?;
    for &row in &encoding.rows {
        let row = &weights.words[usize::from(row) * WORD_DIM..][..WORD_DIM];
        let row: Vec<f32> = row.iter().map(|&number| f32::from(number)).collect();
        sum = (sum + (Tensor::from_vec(row, WORD_DIM, &Device::Cpu)? * &scales)?)?;
    }
    let length = sum.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
    if length > 1e-6 { sum.affine(1.0 / f64::from(length), 0.0) } else { Ok(sum) }
}

/// `(rows, DIM)` → the pooled value of `picks`, `(DIM)`.
fn pool(table: &Tensor, picks: &[u32]) -> Result<Tensor> {
    if picks.is_empty() {
        return Tensor::zeros(DIM, table.dtype(), &Device::Cpu);
    }
    let rows = table.index_select(&Tensor::from_slice(picks, picks.len(), &Device::Cpu)?, 0)?;
    rows.sum(0)?.affine(f64::from(pooling(picks.len())), 0.0)
}
