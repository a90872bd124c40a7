//! Real SDKs, installed from their registries, against the real binary in front of mock models.
//!
//! They are installed once, below the target folder, and again when their version changes. A machine without
//! Python or Node cannot say that they work: then these tests fail and say what is missing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::tools::{installed, must};

const KEY: &str = "sk-a-key-of-the-client-tests";

/// A process of ours; ended with the test.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the binary and waits for the address that follows `marker` on its standard error.
fn start(arguments: &[&str], marker: &str) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mixgate"))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    let address = loop {
        let Some(Ok(line)) = lines.next() else { panic!("{arguments:?} ended before it served:\n{seen}") };
        if let Some((_, rest)) = line.split_once(marker) {
            break rest.split(['/', '"', ' ']).next().unwrap().to_owned();
        }
        seen.push_str(&line);
        seen.push('\n');
    };
    std::thread::spawn(move || lines.for_each(drop));
    Running { child, address }
}

fn mock(model: &str) -> Running {
    start(&["mock", "--listen", "127.0.0.1:0", "--model", model], "http://")
}

fn configuration(directory: &Path, small: &str, large: &str) -> PathBuf {
    let hash = gateway::auth::KeyHash::of(KEY);
    let text = format!(
        "server: {{ listen: 127.0.0.1:0, admin_listen: 127.0.0.1:0 }}
fallback: large
router: {{ deadline: 1s }}
tenants: [{{ name: tests, keys: [\"{hash}\"] }}]
experts:
  - {{ name: small, model: small-1, base_url: \"http://{small}/v1\", quality: {{ code: 1, general: 1, chat: 1, math: 1, writing: 1 }}, price: {{ input_per_1m: 0.1, output_per_1m: 0.1 }} }}
  - {{ name: large, model: large-1, base_url: \"http://{large}/v1\", capabilities: [tools, json_schema, parallel_tools], price: {{ input_per_1m: 2.5, output_per_1m: 10 }} }}
"
    );
    let path = directory.join("experts.yaml");
    fs::write(&path, text).unwrap();
    path
}

/// Runs an SDK's script against a gateway of its own.
fn run_against_a_gateway(command: &mut Command) {
    let directory = tempfile::tempdir().unwrap();
    let (small, large) = (mock("small-1"), mock("large-1"));
    let config = configuration(directory.path(), &small.address, &large.address);
    let gateway = start(&["serve", "--config", config.to_str().unwrap(), "--log-json"], "\"data\":\"");
    command.env("GATEWAY", format!("http://{}/v1", gateway.address));
    command.env("KEY", KEY).env("SMALL", &small.address).env("LARGE", &large.address);
    must(command);
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients")
}

fn wanted(manifest: &str) -> Vec<u8> {
    fs::read(sources().join(manifest)).unwrap()
}

#[test]
fn openai_python_works_unchanged() {
    let folder = installed("client-python", &wanted("requirements.txt"), |folder| {
        must(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")));
        let requirements = sources().join("requirements.txt");
        must(Command::new(folder.join("venv/bin/pip")).args(["install", "--quiet", "-r"]).arg(requirements));
    });
    run_against_a_gateway(
        Command::new(folder.join("venv/bin/python")).arg(sources().join("openai_python.py")),
    );
}

#[test]
fn openai_node_works_unchanged() {
    let folder = installed("client-node", &wanted("package.json"), |folder| {
        fs::copy(sources().join("package.json"), folder.join("package.json")).unwrap();
        must(
            Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(folder),
        );
    });
    fs::copy(sources().join("openai_node.mjs"), folder.join("openai_node.mjs")).unwrap();
    run_against_a_gateway(Command::new("node").arg(folder.join("openai_node.mjs")));
}
