//! Domains of one's own: taught from labels, or names for those that the router model knows.

use std::fs;
use std::path::Path;

use serde_json::json as value;

use crate::commands::{good, run, written};
use testkit::get;

use crate::harness::{Json, Model, Setup};

const CLAIM: &str = "Claim 4711: our policyholder reports a burst pipe in the cellar. Is it covered, and who pays the deductible?";
const CONTRACT: &str = "Does the tenant have to give notice in writing if the lease is for a fixed term, and what if the landlord sells?";

/// Labelled requests: of a trade that no built-in domain names, and of two that are known.
fn labels(folder: &Path) -> String {
    let what = ["water damage in the kitchen", "a broken windscreen", "hail on the roof", "a stolen bicycle"];
    let ask =
        ["Is it covered?", "What is still missing?", "Who pays the deductible?", "Draft the acceptance."];
    let claim = |n: usize| {
        format!("Claim {}: our policyholder reports {}. {}", 7 * n + 3, what[n % 4], ask[n / 4 % 4])
    };
    let row = |prompt: String, domain: &str| value!({"prompt": prompt, "domain": domain}).to_string();
    let claims = (0..64).map(|n| row(claim(n), "claims"));
    let code =
        (0..20).map(|n| row(format!("Write a Rust function that sums {n} numbers of a slice."), "code"));
    let chat = (0..20).map(|n| row(format!("hi there, how was your weekend number {n}?"), "chat"));
    written(folder, "own.jsonl", &claims.chain(code).chain(chat).collect::<Vec<_>>().join("\n"))
}

fn taught(folder: &Path) -> String {
    let out = folder.join("own.safetensors").to_str().unwrap().to_owned();
    let ran = run(&["train", "--domains", &labels(folder), "--add", "--out", &out]);
    let said = good(&ran);
    assert!(said.contains("claims 64") && said.contains("named so by mistake"), "{said}");
    out
}

async fn routed(setup: Setup, prompt: &str) -> (Option<String>, Option<String>, String, Json) {
    let rig = setup.start_real().await;
    let body = value!({"model": "auto", "messages": [{"role": "user", "content": prompt}]}).to_string();
    let reply = rig.chat(&body).await;
    let header = |name: &str| reply.header(name).map(str::to_owned);
    let (expert, domain) = (header("x-mixgate-expert"), header("x-mixgate-domain"));
    let metrics = get(rig.gateway.admin, "/metrics").await.text();
    (expert, domain, metrics, rig.record_of(&reply).await)
}

#[tokio::test]
async fn a_domain_that_was_taught_is_one_like_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::honest().await;
    let section = format!(
        "router: {{ deadline: 1s, model: {} }}\nrules: [{{ when: {{ domain: [claims], at: 0.3 }}, require: [indemnified] }}]",
        taught(folder.path())
    );
    let setup = || {
        Setup::new()
            .expert("adjuster", model.addr, "quality: { claims: 0.99 }, governance: { indemnified: true }")
            .large(model.addr, "")
            .section(&section)
    };
    let (expert, domain, metrics, record) = routed(setup(), CLAIM).await;
    assert_eq!((expert.as_deref(), domain.as_deref()), (Some("adjuster"), Some("claims")), "{record}");
    assert!(metrics.contains("domain=\"claims\""), "{metrics}");
    assert_eq!(record["domain"], "claims");
    let (expert, domain, ..) = routed(setup(), "Write a Rust function that reverses a string.").await;
    assert_eq!((expert.as_deref(), domain.as_deref()), (Some("large"), Some("code")));
}

#[tokio::test]
async fn a_known_domain_goes_by_its_own_name() {
    let model = Model::honest().await;
    let section = "router: { deadline: 1s }
domains: { contracts: legal, office: [writing, text_ops] }
rules: [{ when: { domain: [contracts], at: 0.3 }, require: [indemnified] }]";
    let setup = || {
        Setup::new()
            .expert("lawyer", model.addr, "quality: { contracts: 0.99 }, governance: { indemnified: true }")
            .expert("clerk", model.addr, "quality: { office: 0.99 }")
            .large(model.addr, "")
            .section(section)
    };
    let (expert, domain, metrics, record) = routed(setup(), CONTRACT).await;
    assert_eq!((expert.as_deref(), domain.as_deref()), (Some("lawyer"), Some("contracts")), "{record}");
    assert!(metrics.contains("domain=\"contracts\"") && !metrics.contains("domain=\"legal\""), "{metrics}");
    let mail = "Write a friendly mail to our customers about the new opening hours of the shop.";
    let (expert, domain, ..) = routed(setup(), mail).await;
    assert_eq!((expert.as_deref(), domain.as_deref()), (Some("clerk"), Some("office")));

    // whoever labels by the built-in names is understood
    let folder = tempfile::tempdir().unwrap();
    let config = written(folder.path(), "experts.yaml", &setup().yaml());
    let rows = [("legal", CONTRACT), ("writing", mail)]
        .map(|(domain, prompt)| value!({"prompt": prompt, "domain": domain}).to_string());
    let rows = written(folder.path(), "rows.jsonl", &rows.join("\n"));
    let report = run(&["eval", "--rules", "--config", &config, "--domains", &rows]);
    assert!(good(&report).contains("contracts"), "{report:?}");
    let checked = run(&["check", "--config", &config]);
    assert!(checked.out.contains("contracts"), "{checked:?}");
}

#[test]
fn names_that_cannot_be_are_told_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = "127.0.0.1:1".parse().unwrap();
    let yaml = Setup::new()
        .expert("lawyer", at, "quality: { legal: 0.9, contrcats: 0.8 }")
        .large(at, "")
        .section("domains:\n  contracts: legal\n  code: sql\n  \"our papers\": leagl\n  papers: [legal, writing]\n  empty: []")
        .yaml();
    let config = written(folder.path(), "experts.yaml", &yaml);
    let ran = run(&["check", "--config", &config]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for part in [
        "`our papers` is no name for a domain",
        "the router model knows no domain `leagl`",
        "did you mean `legal`?",
        "`legal` counts to `contracts` already",
        "`code` is the name of another domain",
        "`empty` names no domain",
    ] {
        assert!(ran.err.contains(part), "{part} should be in\n{}", ran.err);
    }
    let yaml = Setup::new()
        .expert("lawyer", at, "quality: { legal: 0.9 }")
        .large(at, "")
        .section("domains: { contracts: legal }")
        .yaml();
    let ran = run(&["check", "--config", &written(folder.path(), "experts.yaml", &yaml)]);
    assert!(ran.err.contains("knows no domain `legal`"), "{}", ran.err);
    assert!(ran.err.contains("by `domains:` its name is `contracts`"), "{}", ran.err);
}

#[test]
fn a_router_file_is_held_against_the_names_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = "127.0.0.1:1".parse().unwrap();
    let yaml = |domains: &str| {
        let section = format!("router: {{ model: {} }}\ndomains: {domains}", taught(folder.path()));
        Setup::new().expert("a", at, "quality: { cases: 0.9 }").large(at, "").section(&section).yaml()
    };
    let check =
        |domains: &str| run(&["check", "--config", &written(folder.path(), "e.yaml", &yaml(domains))]);
    assert!(good(&check("{ cases: [claims, legal] }")).contains("cases"));
    let ran = check("{ cases: [clams, legal], claims: sql }");
    for part in ["did you mean `claims`", "`claims` is the name of another domain", "e.yaml:"] {
        assert!(ran.code == Some(1) && ran.err.contains(part), "{part} should be in\n{}", ran.err);
    }
}

#[tokio::test]
async fn own_names_follow_a_reload() {
    let model = Model::honest().await;
    let folder = tempfile::tempdir().unwrap();
    let setup = || Setup::new().expert("lawyer", model.addr, "").large(model.addr, "");
    let path = written(folder.path(), "experts.yaml", &setup().yaml());
    let (checked, classifier) = gateway::router_file::load(Path::new(&path)).unwrap();
    let rig = gateway::gateway::Gateway::start(
        checked,
        Some(path.clone().into()),
        classifier,
        gateway::lanes::Lanes::ambient(),
        None,
    );
    let rig = rig.await.unwrap();
    let domain = || async {
        let body = value!({"model": "auto", "messages": [{"role": "user", "content": CONTRACT}]}).to_string();
        let reply = testkit::post_json(rig.data, "/v1/chat/completions", &[], &body).await;
        reply.header("x-mixgate-domain").map(str::to_owned)
    };
    assert_eq!(domain().await.as_deref(), Some("legal"));
    written(folder.path(), "experts.yaml", &setup().section("domains: { contracts: legal }").yaml());
    let reply = testkit::post_json(rig.admin, "/-/reload", &[], "").await;
    assert!(reply.status == 200 || reply.status == 204, "{}", reply.text());
    assert_eq!(domain().await.as_deref(), Some("contracts"));
}

#[test]
fn check_knows_requests_of_a_taught_domain_and_promises_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let model = taught(folder.path());
    let yaml = |more: &str| {
        let section = format!("router: {{ model: {model} }}\n{more}");
        let at = "127.0.0.1:1".parse().unwrap();
        Setup::new()
            .expert("adjuster", at, "quality: { claims: 0.99 }")
            .large(at, "")
            .section(&section)
            .yaml()
    };
    let checked = run(&["check", "--config", &written(folder.path(), "e.yaml", &yaml("")), "--json"]);
    let report = crate::harness::json(good(&checked).as_bytes());
    let text = report.to_string();
    assert!(text.contains("\"domain\":\"claims\""), "{text}");
    assert!(
        !checked.err.contains("never") && !text.contains("no request of the sample was surely"),
        "{text} {}",
        checked.err
    );

    // what it makes of graded prompts has changed, so nothing is promised from what it made of them before
    let panel = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/panel.yaml")).unwrap();
    let panel = format!("{panel}\nrouter: {{ model: {model}, policy: promise-20 }}\n");
    let ran = run(&["check", "--config", &written(folder.path(), "p.yaml", &panel)]);
    assert!(ran.code == Some(1) && ran.err.contains("promise"), "{ran:?}");

    // the same labels teach nothing twice
    let again = folder.path().join("again.safetensors");
    let labels = folder.path().join("own.jsonl");
    let train = ["train", "--domains", labels.to_str().unwrap(), "--add", "--model", &model, "--out"];
    let ran = run(&[&train[..], &[again.to_str().unwrap()]].concat());
    assert!(ran.code == Some(1) && ran.err.contains("was taught by these labels already"), "{ran:?}");
}

#[test]
fn a_promise_does_not_cover_what_counts_together_with_what_was_graded() {
    let folder = tempfile::tempdir().unwrap();
    let panel = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/panel.yaml")).unwrap();
    let check = |domains: &str| {
        run(&[
            "check",
            "--config",
            &written(folder.path(), "p.yaml", &format!("{panel}\ndomains: {domains}\n")),
        ])
    };
    good(&check("{ natural: science }"));
    let ran = check("{ office: [science, chat] }");
    assert!(ran.code == Some(1) && ran.err.contains("a promise is made for each domain"), "{ran:?}");
}

#[test]
fn labels_that_teach_nothing_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("own.safetensors");
    let train = |labels: &str| run(&["train", "--domains", labels, "--add", "--out", out.to_str().unwrap()]);
    let all = fs::read_to_string(labels(folder.path())).unwrap();
    let few = written(folder.path(), "few.jsonl", &all.lines().take(49).collect::<Vec<_>>().join("\n"));
    let ran = train(&few);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("`claims`, which the model does not know, has 49 examples"), "{}", ran.err);
    let ran = run(&["train", "--domains", &few, "--add", "--dev", &few, "--out", "x"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(!out.exists());
}
