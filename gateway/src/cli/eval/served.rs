//! Rows as the gateway reads them: a conversation by its last human turn and, where that says little, what stands before.

use std::time::{Duration, Instant};

use router_model::data::Row;
use router_model::{Heads, RouterModel, Scores, Scratch};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::Dialect;
use crate::ask::Ask;
use crate::text::routable;
use crate::weigh::Reading;

/// Time for one row: enough on any machine, so that figures do not depend on it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a RawValue,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

/// The chat request that a row stands for: its messages, else its prompt alone.
pub(super) fn request(row: &Row) -> Vec<u8> {
    let conversation = || {
        let body = body(serde_json::from_str(row.messages.as_deref()?).ok()?)?;
        Ask::parse(Dialect::Chat, &body).is_ok().then_some(body)
    };
    let alone = || {
        let messages = serde_json::value::to_raw_value(&[Message { role: "user", content: &row.prompt }]);
        body(&messages.ok()?)
    };
    conversation().or_else(alone).unwrap_or_default()
}

fn body(messages: &RawValue) -> Option<Vec<u8>> {
    serde_json::to_vec(&Body { model: "auto", messages }).ok()
}

/// Whether a row goes on with a conversation: people said something before.
pub(in crate::cli) fn is_conversation(row: &Row) -> bool {
    let turns = |body: &[u8]| Ask::parse(Dialect::Chat, body).map_or(0, |ask| routable(&ask).turns);
    row.turns > 1 || row.messages.is_some() && turns(&request(row)) > 1
}

/// The text that routing reads of a conversation: its last human turn; `None` where this is no chat request.
pub(in crate::cli) fn text_of(messages: &RawValue) -> Option<String> {
    let body = body(messages)?;
    let ask = Ask::parse(Dialect::Chat, &body).ok()?;
    Some(routable(&ask).text)
}

/// What is served for this row; where its messages are no chat request, what its prompt says.
pub(in crate::cli) fn read(model: &RouterModel, row: &Row) -> Scores {
    let conversation = || {
        let body = body(serde_json::from_str(row.messages.as_deref()?).ok()?)?;
        let ask = Ask::parse(Dialect::Chat, &body).ok()?;
        let until = Instant::now() + PATIENCE;
        let reading = Reading::of(model, &Heads::default(), &ask, Dialect::Chat, &routable(&ask), until);
        reading.scores().copied()
    };
    conversation().unwrap_or_else(|| model.score(&row.prompt, &mut Scratch::default()))
}
