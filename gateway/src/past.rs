//! The last quarter of an hour, as the console's charts draw it: whoever opens the page sees what was before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// Between two moments that are kept.
pub const EVERY: Duration = Duration::from_secs(5);
/// Moments that are kept.
const KEPT: usize = 180;

/// The counters of a moment.
#[derive(Debug, Clone, Serialize)]
pub struct Moment {
    /// Unix time, seconds.
    pub time: f64,
    /// By outcome.
    pub requests: BTreeMap<&'static str, u64>,
    /// So far.
    pub cost_usd: f64,
    /// What the same would have cost at the fallback.
    pub baseline_cost_usd: f64,
}

/// Moments, the newest last.
#[derive(Debug, Default)]
pub struct Past(Mutex<VecDeque<Moment>>);

impl Past {
    /// Adds one; the oldest goes.
    pub fn push(&self, moment: Moment) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.len() == KEPT {
            moments.pop_front();
        }
        moments.push_back(moment);
    }

    /// As JSON.
    pub fn json(&self) -> Option<String> {
        serde_json::to_string(&*self.0.lock().unwrap_or_else(PoisonError::into_inner)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_moments_are_kept() {
        let past = Past::default();
        let moment = |time: u16| Moment {
            time: time.into(),
            requests: BTreeMap::new(),
            cost_usd: 0.0,
            baseline_cost_usd: 0.0,
        };
        (0..=KEPT as u16).for_each(|time| past.push(moment(time)));
        assert!(past.json().unwrap().starts_with(r#"[{"time":1.0,"requests":{},"#));
    }
}
