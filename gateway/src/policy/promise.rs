//! A calibrated promise: of the requests that need the fallback, at most a given share goes to another.
//!
//! The expert that would take a request is the cheapest of those whose chance is about the best; it does so where
//! the router's wish for the fallback is under a threshold that an exact bound gave on graded prompts
//! ([`router_model::promise`]), over all domains and in each that has prompts enough, for this very panel of experts.
//! Where that expert may not take the request, is full or fails, the fallback answers and no other expert does, so that
//! whatever shuts experts out only ever keeps requests from them. In a domain without graded prompts nothing was
//! promised, and the fallback answers.

use router_model::answers::as_graded;
use router_model::promise::{Promised, taker, wish};

use super::{Candidate, Choice, Evidence, Gate, Panel, Policy, Steady, with_fallback_first};
use crate::constraint::WhyNot;
use crate::record::Reason;

/// The policy: thresholds and for whom they were found.
#[derive(Debug, Clone)]
pub struct UnderRoute {
    /// The panels of experts that it was made for, all of them first.
    pub panels: Vec<Panel>,
    /// Where the graded prompts came from.
    pub source: String,
    /// When the fallback leads.
    pub gate: Gate,
}

/// What a promise has to say of a request.
struct Stake {
    /// The expert that would take it.
    taker: Option<usize>,
    /// How much it wants the fallback.
    wish: f32,
    /// From which wish on the fallback answers; `None` where nothing was promised.
    threshold: Option<f32>,
}

impl UnderRoute {
    fn stake(&self, candidates: &[Candidate<'_>], evidence: Evidence<'_>, fallback: usize) -> Option<Stake> {
        let panel = self.panel(candidates)?;
        let chance = |place: usize| as_graded(candidates[place].chance.unwrap_or(0.0));
        let taker = taker(panel.experts.iter().map(|&place| (place, chance(place))));
        Some(Stake {
            taker,
            wish: taker.map_or(f32::INFINITY, |place| wish(chance(fallback), chance(place))),
            threshold: panel.promised.thresholds.get(evidence.top).copied().flatten(),
        })
    }

    /// The largest panel that the tenant may use all of; else the one of all experts, whose missing ones the fallback
    /// stands in for.
    fn panel(&self, candidates: &[Candidate<'_>]) -> Option<&Panel> {
        let listed = |place: &usize| candidates[*place].why_not != Some(WhyNot::NotAllowed);
        let whole = self.panels.iter().find(|panel| panel.experts.iter().all(listed));
        whole.or(self.panels.first())
    }
}

impl Policy for UnderRoute {
    fn choose(
        &self,
        candidates: &[Candidate<'_>],
        evidence: Option<Evidence<'_>>,
        fallback: usize,
    ) -> Choice {
        let evidence = match self.gate.pass(evidence) {
            Ok(evidence) => evidence,
            Err(reason) => return with_fallback_first(candidates, fallback, reason),
        };
        let Some(Stake { taker, wish, threshold: Some(threshold) }) =
            self.stake(candidates, evidence, fallback)
        else {
            return with_fallback_first(candidates, fallback, Reason::OutOfDistribution);
        };
        let may = |place: usize| candidates[place].why_not.is_none();
        let first = taker.filter(|_| wish < threshold).unwrap_or(fallback);
        if !may(first) {
            return with_fallback_first(candidates, fallback, Reason::Ineligible);
        }
        let mut order = vec![first];
        order.extend((first != fallback && may(fallback)).then_some(fallback));
        Choice { order, reason: Reason::Routed }
    }

    fn steady(
        &self,
        candidates: &[Candidate<'_>],
        evidence: Option<Evidence<'_>>,
        fallback: usize,
    ) -> Option<Steady> {
        let choice = self.choose(candidates, evidence, fallback);
        let Stake { taker, wish, threshold } = self.stake(candidates, evidence?, fallback)?;
        // where the expert is shut out, no threshold would let it answer
        if choice.reason != Reason::Routed || candidates[taker?].why_not.is_some() {
            return None;
        }
        let (from, to) =
            if choice.order.first() == Some(&fallback) { (0.0, Some(wish)) } else { (wish, None) };
        Some(Steady { dial: "threshold", value: threshold?, from, to })
    }

    fn describe(&self) -> String {
        let Some(all) = self.panels.first() else { return String::new() };
        let Promised { whole, served, .. } = &all.promised;
        let mut told = format!(
            "max_under_route {}: threshold {:.4}, bound {:.4} from {} graded prompts of {}, of which {} need the fallback; there {:.0} % went to experts",
            whole.at_most,
            whole.threshold,
            whole.bound,
            whole.graded,
            self.source,
            whole.needing,
            served * 100.0
        );
        let (kept, none): (Vec<_>, Vec<_>) = all.promised.own.iter().partition(|own| own.promise.is_ok());
        let names = |own: Vec<&router_model::promise::DomainPromise>| {
            own.iter().map(|own| own.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        told += "; holds over all";
        if !kept.is_empty() {
            told += &format!(" and in each of {} by itself, all at once", names(kept));
        }
        told += ", with 90 % confidence";
        for panel in &self.panels[1..] {
            told += &format!(
                "; and for {} with fewer experts: threshold {:.4}, {:.0} % to experts",
                panel.tenants.join(", "),
                panel.promised.whole.threshold,
                panel.promised.served * 100.0
            );
        }
        if !none.is_empty() {
            told += &format!("; the fallback answers {}, where it cannot be kept", names(none));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use router_model::promise::Promise;

    use super::*;
    use crate::constraint::WhyNot;
    use crate::price::MicroUsd;
    use crate::snapshot::tests::expert;

    const FALLBACK: usize = 2;

    /// A promise in the first of two domains.
    fn promised(threshold: f32) -> Promised {
        let whole = Promise {
            at_most: 0.05,
            delta: 0.1,
            threshold,
            bound: 0.04,
            needing: 300,
            graded: 1000,
            served: 0.3,
        };
        Promised { delta: 0.1, whole, own: Vec::new(), thresholds: vec![Some(threshold), None], served: 0.3 }
    }

    fn choose(chances: [f32; 3], top: usize, ood: f32, shut: &[(usize, WhyNot)]) -> Choice {
        let experts = ["small", "middle", "large"].map(|name| expert(0, name, &[]));
        let candidates: Vec<Candidate<'_>> = experts
            .iter()
            .enumerate()
            .map(|(place, expert)| Candidate {
                expert,
                quality: 0.0,
                own: 0.0,
                chance: Some(chances[place]),
                cost: Some(MicroUsd(1)),
                why_not: shut.iter().find(|(shut, _)| *shut == place).map(|(_, why)| why.clone()),
            })
            .collect();
        let panel = |experts: &[usize], threshold: f32| Panel {
            experts: experts.to_vec(),
            tenants: Vec::new(),
            promised: promised(threshold),
        };
        let policy = UnderRoute {
            panels: vec![panel(&[0, 1], 0.2), panel(&[1], 0.08)],
            source: "made".into(),
            gate: Gate { min_confidence: 0.4, max_ood: 0.99 },
        };
        let evidence = Evidence { domains: &[0.5, 0.5], top, confidence: 0.5, ood };
        policy.choose(&candidates, Some(evidence), FALLBACK)
    }

    #[test]
    fn the_cheapest_of_about_the_best_takes_it_where_the_wish_is_under_the_threshold() {
        let routed = |order: &[usize]| Choice { order: order.to_vec(), reason: Reason::Routed };
        assert_eq!(choose([0.88, 0.90, 0.95], 0, 0.5, &[]), routed(&[0, 2]));
        assert_eq!(choose([0.50, 0.90, 0.95], 0, 0.5, &[]), routed(&[1, 2]));
        assert_eq!(choose([0.50, 0.60, 0.95], 0, 0.5, &[]), routed(&[2]));
        // where the large model fails too, it is not needed
        assert_eq!(choose([0.10, 0.12, 0.15], 0, 0.5, &[]), routed(&[0, 2]));
    }

    #[test]
    fn where_nothing_was_promised_the_fallback_answers() {
        let strange = Choice { order: vec![2], reason: Reason::OutOfDistribution };
        assert_eq!(choose([0.9; 3], 1, 0.5, &[]), strange);
        assert_eq!(choose([0.9; 3], 0, 0.99, &[]), strange);
    }

    const NO_TOOLS: WhyNot = WhyNot::Capability("tools");

    #[test]
    fn where_the_expert_is_shut_out_the_fallback_answers_and_no_other_expert() {
        let ineligible = |order: &[usize]| Choice { order: order.to_vec(), reason: Reason::Ineligible };
        let routed = |order: &[usize]| Choice { order: order.to_vec(), reason: Reason::Routed };
        assert_eq!(choose([0.88, 0.90, 0.95], 0, 0.5, &[(0, NO_TOOLS)]), ineligible(&[2]));
        // the one that is shut out would not have taken it
        assert_eq!(choose([0.50, 0.90, 0.95], 0, 0.5, &[(0, NO_TOOLS)]), routed(&[1, 2]));
        assert_eq!(choose([0.50, 0.60, 0.95], 0, 0.5, &[(1, NO_TOOLS)]), routed(&[2]));
        // nobody can promise what a shut out fallback would have answered
        assert_eq!(choose([0.1, 0.1, 0.15], 0, 0.5, &[(2, NO_TOOLS)]), routed(&[0]));
        assert_eq!(choose([0.1, 0.1, 0.95], 0, 0.5, &[(2, NO_TOOLS)]), ineligible(&[0, 1]));
        assert_eq!(choose([0.1, 0.1, 0.95], 0, 0.5, &[(0, NO_TOOLS), (2, NO_TOOLS)]), ineligible(&[1]));
    }

    #[test]
    fn a_tenants_list_has_its_own_threshold_or_the_fallback() {
        let ineligible = Choice { order: vec![2], reason: Reason::Ineligible };
        let routed = |order: &[usize]| Choice { order: order.to_vec(), reason: Reason::Routed };
        let without = |place| [(place, WhyNot::NotAllowed)];
        // under the threshold of all experts, over that of the second alone
        assert_eq!(choose([0.88, 0.90, 0.95], 0, 0.5, &without(0)), routed(&[2]));
        assert_eq!(choose([0.88, 0.93, 0.95], 0, 0.5, &without(0)), routed(&[1, 2]));
        // nothing was promised for the first alone: what it would take of all it takes, the rest does not go to it
        assert_eq!(choose([0.88, 0.90, 0.95], 0, 0.5, &without(1)), routed(&[0, 2]));
        assert_eq!(choose([0.50, 0.90, 0.95], 0, 0.5, &without(1)), ineligible);
    }
}
