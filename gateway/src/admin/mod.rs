//! The admin plane: metrics, health, status, decisions, reload. It never calls a model.
//!
//! On loopback it is open, as a metrics port is; beyond, every path but the two health checks wants an admin key.

mod status;

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use tower::{Service, service_fn};

use crate::auth;
use crate::body::Body;
use crate::error::Failure;
use crate::layer::Answering;
use crate::state::State;

/// Decisions shown when no limit is asked.
const SHOWN: usize = 50;

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
        let answering: Answering =
            Box::pin(async move { Ok(answer(&state, &request).await.unwrap_or_else(|f| f.response())) });
        answering
    })
}

async fn answer(state: &Arc<State>, request: &Request<Incoming>) -> Result<Response<Body>, Failure> {
    let path = request.uri().path();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    match path {
        "/livez" if get => return Ok(text(StatusCode::OK, "ok\n")),
        "/readyz" if get => return Ok(ready(state)),
        _ => {}
    }
    let keys = &state.snapshot().admin_keys;
    if !keys.is_empty() && !auth::carries_one_of(request.headers(), keys) {
        return Err(Failure::WrongApiKey);
    }
    match (path, get) {
        ("/metrics", true) => Ok(metrics(state)),
        ("/status", true) => json(&status::status(state)),
        ("/api/decisions", true) => json(&decisions(state, request.uri().query().unwrap_or_default())?),
        ("/-/reload", false) if request.method() == Method::POST => Ok(reload(state).await),
        ("/-/reload", _) => Err(Failure::MethodNotAllowed("POST")),
        ("/livez" | "/readyz" | "/metrics" | "/status" | "/api/decisions", false) => {
            Err(Failure::MethodNotAllowed("GET, HEAD"))
        }
        _ => match path.strip_prefix("/api/decisions/") {
            Some(id) if get => {
                json(&state.recent.get(id).ok_or_else(|| Failure::UnknownUrl(path.to_owned()))?)
            }
            _ => Err(Failure::UnknownUrl(path.to_owned())),
        },
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
    // endpoints come and go with the configuration
    state.meter.circuit_state.reset();
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
struct Reloaded {
    reloaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Reading a router model takes a moment: not on a worker that serves requests.
async fn reload(state: &Arc<State>) -> Response<Body> {
    let worker = Arc::clone(state);
    let result = tokio::task::spawn_blocking(move || worker.reload()).await;
    let result = result.unwrap_or_else(|_| Err("the reload panicked".to_owned()));
    let status = if result.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let body = Reloaded { reloaded: result.is_ok(), hash: result.clone().ok(), error: result.err() };
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
