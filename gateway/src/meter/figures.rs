//! What the series say now, as plain numbers: for the console and `mixgate top`, which have no Prometheus to ask.

use std::sync::OnceLock;

use prometheus::Histogram;
use prometheus::core::Metric;
use serde::Serialize;

use super::{ExpertMeter, Meter};
use crate::record::{Outcome, Reason};

/// A histogram: how many were at most so large.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Buckets {
    /// Upper bounds, ascending; what is above the last is in `count` only.
    pub le: Vec<f64>,
    /// How many up to each bound.
    pub cumulative: Vec<u64>,
    /// Sum of all.
    pub sum: f64,
    /// How many.
    pub count: u64,
}

impl Buckets {
    fn of(histogram: &Histogram) -> Self {
        let metric = histogram.metric();
        let histogram = metric.get_histogram();
        let buckets = || histogram.get_bucket().iter();
        Self {
            le: buckets().map(|bucket| bucket.upper_bound()).collect(),
            cumulative: buckets().map(|bucket| bucket.cumulative_count()).collect(),
            sum: histogram.get_sample_sum(),
            count: histogram.get_sample_count(),
        }
    }

    /// Takes another histogram with the same bounds in.
    pub fn add(&mut self, other: &Self) {
        if self.le.is_empty() {
            return self.clone_from(other);
        }
        self.cumulative.iter_mut().zip(&other.cumulative).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// Decisions of one kind that ended at an expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Position of the domain; as many as there are domains: unknown.
    pub domain: usize,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub count: u64,
}

/// Counters of one expert.
#[derive(Debug, Clone, Default)]
pub struct ExpertFigures {
    /// By outcome, in the order of [`Outcome::ALL`].
    pub requests: [u64; Outcome::ALL.len()],
    /// Seconds of whole requests.
    pub duration: Buckets,
    /// Seconds until the first token.
    pub first_token: Buckets,
    /// Seconds between tokens.
    pub per_token: Buckets,
    /// `input cached_input output reasoning`
    pub tokens: [u64; 4],
    /// USD of answers that were used.
    pub served_usd: f64,
    /// USD of attempts that were thrown away.
    pub retried_usd: f64,
    /// USD of the same tokens at the fallback.
    pub baseline_usd: f64,
    /// USD.
    pub saved_usd: f64,
    /// Requests without a price.
    pub unpriced: u64,
    /// Answers without usage.
    pub usage_missing: u64,
    /// Decisions that ended here.
    pub decided: Vec<Decided>,
}

impl ExpertMeter {
    /// What its series say now.
    pub fn figures(&self) -> ExpertFigures {
        let mut requests = [0; Outcome::ALL.len()];
        for outcomes in &self.requests {
            for (sum, counter) in requests.iter_mut().zip(outcomes) {
                *sum += counter.get().map_or(0, prometheus::IntCounter::get);
            }
        }
        ExpertFigures {
            requests,
            duration: both(&self.duration),
            first_token: both(&self.first_token),
            per_token: both(&self.per_token),
            tokens: self.tokens.each_ref().map(prometheus::IntCounter::get),
            served_usd: self.served.get(),
            retried_usd: self.retried.get(),
            baseline_usd: self.baseline.get(),
            saved_usd: self.saved.get(),
            unpriced: self.unpriced.get(),
            usage_missing: self.usage_missing.get(),
            decided: self.decided().collect(),
        }
    }

    fn decided(&self) -> impl Iterator<Item = Decided> + '_ {
        let cells = self.decisions.iter().enumerate();
        let cells = cells.flat_map(|(domain, reasons)| {
            reasons.iter().zip(Reason::ALL).map(move |(cell, reason)| (domain, reason, cell))
        });
        cells.filter_map(|(domain, reason, cell)| Some(Decided { domain, reason, count: cell.get()?.get() }))
    }
}

/// Streamed and whole answers together.
fn both(cells: &[OnceLock<Histogram>; 2]) -> Buckets {
    let mut sum = Buckets::default();
    cells.iter().filter_map(OnceLock::get).for_each(|histogram| sum.add(&Buckets::of(histogram)));
    sum
}

impl Meter {
    /// Seconds of the gateway's own time.
    pub fn overhead_figures(&self) -> Buckets {
        Buckets::of(&self.overhead)
    }

    /// Seconds of classifications.
    pub fn route_figures(&self) -> Buckets {
        Buckets::of(&self.route_duration)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::Dialect;

    #[test]
    fn figures_are_those_of_the_series() {
        let meter = Meter::new("v");
        let expert = meter.expert("small", 2);
        meter.ended(&expert, Dialect::Chat, Outcome::Ok);
        meter.ended(&expert, Dialect::Completions, Outcome::Ok);
        meter.ended(&expert, Dialect::Chat, Outcome::Timeout);
        meter.timed(&expert, true, Duration::from_millis(30), Some(Duration::from_millis(7)), None);
        meter.timed(&expert, false, Duration::from_secs(3), None, Some(0.02));
        expert.served.inc_by(0.25);
        let figures = expert.figures();
        assert_eq!(figures.requests, [2, 0, 0, 0, 1, 0]);
        assert_eq!((figures.duration.count, figures.first_token.count, figures.per_token.count), (2, 1, 1));
        let up_to = |bound: f64| figures.duration.le.iter().position(|le| *le >= bound).unwrap();
        assert_eq!(figures.duration.cumulative[up_to(0.05)], 1);
        assert_eq!(figures.duration.cumulative[up_to(5.0)], 2);
        assert!((figures.served_usd, figures.saved_usd) == (0.25, 0.0) && figures.decided.is_empty());
    }
}
