//! Who answers what: the model's endpoints, which faults may hit, and the honest ones beside them.

use super::Mock;
use super::answer::{Answer, JSON};
use super::armed::Armed;
use super::fault::{Fault, Kind};
use super::read::{Method, Request};
use super::seen::Bill;
use super::{chat, completion, embedding, refuse, stats};
use serde::Serialize;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: [Model<'a>; 1],
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

/// What a model does: `POST`.
pub(super) fn model(mock: &Mock, number: u64, request: &Request, fault: Option<&Kind>) -> Answer {
    if let Some(Kind::Status(refusal)) = fault {
        return refuse::ordered(refusal);
    }
    match request.path.as_str() {
        "/v1/chat/completions" => chat::answer(mock, number, &request.body, fault),
        "/v1/completions" => completion::answer(mock, number, &request.body, fault),
        "/v1/embeddings" => embedding::answer(mock, &request.body, fault),
        path => refuse::unknown_url(404, path),
    }
}

/// Everything else, to which no fault comes.
pub(super) fn honest(mock: &Mock, armed: &Armed, request: &Request) -> Answer {
    let path = request.path.as_str();
    match (request.method, path) {
        (Method::Put, "/mock/faults") => exchange_faults(armed, &request.body),
        (Method::Get, "/health" | "/v1/health") => {
            Answer::whole(200, JSON, b"{\"status\":\"ok\"}".to_vec(), Bill::default())
        }
        (Method::Get, "/mock/stats") => stats::stats(mock, armed),
        (Method::Get, "/mock/requests") => stats::requests(mock),
        (Method::Get, "/v1/models") => Answer::json(&List { object: "list", data: [described(&mock.model)] }),
        (Method::Get, _) => match path.strip_prefix("/v1/models/") {
            Some(id) if id == mock.model || !mock.strict_model => Answer::json(&described(id)),
            Some(id) => refuse::unknown_model(id),
            None => refuse::unknown_url(404, path),
        },
        _ => refuse::unknown_url(405, path),
    }
}

fn described(id: &str) -> Model<'_> {
    // the day of this model's birth: fixed, so that the list is the same at every start
    Model { id, object: "model", created: 1_735_689_600, owned_by: "mixgate-mock" }
}

/// One fault a line; an empty body makes the mock honest.
fn exchange_faults(armed: &Armed, body: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match lines.map(str::parse).collect::<Result<Vec<Fault>, _>>() {
        Ok(faults) => {
            armed.exchange(&faults);
            Answer::json(&armed.hits())
        }
        Err(error) => refuse::malformed(&error.to_string()),
    }
}
