//! Principal axes: the directions in which the teacher's vectors differ most, by one-sided Jacobi rotations.
//!
//! The rows of a scatter matrix are turned against each other, two at a time, until all are at right angles;
//! each is then an eigenvector times its eigenvalue (Hestenes 1958). It needs no library, meets rows only as
//! they lie in memory, and rounds the same way every time. In f64: sums run over tens of thousands of words.

use candle_core::{DType, Device, Result, Tensor};

use super::teacher::Meanings;
use crate::weights::WORD_DIM;

/// The meanings about their mean along the first [`WORD_DIM`] principal axes, `(words, WORD_DIM)`, and the
/// share of the variance that these hold. Axes that there are not stay zero.
pub(super) fn reduce(meanings: Meanings) -> Result<(Vec<[f32; WORD_DIM]>, f64)> {
    let centred = centre(meanings)?;
    let axes = principal(centred.t()?.matmul(&centred)?.to_vec2()?);
    let (first, rest) = axes.split_at(axes.len().min(WORD_DIM));
    let variance = |axes: &[Axis]| axes.iter().map(|axis| axis.variance).sum::<f64>();
    let (kept, lost) = (variance(first), variance(rest));
    let share = if lost > 0.0 { kept / (kept + lost) } else { 1.0 };
    Ok((project(&centred, first)?, share))
}

/// `(words, hidden)`, the mean of each column taken away.
fn centre(meanings: Meanings) -> Result<Tensor> {
    let words = meanings.numbers.len() / meanings.hidden;
    let numbers = Tensor::from_vec(meanings.numbers, (words, meanings.hidden), &Device::Cpu)?;
    let numbers = numbers.to_dtype(DType::F64)?;
    numbers.broadcast_sub(&numbers.mean_keepdim(0)?)
}

/// Where each row of `centred` lies along each axis, of which there are [`WORD_DIM`] at most.
fn project(centred: &Tensor, axes: &[Axis]) -> Result<Vec<[f32; WORD_DIM]>> {
    let directions: Vec<f64> = axes.iter().flat_map(|axis| axis.direction.iter().copied()).collect();
    let directions = Tensor::from_vec(directions, (axes.len(), centred.dim(1)?), &Device::Cpu)?;
    let along = centred.matmul(&directions.t()?)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let row = |row: &Vec<f32>| std::array::from_fn(|column| row.get(column).copied().unwrap_or_default());
    Ok(along.iter().map(row).collect())
}

/// A principal axis.
struct Axis {
    /// In the unit of the scatter matrix.
    variance: f64,
    /// Of length 1, its largest number positive; zero where there is no variance to tell a direction from.
    direction: Vec<f64>,
}

/// The axes of a symmetric matrix without negative eigenvalues, that of most variance first.
fn principal(mut scatter: Vec<Vec<f64>>) -> Vec<Axis> {
    orthogonalize(&mut scatter);
    let axis =
        |row: Vec<f64>| Axis { variance: row.iter().map(|x| x * x).sum::<f64>().sqrt(), direction: row };
    let mut axes: Vec<Axis> = scatter.into_iter().map(axis).collect();
    axes.sort_by(|a, b| b.variance.total_cmp(&a.variance));
    let least = axes.first().map_or(0.0, |first| first.variance * NOISE);
    for Axis { variance, direction } in &mut axes {
        let largest = direction.iter().fold(0.0_f64, |high, &x| if x.abs() > high.abs() { x } else { high });
        let scale = if *variance > least { largest.signum() / *variance } else { 0.0 };
        direction.iter_mut().for_each(|x| *x *= scale);
    }
    axes
}

/// Below this part of the first axis's variance there is only rounding.
const NOISE: f64 = 1e-12;
/// A row shorter than this part of the trace is rounding alone: it has no angle that could be put right.
const ROUNDING: f64 = 1e-14;
/// Cosine at which two rows are at right angles.
const RIGHT_ANGLE: f64 = 1e-12;
/// Passes over all pairs; about ten are enough.
const MOST_SWEEPS: usize = 60;

fn orthogonalize(rows: &mut [Vec<f64>]) {
    let trace: f64 = rows.iter().enumerate().map(|(at, row)| row[at]).sum();
    let rounding = (trace * ROUNDING).powi(2);
    for _ in 0..MOST_SWEEPS {
        let mut turned = false;
        for at in 1..rows.len() {
            let (before, after) = rows.split_at_mut(at);
            for row in before {
                turned |= turn(row, &mut after[0], rounding);
            }
        }
        if !turned {
            break;
        }
    }
}

/// Turns two rows in their plane to right angles; false when they are already, or the square of one is no more
/// than `rounding`.
fn turn(left: &mut [f64], right: &mut [f64], rounding: f64) -> bool {
    let (mut lefts, mut rights, mut across) = (0.0, 0.0, 0.0);
    for (&l, &r) in left.iter().zip(&*right) {
        lefts += l * l;
        rights += r * r;
        across += l * r;
    }
    if across.abs() <= RIGHT_ANGLE * (lefts * rights).sqrt() || lefts.min(rights) <= rounding {
        return false;
    }
    let ratio = (rights - lefts) / (2.0 * across);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for (l, r) in left.iter_mut().zip(right) {
        (*l, *r) = (cosine * *l - sine * *r, sine * *l + cosine * *r);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// `words` points along one slanted line, and a hundredth as far off it in every direction.
    fn made(words: usize, hidden: usize) -> Meanings {
        let mut random = Random::new(3);
        let mut numbers = Vec::new();
        for _ in 0..words {
            let along = random.unit() - 0.5;
            numbers.extend(
                (0..hidden)
                    .map(|column| 7.0 + along * (1 + column % 3) as f32 + (random.unit() - 0.5) * 0.01),
            );
        }
        Meanings { numbers, hidden }
    }

    fn scatter(axes: &[(f64, Vec<f64>)]) -> Vec<Vec<f64>> {
        let entry = |i: usize, j: usize| axes.iter().map(|(value, axis)| value * axis[i] * axis[j]).sum();
        let size = axes[0].1.len();
        (0..size).map(|i| (0..size).map(|j| entry(i, j)).collect()).collect()
    }

    #[test]
    fn the_axes_that_made_a_matrix_are_found_in_order_and_with_their_signs() {
        let made = [(2.0, vec![0.6, 0.8, 0.0]), (9.0, vec![0.8, -0.6, 0.0]), (2e-3, vec![0.0, 0.0, -1.0])];
        let found = principal(scatter(&made));
        for (axis, (variance, direction)) in
            found.iter().zip([(9.0, [0.8, -0.6, 0.0]), (2.0, [0.6, 0.8, 0.0]), (2e-3, [0.0, 0.0, 1.0])])
        {
            assert!((axis.variance - variance).abs() < 1e-12, "{}", axis.variance);
            assert!(
                axis.direction.iter().zip(direction).all(|(x, y)| (x - y).abs() < 1e-12),
                "{direction:?}"
            );
        }
    }

    #[test]
    fn axes_are_at_right_angles_and_give_the_matrix_back() {
        let Meanings { numbers, hidden } = made(60, 40);
        let rows: Vec<&[f32]> = numbers.chunks_exact(hidden).collect();
        let made: Vec<(f64, Vec<f64>)> =
            rows.iter().map(|row| (1.0, row.iter().map(|&x| f64::from(x)).collect())).collect();
        let made = scatter(&made);
        let axes = principal(made.clone());
        let again =
            scatter(&axes.iter().map(|axis| (axis.variance, axis.direction.clone())).collect::<Vec<_>>());
        let scale = axes[0].variance;
        for (a, b) in made.iter().flatten().zip(again.iter().flatten()) {
            assert!((a - b).abs() < 1e-12 * scale, "{a} {b}");
        }
        for (at, axis) in axes.iter().enumerate() {
            for other in &axes[..at] {
                let cosine: f64 = axis.direction.iter().zip(&other.direction).map(|(x, y)| x * y).sum();
                assert!(cosine.abs() < 1e-6, "{cosine}");
            }
        }
    }

    #[test]
    fn points_near_a_line_lie_along_the_first_axis_whatever_their_mean() {
        let (rows, kept) = reduce(made(500, 6)).unwrap();
        assert_eq!(rows.len(), 500);
        assert!((kept - 1.0).abs() < 1e-9, "six axes hold all of six numbers: {kept}");
        let square = |column: usize| rows.iter().map(|row| f64::from(row[column]).powi(2)).sum::<f64>();
        assert!(square(0) > 1e4 * square(1), "{} {}", square(0), square(1));
        assert!(rows.iter().all(|row| row[6..].iter().all(|&x| x == 0.0)));
        let mean: f64 = rows.iter().map(|row| f64::from(row[0])).sum();
        assert!(mean.abs() < 1e-3, "{mean}");
    }

    #[test]
    fn of_more_numbers_than_axes_the_first_axes_hold_most() {
        let (rows, kept) = reduce(made(400, WORD_DIM + 40)).unwrap();
        assert!((0.99..1.0).contains(&kept), "{kept}");
        assert!(rows.iter().any(|row| row[WORD_DIM - 1] != 0.0));
    }

    #[test]
    fn fewer_words_than_numbers_leave_axes_at_zero() {
        let (rows, kept) = reduce(made(3, 20)).unwrap();
        assert!((kept - 1.0).abs() < 1e-9, "{kept}");
        assert!(rows.iter().all(|row| row[1] != 0.0 && row[2..].iter().all(|&x| x == 0.0)), "{rows:?}");
        assert_eq!(reduce(made(1, 20)).unwrap().0, [[0.0; WORD_DIM]]);
    }

    #[test]
    fn the_same_numbers_give_the_same_bits() {
        assert_eq!(reduce(made(100, 30)).unwrap(), reduce(made(100, 30)).unwrap());
    }
}
