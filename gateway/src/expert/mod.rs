//! One model that can answer: its name, price and abilities, how busy it is, and where it is reached.

pub mod circuit;
pub mod endpoint;
mod expected;
pub mod pick;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::config::written::StreamUsage;
use crate::constraint::Capabilities;
use crate::price::{MicroUsd, Price};
use crate::provider::Provider;
use crate::usage::Usage;
use endpoint::Endpoint;
pub use expected::{Expected, Reference};

/// A model as configured, and its load right now.
#[derive(Debug)]
pub struct Expert {
    /// Position in the configuration.
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// The model id its upstream knows.
    pub model: String,
    /// `name` as a header.
    pub name_header: HeaderValue,
    /// `model` as a header.
    pub model_header: HeaderValue,
    /// The upstream's protocol.
    pub provider: &'static dyn Provider,
    /// The header with its key, marked sensitive.
    pub authorization: Option<(HeaderName, HeaderValue)>,
    /// Further headers of every request to it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether usage is asked for in streams.
    pub stream_usage: StreamUsage,
    /// What it is meant for.
    pub domains: Vec<String>,
    /// Chance of a good answer per label of the router model, as configured.
    pub quality: Vec<Option<f32>>,
    /// Its name in the router model's catalogue.
    pub catalogue: Option<String>,
    /// Where the router model knows it: its place among the chances.
    pub head: Option<usize>,
    /// Labels for which the router model has seen graded answers of it; there its chance stands in for `quality`.
    pub graded: Vec<bool>,
    /// Price of its tokens; `None`: unknown.
    pub price: Option<Price>,
    /// What an answer cost is what its upstream says.
    pub reports_cost: bool,
    /// USD per hour, used or not.
    pub hosting: f64,
    /// Tokens of prompt and answer together.
    pub context_window: u64,
    /// Longest answer.
    pub max_output_tokens: Option<u64>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How many times as long as usual its answers are.
    pub verbosity: f32,
    /// Governance tags.
    pub tags: BTreeSet<String>,
    /// Whether it says what it was trained on.
    pub training_known: bool,
    /// Requests at once.
    pub max_concurrency: u32,
    /// Time limits of an attempt.
    pub timeouts: Timeouts,
    /// Where it is reached.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Requests it is answering.
    pub load: Arc<AtomicU32>,
}

/// Time limits of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// Until the response's head.
    pub headers: Duration,
    /// Until the first meaningful event.
    pub first_token: Duration,
    /// Between events.
    pub idle: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Expert {
    /// What an answer cost; `None`: unpriced, or the upstream did not say.
    pub fn cost(&self, usage: &Usage) -> Option<MicroUsd> {
        if self.reports_cost { usage.cost } else { self.price.map(|price| price.cost(usage)) }
    }

    /// Takes a place, or nothing where it is at its capacity.
    pub fn lease(&self) -> Option<Lease> {
        let taken = self.load.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
            (n < self.max_concurrency).then_some(n + 1)
        });
        taken.is_ok().then(|| Lease(Arc::clone(&self.load)))
    }

    /// Whether a forbidden tag may be true of it: what it was trained on counts as unknown until it is said.
    pub fn may_have(&self, tag: &str) -> bool {
        self.tags.contains(tag) || (tag.starts_with("trained_on:") && !self.training_known)
    }
}

/// One place at an expert; given back when dropped.
#[derive(Debug)]
pub struct Lease(Arc<AtomicU32>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
