//! The cheapest expert whose expected quality, over the distribution of domains, is within a tolerance of the
//! fallback's. It must have a figure for the likeliest domain, and the domains it has figures for must be likely enough
//! together.
//!
//! Behind it in the order come the other experts within the tolerance, cheapest first, and the fallback. An
//! expert under the tolerance is never tried, however much fails, while the fallback may be.

use super::{Candidate, Choice, Evidence, Gate, Policy, Steady, with_fallback_first};
use crate::record::Reason;

/// What sums of figures may be off by rounding: 0.80 beside 1 is within a tolerance of 0.20 for every request.
const ROUNDING: f32 = 1e-5;

/// The policy and its dials.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// How far below the fallback's an expected quality may be, 0 to 1.
    pub tolerance: f32,
    /// When the fallback leads.
    pub gate: Gate,
}

impl Policy for Tolerance {
    fn choose(
        &self,
        candidates: &[Candidate<'_>],
        evidence: Option<Evidence<'_>>,
        fallback: usize,
    ) -> Choice {
        let evidence = match self.gate.is_familiar(evidence) {
            Ok(evidence) => evidence,
            Err(reason) => return with_fallback_first(candidates, fallback, reason),
        };
        let good = self.good_enough(candidates, evidence, fallback);
        if good == [fallback] && evidence.confidence < self.gate.min_confidence {
            return with_fallback_first(candidates, fallback, Reason::LowConfidence);
        }
        let mut order: Vec<usize> =
            good.iter().copied().filter(|i| candidates[*i].why_not.is_none()).collect();
        let fallback_in = candidates[fallback].why_not.is_none();
        if fallback_in && !order.contains(&fallback) {
            order.push(fallback);
        }
        if order.is_empty() {
            return with_fallback_first(candidates, fallback, Reason::Ineligible);
        }
        let unconstrained = good.first().copied().unwrap_or(fallback);
        let reason = if order[0] == unconstrained { Reason::Routed } else { Reason::Ineligible };
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
        let (evidence, chosen) = (evidence?, *choice.order.first()?);
        let gap = |place: usize| (candidates[fallback].quality - candidates[place].quality).max(0.0);
        let cost = |place: usize| candidates[place].cost.map_or(i64::MAX, |cost| cost.0);
        // who would be taken instead, were it within the tolerance
        let cheaper = (0..candidates.len()).filter(|&place| {
            place != fallback
                && candidates[place].why_not.is_none()
                && self.competes(&candidates[place], evidence)
                && cost(place) < cost(chosen)
                && gap(place) > self.tolerance + ROUNDING
        });
        Some(Steady {
            dial: "tolerance",
            value: self.tolerance,
            // a fallback that is shut out answers at no tolerance
            from: if candidates[fallback].why_not.is_some() || chosen == fallback {
                0.0
            } else {
                gap(chosen)
            },
            to: cheaper.map(gap).min_by(f32::total_cmp),
        })
    }

    fn describe(&self) -> String {
        format!("tolerance {}", self.tolerance)
    }
}

impl Tolerance {
    /// Whether enough is known of an expert for this request.
    fn competes(&self, candidate: &Candidate<'_>, evidence: Evidence<'_>) -> bool {
        candidate.expert.knows(evidence.top) && candidate.own >= self.gate.min_confidence
    }

    /// Experts within the tolerance, cheapest first, whether they may take the request or not.
    fn good_enough(
        &self,
        candidates: &[Candidate<'_>],
        evidence: Evidence<'_>,
        fallback: usize,
    ) -> Vec<usize> {
        let floor = candidates[fallback].quality - self.tolerance - ROUNDING;
        let good = |c: &Candidate<'_>| self.competes(c, evidence) && c.quality >= floor;
        let mut good: Vec<usize> =
            (0..candidates.len()).filter(|i| *i == fallback || good(&candidates[*i])).collect();
        let cost = |i: usize| candidates[i].cost.map_or(i64::MAX, |c| c.0);
        good.sort_by(|a, b| {
            cost(*a).cmp(&cost(*b)).then(candidates[*b].quality.total_cmp(&candidates[*a].quality))
        });
        if let Some(at) = good.iter().position(|i| *i == fallback) {
            good.truncate(at + 1);
        }
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraint::WhyNot;
    use crate::expert::Expert;
    use crate::price::MicroUsd;
    use crate::snapshot::tests::expert;

    const FALLBACK: usize = 2;

    /// Two experts and the fallback: qualities for one domain, expected costs.
    fn experts() -> Vec<Expert> {
        vec![
            expert(0, "small", &[Some(0.80)]),
            expert(1, "middle", &[Some(0.92)]),
            expert(2, "large", &[Some(0.95)]),
        ]
    }

    /// `own`: probability of the only domain that anything is known of.
    fn choose(tolerance: f32, own: f32, shut: &[usize]) -> Choice {
        weighed(tolerance, own, shut, |policy, candidates, evidence| {
            policy.choose(candidates, evidence, FALLBACK)
        })
    }

    fn weighed<T>(
        tolerance: f32,
        own: f32,
        shut: &[usize],
        ask: impl Fn(Tolerance, &[Candidate<'_>], Option<Evidence<'_>>) -> T,
    ) -> T {
        let experts = experts();
        let costs = [1, 5, 100];
        let candidates: Vec<Candidate<'_>> = experts
            .iter()
            .map(|expert| Candidate {
                expert,
                quality: expert.quality[0].unwrap_or_default(),
                own: if expert.index == FALLBACK { 1.0 } else { own },
                chance: None,
                cost: Some(MicroUsd(costs[expert.index])),
                why_not: shut.contains(&expert.index).then_some(WhyNot::NotAllowed),
            })
            .collect();
        let evidence = Evidence { domains: &[own], top: 0, confidence: own, ood: 0.5 };
        ask(
            Tolerance { tolerance, gate: Gate { min_confidence: 0.4, max_ood: 0.99 } },
            &candidates,
            Some(evidence),
        )
    }

    #[test]
    fn the_cheapest_within_the_tolerance_leads_and_the_fallback_ends() {
        assert_eq!(choose(0.05, 0.9, &[]), Choice { order: vec![1, 2], reason: Reason::Routed });
        assert_eq!(choose(0.20, 0.9, &[]), Choice { order: vec![0, 1, 2], reason: Reason::Routed });
        assert_eq!(choose(0.00, 0.9, &[]), Choice { order: vec![2], reason: Reason::Routed });
    }

    #[test]
    fn the_choice_is_steady_between_the_gaps_of_the_chosen_and_the_next_cheaper() {
        for (tolerance, from, to) in [(0.05, 0.03, Some(0.15)), (0.2, 0.15, None), (0.0, 0.0, Some(0.03))] {
            let steady = weighed(tolerance, 0.9, &[], |policy, candidates, evidence| {
                policy.steady(candidates, evidence, FALLBACK).unwrap()
            });
            let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
            assert!(near(steady.from, from), "{steady:?}");
            assert_eq!(steady.to.is_some(), to.is_some(), "{steady:?}");
            assert!(steady.to.zip(to).is_none_or(|(a, b)| near(a, b)), "{steady:?}");
            // and at both ends it is as it says
            assert_eq!(choose(from + 1e-4, 0.9, &[]).order[0], choose(tolerance, 0.9, &[]).order[0]);
            if let Some(to) = to {
                assert_ne!(choose(to + 1e-4, 0.9, &[]).order[0], choose(tolerance, 0.9, &[]).order[0]);
            }
        }
        assert_eq!(
            weighed(0.2, 0.1, &[], |policy, all, evidence| policy.steady(all, evidence, FALLBACK)),
            None
        );
    }

    #[test]
    fn a_figure_just_within_the_tolerance_is_within_it_for_every_request() {
        let policy = Tolerance { tolerance: 0.2, gate: Gate { min_confidence: 0.4, max_ood: 0.99 } };
        let experts = [expert(0, "small", &[Some(0.8), None, None]), expert(1, "large", &[Some(1.0); 3])];
        let reference = crate::expert::Reference::of(&experts[1], &[]);
        for hundredth in 40..100 {
            let own = hundredth as f32 / 100.0;
            let domains = [own, (1.0 - own) / 3.0, (1.0 - own) * 2.0 / 3.0];
            let candidate = |expert| {
                let expected = Expert::expected(expert, &reference, &domains, &[]);
                let crate::expert::Expected { quality, own } = expected;
                Candidate {
                    expert,
                    quality,
                    own,
                    chance: None,
                    cost: Some(MicroUsd(expert.index as i64)),
                    why_not: None,
                }
            };
            let candidates: Vec<Candidate<'_>> = experts.iter().map(candidate).collect();
            let top = usize::from(domains[2] > own) * 2;
            let evidence = Evidence { domains: &domains, top, confidence: domains[top], ood: 0.5 };
            assert_eq!(policy.choose(&candidates, Some(evidence), 1).order[0], 0, "{own}");
        }
    }

    #[test]
    fn an_expert_whose_domains_are_unlikely_is_not_chosen() {
        assert_eq!(choose(0.20, 0.40, &[]), Choice { order: vec![0, 1, 2], reason: Reason::Routed });
        assert_eq!(choose(0.20, 0.39, &[]), Choice { order: vec![2], reason: Reason::LowConfidence });
    }

    #[test]
    fn a_text_unlike_anything_known_means_the_fallback_alone() {
        let experts = experts();
        let candidate = |expert| Candidate {
            expert,
            quality: 0.9,
            own: 1.0,
            chance: None,
            cost: Some(MicroUsd(1)),
            why_not: None,
        };
        let candidates: Vec<Candidate<'_>> = experts.iter().map(candidate).collect();
        let evidence = Evidence { domains: &[1.0], top: 0, confidence: 0.9, ood: 0.99 };
        let policy = Tolerance { tolerance: 1.0, gate: Gate { min_confidence: 0.0, max_ood: 0.99 } };
        let choice = policy.choose(&candidates, Some(evidence), FALLBACK);
        assert_eq!(choice, Choice { order: vec![2], reason: Reason::OutOfDistribution });
    }

    #[test]
    fn who_was_shut_out_is_why_another_leads() {
        assert_eq!(choose(0.20, 0.9, &[0]), Choice { order: vec![1, 2], reason: Reason::Ineligible });
        assert_eq!(choose(0.05, 0.9, &[1]), Choice { order: vec![2], reason: Reason::Ineligible });
        assert_eq!(choose(0.05, 0.9, &[1, 2]), Choice { order: vec![0], reason: Reason::Ineligible });
        assert_eq!(choose(0.05, 0.9, &[0, 1, 2]).order, Vec::<usize>::new());
    }

    #[test]
    fn an_expert_without_a_figure_for_the_domain_is_never_chosen() {
        let experts = [expert(0, "small", &[None, Some(1.0)]), expert(1, "large", &[Some(0.5), Some(0.5)])];
        let candidates: Vec<Candidate<'_>> = experts
            .iter()
            .map(|expert| Candidate {
                expert,
                quality: 0.9,
                own: 0.4,
                chance: None,
                cost: Some(MicroUsd(0)),
                why_not: None,
            })
            .collect();
        let evidence = Evidence { domains: &[0.6, 0.4], top: 0, confidence: 0.6, ood: 0.5 };
        let choice = Tolerance { tolerance: 1.0, gate: Gate { min_confidence: 0.0, max_ood: 0.99 } }.choose(
            &candidates,
            Some(evidence),
            1,
        );
        assert_eq!(choice.order, [1]);
    }
}
