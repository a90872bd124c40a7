//! A real Prometheus scrapes the real binary under a load of every domain, with one expert that fails and one that is
//! slow, and is asked every expression of every panel and rule. Its sums of money are those of the decision log and
//! of the models' own bills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gateway::mock::Mock;
use tempfile::TempDir;
use testkit::{Client, get, post_json};
use tokio::task::JoinSet;

use super::{Panel, alerts, annotations, panels, recorded, root, text};
use crate::harness::{CHAT, Json, Model, Setup, chat, json, streamed};
use crate::operators::Served;
use crate::tools::prometheus;

/// How long the load lasts: long enough for rates over [`WINDOW`], for a circuit to open, be tried and open again.
const LOAD: Duration = Duration::from_secs(22);
const WINDOW: &str = "20s";

/// Alerts that have nothing to say in this run, and why. All others must find something.
const SILENT: [(&str, &str); 8] = [
    ("MixgateErrorBudgetFast", "one request in seventy is lost, not one in fourteen"),
    ("MixgateErrorBudgetSlow", "nor one in thirty"),
    ("MixgateFirstTokenSlow", "the slow expert begins after a second, not five"),
    ("MixgateReloadFailed", "nothing was reloaded"),
    ("MixgateDecisionLogDropped", "the log is a file that takes everything"),
    ("MixgateSpendAboveBudget", "some hundred short answers and a small rent cost less than 50 USD a day"),
    ("MixgateOutOfDistributionSurge", "there is no day before to compare with"),
    ("MixgateDecisionsUnscored", "the deadline is long"),
];
/// Alerts that may find something for a moment, which is too short to fire.
const EITHER: [(&str, &str); 3] = [
    ("MixgateNotScraped", "a busy machine may miss a scrape that must come within a second"),
    ("MixgateOverheadHigh", "depends on how busy the machine is"),
    ("MixgateSavingsNegative", "attempts that are thrown away come before much is saved"),
];

/// Panels that are all 0 in this run, and why. All others must show something else.
const ZERO: [(&str, &str); 3] = [
    ("overview: Decision records lost", "the log is a file that takes everything"),
    ("overview: Stale connections", "the models keep their connections"),
    ("routing: Not scored", "the deadline is long"),
];

/// A price per million tokens, whole dollars, so that each token costs whole micro-dollars: input, output.
type Price = (u64, u64);
const LARGE: Price = (5, 17);
const SMALL: Price = (1, 2);

fn price((input, output): Price) -> String {
    format!("price: {{ input_per_1m: {input}, output_per_1m: {output} }}")
}

/// A running Prometheus, ended with its test.
struct Prometheus {
    child: Child,
    at: SocketAddr,
    folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// One that scrapes this gateway each second, with the delivered rules.
    async fn scraping(gateway: SocketAddr) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        let rules = root().canonicalize().unwrap().join("dashboards/rules");
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules.join("recording.yaml"), rules.join("alerts.yaml")],
            "scrape_configs": [{ "job_name": "mixgate", "static_configs": [{ "targets": [gateway.to_string()] }] }],
        });
        fs::write(&file, config.to_string()).unwrap();
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let said = fs::File::create(folder.path().join("said")).unwrap();
        let child = prometheus()
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={at}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut prometheus = Prometheus { child, at, folder };
        prometheus.becomes_ready().await;
        prometheus
    }

    async fn becomes_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let listening = tokio::net::TcpStream::connect(self.at).await.is_ok();
            if listening && get(self.at, "/-/ready").await.status == 200 {
                return;
            }
            let said = || fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "prometheus ended: {}", said());
            assert!(Instant::now() < deadline, "prometheus is not ready after 30 s: {}", said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until an expression has a value, and a scrape more: counters are seen at 0 before they grow.
    async fn knows(&self, expr: &str) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.values(expr, unix_now()).await.is_ok_and(|values| values.is_empty()) {
            assert!(Instant::now() < deadline, "{expr} has no value after 15 s");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    async fn asked(&self, path: &str) -> Result<Json, String> {
        let reply = get(self.at, path).await;
        let answer = json(&reply.body);
        match (reply.status, answer["status"].as_str()) {
            (200, Some("success")) => Ok(answer["data"].clone()),
            _ => Err(reply.text()),
        }
    }

    /// The values of an expression at a time, those that are no number left out.
    async fn values(&self, expr: &str, at: f64) -> Result<Vec<f64>, String> {
        let data = self.asked(&format!("/api/v1/query?time={at}&query={}", encoded(expr))).await?;
        Ok(numbers(&data))
    }

    /// The same at each second of a span.
    async fn values_over(&self, expr: &str, from: f64, to: f64) -> Result<Vec<f64>, String> {
        let query = encoded(expr);
        let path = format!("/api/v1/query_range?start={from}&end={to}&step=1&query={query}");
        Ok(numbers(&self.asked(&path).await?))
    }

    /// The only value of an expression.
    async fn value(&self, expr: &str, at: f64) -> f64 {
        match self.values(expr, at).await.as_deref() {
            Ok([value]) => *value,
            other => panic!("{expr} should have one value, not {other:?}"),
        }
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// All samples of an answer that are numbers.
fn numbers(data: &Json) -> Vec<f64> {
    let result = data["result"].as_array().cloned().unwrap_or_default();
    let series = result.iter().flat_map(|series| {
        let many = series["values"].as_array().cloned().unwrap_or_default();
        many.into_iter().chain(series.get("value").cloned())
    });
    let number = |sample: Json| sample[1].as_str().and_then(|text| text.parse::<f64>().ok());
    series.filter_map(number).filter(|value| value.is_finite()).collect()
}

/// A query of a panel as Grafana would send it, with everything chosen.
fn filled(expr: &str) -> String {
    expr.replace("$__rate_interval", WINDOW)
        .replace("$__range", "5m")
        .replace("$instance", ".*")
        .replace("$expert", ".*")
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The gateway with its models: `coder` is well, `writer` fails, `clerk` is slow, `own` is hosted and has no price.
struct World {
    served: Served,
    large: Model,
    coder: Model,
    clerk: Model,
    _others: [Model; 2],
    log: TempDir,
}

impl World {
    async fn start() -> World {
        let log = tempfile::tempdir().unwrap();
        let (large, coder) = (Model::honest().await, Model::honest().await);
        // refuses at first; then each trial is paid and thrown away
        let writer = Model::with(&["status-503@4", "html"]).await;
        let slow = Mock {
            latency: Duration::from_secs(1),
            token_interval: Duration::from_millis(10),
            ..Mock::default()
        };
        let clerk = Model::start(slow).await;
        let own = Model::with(&["usage-missing"]).await;
        let is = |domains: &str, more: &str| format!("quality: {{ {domains} }}, {more}");
        let setup = Setup::new()
            .expert("coder", coder.addr, &is("code: 1, sql: 1, math: 1, engineering: 1", &price(SMALL)))
            .expert("writer", writer.addr, &is("writing: 1, chat: 1, humanities: 1", &price(SMALL)))
            .expert("clerk", clerk.addr, &is("legal: 1, finance: 1", &price(SMALL)))
            .expert("own", own.addr, "hosting: { usd_per_hour: 0.5 }")
            .large(large.addr, &price(LARGE))
            .section("router: { deadline: 2s }")
            .section(&format!("log: {{ decisions: '{}' }}", World::log_at(log.path())));
        let served = Served::start(&setup).await;
        World { served, large, coder, clerk, _others: [writer, own], log }
    }

    fn log_at(folder: &Path) -> String {
        folder.join("decisions.jsonl").display().to_string()
    }

    /// Prompts of every domain, half of them streamed, some to an expert by name, some that cannot be answered;
    /// answers are graded.
    async fn load(&self) {
        let prompts = text("gateway/src/cli/demo/prompts.jsonl");
        let prompts: Arc<Vec<String>> = Arc::new(
            prompts
                .lines()
                .map(|line| json(line.as_bytes())["prompt"].as_str().unwrap().to_owned())
                .collect(),
        );
        let until = Instant::now() + LOAD;
        let mut clients = JoinSet::new();
        for client in 0..6 {
            let (data, admin, large) = (self.served.data, self.served.admin, self.large.addr);
            let prompts = Arc::clone(&prompts);
            clients.spawn(async move {
                let mut turn = client * 19;
                while Instant::now() < until {
                    if client == 0 && turn % 12 == 11 {
                        trouble(large).await;
                    }
                    ask(data, admin, turn, &prompts[turn % prompts.len()]).await;
                    turn += 1;
                    tokio::time::sleep(Duration::from_millis(150)).await;
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    }

    /// What the models themselves say their answers cost, and what the fallback would have taken, micro-dollars.
    fn billed(&self) -> (u64, u64) {
        let priced = [(&self.large, LARGE), (&self.coder, SMALL), (&self.clerk, SMALL)];
        let at = |(input, output): Price, model: &Model| {
            let bill = model.mock.seen.bill();
            bill.prompt_tokens * input + bill.completion_tokens * output
        };
        let cost = priced.iter().map(|(model, price)| at(*price, model)).sum();
        (cost, priced.iter().map(|(model, _)| at(LARGE, model)).sum())
    }

    /// The sums of the decision log after the end, micro-dollars.
    async fn logged(&mut self) -> Sums {
        self.served.process.signal("TERM");
        assert_eq!(self.served.process.ended().await, Some(0), "{}", self.served.process.err.text());
        let log = fs::read_to_string(World::log_at(self.log.path())).unwrap();
        let records: Vec<Json> = log.lines().map(|line| json(line.as_bytes())).collect();
        // the record of an answer without a price knows its baseline, but it is in no sum
        let priced: Vec<&Json> = records.iter().filter(|record| record["cost_usd"].is_number()).collect();
        let sum = |field: &str| priced.iter().filter_map(|r| r[field].as_f64()).map(micros).sum();
        Sums { cost: sum("cost_usd"), baseline: sum("baseline_cost_usd"), saved: sum("saved_usd") }
    }
}

/// The fallback refuses the next request: behind it there is nobody, so that one is lost.
async fn trouble(large: SocketAddr) {
    let fault = "status-500@1";
    let head = format!("PUT /mock/faults HTTP/1.1\r\nhost: mock\r\ncontent-length: {}", fault.len());
    let mut client = Client::connect(large).await;
    client.send(format!("{head}\r\n\r\n{fault}")).await;
    assert_eq!(client.head().await.status, 200);
}

async fn ask(data: SocketAddr, admin: SocketAddr, turn: usize, prompt: &str) {
    let model = match turn % 9 {
        3 => "own",
        5 => "writer",
        7 => "nobody",
        _ => "auto",
    };
    let body = if turn.is_multiple_of(2) { streamed(model, prompt) } else { chat(model, prompt) };
    let reply = post_json(data, CHAT, &[], &body).await;
    let known = if model == "nobody" { reply.status == 404 } else { matches!(reply.status, 200 | 502) };
    assert!(known, "{model}: {} {}", reply.status, reply.text());
    if let Some(decision) = reply.header("x-mixgate-decision").filter(|_| reply.status == 200) {
        let grade = format!(r#"{{"decision":"{decision}","score":0.{}}}"#, turn % 10);
        assert_eq!(post_json(admin, "/api/feedback", &[], &grade).await.status, 200, "{grade}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sums {
    cost: i64,
    baseline: i64,
    saved: i64,
}

fn micros(usd: f64) -> i64 {
    (usd * 1e6).round() as i64
}

/// The query of a panel of the money board.
fn money_expr<'p>(all: &'p [Panel], title: &str, at: usize) -> &'p str {
    let panel = all.iter().find(|panel| panel.board == "money" && panel.title == title);
    let panel = panel.unwrap_or_else(|| panic!("the money board has no panel {title:?}"));
    panel.exprs().nth(at).unwrap()
}

/// The sums that the money board shows.
async fn shown(prometheus: &Prometheus, all: &[Panel], at: f64) -> Sums {
    let mut sums = Vec::new();
    for (place, title) in ["Cost", "Baseline", "Saved"].into_iter().enumerate() {
        let total = prometheus.value(&filled(money_expr(all, title, 0)), at).await;
        let by_expert =
            prometheus.values(&filled(money_expr(all, "Money by expert", place)), at).await.unwrap();
        assert_eq!(micros(by_expert.iter().sum()), micros(total), "{title}: by expert, and in all");
        let grown = filled(money_expr(all, &format!("{title} in this time"), 0));
        let grown = prometheus.value(&grown, at).await;
        assert!((grown / total - 1.0).abs() < 0.1, "{title}: {grown} in this time, {total} in all");
        sums.push(micros(total));
    }
    Sums { cost: sums[0], baseline: sums[1], saved: sums[2] }
}

/// Waits until what Prometheus has scraped is what the gateway has counted; the time at which it is.
async fn scraped_all(prometheus: &Prometheus, served: &Served) -> f64 {
    let counted = served.metric("requests_total").await;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = unix_now();
        if prometheus.values("sum(mixgate_requests_total)", now).await == Ok(vec![counted]) {
            // the rules are evaluated on it a second later
            tokio::time::sleep(Duration::from_secs(2)).await;
            return now + 2.0;
        }
        assert!(Instant::now() < deadline, "{counted} requests were counted, Prometheus does not know them");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Expressions that found nothing, or were refused.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn note(&mut self, place: &str, expr: &str, found: Result<Vec<f64>, String>) {
        match found {
            Ok(values) if !values.is_empty() => {}
            Ok(_) => self.0.push(format!("{place}: no data for {expr}")),
            Err(said) => self.0.push(format!("{place}: {said} for {expr}")),
        }
    }
}

/// Panels over the end of the load, so that what comes and goes is seen.
async fn ask_panels(prometheus: &Prometheus, all: &[Panel], to: f64, faults: &mut Faults) {
    let zero: BTreeMap<&str, &str> = ZERO.into_iter().collect();
    for panel in all {
        let mut all_zero = true;
        for expr in panel.exprs() {
            let found = prometheus.values_over(&filled(expr), to - 10.0, to).await;
            all_zero &= found.iter().flatten().all(|value| *value == 0.0);
            faults.note(&panel.place(), expr, found);
        }
        if all_zero != zero.contains_key(panel.place().as_str()) {
            faults.0.push(format!("{}: is it 0 everywhere? {all_zero}", panel.place()));
        }
    }
    for expr in super::BOARDS.into_iter().flat_map(annotations) {
        faults.note("annotation", &expr, prometheus.values(&filled(&expr), to).await);
    }
}

async fn ask_rules(prometheus: &Prometheus, from: f64, to: f64, faults: &mut Faults) {
    for rule in recorded() {
        faults.note(&rule.name, &rule.expr, prometheus.values(&rule.expr, to).await);
        faults.note("recorded", &rule.name, prometheus.values(&rule.name, to).await);
    }
    let [silent, either] =
        [&SILENT[..], &EITHER[..]].map(|list| list.iter().copied().collect::<BTreeMap<_, _>>());
    let names: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert!(silent.keys().chain(either.keys()).all(|name| names.contains(*name)), "{silent:?} {either:?}");
    for alert in alerts() {
        // circuits are tried now and then: at some moment of the load
        let found = prometheus.values_over(&alert.expr, from, to).await;
        match silent.get(alert.name.as_str()) {
            Some(why) => assert_eq!(found, Ok(vec![]), "{} should be silent: {why}", alert.name),
            None if either.contains_key(alert.name.as_str()) => assert!(found.is_ok(), "{found:?}"),
            None => faults.note(&alert.name, &alert.expr, found),
        }
    }
}

/// Prometheus itself has no complaint about a rule.
async fn rules_are_well(prometheus: &Prometheus) {
    let data = prometheus.asked("/api/v1/rules").await.unwrap();
    let groups = data["groups"].as_array().unwrap();
    let rules: Vec<&Json> = groups.iter().flat_map(|group| super::list(group, "rules")).collect();
    assert_eq!(rules.len(), recorded().len() + alerts().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// The queries of the runbooks can be typed as they stand.
async fn ask_runbooks(prometheus: &Prometheus, at: f64) {
    let runbooks = text("docs/runbooks.md");
    let queries: Vec<&str> =
        runbooks.split("```promql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(queries.len() > alerts().len(), "{}", queries.len());
    for query in queries {
        let found = prometheus.values(query.trim(), at).await;
        assert!(found.is_ok(), "docs/runbooks.md: {query}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_has_an_answer_to_every_panel_and_rule_and_its_sums_are_those_of_the_bills() {
    let mut world = World::start().await;
    let prometheus = Prometheus::scraping(world.served.admin).await;
    prometheus.knows("mixgate_build_info").await;
    let from = unix_now();
    world.load().await;
    let to = scraped_all(&prometheus, &world.served).await;
    let all = panels();

    let mut faults = Faults::default();
    ask_panels(&prometheus, &all, to, &mut faults).await;
    ask_rules(&prometheus, from, to, &mut faults).await;
    assert!(faults.0.is_empty(), "{}", faults.0.join("\n"));
    rules_are_well(&prometheus).await;
    ask_runbooks(&prometheus, to).await;

    let domains = prometheus.value("count(count by (domain) (mixgate_route_decisions_total))", to).await;
    assert!(domains >= 12.0, "prompts of {domains} domains only");
    let shown = shown(&prometheus, &all, to).await;
    let retried = micros(prometheus.value(r#"sum(mixgate_cost_usd_total{kind="retried"})"#, to).await);
    let (cost, baseline) = world.billed();
    assert!(retried > 0 && cost > 0, "nothing was thrown away: {retried}, or nothing served: {cost}");
    assert_eq!(shown.cost, cost as i64 + retried, "cost: the board, and the models' own bills");
    assert_eq!(shown.baseline, baseline as i64, "baseline: the board, and the bills at the fallback's price");
    assert_eq!(shown.saved, shown.baseline - shown.cost);
    assert_eq!(shown, world.logged().await, "the board, and the decision log");
}
