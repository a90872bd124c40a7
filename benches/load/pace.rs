//! How long a run takes its measures: long enough to be believed, or short enough to be waited for.

use std::time::Duration;

/// Lengths and repetitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    /// Of a slice of closed load.
    pub(crate) slice: Duration,
    /// Of a slice at a fixed rate.
    pub(crate) open: Duration,
    /// Of streams on a clock, which take a second each.
    pub(crate) streams: Duration,
    pub(crate) curve_rounds: usize,
    pub(crate) curve_slice: Duration,
}

impl Pace {
    pub(crate) const QUICK: Pace = Pace {
        quick: true,
        rounds: 2,
        slice: Duration::from_millis(800),
        open: Duration::from_millis(1500),
        streams: Duration::from_millis(500),
        curve_rounds: 1,
        curve_slice: Duration::from_millis(500),
    };

    pub(crate) const FULL: Pace = Pace {
        quick: false,
        rounds: 5,
        slice: Duration::from_millis(1500),
        open: Duration::from_secs(3),
        streams: Duration::from_millis(1500),
        curve_rounds: 3,
        curve_slice: Duration::from_millis(700),
    };
}
