//! Logs where they cannot be written: requests do not notice, the process ends, and what is lost is counted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::{Client, Step, Upstream, get, post_json, soon, sse_then};

use crate::harness::{CHAT, Model, Setup, WORD, chat, streamed};
use crate::operators::Served;

#[tokio::test]
async fn lines_for_a_full_disk_are_lost_and_counted() {
    let model = Model::honest().await;
    let setup = Setup::new().large(model.addr, "").section("log: { decisions: /dev/full }");
    let rig = setup.start().await;
    for _ in 0..3 {
        assert_eq!(rig.chat(&chat("large", "hello")).await.status, 200);
    }
    rig.metric_becomes("decision_log_dropped_total", &[], 3.0).await;
}

/// Ended with the test.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway as a process, on ports that are known before it says them.
struct Silent {
    process: Unread,
    data: SocketAddr,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl Silent {
    async fn start(setup: &Setup, arguments: &[&str], out: Stdio, err: Stdio) -> Silent {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("experts.yaml");
        let [data, admin] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [data, admin] = [data, admin].map(|listener| listener.local_addr().unwrap());
        let yaml = setup.yaml().replacen("127.0.0.1:0", &data.to_string(), 1);
        std::fs::write(&config, yaml.replacen("127.0.0.1:0", &admin.to_string(), 1)).unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_mixgate"));
        serve.args(["serve", "--config"]).arg(&config).args(arguments).stdout(out).stderr(err);
        let process = Unread(serve.spawn().unwrap());
        soon("the gateway", || async { std::net::TcpStream::connect(data).is_ok() }).await;
        Silent { process, data, admin, folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("experts.yaml")
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    async fn ends(mut self) {
        let ended = async {
            while self.process.0.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // it waits seconds for whoever reads, and no longer
        let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
        assert!(ended.is_ok(), "it is still there");
    }
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_keeps_no_process_alive() {
    let model = Model::honest().await;
    let setup = Setup::new().large(model.addr, "").section("log: { decisions: stdout }");
    let gateway = Silent::start(&setup, &[], Stdio::piped(), Stdio::null()).await;
    // more than a pipe holds
    let prompt = format!("hello {}", "x".repeat(100));
    for _ in 0..150 {
        assert_eq!(post_json(gateway.data, CHAT, &[], &chat("large", &prompt)).await.status, 200);
    }
    gateway.signal("TERM");
    gateway.ends().await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_neither_requests_nor_health_nor_the_end() {
    let model = Model::honest().await;
    let setup = Setup::new().large(model.addr, "");
    let gateway = Silent::start(&setup, &[], Stdio::null(), Stdio::piped()).await;
    // a reload that is refused says every fault of the file, and a pipe holds 64 KiB
    let faults: Vec<String> = (0..400).map(|i| format!("nobody-{i}: nobody")).collect();
    let bad = setup.section(&format!("aliases: {{ {} }}", faults.join(", ")));
    std::fs::write(gateway.config(), bad.yaml()).unwrap();
    let mut said = 0;
    for _ in 0..15 {
        said += post_json(gateway.admin, "/-/reload", &[], "").await.body.len();
        assert_eq!(post_json(gateway.data, CHAT, &[], &chat("large", "x")).await.status, 200);
    }
    assert!(said > 256 << 10, "{said} bytes are too few to fill a pipe");
    assert_eq!(get(gateway.data, "/health").await.status, 200);
    assert_eq!(get(gateway.admin, "/livez").await.status, 200);
    gateway.signal("TERM");
    gateway.ends().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let upstream = Upstream::script(sse_then(&[WORD], [Step::Hold])).await;
    for names in [["INT", "INT"], ["TERM", "INT"]] {
        let setup = Setup::new().large(upstream.addr(), "");
        let gateway = Silent::start(&setup, &[], Stdio::null(), Stdio::null()).await;
        let mut stream = Client::connect(gateway.data).await;
        stream.post_json(CHAT, &[], &streamed("large", "x")).await;
        assert_eq!(stream.head().await.status, 200);
        gateway.signal(names[0]);
        soon("the drain", || async { get(gateway.data, "/health").await.status == 503 }).await;
        gateway.signal(names[1]);
        gateway.ends().await;
    }
}

#[tokio::test]
async fn a_request_that_is_on_its_way_when_the_gateway_drains_is_answered() {
    let upstream = Upstream::script(sse_then(&[WORD], [Step::Hold])).await;
    let gateway =
        Silent::start(&Setup::new().large(upstream.addr(), ""), &[], Stdio::null(), Stdio::null()).await;
    let mut stream = Client::connect(gateway.data).await;
    stream.post_json(CHAT, &[], &streamed("large", "x")).await;
    assert_eq!(stream.head().await.status, 200);
    let mut before = Client::connect(gateway.data).await;
    // it is known, and nothing came on it
    assert_eq!(get(gateway.data, "/health").await.status, 200);
    gateway.signal("TERM");
    soon("the drain", || async { get(gateway.data, "/health").await.status == 503 }).await;
    before.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(before.reply().await.status, 503);
    gateway.signal("INT");
    gateway.ends().await;
}

#[tokio::test]
async fn a_warning_that_repeats_itself_is_told_a_few_times_and_counted() {
    let model = Model::with(&["status-503"]).await;
    let setup = Setup::new().large(model.addr, "");
    let served = Served::start(&setup).await;
    for _ in 0..60 {
        assert_ne!(served.chat(&chat("large", "x")).await.status, 200);
    }
    let repeated = served.metric("log_lines_dropped_total").await;
    assert!((1.0..60.0).contains(&repeated), "{repeated} lines are left out");
}
