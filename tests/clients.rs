//! Real SDKs, installed from their registries, against the real binary in front of mock models.
//!
//! They are installed once, below the target folder, and again when their version changes. A machine without
//! Python or Node cannot say that they work: then these tests fail and say what is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{must, node_packages, python_packages};
use crate::world::{KEY, World};

fn experts(small: &str, large: &str) -> String {
    format!(
        "fallback: large
experts:
  - {{ name: small, model: small-1, base_url: \"http://{small}/v1\", quality: {{ code: 1, general: 1, chat: 1, math: 1, writing: 1 }}, price: {{ input_per_1m: 0.1, output_per_1m: 0.1 }} }}
  - {{ name: large, model: large-1, base_url: \"http://{large}/v1\", capabilities: [tools, json_schema, parallel_tools], price: {{ input_per_1m: 2.5, output_per_1m: 10 }} }}
"
    )
}

/// Runs an SDK's script against a gateway of its own.
fn run_against_a_gateway(command: &mut Command) {
    let world = World::start(&[], experts);
    command.env("GATEWAY", format!("http://{}/v1", world.gateway.address));
    command.env("KEY", KEY).env("SMALL", &world.small.address).env("LARGE", &world.large.address);
    must(command);
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients")
}

/// The folder with OpenAI's SDK for Node.
pub(crate) fn openai_node() -> PathBuf {
    node_packages("client-node", &sources().join("package.json"))
}

#[test]
fn openai_python_works_unchanged() {
    let folder = python_packages("client-python", &sources().join("requirements.txt"));
    run_against_a_gateway(
        Command::new(folder.join("venv/bin/python")).arg(sources().join("openai_python.py")),
    );
}

#[test]
fn openai_node_works_unchanged() {
    let folder = openai_node();
    fs::copy(sources().join("openai_node.mjs"), folder.join("openai_node.mjs")).unwrap();
    run_against_a_gateway(Command::new("node").arg(folder.join("openai_node.mjs")));
}
