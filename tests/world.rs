//! The binary as an application meets it: `mixgate serve` in front of two `mixgate mock`s, each a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The key that the gateway knows.
pub(crate) const KEY: &str = "sk-a-key-of-the-client-tests";

/// A gateway, and a small and a large model behind it.
pub(crate) struct World {
    pub(crate) gateway: Running,
    pub(crate) small: Running,
    pub(crate) large: Running,
    _folder: TempDir,
}

impl World {
    /// What goes wrong at the small model is in `faults`; `experts` writes fallback and experts of the configuration,
    /// given the addresses of both models.
    pub(crate) fn start(faults: &[&str], experts: impl FnOnce(&str, &str) -> String) -> World {
        let (small, large) = (mock("small-1", faults), mock("large-1", &[]));
        let (hash, experts) = (gateway::auth::KeyHash::of(KEY), experts(&small.address, &large.address));
        let text = format!(
            "server: {{ listen: 127.0.0.1:0, admin_listen: 127.0.0.1:0 }}
router: {{ deadline: 1s }}
tenants: [{{ name: tests, keys: [\"{hash}\"] }}]
{experts}"
        );
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("experts.yaml");
        fs::write(&config, text).unwrap();
        let gateway = start(&["serve", "--config", config.to_str().unwrap(), "--log-json"], "\"data\":\"");
        World { gateway, small, large, _folder: folder }
    }
}

/// A process of ours; ended with the test.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
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

fn mock(model: &str, faults: &[&str]) -> Running {
    let mut arguments = vec!["mock", "--listen", "127.0.0.1:0", "--model", model];
    arguments.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    start(&arguments, "http://")
}
