//! A policy turns scores, prices and constraints into an ordered list of experts. Pure: all it knows is in its
//! arguments.
//!
//! To add one: a file with `impl Policy`, and one line in [`build`].

mod measured;
mod opening;
mod panels;
mod promise;
mod reach;
mod tolerance;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use crate::classify::Classifier;
use crate::config::written;
use crate::constraint::WhyNot;
use crate::expert::Expert;
use crate::price::MicroUsd;
use crate::record::Reason;
use crate::snapshot::Snapshot;

pub use measured::Measured;
pub use opening::Opening;
pub use panels::Panel;
pub use promise::UnderRoute;
pub use reach::{Reach, Won, WonDomain};
pub use tolerance::Tolerance;

/// Policies where the configuration names none: name and tolerance. The reference configuration and the README give
/// these names the same tolerances.
pub const SHIPPED: [(&str, f64); 3] = [("careful", 0.02), ("balanced", 0.20), ("frugal", 0.30)];

/// The domains that an expert has figures for below this probability together: it is not chosen. Under a promise the same
/// of the likeliest domain.
pub const MIN_CONFIDENCE: f32 = 0.4;

/// More unlike the known than this share of familiar prompts: the fallback answers.
pub const MAX_OOD: f32 = 0.93;

/// What the router model said of a request.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Probability per label.
    pub domains: &'a [f32],
    /// Position of the likeliest.
    pub top: usize,
    /// Its probability.
    pub confidence: f32,
    /// How unlike the known the text is: the share of familiar prompts that are less so.
    pub ood: f32,
}

/// One expert as a policy sees it.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The expert.
    pub expert: &'a Expert,
    /// Expected chance of a good answer.
    pub quality: f32,
    /// Probability of the domains in which something is known of it.
    pub own: f32,
    /// Chance of a good answer to this very prompt, where the router model knows the expert.
    pub chance: Option<f32>,
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

/// A dial, where it stands, and between which values the choice stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Steady {
    /// Its name in the configuration, or what a promise was turned into.
    pub dial: &'static str,
    /// Where it stands.
    pub value: f32,
    /// The least value with this choice.
    pub from: f32,
    /// From here on it is another; `None`: never.
    pub to: Option<f32>,
}

/// Turns candidates into an order.
pub trait Policy: Send + Sync + std::fmt::Debug {
    /// `candidates` is indexed by expert; `fallback` is a position in it. `evidence` is `None` where the router
    /// model failed: then the fallback leads.
    fn choose(&self, candidates: &[Candidate<'_>], evidence: Option<Evidence<'_>>, fallback: usize)
    -> Choice;

    /// Between which values of its dial the choice stays as it is; `None` where the dial did not decide.
    fn steady(
        &self,
        candidates: &[Candidate<'_>],
        evidence: Option<Evidence<'_>>,
        fallback: usize,
    ) -> Option<Steady>;

    /// The dial, for people: `tolerance 0.05`.
    fn describe(&self) -> String;
}

/// When the router is asked to decide at all; else the fallback leads.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    /// Below this probability it is too unsure: of the domains that an expert knows, under a promise of the likeliest.
    pub min_confidence: f32,
    /// From this out-of-distribution score on the text is too strange.
    pub max_ood: f32,
}

impl Default for Gate {
    fn default() -> Self {
        Self { min_confidence: MIN_CONFIDENCE, max_ood: MAX_OOD }
    }
}

impl Gate {
    fn new(written: &written::Policy) -> Gate {
        Gate {
            min_confidence: written.min_confidence.map_or(MIN_CONFIDENCE, |chance| chance as f32),
            max_ood: written.max_ood_score.map_or(MAX_OOD, |score| score as f32),
        }
    }

    /// What to decide by, or why not to decide: there is nothing, or the text is too strange.
    fn is_familiar<'e>(self, evidence: Option<Evidence<'e>>) -> Result<Evidence<'e>, Reason> {
        let evidence = evidence.ok_or(Reason::RouterError)?;
        if evidence.ood >= self.max_ood {
            return Err(Reason::OutOfDistribution);
        }
        Ok(evidence)
    }

    /// The same, or the likeliest domain is too unlikely.
    fn pass<'e>(self, evidence: Option<Evidence<'e>>) -> Result<Evidence<'e>, Reason> {
        let evidence = self.is_familiar(evidence)?;
        if evidence.confidence < self.min_confidence {
            return Err(Reason::LowConfidence);
        }
        Ok(evidence)
    }
}

/// A policy under its name, with what else its section says.
#[derive(Debug)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// The policy.
    pub policy: Box<dyn Policy>,
    /// Tags every expert must have under it.
    pub require: Vec<Arc<str>>,
    /// Whether an expert answers when every fallback fails; `None`: as the configuration says for all.
    pub degrade: Option<bool>,
    measured: OnceLock<Option<Measured>>,
    reach: OnceLock<Option<Reach>>,
}

/// Where a policy of a configuration stands on the graded prompts that the router model carries; found once, when first
/// asked.
pub fn measured(snapshot: &Snapshot, policy: usize) -> Option<&Measured> {
    let named = &snapshot.policies[policy];
    named.measured.get_or_init(|| measured::measure(snapshot, policy)).as_ref()
}

/// What a policy of a configuration does with requests as people write them; found once, when first asked.
pub fn reach(snapshot: &Snapshot, policy: usize) -> Option<&Reach> {
    snapshot.policies[policy].reach.get_or_init(|| reach::reach(snapshot, policy)).as_ref()
}

/// What would open a policy that sends no request to an expert; `None` where it sends some, or nobody can tell.
pub fn opening(snapshot: &Snapshot, policy: usize) -> Option<Opening> {
    let reach = reach(snapshot, policy)?;
    (reach.to_experts == 0.0 && !reach.experts.is_empty()).then(|| opening::find(snapshot, policy, reach))
}

/// The policies of a configuration, or the shipped ones; `tenants` may have fewer experts each.
///
/// # Errors
///
/// In words, when a promise cannot be made.
pub fn build(
    written: &BTreeMap<String, written::Policy>,
    experts: &[Expert],
    fallback: usize,
    tenants: &[written::Tenant],
    model: &dyn Classifier,
) -> Result<Vec<Named>, String> {
    let router = panels::Router { experts, fallback, tenants, model };
    let shipped =
        || SHIPPED.iter().map(|(name, tolerance)| ((*name).to_owned(), shipped_policy(*tolerance))).collect();
    let all: BTreeMap<String, written::Policy> = if written.is_empty() { shipped() } else { written.clone() };
    let named = |(name, written): (String, written::Policy)| {
        let policy = make(&router, &name, &written)?;
        let require = written.require.iter().map(|tag| tag.as_str().into()).collect();
        Ok(Named {
            name,
            policy,
            require,
            degrade: written.degrade,
            measured: OnceLock::new(),
            reach: OnceLock::new(),
        })
    };
    all.into_iter().map(named).collect()
}

/// One policy as its section says.
fn make(
    router: &panels::Router<'_>,
    name: &str,
    written: &written::Policy,
) -> Result<Box<dyn Policy>, String> {
    let gate = Gate::new(written);
    Ok(match written.max_under_route {
        Some(_) if router.model.merges() => {
            return Err(format!(
                "the policy `{name}`: a promise is made for each domain of the router model by itself, so `max_under_route` does not go with `domains:` that count several together"
            ));
        }
        Some(at_most) => {
            let promised = router.promise(name, &written.require, at_most);
            let (panels, source) = promised.map_err(|why| format!("the policy `{name}`: {why}"))?;
            Box::new(UnderRoute { panels, source, gate })
        }
        None => Box::new(Tolerance { tolerance: written.tolerance.unwrap_or_default() as f32, gate }),
    })
}

fn shipped_policy(tolerance: f64) -> written::Policy {
    written::Policy { tolerance: Some(tolerance), ..written::Policy::default() }
}

/// The fallback, or where it is shut out whoever may, best expected quality first.
fn with_fallback_first(candidates: &[Candidate<'_>], fallback: usize, reason: Reason) -> Choice {
    if candidates[fallback].why_not.is_none() {
        return Choice { order: vec![fallback], reason };
    }
    let mut order: Vec<usize> = (0..candidates.len()).filter(|i| candidates[*i].why_not.is_none()).collect();
    order.sort_by(|a, b| candidates[*b].quality.total_cmp(&candidates[*a].quality));
    Choice { order, reason: if reason == Reason::RouterError { reason } else { Reason::Ineligible } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_policys_name_means_the_same_built_in_in_the_reference_configuration_and_in_the_documents() {
        let text = include_str!("../../../experts.yaml");
        let written = config::parse("experts.yaml", text, &|_| None).unwrap().config.policies;
        let panel = include_str!("../../../docs/panel.yaml");
        let measured = config::parse("panel.yaml", panel, &|_| None).unwrap().config.policies;
        let readme = include_str!("../../../README.md");
        for (name, tolerance) in SHIPPED {
            assert_eq!(written[name].tolerance, Some(tolerance), "experts.yaml: {name}");
            assert_eq!(measured[name].tolerance, Some(tolerance), "docs/panel.yaml: {name}");
            let row = format!("`{name}`: tolerance {tolerance:.2}");
            assert!(readme.contains(&row), "the README has no «{row}»");
        }
        let [careful, balanced, frugal] = SHIPPED.map(|(_, tolerance)| format!("{tolerance:.2}"));
        let all = format!("tolerances {careful}, {balanced}, {frugal}");
        assert!(include_str!("../../../docs/policies.md").contains(&all), "docs/policies.md: {all}");
    }
}
