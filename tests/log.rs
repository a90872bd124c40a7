//! The decision log where it cannot be written: requests do not notice, and what is lost is counted.

use std::process::{Child, Command, Stdio};

use testkit::{post_json, soon};

use crate::harness::{CHAT, Model, Setup, chat};

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

#[tokio::test]
async fn a_pipe_that_nobody_reads_keeps_no_process_alive() {
    let model = Model::honest().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("experts.yaml");
    let [data, admin] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [data, admin] = [data, admin].map(|listener| listener.local_addr().unwrap());
    let setup = Setup::new().large(model.addr, "").section("log: { decisions: stdout }");
    let yaml = setup.yaml().replacen("127.0.0.1:0", &data.to_string(), 1);
    std::fs::write(&config, yaml.replacen("127.0.0.1:0", &admin.to_string(), 1)).unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_mixgate"));
    serve.args(["serve", "--config"]).arg(&config).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Unread(serve.spawn().unwrap());
    soon("the gateway", || async { std::net::TcpStream::connect(data).is_ok() }).await;
    // more than a pipe holds
    let prompt = format!("hello {}", "x".repeat(100));
    for _ in 0..150 {
        assert_eq!(post_json(data, CHAT, &[], &chat("large", &prompt)).await.status, 200);
    }
    let kill = format!("kill -TERM {}", process.0.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    // it waits five seconds for whoever reads, and no longer
    let ended = async {
        while process.0.try_wait().unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), ended).await;
    assert!(ended.is_ok(), "it is still there");
}
