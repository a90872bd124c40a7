//! `GET /mock/stats` and `GET /mock/requests`: what was seen, for tests and people outside the process.

use super::Mock;
use super::answer::Answer;
use super::armed::Armed;
use super::seen::{Aborted, Bill, SeenRequest};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Stats<'a> {
    model: &'a str,
    connections: u64,
    open_connections: u64,
    requests: u64,
    in_flight: u64,
    aborted: u64,
    last_aborted: Vec<AbortedView>,
    tokens: Bill,
    /// How often each fault has hit.
    faults: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct AbortedView {
    request: u64,
    /// From the complete request to the client's leave.
    after_millis: u128,
    /// From the client's leave to now.
    millis_ago: u128,
}

#[derive(Serialize)]
struct RequestView {
    number: u64,
    millis_ago: u128,
    head: String,
    body_length: usize,
    body: String,
}

pub(super) fn stats(mock: &Mock, armed: &Armed) -> Answer {
    let seen = &mock.seen;
    Answer::json(&Stats {
        model: &mock.model,
        connections: seen.connections(),
        open_connections: seen.open_connections(),
        requests: seen.requests(),
        in_flight: seen.in_flight(),
        aborted: seen.aborted(),
        last_aborted: seen.last_aborted().into_iter().map(AbortedView::from).collect(),
        tokens: seen.bill(),
        faults: armed.hits().into_iter().collect(),
    })
}

pub(super) fn requests(mock: &Mock) -> Answer {
    let requests: Vec<RequestView> = mock.seen.last_requests().into_iter().map(RequestView::from).collect();
    Answer::json(&requests)
}

impl From<Aborted> for AbortedView {
    fn from(aborted: Aborted) -> AbortedView {
        AbortedView {
            request: aborted.request,
            after_millis: aborted.at.duration_since(aborted.asked).as_millis(),
            millis_ago: aborted.at.elapsed().as_millis(),
        }
    }
}

impl From<SeenRequest> for RequestView {
    fn from(request: SeenRequest) -> RequestView {
        RequestView {
            number: request.number,
            millis_ago: request.at.elapsed().as_millis(),
            head: request.head,
            body_length: request.body_len,
            body: String::from_utf8_lossy(&request.body).into_owned(),
        }
    }
}
