//! A policy that sends no request to any expert does nothing: what would have to change for it to do something?
//!
//! Nothing of it is an estimate: the same requests are decided again with the dial further on.

use router_model::Scores;

use super::measured::has_all;
use super::panels::Router;
use super::reach::{Reach, choose, read};
use super::{Policy, SHIPPED, make, shipped_policy};
use crate::config::written;
use crate::snapshot::Snapshot;

/// What would send requests to experts.
#[derive(Debug, Clone, PartialEq)]
pub enum Opening {
    /// Another value of its dial.
    Dial {
        /// The key of the dial.
        key: &'static str,
        /// The least value that was tried and sends some there.
        value: f64,
        /// The share of requests that goes to experts then.
        share: f64,
    },
    /// A tag that the policy requires and no expert but the fallback has.
    Tag(String),
    /// No value of its dial does: what stands in the way of an expert.
    Expert {
        /// Its name.
        name: String,
        /// Why it is never chosen.
        why: String,
    },
}

/// Values of the dial that are tried.
const VALUES: [f64; 9] = [0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.40, 0.60, 0.99];

/// A smaller share of requests is an accident.
const LEAST: f64 = 0.01;

/// Looks for it: tags first, which no dial overrides.
pub(super) fn find(snapshot: &Snapshot, policy: usize, reach: &Reach) -> Opening {
    let mut experts = snapshot.experts.iter().filter(|expert| expert.index != snapshot.fallback);
    let mut required = snapshot.policies[policy].require.iter();
    if let Some(tag) = required.find(|tag| !experts.clone().any(|expert| has_all(expert, &[*tag]))) {
        return Opening::Tag(tag.to_string());
    }
    // one that lacks a tag, or of which nothing is known, tells least
    let knows = experts.find(|expert| {
        has_all(expert, &snapshot.policies[policy].require)
            && (0..expert.quality.len()).any(|d| expert.knows(d))
    });
    let told = reach.experts.iter().find(|won| knows.is_some_and(|expert| *expert.name == *won.expert));
    let first = told.or(reach.experts.first());
    dial(snapshot, policy).unwrap_or_else(|| Opening::Expert {
        name: first.map(|won| won.expert.clone()).unwrap_or_default(),
        why: first.and_then(|won| won.never.clone()).unwrap_or_default(),
    })
}

/// The least value of the dial that sends some requests to experts.
fn dial(snapshot: &Snapshot, policy: usize) -> Option<Opening> {
    let name = &snapshot.policies[policy].name;
    let shipped = || SHIPPED.iter().find(|(known, _)| known == name).map(|(_, at)| shipped_policy(*at));
    let written = snapshot.config.policies.get(name).cloned().or_else(shipped)?;
    let requests: Vec<(Scores, Vec<f32>)> =
        snapshot.classifier.traffic().iter().map(|request| read(snapshot, request)).collect();
    let (key, now) = match written.max_under_route {
        Some(at_most) => ("max_under_route", at_most),
        None => ("tolerance", written.tolerance.unwrap_or_default()),
    };
    let tried = VALUES.into_iter().filter(|value| *value > now).filter_map(|value| {
        let moved = moved(snapshot, name, &written, value)?;
        Some(Opening::Dial { key, value, share: share(snapshot, policy, &*moved, &requests) })
    });
    tried.into_iter().find(|opening| matches!(opening, Opening::Dial { share, .. } if *share >= LEAST))
}

/// The policy with its dial at another value.
fn moved(snapshot: &Snapshot, name: &str, written: &written::Policy, value: f64) -> Option<Box<dyn Policy>> {
    let mut moved = written.clone();
    match moved.max_under_route {
        Some(_) => moved.max_under_route = Some(value),
        None => moved.tolerance = Some(value),
    }
    let router = Router {
        experts: &snapshot.experts,
        fallback: snapshot.fallback,
        tenants: &snapshot.config.tenants,
        model: &*snapshot.classifier,
    };
    make(&router, name, &moved).ok()
}

/// The share of requests that goes to experts under a policy in the place of another.
fn share(snapshot: &Snapshot, place: usize, policy: &dyn Policy, requests: &[(Scores, Vec<f32>)]) -> f64 {
    let to_expert = |(scores, chances): &&(Scores, Vec<f32>)| {
        let order = choose(snapshot, place, policy, scores, chances).order;
        order.first().is_some_and(|first| *first != snapshot.fallback)
    };
    requests.iter().filter(to_expert).count() as f64 / requests.len().max(1) as f64
}
