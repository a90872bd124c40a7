//! `mixgate init`: what it writes passes `check` and serves, what it cannot reach is told, and no key is in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gateway::mock::Mock;
use testkit::{Refusing, Step, Upstream, answer, json, status};

use crate::commands::{Ran, good, run};
use crate::harness::{Model, chat};
use crate::operators::Served;

const KEY: &str = "sk-canary-7f3a91";

/// Runs `init` with the key of a server in its environment, and lets the models of the test answer meanwhile.
async fn init(folder: &Path, arguments: &[&str]) -> Ran {
    let mut mixgate = Command::new(env!("CARGO_BIN_EXE_mixgate"));
    mixgate.arg("init").args(arguments).current_dir(folder).env("BIG_KEY", KEY).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || mixgate.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("experts.yaml")
}

fn checked(folder: &Path) -> Ran {
    run(&["check", "--config", file(folder).to_str().unwrap()])
}

#[tokio::test]
async fn what_options_say_is_called_written_checked_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let (large, small) = (Model::honest().await, Model::honest().await);
    let fallback = format!("large-1@http://{}/v1,price=2.5/10,context=128000", large.addr);
    let expert =
        format!("org/Coder-7B@http://{}/v1,name=coder,quality=code:0.99+sql:0.9,price=0.2", small.addr);
    let ran = init(folder.path(), &["--fallback", &fallback, "--expert", &expert]).await;
    assert!(good(&ran).contains("mixgate check --config experts.yaml"), "{ran:?}");
    assert!(ran.out.contains("experts.yaml: 1 small model, fallback large-1"), "{ran:?}");
    assert!(!ran.err.contains("warning"), "{ran:?}");
    assert_eq!((large.requests(), small.requests()), (1, 1), "each is called once");

    let ran = checked(folder.path());
    for part in ["coder", "org/Coder-7B", "code 0.99", "large-1 (fallback)", "2.5 · 10", "128000"] {
        assert!(good(&ran).contains(part), "{part} should be in {}", ran.out);
    }
    let text = fs::read_to_string(file(folder.path())).unwrap();
    let ports = "server: { listen: 127.0.0.1:0, admin_listen: 127.0.0.1:0 }\n";
    let mut served = Served::with(&format!("{ports}{text}"), &[], &[]).await;
    let reply = served.chat(&chat("auto", "Write a Python function that reverses a linked list")).await;
    assert_eq!((reply.status, reply.header("x-mixgate-expert")), (200, Some("coder")), "{}", reply.text());
    served.process.signal("TERM");
    assert_eq!(served.process.ended().await, Some(0));
}

#[tokio::test]
async fn a_key_is_sent_to_its_server_and_stands_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = format!(r#"{{"error":{{"message":"no such key: {KEY}"}}}}"#);
    let server = Upstream::script(json(401, &refusal)).await;
    let fallback = format!("big@{},key=BIG_KEY,price=1/2", server.url("/v1"));
    let ran = init(folder.path(), &["--fallback", &fallback]).await;
    let bearer = format!("Bearer {KEY}");
    assert_eq!(server.next_request().await.header("authorization"), Some(&*bearer));
    assert!(ran.err.contains("refuses the key in BIG_KEY (401)") && good(&ran).contains("next:"), "{ran:?}");
    assert!(ran.err.contains("no such key: ${BIG_KEY}") && !format!("{ran:?}").contains(KEY), "{ran:?}");
    let text = fs::read_to_string(file(folder.path())).unwrap();
    assert!(text.contains("api_key: ${BIG_KEY}\n"), "{text}");

    let unset = format!("big@{},key=NO_SUCH_KEY_OF_MIXGATE,price=1/2", server.url("/v1"));
    let ran = init(folder.path(), &["--fallback", &unset, "--force"]).await;
    assert!(good(&ran).contains("next:") && ran.err.contains("NO_SUCH_KEY_OF_MIXGATE is not set"), "{ran:?}");
    good(&checked(folder.path()));

    let pasted = format!("big@{},key={KEY}", server.url("/v1"));
    let ran = init(folder.path(), &["--fallback", &pasted, "--force"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(!text.contains(KEY) && !format!("{ran:?}").contains(KEY), "{text}{ran:?}");
}

#[tokio::test]
async fn what_fails_is_told_and_the_file_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let strict = Model::start(Mock { strict_model: true, ..Mock::default() }).await;
    let nothing = Upstream::script(status(404, &[])).await;
    let html = Upstream::script(answer(200, &[("content-type", "text/html")], "<html>hello</html>")).await;
    let stalls = Upstream::raw(vec![Step::Hold]).await;
    let refuses = Refusing::new();
    for (url, says) in [
        (format!("http://{}/v1", refuses.addr()), "cannot be reached: "),
        (stalls.url("/v1"), "does not answer within 0.3 s"),
        (nothing.url(""), "(404): most addresses end in /v1"),
        (html.url("/v1"), "answered, but"),
        (format!("http://{}/v1", strict.addr), "it has mock-model"),
    ] {
        let fallback = format!("big@{url},price=1/2");
        let ran = init(folder.path(), &["--fallback", &fallback, "--force", "--timeout", "300ms"]).await;
        assert!(good(&ran).contains("next:") && ran.err.contains(says), "{says}: {ran:?}");
        good(&checked(folder.path()));
    }
    let fallback = format!("big@http://{},price=1/2", refuses.addr());
    let ran = init(folder.path(), &["--fallback", &fallback, "--force", "--no-probe"]).await;
    assert!(good(&ran).contains("next:") && !ran.err.contains("cannot be reached"), "{ran:?}");
}

#[tokio::test]
async fn figures_come_from_the_catalogue_and_the_window_from_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let listed =
        json(200, r#"{"data":[{"id":"mistralai/Mixtral-8x7B-Instruct-v0.1","max_model_len":32000}]}"#);
    let answered = json(
        200,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}"#,
    );
    let picky = json(400, r#"{"error":{"message":"Use 'max_completion_tokens' instead."}}"#);
    let server = Upstream::scripts(vec![listed, picky, answered]).await;
    let fallback = format!("mistralai/Mixtral-8x7B-Instruct-v0.1@{}", server.url("/v1"));
    let ran = init(folder.path(), &["--fallback", &fallback]).await;
    assert!(good(&ran).contains("next:") && !ran.err.contains("warning"), "{ran:?}");
    assert!(ran.err.contains("has no price"), "{ran:?}");
    let last = server.requests().last().unwrap().text();
    assert!(last.contains("max_completion_tokens"), "{last}");
    let text = fs::read_to_string(file(folder.path())).unwrap();
    assert!(
        text.contains("catalogue: mixtral-8x7b-instruct-v0.1 ") && text.contains("context_window: 32000"),
        "{text}"
    );
    good(&checked(folder.path()));
}

#[tokio::test]
async fn a_file_that_is_there_is_written_over_by_force_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(file(folder.path()), "mine").unwrap();
    let fallback = ["--no-probe", "--fallback", "big@http://127.0.0.1:1/v1,price=1/2"];
    let ran = init(folder.path(), &fallback).await;
    assert!(ran.code == Some(1) && ran.err.contains("experts.yaml is there already"), "{ran:?}");
    assert_eq!(fs::read_to_string(file(folder.path())).unwrap(), "mine");
    good(&init(folder.path(), &[&fallback[..], &["--force"]].concat()).await);
    assert!(fs::read_to_string(file(folder.path())).unwrap().contains("fallback: big"));
    let ran = init(folder.path(), &[&fallback[..], &["--out", "no/such/folder.yaml"]].concat()).await;
    assert!(ran.code == Some(1) && ran.err.contains("no/such/folder.yaml"), "{ran:?}");
}

#[tokio::test]
async fn what_cannot_be_asked_or_read_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (&[][..], "standard input is no terminal"),
        (&["--fallback", "big@nowhere"], "no address"),
        (&["--fallback", "big", "--expert", "small"], "--expert: `small` has no address"),
        (&["--expert", "small@http://h/v1"], "--fallback"),
        (&["--fallback", "big", "--timeout", "soon"], "invalid duration"),
    ] {
        let ran = init(folder.path(), arguments).await;
        assert!(ran.code == Some(2) && ran.err.contains(says), "{says}: {ran:?}");
        assert!(!file(folder.path()).exists());
    }
    // what the rules of a configuration refuse is not written either
    let ran = init(folder.path(), &["--no-probe", "--fallback", "big@http://h/v1,price=1,name=a b"]).await;
    assert!(ran.code == Some(1) && ran.err.contains("no name for an expert"), "{ran:?}");
    assert!(!file(folder.path()).exists());
}

#[tokio::test]
async fn at_a_terminal_it_asks() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::honest().await;
    let url = format!("http://{}/v1", model.addr);
    // a terminal, as `script` of util-linux makes one
    let command = format!("'{}' init", env!("CARGO_BIN_EXE_mixgate"));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).current_dir(folder.path());
    let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // address, no key, the only model, its name, window, figures or not, price; then a small one; then no more
    let answers = format!("{url}\n\n\nlarge\n128000\n2.5/10\n{url}\n\n\nsmall\n\ncode:0.9\n\n\n");
    let mut input = terminal.stdin.take().unwrap();
    input.write_all(answers.as_bytes()).unwrap();
    let output = tokio::task::spawn_blocking(move || terminal.wait_with_output()).await.unwrap().unwrap();
    drop(input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("it has 1 model: mock-model"), "{said}");
    let text = fs::read_to_string(file(folder.path())).unwrap();
    for part in
        ["fallback: large", "name: small", "model: mock-model", "quality: { code: 0.9 }", "input_per_1m: 2.5"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    good(&checked(folder.path()));
}
