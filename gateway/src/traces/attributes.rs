//! What spans say: OpenTelemetry's names for HTTP and generative AI where it has one, else `mixgate.…`, and there the
//! names of the decision record.
//!
//! Written out here because the GenAI names are still in development, and their crate deprecates them. Source:
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/> and `…/semconv/http/http-spans/`.

use http::StatusCode;
use opentelemetry::KeyValue;

use crate::api::Dialect;
use crate::expert::Expert;
use crate::expert::endpoint::Endpoint;
use crate::record::{AttemptOutcome, Call, Decision, Finished};
use crate::usage::Usage;

/// Of a request, when it comes.
pub(super) fn of_request(dialect: Dialect) -> Vec<KeyValue> {
    vec![
        KeyValue::new("http.request.method", "POST"),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("http.route", route(dialect)),
        KeyValue::new("url.path", route(dialect)),
    ]
}

/// The whole path.
pub(super) fn route(dialect: Dialect) -> String {
    format!("/v1/{}", dialect.path())
}

/// Of an attempt, when it begins.
pub(super) fn of_attempt(dialect: Dialect, expert: &Expert, endpoint: &Endpoint) -> Vec<KeyValue> {
    vec![
        KeyValue::new("gen_ai.operation.name", operation(dialect)),
        KeyValue::new("gen_ai.provider.name", expert.provider.name()),
        KeyValue::new("gen_ai.request.model", expert.model.clone()),
        KeyValue::new("server.address", endpoint.host.clone()),
        KeyValue::new("server.port", i64::from(endpoint.port)),
        KeyValue::new("mixgate.expert", expert.name.to_string()),
    ]
}

/// GenAI's name for what is asked for.
pub(super) fn operation(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat => "chat",
        Dialect::Completions => "text_completion",
        Dialect::Embeddings => "embeddings",
    }
}

/// Of an attempt, when it is over.
pub(super) fn of_ended_attempt(attempt: &Call) -> Vec<KeyValue> {
    let mut all = vec![KeyValue::new("mixgate.attempt.outcome", attempt.outcome.as_str())];
    if let Some(status) = attempt.status {
        all.push(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    if failed(attempt) {
        all.push(KeyValue::new("error.type", attempt.outcome.as_str()));
    }
    all
}

/// A client that leaves is nobody's error.
pub(super) fn failed(attempt: &Call) -> bool {
    !matches!(attempt.outcome, AttemptOutcome::Ok | AttemptOutcome::Cancelled)
}

/// Tokens, on the attempt that answered.
pub(super) fn of_usage(usage: &Usage, estimated: bool) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(5);
    let mut count =
        |name, tokens: u64| all.push(KeyValue::new(name, i64::try_from(tokens).unwrap_or(i64::MAX)));
    count("gen_ai.usage.input_tokens", usage.input);
    count("gen_ai.usage.output_tokens", usage.output);
    if usage.cached_input > 0 {
        count("gen_ai.usage.cache_read.input_tokens", usage.cached_input);
    }
    if usage.reasoning > 0 {
        count("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
    }
    if estimated {
        all.push(KeyValue::new("mixgate.usage_estimated", true));
    }
    all
}

/// Of a request, when it is over.
pub(super) fn of_finished(finished: &Finished, status: Option<StatusCode>) -> Vec<KeyValue> {
    let mut all = vec![
        KeyValue::new("mixgate.decision", finished.id.as_str().to_owned()),
        KeyValue::new("mixgate.request_id", finished.request_id.to_str().unwrap_or("-").to_owned()),
        KeyValue::new("mixgate.requested_model", finished.requested_model.clone()),
        KeyValue::new("mixgate.outcome", finished.outcome.as_str()),
        KeyValue::new("mixgate.attempts", i64::try_from(finished.attempts.len()).unwrap_or(i64::MAX)),
        KeyValue::new("mixgate.streaming", finished.streaming),
    ];
    if let Some(status) = status {
        all.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    }
    let named =
        [("mixgate.tenant", finished.tenant.as_deref()), ("mixgate.expert", finished.chosen.as_deref())];
    all.extend(named.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?.to_owned()))));
    all.extend(finished.reason.map(|reason| KeyValue::new("mixgate.reason", reason.as_str())));
    let money = [
        ("mixgate.cost_usd", finished.cost_usd),
        ("mixgate.baseline_cost_usd", finished.baseline_cost_usd),
        ("mixgate.saved_usd", finished.saved_usd),
    ];
    all.extend(money.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?.usd()))));
    if let Some(decision) = &finished.decision {
        all.extend(of_decision(decision));
    }
    all
}

fn of_decision(decision: &Decision) -> Vec<KeyValue> {
    let names = &decision.names;
    let mut all = vec![
        KeyValue::new("mixgate.policy", names.policies[decision.policy].clone()),
        KeyValue::new("mixgate.router_version", names.router_version.clone()),
        KeyValue::new("mixgate.route_micros", i64::try_from(decision.route_micros).unwrap_or(i64::MAX)),
    ];
    if let (Some(scores), Some(domain)) = (&decision.scores, decision.domain()) {
        all.push(KeyValue::new("mixgate.domain", domain.to_owned()));
        all.push(KeyValue::new("mixgate.confidence", f64::from(decision.confidence())));
        all.push(KeyValue::new("mixgate.ood_score", f64::from(scores.ood())));
    }
    all
}
