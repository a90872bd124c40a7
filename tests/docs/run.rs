//! Runs one block of a page as its reader would, with the README's small configuration behind the address it names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Block, blocks};
use crate::clients::openai_node;
use crate::tools::python_packages;
use crate::world::{KEY, World};

const README: &str = include_str!("../../README.md");
/// How long a program may take, seconds: the first import of its packages compiles them.
const PATIENCE: &str = "120";

/// The languages' own programs, installed.
pub(super) struct Interpreters {
    python: PathBuf,
    node: PathBuf,
}

impl Interpreters {
    pub(super) fn installed() -> Interpreters {
        let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/docs/requirements.txt");
        Interpreters { python: python_packages("docs-python", &requirements), node: openai_node() }
    }

    /// Runs a program; its output, or how it failed.
    pub(super) fn run(&self, Block { line, language, remark, text }: &Block) -> Result<String, String> {
        let (folder, suffix, interpreter): (_, _, &[&str]) = match language.as_str() {
            "sh" => (&self.python, "sh", &["sh", "-e"]),
            "python" => (&self.python, "py", &["python"]),
            _ => (&self.node, "mjs", &["node"]),
        };
        let faults: Vec<&str> = remark.split(' ').filter_map(|word| word.strip_prefix("fault=")).collect();
        let world = World::start(&faults, experts_of_the_readme);
        // beside its packages, where node looks for them
        let script = folder.join(format!("applications-{line}.{suffix}"));
        fs::write(&script, text.replace("127.0.0.1:8080", &world.gateway.address)).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.python.join("venv/bin")].into_iter().chain(std::env::split_paths(&path));
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).args(interpreter).arg(script).env("MIXGATE_KEY", KEY);
        // compiled packages are kept: three times as fast
        command.env("PATH", std::env::join_paths(folders).unwrap()).env_remove("PYTHONDONTWRITEBYTECODE");
        let output = command.output().map_err(|error| error.to_string())?;
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        if !output.status.success() || out.trim().is_empty() {
            return Err(format!("{}\n{out}\n{err}", output.status));
        }
        Ok(out)
    }
}

/// The README's small configuration, with these addresses in place of its own.
fn experts_of_the_readme(small: &str, large: &str) -> String {
    let found = blocks(README).into_iter().find(|block| block.language == "yaml");
    let mut text = found.expect("the README shows a configuration").text;
    let here = [
        ("http://10.0.0.7:8000", format!("http://{small}")),
        ("https://api.openai.com", format!("http://{large}")),
        ("${OPENAI_API_KEY}", "none".to_owned()),
    ];
    for (there, here) in here {
        assert!(text.contains(there), "{there} should be in\n{text}");
        text = text.replace(there, &here);
    }
    text
}
