//! The last quarter of an hour, as the console's charts draw it: whoever opens the page sees what was before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::figures::{Figures, figures};
use crate::state::State;

/// Between two moments that are kept.
const EVERY: Duration = Duration::from_secs(5);
/// Moments that are kept.
const KEPT: usize = 180;

/// The counters of a moment.
#[derive(Debug, Clone, Serialize)]
struct Moment {
    time: f64,
    requests: BTreeMap<&'static str, u64>,
    cost_usd: f64,
    baseline_cost_usd: f64,
}

/// Moments, the newest last.
#[derive(Debug, Default)]
pub struct Past(Mutex<VecDeque<Moment>>);

impl Past {
    fn push(&self, Figures { time, requests, cost_usd, baseline_cost_usd, .. }: Figures) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.len() == KEPT {
            moments.pop_front();
        }
        moments.push_back(Moment { time, requests, cost_usd, baseline_cost_usd });
    }

    /// As JSON.
    pub(super) fn json(&self) -> Option<String> {
        serde_json::to_string(&*self.0.lock().unwrap_or_else(PoisonError::into_inner)).ok()
    }
}

/// Keeps a moment every few seconds, until the gateway drains.
pub(crate) async fn remember(state: Arc<State>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = state.draining.cancelled() => return,
            _ = every.tick() => state.past.push(figures(&state)),
        }
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
        let mut moments = past.0.lock().unwrap();
        moments.extend((0..KEPT as u16).map(moment));
        drop(moments);
        assert!(past.json().unwrap().starts_with(r#"[{"time":0.0,"requests":{},"#));
    }
}
