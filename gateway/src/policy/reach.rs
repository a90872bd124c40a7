//! Where each expert can win: what a policy does with requests as people write them, before it sees traffic.
//!
//! The requests come with the router model, and what is said of each by a network that had read nothing of its writer.
//! What decides is what serves, but for conversations, abilities, windows and tenants, of which these requests have none.

use std::fmt;

use router_model::Scores;
use router_model::traffic::Request;
use serde::Serialize;

use super::measured::{USUAL, has_all, usual_cost};
use super::{Choice, Policy};
use crate::expert::Expert;
use crate::record::Reason;
use crate::snapshot::Snapshot;
use crate::weigh::{evidence, weigh_scores};

/// What a policy does with requests as people write them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reach {
    /// How many requests.
    pub requests: usize,
    /// Share that goes to experts.
    pub to_experts: f64,
    /// Share that the fallback answers because it is the best choice.
    pub to_fallback: f64,
    /// Share that nobody may answer: these get an error.
    pub refused: f64,
    /// Share that the fallback answers because no expert's domains are likely enough.
    pub unsure: f64,
    /// Share that the fallback answers because the text is too strange, or nothing was promised for its domain.
    pub strange: f64,
    /// The experts but the fallback, as they stand in the configuration.
    pub experts: Vec<Won>,
}

/// What an expert gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Won {
    /// Its name.
    pub expert: String,
    /// Its share of all requests.
    pub share: f64,
    /// Of these, the share that is labelled with a domain in which nothing is known of it.
    pub foreign: f64,
    /// Of the requests of each domain, in which something is known of it, the share that it gets.
    pub domains: Vec<WonDomain>,
    /// Why it gets none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never: Option<String>,
}

/// What an expert gets of a domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WonDomain {
    /// The domain.
    pub domain: String,
    /// Requests labelled so.
    pub requests: usize,
    /// Share of them that it gets.
    pub share: f64,
    /// The least probability of the domain, where it was the likeliest, of a request that it got; `None`: it got none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f32>,
}

/// Decides for every request; `None` where the router model carries none.
pub(super) fn reach(snapshot: &Snapshot, policy: usize) -> Option<Reach> {
    let requests = snapshot.classifier.traffic();
    if requests.is_empty() {
        return None;
    }
    let decided: Vec<Decided<'_>> =
        requests.iter().map(|request| decide(snapshot, policy, request)).collect();
    let of =
        |is: &dyn Fn(&Decided<'_>) -> bool| share(decided.iter().filter(|d| is(d)).count(), decided.len());
    let fallback = snapshot.fallback;
    let experts = snapshot.experts.iter().filter(|expert| expert.index != fallback);
    let by_fallback = |decided: &Decided<'_>, is: &dyn Fn(Reason) -> bool| {
        decided.chosen == Some(fallback) && is(decided.reason)
    };
    let unsure = |reason: Reason| reason == Reason::LowConfidence;
    let strange = |reason: Reason| reason == Reason::OutOfDistribution;
    Some(Reach {
        requests: requests.len(),
        to_experts: of(&|decided| decided.chosen.is_some_and(|chosen| chosen != fallback)),
        to_fallback: of(&|decided| by_fallback(decided, &|reason| !unsure(reason) && !strange(reason))),
        refused: of(&|decided| decided.chosen.is_none()),
        unsure: of(&|decided| by_fallback(decided, &unsure)),
        strange: of(&|decided| by_fallback(decided, &strange)),
        experts: experts.map(|expert| won(snapshot, policy, expert, &decided)).collect(),
    })
}

/// A request and who would take it; nobody where it is refused.
struct Decided<'a> {
    request: &'a Request,
    scores: Scores,
    chosen: Option<usize>,
    reason: Reason,
}

fn decide<'a>(snapshot: &Snapshot, policy: usize, request: &'a Request) -> Decided<'a> {
    let (scores, chances) = read(snapshot, request);
    let own = &*snapshot.policies[policy].policy;
    let Choice { order, reason } = choose(snapshot, policy, own, &scores, &chances);
    let chosen = order.first().copied();
    Decided { request, scores, chosen, reason }
}

/// What the router model says of a request, and the chances of the experts that it knows.
pub(super) fn read(snapshot: &Snapshot, request: &Request) -> (Scores, Vec<f32>) {
    let scores = request.seen.scores(snapshot.classifier.domains().len());
    let mut chances = Vec::new();
    if !snapshot.panel.names().is_empty() {
        let _scores = snapshot.classifier.judge(&request.text, &snapshot.panel, &mut chances, &mut || false);
    }
    (scores, chances)
}

/// What a policy that stands in this place decides.
pub(super) fn choose(
    snapshot: &Snapshot,
    place: usize,
    policy: &dyn Policy,
    scores: &Scores,
    chances: &[f32],
) -> Choice {
    let candidates = weigh_scores(snapshot, place, scores, chances, &USUAL);
    policy.choose(&candidates, Some(evidence(scores)), snapshot.fallback)
}

fn share(part: usize, of: usize) -> f64 {
    part as f64 / of.max(1) as f64
}

fn won(snapshot: &Snapshot, policy: usize, expert: &Expert, decided: &[Decided<'_>]) -> Won {
    let got: Vec<&Decided<'_>> = decided.iter().filter(|d| d.chosen == Some(expert.index)).collect();
    let domains = snapshot.classifier.domains();
    let known = (0..domains.len()).filter(|&domain| expert.knows(domain));
    let domain = |domain: usize| WonDomain {
        domain: domains[domain].clone(),
        requests: decided.iter().filter(|d| d.request.label == domain).count(),
        share: share(
            got.iter().filter(|d| d.request.label == domain).count(),
            decided.iter().filter(|d| d.request.label == domain).count(),
        ),
        from: (got.iter().map(|d| d.scores.top()).filter(|top| top.0 == domain))
            .map(|top| top.1)
            .min_by(f32::total_cmp),
    };
    Won {
        expert: expert.name.to_string(),
        share: share(got.len(), decided.len()),
        foreign: share(got.iter().filter(|d| !expert.knows(d.request.label)).count(), got.len()),
        domains: known.map(domain).collect(),
        never: got.is_empty().then(|| why_never(snapshot, policy, expert)),
    }
}

/// Why an expert gets nothing: the first thing that is in its way, were the router sure of its best domain.
fn why_never(snapshot: &Snapshot, policy: usize, expert: &Expert) -> String {
    let named = &snapshot.policies[policy];
    let fallback = &snapshot.experts[snapshot.fallback];
    let labels = snapshot.classifier.domains();
    let known: Vec<usize> = (0..labels.len()).filter(|&domain| expert.knows(domain)).collect();
    if known.is_empty() {
        let written = snapshot.config.experts.get(expert.index);
        return match written.and_then(|written| written.catalogue.as_ref()) {
            Some(name) => format!(
                "nothing is known of it: in the catalogue `{name}` has no figure for a domain that the router model knows by this configuration's names"
            ),
            None => "nothing is known of it: it has neither `quality` nor `catalogue`".to_owned(),
        };
    }
    if let Some(tag) = named.require.iter().find(|tag| !has_all(expert, &[tag])) {
        return format!("the policy requires {tag}, which it lacks");
    }
    match (expert.price, fallback.price) {
        (None, _) if expert.reports_cost => {
            return "its price is told by its answers only, so it counts as the dearest".to_owned();
        }
        (None, _) => return "it has no `price`, so it counts as the dearest".to_owned(),
        (Some(_), Some(_)) if usual_cost(expert) >= usual_cost(fallback) => {
            return format!("it is not cheaper than the fallback `{}`", fallback.name);
        }
        _ => {}
    }
    if expert.head.is_some() || fallback.head.is_some() {
        // chances differ from prompt to prompt, so that no one figure stands for a domain
        return format!(
            "for no request of the sample is it the cheapest that may answer and is expected to do so well enough ({})",
            named.policy.describe()
        );
    }
    let standing = |&domain: &usize| Standing::of(snapshot, policy, expert, domain);
    let all: Vec<Standing> = known.iter().map(standing).collect();
    if let Some(won) = all.iter().find(|standing| standing.chosen == expert.index) {
        return format!("no request of the sample was surely enough about {}", labels[won.domain]);
    }
    let Some(best) = all.iter().min_by(|a, b| a.below.total_cmp(&b.below)) else { return String::new() };
    let domain = &labels[best.domain];
    match (&best.why_not, best.chosen == snapshot.fallback) {
        (Some(why), _) => format!("in {domain}: {why}"),
        (None, true) => format!(
            "in its best domain, {domain}, it is expected {:.3} below the fallback ({})",
            best.below,
            named.policy.describe()
        ),
        (None, false) => {
            let other = &snapshot.experts[best.chosen].name;
            format!(
                "`{other}` is cheaper, or as cheap and better, wherever it would do: in {domain}, for one"
            )
        }
    }
}

/// How an expert stands where the request is surely about one domain.
struct Standing {
    domain: usize,
    chosen: usize,
    /// How far its expected quality is below the fallback's.
    below: f32,
    why_not: Option<String>,
}

impl Standing {
    fn of(snapshot: &Snapshot, policy: usize, expert: &Expert, domain: usize) -> Standing {
        let mut sure = vec![0.0; snapshot.classifier.domains().len()];
        sure[domain] = 1.0;
        let scores = Scores::new(&sure, 0.0);
        let candidates = weigh_scores(snapshot, policy, &scores, &[], &USUAL);
        let choice =
            snapshot.policies[policy].policy.choose(&candidates, Some(evidence(&scores)), snapshot.fallback);
        let quality = |place: usize| candidates[place].quality;
        Standing {
            domain,
            chosen: choice.order.first().copied().unwrap_or(snapshot.fallback),
            below: quality(snapshot.fallback) - quality(expert.index),
            why_not: candidates[expert.index].why_not.as_ref().map(ToString::to_string),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| 100.0 * share;
        write!(
            f,
            "of {} requests as people write them: {:.0} % to experts; to the fallback {:.0} % as the best choice, {:.0} % because the router is unsure, {:.0} % because the text is strange or nothing was promised",
            self.requests,
            percent(self.to_experts),
            percent(self.to_fallback),
            percent(self.unsure),
            percent(self.strange),
        )?;
        if self.refused > 0.0 {
            write!(f, "; {:.0} % are refused, as nobody may answer", percent(self.refused))?;
        }
        Ok(())
    }
}
