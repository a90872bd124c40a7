//! Every metric family, declared once, with the bound of its labels.
//!
//! Labels are names from the configuration, from closed lists, or numbers of the build: a client's string never
//! becomes one. What is counted on every request has its handle cached per expert.

mod figures;
mod forget;
mod process;

use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{
    Counter, CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::api::Dialect;
use crate::limit::Limit;
use crate::logs;
use crate::record::{Attempt, AttemptOutcome, Decision, Outcome, Reason};
use crate::server::Plane;
use crate::snapshot::Snapshot;

pub use figures::{Buckets, Decided, ExpertFigures};

const NAMESPACE: &str = "mixgate";
/// Refused keys that are told a second.
const REFUSALS_TOLD: u32 = 10;
/// Seconds from a millisecond to ten minutes: answers of models.
const SLOW: [f64; 14] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0];
/// Seconds from ten microseconds to a second: our own work.
const FAST: [f64; 12] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0];
const SHARE: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];

/// All metrics of one gateway.
#[derive(Debug)]
pub struct Meter {
    registry: Registry,
    /// `endpoint, expert, outcome`
    pub requests: IntCounterVec,
    request_duration: HistogramVec,
    time_to_first_token: HistogramVec,
    time_per_output_token: HistogramVec,
    /// Gateway time of a request: total less client and upstream.
    pub overhead: Histogram,
    in_flight: IntGaugeVec,
    route_decisions: IntCounterVec,
    /// Time of a classification.
    pub route_duration: Histogram,
    /// Probability of the likeliest domain.
    pub route_confidence: Histogram,
    /// How unlike anything known.
    pub route_ood_score: Histogram,
    upstream_attempts: IntCounterVec,
    /// `expert, endpoint`
    pub circuit_state: IntGaugeVec,
    /// `from, to, reason`
    pub fallbacks: IntCounterVec,
    tokens: IntCounterVec,
    cost: CounterVec,
    baseline_cost: CounterVec,
    saved: GaugeVec,
    /// USD per hour, used or not.
    pub hosting: GaugeVec,
    unpriced: IntCounterVec,
    usage_missing: IntCounterVec,
    usage_implausible: IntCounterVec,
    feedback: HistogramVec,
    /// 1 or 0.
    pub reload_success: IntGauge,
    /// Unix time.
    pub reload_timestamp: Gauge,
    /// `hash`: 1 for the one that is running.
    pub config_info: IntGaugeVec,
    build_info: IntGaugeVec,
    authentication_failures: IntCounterVec,
    refusals: Limit,
    /// Decision records that could not be written.
    pub log_dropped: IntCounter,
    /// `reason`: lines of the process's own log.
    pub log_lines_dropped: IntCounterVec,
    /// Idle connections that had died and were replaced.
    pub stale_connections: IntCounterVec,
    /// Open client connections.
    pub connections: IntGauge,
    process: process::Process,
}

/// The handles of one expert, so that a request looks nothing up.
#[derive(Debug)]
pub struct ExpertMeter {
    requests: [[OnceLock<IntCounter>; 6]; 3],
    duration: [OnceLock<Histogram>; 2],
    first_token: [OnceLock<Histogram>; 2],
    per_token: [OnceLock<Histogram>; 2],
    /// Requests it is answering.
    pub in_flight: IntGauge,
    /// `input cached_input output reasoning`
    pub tokens: [IntCounter; 4],
    /// Cost of answers that were used.
    pub served: Counter,
    /// Cost of attempts that were thrown away.
    pub retried: Counter,
    /// What the same tokens cost at the fallback.
    pub baseline: Counter,
    /// Baseline less cost.
    pub saved: Gauge,
    /// Requests without a price.
    pub unpriced: IntCounter,
    /// Answers without usage.
    pub usage_missing: IntCounter,
    /// Answers whose usage cannot be true.
    pub usage_implausible: IntCounter,
    decisions: Box<[[OnceLock<IntCounter>; Reason::COUNT]]>,
    name: String,
}

/// Every family but the process's own, in the order of their declaration.
pub fn declared() -> Vec<Declared> {
    let families = Families::default();
    Meter::declare(&families, "");
    families.declared.into_inner()
}

/// A family as it was declared; what the reference of metrics is written from.
#[derive(Debug)]
pub struct Declared {
    /// Its whole name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What it says.
    pub help: String,
}

#[derive(Default)]
struct Families {
    registry: Registry,
    declared: RefCell<Vec<Declared>>,
}

impl Families {
    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.unwrap_or_else(|error| unreachable!("a metric is declared wrongly: {error}"));
        if let Err(error) = self.registry.register(Box::new(collector.clone())) {
            unreachable!("a metric is declared twice: {error}");
        }
        let kinds = collector.collect();
        for (desc, family) in collector.desc().into_iter().zip(&kinds) {
            self.declared.borrow_mut().push(Declared {
                name: desc.fq_name.clone(),
                kind: format!("{:?}", family.get_field_type()).to_lowercase(),
                labels: desc.variable_labels.clone(),
                help: desc.help.clone(),
            });
        }
        collector
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), labels))
    }

    fn floats(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        self.register(CounterVec::new(Opts::new(name, help).namespace(NAMESPACE), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Opts::new(name, help).namespace(NAMESPACE), labels))
    }

    fn levels(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help).namespace(NAMESPACE), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets.to_vec());
        self.register(HistogramVec::new(opts, labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts))
    }
}

impl ExpertMeter {
    /// The expert's name, as in the labels.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Meter {
    /// Declares every family.
    pub fn new(router_version: &str) -> Self {
        Self::declare(&Families::default(), router_version)
    }

    fn declare(f: &Families, router_version: &str) -> Self {
        let level = |name, help| f.register(IntGauge::with_opts(Opts::new(name, help).namespace(NAMESPACE)));
        let gauge = |name, help| f.register(Gauge::with_opts(Opts::new(name, help).namespace(NAMESPACE)));
        let count =
            |name, help| f.register(IntCounter::with_opts(Opts::new(name, help).namespace(NAMESPACE)));
        let by_expert = ["expert", "streaming"];
        let meter = Self {
            requests: f.counters(
                "requests_total",
                "Requests by how they ended.",
                &["endpoint", "expert", "outcome"],
            ),
            request_duration: f.histograms(
                "request_duration_seconds",
                "From the first byte of a request to the last of its answer.",
                &by_expert,
                &SLOW,
            ),
            time_to_first_token: f.histograms(
                "time_to_first_token_seconds",
                "Until the first meaningful byte of an answer.",
                &by_expert,
                &SLOW,
            ),
            time_per_output_token: f.histograms(
                "time_per_output_token_seconds",
                "Between the tokens of an answer, mean per request.",
                &by_expert,
                &SLOW,
            ),
            overhead: f.histogram(
                "overhead_seconds",
                "Gateway time of a request: total less client and upstream.",
                &FAST,
            ),
            in_flight: f.levels("in_flight_requests", "Requests being answered.", &["expert"]),
            route_decisions: f.counters(
                "route_decisions_total",
                "Routing decisions.",
                &["domain", "expert", "reason"],
            ),
            route_duration: f.histogram("route_duration_seconds", "Time of a classification.", &FAST),
            route_confidence: f.histogram("route_confidence", "Probability of the likeliest domain.", &SHARE),
            route_ood_score: f.histogram(
                "route_ood_score",
                "How unlike anything known a prompt is, 0 to 1.",
                &SHARE,
            ),
            upstream_attempts: f.counters(
                "upstream_attempts_total",
                "Calls to endpoints by how they ended.",
                &["expert", "endpoint", "outcome"],
            ),
            circuit_state: f.levels(
                "circuit_state",
                "Whether an endpoint is asked: 0 closed, so it is; 1 half open, one request tries; 2 open, it is not.",
                &["expert", "endpoint"],
            ),
            fallbacks: f.counters(
                "fallbacks_total",
                "Requests that went on to the next candidate.",
                &["from", "to", "reason"],
            ),
            tokens: f.counters(
                "tokens_total",
                "Tokens; cached_input is part of input, reasoning part of output.",
                &["expert", "kind"],
            ),
            cost: f.floats("cost_usd_total", "Cost of tokens, USD.", &["expert", "kind"]),
            baseline_cost: f.floats(
                "baseline_cost_usd_total",
                "What the same tokens would have cost at the fallback, USD.",
                &["expert"],
            ),
            saved: f.gauges(
                "saved_usd",
                "Baseline less all cost so far, USD; retries can make it fall.",
                &["expert"],
            ),
            hosting: f.gauges(
                "hosting_usd_per_hour",
                "What a self-hosted expert costs, used or not, USD.",
                &["expert"],
            ),
            unpriced: f.counters(
                "unpriced_requests_total",
                "Answers of an expert without a price: their cost is in no sum.",
                &["expert"],
            ),
            usage_missing: f.counters(
                "usage_missing_total",
                "Answers whose upstream sent no usage: their tokens are estimates.",
                &["expert"],
            ),
            usage_implausible: f.counters(
                "usage_implausible_total",
                "Answers whose upstream told figures of usage that cannot be true (negative, no number, above 10⁹): their tokens are estimates.",
                &["expert"],
            ),
            feedback: f.histograms(
                "feedback_score",
                "What people made of answers, 0 to 1; expert `unknown`: the decision is no longer remembered.",
                &["expert"],
                &SHARE,
            ),
            reload_success: level(
                "config_last_reload_success",
                "Whether the last reload of the configuration worked, 1 or 0.",
            ),
            reload_timestamp: gauge(
                "config_last_reload_timestamp_seconds",
                "When the running configuration was loaded, Unix time.",
            ),
            config_info: f.levels("config_info", "The running configuration.", &["hash"]),
            build_info: f.levels("build_info", "This build.", &["version", "router_version"]),
            authentication_failures: f.counters(
                "authentication_failures_total",
                "Requests without a key that is known, by listener.",
                &["plane"],
            ),
            refusals: Limit::new(REFUSALS_TOLD),
            log_dropped: count(
                "decision_log_dropped_total",
                "Decision records that could not be written because the log stood still.",
            ),
            log_lines_dropped: f.register(Ok(logs::dropped().clone())),
            stale_connections: f.counters(
                "stale_connections_total",
                "Idle upstream connections that had died and were replaced.",
                &["expert"],
            ),
            connections: level("client_connections", "Open client connections."),
            process: process::Process::new(&f.registry),
            registry: f.registry.clone(),
        };
        for plane in [Plane::Data, Plane::Admin] {
            meter.authentication_failures.with_label_values(&[plane.as_str()]);
        }
        meter.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), router_version]).set(1);
        meter
    }

    /// The handles of an expert; the same series for the same name, over reloads. `domains`: labels of the router
    /// model.
    pub fn expert(&self, name: &str, domains: usize) -> ExpertMeter {
        let tokens = |kind| self.tokens.with_label_values(&[name, kind]);
        let meter = ExpertMeter {
            requests: Default::default(),
            duration: Default::default(),
            first_token: Default::default(),
            per_token: Default::default(),
            in_flight: self.in_flight.with_label_values(&[name]),
            tokens: [tokens("input"), tokens("cached_input"), tokens("output"), tokens("reasoning")],
            served: self.cost.with_label_values(&[name, "served"]),
            retried: self.cost.with_label_values(&[name, "retried"]),
            baseline: self.baseline_cost.with_label_values(&[name]),
            saved: self.saved.with_label_values(&[name]),
            unpriced: self.unpriced.with_label_values(&[name]),
            usage_missing: self.usage_missing.with_label_values(&[name]),
            usage_implausible: self.usage_implausible.with_label_values(&[name]),
            decisions: (0..=domains).map(|_| Default::default()).collect(),
            name: name.to_owned(),
        };
        // a rate does not see the first of a series that was not there: what alerts wait for begins at 0
        for outcome in [Outcome::Ok, Outcome::UpstreamError, Outcome::Timeout, Outcome::Rejected] {
            self.of(&meter, Dialect::Chat, outcome);
        }
        meter
    }

    /// Counts a decision that ended at this expert.
    pub fn decided(&self, expert: &ExpertMeter, decision: &Decision, reason: Reason) {
        let domain = decision.top().unwrap_or(expert.decisions.len() - 1);
        expert.decisions[domain][reason as usize]
            .get_or_init(|| {
                let domain = decision.domain().unwrap_or("unknown");
                self.route_decisions.with_label_values(&[domain, &expert.name, reason.as_str()])
            })
            .inc();
    }

    /// Counts a call that has ended.
    pub fn attempted(&self, attempt: &Attempt) {
        let Attempt { expert, endpoint, outcome, .. } = attempt;
        let labels = [&**expert, &*endpoint.authority, outcome.as_str()];
        let find = || self.upstream_attempts.with_label_values(&labels);
        match *outcome {
            AttemptOutcome::Ok => endpoint.answered.get_or_init(find).inc(),
            _ => find().inc(),
        }
    }

    /// Counts a request that an expert ended.
    pub fn ended(&self, expert: &ExpertMeter, dialect: Dialect, outcome: Outcome) {
        self.of(expert, dialect, outcome).inc();
    }

    fn of<'e>(&self, expert: &'e ExpertMeter, dialect: Dialect, outcome: Outcome) -> &'e IntCounter {
        expert.requests[dialect.index()][outcome as usize].get_or_init(|| {
            let labels = [dialect.path(), expert.name.as_str(), outcome.as_str()];
            self.requests.with_label_values(&labels)
        })
    }

    /// Observes the times of an answer; `per_token` where it had more than one token.
    pub fn timed(
        &self,
        expert: &ExpertMeter,
        streaming: bool,
        total: Duration,
        first_token: Option<Duration>,
        per_token: Option<f64>,
    ) {
        let observe = |family: &HistogramVec, cells: &[OnceLock<Histogram>; 2], seconds: f64| {
            let label = if streaming { "true" } else { "false" };
            let cell = &cells[usize::from(streaming)];
            cell.get_or_init(|| family.with_label_values(&[expert.name.as_str(), label])).observe(seconds);
        };
        observe(&self.request_duration, &expert.duration, total.as_secs_f64());
        if let Some(first) = first_token {
            observe(&self.time_to_first_token, &expert.first_token, first.as_secs_f64());
        }
        if let Some(seconds) = per_token {
            observe(&self.time_per_output_token, &expert.per_token, seconds);
        }
    }

    /// Counts and tells that a request had no key that is known; whether it is to leave a record too, which only so many a
    /// second do: whoever guesses keys must not fill the log.
    pub fn key_refused(&self, plane: Plane) -> bool {
        self.authentication_failures.with_label_values(&[plane.as_str()]).inc();
        let told = self.refusals.has_room();
        if told {
            tracing::warn!(plane = plane.as_str(), "a key was refused");
        }
        told
    }

    /// Observes what someone made of an answer of an expert.
    pub fn graded(&self, expert: &str, score: f32) {
        self.feedback.with_label_values(&[expert]).observe(f64::from(score));
    }

    /// Notes what runs now, in place of what ran before: hashes, the router model, rents, and whose series are gone.
    pub fn loaded(&self, old: Option<&Snapshot>, new: &Snapshot) {
        let build = |snapshot: &Snapshot| {
            [env!("CARGO_PKG_VERSION").to_owned(), snapshot.classifier.version().to_owned()]
        };
        if let Some(old) = old {
            self.forget(&old.experts, &new.experts);
            // series that were never made cannot be taken out, and need not
            let _ = self.config_info.remove_label_values(&[old.hash.as_str()]);
            let _ = self.build_info.remove_label_values(&build(old));
            for expert in old.experts.iter().filter(|expert| expert.hosting > 0.0) {
                let _ = self.hosting.remove_label_values(&[&*expert.name]);
            }
        }
        self.config_info.with_label_values(&[new.hash.as_str()]).set(1);
        self.build_info.with_label_values(&build(new)).set(1);
        for expert in new.experts.iter().filter(|expert| expert.hosting > 0.0) {
            self.hosting.with_label_values(&[&*expert.name]).set(expert.hosting);
        }
    }

    /// The text exposition.
    pub fn render(&self) -> Vec<u8> {
        self.process.refresh();
        let mut text = Vec::with_capacity(64 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }
}
