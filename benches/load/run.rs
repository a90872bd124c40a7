//! What a run has found, as it is kept in `run.json`.

use serde::Serialize;

use crate::machine::Machine;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) command: String,
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) curves: Vec<Curve>,
    /// Requests without a whole 200, over all measures.
    pub(crate) failed: u64,
}

/// A figure taken over several rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rounds: Vec<f64>,
}

impl Spread {
    pub(crate) fn of(rounds: Vec<f64>) -> Self {
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { median, min: at(0), max: at(last), rounds }
    }
}

/// What a ratio compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compared {
    /// mixgate's figure with nginx's.
    Own,
    /// What mixgate adds to the direct way with what nginx adds.
    Added,
}

/// One measure, three ways.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Where CPU is measured: the mock's own.
    pub(crate) direct: Spread,
    pub(crate) nginx: Spread,
    pub(crate) mixgate: Spread,
    pub(crate) compared: Compared,
    pub(crate) ratio: f64,
    pub(crate) at_most: f64,
}

impl Row {
    pub(crate) fn new(
        (name, unit): (&'static str, &'static str),
        [direct, nginx, mixgate]: [Spread; 3],
        compared: Compared,
        at_most: f64,
    ) -> Self {
        let base = if compared == Compared::Added { direct.median } else { 0.0 };
        let ratio = (mixgate.median - base) / (nginx.median - base);
        Self { name, unit, direct, nginx, mixgate, compared, ratio, at_most }
    }
}

/// A figure of mixgate alone.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: Spread,
    pub(crate) below: Option<f64>,
}

/// How a cost grows.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    /// Also the name of its file.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x_label: &'static str,
    pub(crate) y_label: &'static str,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<Point>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: Spread,
}
