//! Configurations of any size, and a prompt, for the benches that decide.

use std::fmt::Write;
use std::sync::Arc;

use gateway::classify::Classifier;
use gateway::config;
use gateway::meter::Meter;
use gateway::snapshot::{Snapshot, snapshot_for_dry_runs};
use router_model::{RouterModel, TAXONOMY};

/// About 100 tokens.
pub(crate) const PROMPT: &str = r#"{"model":"auto","messages":[{"role":"user","content":"You are given the quarterly figures of a small company. Revenue rose from $1,240 to $1,312 thousand while costs of goods sold fell by 3.5 %. Write a Python function that returns the gross margin, then explain in two sentences whether the company is healthier than a year ago, and which single number you would look at next."}]}"#;

/// So many experts, each good at one domain, and a rule on one of the domains.
pub(crate) fn snapshot(experts: usize) -> Option<Arc<Snapshot>> {
    let mut yaml =
        "fallback: e0\nrules: [{ when: { domain: [legal] }, require: [indemnified] }]\nexperts:\n".to_owned();
    for index in 0..experts {
        let domain = TAXONOMY[index % TAXONOMY.len()];
        let quality = if index == 0 { String::new() } else { format!("quality: {{ {domain}: 0.97 }}, ") };
        let _ = writeln!(
            yaml,
            "  - {{ name: e{index}, model: m{index}, base_url: 'http://127.0.0.1:1/v1', {quality}\
             price: {{ input_per_1m: {index}.1, output_per_1m: {index}.2 }} }}"
        );
    }
    let checked = config::parse("bench.yaml", &yaml, &|_| None).ok()?;
    let classifier: Arc<dyn Classifier> = Arc::new(RouterModel::builtin().ok()?);
    let meter = Meter::new(classifier.version());
    snapshot_for_dry_runs(checked, classifier, &meter).ok().map(Arc::new)
}
