//! The admin plane: metrics, health, status, decisions, events, feedback, dry runs, reload, and the console. It never
//! calls a model.
//!
//! On loopback it is open, as a metrics port is, to whoever names it by a loopback address; beyond, every path wants
//! an admin key but the two health checks and the console's files, which hold no data.

mod console;
mod events;
mod feedback;
pub(crate) mod figures;
mod guard;
mod status;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use tower::{Service, service_fn};

use crate::api::explain::dry_run;
use crate::auth::{self, Caller};
use crate::body::Body;
use crate::error::Failure;
use crate::layer::Answering;
use crate::origin::{self, Pages};
use crate::server::Plane;
use crate::snapshot::Snapshot;
use crate::state::{Reloaded, State};

/// Decisions shown when no limit is asked.
const SHOWN: usize = 50;
/// The largest body that is read.
const MAX_BODY: usize = 1 << 20;

/// The service of the admin listener.
pub fn service(
    state: &Arc<State>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = Answering>
+ Clone
+ Send
+ Sync
+ 'static {
    let state = Arc::clone(state);
    service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        let answering: Answering = Box::pin(async move {
            let page = pages(&state.snapshot()).allowed(request.headers()).cloned();
            let mut response = answer(&state, request).await.unwrap_or_else(|f| f.response());
            page.into_iter().for_each(|page| origin::let_read(response.headers_mut(), page));
            Ok(response)
        });
        answering
    })
}

/// Pages that may use the admin plane from a browser, beside its own console: only those that are listed, and only
/// where a key is asked for. What an application's page may ask the models says nothing of what operators see.
fn pages(snapshot: &Snapshot) -> Pages<'_> {
    let asks_a_key = !snapshot.admin_keys.is_empty();
    let origins = asks_a_key.then_some(snapshot.config.server.cors.origins.as_slice());
    Pages { origins: origins.unwrap_or_default(), of_this_machine: false }
}

/// What is read.
const READ: [&str; 8] = [
    "/livez",
    "/readyz",
    "/metrics",
    "/status",
    "/api/config",
    "/api/decisions",
    "/api/events",
    "/api/figures",
];
/// What is done.
const DONE: [&str; 3] = ["/-/reload", "/api/feedback", "/api/route"];

async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
    let (head, body) = request.into_parts();
    if origin::is_preflight(&head) {
        return pages(&state.snapshot()).preflight(&head);
    }
    let request = Request::from_parts(head, body);
    let path = request.uri().path().to_owned();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    let post = request.method() == Method::POST;
    match path.as_str() {
        "/livez" if get => return Ok(text(StatusCode::OK, "ok\n")),
        "/readyz" if get => return Ok(ready(state)),
        _ if get && console::is_its(&path) => return console::file(&path, request.headers()),
        _ => {}
    }
    let snapshot = state.snapshot();
    if snapshot.admin_keys.is_empty() {
        guard::named_by_loopback(&path, request.headers())?;
    } else if !auth::carries_one_of(request.headers(), &snapshot.admin_keys) {
        state.meter.key_refused(Plane::Admin);
        return Err(Failure::WrongApiKey);
    }
    if post {
        pages(&snapshot).refuse_foreign(request.headers())?;
    }
    match path.as_str() {
        "/metrics" if get => Ok(metrics(state)),
        "/status" if get => json(&status::status(state)),
        "/api/decisions" if get => json(&decisions(state, request.uri().query().unwrap_or_default())?),
        "/api/figures" if get => json(&figures::figures(state)),
        "/api/events" if get => events::events(state),
        "/api/config" if get => json(&status::configuration(state)),
        "/-/reload" if post => Ok(reload(state).await),
        "/api/feedback" if post => {
            let (head, body) = request.into_parts();
            let body = read(&head.headers, body).await?;
            json(&feedback::take(state, &body)?)
        }
        "/api/route" if post => {
            let tolerance = tolerance(request.uri().query().unwrap_or_default())?;
            let (head, body) = request.into_parts();
            let body = read(&head.headers, body).await?;
            let explain = move || dry_run(&snapshot, Caller(None), &head.headers, &body, tolerance);
            json(&state.explaining.run(explain).await?)
        }
        path if DONE.contains(&path) => Err(Failure::MethodNotAllowed("POST")),
        path if READ.contains(&path) => Err(Failure::MethodNotAllowed("GET, HEAD")),
        path => match path.strip_prefix("/api/decisions/") {
            Some(id) if get => {
                json(&state.recent.get(id).ok_or_else(|| Failure::UnknownUrl(path.to_owned()))?)
            }
            _ => Err(Failure::UnknownUrl(path.to_owned())),
        },
    }
}

/// The body of a request, which must say that it is JSON: a page of another site cannot send that unasked.
async fn read(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Failure> {
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.trim_start().starts_with("application/json"))
    });
    if !is_json {
        return Err(Failure::UnsupportedMediaType);
    }
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::BodyTooLarge(MAX_BODY as u64)),
        Err(_) => Err(Failure::ClientGone),
    }
}

/// `tolerance=0.1`, or nothing.
fn tolerance(query: &str) -> Result<Option<f32>, Failure> {
    if query.is_empty() {
        return Ok(None);
    }
    let value = query.strip_prefix("tolerance=").and_then(|value| value.parse().ok());
    match value.filter(|tolerance| (0.0..=1.0).contains(tolerance)) {
        Some(tolerance) => Ok(Some(tolerance)),
        None => Err(Failure::InvalidValue("query", "known here: tolerance, 0 to 1".to_owned())),
    }
}

fn ready(state: &State) -> Response<Body> {
    if state.draining.is_cancelled() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    text(StatusCode::OK, "ready\n")
}

fn metrics(state: &State) -> Response<Body> {
    let snapshot = state.snapshot();
    for (expert, meter) in snapshot.experts.iter().zip(&snapshot.meters) {
        meter.in_flight.set(i64::from(expert.load.load(std::sync::atomic::Ordering::Relaxed)));
        for endpoint in &expert.endpoints {
            let labels = [&*expert.name, &*endpoint.authority];
            state.meter.circuit_state.with_label_values(&labels).set(endpoint.circuit.stand() as i64);
        }
    }
    let mut response = Response::new(Body::full(state.meter.render()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

#[derive(Serialize)]
struct Decisions {
    decisions: Vec<Arc<crate::record::Finished>>,
}

fn decisions(state: &State, query: &str) -> Result<Decisions, Failure> {
    let mut limit = SHOWN;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        match pair.split_once('=') {
            Some(("limit", value)) => {
                limit = value
                    .parse()
                    .map_err(|_| Failure::InvalidValue("limit", "must be a whole number".to_owned()))?;
            }
            _ => return Err(Failure::InvalidValue("query", "known here: limit".to_owned())),
        }
    }
    Ok(Decisions { decisions: state.recent.newest(limit) })
}

#[derive(Serialize)]
struct Reload {
    reloaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// Such as keys that wait for a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Reading a router model takes a moment: not on a worker that serves requests.
async fn reload(state: &Arc<State>) -> Response<Body> {
    let worker = Arc::clone(state);
    let result = tokio::task::spawn_blocking(move || worker.reload()).await;
    let result = result.unwrap_or_else(|_| Err("the reload panicked".to_owned()));
    let status = if result.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let body = match result {
        Ok(Reloaded { hash, warnings }) => Reload { reloaded: true, hash: Some(hash), warnings, error: None },
        Err(error) => Reload { reloaded: false, hash: None, warnings: Vec::new(), error: Some(error) },
    };
    let mut response = json(&body).unwrap_or_else(|f| f.response());
    *response.status_mut() = status;
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn json(value: &impl Serialize) -> Result<Response<Body>, Failure> {
    let bytes = serde_json::to_vec(value).map_err(|_| Failure::Internal)?;
    let mut response = Response::new(Body::full(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
