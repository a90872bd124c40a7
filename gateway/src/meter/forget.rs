//! Takes the series of experts and endpoints that left the configuration out of the metrics: a gauge that nobody sets
//! any more would show its last value for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

use super::Meter;
use crate::expert::Expert;

/// Labels that carry the name of an expert.
const OF_EXPERTS: [&str; 3] = ["expert", "from", "to"];

/// Names of the experts of a configuration, each with the authorities of its endpoints.
type Names<'e> = BTreeMap<&'e str, BTreeSet<&'e str>>;

fn names(experts: &[Expert]) -> Names<'_> {
    let mut names = Names::new();
    for expert in experts {
        let authorities = expert.endpoints.iter().map(|endpoint| &*endpoint.authority);
        names.insert(&expert.name, authorities.collect());
    }
    names
}

/// What is in the old configuration and not in the new one.
struct Gone<'e> {
    old: Names<'e>,
    new: Names<'e>,
}

impl Gone<'_> {
    fn has(&self, labels: &HashMap<&str, &str>) -> bool {
        let left = |name: &&str| self.old.contains_key(*name) && !self.new.contains_key(*name);
        if OF_EXPERTS.iter().filter_map(|label| labels.get(label)).any(left) {
            return true;
        }
        let (Some(expert), Some(endpoint)) = (labels.get("expert"), labels.get("endpoint")) else {
            return false;
        };
        let serves = |names: &Names<'_>| names.get(expert).is_some_and(|all| all.contains(endpoint));
        serves(&self.old) && !serves(&self.new)
    }

    fn forget<T: MetricVecBuilder>(&self, family: &MetricVec<T>)
    where
        MetricVec<T>: Collector,
    {
        for metric in family.collect().iter().flat_map(|collected| collected.get_metric()) {
            let labels = metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            if self.has(&labels) {
                // a series that is gone already is gone
                let _ = family.remove(&labels);
            }
        }
    }
}

impl Meter {
    /// Takes out what the old configuration had and the new one has not.
    pub fn forget(&self, old: &[Expert], new: &[Expert]) {
        let gone = Gone { old: names(old), new: names(new) };
        for counters in [
            &self.requests,
            &self.route_decisions,
            &self.upstream_attempts,
            &self.fallbacks,
            &self.tokens,
            &self.unpriced,
            &self.usage_missing,
            &self.usage_implausible,
            &self.stale_connections,
        ] {
            gone.forget(counters);
        }
        for histograms in
            [&self.request_duration, &self.time_to_first_token, &self.time_per_output_token, &self.feedback]
        {
            gone.forget(histograms);
        }
        for floats in [&self.cost, &self.baseline_cost] {
            gone.forget(floats);
        }
        for levels in [&self.in_flight, &self.circuit_state] {
            gone.forget(levels);
        }
        for gauges in [&self.saved, &self.hosting] {
            gone.forget(gauges);
        }
    }
}
