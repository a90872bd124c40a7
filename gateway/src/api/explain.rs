//! `POST /v1/route`: the decision for a chat request, with the words that decided, and nothing sent.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use router_model::{Attribution, Scores};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::Dialect;
use crate::ask::Ask;
use crate::auth::Caller;
use crate::error::Failure;
use crate::plan::{Wish, plan};
use crate::policy::{Candidate, Evidence, Policy, Steady};
use crate::record::{Attributed, Decision, Reason, Record, Rfc3339};
use crate::snapshot::{Selector, Snapshot};
use crate::text::{self, Routable};
use crate::weigh::{Reading, Weighed, evidence, weigh};
use crate::wide::{Passage, Subject, Unknown};

/// Words shown.
const WORDS: usize = 12;

/// A decision that was not carried out.
#[derive(Debug, Serialize)]
pub struct DryRun {
    /// Id of the decision; the line's own in a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<RawValue>>,
    /// RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The client's id, or ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Who asked.
    pub tenant: Option<Arc<str>>,
    /// The client's `model`.
    pub requested_model: String,
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// The expert it would go to.
    pub chosen: Arc<str>,
    /// Why that one.
    pub reason: Reason,
    /// How long an answer of a model of usual verbosity is likely to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_output_tokens: Option<u32>,
    /// Who would be next, and by how much its score is lower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<RunnerUp>,
    /// What would have made it another.
    pub flips: Flips,
    /// What rules on domains go by, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Ruled>,
}

/// What rules on domains go by beside the scores.
#[derive(Debug, Serialize)]
pub struct Ruled {
    /// Why the domain is unknown, and every rule on one applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
    /// The passage of the request that made one apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage: Option<Seen>,
}

/// A passage about a domain that a rule is about.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// The domain.
    pub domain: String,
    /// Its probability there.
    pub probability: f32,
    /// The passage.
    pub text: String,
}

/// The next candidate.
#[derive(Debug, Serialize)]
pub struct RunnerUp {
    /// Its name.
    pub expert: Arc<str>,
    /// The chosen one's score less its own.
    pub behind_by: f32,
}

/// What would have made the choice another.
#[derive(Debug, Default, Serialize)]
pub struct Flips {
    /// The policy's dial, and between which values the choice stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dial: Option<Steady>,
    /// Words without which another expert would be chosen, of those that decided.
    pub words: Vec<FlipWord>,
}

/// A word without which another expert would be chosen.
#[derive(Debug, Serialize)]
pub struct FlipWord {
    /// The word.
    pub text: String,
    /// Who would be chosen then.
    pub chosen: Arc<str>,
}

/// The JSON answer.
pub fn explain(
    record: &Record,
    caller: Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<u8>, Failure> {
    let snapshot = &record.snapshot;
    let mut dry_run = dry_run(snapshot, caller, headers, body, None)?;
    dry_run.decision.show_only(|expert| snapshot.may_use_expert(caller, expert));
    dry_run.id = serde_json::value::to_raw_value(&record.id).ok();
    dry_run.request_id = Some(record.request_id().to_owned());
    dry_run.time = Some(Rfc3339(record.time).to_string());
    Ok(serde_json::to_vec(&dry_run).unwrap_or_default())
}

/// Decides as a request would be decided, outside of any conversation; `tolerance` goes before the policy's dial.
pub fn dry_run(
    snapshot: &Arc<Snapshot>,
    caller: Caller,
    headers: &HeaderMap,
    body: &[u8],
    tolerance: Option<f32>,
) -> Result<DryRun, Failure> {
    let ask = Ask::parse(Dialect::Chat, body)?;
    let wish = Wish { tolerance, ..Wish::read(snapshot, caller, headers, &ask.model)? };
    let plan = plan(snapshot, None, caller, &wish, &ask, Dialect::Chat)?;
    if let Some(failure) = plan.refused {
        return Err(failure);
    }
    let mut decision = plan.decision;
    let routable = text::routable(&ask);
    let text = &routable.text;
    let words = attribution(snapshot, &decision, text);
    let chosen = decision.order.first().copied().unwrap_or(snapshot.fallback);
    let flips = match wish.selector {
        Selector::Policy(policy) => {
            let wider = plan.wider.as_deref();
            Deciding { snapshot, caller, wish: &wish, ask: &ask, policy, wider }
                .flips(&routable, chosen, &words)
        }
        Selector::Expert(_) => Flips::default(),
    };
    let shown = |word: &Attribution| text.get(word.text.clone()).unwrap_or_default().to_owned();
    decision.attribution =
        words.iter().map(|word| Attributed { text: shown(word), weight: word.weight }).collect();
    Ok(DryRun {
        id: None,
        time: None,
        request_id: None,
        tenant: caller.0.map(|index| Arc::clone(&snapshot.tenants[index].name)),
        requested_model: ask.model.chars().take(100).collect(),
        chosen: Arc::clone(&snapshot.experts[chosen].name),
        reason: decision.reason,
        expected_output_tokens: decision
            .scores
            .as_ref()
            .and_then(Scores::output_tokens)
            .map(|tokens| tokens.round() as u32),
        runner_up: runner_up(&decision, chosen),
        flips,
        rules: plan.wider.map(|subject| ruled(snapshot, *subject)),
        decision,
    })
}

fn ruled(snapshot: &Snapshot, subject: Subject) -> Ruled {
    let seen = |Passage { domain, probability, text }| Seen {
        domain: snapshot.classifier.domains()[domain].clone(),
        probability,
        text,
    };
    Ruled { unknown: subject.unknown, passage: subject.passage.map(seen) }
}

/// The candidate behind the chosen one; where the fallback stands alone, the best of the others.
fn runner_up(decision: &Decision, chosen: usize) -> Option<RunnerUp> {
    let score = |place: usize| decision.candidates[place].score;
    let others = (0..decision.candidates.len()).filter(|&place| place != chosen);
    let may = others.filter(|&place| decision.candidates[place].why_not.is_none());
    let next = decision.order.get(1).copied().or(may.max_by(|a, b| score(*a).total_cmp(&score(*b))))?;
    let expert = Arc::clone(&decision.names.experts[next]);
    Some(RunnerUp { expert, behind_by: score(chosen) - score(next) })
}

/// A decision that can be taken again for another text.
struct Deciding<'a> {
    snapshot: &'a Snapshot,
    caller: Caller,
    wish: &'a Wish<'a>,
    ask: &'a Ask<'a>,
    policy: usize,
    wider: Option<&'a Subject>,
}

impl Deciding<'_> {
    fn flips(&self, routable: &Routable, chosen: usize, words: &[Attribution]) -> Flips {
        let text = &routable.text;
        let without = |word: &Attribution| {
            let rest = [text.get(..word.text.start)?, text.get(word.text.end..)?].concat();
            let rest = Routable { text: rest, ..routable.clone() };
            let other = self.weighed(&rest, |policy, candidates, evidence| {
                policy.choose(candidates, evidence, self.snapshot.fallback).order.first().copied()
            })?;
            (other != chosen).then(|| FlipWord {
                text: text.get(word.text.clone()).unwrap_or_default().to_owned(),
                chosen: Arc::clone(&self.snapshot.experts[other].name),
            })
        };
        let steady = |policy: &dyn Policy, candidates: &[Candidate<'_>], evidence: Option<Evidence<'_>>| {
            policy.steady(candidates, evidence, self.snapshot.fallback)
        };
        Flips { dial: self.weighed(routable, steady), words: words.iter().filter_map(without).collect() }
    }

    fn weighed<T>(
        &self,
        routable: &Routable,
        ask: impl Fn(&dyn Policy, &[Candidate<'_>], Option<Evidence<'_>>) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + self.snapshot.deadline;
        let reading = Reading::of(
            &*self.snapshot.classifier,
            &self.snapshot.panel,
            self.ask,
            Dialect::Chat,
            routable,
            until,
        );
        let Weighed { candidates, .. } =
            weigh(self.snapshot, self.caller, self.wish, self.ask, &reading, self.wider);
        self.wish.with_policy(self.snapshot, self.policy, |policy| {
            ask(policy, &candidates, reading.scores().map(evidence))
        })
    }
}

/// The words with the largest part in the likeliest domain's probability.
fn attribution(snapshot: &Snapshot, decision: &Decision, text: &str) -> Vec<Attribution> {
    let Some(scores) = &decision.scores else { return Vec::new() };
    let (top, _) = scores.top();
    let of = |s: &Scores| s.domains().get(top).copied().unwrap_or(0.0);
    let mut words = snapshot.classifier.explain(text, &of);
    words.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    words.truncate(WORDS);
    words
}
