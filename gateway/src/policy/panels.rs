//! The panels that a promise is made for: all the experts that its policy may choose from, and what is left of them on
//! the lists of tenants. All panels are promised for at once, so that the confidence covers every tenant together.
//!
//! What shuts an expert out of single requests (rules, abilities, windows) makes no panel of its own: there the fallback
//! answers in its place, and less goes to experts than was promised.

use router_model::answers::{AnswerSet, set_of};
use router_model::promise::Promised;

use super::measured::{has_all, usual_cost};
use crate::classify::Classifier;
use crate::config::written;
use crate::expert::Expert;

/// Experts that a promise was made for.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Their positions, cheapest first.
    pub experts: Vec<usize>,
    /// The tenants whose list leaves just these; none: all experts.
    pub tenants: Vec<String>,
    /// The thresholds and what they promise.
    pub promised: Promised,
}

/// One promise in ten may be broken by bad luck.
const DELTA: f64 = 0.10;

/// Panels that share the confidence at most; what tenants beyond them may not use is answered by the fallback.
const MOST: usize = 8;

/// What promises are made from.
pub(super) struct Router<'a> {
    pub(super) experts: &'a [Expert],
    pub(super) fallback: usize,
    pub(super) tenants: &'a [written::Tenant],
    pub(super) model: &'a dyn Classifier,
}

impl Router<'_> {
    /// The promise of «at most `at_most`», if the router model carries what it takes: the largest panel first, and the
    /// source of the graded prompts.
    pub(super) fn promise(
        &self,
        policy: &str,
        require: &[String],
        at_most: f64,
    ) -> Result<(Vec<Panel>, String), String> {
        let places = self.known(require);
        let set = self.answers(&places)?;
        let mut lists = vec![(places, Vec::new())];
        lists.extend(self.shorter_lists(policy, &lists[0].0));
        let delta = DELTA / lists.len() as f64;
        let mut panels = Vec::new();
        for (experts, tenants) in lists {
            match self.solve(set, &experts, at_most, delta) {
                Ok(promised) => panels.push(Panel { experts, tenants, promised }),
                Err(few) if panels.is_empty() => return Err(few),
                // its tenants are answered by the fallback where their list leaves the expert out
                Err(_) => {}
            }
        }
        panels.sort_by_key(|panel| std::cmp::Reverse(panel.experts.len()));
        Ok((panels, set.source.clone()))
    }

    /// The experts that a promise may choose from, cheapest first.
    fn known(&self, require: &[String]) -> Vec<usize> {
        let known = |expert: &&Expert| {
            expert.index != self.fallback && expert.catalogue.is_some() && has_all(expert, require)
        };
        let mut places: Vec<usize> = self.experts.iter().filter(known).map(|expert| expert.index).collect();
        places.sort_by_key(|&place| usual_cost(&self.experts[place]));
        places
    }

    fn names(&self, places: &[usize]) -> Vec<&str> {
        places.iter().filter_map(|&place| self.experts[place].catalogue.as_deref()).collect()
    }

    /// What is left of `all` on the lists of tenants that may use the policy and the fallback, and whose lists they are.
    fn shorter_lists(&self, policy: &str, all: &[usize]) -> Vec<(Vec<usize>, Vec<String>)> {
        let mut found: Vec<(Vec<usize>, Vec<String>)> = Vec::new();
        for tenant in self.tenants {
            let Some(list) = &tenant.experts else { continue };
            let listed = |place: usize| list.iter().any(|name| **name == *self.experts[place].name);
            let left: Vec<usize> = all.iter().copied().filter(|&place| listed(place)).collect();
            let may =
                tenant.policies.as_ref().is_none_or(|policies| policies.iter().any(|name| name == policy));
            if !may || !listed(self.fallback) || left.is_empty() || left.len() == all.len() {
                continue;
            }
            match found.iter_mut().find(|(places, _)| *places == left) {
                Some((_, tenants)) => tenants.push(tenant.name.clone()),
                None => found.push((left, vec![tenant.name.clone()])),
            }
        }
        found.truncate(MOST - 1);
        found
    }

    /// The graded answers of the fallback and these experts.
    fn answers(&self, places: &[usize]) -> Result<&AnswerSet, String> {
        let names = self.names(places);
        let (Some(large), false) = (&self.experts[self.fallback].catalogue, names.is_empty()) else {
            return Err(format!(
                "`max_under_route` needs graded answers of the fallback `{}` and of an expert: write to each, as its `catalogue`, the model that it is (`mixgate catalogue` lists them; `mixgate calibrate` learns others), or use `tolerance`",
                self.experts[self.fallback].name
            ));
        };
        let panel = [&names[..], &[large.as_str()]].concat();
        let set = set_of(self.model.answers(), &panel).ok_or_else(|| {
            format!(
                "the router model `{}` carries no graded answers that {} all gave; calibrate on your own with `mixgate calibrate`, leave out the `catalogue` of an expert, or use `tolerance`",
                self.model.version(),
                panel.join(", ")
            )
        })?;
        if set.held_out == 0 {
            return Err(format!(
                "the router model `{}` learned from all its graded answers of {}, and nothing can be promised from those: make it anew with `mixgate calibrate --fallback`, which holds some out",
                self.model.version(),
                set.source
            ));
        }
        Ok(set)
    }

    fn solve(
        &self,
        set: &AnswerSet,
        experts: &[usize],
        at_most: f64,
        delta: f64,
    ) -> Result<Promised, String> {
        let large = self.experts[self.fallback].catalogue.as_deref().unwrap_or_default();
        let calibration =
            set.calibration(&self.names(experts), large, self.model.domains()).unwrap_or_default();
        calibration.solve(at_most, delta).map_err(|few| few.to_string())
    }
}

#[cfg(test)]
mod tests {
    use router_model::RouterModel;

    use super::*;
    use crate::snapshot::tests::expert;

    fn experts() -> Vec<Expert> {
        let names = [
            "phi-3-mini-4k-instruct",
            "meta-llama-3.1-8b-instruct",
            "meta-llama-3.1-70b-instruct",
            "gpt-4o-2024-05-13",
        ];
        let known = |(place, name): (usize, &&str)| Expert {
            catalogue: Some((*name).to_owned()),
            ..expert(place, ["phi", "llama-8b", "llama-70b", "large"][place], &[])
        };
        names.iter().enumerate().map(known).collect()
    }

    fn tenants(yaml: &str) -> Vec<written::Tenant> {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn panels(tenants: &[written::Tenant], at_most: f64) -> Vec<Panel> {
        let (experts, model) = (experts(), RouterModel::builtin().unwrap());
        let router = Router { experts: &experts, fallback: 3, tenants, model: &model };
        let (panels, source) = router.promise("p", &[], at_most).unwrap();
        assert_eq!(source, "mmlu-pro");
        panels
    }

    #[test]
    fn without_shorter_lists_there_is_one_panel_with_all_the_confidence() {
        let all = tenants(
            "[{ name: a, keys: [] }, { name: b, keys: [], experts: [phi, llama-8b, llama-70b, large] },
              { name: no-fallback, keys: [], experts: [phi] },
              { name: other-policy, keys: [], experts: [phi, large], policies: [q] }]",
        );
        let panels = panels(&all, 0.2);
        assert_eq!(panels.len(), 1);
        assert_eq!((&panels[0].experts[..], panels[0].promised.delta), (&[0, 1, 2][..], 0.1));
    }

    #[test]
    fn every_shorter_list_has_thresholds_of_its_own_and_all_share_the_confidence() {
        let all = tenants(
            "[{ name: a, keys: [], experts: [llama-8b, large] }, { name: b, keys: [], experts: [large, llama-8b] },
              { name: c, keys: [], experts: [llama-70b, large, llama-8b] }]",
        );
        let panels = panels(&all, 0.6);
        let lists: Vec<&[usize]> = panels.iter().map(|panel| &panel.experts[..]).collect();
        assert_eq!(lists, [&[0, 1, 2][..], &[1, 2], &[1]], "the largest first");
        assert_eq!(panels[2].tenants, ["a", "b"]);
        for panel in &panels {
            let Promised { delta, whole, .. } = &panel.promised;
            assert!((delta - 0.1 / 3.0).abs() < 1e-9 && whole.delta < *delta, "{panel:?}");
        }
        let [of_all, of_one] = [0, 2].map(|at: usize| panels[at].promised.thresholds.clone());
        assert_ne!(of_all, of_one);
    }
}
