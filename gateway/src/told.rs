//! What the gateway says of a request in the headers of its answer: which record it has, and what was decided.
//!
//! A failure says it, too: whoever reads a client's log must find the record of what went wrong.

use std::fmt::{self, Write};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::record::Record;
use crate::settle::Bill;

const DECISION: HeaderName = HeaderName::from_static("x-mixgate-decision");
const EXPERT: HeaderName = HeaderName::from_static("x-mixgate-expert");
const MODEL: HeaderName = HeaderName::from_static("x-mixgate-model");
const REASON: HeaderName = HeaderName::from_static("x-mixgate-reason");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-mixgate-attempts");
const DOMAIN: HeaderName = HeaderName::from_static("x-mixgate-domain");
const CONFIDENCE: HeaderName = HeaderName::from_static("x-mixgate-confidence");
const COST: HeaderName = HeaderName::from_static("x-mixgate-cost-usd");
const SAVED: HeaderName = HeaderName::from_static("x-mixgate-saved-usd");

/// Says which record a request has, who answered, what was decided and how many calls were made; nothing where it has no
/// record, or where that was said.
pub fn of_decision(headers: &mut HeaderMap, record: &Record) {
    let facts = record.facts();
    if facts.endpoint.is_none() || headers.contains_key(DECISION) {
        return;
    }
    headers.insert(DECISION, record.id.header());
    if let Some(served) = facts.served {
        let served = &record.snapshot.experts[served];
        headers.insert(EXPERT, served.name_header.clone());
        headers.insert(MODEL, served.model_header.clone());
    }
    let Some(decision) = &facts.decision else { return };
    let reason = facts.reason.unwrap_or(decision.reason);
    headers.insert(REASON, HeaderValue::from_static(reason.as_str()));
    let once = HeaderValue::from_static("1");
    let attempts = facts.attempts.len();
    headers.insert(ATTEMPTS, if attempts == 1 { once } else { HeaderValue::from(attempts) });
    if let Some(scores) = &decision.scores {
        let (domain, confidence) = scores.top();
        headers.insert(DOMAIN, record.snapshot.domain_headers[domain].clone());
        headers.insert(CONFIDENCE, thousandths(confidence));
    }
}

/// Says what an answer cost and saved, where that is known before it is sent.
pub fn of_bill(headers: &mut HeaderMap, bill: Option<Bill>) {
    let mut figures = Figures(BytesMut::with_capacity(32));
    if let Some(cost) = bill.and_then(|b| b.cost) {
        headers.insert(COST, figures.header(format_args!("{cost}")));
    }
    if let Some(saved) = bill.and_then(|b| b.saved()) {
        headers.insert(SAVED, figures.header(format_args!("{saved}")));
    }
}

/// A share with three decimals.
fn thousandths(share: f32) -> HeaderValue {
    let figure = (share.clamp(0.0, 1.0) * 1e3).round() as u16;
    let digit = |unit: u16| b'0' + (figure / unit % 10) as u8;
    let text = [digit(1000), b'.', digit(100), digit(10), digit(1)];
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// Headers that are written anew for each answer, in one buffer.
struct Figures(BytesMut);

impl Figures {
    fn header(&mut self, figure: fmt::Arguments<'_>) -> HeaderValue {
        // a buffer in memory takes everything
        let _ = self.0.write_fmt(figure);
        let bytes = self.0.split().freeze();
        HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_three_decimals() {
        for (share, text) in
            [(0.0, "0.000"), (0.0004, "0.000"), (0.0796, "0.080"), (0.9996, "1.000"), (1.0, "1.000")]
        {
            assert_eq!(thousandths(share), text);
        }
        assert_eq!(thousandths(f32::NAN), "0.000");
    }
}
