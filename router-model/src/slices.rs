//! The forward pass of the hot path: the network of [`crate::net`] over plain slices.
//!
//! Ten times faster than through tensors, as there is no tensor to allocate and no graph to walk; a test
//! holds the two equal. Sums over a table are of integers, so they are the same in any order. The loops are compiled
//! for the wide registers of newer processors too, and these are used where there are ([`wide`]): the same operations
//! in the same order, so the same numbers.

use crate::encode::{Encoding, KINDS};
use crate::weights::{DIM, INPUT, WORD_DIM, Weights};

/// The buffers of one pass; they grow to the network's size once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers {
    pub(crate) input: Vec<f32>,
    pub(crate) hidden: Vec<f32>,
    pub(crate) logits: Vec<f32>,
}

/// The factor between the sum of `count` rows and their pooled value.
pub(crate) fn pooling(count: usize) -> f32 {
    1.0 / (count.max(1) as f32).sqrt()
}

/// Runs `work` with the widest registers that this processor has; only what is inlined into it gains.
#[inline(always)]
pub(crate) fn wide<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

/// Computes the logits of `encoding` into `buffers.logits`.
pub(crate) fn forward(weights: &Weights, encoding: &Encoding, buffers: &mut Buffers) {
    wide(
        #[inline(always)]
        || pass(weights, encoding, buffers),
    );
}

#[inline(always)]
fn pass(weights: &Weights, encoding: &Encoding, buffers: &mut Buffers) {
    let Buffers { input, hidden, logits } = buffers;
    input.clear();
    for kind in 0..KINDS {
        let table = &weights.tables[kind];
        let shift = 32 - (table.len() / DIM).ilog2();
        let pooled: [i32; DIM] = pool(table, encoding.pooled(kind), |hash| (hash >> shift) as usize);
        let factor = pooling(encoding.pooled(kind).len());
        let scales = &weights.scales[kind * DIM..][..DIM];
        input.extend(pooled.iter().zip(scales).map(|(&sum, scale)| sum as f32 * scale * factor));
    }
    let sums: [i32; WORD_DIM] = pool(&weights.words, &encoding.rows, usize::from);
    input.extend(sums.iter().zip(&weights.word_scales).map(|(&sum, scale)| sum as f32 * scale));
    to_unit(&mut input[KINDS * DIM..]);
    input.extend_from_slice(&encoding.surface);
    debug_assert_eq!(input.len(), INPUT);
    linear(input, &weights.trunk, &weights.trunk_bias, hidden);
    hidden.iter_mut().for_each(|x| *x = gelu(*x));
    linear(hidden, &weights.head, &weights.head_bias, logits);
}

/// Rows whose sum surely fits 16 bits, which a baseline x86-64 adds twice as fast as 32.
const RUN: usize = i16::MAX as usize / 128;

/// Sum of rows of `(rows, D)` → `(D)`.
#[inline(always)]
fn pool<T: Copy, const D: usize>(table: &[i8], picks: &[T], place: impl Fn(T) -> usize) -> [i32; D] {
    let (rows, _) = table.as_chunks::<D>();
    let mut sums = [0; D];
    for run in picks.chunks(RUN) {
        let mut short = [0_i16; D];
        for &pick in run {
            let row = &rows[place(pick)];
            short.iter_mut().zip(row).for_each(|(sum, &number)| *sum += i16::from(number));
        }
        sums.iter_mut().zip(short).for_each(|(sum, short)| *sum += i32::from(short));
    }
    sums
}

/// Divides by the length, if there is one.
#[inline(always)]
pub(crate) fn to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 1e-6 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

/// Columns that a linear layer sums at a time: as many as stay in registers, enough that no sum waits for itself.
const BLOCK: usize = 32;

/// `output = input · weight + bias`: `(in)` × `(in, out)` → `(out)`.
#[inline(always)]
pub(crate) fn linear(input: &[f32], weight: &[f32], bias: &[f32], output: &mut Vec<f32>) {
    output.clear();
    output.extend_from_slice(bias);
    let (blocks, rest) = output.as_chunks_mut::<BLOCK>();
    if !rest.is_empty() {
        for (&x, row) in input.iter().zip(weight.chunks_exact(bias.len())) {
            output.iter_mut().zip(row).for_each(|(sum, w)| *sum += x * w);
        }
        return;
    }
    let (weight, _) = weight.as_chunks::<BLOCK>();
    let stride = blocks.len();
    for (index, block) in blocks.iter_mut().enumerate() {
        let mut sums = *block;
        for (&x, row) in input.iter().zip(weight[index..].iter().step_by(stride)) {
            sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += x * w);
        }
        *block = sums;
    }
}

/// The tanh form of GELU, as candle's `gelu`: x·½(1 + tanh y) = x / (1 + e^−2y), one exponential.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    x / (1.0 + (-TWICE_SQRT_2_OVER_PI * x * (1.0 + 0.044_715 * x * x)).exp())
}
