//! From the log-odds that a head sums up to those that come true: a rising line with a few bends.
//!
//! A logistic curve (Platt) has two parameters and cannot follow a model that is good at one kind of prompt and
//! hopeless at another; with a thousand graded answers there is enough to bend it where it is wrong.

/// Bends of a line.
pub(crate) const KNOTS: usize = 9;

/// A rising line through `KNOTS` points, going on with slope 1 beyond its ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    pub(crate) from: [f32; KNOTS],
    pub(crate) to: [f32; KNOTS],
}

impl Default for Link {
    /// Changes nothing.
    fn default() -> Link {
        let line = std::array::from_fn(|knot| knot as f32 - 4.0);
        Link { from: line, to: line }
    }
}

/// Graded answers under which a logistic curve is all that they carry.
const LEAST_ROWS: usize = 1000;
/// Imagined answers of each part that come true as the curve says.
const PRIOR: f32 = 10.0;

impl Link {
    /// The line for pairs of log-odds and truths, 0 to 1; of few pairs the one that changes nothing.
    pub(crate) fn fit(pairs: &[(f32, f32)]) -> Link {
        if pairs.len() < LEAST_ROWS {
            return Link::default();
        }
        let mut pairs = pairs.to_vec();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut parts: Vec<Part> = (0..KNOTS)
            .map(|knot| Part::of(&pairs[pairs.len() * knot / KNOTS..pairs.len() * (knot + 1) / KNOTS]))
            .collect();
        pool(&mut parts);
        let mut link = Link::default();
        for (knot, part) in parts.iter().enumerate() {
            let before = knot.checked_sub(1).map_or(f32::NEG_INFINITY, |before| link.from[before] + 1e-3);
            link.from[knot] = part.from.max(before);
            let truth = part.truth.clamp(0.002, 0.998);
            link.to[knot] = (truth / (1.0 - truth)).ln();
        }
        link
    }

    /// The log-odds that come true.
    #[inline]
    pub(crate) fn apply(&self, odds: f32) -> f32 {
        let above = self.from.iter().take_while(|from| **from < odds).count();
        match (above.checked_sub(1), self.from.get(above)) {
            (None, _) => self.to[0] + odds - self.from[0],
            (Some(last), None) => self.to[last] + odds - self.from[last],
            (Some(below), Some(&high)) => {
                let part = (odds - self.from[below]) / (high - self.from[below]).max(1e-6);
                self.to[below] + part * (self.to[above] - self.to[below])
            }
        }
    }
}

/// Neighbouring pairs.
struct Part {
    from: f32,
    truth: f32,
}

impl Part {
    fn of(pairs: &[(f32, f32)]) -> Part {
        let count = pairs.len().max(1) as f32;
        let from = pairs.iter().map(|pair| pair.0).sum::<f32>() / count;
        let said = pairs.iter().map(|pair| crate::heads::logistic(pair.0)).sum::<f32>() / count;
        let came = pairs.iter().map(|pair| pair.1).sum::<f32>();
        Part { from, truth: (came + PRIOR * said) / (count + PRIOR) }
    }
}

/// Makes the truths rise: neighbours that fall share their mean (pool adjacent violators; Ayer et al., 1955).
fn pool(parts: &mut [Part]) {
    let mut groups: Vec<(f32, usize)> = Vec::new();
    for part in parts.iter() {
        groups.push((part.truth, 1));
        while let [.., (a, m), (b, n)] = groups[..] {
            if a <= b {
                break;
            }
            groups.truncate(groups.len() - 2);
            groups.push(((a * m as f32 + b * n as f32) / (m + n) as f32, m + n));
        }
    }
    let truths = groups.into_iter().flat_map(|(truth, count)| std::iter::repeat_n(truth, count));
    parts.iter_mut().zip(truths).for_each(|(part, truth)| part.truth = truth);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_pairs_nothing_changes_and_beyond_the_ends_it_goes_on() {
        let link = Link::fit(&[(0.0, 1.0); 10]);
        for odds in [-9.0, -4.0, -0.3, 0.0, 2.7, 4.0, 11.0] {
            assert!((link.apply(odds) - odds).abs() < 1e-5, "{odds}");
        }
    }

    #[test]
    fn a_line_bends_to_what_came_true_and_always_rises() {
        // said to be even, it comes true one time in five; said to be nearly sure, always
        let pairs: Vec<(f32, f32)> = (0..4000)
            .map(|n| {
                if n % 2 == 0 {
                    (0.001 * (n % 7) as f32, f32::from(u8::from(n % 10 == 0)))
                } else {
                    (3.0, 1.0)
                }
            })
            .collect();
        let link = Link::fit(&pairs);
        assert!((crate::heads::logistic(link.apply(0.002)) - 0.2).abs() < 0.03, "{link:?}");
        assert!(crate::heads::logistic(link.apply(3.0)) > 0.98);
        let said: Vec<f32> = (-60..60).map(|n| link.apply(n as f32 / 10.0)).collect();
        assert!(said.windows(2).all(|pair| pair[0] <= pair[1] + 1e-6), "{said:?}");
    }
}
