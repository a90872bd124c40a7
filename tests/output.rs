//! What becomes of a result that cannot be printed.

use std::fs;
use std::process::{Command, Stdio};

use crate::commands::{Ran, written};
use crate::harness::Setup;

/// Runs the binary with a standard output that takes nothing.
fn run_into(output: Stdio, arguments: &[&str]) -> Ran {
    let child = Command::new(env!("CARGO_BIN_EXE_mixgate"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Ran { code: output.status.code(), out: String::new(), err }
}

#[test]
fn a_full_device_is_told_in_words_and_a_closed_pipe_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = Setup::new().large("127.0.0.1:8003".parse().unwrap(), "").yaml();
    let config = written(folder.path(), "experts.yaml", &yaml);
    let rows = written(folder.path(), "rows.jsonl", "{\"prompt\":\"hello\",\"domain\":\"chat\"}");
    let labels = folder.path().join("labels.jsonl");
    let commands: [&[&str]; 11] = [
        &["--help"],
        &["--version"],
        &["check", "--config", &config],
        &["check", "--config", &config, "--json"],
        &["schema"],
        &["catalogue"],
        &["route", "--config", &config, "hello"],
        &["route", "--config", &config, "--batch", &rows],
        &["eval", "--domains", &rows],
        &["label", &rows, "--out", labels.to_str().unwrap()],
        &["demo"],
    ];
    for command in commands {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = run_into(full.into(), command);
        let told = "mixgate: cannot write to stdout: No space left on device\n";
        assert!(ran.code == Some(1) && ran.err.ends_with(told), "{command:?}: {ran:?}");
        assert_eq!(ran.err.matches("cannot write").count(), 1, "{command:?}: {ran:?}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = run_into(writer.into(), command);
        assert_eq!(ran.code, Some(0), "{command:?}: {ran:?}");
        assert!(!ran.err.contains("rror") && !ran.err.contains("panicked"), "{command:?}: {ran:?}");
    }
}
