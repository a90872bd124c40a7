//! A policy turns scores, prices and constraints into an ordered list of experts. Pure: all it knows is in its
//! arguments.
//!
//! To add one: a file with `impl Policy`, and one line in [`build`].

mod tolerance;

use crate::config::written;
use crate::constraint::WhyNot;
use crate::expert::Expert;
use crate::price::MicroUsd;
use crate::record::Reason;

pub use tolerance::Tolerance;

/// Policies where the configuration names none: name and tolerance.
pub const SHIPPED: [(&str, f64); 3] = [("careful", 0.02), ("balanced", 0.05), ("frugal", 0.10)];

/// The likeliest domain below this probability: the fallback answers.
pub const MIN_CONFIDENCE: f32 = 0.4;

/// What the router model said of a request.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Probability per label.
    pub domains: &'a [f32],
    /// Position of the likeliest.
    pub top: usize,
    /// Its probability.
    pub confidence: f32,
}

/// One expert as a policy sees it.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The expert.
    pub expert: &'a Expert,
    /// Expected chance of a good answer.
    pub quality: f32,
    /// Expected cost of this request; `None`: unpriced.
    pub cost: Option<MicroUsd>,
    /// Why it may not take it.
    pub why_not: Option<WhyNot>,
}

/// What a policy decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Positions of experts, best first; every one eligible.
    pub order: Vec<usize>,
    /// Why the first is the first.
    pub reason: Reason,
}

/// Turns candidates into an order.
pub trait Policy: Send + Sync + std::fmt::Debug {
    /// `candidates` is indexed by expert; `fallback` is a position in it. `evidence` is `None` where the router
    /// model failed: then the fallback leads.
    fn choose(&self, candidates: &[Candidate<'_>], evidence: Option<Evidence<'_>>, fallback: usize)
    -> Choice;

    /// The dial, for people: `tolerance 0.05`.
    fn describe(&self) -> String;
}

/// A policy under its name, with what else its section says.
#[derive(Debug)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// The policy.
    pub policy: Box<dyn Policy>,
    /// Tags every expert must have under it.
    pub require: Vec<String>,
}

/// The policies of a configuration, or the shipped ones.
pub fn build(written: &std::collections::BTreeMap<String, written::Policy>) -> Vec<Named> {
    let shipped =
        || SHIPPED.iter().map(|(name, tolerance)| ((*name).to_owned(), shipped_policy(*tolerance))).collect();
    let all = if written.is_empty() { shipped() } else { written.clone() };
    all.into_iter()
        .map(|(name, policy)| {
            let min_confidence = policy.min_confidence.map_or(MIN_CONFIDENCE, |c| c as f32);
            let tolerance = policy.tolerance.unwrap_or_default() as f32;
            Named { name, policy: Box::new(Tolerance { tolerance, min_confidence }), require: policy.require }
        })
        .collect()
}

fn shipped_policy(tolerance: f64) -> written::Policy {
    written::Policy { tolerance: Some(tolerance), ..written::Policy::default() }
}
