//! Programs of others that tests need: installed below `target/` where they are not there yet.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

/// Runs a command; what it said is shown where it fails.
pub(crate) fn must(command: &mut Command) {
    let output = command.output();
    went_well(command, output);
}

fn went_well(command: &Command, output: io::Result<Output>) {
    let output = output.unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command of apt, one at a time; where it fails, again with the newest lists.
fn apt(command: &mut Command) -> io::Result<Output> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let first = command.output()?;
    if first.status.success() {
        return Ok(first);
    }
    Command::new("apt-get").args(["update", "--quiet"]).output()?;
    command.output()
}

/// A folder that holds what is `wanted`; `install` fills it where that has not been done yet.
pub(crate) fn installed(name: &str, wanted: &[u8], install: impl FnOnce(&Path)) -> PathBuf {
    // tests that run at once want it at once
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
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

/// A folder whose `venv` holds the Python packages of this requirements file.
pub(crate) fn python_packages(name: &str, requirements: &Path) -> PathBuf {
    installed(name, &fs::read(requirements).unwrap(), |folder| {
        must(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")));
        let mut install = Command::new(folder.join("venv/bin/pip"));
        // compiled when they are imported: most modules never are
        must(install.args(["install", "--quiet", "--no-compile", "-r"]).arg(requirements));
    })
}

/// A folder whose `node_modules` hold what this `package.json` names.
pub(crate) fn node_packages(name: &str, manifest: &Path) -> PathBuf {
    installed(name, &fs::read(manifest).unwrap(), |folder| {
        fs::copy(manifest, folder.join("package.json")).unwrap();
        must(
            Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(folder),
        );
    })
}

/// Prometheus's own checker: the one on the path, else that of Debian's package.
pub(crate) fn promtool() -> Command {
    of_prometheus("promtool")
}

/// Prometheus itself, from the same places.
pub(crate) fn prometheus() -> Command {
    of_prometheus("prometheus")
}

fn of_prometheus(program: &str) -> Command {
    let here = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if here.is_ok() {
        return Command::new(program);
    }
    let folder = installed("promtool", b"debian", |folder| unpack(folder, &["prometheus"]));
    Command::new(folder.join("usr/bin").join(program))
}

/// systemd's own checker: the one on the path, else that of Debian's package.
pub(crate) fn systemd_analyze() -> Command {
    let program = "systemd-analyze";
    let here = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if here.is_ok() {
        return Command::new(program);
    }
    let folder = installed("systemd", b"debian", |folder| unpack(folder, &["systemd", "libsystemd-shared"]));
    let libraries = format!("usr/lib/{}-linux-gnu/systemd", std::env::consts::ARCH);
    let mut command = Command::new(folder.join("usr/bin").join(program));
    // the targets that a unit names are looked for there, where the machine has none
    let units = folder.join("lib/systemd/system");
    command.env("LD_LIBRARY_PATH", folder.join(libraries)).env("SYSTEMD_UNIT_PATH", units);
    command
}

/// Debian's packages, unpacked into this folder.
fn unpack(folder: &Path, packages: &[&str]) {
    let mut download = Command::new("apt-get");
    download.args(["download", "--quiet"]).args(packages).current_dir(folder);
    let output = apt(&mut download);
    went_well(&download, output);
    must(
        Command::new("sh")
            .args(["-ec", "for package in *.deb; do dpkg-deb -x $package .; done"])
            .current_dir(folder),
    );
}

/// Chromium, or Chrome: what `CHROMIUM` names, else the one on the path, else Debian's package. It needs dozens of
/// libraries: it is installed, not unpacked, and that only root may do.
pub(crate) fn chromium() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return named.into();
    }
    if let Some(found) = browser_on_the_path() {
        return found;
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]);
    install.args(["chromium", "fonts-dejavu-core"]).env("DEBIAN_FRONTEND", "noninteractive");
    let output = apt(install.stdin(Stdio::null()));
    browser_on_the_path().unwrap_or_else(|| {
        let said = output.map_or_else(|error| error.to_string(), |output| text(&output.stderr));
        panic!(
            "the console is tested in Chromium, and there is none: install it (Debian: `apt-get install chromium`), \
             or name one in CHROMIUM. Installing it here failed:\n{said}"
        )
    })
}

fn browser_on_the_path() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let names = ["chromium", "google-chrome", "chromium-browser"];
    let all = std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name)));
    all.into_iter().find(|file| file.is_file())
}
