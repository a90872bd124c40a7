//! The console in a real browser: `tests/console/run.mjs`, against the real binary in front of mock models.
//!
//! A machine without Node or Chromium, and without a way to get it, cannot say that the console works: then this test
//! fails and says what is missing.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::tools::{chromium, must, node_packages};

const SCRIPTS: [&str; 2] = ["run.mjs", "world.mjs"];

#[test]
fn the_console_works_in_a_browser() {
    let browser = chromium();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/console");
    let folder = node_packages("console-node", &sources.join("package.json"));
    for script in SCRIPTS {
        fs::copy(sources.join(script), folder.join(script)).unwrap();
    }
    // a browser takes all there is: the tests beside it go first
    let mut run = Command::new("nice");
    run.arg("node")
        .arg(folder.join("run.mjs"))
        .env("MIXGATE", env!("CARGO_BIN_EXE_mixgate"))
        .env("CHROMIUM", browser);
    must(&mut run);
}
