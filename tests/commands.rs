//! The commands of the binary: what they print where, and how they exit.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{get, post_json};

use crate::harness::{CHAT, Json, Model, Setup, chat, json};
use crate::process::Process;

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary with this standard input, in a folder of its own.
pub(crate) fn run_with(input: &str, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mixgate"))
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // a command that does not read its input has closed it
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

pub(crate) fn run(arguments: &[&str]) -> Ran {
    run_with("", arguments)
}

pub(crate) fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) fn good(ran: &Ran) -> &str {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    &ran.out
}

#[test]
fn check_prints_what_a_configuration_resolves_to() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = Setup::new()
        .expert("small", "127.0.0.1:8001".parse().unwrap(), "quality: { code: 0.9 }")
        .expert("idle", "127.0.0.1:8002".parse().unwrap(), "")
        .large("127.0.0.1:8003".parse().unwrap(), "")
        .section(
            "policies: { balanced: { tolerance: 0.05 }, careful: { tolerance: 0, require: [indemnified] } }",
        )
        .yaml();
    let file = written(folder.path(), "experts.yaml", &yaml);
    let ran = run(&["check", "--config", &file]);
    for part in [
        "valid, hash ",
        "http://127.0.0.1:0",
        "balanced (auto)",
        "requires indemnified",
        "none: anyone may call",
        "large (fallback)",
        "http://127.0.0.1:8001/v1",
        "code 0.9",
        "2.5 · 10",
    ] {
        assert!(good(&ran).contains(part), "{part} should be in {}", ran.out);
    }
    assert!(ran.err.contains("warning: the expert `idle` has no quality figure"), "{}", ran.err);
}

#[test]
fn check_shows_no_key_of_an_address() {
    let folder = tempfile::tempdir().unwrap();
    for (address, code) in [
        ("http://127.0.0.1:9/v1?api-key=CANARY12345", 0),
        ("127.0.0.1:9/v1?api-key=CANARY12345", 2),
        ("http://127.0.0.1:9/v1#CANARY12345", 2),
    ] {
        let price = "price: { input_per_1m: 1, output_per_1m: 1 }";
        let yaml =
            format!("fallback: a\nexperts:\n  - {{ name: a, model: m, base_url: '{address}', {price} }}\n");
        let file = written(folder.path(), "experts.yaml", &yaml);
        let ran = run(&["check", "--config", &file]);
        assert!(!format!("{}{}", ran.out, ran.err).contains("CANARY12345"), "{}{}", ran.out, ran.err);
        assert_eq!(ran.code == Some(0), code == 0, "{address}: {}", ran.err);
    }
}

#[test]
fn the_reference_configuration_is_valid() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../experts.yaml");
    good(&run(&["check", "--config", file]));
}

#[test]
fn check_tells_every_fault_with_its_place_and_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "\
server: { listen: 127.0.0.1:0, admin_listen: 127.0.0.1:0 }
fallback: huge
experts:
  - name: small
    model: small-1
    base_url: http://127.0.0.1:8001/v1
    colour: red
  - name: large
    model: large-1
    base_url: http://127.0.0.1:8002/v1
    api_key: ${MIXGATE_TEST_NO_SUCH_VARIABLE}
    price: { input_per_1m: 2.5, output_per_1m: 10 }
";
    let file = written(folder.path(), "experts.yaml", yaml);
    let ran = run(&["check", "--config", &file]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    let faults = [
        ("2:11", "fallback: huge", "no expert `huge`"),
        ("4:5", "  - name: small", "the expert `small` has no price"),
        ("7:5", "    colour: red", "`colour`"),
        (
            "11:14",
            "    api_key: ${MIXGATE_TEST_NO_SUCH_VARIABLE}",
            "`MIXGATE_TEST_NO_SUCH_VARIABLE` is not set",
        ),
    ];
    for (place, line, says) in faults {
        let number = place.split(':').next().unwrap();
        let shown = format!("--> {file}:{place}\n");
        assert!(ran.err.contains(&shown), "{shown} should be in\n{}", ran.err);
        assert!(ran.err.contains(&format!("{number} | {line}\n")), "{line} should be in\n{}", ran.err);
        assert!(ran.err.contains(says), "{says} should be in\n{}", ran.err);
    }
    assert!(ran.err.contains("4 faults in"), "{}", ran.err);
}

#[test]
fn a_file_that_is_not_there_is_told_by_every_command_that_wants_one() {
    for command in ["check", "serve", "route"] {
        let ran = run(&[command, "--config", "nowhere.yaml"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("nowhere.yaml") && ran.err.contains("cannot be read"), "{ran:?}");
    }
}

#[test]
fn schema_prints_the_schema_that_is_shipped() {
    let ran = run(&["schema"]);
    let schema = json(good(&ran).as_bytes());
    let shipped = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../experts.schema.json")).unwrap();
    assert_eq!(schema, json(&shipped));
}

#[tokio::test]
async fn hash_key_prints_what_the_key_is_known_by() {
    const KEY: &str = "a key that nobody guesses";
    let ran = run_with(&format!("{KEY}\n"), &["hash-key"]);
    let hash = good(&ran).trim();
    let model = Model::honest().await;
    let tenants = format!("tenants: [{{ name: acme, keys: ['{hash}'] }}]");
    let rig = Setup::new().large(model.addr, "").section(&tenants).start().await;
    let ask = chat("large", "hello");
    assert_eq!(rig.chat_with(&[("authorization", &format!("Bearer {KEY}"))], &ask).await.status, 200);
    assert_eq!(rig.chat_with(&[("authorization", &format!("Bearer {KEY}s"))], &ask).await.status, 401);
    assert!(!ran.err.contains(KEY) && ran.err.is_empty(), "{ran:?}");
}

#[test]
fn hash_key_wants_a_key_and_warns_of_a_short_one() {
    assert_eq!(run_with(" \n", &["hash-key"]).code, Some(1));
    let ran = run_with("short", &["hash-key"]);
    assert!(good(&ran).starts_with("sha256:") && ran.err.contains("can be guessed"), "{ran:?}");
}

const PROMPT: &str = "Write a Python function that reverses a linked list";

#[test]
fn route_decides_for_an_argument_and_for_standard_input_alike() {
    let decided = |ran: &Ran| {
        let record = json(good(ran).as_bytes());
        let fields = ["domain", "chosen", "reason", "candidates", "domain_scores", "large_score"];
        fields.map(|field| record[field].clone())
    };
    let (argument, input) = (run(&["route", "--json", PROMPT]), run_with(PROMPT, &["route", "--json"]));
    assert_eq!(decided(&argument), decided(&input));
    let record = json(argument.out.as_bytes());
    assert_eq!((&record["domain"], &record["reason"]), (&"code".into(), &"routed".into()), "{record}");
    assert!(record["attribution"].as_array().is_some_and(|words| !words.is_empty()), "{record}");

    let told = run(&["route", PROMPT]);
    for part in [
        "code → ",
        record["chosen"].as_str().unwrap(),
        "expected quality",
        "gpt-4o",
        "domains ",
        "words ",
        "next ",
        "dial ",
    ] {
        assert!(good(&told).contains(part), "{part} should be in {}", told.out);
    }
    assert!(!told.out.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn what_route_says_would_flip_the_choice_flips_it() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = |tolerance: f64| {
        Setup::new()
            .expert("coder", "127.0.0.1:8001".parse().unwrap(), "quality: { code: 0.9, sql: 0.9 }")
            .large("127.0.0.1:8002".parse().unwrap(), "")
            .section(&format!("policies: {{ balanced: {{ tolerance: {tolerance}, min_confidence: 0 }} }}"))
            .yaml()
    };
    let file = |tolerance| written(folder.path(), &format!("{tolerance}.yaml"), &yaml(tolerance));
    let prompt = "Explain how Python handles money";
    let decided = |tolerance, prompt: &str| {
        json(good(&run(&["route", "--json", "--config", &file(tolerance), prompt])).as_bytes())
    };
    let record = decided(0.9, prompt);
    assert_eq!(
        (&record["chosen"], &record["runner_up"]["expert"]),
        (&"coder".into(), &"large".into()),
        "{record}"
    );
    let dial = &record["flips"]["dial"];
    let (from, value) = (dial["from"].as_f64().unwrap(), dial["value"].as_f64().unwrap());
    assert!(dial["dial"] == "tolerance" && from > 0.09 && (value - 0.9).abs() < 1e-6, "{record}");
    assert_eq!(decided(from + 0.001, prompt)["chosen"], "coder");
    assert_eq!(decided(from - 0.001, prompt)["chosen"], "large");

    // just within the tolerance, some word holds it there
    let record = decided(from + 0.001, prompt);
    let words = record["flips"]["words"].as_array().unwrap();
    assert!(!words.is_empty(), "{record}");
    for word in words {
        let without = prompt.replacen(word["text"].as_str().unwrap(), "", 1);
        assert_eq!(decided(from + 0.001, &without)["chosen"], word["chosen"], "{without}");
    }
}

#[test]
fn route_follows_the_configuration_and_the_policy_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = Setup::new()
        .expert("coder", "127.0.0.1:8001".parse().unwrap(), "quality: { code: 0.9 }")
        .large("127.0.0.1:8002".parse().unwrap(), "")
        .section("policies: { balanced: { tolerance: 0.2, min_confidence: 0 }, strict: { tolerance: 0 } }")
        .yaml();
    let file = written(folder.path(), "experts.yaml", &yaml);
    let chosen = |more: &[&str]| {
        let ran = run(&[&["route", "--config", &file, "--json", PROMPT], more].concat());
        json(good(&ran).as_bytes())["chosen"].clone()
    };
    assert_eq!((chosen(&[]), chosen(&["--policy", "strict"])), ("coder".into(), "large".into()));
    let ran = run(&["route", "--config", &file, "--policy", "stict", PROMPT]);
    assert!(ran.code == Some(1) && ran.err.contains("strict"), "{ran:?}");
}

#[test]
fn a_batch_gives_a_record_per_line_and_keeps_the_ids() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        format!(r#"{{"id":"a","prompt":"{PROMPT}"}}"#),
        r#"{"id":{"run":7},"messages":[{"role":"user","content":"What is the derivative of x squared?"}]}"#
            .to_owned(),
        String::new(),
        r#"{"id":3,"model":"gpt-4o","messages":[{"role":"user","content":"hello"}],"temperature":0.2}"#
            .to_owned(),
    ];
    let file = written(folder.path(), "prompts.jsonl", &lines.join("\n"));
    let ran = run(&["route", "--batch", &file]);
    let records: Vec<Json> = good(&ran).lines().map(|line| json(line.as_bytes())).collect();
    let ids: Vec<String> = records.iter().map(|r| r["id"].to_string()).collect();
    assert_eq!(ids, [r#""a""#, r#"{"run":7}"#, "3"]);
    let of = |field: &str| records.iter().map(|r| r[field].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(of("domain")[..2], ["code", "math"]);
    assert_eq!((of("reason")[2].as_str(), of("chosen")[2].as_str()), ("pinned", "gpt-4o"));
    for record in &records {
        assert!((0.0..=1.0).contains(&record["large_score"].as_f64().unwrap()), "{record}");
    }
}

#[test]
fn a_line_that_is_no_request_is_told_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let fine = r#"{"id":1,"prompt":"hello"}"#;
    for (bad, says) in [
        ("{\"id\":2", "EOF"),
        (r#"{"id":2}"#, "neither `prompt` nor `messages`"),
        (r#"{"id":2,"messages":[]}"#, "at least one message"),
        (
            r#"{"id":2,"prompt":"x","model":"nobody","messages":[{"role":"user","content":"x"}]}"#,
            "does not exist",
        ),
    ] {
        let file = written(folder.path(), "prompts.jsonl", &format!("{fine}\n{bad}\n{fine}\n"));
        let ran = run(&["route", "--batch", &file]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(&format!("{file}:2: ")) && ran.err.contains(says), "{says}: {ran:?}");
        assert_eq!(ran.out.lines().count(), 1, "what came before is printed: {ran:?}");
    }
}

#[test]
fn help_names_every_command_and_a_wrong_usage_is_2() {
    let help = run(&["--help"]);
    for command in [
        "serve",
        "demo",
        "mock",
        "init",
        "check",
        "schema",
        "route",
        "catalogue",
        "label",
        "calibrate",
        "eval",
        "compare",
        "train",
        "hash-key",
    ] {
        assert!(good(&help).contains(&format!("\n  {command} ")), "{}", help.out);
        let ran = run(&[command, "--help"]);
        assert!(good(&ran).contains("Usage: mixgate"), "{}", ran.out);
    }
    assert!(good(&run(&["--version"])).starts_with("mixgate "));
    for wrong in [
        &[][..],
        &["serv"],
        &["check", "--colour"],
        &["route", "--batch", "f", "prompt"],
        &["mock", "--fault", "boredom"],
    ] {
        let ran = run(wrong);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(ran.err.contains("Usage") || ran.err.contains("--help"), "{ran:?}");
    }
    let ran = run(&["serve", "--log", "gateway=louder"]);
    assert!(ran.code == Some(2) && ran.err.contains("--log"), "{ran:?}");
}

#[test]
fn the_demo_says_what_it_saved_and_what_that_cost_in_right_answers() {
    let ran = run(&["demo", "--exit", "--requests", "40"]);
    let says = good(&ran);
    for part in [
        "40 requests cost $",
        "Right answers to 22 graded prompts",
        "mixgate, as it routed",
        "always gpt-4o (large)",
        "always phi-3-mini (cheapest)",
        "dealt to other prompts",
        "Against always gpt-4o: ",
        "Replayed: ",
    ] {
        assert!(says.contains(part), "{part}: {says}");
    }
    assert!(says.lines().all(|line| line.chars().count() <= 100), "{says}");
}

#[tokio::test]
async fn a_mock_answers_and_sigterm_ends_it() {
    let mut mock = Process::start(
        &["mock", "--listen", "127.0.0.1:0", "--model", "m-1", "--fault", "status-503@1"],
        &[],
    );
    let line = mock.says("listening on http://").await;
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    assert!(get(address, "/v1/models").await.text().contains("m-1"));
    let ask = async || post_json(address, CHAT, &[], &chat("m-1", "hello")).await.status;
    assert_eq!((ask().await, ask().await), (503, 200));
    mock.signal("TERM");
    assert_eq!(mock.ended().await, Some(0));
}
