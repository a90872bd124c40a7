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
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a RawValue,
}

/// What is served for this row; where its messages are no chat request, what its prompt says.
pub(super) fn read(model: &RouterModel, row: &Row) -> Scores {
    let conversation = || {
        let messages = serde_json::from_str(row.messages.as_deref()?).ok()?;
        let body = serde_json::to_vec(&Body { model: "auto", messages }).ok()?;
        let ask = Ask::parse(Dialect::Chat, &body).ok()?;
        let until = Instant::now() + PATIENCE;
        let reading = Reading::of(model, &Heads::default(), &ask, Dialect::Chat, &routable(&ask), until);
        reading.scores().copied()
    };
    conversation().unwrap_or_else(|| model.score(&row.prompt, &mut Scratch::default()))
}
