//! Ridge regression two ways: dense features by a Cholesky factor, hashed ones by conjugate gradients.
//!
//! Outcomes are few and noisy, so both are held down hard. All sums are in f64 and in a fixed order.

/// What a fit gives: a linear function of the features.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// One per feature.
    pub(super) weights: Vec<f32>,
    /// Its value where all features are 0.
    pub(super) intercept: f32,
}

/// Dense rows, `(rows, width)`.
pub(super) struct Dense {
    pub(super) width: usize,
    pub(super) rows: Vec<f32>,
}

impl Dense {
    fn row(&self, index: usize) -> &[f32] {
        &self.rows[index * self.width..][..self.width]
    }

    /// The sums over the rows `picks` that fits with any penalty need.
    pub(super) fn sums(&self, picks: &[usize], targets: &[f32]) -> Sums {
        let width = self.width;
        let count = picks.len().max(1) as f64;
        let mut means = vec![0.0; width];
        for &pick in picks {
            means.iter_mut().zip(self.row(pick)).for_each(|(sum, &x)| *sum += f64::from(x) / count);
        }
        let target_mean = picks.iter().map(|&pick| f64::from(targets[pick])).sum::<f64>() / count;
        let mut square = vec![0.0; width * width];
        let mut right = vec![0.0; width];
        let mut centred = vec![0.0; width];
        for &pick in picks {
            let values = self.row(pick).iter().zip(&means);
            centred.iter_mut().zip(values).for_each(|(c, (&x, mean))| *c = f64::from(x) - mean);
            let target = f64::from(targets[pick]) - target_mean;
            for (i, &x) in centred.iter().enumerate() {
                right[i] += x * target;
                let row = &mut square[i * width..][..=i];
                row.iter_mut().zip(&centred).for_each(|(sum, &y)| *sum += x * y);
            }
        }
        Sums { means, target_mean, square, right }
    }

    pub(super) fn predict(&self, index: usize, line: &Line) -> f32 {
        line.intercept + self.row(index).iter().zip(&line.weights).map(|(x, w)| x * w).sum::<f32>()
    }
}

/// What a dense fit needs of its rows: means, `XᵀX` (lower half) and `Xᵀy` of what is centred.
pub(super) struct Sums {
    means: Vec<f64>,
    target_mean: f64,
    square: Vec<f64>,
    right: Vec<f64>,
}

impl Sums {
    /// `w` of the least Σ (target − mean − (x − mean x)·w)² + `penalty`·|w|², and the intercept that goes with it.
    pub(super) fn fit(&self, penalty: f64) -> Line {
        let width = self.right.len();
        let (mut square, mut right) = (self.square.clone(), self.right.clone());
        for i in 0..width {
            square[i * width + i] += penalty;
        }
        cholesky(&mut square, width);
        solve(&square, width, &mut right);
        let shift = right.iter().zip(&self.means).map(|(w, mean)| w * mean).sum::<f64>();
        Line {
            weights: right.into_iter().map(|w| w as f32).collect(),
            intercept: (self.target_mean - shift) as f32,
        }
    }
}

/// Replaces the lower half of a positive definite matrix by its Cholesky factor.
pub(crate) fn cholesky(matrix: &mut [f64], width: usize) {
    for column in 0..width {
        for row in column..width {
            let (a, b) = (&matrix[row * width..][..column], &matrix[column * width..][..column]);
            let dot: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
            let rest = matrix[row * width + column] - dot;
            matrix[row * width + column] =
                if row == column { rest.max(1e-12).sqrt() } else { rest / matrix[column * width + column] };
        }
    }
}

/// Solves `L Lᵀ x = right` in place.
pub(crate) fn solve(factor: &[f64], width: usize, right: &mut [f64]) {
    for row in 0..width {
        let dot: f64 = factor[row * width..][..row].iter().zip(&*right).map(|(l, x)| l * x).sum();
        right[row] = (right[row] - dot) / factor[row * width + row];
    }
    for row in (0..width).rev() {
        let dot: f64 = (row + 1..width).map(|below| factor[below * width + row] * right[below]).sum();
        right[row] = (right[row] - dot) / factor[row * width + row];
    }
}

/// Rows of a few buckets each, all with one value: the row's factor times the weight of the bucket.
pub(super) struct Sparse {
    /// Weight of each bucket before anything is fitted: how telling it is.
    pub(super) weights: Vec<f32>,
    pub(super) rows: Vec<Vec<u16>>,
    pub(super) factors: Vec<f32>,
}

/// Steps of conjugate gradients: with so much penalty the rest is below a thousandth after a dozen.
const STEPS: usize = 16;

impl Sparse {
    /// As [`Sums::fit`], without centring the features.
    pub(super) fn fit(&self, picks: &[usize], targets: &[f32], penalty: f64) -> Line {
        let count = picks.len().max(1) as f64;
        let mean = (picks.iter().map(|&pick| f64::from(targets[pick])).sum::<f64>() / count) as f32;
        let mut residual = vec![0.0_f32; self.weights.len()];
        for &pick in picks {
            self.add(pick, targets[pick] - mean, &mut residual);
        }
        let mut found = vec![0.0_f32; self.weights.len()];
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        for _ in 0..STEPS {
            if square < 1e-12 {
                break;
            }
            let mut image: Vec<f32> = direction.iter().map(|x| x * penalty as f32).collect();
            for &pick in picks {
                self.add(pick, self.product(pick, &direction), &mut image);
            }
            let step = (square / dot(&direction, &image)) as f32;
            found.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
            residual.iter_mut().zip(&image).for_each(|(x, i)| *x -= step * i);
            let next = dot(&residual, &residual);
            let turn = (next / square) as f32;
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + turn * *d);
            square = next;
        }
        Line { weights: found, intercept: mean }
    }

    pub(super) fn predict(&self, index: usize, line: &Line) -> f32 {
        line.intercept + self.product(index, &line.weights)
    }

    fn product(&self, index: usize, vector: &[f32]) -> f32 {
        let sum = self.rows[index].iter().map(|&at| self.weights[usize::from(at)] * vector[usize::from(at)]);
        sum.sum::<f32>() * self.factors[index]
    }

    fn add(&self, index: usize, times: f32, vector: &mut [f32]) {
        let times = times * self.factors[index];
        for &at in &self.rows[index] {
            vector[usize::from(at)] += times * self.weights[usize::from(at)];
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_fit_without_penalty_is_exact_and_with_much_is_the_mean() {
        let rows = vec![0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0];
        let dense = Dense { width: 2, rows };
        let targets: Vec<f32> = (0..4).map(|i| dense.row(i)[0] * 2.0 - dense.row(i)[1] + 0.5).collect();
        let fit = dense.sums(&[0, 1, 2, 3], &targets).fit(1e-9);
        assert!(
            (fit.weights[0] - 2.0).abs() < 1e-4
                && (fit.weights[1] + 1.0).abs() < 1e-4
                && (fit.intercept - 0.5).abs() < 1e-4
        );
        let held = dense.sums(&[0, 1, 2, 3], &targets).fit(1e9);
        assert!((dense.predict(3, &held) - targets.iter().sum::<f32>() / 4.0).abs() < 1e-3);
    }

    #[test]
    fn a_sparse_fit_equals_a_dense_one_of_the_same_rows() {
        let sparse = Sparse {
            weights: vec![1.0, 2.0, 0.5],
            rows: vec![vec![0, 1], vec![1], vec![2, 2], vec![0, 2]],
            factors: vec![0.7, 1.0, 0.7, 0.7],
        };
        let targets = [0.5, -0.5, 1.0, -1.0];
        let fit = sparse.fit(&[0, 1, 2, 3], &targets, 0.5);
        // the gradient of the penalised squares is zero at the least
        let errors: Vec<f32> = (0..4).map(|i| targets[i] - sparse.predict(i, &fit)).collect();
        let mut gradient: Vec<f32> = fit.weights.iter().map(|x| -0.5 * x).collect();
        errors.iter().enumerate().for_each(|(i, error)| sparse.add(i, *error, &mut gradient));
        assert!(gradient.iter().all(|g| g.abs() < 1e-4), "{gradient:?}");
    }
}
