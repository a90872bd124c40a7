//! A calibrated promise: of the requests that need the fallback, at most a given share goes to another.
//!
//! The expert that would take a request is the cheapest of those whose chance is about the best; it does so where
//! the router's wish for the fallback is under a threshold that an exact bound gave on graded prompts
//! ([`router_model::promise`]), over all domains and in each that has prompts enough. In a domain without such prompts
//! nothing was promised, and the fallback answers.

use router_model::promise::{Promised, taker, wish};

use super::{Candidate, Choice, Evidence, Gate, Policy, Steady, with_fallback_first};
use crate::record::Reason;

/// The policy: thresholds and for whom they were found.
#[derive(Debug, Clone)]
pub struct UnderRoute {
    /// The thresholds and what they promise.
    pub promised: Promised,
    /// Where the graded prompts came from.
    pub source: String,
    /// Positions of the experts, cheapest first.
    pub experts: Vec<usize>,
    /// When the fallback leads.
    pub gate: Gate,
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
        let Some(threshold) = self.threshold(evidence) else {
            return with_fallback_first(candidates, fallback, Reason::OutOfDistribution);
        };
        let chance = |place: usize| candidates[place].chance.unwrap_or(0.0);
        let known = self.experts.iter().map(|&place| (place, chance(place)));
        let may = known.clone().filter(|(place, _)| candidates[*place].why_not.is_none());
        let cheap_enough = |place: usize| wish(chance(fallback), chance(place)) < threshold;
        let takes = |expert: Option<usize>| expert.filter(|&place| cheap_enough(place)).unwrap_or(fallback);
        let (meant, first) = (takes(taker(known)), takes(taker(may.clone())));
        if candidates[first].why_not.is_some() {
            return with_fallback_first(candidates, fallback, Reason::Ineligible);
        }
        let reason = if meant == first { Reason::Routed } else { Reason::Ineligible };
        let mut order = vec![first];
        if first != fallback {
            // behind the one that would take it, only who could have taken it as well
            let others = may.map(|(place, _)| place).filter(|&place| place != first && cheap_enough(place));
            order.extend(others.filter(|&place| chance(place) >= chance(first)));
            order.extend(candidates[fallback].why_not.is_none().then_some(fallback));
        }
        Choice { order, reason }
    }

    fn steady(
        &self,
        candidates: &[Candidate<'_>],
        evidence: Option<Evidence<'_>>,
        fallback: usize,
    ) -> Option<Steady> {
        let choice = self.choose(candidates, evidence, fallback);
        if !matches!(choice.reason, Reason::Routed | Reason::Ineligible) {
            return None;
        }
        let threshold = self.threshold(evidence?)?;
        let chance = |place: usize| candidates[place].chance.unwrap_or(0.0);
        let may = self.experts.iter().filter(|place| candidates[**place].why_not.is_none());
        let taker = taker(may.map(|&place| (place, chance(place))))?;
        let wish = wish(chance(fallback), chance(taker));
        let (from, to) =
            if choice.order.first() == Some(&fallback) { (0.0, Some(wish)) } else { (wish, None) };
        Some(Steady { dial: "threshold", value: threshold, from, to })
    }

    fn describe(&self) -> String {
        let Promised { whole, own, served, .. } = &self.promised;
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
        let kept = own.iter().filter(|own| own.promise.is_ok()).map(|own| own.name.as_str());
        let kept: Vec<&str> = kept.collect();
        if !kept.is_empty() {
            told += &format!("; holds in each of {} by itself", kept.join(", "));
        }
        let none: Vec<&str> =
            own.iter().filter(|own| own.promise.is_err()).map(|own| own.name.as_str()).collect();
        if !none.is_empty() {
            told += &format!("; the fallback answers {}, where it cannot be kept", none.join(", "));
        }
        told
    }
}

impl UnderRoute {
    /// The wish from which on the fallback answers; `None` where nothing was promised.
    fn threshold(&self, evidence: Evidence<'_>) -> Option<f32> {
        self.promised.thresholds.get(evidence.top).copied().flatten()
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

    fn choose(chances: [f32; 3], top: usize, ood: f32, shut: &[usize]) -> Choice {
        let experts = ["small", "middle", "large"].map(|name| expert(0, name, &[]));
        let candidates: Vec<Candidate<'_>> = experts
            .iter()
            .enumerate()
            .map(|(place, expert)| Candidate {
                expert,
                quality: 0.0,
                chance: Some(chances[place]),
                cost: Some(MicroUsd(1)),
                why_not: shut.contains(&place).then_some(WhyNot::NotAllowed),
            })
            .collect();
        let whole = Promise {
            at_most: 0.05,
            delta: 0.1,
            threshold: 0.2,
            bound: 0.04,
            needing: 300,
            graded: 1000,
            served: 0.3,
        };
        let thresholds = vec![Some(0.2), None];
        let policy = UnderRoute {
            promised: Promised { whole, own: Vec::new(), thresholds, served: 0.3 },
            source: "made".into(),
            experts: vec![0, 1],
            gate: Gate { min_confidence: 0.4, max_ood: 0.99 },
        };
        let evidence = Evidence { domains: &[0.5, 0.5], top, confidence: 0.5, ood };
        policy.choose(&candidates, Some(evidence), FALLBACK)
    }

    #[test]
    fn the_cheapest_of_about_the_best_takes_it_where_the_wish_is_under_the_threshold() {
        let routed = |order: &[usize]| Choice { order: order.to_vec(), reason: Reason::Routed };
        assert_eq!(choose([0.88, 0.90, 0.95], 0, 0.5, &[]), routed(&[0, 1, 2]));
        assert_eq!(choose([0.50, 0.90, 0.95], 0, 0.5, &[]), routed(&[1, 2]));
        assert_eq!(choose([0.50, 0.60, 0.95], 0, 0.5, &[]), routed(&[2]));
        // where the large model fails too, it is not needed
        assert_eq!(choose([0.10, 0.12, 0.15], 0, 0.5, &[]), routed(&[0, 1, 2]));
    }

    #[test]
    fn where_nothing_was_promised_the_fallback_answers() {
        let strange = Choice { order: vec![2], reason: Reason::OutOfDistribution };
        assert_eq!(choose([0.9; 3], 1, 0.5, &[]), strange);
        assert_eq!(choose([0.9; 3], 0, 0.99, &[]), strange);
    }

    #[test]
    fn who_may_not_take_it_is_passed_over() {
        assert_eq!(
            choose([0.88, 0.90, 0.95], 0, 0.5, &[0]),
            Choice { order: vec![1, 2], reason: Reason::Ineligible }
        );
        assert_eq!(
            choose([0.88, 0.50, 0.95], 0, 0.5, &[0]),
            Choice { order: vec![2], reason: Reason::Ineligible }
        );
        assert_eq!(choose([0.1, 0.1, 0.9], 0, 0.5, &[2]).order, [0, 1]);
    }
}
