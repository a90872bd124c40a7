//! The tables while they learn: f32 rows, each with its own step size (Adagrad, one sum per row).

use crate::encode::{Encoding, KINDS};
use crate::random::Random;
use crate::slices::pooling;
use crate::weights::DIM;

/// The tables of words, pairs and letters.
pub(super) struct Tables {
    /// Per kind `(2^bits)` rows.
    rows: [Vec<[f32; DIM]>; KINDS],
    /// Per row: the sum of the mean squares of its gradients.
    squares: [Vec<f32>; KINDS],
}

impl Tables {
    pub(super) fn new(bits: [u32; KINDS], random: &mut Random) -> Tables {
        let mut row = || std::array::from_fn(|_| (random.unit() - 0.5) * 0.1);
        let rows = bits.map(|bits| (0..1_usize << bits).map(|_| row()).collect());
        Tables { rows, squares: bits.map(|bits| vec![0.0; 1 << bits]) }
    }

    /// Appends the pooled rows of each kind, `(KINDS × DIM)`.
    pub(super) fn pool(&self, encoding: &Encoding, input: &mut Vec<f32>) {
        for (kind, rows) in self.rows.iter().enumerate() {
            let hashes = encoding.pooled(kind);
            let mut sums = [0.0; DIM];
            for row in hashes.iter().map(|&hash| &rows[place(hash, rows.len())]) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            let factor = pooling(hashes.len());
            input.extend(sums.map(|sum| sum * factor));
        }
    }

    /// Moves the rows of `encoding` against the gradient of its input.
    pub(super) fn descend(&mut self, encoding: &Encoding, gradient: &[f32], rate: f32) {
        for (kind, gradient) in gradient.chunks_exact(DIM).take(KINDS).enumerate() {
            let hashes = encoding.pooled(kind);
            let factor = pooling(hashes.len());
            let square = gradient.iter().map(|g| g * g).sum::<f32>() * factor * factor / DIM as f32;
            for &hash in hashes {
                let place = place(hash, self.rows[kind].len());
                let squares = &mut self.squares[kind][place];
                *squares += square;
                let step = rate * factor / (squares.sqrt() + 1e-6);
                self.rows[kind][place].iter_mut().zip(gradient).for_each(|(x, g)| *x -= step * g);
            }
        }
    }

    /// The tables as bytes and their scales `(KINDS, DIM)`; rows that nothing touched are zero.
    pub(super) fn quantize(&self) -> ([Vec<i8>; KINDS], Vec<f32>) {
        let mut scales = Vec::new();
        let mut tables: [Vec<i8>; KINDS] = Default::default();
        for (kind, table) in tables.iter_mut().enumerate() {
            let touched = |place: usize| self.squares[kind][place] > 0.0;
            let mut highest = [1e-6_f32; DIM];
            for (_, row) in self.rows[kind].iter().enumerate().filter(|(place, _)| touched(*place)) {
                highest.iter_mut().zip(row).for_each(|(high, x)| *high = high.max(x.abs()));
            }
            let steps = highest.map(|high| high / 127.0);
            let byte = |x: f32, step: f32| (x / step).round() as i8;
            *table = (self.rows[kind].iter().enumerate())
                .flat_map(|(place, row)| {
                    let row = if touched(place) { *row } else { [0.0; DIM] };
                    std::array::from_fn::<i8, DIM, _>(|column| byte(row[column], steps[column]))
                })
                .collect();
            scales.extend(steps);
        }
        (tables, scales)
    }
}

fn place(hash: u32, rows: usize) -> usize {
    (hash >> (32 - rows.ilog2())) as usize
}
