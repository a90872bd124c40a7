//! `mixgate check`: what it says of policies that do nothing, and of router models that cannot be used.

use std::fs;
use std::net::SocketAddr;

use crate::commands::{Ran, good, run, written};
use crate::harness::Setup;

fn at() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

fn check(setup: &Setup) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    run(&["check", "--config", &written(folder.path(), "experts.yaml", &setup.yaml())])
}

#[test]
fn a_policy_that_chooses_no_expert_is_warned_of_with_what_would_change_that() {
    let coder = |price: f64| {
        format!(
            "quality: {{ code: 0.91, sql: 0.91 }}, price: {{ input_per_1m: {price}, output_per_1m: {price} }}"
        )
    };
    let open = "policies: { balanced: { tolerance: 0.1 }, careful: { tolerance: 0.02 }, tagged: { tolerance: 0.5, require: [indemnified] } }";
    let ran = check(&Setup::new().expert("coder", at(), &coder(0.2)).large(at(), "").section(open));
    good(&ran);
    let none = |policy: &str| {
        format!(
            "warning: the policy `{policy}` sends none of 1500 requests as people write them to an expert; "
        )
    };
    assert!(!ran.err.contains(&none("balanced")), "{}", ran.err);
    assert!(ran.err.contains(&format!("{}with `tolerance: 0.1` ", none("careful"))), "{}", ran.err);
    assert!(
        ran.err.contains(&format!("{}it requires indemnified, which none has", none("tagged"))),
        "{ran:?}"
    );

    let ran = check(
        &Setup::new()
            .expert("dear", at(), &coder(90.0))
            .large(at(), "")
            .section("policies: { balanced: { tolerance: 0.1 } }"),
    );
    let told = "no value of its dial changes that; what is in the way of `dear`: it is not cheaper than";
    assert!(ran.err.contains(&format!("{}{told}", none("balanced"))), "{}", ran.err);
}

#[test]
fn a_broken_router_file_is_told_beside_the_other_faults_each_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let model = written(folder.path(), "router.safetensors", "not one");
    let yaml = format!(
        "router:\n  model: {model}\nfallback: nobody\nexperts:\n  - {{ name: a, model: m, base_url: 'http://h/v1', hosting: {{ usd_per_hour: 0 }} }}\n"
    );
    let config = written(folder.path(), "experts.yaml", &yaml);
    for command in ["check", "serve", "route"] {
        let mut arguments = vec![command, "--config", &config];
        arguments.extend((command == "route").then_some("hello"));
        let ran = run(&arguments);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let told = format!("the router model `{model}` cannot be loaded: ");
        for part in [&*told, &format!("{config}:2:10"), "there is no expert `nobody`", "2 faults in "] {
            assert!(ran.err.contains(part), "{command}: {part}: {}", ran.err);
        }
    }
    fs::remove_file(&model).unwrap();
    let ran = run(&["check", "--config", &config]);
    assert!(ran.err.contains("cannot be read: No such file") && ran.err.contains("2 faults in "), "{ran:?}");
}
