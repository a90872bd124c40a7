//! How the mock says no, in OpenAI's words.

use super::Mock;
use super::answer::{Answer, Failure};
use super::fault::Refusal;

/// 400: the body is not the JSON it should be.
pub(super) fn bad_json(error: &serde_json::Error) -> Answer {
    let message = format!("We could not parse the JSON body of your request. ({error})");
    let code = error.is_data().then_some("invalid_type").or(Some("invalid_json"));
    Failure { status: 400, message: &message, param: None, code }.into()
}

/// 400: a parameter is not there.
pub(super) fn missing(parameter: &'static str) -> Answer {
    let message = format!("Missing required parameter: '{parameter}'.");
    let code = Some("missing_required_parameter");
    Failure { status: 400, message: &message, param: Some(parameter), code }.into()
}

/// 404 where the mock is strict and has another name, 400 where none is given.
pub(super) fn model(mock: &Mock, asked: Option<&str>) -> Option<Answer> {
    let Some(asked) = asked else { return Some(missing("model")) };
    (mock.strict_model && asked != mock.model).then(|| unknown_model(asked))
}

/// 404: no such model.
pub(super) fn unknown_model(asked: &str) -> Answer {
    let message = format!("The model `{asked}` does not exist or you do not have access to it.");
    Failure { status: 404, message: &message, param: None, code: Some("model_not_found") }.into()
}

/// 404 or 405: nothing is served there.
pub(super) fn unknown_url(status: u16, path: &str) -> Answer {
    let message = format!("Invalid URL ({path})");
    Failure { status, message: &message, param: None, code: Some("unknown_url") }.into()
}

/// 400 to bytes that are no request.
pub(super) fn malformed(why: &str) -> Answer {
    Failure { status: 400, message: why, param: None, code: Some("bad_request") }.into()
}

/// The error that a fault orders.
pub(super) fn ordered(refusal: &Refusal) -> Answer {
    let usual = match refusal.status {
        401 => Some("invalid_api_key"),
        404 => Some("model_not_found"),
        429 => Some("rate_limit_exceeded"),
        _ => None,
    };
    let message = format!("The mock was told to answer {}.", refusal.status);
    let code = refusal.code.as_deref().or(usual);
    let answer: Answer = Failure { status: refusal.status, message: &message, param: None, code }.into();
    Answer { retry_after: refusal.retry_after, ..answer }
}

/// What goes wrong in the middle of a stream.
pub(super) const IN_STREAM: Failure<'static> = Failure {
    status: 500,
    message: "The server had an error while processing your request.",
    param: None,
    code: None,
};
