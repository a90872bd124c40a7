//! The leaf of the stack, one screen: who asks → what → read → parse → plan → dispatch → respond.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::api::{self, Dialect, Target, explain, models};
use crate::auth::{self, Caller};
use crate::body::Body;
use crate::dispatch::{Answer, Errand, dispatch};
use crate::error::Failure;

use crate::intake::{self, Understood};
use crate::layer::{self, Entry, deadline};
use crate::origin;
use crate::plan::Plan;
use crate::record::{Outcome, Record};
use crate::server::Plane;
use crate::state::State;
use crate::told;
use crate::weigh::usual_output;

/// Answers a request; every failure is a response.
pub async fn route(state: Arc<State>, entry: Entry) -> layer::Answer {
    let Entry { record, request } = entry;
    let page = state.pages(&record.snapshot).allowed(request.headers()).cloned();
    let mut response = answer(&state, &record, request).await.unwrap_or_else(|failure| {
        let asked = !record.facts().attempts.is_empty();
        record.failed(outcome_of(&failure, asked), &failure);
        failure.response()
    });
    page.into_iter().for_each(|page| origin::let_read(response.headers_mut(), page));
    Ok(response)
}

async fn answer(
    state: &Arc<State>,
    record: &Arc<Record>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (head, body) = request.into_parts();
    check_head(&head)?;
    let snapshot = &*record.snapshot;
    if let Ok(Target::Health) = api::target(&head.method, head.uri.path()) {
        return health(state);
    }
    if origin::is_preflight(&head) {
        return state.pages(snapshot).preflight(&head);
    }
    let caller = who_asks(state, record, &head)?;
    record.facts().tenant = caller.0.map(|index| Arc::clone(&snapshot.tenants[index].name));
    match api::target(&head.method, head.uri.path())? {
        Target::Health => health(state),
        Target::Models => Ok(json(models::list(snapshot, caller))),
        Target::OneModel(id) => models::one(snapshot, caller, id).map(json),
        Target::Route => {
            let (bytes, _held) = intake::read(state, snapshot, &head.headers, body).await?;
            let record = Arc::clone(record);
            let explain = move || explain::explain(&record, caller, &head.headers, &bytes);
            Box::pin(state.explaining.run(explain)).await.map(json)
        }
        Target::Model(dialect) => complete(state, record, caller, dialect, &head, body).await,
    }
}

/// Who asks; where nobody has to say so, at least no page of another site.
fn who_asks(state: &State, record: &Record, head: &Parts) -> Result<Caller, Failure> {
    let snapshot = &*record.snapshot;
    if snapshot.tenants.is_empty() {
        state.pages(snapshot).refuse_foreign(&head.headers)?;
        if state.is_on_loopback() && !origin::names_this_machine(head, &snapshot.config.server.hosts) {
            return Err(Failure::ForeignHost);
        }
    }
    auth::check(snapshot, &head.headers).inspect_err(|_| {
        if state.meter.key_refused(Plane::Data)
            && let Ok(Target::Model(dialect)) = api::target(&head.method, head.uri.path())
        {
            // it leaves a record, as far as there are not too many
            record.facts().endpoint = Some(dialect.path());
        }
    })
}

/// The main job.
async fn complete(
    state: &Arc<State>,
    record: &Arc<Record>,
    caller: Caller,
    dialect: Dialect,
    head: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Failure> {
    {
        let mut facts = record.facts();
        facts.endpoint = Some(dialect.path());
    }
    let (bytes, _held) = intake::read(state, &record.snapshot, &head.headers, body).await?;
    let read_at = Instant::now();
    let understood = if bytes.len() <= intake::LARGE {
        intake::understand(state, record, caller, dialect, &head.headers, &bytes)?
    } else {
        let (state, record, bytes) = (Arc::clone(state), Arc::clone(record), bytes.clone());
        let headers = head.headers.clone();
        let places = Arc::clone(&state);
        let understand = move || intake::understand_large(&state, &record, caller, dialect, &headers, &bytes);
        // boxed, because it is rare
        Box::pin(places.reading.run(understand)).await?
    };
    let Understood { ask, plan: Plan { decision, refused, constraints, session, .. } } = understood;
    observe(state, &decision);
    let decision = Arc::new(decision);
    {
        let mut facts = record.facts();
        facts.reason = Some(decision.reason);
        facts.decision = Some(Arc::clone(&decision));
    }
    if let Some(failure) = refused {
        return Err(failure);
    }
    let errand = Errand {
        ask: &ask,
        body: &bytes,
        headers: &head.headers,
        dialect,
        order: &decision.order,
        reason: decision.reason,
        constraints: &constraints,
        expected_output: usual_output(decision.scores.as_ref()),
        deadline: deadline::of(&head.headers)?
            .map(|limit| tokio::time::Instant::from_std(record.started) + limit),
    };
    let answer = dispatch(state, record, &errand).await;
    record.note_overhead(read_at.elapsed());
    let answer = answer?;
    if let Some(session) = session.filter(|_| answer.status.is_success()) {
        let name = Arc::clone(&record.snapshot.experts[answer.expert].name);
        state.sessions.remember(session, name, Instant::now());
    }
    Ok(respond(record, answer))
}

fn observe(state: &State, decision: &crate::record::Decision) {
    let meter = &state.meter;
    if let Some(scores) = &decision.scores {
        meter.route_confidence.observe(f64::from(decision.confidence()));
        meter.route_ood_score.observe(f64::from(scores.ood()));
        meter.route_duration.observe(Duration::from_micros(decision.route_micros).as_secs_f64());
    }
}

/// The upstream's answer, with what the gateway says of it.
fn respond(record: &Record, answer: Answer) -> Response<Body> {
    let Answer { status, headers, body, expert, reason, bill } = answer;
    {
        let mut facts = record.facts();
        facts.served = Some(expert);
        facts.reason = Some(reason);
        facts.first_token = Some(record.started.elapsed());
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    told::of_decision(response.headers_mut(), record);
    told::of_bill(response.headers_mut(), bill);
    response
}

fn json(bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::full(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn health(state: &State) -> Result<Response<Body>, Failure> {
    if state.draining.is_cancelled() {
        Err(Failure::Draining)
    } else {
        Ok(json(br#"{"status":"ok"}"#.to_vec()))
    }
}

/// What hyper lets through and two readers could read differently.
fn check_head(head: &Parts) -> Result<(), Failure> {
    let hosts = head.headers.get_all(http::header::HOST).iter().count();
    match hosts {
        0 if head.version == http::Version::HTTP_11 => Err(Failure::BadRequest("no host header")),
        0 | 1 => Ok(()),
        _ => Err(Failure::BadRequest("more than one host header")),
    }
}

/// Who is at fault, for the record. `asked`: some upstream was.
fn outcome_of(failure: &Failure, asked: bool) -> Outcome {
    match failure {
        // every model's own limit, known from requests before
        Failure::RateLimited(_) if !asked => Outcome::Rejected,
        Failure::Overloaded | Failure::Draining | Failure::NoHealthyUpstream(_) => Outcome::Rejected,
        Failure::UpstreamTimeout { .. } => Outcome::Timeout,
        Failure::ClientGone => Outcome::Cancelled,
        _ if failure.kind().0.is_client_error() && failure.kind().0 != StatusCode::TOO_MANY_REQUESTS => {
            Outcome::ClientError
        }
        _ => Outcome::UpstreamError,
    }
}
