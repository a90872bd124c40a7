//! Where each expert can win, as tables; and what is likely to be a mistake, as warnings.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::policy::{self, Opening, Reach, Won, WonDomain};
use crate::snapshot::Snapshot;

/// The share of requests of each expert under each policy.
pub(super) fn shares(snapshot: &Snapshot) -> Option<Table> {
    let policies = 0..snapshot.policies.len();
    let reaches: Vec<&Reach> = policies.filter_map(|policy| policy::reach(snapshot, policy)).collect();
    let first = *reaches.first()?;
    let mut table = table(["share of requests".to_owned()].into_iter().chain(names(snapshot)));
    for (place, won) in first.experts.iter().enumerate() {
        let shares = reaches.iter().map(|reach| percent(reach.experts[place].share));
        table.add_row([won.expert.clone()].into_iter().chain(shares));
    }
    let of_fallback = |reach: &Reach| [reach.to_fallback, reach.unsure, reach.strange, reach.refused];
    let why = [
        "fallback, the best choice",
        "fallback, unsure",
        "fallback, strange text or no promise",
        "nobody may: an error",
    ];
    for (place, why) in why.into_iter().enumerate() {
        let shares = reaches.iter().map(|reach| percent(of_fallback(reach)[place]));
        table.add_row([why.to_owned()].into_iter().chain(shares));
    }
    right(&mut table, 1..=reaches.len());
    Some(table)
}

/// What each expert gets under one policy, domain by domain.
pub(super) fn wins(reach: &Reach) -> Table {
    let heads = [
        "expert",
        "of all",
        "labelled with no domain of its own",
        "of its domains, and from which probability on",
    ];
    let mut table = table(heads.map(str::to_owned).into_iter());
    for Won { expert, share, foreign, domains, never } in &reach.experts {
        let won = |won: &WonDomain| match won.from {
            Some(from) => format!("{} {:.0} % from {from:.2}", won.domain, 100.0 * won.share),
            None => format!("{} {:.0} %", won.domain, 100.0 * won.share),
        };
        let domains = domains.iter().map(won).collect::<Vec<_>>().join(", ");
        let foreign = if *share > 0.0 { percent(*foreign) } else { String::new() };
        let told = never.as_ref().map_or(domains, |why| format!("never chosen: {why}"));
        table.add_row([expert.clone(), percent(*share), foreign, told]);
    }
    right(&mut table, 1..=2);
    table
}

/// What is likely to be a mistake: policies that choose no expert, experts that no policy chooses, rules and tenants that leave the fallback out.
pub(super) fn warnings(snapshot: &Snapshot) -> Vec<String> {
    let mut warnings = shut(snapshot);
    warnings.extend(never_chosen(snapshot));
    let fallback = &snapshot.experts[snapshot.fallback];
    for (place, rule) in snapshot.rules.iter().enumerate() {
        let lacks = rule.require.iter().find(|tag| !fallback.tags.contains(&***tag));
        let has = rule.forbid.iter().find(|tag| fallback.may_have(tag));
        let why = match (lacks, has) {
            (Some(tag), _) => format!("lacks the tag {tag}"),
            (None, Some(tag)) => format!("has, or may have, the tag {tag}"),
            (None, None) => continue,
        };
        warnings.push(format!(
            "rules[{place}] shuts the fallback `{0}` out, which {why}: where it applies other experts answer, and nobody where none may; a rule on a domain applies, too, where the router is unsure. Give `{0}` the tag if it may answer these",
            fallback.name
        ));
    }
    for tenant in &snapshot.tenants {
        if tenant.experts.as_ref().is_some_and(|list| !list.contains(&snapshot.fallback)) {
            warnings.push(format!(
                "the tenant `{}` may not use the fallback `{}`: what no expert of its list is good enough for is answered by the best of them",
                tenant.name, fallback.name
            ));
        }
    }
    warnings
}

/// Policies that send no request to any expert, and what would change that.
fn shut(snapshot: &Snapshot) -> Vec<String> {
    let shut = snapshot.policies.iter().enumerate().filter_map(|(place, named)| {
        let (opening, reach) = (policy::opening(snapshot, place)?, policy::reach(snapshot, place)?);
        let change = match opening {
            Opening::Dial { key, value, share } => {
                format!("with `{key}: {value}` {:.0} % would go to experts", 100.0 * share)
            }
            Opening::Tag(tag) => format!(
                "it requires {tag}, which none has: take the tag out of its `require`, or write it down for an expert that has it"
            ),
            Opening::Expert { name, why } => {
                format!("no value of its dial changes that; what is in the way of `{name}`: {why}")
            }
        };
        let (name, requests) = (&named.name, reach.requests);
        Some(format!(
            "the policy `{name}` sends none of {requests} requests as people write them to an expert; {change}"
        ))
    });
    shut.collect()
}

/// Experts that get no request under any policy, and why not under the policy of `auto`.
fn never_chosen(snapshot: &Snapshot) -> Vec<String> {
    let Some(auto) = policy::reach(snapshot, snapshot.default_policy) else { return Vec::new() };
    let policies = 0..snapshot.policies.len();
    let reaches: Vec<&Reach> = policies.filter_map(|policy| policy::reach(snapshot, policy)).collect();
    let experts = auto.experts.iter().enumerate();
    let never = experts.filter(|(place, _)| reaches.iter().all(|reach| reach.experts[*place].share == 0.0));
    let told = never.filter_map(|(_, won)| Some((&won.expert, won.never.as_ref()?)));
    told.map(|(expert, why)| {
        format!(
            "no policy chooses the expert `{expert}` for any of {} requests as people write them; under {}: {why}",
            auto.requests, snapshot.policies[snapshot.default_policy].name
        )
    })
    .collect()
}

fn names(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    snapshot.policies.iter().enumerate().map(|(place, named)| {
        if place == snapshot.default_policy { format!("{} (auto)", named.name) } else { named.name.clone() }
    })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn table(header: impl Iterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(super::width());
    table.set_header(header);
    table
}

fn right(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
