//! `POST /api/feedback`: what someone made of an answer. It goes into the decision log, where `mixgate train
//! --from-log` finds it, and into a metric.

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::ledger::Grade;
use crate::state::State;

/// The request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feedback {
    decision: String,
    score: f32,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    taken: bool,
    /// Who had answered, where the decision is still remembered.
    expert: Option<String>,
}

/// Ids are far shorter.
const LONGEST_ID: usize = 64;

/// Takes a grade.
pub(super) fn take(state: &State, body: &[u8]) -> Result<Taken, Failure> {
    let Feedback { decision, score } =
        serde_json::from_slice(body).map_err(|error| Failure::InvalidJson(error.to_string()))?;
    if !(0.0..=1.0).contains(&score) {
        return Err(Failure::InvalidValue("score", format!("{score} is not one of 0 to 1")));
    }
    let proper = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if decision.is_empty() || decision.len() > LONGEST_ID || !decision.chars().all(proper) {
        return Err(Failure::InvalidValue(
            "decision",
            "must be the id of a decision, as in `x-mixgate-decision`".to_owned(),
        ));
    }
    let expert = state.recent.get(&decision).and_then(|record| record.chosen.clone());
    state.meter.graded(expert.as_deref().unwrap_or("unknown"), score);
    state.ledger.grade(Grade::new(decision, score));
    Ok(Taken { taken: true, expert: expert.map(|name| name.to_string()) })
}
