//! Where a run was taken: without it a figure says nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::world::{self, NGINX};

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) commit: String,
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) load_before: String,
    pub(crate) kernel: String,
    pub(crate) nginx: String,
    pub(crate) rustc: String,
    pub(crate) profile: &'static str,
}

impl Machine {
    /// `root` is where the sources are.
    pub(crate) fn look(root: &Path) -> Self {
        Self {
            commit: commit(root),
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"], root),
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_before: fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned(),
            kernel: said("uname", &["-sr"], root),
            nginx: said(NGINX, &["-v"], root),
            rustc: said("rustc", &["-V"], root),
            profile: world::profile(),
        }
    }
}

fn commit(root: &Path) -> String {
    let commit = said("git", &["rev-parse", "HEAD"], root);
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"], root);
    if changed.is_empty() { commit } else { format!("{commit}, with changes not yet committed") }
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// What a program says, on whichever stream (nginx tells its version on standard error).
fn said(program: &str, args: &[&str], root: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(root).stdin(Stdio::null()).output();
    output.map_or_else(
        |error| format!("{program}: {error}"),
        |o| String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).trim().to_owned(),
    )
}
