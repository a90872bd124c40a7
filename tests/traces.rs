//! Traces as a collector gets them: real processes, told by OpenTelemetry's own variables, in front of scripted
//! models.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message as _;
use std::net::SocketAddr;
use testkit::{Client, Step, Upstream, answer, json, post_json, sse, status};

use crate::harness::{CHAT, Setup, WORD, chat, streamed};
use crate::process::Process;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A gateway with a collector behind it.
struct Traced {
    process: Process,
    data: SocketAddr,
    collector: Upstream,
    _folder: tempfile::TempDir,
}

impl Traced {
    async fn start(setup: Setup, more: &[(&str, &str)]) -> Traced {
        let collector =
            Upstream::script(answer(200, &[("content-type", "application/x-protobuf")], "")).await;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("experts.yaml");
        std::fs::write(&config, setup.yaml()).unwrap();
        let address = collector.url("");
        let mut environment = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*address),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=of-the-collector"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ];
        environment.extend_from_slice(more);
        let process =
            Process::start(&["serve", "--config", config.to_str().unwrap(), "--log-json"], &environment);
        let line = process.says("\"data\":\"").await;
        let data = line.split_once("\"data\":\"").unwrap().1.split('"').next().unwrap().parse().unwrap();
        Traced { process, data, collector, _folder: folder }
    }

    async fn ask(&self, headers: &[(&str, &str)], body: &str) -> u16 {
        post_json(self.data, CHAT, headers, body).await.status
    }

    /// The spans of one request, the parent first.
    async fn spans(&self) -> Vec<Span> {
        let request = self.collector.next_request().await;
        assert_eq!(request.path(), "/v1/traces");
        assert_eq!(request.header("x-tenant"), Some("of-the-collector"));
        let sent = ExportTraceServiceRequest::decode(&*request.body).unwrap();
        let mut spans = all(sent);
        spans.sort_by_key(|span| (span.kind != SpanKind::Server as i32, span.start_time_unix_nano));
        spans
    }
}

fn all(sent: ExportTraceServiceRequest) -> Vec<Span> {
    let data = TracesData { resource_spans: sent.resource_spans };
    data.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect()
}

/// An attribute as text; numbers as they are written.
fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|a| a.key == name)?;
    Some(match found.value.clone()?.value? {
        Value::StringValue(text) => text,
        Value::IntValue(whole) => whole.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        other => panic!("{name}: {other:?}"),
    })
}

fn says(span: &Span, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(attribute(span, name).as_deref(), Some(*value), "{name} of {span:#?}");
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

const USAGE: &str = r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Lima."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3}}"#;

#[tokio::test]
async fn a_request_is_a_span_and_each_attempt_its_child() {
    let coder = Upstream::script(status(500, &[])).await;
    let large = Upstream::script(json(200, USAGE)).await;
    let setup = Setup::new().expert("coder", coder.addr(), "").large(large.addr(), "");
    let traced = Traced::start(setup, &[]).await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("traceparent", &*parent), ("tracestate", "vendor=1"), ("x-request-id", "canary-id")];
    assert_eq!(traced.ask(&headers, &chat("coder", "a canary prompt")).await, 200);

    let spans = traced.spans().await;
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let (request, failed, served) = (&spans[0], &spans[1], &spans[2]);
    assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!((&*request.name, &*failed.name), ("POST /v1/chat/completions", "chat coder-model"));
    says(
        request,
        &[
            ("http.route", "/v1/chat/completions"),
            ("http.response.status_code", "200"),
            ("mixgate.requested_model", "coder"),
            ("mixgate.expert", "large"),
            ("mixgate.reason", "upstream_failure"),
            ("mixgate.outcome", "ok"),
            ("mixgate.attempts", "2"),
            ("mixgate.cost_usd", "0.00006"),
            ("mixgate.policy", "balanced"),
        ],
    );
    says(
        failed,
        &[
            ("mixgate.expert", "coder"),
            ("http.response.status_code", "500"),
            ("gen_ai.operation.name", "chat"),
        ],
    );
    assert_eq!(failed.status.as_ref().unwrap().code, 2, "an error: {failed:#?}");
    says(
        served,
        &[
            ("gen_ai.request.model", "large-model"),
            ("gen_ai.usage.input_tokens", "12"),
            ("gen_ai.usage.output_tokens", "3"),
            ("mixgate.attempt.outcome", "ok"),
            ("server.port", &large.addr().port().to_string()),
        ],
    );
    for (upstream, span) in [(&coder, failed), (&large, served)] {
        assert_eq!(span.parent_span_id, request.span_id);
        assert!(span.start_time_unix_nano >= request.start_time_unix_nano, "{spans:#?}");
        assert!(span.end_time_unix_nano <= request.end_time_unix_nano + 1_000_000, "{spans:#?}");
        let sent = upstream.next_request().await;
        let expected = format!("00-{TRACE}-{}-01", hex(&span.span_id));
        assert_eq!(sent.header("traceparent"), Some(&*expected));
        assert_eq!(sent.header("tracestate"), Some("vendor=1"));
    }
    let told = format!("{spans:?}");
    assert!(told.contains("canary-id") && !told.contains("canary prompt"), "{told}");
}

#[tokio::test]
async fn a_stream_ends_its_span_with_its_last_byte() {
    let large = Upstream::script(sse(&[WORD, WORD, "[DONE]"])).await;
    let traced =
        Traced::start(Setup::new().large(large.addr(), ""), &[("OTEL_SERVICE_NAME", "our-gateway")]).await;
    assert_eq!(traced.ask(&[], &streamed("auto", "Integrate x^2 from 0 to 3")).await, 200);
    let spans = traced.spans().await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert!(spans[0].parent_span_id.is_empty(), "nobody traced it before");
    says(&spans[0], &[("mixgate.streaming", "true"), ("mixgate.domain", "math")]);
    says(&spans[1], &[("mixgate.usage_estimated", "true"), ("mixgate.attempt.outcome", "ok")]);
    let event = &spans[0].events[0];
    assert_eq!(event.name, "first_token");
    assert!((spans[0].start_time_unix_nano..=spans[0].end_time_unix_nano).contains(&event.time_unix_nano));
}

#[tokio::test]
async fn a_client_that_leaves_is_no_error_and_its_waiting_is_seen() {
    let large = Upstream::script(vec![Step::Hold]).await;
    let traced = Traced::start(Setup::new().large(large.addr(), ""), &[]).await;
    let mut client = Client::connect(traced.data).await;
    client.post_json(CHAT, &[], &chat("large", "hello")).await;
    large.next_request().await;
    drop(client);
    let spans = traced.spans().await;
    says(&spans[0], &[("mixgate.outcome", "cancelled")]);
    says(&spans[1], &[("mixgate.attempt.outcome", "cancelled")]);
    for span in &spans {
        assert_eq!(attribute(span, "error.type"), None, "{span:#?}");
        assert!(span.end_time_unix_nano > span.start_time_unix_nano, "{span:#?}");
    }
}

#[tokio::test]
async fn a_refusal_of_ours_is_an_error_and_a_strangers_state_goes_no_further() {
    let large = Upstream::scripts(vec![vec![Step::Hold], json(200, USAGE)]).await;
    let setup = Setup::new().server("max_in_flight: 1").large(large.addr(), "");
    let traced = Traced::start(setup, &[]).await;
    let mut first = Client::connect(traced.data).await;
    first
        .post_json(CHAT, &[("traceparent", "no-trace"), ("tracestate", "vendor=1")], &chat("large", "hello"))
        .await;
    let sent = large.next_request().await;
    assert!(sent.header("traceparent").unwrap().starts_with("00-"), "{sent:?}");
    assert_eq!(sent.header("tracestate"), None, "it belongs to a trace that cannot be read");
    assert_eq!(traced.ask(&[], &chat("large", "hello")).await, 503);
    let spans = traced.spans().await;
    says(&spans[0], &[("http.response.status_code", "503"), ("error.type", "rejected")]);
    assert_eq!(spans[0].status.as_ref().unwrap().code, 2, "an error: {spans:#?}");
}

#[tokio::test]
async fn what_nobody_samples_is_not_sent_and_passes_as_it_came() {
    let large = Upstream::script(json(200, USAGE)).await;
    let mut traced = Traced::start(Setup::new().large(large.addr(), ""), &[]).await;
    let parent = format!("00-{TRACE}-{PARENT}-00");
    assert_eq!(traced.ask(&[("traceparent", &parent)], &chat("large", "hello")).await, 200);
    assert_eq!(large.next_request().await.header("traceparent"), Some(&*parent));
    traced.process.signal("TERM");
    assert_eq!(traced.process.ended().await, Some(0));
    assert_eq!(traced.collector.requests().len(), 0);
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_end() {
    let large = Upstream::script(json(200, USAGE)).await;
    let late = [("OTEL_BSP_SCHEDULE_DELAY", "600000")];
    let mut traced = Traced::start(Setup::new().large(large.addr(), ""), &late).await;
    assert_eq!(traced.ask(&[], &chat("large", "hello")).await, 200);
    traced.process.signal("TERM");
    assert_eq!(traced.process.ended().await, Some(0));
    assert_eq!(traced.spans().await.len(), 2);
}

#[tokio::test]
async fn a_collector_that_is_gone_costs_no_request() {
    let large = Upstream::script(json(200, USAGE)).await;
    let gone = testkit::Refusing::new();
    let address = format!("http://{}", gone.addr());
    let more = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*address)];
    let mut traced = Traced::start(Setup::new().large(large.addr(), ""), &more).await;
    assert_eq!(traced.ask(&[], &chat("large", "hello")).await, 200);
    traced.process.says("traces do not reach").await;
    assert_eq!(traced.ask(&[], &chat("large", "hello")).await, 200);
    traced.process.signal("TERM");
    assert_eq!(traced.process.ended().await, Some(0));
}
