//! What whoever runs the gateway relies on: draining, reloading, refusing to start open, logs, metrics, health.
//! The real binary, in front of models of this process.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use gateway::auth::KeyHash;
use gateway::classify::Classifier;
use router_model::{Attribution, Scores};
use tempfile::TempDir;
use testkit::{
    Client, End, Reply, Step, Upstream, get, json as json_steps, post_json, soon, sse_then, status,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::harness::{
    ANSWER, CHAT, FINISH, Json, Model, Setup, StandIn, USAGE, WORD, chat, error_code, json, message,
    metric_in, post_over_http2, streamed, with,
};
use crate::process::Process;
use crate::tools::promtool;

const TO_STDOUT: &str = "log: { decisions: stdout }";

/// `mixgate serve` with a file of its own.
pub(crate) struct Served {
    pub(crate) process: Process,
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    file: PathBuf,
    _folder: TempDir,
}

impl Served {
    pub(crate) async fn start(setup: &Setup) -> Served {
        Served::with(&setup.yaml(), &[], &[]).await
    }

    pub(crate) async fn with(yaml: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("experts.yaml");
        fs::write(&file, yaml).unwrap();
        let serve = [&["serve", "--config", file.to_str().unwrap()], arguments].concat();
        let process = Process::start(&serve, environment);
        let line = json(process.says(r#""message":"serving""#).await.as_bytes());
        let address = |plane: &str| line["fields"][plane].as_str().unwrap().parse().unwrap();
        Served { data: address("data"), admin: address("admin"), process, file, _folder: folder }
    }

    pub(crate) async fn chat(&self, body: &str) -> Reply {
        post_json(self.data, CHAT, &[], body).await
    }

    /// The answer to a reload by HTTP.
    pub(crate) async fn reload(&self) -> (u16, Json) {
        let reply = post_json(self.admin, "/-/reload", &[], "").await;
        (reply.status, json(&reply.body))
    }

    pub(crate) async fn metric(&self, family: &str) -> f64 {
        metric_in(&get(self.admin, "/metrics").await.text(), family, &[])
    }

    fn write(&self, setup: &Setup) {
        self.write_text(&setup.yaml());
    }

    pub(crate) fn write_text(&self, yaml: &str) {
        fs::write(&self.file, yaml).unwrap();
    }
}

/// What `serve` says when it does not start.
async fn refused(yaml: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("experts.yaml");
    fs::write(&file, yaml).unwrap();
    let mut process = Process::start(&["serve", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(process.ended().await, Some(1), "{}", process.err.text());
    process.err.text()
}

/// A model that sends the first word of a stream at once, and the rest when it is told.
struct Halting {
    addr: SocketAddr,
    go_on: Arc<Notify>,
    _serving: JoinSet<()>,
}

impl Halting {
    async fn start() -> Halting {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, go_on) = (listener.local_addr().unwrap(), Arc::new(Notify::new()));
        let mut serving = JoinSet::new();
        serving.spawn(halting(listener, Arc::clone(&go_on)));
        Halting { addr, go_on, _serving: serving }
    }
}

async fn halting(listener: TcpListener, go_on: Arc<Notify>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = [0; 4096];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    stream.write_all(format!("{head}data: {WORD}\n\n").as_bytes()).await.unwrap();
    go_on.notified().await;
    let rest = format!("data: {FINISH}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n");
    stream.write_all(rest.as_bytes()).await.unwrap();
}

/// A stream of this gateway that has begun.
async fn running_stream(served: &Served) -> Client {
    let mut client = Client::connect(served.data).await;
    client.post_json(CHAT, &[], &streamed("large", "hello")).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.event().await.as_deref(), Some(WORD));
    client
}

async fn ends_whole(mut stream: Client) {
    assert_eq!(stream.event().await.as_deref(), Some(FINISH));
    assert_eq!(stream.event().await.as_deref(), Some("[DONE]"), "usage was not asked for");
    assert_eq!((stream.event().await, stream.end()), (None, Some(End::Complete)));
}

#[tokio::test]
async fn sigterm_lets_a_running_stream_end_and_takes_nothing_new() {
    let model = Halting::start().await;
    let setup = Setup::new().large(model.addr, "").section(TO_STDOUT);
    let mut served = Served::start(&setup).await;
    let stream = running_stream(&served).await;
    served.process.signal("TERM");
    served.process.says("draining").await;
    assert_eq!(served.chat(&chat("large", "hello")).await.status, 503);
    model.go_on.notify_one();
    ends_whole(stream).await;
    assert_eq!(served.process.ended().await, Some(0), "{}", served.process.err.text());
    let record = json(served.process.out.text().as_bytes());
    assert_eq!((&record["outcome"], &record["usage"]["output"]), (&"ok".into(), &5.into()), "{record}");
}

#[tokio::test]
async fn sigterm_ends_an_idle_gateway_at_once() {
    let model = Model::honest().await;
    let mut served = Served::start(&Setup::new().large(model.addr, "")).await;
    assert_eq!(served.chat(&chat("large", "hello")).await.status, 200);
    let _idle = Client::connect(served.data).await;
    served.process.signal("TERM");
    assert_eq!(served.process.ended().await, Some(0), "{}", served.process.err.text());
}

#[tokio::test]
async fn health_says_503_while_draining() {
    let model = Halting::start().await;
    let served = Served::start(&Setup::new().large(model.addr, "")).await;
    assert_eq!(get(served.data, "/health").await.status, 200);
    let stream = running_stream(&served).await;
    served.process.signal("TERM");
    served.process.says("draining").await;
    let health = get(served.data, "/health").await;
    assert_eq!((health.status, error_code(&health).as_str()), (503, "overloaded"));
    let request = served.chat(&chat("large", "hello")).await;
    assert_eq!((request.status, request.header("retry-after")), (503, Some("1")));
    model.go_on.notify_one();
    ends_whole(stream).await;
}

#[tokio::test]
async fn the_admin_plane_answers_while_streams_are_drained() {
    let model = Halting::start().await;
    let served = Served::start(&Setup::new().large(model.addr, "")).await;
    let stream = running_stream(&served).await;
    served.process.signal("TERM");
    served.process.says("draining").await;
    assert_eq!(get(served.admin, "/livez").await.status, 200);
    assert_eq!(get(served.admin, "/readyz").await.status, 503);
    assert_eq!(json(&get(served.admin, "/status").await.body)["draining"], true);
    model.go_on.notify_one();
    ends_whole(stream).await;
}

#[tokio::test]
async fn a_reload_swaps_experts_and_leaves_a_running_stream_alone() {
    let (halting, second) = (Halting::start().await, Model::honest().await);
    let before = || Setup::new().large(halting.addr, "");
    let served = Served::start(&before()).await;
    let stream = running_stream(&served).await;
    assert_eq!(served.chat(&chat("second", "hello")).await.status, 404);
    served.write(&before().expert("second", second.addr, ""));
    let (code, told) = served.reload().await;
    assert_eq!((code, &told["reloaded"]), (200, &true.into()), "{told}");
    let reply = served.chat(&chat("second", "hello")).await;
    assert_eq!((reply.status, reply.header("x-mixgate-expert")), (200, Some("second")));
    assert_eq!(json(&get(served.admin, "/status").await.body)["config_hash"], told["hash"]);
    halting.go_on.notify_one();
    ends_whole(stream).await;
}

#[tokio::test]
async fn requests_see_one_configuration_or_the_other_while_it_is_swapped() {
    let model = Model::honest().await;
    let one = || Setup::new().large(model.addr, "");
    let served = Served::start(&one()).await;
    for turn in 0..10 {
        let other = if turn % 2 == 0 { one().expert("second", model.addr, "") } else { one() };
        served.write(&other);
        let request = chat("large", "hello");
        let ((code, told), answers) = tokio::join!(served.reload(), async {
            [served.chat(&request).await.status, served.chat(&request).await.status]
        });
        assert_eq!((code, answers), (200, [200, 200]), "{told}");
    }
}

#[tokio::test]
async fn connections_to_an_upstream_that_went_with_a_reload_are_closed() {
    let before = Upstream::script(json_steps(200, ANSWER)).await;
    let after = Upstream::script(json_steps(200, ANSWER)).await;
    let served = Served::start(&Setup::new().large(before.addr(), "")).await;
    assert_eq!(served.chat(&chat("large", "x")).await.status, 200);
    served.write(&Setup::new().large(after.addr(), ""));
    assert_eq!(served.reload().await.0, 200);
    // its record is kept, its connection is not
    before.next_closed().await;
    assert_eq!(served.chat(&chat("large", "x")).await.status, 200);
}

#[tokio::test]
async fn sighup_reloads() {
    let (model, second) = (Model::honest().await, Model::honest().await);
    let before = || Setup::new().large(model.addr, "");
    let served = Served::start(&before()).await;
    // an unchanged file: only the signal can be the reason
    served.process.signal("HUP");
    served.process.says("configuration reloaded").await;
    served.write(&before().expert("second", second.addr, ""));
    served.process.signal("HUP");
    let ask = chat("second", "hello");
    soon("the new expert", || async { served.chat(&ask).await.status == 200 }).await;
}

#[tokio::test]
async fn a_bad_file_keeps_the_old_configuration_and_says_where_it_is_wrong() {
    let model = Model::honest().await;
    let good = || Setup::new().large(model.addr, "");
    let served = Served::start(&good()).await;
    let hash = || async { json(&get(served.admin, "/status").await.body)["config_hash"].clone() };
    let (before, loaded) = (hash().await, served.metric("config_last_reload_timestamp_seconds").await);

    served.write(&good().section("rulez: []"));
    let line = good().yaml().lines().count() + 1;
    let (code, told) = served.reload().await;
    assert_eq!((code, &told["reloaded"]), (400, &false.into()), "{told}");
    let place = format!("{}:{line}:1", served.file.display());
    let error = told["error"].as_str().unwrap();
    for part in ["rulez", place.as_str(), "did you mean `rules`?"] {
        assert!(error.contains(part), "{error} should say {part}");
    }
    served.process.says("the old configuration stays").await;
    assert_eq!(served.metric("config_last_reload_success").await, 0.0);
    assert_eq!((hash().await, served.chat(&chat("large", "hello")).await.status), (before, 200));
    assert_eq!(served.metric("config_last_reload_timestamp_seconds").await, loaded);

    served.write(&good());
    assert_eq!(served.reload().await.0, 200);
    assert_eq!(served.metric("config_last_reload_success").await, 1.0);
}

/// The fields of the contract's decision record. `attribution` is not among them: it is words of the prompt, and
/// only told to the one who asked `/v1/route`.
const DECIDED: [&str; 17] = [
    "id",
    "time",
    "request_id",
    "tenant",
    "requested_model",
    "policy",
    "domain",
    "domain_scores",
    "confidence",
    "ood_score",
    "reason",
    "chosen",
    "candidates",
    "features",
    "router_version",
    "route_micros",
    "attempts",
];
const ENDED: [&str; 7] =
    ["outcome", "usage", "cost_usd", "baseline_cost_usd", "saved_usd", "first_token_millis", "total_millis"];

fn has(json: &Json, fields: &[&str]) {
    for field in fields {
        assert!(json.get(field).is_some(), "no {field} in {json}");
    }
}

#[tokio::test]
async fn every_request_is_a_line_with_all_its_fields_and_none_of_its_text() {
    let model = Model::honest().await;
    let setup = Setup::new().large(model.addr, "").expert("small", model.addr, "quality: { general: 1 }");
    let mut served = Served::start(&setup.section(TO_STDOUT)).await;
    let prompt = "where do swallows spend the winter";
    let bodies = [chat("auto", prompt), streamed("large", prompt), chat("nobody", prompt)];
    let mut ids = Vec::new();
    for body in &bodies {
        ids.push(served.chat(body).await.header("x-request-id").unwrap().to_owned());
    }
    let shown = get(served.admin, "/api/decisions").await;
    served.process.signal("TERM");
    assert_eq!(served.process.ended().await, Some(0));
    let text = served.process.out.text();
    let mut shown = json(&shown.body)["decisions"].as_array().unwrap().clone();
    shown.reverse();
    assert_eq!(shown, text.lines().map(|line| json(line.as_bytes())).collect::<Vec<_>>());
    let records: Vec<Json> = text.lines().map(|line| json(line.as_bytes())).collect();
    assert_eq!(records.iter().map(|r| r["request_id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    for record in &records[..2] {
        has(record, &DECIDED);
        has(record, &ENDED);
        has(&record["usage"], &["input", "cached_input", "output", "reasoning"]);
        has(&record["candidates"][0], &["expert", "score", "expected_cost_usd", "eligible", "why_not"]);
        has(&record["attempts"][0], &["expert", "endpoint", "outcome", "status", "millis"]);
        let seen = ["chars", "tokens_estimated", "turns", "has_tools", "has_images", "language"];
        has(&record["features"], &seen);
        assert_eq!(record["outcome"], "ok");
    }
    assert_eq!(
        (&records[2]["outcome"], &records[2]["requested_model"]),
        (&"client_error".into(), &"nobody".into())
    );
    assert!(!text.contains("swallows"), "{text}");
}

#[tokio::test]
async fn the_text_is_kept_where_the_operator_says_so() {
    let model = Model::honest().await;
    let setup = Setup::new().large(model.addr, "").section("log: { decisions: stdout, content: full }");
    let served = Served::start(&setup).await;
    let prompt = "where do \"swallows\" spend the winter";
    let reply = served.chat(&chat("auto", prompt)).await;
    let line = served.process.out.line(reply.header("x-request-id").unwrap()).await;
    assert_eq!(json(line.as_bytes())["text"], prompt);
}

#[tokio::test]
async fn a_listener_beyond_loopback_without_keys_does_not_start() {
    let model = Model::honest().await;
    let yaml = Setup::new().large(model.addr, "").yaml();
    let open = yaml.replace("{ listen: 127.0.0.1:0", "{ listen: 0.0.0.0:0");
    let said = refused(&open).await;
    assert!(
        said.contains("anyone who reaches `0.0.0.0:0`") && said.contains("server.anonymous: true"),
        "{said}"
    );
    let open_admin = yaml.replace("admin_listen: 127.0.0.1:0", "admin_listen: 0.0.0.0:0");
    let said = refused(&open_admin).await;
    assert!(
        said.contains("the admin listener is beyond loopback") && said.contains("mixgate hash-key"),
        "{said}"
    );

    let meant = open.replace("{ listen", "{ anonymous: true, listen");
    let served = Served::with(&meant, &[], &[]).await;
    assert_eq!(served.chat(&chat("large", "hello")).await.status, 200);
}

#[tokio::test]
async fn an_admin_key_opens_the_admin_plane_and_health_needs_none() {
    const KEY: &str = "a key for whoever operates this";
    let model = Model::honest().await;
    let yaml =
        Setup::new().large(model.addr, "").server(&format!("admin_keys: ['{}']", KeyHash::of(KEY))).yaml();
    let yaml = yaml.replace("admin_listen: 127.0.0.1:0", "admin_listen: 0.0.0.0:0");
    let served = Served::with(&yaml, &[], &[]).await;
    let ask = |path: &'static str, key: &'static str| async move {
        let mut client = Client::connect(served.admin).await;
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\r\n");
        client.send(head).await;
        client.reply().await
    };
    for path in ["/metrics", "/status", "/api/decisions", "/api/decisions/x", "/nowhere"] {
        for reply in [get(served.admin, path).await, ask(path, "another").await] {
            assert_eq!((reply.status, error_code(&reply).as_str()), (401, "invalid_api_key"), "{path}");
        }
    }
    let reload = post_json(served.admin, "/-/reload", &[], "").await;
    assert_eq!(reload.status, 401);
    for path in ["/metrics", "/status", "/api/decisions"] {
        assert_eq!(ask(path, KEY).await.status, 200, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(served.admin, path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn strings_of_clients_never_become_series() {
    let model = Model::honest().await;
    let rig = Setup::new().large(model.addr, "").start().await;
    let series = || async {
        let text = get(rig.gateway.admin, "/metrics").await.text();
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    // of each kind one, so that only the strings are new
    rig.chat(&with("none-0", "@code x", r#","user":"u0""#)).await;
    rig.chat(&with("auto", "@code x", r#","user":"u0""#)).await;
    let before = series().await;
    let mut client = Client::connect(rig.addr()).await;
    for batch in 0..1_000 {
        for number in batch * 100..batch * 100 + 100 {
            let user = format!(r#","user":"u{number}""#);
            let id = format!("request-{number}");
            client
                .post_json(CHAT, &[("x-request-id", &id)], &with(&format!("none-{number}"), "x", &user))
                .await;
        }
        for _ in 0..100 {
            assert_eq!(client.reply().await.status, 404);
        }
    }
    for number in 0..100 {
        let fields = format!(r#","user":"u{number}","metadata":{{"session_id":"s{number}"}}"#);
        assert_eq!(rig.chat(&with("auto", "@code x", &fields)).await.status, 200);
    }
    assert_eq!(series().await, before);
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let (honest, broken) = (Model::honest().await, Model::with(&["status-500", "usage-missing"]).await);
    let rig = Setup::new()
        .expert("small", broken.addr, "hosting: { usd_per_hour: 0.8 }, quality: { code: 1 }")
        .large(honest.addr, "")
        .start()
        .await;
    for model in ["auto", "small", "large", "nobody"] {
        rig.chat(&chat(model, "@code x")).await;
        rig.chat(&streamed(model, "@code x")).await;
    }
    let metrics = get(rig.gateway.admin, "/metrics").await.body;
    let mut promtool = promtool()
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), &metrics).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn the_admin_plane_shows_what_runs_and_what_was_decided() {
    let model = Model::honest().await;
    let served = Served::start(&Setup::new().large(model.addr, "")).await;
    let reply = served.chat(&chat("large", "hello")).await;
    let (request, id) = (reply.header("x-request-id").unwrap(), reply.header("x-mixgate-decision").unwrap());
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(served.admin, path).await.status, 200, "{path}");
    }
    let status = json(&get(served.admin, "/status").await.body);
    assert_eq!((&status["draining"], &status["fallback"]), (&false.into(), &"large".into()), "{status}");
    assert_eq!(status["config_file"].as_str(), served.file.to_str());
    assert_eq!(status["experts"][0]["endpoints"][0]["authority"], model.addr.to_string());

    let one = format!("/api/decisions/{id}");
    soon("the record", || async { get(served.admin, &one).await.status == 200 }).await;
    let record = json(&get(served.admin, &one).await.body);
    has(&record, &DECIDED);
    has(&record, &ENDED);
    assert_eq!(record["request_id"], request);
    let all = json(&get(served.admin, "/api/decisions?limit=1").await.body);
    assert_eq!(all["decisions"], Json::from(vec![record]));

    for path in ["/api/decisions/none", "/nowhere", "/v1/models"] {
        let reply = get(served.admin, path).await;
        assert_eq!((reply.status, error_code(&reply).as_str()), (404, "unknown_url"), "{path}");
    }
    let reply = get(served.admin, "/api/decisions?limit=many").await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (400, "invalid_value"));
    assert_eq!(get(served.admin, "/-/reload").await.header("allow"), Some("POST"));
    assert_eq!(post_json(served.admin, "/status", &[], "").await.status, 405);
    assert_eq!(get(served.data, "/metrics").await.status, 404, "not for applications");
}

#[tokio::test]
async fn health_asks_no_model_and_no_key() {
    let model = Model::honest().await;
    let tenants =
        format!("tenants: [{{ name: acme, keys: ['{}'] }}]", KeyHash::of("a key of acme, long enough"));
    let served = Served::start(&Setup::new().large(model.addr, "").section(&tenants)).await;
    assert_eq!(get(served.data, "/health").await.status, 200);
    assert_eq!(get(served.data, "/v1/models").await.status, 401);
    assert_eq!(model.mock.seen.connections(), 0);
}

const KEY: &str = "canary-of-the-client-0123456789";
const WRONG_KEY: &str = "canary-of-a-stranger-0123456789";
const UPSTREAM_KEY: &str = "canary-of-the-upstream-0123456789";
const PROMPT: &str = "canary-of-the-prompt";
const ANSWERED: &str = "canary-of-the-answer";

/// Models that fail in every way, telling all they know while they do.
async fn gossips() -> Vec<(&'static str, Upstream)> {
    let gossip = format!("{UPSTREAM_KEY} said {PROMPT}");
    let error = |code: &str| {
        format!(r#"{{"error":{{"message":"{gossip}","type":"x","param":null,"code":"{code}"}}}}"#)
    };
    let word = WORD.replace("hello", ANSWERED);
    let scripts = [
        ("refuses-the-key", json_steps(401, &error("invalid_api_key"))),
        ("breaks", json_steps(500, &error("server_error"))),
        ("knows-no-model", json_steps(404, &error("model_not_found"))),
        ("limits", json_steps(429, &error("rate_limit_exceeded"))),
        ("blames-the-client", json_steps(400, &error("invalid_value"))),
        ("answers-nonsense", json_steps(200, &gossip)),
        ("redirects", status(302, &[("location", "http://127.0.0.1:1/canary-of-the-answer")])),
        ("speaks-no-http", vec![Step::send(gossip.clone()), Step::Close]),
        ("cuts-its-stream", sse_then(&[&word], [Step::Reset])),
        ("fails-in-its-stream", sse_then(&[&word, &error("server_error")], [Step::send("0\r\n\r\n")])),
        ("answers", json_steps(200, &ANSWER.replace("hello", ANSWERED))),
    ];
    let mut all = Vec::new();
    for (name, script) in scripts {
        all.push((name, Upstream::script(script).await));
    }
    all
}

#[tokio::test]
async fn keys_and_texts_stand_in_no_log_whatever_fails() {
    let (gossips, large) = (gossips().await, Model::honest().await);
    let mut setup = Setup::new().section("log: { decisions: stderr }");
    for (name, upstream) in &gossips {
        setup = setup.expert(name, upstream.addr(), "api_key: '${UPSTREAM_KEY}', quality: { general: 1 }");
    }
    let tenants = format!("tenants: [{{ name: acme, keys: ['{}'] }}]", KeyHash::of(KEY));
    let yaml = setup.large(large.addr, "api_key: '${UPSTREAM_KEY}'").section(&tenants).yaml();
    let environment = [("UPSTREAM_KEY", UPSTREAM_KEY), ("RUST_LOG", "trace")];
    let mut served = Served::with(&yaml, &["--log", "trace"], &environment).await;

    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    for (name, upstream) in &gossips {
        for body in [chat(name, PROMPT), streamed(name, PROMPT)] {
            post_json(served.data, CHAT, &headers, &body).await;
        }
        assert!(!upstream.requests().is_empty(), "{name} was asked");
        assert_eq!(upstream.requests()[0].header("authorization"), Some(&*format!("Bearer {UPSTREAM_KEY}")));
    }
    let torn = format!(r#"{{"model":"{PROMPT}","messages":[{{"role":"user","content":"{PROMPT}""#);
    for body in [chat("auto", PROMPT), chat(PROMPT, PROMPT), with("auto", PROMPT, r#","n":"x""#), torn] {
        post_json(served.data, CHAT, &headers, &body).await;
        post_json(served.data, "/v1/route", &headers, &body).await;
    }
    post_json(served.data, CHAT, &[("x-api-key", WRONG_KEY)], &chat("auto", PROMPT)).await;
    assert_eq!(post_over_http2(served.data, CHAT, &headers, &chat("large", PROMPT)).await.0, 200);
    fs::write(&served.file, yaml.replace("api_key: '${UPSTREAM_KEY}',", "api_kee: '${UPSTREAM_KEY}',"))
        .unwrap();
    let (code, told) = served.reload().await;
    assert_eq!(code, 400);
    served.process.signal("TERM");
    assert_eq!(served.process.ended().await, Some(0));

    let said = [served.process.out.text(), served.process.err.text(), told.to_string()].concat();
    assert!(said.contains("TRACE") && said.contains(r#""outcome":"ok""#), "the log is at work");
    let told_on: Vec<&str> = said.lines().filter(|line| line.contains("canary-")).collect();
    // the client's `model` is a name, and the record's field for it
    let others: Vec<&&str> =
        told_on.iter().filter(|line| !line.contains(r#""requested_model":"canary-"#)).collect();
    assert!(others.is_empty(), "{others:#?}");
    for line in told_on {
        assert_eq!(line.matches("canary-").count(), 1, "{line}");
    }
}

/// Explains nothing: it panics where no classification catches it.
#[derive(Debug, Default)]
struct Fragile(StandIn);

impl Classifier for Fragile {
    fn domains(&self) -> &[String] {
        self.0.domains()
    }

    fn version(&self) -> &str {
        self.0.version()
    }

    fn score(&self, text: &str, give_up: &mut dyn FnMut() -> bool) -> Option<Scores> {
        self.0.score(text, give_up)
    }

    fn explain(&self, _: &str, _: &dyn Fn(&Scores) -> f32) -> Vec<Attribution> {
        panic!("a fault of the test")
    }
}

#[tokio::test]
async fn a_panic_in_a_request_leaves_others_alone() {
    let model = Halting::start().await;
    let rig = Setup::new().large(model.addr, "").start_with(Arc::new(Fragile::default())).await;
    let mut stream = rig.asking(&[], &streamed("large", "hello")).await;
    assert_eq!(stream.head().await.status, 200);
    assert_eq!(stream.event().await.as_deref(), Some(WORD));
    let mut client = Client::connect(rig.addr()).await;
    client.post_json("/v1/route", &[], &chat("auto", "@code x")).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (500, "internal_error"));
    assert!(!message(&reply).contains("a fault of the test"), "{}", reply.text());
    client.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 200, "even the connection goes on");
    model.go_on.notify_one();
    ends_whole(stream).await;
}
