//! How good a model is, beside the controls that keep the figures honest.
//!
//! [`domains`]: does it name what a prompt is about. [`pair`]: does it send to the large model what needs it,
//! by RouteLLM's protocol. [`panel`]: what a panel of experts costs for the accuracy it reaches.
//! [`compare`]: can small models stand in for a large one. [`calibration`]: do its chances mean what they say.
//! [`promise`]: is a promise kept.

pub mod calibration;
pub mod compare;
pub mod domains;
pub mod pair;
pub mod panel;
pub mod promise;
mod stats;

pub(crate) use stats::shuffle;

pub use domains::{DomainFigures, DomainReport, SourceFigures, evaluate, evaluate_by};
pub use stats::{bootstrap, middle, wilson};
