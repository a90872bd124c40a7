//! `mixgate label`: labels are on the disk as soon as they are given, and everything that learns can read them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json as value;
use testkit::soon;

use crate::commands::{Ran, good, run, run_with, written};
use crate::harness::{Json, json};
use crate::process::Heard;

const SURE: &str = "Write a Python function that reverses a linked list in place, with unit tests.";
const UNSURE: &str = "What is the capital of France, and how many people live there?";
const MASH: &str = "qwzx vbrtk plmqz xkcdw";

fn label(folder: &Path, keys: &str, file: &str) -> Ran {
    let out = folder.join("labels.jsonl");
    run_with(keys, &["label", file, "--out", out.to_str().unwrap()])
}

fn labels(folder: &Path) -> Vec<Json> {
    let text = fs::read_to_string(folder.join("labels.jsonl")).unwrap();
    text.lines().map(|line| json(line.as_bytes())).collect()
}

/// The prompts of the labels, and one field of each.
fn told<'l>(labels: &'l [Json], field: &str) -> Vec<(&'l str, &'l Json)> {
    labels.iter().map(|label| (label["prompt"].as_str().unwrap(), &label[field])).collect()
}

fn prompts(folder: &Path) -> String {
    let rows =
        [value!({"prompt": SURE}), value!({"prompt": UNSURE, "source": "ann"}), value!({"prompt": SURE})];
    written(folder, "prompts.jsonl", &rows.map(|row| row.to_string()).join("\n"))
}

#[test]
fn the_least_sure_comes_first_and_a_key_accepts_corrects_or_passes() {
    let folder = tempfile::tempdir().unwrap();
    let file = prompts(folder.path());
    // another: the letter of the sixth domain; then what is proposed
    let ran = label(folder.path(), "c\nf\n\n", &file);
    assert!(good(&ran).contains("2 labels more, 2 in all, 0 prompts left"), "{ran:?}");
    assert!(ran.err.contains("2 prompts, 2 of them not labelled yet"), "{ran:?}");
    assert_eq!(
        told(&labels(folder.path()), "domain"),
        [(UNSURE, &value!("humanities")), (SURE, &value!("code"))]
    );
    assert_eq!(labels(folder.path())[0]["source"], "ann");

    let ran = label(folder.path(), "", &file);
    assert!(good(&ran).contains("0 labels more, 2 in all, 0 prompts left"), "{ran:?}");
    let more = written(folder.path(), "more.jsonl", &value!({"prompt": MASH}).to_string());
    good(&label(folder.path(), "-\n", &more));
    assert_eq!(labels(folder.path())[2]["domain"], "none");
}

#[test]
fn names_second_labels_and_passed_prompts_are_kept_and_one_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = prompts(folder.path());
    let ran = label(folder.path(), "legal\nu\n+\ng\ngeneral\ns\n", &file);
    assert!(good(&ran).contains("2 labels more, 2 in all, 0 prompts left"), "{ran:?}");
    let labels = labels(folder.path());
    assert_eq!(told(&labels, "domain"), [(UNSURE, &value!("general")), (SURE, &Json::Null)]);
    assert_eq!(labels[0]["also"], value!(["legal"]));
    let judged = run(&["eval", "--domains", folder.path().join("labels.jsonl").to_str().unwrap(), "--json"]);
    assert_eq!(json(good(&judged).as_bytes())["domains"]["n"], 1, "what was passed is not judged by");
}

#[test]
fn stopping_loses_nothing_and_the_next_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = prompts(folder.path());
    let out = folder.path().join("labels.jsonl");
    let mut child = Command::new(env!("CARGO_BIN_EXE_mixgate"))
        .args(["label", &file, "--out", out.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(b"chat\n").unwrap();
    let began = std::time::Instant::now();
    while fs::read_to_string(&out).unwrap_or_default().lines().count() < 1 {
        assert!(began.elapsed() < Duration::from_secs(30), "the label is not on the disk");
        std::thread::sleep(Duration::from_millis(10));
    }
    // killed while it waits for the next key
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(told(&labels(folder.path()), "domain"), [(UNSURE, &value!("chat"))]);
    // half a line, as a crash in the middle of its writing leaves it
    fs::OpenOptions::new().append(true).open(&out).unwrap().write_all(b"{\"prompt\":\"Wri").unwrap();
    let ran = label(folder.path(), "q\n", &file);
    assert!(good(&ran).contains("0 labels more, 1 in all, 1 prompts left"), "{ran:?}");
    good(&label(folder.path(), "code\n", &file));
    assert_eq!(told(&labels(folder.path()), "domain"), [(UNSURE, &value!("chat")), (SURE, &value!("code"))]);
}

#[test]
fn the_same_words_in_two_conversations_are_two_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let row = |about: &str| {
        let messages =
            value!([{"role": "user", "content": about}, {"role": "user", "content": "make it shorter"}]);
        value!({"prompt": "make it shorter", "messages": messages}).to_string()
    };
    let rows = [row("a poem about rain"), row("a SQL query of all users"), row("a poem about rain")];
    let file = written(folder.path(), "prompts.jsonl", &rows.join("\n"));
    let ran = label(folder.path(), "writing\nq\n", &file);
    assert!(good(&ran).contains("1 labels more, 1 in all, 1 prompts left"), "{ran:?}");
    let ran = label(folder.path(), "sql\n", &file);
    assert!(good(&ran).contains("1 labels more, 2 in all, 0 prompts left"), "{ran:?}");
}

#[test]
fn who_stops_before_the_grade_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let row = value!({"prompt": SURE, "answers": {"a": "fn f() {}", "b": "def f(): pass"}});
    let file = written(folder.path(), "prompts.jsonl", &row.to_string());
    let ran = label(folder.path(), "code\n1\nq\n", &file);
    assert!(good(&ran).contains("0 labels more, 0 in all, 1 prompts left"), "{ran:?}");
    good(&label(folder.path(), "code\n1\n0\n", &file));
    assert_eq!(labels(folder.path())[0]["models"], value!({"a": 1, "b": 0}));
}

/// A record of the decision log.
fn record(n: usize, text: &str) -> Json {
    value!({
        "id": format!("d{n}"), "text": text, "domain": "chat", "tenant": "acme", "chosen": "poet",
        "attempts": [{"expert": "large", "outcome": "reset"}, {"expert": "poet", "outcome": "ok"}]
    })
}

#[test]
fn a_log_is_labelled_and_graded_and_what_was_graded_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        record(1, SURE).to_string(),
        value!({"id": "d2", "chosen": "poet"}).to_string(),
        record(3, UNSURE).to_string(),
        value!({"decision": "d3", "score": 0, "time": "2026-01-01T00:00:00Z"}).to_string(),
    ];
    let log = written(folder.path(), "decisions.jsonl", &lines.join("\n"));
    let ran = label(folder.path(), "general\ncode\nx\n1\n", &log);
    assert!(good(&ran).contains("2 labels more") && ran.err.contains("poet answered"), "{ran:?}");
    let labels = labels(folder.path());
    let graded = labels.iter().map(|l| (l["decision"].clone(), l.get("score").cloned(), l["models"].clone()));
    let expected = [(value!("d3"), None, value!({})), (value!("d1"), Some(value!(1)), value!({"poet": 1}))];
    assert_eq!(graded.collect::<Vec<_>>(), expected);
    assert_eq!(labels[0]["source"], "log/acme");
    let ran =
        run(&["label", &log, "--out", folder.path().join("other.jsonl").to_str().unwrap(), "--no-grades"]);
    assert!(good(&ran).contains("0 labels more, 0 in all, 2 prompts left"), "{ran:?}");
}

#[test]
fn two_answers_to_one_prompt_are_graded_apart_under_one_label() {
    let folder = tempfile::tempdir().unwrap();
    let by = |n: usize, expert: &str| {
        let mut record = record(n, SURE);
        record["attempts"] = value!([{"expert": expert, "outcome": "ok"}]);
        record.to_string()
    };
    let log = [by(1, "poet"), by(2, "large"), by(3, "poet")].join("\n");
    let log = written(folder.path(), "decisions.jsonl", &log);
    let ran = label(folder.path(), "code\n0\n1\n", &log);
    assert!(good(&ran).contains("1 labels more, 1 in all, 0 prompts left"), "{ran:?}");
    assert!(ran.err.contains("large answered, decision d2"), "{ran:?}");
    let labels = labels(folder.path());
    let graded: Vec<_> = labels.iter().map(|l| [&l["decision"], &l["score"], &l["models"]]).collect();
    let both = value!({"large": 1, "poet": 0});
    assert_eq!(
        graded,
        [[&value!("d1"), &value!(0), &both], [&value!("d2"), &value!(1), &value!({})]],
        "one row to learn from, a grade for each decision"
    );
    assert_eq!(told(&labels, "domain"), [(SURE, &value!("code")), (SURE, &Json::Null)]);
    assert!(good(&label(folder.path(), "", &log)).contains("0 labels more, 1 in all"));

    let file = folder.path().join("labels.jsonl");
    let judged = run(&["eval", "--domains", file.to_str().unwrap(), "--json"]);
    assert_eq!(json(good(&judged).as_bytes())["domains"]["n"], 1, "labelled once");
    let out = folder.path().join("a.safetensors");
    let trained = run(&[
        "train",
        "--from-log",
        &log,
        "--grades",
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(trained.err.contains("3 records 1 have no grade"), "{trained:?}");
}

#[test]
fn everything_that_learns_reads_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let logged = |n: usize| {
        if n.is_multiple_of(2) { format!("add {n} and {}", n * 3) } else { format!("a poem of {n} cats") }
    };
    let lines: Vec<String> = (0..300).map(|n| record(n, &logged(n)).to_string()).collect();
    let log = written(folder.path(), "decisions.jsonl", &lines.join("\n"));
    // a first run tells the order in which they are shown
    let order: Vec<String> = {
        good(&label(folder.path(), &"s\n".repeat(300), &log));
        labels(folder.path()).iter().map(|l| l["prompt"].as_str().unwrap().to_owned()).collect()
    };
    fs::remove_file(folder.path().join("labels.jsonl")).unwrap();
    let keys: String =
        order.iter().map(|text| if text.starts_with("add") { "math\n0\n" } else { "writing\n1\n" }).collect();
    good(&label(folder.path(), &keys, &log));
    let file = folder.path().join("labels.jsonl");
    let file = file.to_str().unwrap();
    let domains: BTreeSet<String> = labels(folder.path()).iter().map(|l| l["domain"].to_string()).collect();
    assert_eq!(domains.len(), 2);

    let out = folder.path().join("a.safetensors");
    let calibrated =
        run(&["calibrate", "--outcomes", file, "--expert", "poet", "--out", out.to_str().unwrap()]);
    assert!(good(&calibrated).contains("poet"), "{calibrated:?}");
    let out = folder.path().join("b.safetensors");
    // a label that nobody graded among them
    let ungraded = value!({"prompt": "hello", "domain": "chat", "source": "log", "models": {}});
    fs::OpenOptions::new()
        .append(true)
        .open(file)
        .unwrap()
        .write_all(format!("{ungraded}\n").as_bytes())
        .unwrap();
    let trained = run(&["train", "--from-log", &log, "--grades", file, "--out", out.to_str().unwrap()]);
    assert!(good(&trained).contains("poet") && out.exists(), "{trained:?}");
    let judged = run(&["eval", "--domains", file, "--json"]);
    assert_eq!(json(good(&judged).as_bytes())["domains"]["n"], 301);
}

#[test]
fn answers_of_a_file_are_shown_and_graded_by_model() {
    let folder = tempfile::tempdir().unwrap();
    let row = value!({
        "prompt": "and in Texas?",
        "messages": [{"role": "user", "content": "Is a verbal contract binding in Ohio?"},
            {"role": "assistant", "content": "Mostly."}, {"role": "user", "content": "and in Texas?"}],
        "answers": {"small": "Yes, \u{1b}[2Jmostly.", "large": "It depends.", "gone": null}
    });
    let file = written(folder.path(), "rows.jsonl", &row.to_string());
    let ran = label(folder.path(), "legal\n1\n0\n", &file);
    good(&ran);
    let label = &labels(folder.path())[0];
    assert_eq!(label["models"], value!({"large": 1, "small": 0}));
    assert_eq!(label["messages"].as_array().unwrap().len(), 3);
    assert!(ran.err.contains("verbal contract") && ran.err.contains("It depends."), "{ran:?}");
    assert!(ran.err.contains("Yes, \u{fffd}[2Jmostly."), "a text of a stranger steers no terminal: {ran:?}");
}

#[test]
fn a_chat_request_is_labelled_by_its_last_human_turn() {
    let folder = tempfile::tempdir().unwrap();
    let messages = value!([{"role": "system", "content": "You are a lawyer."},
        {"role": "user", "content": "Is a verbal contract binding in Ohio?"},
        {"role": "assistant", "content": "Mostly."},
        {"role": "user", "content": [{"type": "text", "text": "and how is it in Texas?"}]}]);
    let row = value!({"id": "7", "messages": messages});
    let file = written(folder.path(), "requests.jsonl", &row.to_string());
    let ran = label(folder.path(), "legal\n", &file);
    assert!(good(&ran).contains("1 labels more, 1 in all, 0 prompts left"), "{ran:?}");
    let labels = labels(folder.path());
    assert_eq!(told(&labels, "domain"), [("and how is it in Texas?", &value!("legal"))]);
    assert_eq!((&labels[0]["messages"], labels[0].get("decision")), (&messages, None));
    assert!(good(&label(folder.path(), "", &file)).contains("0 labels more, 1 in all"));
}

#[test]
fn a_domain_of_ones_own_is_chosen_like_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = prompts(folder.path());
    let out = folder.path().join("labels.jsonl");
    let label = |own: &str| {
        let arguments = ["label", &file, "--out", out.to_str().unwrap(), "--domain", own];
        run_with("c\nclaims\nc\np\n", &arguments)
    };
    let ran = label("claims");
    assert!(good(&ran).contains("2 labels more"), "{ran:?}");
    assert!(labels(folder.path()).iter().all(|label| label["domain"] == "claims"));
    for (own, why) in [("c", "two letters"), ("our claims", "two letters"), ("none", "two letters")] {
        let ran = label(own);
        assert!(ran.code == Some(2) && ran.err.contains(why), "{ran:?}");
    }
}

#[test]
fn what_cannot_be_labelled_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let without = written(folder.path(), "log.jsonl", &value!({"id": "d1", "chosen": "poet"}).to_string());
    let ran = label(folder.path(), "", &without);
    assert!(ran.code == Some(1) && ran.err.contains("log.content: full"), "{ran:?}");
    assert!(!folder.path().join("labels.jsonl").exists());
    let broken = written(folder.path(), "broken.jsonl", "{\"prompt\":\"a\"}\n{\"prompt\":4}\n");
    let ran = label(folder.path(), "", &broken);
    assert!(ran.code == Some(1) && ran.err.contains("broken.jsonl:2: "), "{ran:?}");
    assert_eq!(run(&["label"]).code, Some(2));
}

/// `mixgate label` at a terminal, as `script` of util-linux makes one.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    said: Heard,
}

impl Terminal {
    fn label(folder: &Path, file: &str) -> Terminal {
        let command = format!("'{}' label '{file}'", env!("CARGO_BIN_EXE_mixgate"));
        let mut script = Command::new("script");
        script.args(["-qefc", &command, "/dev/null"]).current_dir(folder);
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, out) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        Terminal { script, keys, said: Heard::from(out) }
    }

    /// Presses a key once these words are there.
    async fn press(&mut self, words: &str, key: &str) {
        self.said.line(words).await;
        self.keys.write_all(key.as_bytes()).unwrap();
    }

    /// Its exit code, once it has ended.
    async fn ends(&mut self) -> Option<i32> {
        let script = Mutex::new(&mut self.script);
        soon("the terminal to end", || async { script.lock().unwrap().try_wait().unwrap().is_some() }).await;
        self.script.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[tokio::test]
async fn at_a_terminal_single_keys_do_and_an_interrupt_keeps_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = prompts(folder.path());
    let mut terminal = Terminal::label(folder.path(), &file);
    terminal.press("q: stop", "c").await;
    terminal.press("Enter: back", "g").await;
    terminal.press("2 of 2", "\u{3}").await;
    // 130 where it came before the terminal waited for a key
    assert!(matches!(terminal.ends().await, Some(0 | 130)));
    assert_eq!(told(&labels(folder.path()), "domain"), [(UNSURE, &value!("legal"))]);

    let mut terminal = Terminal::label(folder.path(), &file);
    terminal.press("q: stop", "\r").await;
    terminal.said.line("1 labels more, 2 in all, 0 prompts left").await;
    assert_eq!(terminal.ends().await, Some(0));
    assert_eq!(told(&labels(folder.path()), "domain"), [(UNSURE, &value!("legal")), (SURE, &value!("code"))]);
}
