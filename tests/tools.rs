//! Programs of others that tests need: installed below `target/` where they are not there yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a command; what it said is shown where it fails.
pub(crate) fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// A folder that holds what is `wanted`; `install` fills it where that has not been done yet.
pub(crate) fn installed(name: &str, wanted: &[u8], install: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let done = folder.join("installed");
    if fs::read(&done).ok().as_deref() != Some(wanted) {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        install(&folder);
        fs::write(done, wanted).unwrap();
    }
    folder
}

/// Prometheus's own checker: the one on the path, else that of Debian's package.
pub(crate) fn promtool() -> Command {
    let here = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if here.is_ok() {
        return Command::new("promtool");
    }
    let folder = installed("promtool", b"debian", |folder| {
        let mut download = Command::new("apt-get");
        download.args(["download", "--quiet", "prometheus"]).current_dir(folder);
        if !download.output().is_ok_and(|output| output.status.success()) {
            must(Command::new("apt-get").args(["update", "--quiet"]));
            must(&mut download);
        }
        must(Command::new("sh").args(["-c", "dpkg-deb -x prometheus_*.deb ."]).current_dir(folder));
    });
    Command::new(folder.join("usr/bin/promtool"))
}
