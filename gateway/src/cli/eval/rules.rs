//! `mixgate eval --rules`: how often a governance rule on a domain is escaped, and how often it applies where it should
//! not.
//!
//! Each labelled prompt is planned as a request of the tenant that the rule is about, by the function that plans served
//! requests, under the configuration as it stands. Whether the rule applied is read from the constraints of the plan.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::Table;
use router_model::data::{self, Row};
use router_model::eval::wilson;
use serde::Serialize;

use super::domains::table;
use super::served;
use crate::api::Dialect;
use crate::ask::Ask;
use crate::auth::Caller;
use crate::cli::Exit;
use crate::cli::print;
use crate::constraint::Constraints;
use crate::meter::Meter;
use crate::plan::{Wish, plan};
use crate::router_file;
use crate::snapshot::{Selector, Snapshot, snapshot_for_dry_runs};
use crate::wide::Unknown;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    config: String,
    hash: String,
    router_version: String,
    /// Prompts judged.
    n: usize,
    /// Prompts left out: their label is no domain of the router model.
    unknown: usize,
    /// Prompts whose reading took longer here than `router.deadline`: served, rules on a domain apply to them.
    past_deadline: usize,
    deadline_millis: f64,
    rules: Vec<RuleReport>,
}

/// How often one rule errs.
#[derive(Debug, Serialize)]
struct RuleReport {
    /// Its position and line, as decision records have them.
    rule: Arc<str>,
    domains: Vec<String>,
    at: f32,
    tenant: Option<Arc<str>>,
    require: Vec<Arc<str>>,
    forbid: Vec<Arc<str>>,
    /// `None`: it names no domain, so no prompt can escape it.
    #[serde(flatten)]
    errors: Option<RuleErrors>,
}

#[derive(Debug, Default, Serialize)]
struct RuleErrors {
    /// Prompts of its domains to which it does not apply.
    missed: Errors,
    /// The same by label.
    missed_by_domain: BTreeMap<String, Errors>,
    /// Prompts of other domains to which it applies.
    false_alarms: Errors,
    /// The same by label.
    false_alarms_by_domain: BTreeMap<String, Errors>,
}

/// Prompts, and those of them where the rule errs.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
#[serde(into = "Figures")]
struct Errors {
    n: usize,
    errors: usize,
    /// Errors that no second label excuses.
    lenient: usize,
    /// Errors because the domain is unknown, by the reason.
    unknown: BTreeMap<&'static str, usize>,
}

/// The same with shares; none of no prompts.
#[derive(Serialize)]
struct Figures {
    n: usize,
    errors: usize,
    share: Option<f64>,
    interval: [f64; 2],
    lenient_errors: usize,
    lenient_share: Option<f64>,
    lenient_interval: [f64; 2],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    domain_unknown: BTreeMap<&'static str, usize>,
}

impl From<Errors> for Figures {
    fn from(Errors { n, errors, lenient, unknown }: Errors) -> Self {
        let share = |hits: usize| (n > 0).then(|| hits as f64 / n as f64);
        Self {
            n,
            errors,
            share: share(errors),
            interval: wilson(errors, n),
            lenient_errors: lenient,
            lenient_share: share(lenient),
            lenient_interval: wilson(lenient, n),
            domain_unknown: unknown,
        }
    }
}

/// How the gateway read one prompt, as far as rules go.
struct Reading {
    constraints: Constraints,
    unknown: Option<Unknown>,
    took: Duration,
}

/// Judges every rule of a configuration on the labelled prompts of a file.
pub(super) fn judge(config: &Path, domains: &Path) -> Result<Report, Exit> {
    let loaded = router_file::load(config);
    let (checked, classifier) = loaded.map_err(|faults| Exit::Input(faults.to_string()))?;
    let model = super::super::load_router_model(&checked.config.router.model)?;
    super::warn_if_seen(&model, domains)?;
    let meter = Meter::new(classifier.version());
    let mut snapshot = snapshot_for_dry_runs(checked, classifier, &meter).map_err(Exit::Input)?;
    let deadline = std::mem::replace(&mut snapshot.deadline, served::PATIENCE);
    let mut rows = data::read(domains).map_err(|error| Exit::Input(error.to_string()))?;
    let all = rows.len();
    let known = snapshot.classifier.domains();
    // labels by the names that the model gave are understood where it goes by names of one's own
    let own = |label: &mut String| {
        if let Some(place) = snapshot.classifier.place(label) {
            label.clone_from(&known[place]);
        }
    };
    rows.iter_mut().for_each(|row| row.domain.iter_mut().chain(&mut row.also).for_each(own));
    rows.retain(|row| row.is_none() || row.domain.as_ref().is_some_and(|label| known.contains(label)));
    if rows.is_empty() {
        let message = format!("no label is a domain of the router model: {}", known.join(" "));
        return Err(Exit::Input(format!("{}: {message}", domains.display())));
    }
    let snapshot = Arc::new(snapshot);
    let (rules, past_deadline) = judge_rules(&snapshot, &rows, deadline)?;
    Ok(Report {
        config: config.display().to_string(),
        hash: snapshot.hash.clone(),
        router_version: snapshot.classifier.version().to_owned(),
        n: rows.len(),
        unknown: all - rows.len(),
        past_deadline,
        deadline_millis: deadline.as_secs_f64() * 1e3,
        rules,
    })
}

/// The reports in the order of the rules, and how many prompts took too long to read.
fn judge_rules(
    snapshot: &Arc<Snapshot>,
    rows: &[Row],
    deadline: Duration,
) -> Result<(Vec<RuleReport>, usize), Exit> {
    let mut reports: Vec<RuleReport> = (0..snapshot.rules.len()).map(|rule| blank(snapshot, rule)).collect();
    let on_domains = || (0..snapshot.rules.len()).filter(|rule| !snapshot.rules[*rule].domains.is_empty());
    let tenants: std::collections::BTreeSet<Option<usize>> =
        on_domains().map(|rule| snapshot.rules[rule].tenant).collect();
    let mut late = 0;
    for row in rows {
        let body = served::request(row);
        let mut longest = Duration::ZERO;
        for &tenant in &tenants {
            let reading = read(snapshot, Caller(tenant), &body)?;
            longest = longest.max(reading.took);
            for rule in on_domains().filter(|rule| snapshot.rules[*rule].tenant == tenant) {
                take(&mut reports[rule], rule, row, &reading);
            }
        }
        late += usize::from(longest > deadline);
    }
    Ok((reports, late))
}

fn blank(snapshot: &Snapshot, index: usize) -> RuleReport {
    let rule = &snapshot.rules[index];
    let names = snapshot.classifier.domains();
    RuleReport {
        rule: Arc::clone(&snapshot.names.rules[index]),
        domains: rule.domains.iter().map(|domain| names[*domain].clone()).collect(),
        at: rule.at,
        tenant: rule.tenant.map(|tenant| Arc::clone(&snapshot.tenants[tenant].name)),
        require: rule.require.clone(),
        forbid: rule.forbid.clone(),
        errors: (!rule.domains.is_empty()).then(RuleErrors::default),
    }
}

/// Plans the request as it would be served, outside of any conversation.
fn read(snapshot: &Arc<Snapshot>, caller: Caller, body: &[u8]) -> Result<Reading, Exit> {
    let refused = |failure: crate::error::Failure| Exit::Input(failure.message());
    let ask = Ask::parse(Dialect::Chat, body).map_err(refused)?;
    let policy = snapshot.policy_of_named_models(caller);
    let wish = Wish {
        selector: Selector::Policy(policy),
        forced: false,
        policy,
        require: Vec::new(),
        session: None,
        tolerance: None,
    };
    let plan = plan(snapshot, None, caller, &wish, &ask, Dialect::Chat).map_err(refused)?;
    Ok(Reading {
        constraints: plan.constraints,
        unknown: plan.wider.and_then(|subject| subject.unknown),
        took: Duration::from_micros(plan.decision.route_micros),
    })
}

/// Counts one prompt for one rule.
fn take(report: &mut RuleReport, rule: usize, row: &Row, reading: &Reading) {
    let Some(errors) = &mut report.errors else { return };
    let label = row.domain.as_deref().unwrap_or_default();
    let is_its = |label: &str| report.domains.iter().any(|domain| domain == label);
    let (should, applies) = (is_its(label), reading.constraints.has_rule(rule));
    let excused = row.also.iter().any(|other| is_its(other) != should);
    let unknown = reading.unknown.filter(|_| applies);
    let (all, by_label) = if should {
        (&mut errors.missed, &mut errors.missed_by_domain)
    } else {
        (&mut errors.false_alarms, &mut errors.false_alarms_by_domain)
    };
    for figures in [all, by_label.entry(label.to_owned()).or_default()] {
        figures.n += 1;
        if should != applies {
            figures.errors += 1;
            figures.lenient += usize::from(!excused);
            if let Some(why) = unknown {
                *figures.unknown.entry(why.as_str()).or_default() += 1;
            }
        }
    }
}

/// Prints a table for each rule.
pub(super) fn show(report: &Report) {
    let Report { config, hash, router_version, n, .. } = report;
    print::out!("{n} labelled prompts, router model {router_version}, {config} (hash {hash})");
    if report.unknown > 0 {
        print::out!("left out: {} prompts of domains that the model does not know", report.unknown);
    }
    if report.past_deadline > 0 {
        print::out!(
            "{} prompts took longer to read here than router.deadline ({} ms):\n\
             served so slowly, every rule on a domain applies to them",
            report.past_deadline,
            report.deadline_millis
        );
    }
    if report.rules.is_empty() {
        print::out!("the configuration has no rules");
    }
    for rule in &report.rules {
        print::out!("\n{}   {}", rule.rule, wants(rule));
        match &rule.errors {
            Some(errors) => print::out!("{}", figures(errors)),
            None => print::out!("  names no domain: it asks no model, and no prompt escapes it"),
        }
    }
}

/// When it applies, and what it asks, in words.
fn wants(rule: &RuleReport) -> String {
    let domains =
        (!rule.domains.is_empty()).then(|| format!("{} from {} on", rule.domains.join(", "), rule.at));
    let tenant = rule.tenant.as_ref().map(|tenant| format!("tenant {tenant}"));
    let tags =
        |verb: &str, tags: &[Arc<str>]| (!tags.is_empty()).then(|| format!("{verb} {}", tags.join(", ")));
    let all = [domains, tenant, tags("requires", &rule.require), tags("forbids", &rule.forbid)];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn figures(errors: &RuleErrors) -> Table {
    let mut table = table(&["", "prompts", "wrong", "share", "95 %", "lenient", "domain unknown"]);
    let RuleErrors { missed, missed_by_domain, false_alarms, false_alarms_by_domain } = errors;
    table.add_row(row("missed", missed));
    if missed_by_domain.len() > 1 {
        missed_by_domain
            .iter()
            .for_each(|(label, errors)| _ = table.add_row(row(&format!("  {label}"), errors)));
    }
    table.add_row(row("false alarms", false_alarms));
    let mut others: Vec<_> = false_alarms_by_domain.iter().filter(|(_, errors)| errors.errors > 0).collect();
    others.sort_by_key(|(_, errors)| std::cmp::Reverse(errors.errors));
    for (label, errors) in others.into_iter().take(MOST) {
        table.add_row(row(&format!("  {label}"), errors));
    }
    table
}

/// Labels that are shown of the false alarms, those with most of them.
const MOST: usize = 3;

fn row(name: &str, errors: &Errors) -> [String; 7] {
    let unknown: usize = errors.unknown.values().sum();
    let Figures { n, errors, share, interval: [low, high], lenient_share, .. } = errors.clone().into();
    let percent =
        |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let interval =
        if n == 0 { "–".to_owned() } else { format!("{:.1} to {:.1}", low * 100.0, high * 100.0) };
    let unknown = if unknown == 0 { "–".to_owned() } else { unknown.to_string() };
    [
        name.to_owned(),
        n.to_string(),
        errors.to_string(),
        percent(share),
        interval,
        percent(lenient_share),
        unknown,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> RuleReport {
        RuleReport {
            rule: "rules[0], t.yaml:3".into(),
            domains: vec!["legal".to_owned(), "finance".to_owned()],
            at: 0.2,
            tenant: None,
            require: vec!["indemnified".into()],
            forbid: Vec::new(),
            errors: Some(RuleErrors::default()),
        }
    }

    fn reading(applies: bool, unknown: Option<Unknown>) -> Reading {
        let asked = crate::constraint::Asked { tag: "indemnified".into(), rule: Some(4) };
        let require = if applies { vec![asked] } else { Vec::new() };
        let constraints = Constraints { require, ..Constraints::default() };
        Reading { constraints, unknown, took: Duration::ZERO }
    }

    fn labelled(domain: &str, also: &[&str]) -> Row {
        let also = also.iter().map(|label| (*label).to_owned()).collect();
        Row { domain: Some(domain.to_owned()), also, ..Row::default() }
    }

    #[test]
    fn a_second_label_on_the_other_side_of_the_rule_excuses_an_error() {
        let mut report = rule();
        for (label, also, applies) in [
            ("legal", &[][..], true),
            ("legal", &["finance"], false),
            ("legal", &["general"], false),
            ("finance", &[], false),
            ("chat", &[], false),
            ("chat", &["legal"], true),
            ("chat", &["general"], true),
            ("none", &[], true),
        ] {
            take(&mut report, 4, &labelled(label, also), &reading(applies, None));
        }
        let errors = report.errors.unwrap();
        let counts = |e: &Errors| (e.n, e.errors, e.lenient);
        assert_eq!((counts(&errors.missed), counts(&errors.false_alarms)), ((4, 3, 2), (4, 3, 2)));
        assert_eq!(counts(&errors.missed_by_domain["legal"]), (3, 2, 1));
        assert_eq!(counts(&errors.false_alarms_by_domain["none"]), (1, 1, 1));
    }

    #[test]
    fn an_unknown_domain_is_told_of_false_alarms_alone() {
        let mut report = rule();
        let unknown = Some(Unknown::OutOfDistribution);
        take(&mut report, 4, &labelled("legal", &[]), &reading(true, unknown));
        take(&mut report, 4, &labelled("chat", &[]), &reading(true, unknown));
        take(&mut report, 4, &labelled("chat", &[]), &reading(true, None));
        let errors = report.errors.unwrap();
        assert!(errors.missed.unknown.is_empty());
        assert_eq!(errors.false_alarms.unknown, BTreeMap::from([("out_of_distribution", 1)]));
        assert_eq!(
            row("x", &errors.false_alarms)[1..],
            ["2", "2", "100.0 %", "34.2 to 100.0", "100.0 %", "1"]
        );
        assert_eq!(row("x", &Errors::default())[1..], ["0", "0", "–", "–", "–", "–"]);
    }
}
