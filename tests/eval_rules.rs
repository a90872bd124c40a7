//! `mixgate eval --rules`: what it says of a rule is what the gateway does with the same prompts.

use std::path::Path;

use serde_json::json as value;

use crate::commands::{good, run, written};
use crate::harness::{Json, Model, Setup, json};

const PENSION: &str = "Should I move my pension fund from bonds into an index fund before the interest rate decision, and how are the capital gains taxed?";
const STORY: &str = "Write a short story about a cat that lives in a garden full of flowers.";
const MASH: &str = "qwzx vbrtk plmqz xkcdw";

const RULES: &str = "
rules:
  - { when: { domain: [finance, legal] }, require: [indemnified] }
  - { when: { tenant: acme }, require: [\"region:eu\"] }
  - { when: { tenant: acme, domain: [medical], at: 0.5 }, forbid: [\"trained_on:web\"] }
tenants:
  - name: acme
    keys: [\"sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"]
    policies: [careful]
policies: { balanced: { tolerance: 0.2 }, careful: { tolerance: 0 } }
router: { deadline: 1s }
";

/// `big`, the fallback, is not indemnified; `safe` is.
fn setup(at: std::net::SocketAddr) -> Setup {
    Setup::new().expert("safe", at, "governance: { indemnified: true }").large(at, "")
}

/// A labelled prompt; where turns stand before it, with its conversation.
fn row(domain: &str, also: &[&str], prompt: &str, before: Option<&str>) -> Json {
    let mut row = value!({"prompt": prompt, "domain": domain, "also": also});
    if let Some(before) = before {
        row["messages"] = value!([
            {"role": "user", "content": before},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": prompt}
        ]);
    }
    row
}

fn rows() -> Vec<Json> {
    vec![
        row("finance", &[], PENSION, None),
        row("finance", &[], STORY, None),
        row("finance", &["writing"], STORY, None),
        row("finance", &[], STORY, Some(PENSION)),
        row("writing", &[], STORY, None),
        row("writing", &[], PENSION, None),
        row("writing", &["finance"], PENSION, None),
        row("none", &[], MASH, None),
        row("support", &[], STORY, None),
    ]
}

fn files(folder: &Path, rules: &str) -> [String; 2] {
    let yaml = setup("127.0.0.1:1".parse().unwrap()).section(rules).yaml();
    let lines: Vec<String> = rows().iter().map(Json::to_string).collect();
    [written(folder, "experts.yaml", &yaml), written(folder, "labelled.jsonl", &lines.join("\n"))]
}

#[test]
fn escapes_and_false_alarms_of_each_rule_are_counted_beside_second_labels() {
    let folder = tempfile::tempdir().unwrap();
    let [config, prompts] = files(folder.path(), RULES);
    let arguments = ["eval", "--rules", "--config", &config, "--domains", &prompts];
    let ran = run(&[&arguments[..], &["--json"]].concat());
    let report = json(good(&ran).as_bytes());
    assert_eq!((&report["n"], &report["unknown"]), (&8.into(), &1.into()), "{report}");
    let [finance, region, medical] = [0, 1, 2].map(|rule| &report["rules"][rule]);

    let line =
        std::fs::read_to_string(&config).unwrap().lines().position(|line| line.contains("[finance, legal]"));
    assert_eq!(finance["rule"], format!("rules[0], experts.yaml:{}", line.unwrap() + 1));
    let counts = |errors: &Json| ["n", "errors", "lenient_errors"].map(|key| errors[key].as_u64().unwrap());
    assert_eq!(counts(&finance["missed"]), [4, 2, 1], "{finance}");
    assert_eq!(counts(&finance["false_alarms"]), [4, 3, 2], "{finance}");
    assert_eq!(finance["missed"]["share"], 0.5);
    assert!((finance["missed"]["interval"][0].as_f64().unwrap() - 0.1500).abs() < 1e-3, "{finance}");
    assert_eq!(counts(&finance["false_alarms_by_domain"]["none"]), [1, 1, 1]);
    assert_eq!(finance["false_alarms"]["domain_unknown"], value!({"out_of_distribution": 1}), "{finance}");

    assert!(region["domains"] == value!([]) && region["missed"].is_null(), "{region}");
    assert_eq!((&medical["tenant"], counts(&medical["missed"])), (&"acme".into(), [0, 0, 0]));
    assert!(medical["missed"]["share"].is_null() && counts(&medical["false_alarms"])[0] == 8, "{medical}");

    let told = run(&arguments);
    for part in [
        "rules[0], experts.yaml:",
        "finance, legal from 0.2 on; requires indemnified",
        "missed",
        "50.0 %",
        "15.0 to 85.0",
        "false alarms",
        "names no domain: it asks no model",
        "left out: 1 prompts",
        "medical from 0.5 on; tenant acme; forbids trained_on:web",
    ] {
        assert!(good(&told).contains(part), "{part} should be in\n{}", told.out);
    }
    assert!(told.out.lines().all(|line| line.chars().count() <= 100), "{}", told.out);
}

#[tokio::test]
async fn the_gateway_applies_a_rule_to_as_many_prompts_as_eval_says() {
    let folder = tempfile::tempdir().unwrap();
    let rules =
        "router: { deadline: 1s }\nrules: [{ when: { domain: [finance, legal] }, require: [indemnified] }]";
    let [config, prompts] = files(folder.path(), rules);
    let report = run(&["eval", "--rules", "--config", &config, "--domains", &prompts, "--json"]);
    let report = &json(good(&report).as_bytes())["rules"][0];
    let count = |side: &str, key: &str| report[side][key].as_u64().unwrap();
    let applied = count("missed", "n") - count("missed", "errors") + count("false_alarms", "errors");

    let model = Model::honest().await;
    let rig = setup(model.addr).section(rules).start_real().await;
    let mut safe = 0;
    for row in rows().iter().filter(|row| row["domain"] != "support") {
        let alone = value!([{"role": "user", "content": row["prompt"]}]);
        let messages = row.get("messages").unwrap_or(&alone);
        let reply = rig.chat(&value!({"model": "auto", "messages": messages}).to_string()).await;
        safe += u64::from(reply.header("x-mixgate-expert") == Some("safe"));
    }
    assert_eq!(safe, applied, "{report}");
}

#[test]
fn what_cannot_be_judged_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [config, prompts] = files(folder.path(), RULES);
    for wrong in [
        &["eval", "--rules", "--domains", &prompts][..],
        &["eval", "--rules", "--config", &config],
        &["eval", "--config", &config, "--domains", &prompts],
        &["eval", "--rules", "--config", &config, "--domains", &prompts, "--model", "x.safetensors"],
    ] {
        assert_eq!(run(wrong).code, Some(2), "{wrong:?}");
    }
    let strange = written(folder.path(), "strange.jsonl", r#"{"prompt":"hello","domain":"support"}"#);
    let ran = run(&["eval", "--rules", "--config", &config, "--domains", &strange]);
    assert!(ran.code == Some(1) && ran.err.contains("strange.jsonl: no label is a domain"), "{ran:?}");
    let [config, prompts] = files(folder.path(), "");
    let ran = run(&["eval", "--rules", "--config", &config, "--domains", &prompts]);
    assert!(good(&ran).contains("the configuration has no rules"), "{ran:?}");
}
