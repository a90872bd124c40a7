//! Traces: a span for each request and a child for each attempt, sent to an OpenTelemetry collector by OTLP over HTTP.
//!
//! Behind the cargo feature `otel`, and asleep until the environment names a collector, by OpenTelemetry's own
//! variables. Without it a client's `traceparent` passes to the upstream as it came; with it the upstream sees the
//! attempt as its parent. Spans carry what the decision record carries, and never a prompt or a key.

#[cfg(feature = "otel")]
mod attributes;
#[cfg(feature = "otel")]
mod collector;
#[cfg(not(feature = "otel"))]
mod none;
#[cfg(feature = "otel")]
mod otlp;

#[cfg(not(feature = "otel"))]
pub use none::{Trace, Tracer};
#[cfg(feature = "otel")]
pub use otlp::{Trace, Tracer};

/// The variables that name a collector; the first one that is set counts.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The variable that names a collector, where spans are wanted.
fn wanted() -> Option<&'static str> {
    let set = |name: &&'static str| crate::config::environment(name).is_some();
    let is = |name: &str, value: &str| {
        crate::config::environment(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let off = is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none");
    ENDPOINTS.iter().copied().find(set).filter(|_| !off)
}
