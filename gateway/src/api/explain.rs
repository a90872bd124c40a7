//! `POST /v1/route`: the decision for a chat request, with the words that decided, and nothing sent.

use std::sync::Arc;

use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::Dialect;
use crate::ask::Ask;
use crate::auth::Caller;
use crate::error::Failure;
use crate::plan::{Wish, plan};
use crate::record::{Attributed, Decision, Reason, Record, Rfc3339};
use crate::state::Snapshot;
use crate::text;

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
}

/// The JSON answer.
pub fn explain(
    record: &Record,
    caller: Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<u8>, Failure> {
    let mut dry_run = dry_run(&record.snapshot, caller, headers, body)?;
    dry_run.id = serde_json::value::to_raw_value(&record.id).ok();
    dry_run.request_id = Some(record.request_id().to_owned());
    dry_run.time = Some(Rfc3339(record.time).to_string());
    Ok(serde_json::to_vec(&dry_run).unwrap_or_default())
}

/// Decides as a request would be decided, outside of any conversation.
pub fn dry_run(
    snapshot: &Arc<Snapshot>,
    caller: Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<DryRun, Failure> {
    let ask = Ask::parse(Dialect::Chat, body)?;
    let wish = Wish::read(snapshot, caller, headers, &ask.model)?;
    let plan = plan(snapshot, None, caller, &wish, &ask, Dialect::Chat)?;
    let mut decision = plan.decision;
    decision.attribution = attribution(&decision, &text::routable(&ask).text);
    let chosen = decision.order.first().copied().unwrap_or(snapshot.fallback);
    Ok(DryRun {
        id: None,
        time: None,
        request_id: None,
        tenant: caller.0.map(|index| Arc::clone(&snapshot.tenants[index].name)),
        requested_model: ask.model.chars().take(100).collect(),
        chosen: Arc::clone(&snapshot.experts[chosen].name),
        reason: decision.reason,
        decision,
    })
}

/// The words with the largest part in the likeliest domain's probability.
fn attribution(decision: &Decision, text: &str) -> Vec<Attributed> {
    let Some(scores) = &decision.scores else { return Vec::new() };
    let (top, _) = scores.top();
    let of = |s: &router_model::Scores| s.domains().get(top).copied().unwrap_or(0.0);
    let mut words = decision.snapshot.classifier.explain(text, &of);
    words.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    words
        .into_iter()
        .take(WORDS)
        .map(|w| Attributed { text: text.get(w.text).unwrap_or_default().to_owned(), weight: w.weight })
        .collect()
}
