//! Spans by OpenTelemetry's SDK, sent in batches from a thread of its own: a request never waits for a collector, and
//! what the queue cannot hold is dropped and said to be.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, Key, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use super::attributes;
use super::collector::Collector;
use crate::api::Dialect;
use crate::expert::Expert;
use crate::expert::endpoint::Endpoint;
use crate::record::{Call, Finished, Outcome};

/// Makes spans and sends them.
#[derive(Debug)]
pub struct Tracer {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The spans of one request.
#[derive(Debug)]
pub struct Trace {
    tracer: SdkTracer,
    /// Holds the request's span.
    request: Context,
    /// When it came.
    started: SystemTime,
    /// The client's status; 0: none yet.
    status: AtomicU16,
    /// Spans of attempts and when they began, in the order of the record's attempts.
    attempts: Mutex<Vec<(Span, SystemTime)>>,
}

impl Tracer {
    /// As OpenTelemetry's variables say: `OTEL_EXPORTER_OTLP_ENDPOINT` and the others; `None` where they name no
    /// collector. Sends on the runtime that calls this.
    ///
    /// # Errors
    ///
    /// In words, where the address is none; what else the variables ask for and the SDK cannot do is in its log.
    pub fn from_environment() -> Result<Option<Self>, String> {
        let Some(variable) = super::wanted() else { return Ok(None) };
        let exporter = SpanExporter::builder().with_http().with_http_client(Collector::here()?).build();
        let exporter = exporter.map_err(|error| format!("traces, which {variable} asks for: {error}"))?;
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
        let scope = InstrumentationScope::builder("mixgate").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = provider.tracer_with_scope(scope);
        Ok(Some(Self { provider, tracer }))
    }

    /// Opens the span of a request; `None` where it is not sampled.
    pub fn begin(&self, dialect: Dialect, headers: &HeaderMap) -> Option<Trace> {
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let started = SystemTime::now();
        let span = self
            .tracer
            .span_builder(format!("POST {}", attributes::route(dialect)))
            .with_kind(SpanKind::Server)
            .with_start_time(started)
            .with_attributes(attributes::of_request(dialect))
            .start_with_context(&self.tracer, &parent);
        span.is_recording().then(|| Trace {
            tracer: self.tracer.clone(),
            request: parent.with_span(span),
            started,
            status: AtomicU16::new(0),
            attempts: Mutex::default(),
        })
    }

    /// Sends what is left, for at most this long. Blocks.
    pub fn shut_down(&self, limit: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(limit) {
            tracing::warn!("the last traces may not have arrived: {error}");
        }
    }
}

impl Trace {
    /// Opens the span of the next attempt; gives `traceparent` and `tracestate` as the upstream should see them.
    pub fn attempt(&self, dialect: Dialect, expert: &Expert, endpoint: &Endpoint) -> HeaderMap {
        let started = SystemTime::now();
        let span = self
            .tracer
            .span_builder(format!("{} {}", attributes::operation(dialect), expert.model))
            .with_kind(SpanKind::Client)
            .with_start_time(started)
            .with_attributes(attributes::of_attempt(dialect, expert, endpoint))
            .start_with_context(&self.tracer, &self.request);
        let mut headers = HeaderMap::with_capacity(2);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(&mut headers));
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).push((span, started));
        // an empty one says nothing
        if headers.get("tracestate").is_some_and(http::HeaderValue::is_empty) {
            headers.remove("tracestate");
        }
        headers
    }

    /// Notes the status that the client gets.
    pub fn answered(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Relaxed);
    }

    /// Closes the request's span and those of its attempts.
    pub fn end(&self, finished: &Finished) {
        let mut spans = std::mem::take(&mut *self.attempts.lock().unwrap_or_else(PoisonError::into_inner));
        if let (Some((last, _)), Some(usage)) = (spans.last_mut(), &finished.usage) {
            last.set_attributes(attributes::of_usage(usage, finished.usage_estimated));
        }
        for ((mut span, started), attempt) in spans.into_iter().zip(&finished.attempts) {
            span.set_attributes(attributes::of_ended_attempt(attempt));
            span.set_status(status_of(attempt));
            span.end_with_timestamp(after(started, attempt.millis));
        }
        let span = self.request.span();
        let answered = StatusCode::from_u16(self.status.load(Ordering::Relaxed)).ok();
        span.set_attributes(attributes::of_finished(finished, answered));
        if let Some(millis) = finished.first_token_millis {
            span.add_event_with_timestamp("first_token", after(self.started, millis), Vec::new());
        }
        let ours = answered.is_some_and(|status| status.is_server_error());
        if ours || matches!(finished.outcome, Outcome::UpstreamError | Outcome::Timeout) {
            span.set_attribute(KeyValue::new("error.type", finished.outcome.as_str()));
            span.set_status(Status::error(finished.outcome.as_str()));
        }
        span.end_with_timestamp(after(self.started, finished.total_millis));
    }
}

fn status_of(attempt: &Call) -> Status {
    if attributes::failed(attempt) { Status::error(attempt.outcome.as_str()) } else { Status::Unset }
}

fn after(start: SystemTime, millis: f64) -> SystemTime {
    start + Duration::from_secs_f64(millis.max(0.0) / 1e3)
}

/// Who we are, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` first.
fn resource() -> Resource {
    let named = Resource::builder().build();
    let mut builder = Resource::builder();
    if named.get(&Key::new("service.version")).is_none() {
        builder = builder.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    }
    let name = named.get(&Key::new("service.name"));
    if name.is_none_or(|name| name.as_str().starts_with("unknown_service")) {
        builder = builder.with_service_name("mixgate");
    }
    builder.build()
}
