//! The commands of the router model on graded answers: judged, learned from, promised with.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use router_model::RouterModel;

use crate::harness::{Json, Model, Setup, chat, json};

fn mixgate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mixgate")).args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn err(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A line of graded answers: small models write poems and fail at sums, large ones do both.
pub(crate) fn graded_line(n: usize, small: &[&str], large: &[&str]) -> String {
    let (prompt, domain, able) = match n % 2 {
        0 => (format!("add {n} and {} and then multiply by {}", n * 3, n + 7), "math", 0),
        _ => (format!("write a poem of {n} cats in a garden"), "writing", 1),
    };
    let small = small.iter().map(|name| format!("\"{name}\":{able}"));
    let models: Vec<String> = small.chain(large.iter().map(|name| format!("\"{name}\":1"))).collect();
    let models = models.join(",");
    format!("{{\"prompt\":\"{prompt}\",\"domain\":\"{domain}\",\"models\":{{{models}}}}}\n")
}

fn graded(folder: &Path, rows: usize) {
    let lines: String = (0..rows).map(|n| graded_line(n, &["small-7b"], &["large"])).collect();
    fs::write(folder.join("graded.jsonl"), lines).unwrap();
}

/// A line of the decision log with its text, as far as it is learned from, and the grade of it.
pub(crate) fn logged(n: usize) -> (String, String) {
    let text =
        if n.is_multiple_of(2) { format!("add {n} and {}", n * 3) } else { format!("a poem of {n} cats") };
    let record = format!(
        "{{\"id\":\"d{n}\",\"text\":\"{text}\",\"domain\":\"chat\",\"chosen\":\"poet\",\"attempts\":[{{\"expert\":\"poet\",\"outcome\":\"ok\"}}]}}\n"
    );
    (record, format!("{{\"decision\":\"d{n}\",\"score\":{}}}\n", n % 2))
}

/// A configuration whose policy promises, with the router model of `model`.
fn promising(folder: &Path, model: &str, at_most: &str) {
    let yaml = Setup::new()
        .expert("cheap", "127.0.0.1:1".parse().unwrap(), "catalogue: small-7b")
        .large("127.0.0.1:2".parse().unwrap(), "catalogue: large")
        .section(&format!("router: {{ model: {model} }}"))
        .section(&format!("policies: {{ balanced: {{ max_under_route: {at_most} }} }}"))
        .yaml();
    fs::write(folder.join("experts.yaml"), yaml).unwrap();
}

#[test]
fn calibrate_learns_an_expert_and_what_may_be_promised() {
    let folder = tempfile::tempdir().unwrap();
    graded(folder.path(), 1000);
    let calibrate =
        ["calibrate", "--outcomes", "graded.jsonl", "--expert", "small-7b", "--fallback", "large"];
    let said = out(&mixgate(folder.path(), &[&calibrate[..], &["--out", "mine.safetensors"]].concat()));
    assert!(said.starts_with("small-7b beside large: "), "the verdict comes first: {said}");
    for part in [
        "as good in writing (+0.00 ± 0.00, 500 prompts); worse in math (-1.00 ± 0.00, 500 prompts)",
        "at a promise of 5 % (`max_under_route: 0.05`) ",
        "quality: { math: 0.",
        "in need",
        "mine.safetensors",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("max_under_route: 0.01   at most 1.0 % cannot be promised"), "{said}");

    promising(folder.path(), "mine.safetensors", "0.05");
    let said = out(&mixgate(folder.path(), &["check"]));
    for part in [
        "threshold 0.",
        "graded prompts of calibration, of which ",
        "holds over all and in each of math by itself, all at once, with 90 % confidence",
        "the fallback alone 1.000",
        "of 500 that need the fallback",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let share =
        said.split("on 1000 graded prompts of calibration: ").nth(1).and_then(|rest| rest.split(' ').next());
    let share: f64 = share.unwrap().parse().unwrap();
    assert!((45.0..55.0).contains(&share), "the poems: {said}");
    let route = |prompt: &str| -> Json {
        json(out(&mixgate(folder.path(), &["route", "--json", prompt])).as_bytes())
    };
    let poem = route("write a poem of 5 cats in a garden");
    assert_eq!((poem["chosen"].as_str(), poem["reason"].as_str()), (Some("cheap"), Some("routed")));
    assert_eq!(route("add 12 and 36 and then multiply by 19")["chosen"], "large");
    let strange = route("Is aspirin safe for a child of four with fever?");
    assert_eq!((&strange["chosen"], &strange["reason"]), (&"large".into(), &"out_of_distribution".into()));
    assert!(poem["known_models"]["small-7b"].as_f64().unwrap() > 0.7, "{poem}");
    assert!(
        poem["large_score"].as_f64() < route("add 12 and 36 and then multiply by 19")["large_score"].as_f64()
    );
}

#[test]
fn a_promise_that_cannot_be_kept_is_refused_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    promising(folder.path(), "builtin", "0.05");
    let (code, said) = err(&mixgate(folder.path(), &["check"]));
    assert!(code == Some(1) && said.contains("has no `small-7b`"), "{said}");
    let reference = include_str!("../experts.yaml")
        .replace("balanced: { tolerance: 0.20 }", "balanced: { max_under_route: 0.05 }");
    fs::write(folder.path().join("experts.yaml"), reference).unwrap();
    let (code, said) = err(&mixgate(folder.path(), &["check"]));
    assert!(code == Some(1) && said.contains("needs graded answers of the fallback `gpt-4o`"), "{said}");
    let apart = Setup::new()
        .expert("cheap", "127.0.0.1:1".parse().unwrap(), "catalogue: wizardlm-13b-v1.2")
        .large("127.0.0.1:2".parse().unwrap(), "catalogue: gemini-3.1-pro")
        .section("policies: { balanced: { max_under_route: 0.05 } }")
        .yaml();
    fs::write(folder.path().join("experts.yaml"), apart).unwrap();
    let (code, said) = err(&mixgate(folder.path(), &["check"]));
    assert!(code == Some(1) && said.contains("that wizardlm-13b-v1.2, gemini-3.1-pro all gave"), "{said}");

    graded(folder.path(), 600);
    let calibrate =
        ["calibrate", "--outcomes", "graded.jsonl", "--expert", "small-7b", "--fallback", "large"];
    out(&mixgate(folder.path(), &[&calibrate[..], &["--out", "mine.safetensors"]].concat()));
    promising(folder.path(), "mine.safetensors", "0.001");
    for command in ["check", "serve"] {
        let (code, said) = err(&mixgate(folder.path(), &[command]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the policy `balanced`: at most 0.1 % cannot be promised from 2"), "{said}");
        assert!(said.contains("more graded prompts"), "{said}");
    }

    // without a fallback the heads learn from all, and from what they learned from nothing can be promised
    let all = ["calibrate", "--outcomes", "graded.jsonl", "--expert", "small-7b", "--expert", "large"];
    out(&mixgate(folder.path(), &[&all[..], &["--out", "mine.safetensors"]].concat()));
    promising(folder.path(), "mine.safetensors", "0.2");
    let (code, said) = err(&mixgate(folder.path(), &["check"]));
    assert!(code == Some(1) && said.contains("learned from all its graded answers of calibration"), "{said}");
}

/// An expert of small prices and abilities is shut out by what a request asks for: under a promise nobody but the
/// fallback stands in for it.
#[test]
fn where_the_expert_of_a_promise_is_shut_out_the_fallback_answers() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..800).map(|n| graded_line(n, &["small-7b", "small-9b"], &["large"])).collect();
    fs::write(folder.path().join("graded.jsonl"), lines).unwrap();
    let calibrate =
        ["calibrate", "--outcomes", "graded.jsonl", "--expert", "small-7b", "--expert", "small-9b"];
    out(&mixgate(
        folder.path(),
        &[&calibrate[..], &["--fallback", "large", "--out", "mine.safetensors"]].concat(),
    ));
    let yaml = Setup::new()
        .expert("cheap", "127.0.0.1:1".parse().unwrap(), "catalogue: small-7b")
        .expert(
            "able",
            "127.0.0.1:1".parse().unwrap(),
            "catalogue: small-9b, capabilities: [tools], price: { input_per_1m: 1, output_per_1m: 1 }",
        )
        .large("127.0.0.1:2".parse().unwrap(), "catalogue: large")
        .section("router: { model: mine.safetensors }")
        .section("policies: { balanced: { max_under_route: 0.1 } }")
        .yaml();
    fs::write(folder.path().join("experts.yaml"), yaml).unwrap();
    let poem = "\"messages\":[{\"role\":\"user\",\"content\":\"write a poem of 5 cats in a garden\"}]";
    let tool = "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}";
    let batch = format!("{{\"id\":\"plain\",{poem}}}\n{{\"id\":\"tools\",{poem},\"tools\":[{tool}]}}\n");
    fs::write(folder.path().join("batch.jsonl"), batch).unwrap();
    let said = out(&mixgate(folder.path(), &["route", "--batch", "batch.jsonl"]));
    let records: Vec<Json> = said.lines().map(|line| json(line.as_bytes())).collect();
    let [plain, tools] = [0, 1].map(|at| (&records[at]["chosen"], &records[at]["reason"]));
    assert_eq!(plain, (&"cheap".into(), &"routed".into()), "{said}");
    assert_eq!(tools, (&"large".into(), &"ineligible".into()), "{said}");
}

#[test]
fn models_of_the_catalogue_can_be_promised_from_as_they_are_shipped() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = Setup::new()
        .expert("small", "127.0.0.1:1".parse().unwrap(), "catalogue: meta-llama-3.1-8b-instruct")
        .expert("middle", "127.0.0.1:1".parse().unwrap(), "catalogue: meta-llama-3.1-70b-instruct")
        .large("127.0.0.1:2".parse().unwrap(), "catalogue: gpt-4o-2024-05-13")
        .section("policies: { balanced: { max_under_route: 0.10 }, frugal: { tolerance: 0.10 } }")
        .yaml();
    fs::write(folder.path().join("experts.yaml"), yaml).unwrap();
    let said = out(&mixgate(folder.path(), &["check"]));
    for part in ["graded prompts of mmlu-pro, of which", "holds over all", "% to small, middle; right 0."] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("that need the fallback").count(), 2, "{said}");
    let chat =
        json(out(&mixgate(folder.path(), &["route", "--json", "hello, how are you today?"])).as_bytes());
    assert_eq!(chat["chosen"], "large", "nothing was promised for small talk: {chat}");
    assert!(chat["expected_output_tokens"].as_u64().unwrap() > 10, "{chat}");
}

#[test]
fn every_policy_of_the_documented_panel_is_measured() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let said = out(&mixgate(&docs, &["check", "--config", "panel.yaml"]));
    assert_eq!(said.matches("on 1999 graded prompts of mmlu-pro: ").count(), 6, "{said}");
    assert_eq!(said.matches("the fallback alone 0.724").count(), 6, "{said}");
    let readme = include_str!("../README.md");
    for line in said.lines().filter(|line| line.contains("graded prompts of mmlu-pro: ")) {
        let share = line.split(": ").nth(1).and_then(|rest| rest.split(" to ").next()).unwrap();
        assert!(readme.contains(&format!("| {share} |")), "the README's table lacks {share}: {line}");
    }
}

/// Requests as people write them, graded as if the small model could do half of the fields.
fn graded_requests(folder: &Path) -> Vec<String> {
    let rows: Vec<Json> = include_str!("../gateway/src/cli/demo/prompts.jsonl")
        .lines()
        .map(|line| json(line.as_bytes()))
        .collect();
    let able = ["chat", "code", "sql", "writing", "text_ops", "general", "humanities"];
    let line = |row: &Json| {
        let small = u8::from(able.contains(&row["domain"].as_str().unwrap()));
        format!(
            "{{\"prompt\":{},\"domain\":{},\"models\":{{\"small-7b\":{small},\"large\":1}}}}\n",
            row["prompt"], row["domain"]
        )
    };
    fs::write(folder.join("graded.jsonl"), rows.iter().map(line).collect::<String>()).unwrap();
    rows.iter().map(|row| row["prompt"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_share_that_check_prints_is_the_share_that_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = graded_requests(folder.path());
    let calibrate = ["calibrate", "--outcomes", "graded.jsonl", "--expert", "small-7b", "--expert", "large"];
    out(&mixgate(folder.path(), &[&calibrate[..], &["--out", "mine.safetensors"]].concat()));
    let (small, large) = (Model::honest().await, Model::honest().await);
    let figures =
        "catalogue: small-7b, quality: { code: 0.9, sql: 0.9, math: 0.4, legal: 0.95, writing: 0.85 }";
    let setup = Setup::new()
        .expert("cheap", small.addr, figures)
        .large(large.addr, "catalogue: large, governance: { indemnified: true }")
        .section("router: { model: mine.safetensors, deadline: 100ms }")
        .section("policies: { balanced: { tolerance: 0.2 } }")
        .section("rules: [{ when: { domain: [legal] }, require: [indemnified] }]");
    fs::write(folder.path().join("experts.yaml"), setup.yaml()).unwrap();
    let said = json(out(&mixgate(folder.path(), &["check", "--json"])).as_bytes());
    let measured = &said["policies"][0]["measured"];
    assert_eq!(measured["prompts"], prompts.len(), "{said}");
    let model = fs::read(folder.path().join("mine.safetensors")).unwrap();
    let rig = setup.start_with(Arc::new(RouterModel::from_bytes(&model).unwrap())).await;
    for prompt in &prompts {
        let reply = rig.chat(&chat("auto", prompt)).await;
        assert_eq!(reply.status, 200, "{prompt}: {}", reply.text());
    }
    let share = small.requests() as f64 / prompts.len() as f64;
    let told = measured["served"].as_f64().unwrap();
    assert!(0.1 < share && share < 0.9, "a share that says something: {share}");
    assert!((share - told).abs() <= 0.02, "served {share}, told {told}");
}

#[test]
fn check_says_where_each_expert_wins_and_why_one_never_does() {
    let folder = tempfile::tempdir().unwrap();
    let at = || "127.0.0.1:1".parse().unwrap();
    let priced = |quality: &str, price: f64| {
        format!("quality: {{ {quality} }}, price: {{ input_per_1m: {price}, output_per_1m: {price} }}")
    };
    let yaml = Setup::new()
        .expert("coder", at(), &priced("code: 0.93, sql: 0.93", 0.2))
        .expert("second", at(), &priced("code: 0.94", 0.3))
        .expert("weak", at(), &priced("legal: 0.60", 0.1))
        .expert("dear", at(), &priced("medical: 1.0", 90.0))
        .large(at(), "")
        .section("policies: { balanced: { tolerance: 0.1 }, careful: { tolerance: 0.0 } }")
        .section("rules: [{ when: { domain: [math] }, require: [indemnified] }]")
        .yaml();
    fs::write(folder.path().join("experts.yaml"), yaml).unwrap();
    let ran = mixgate(folder.path(), &["check"]);
    let warned = err(&ran).1;
    let said = out(&ran);
    for part in
        ["requests as people write them", "where each expert wins under balanced", "code ", "% from 0."]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let why = |expert: &str| {
        let line = warned.lines().find(|line| line.contains(&format!("the expert `{expert}`")));
        line.unwrap_or_else(|| panic!("nothing about {expert}: {warned}")).to_owned()
    };
    assert!(why("second").contains("`coder` is cheaper"), "{warned}");
    assert!(why("weak").contains("in its best domain, legal, it is expected 0.400 below"), "{warned}");
    assert!(why("dear").contains("not cheaper than the fallback"), "{warned}");
    assert!(!warned.contains("the expert `coder`"), "{warned}");
    assert!(warned.contains("rules[0] shuts the fallback `large` out"), "{warned}");
    let found = json(out(&mixgate(folder.path(), &["check", "--json"])).as_bytes());
    let reach = &found["policies"][0]["reach"];
    let code = &reach["experts"][0]["domains"][0];
    assert_eq!((&code["domain"], &reach["requests"]), (&"code".into(), &1500.into()), "{found}");
    assert!(code["share"].as_f64().unwrap() > 0.5 && code["from"].as_f64().unwrap() < 0.6, "{code}");
}

#[test]
fn check_counts_what_nobody_may_answer() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = |when: &str| {
        Setup::new()
            .expert("coder", "127.0.0.1:1".parse().unwrap(), "quality: { code: 0.97, sql: 0.97 }")
            .large("127.0.0.1:2".parse().unwrap(), "")
            .section(&format!("rules: [{{ {when} require: [held-by-nobody] }}]"))
            .yaml()
    };
    let found = |when: &str| {
        fs::write(folder.path().join("experts.yaml"), yaml(when)).unwrap();
        let said = json(out(&mixgate(folder.path(), &["check", "--json"])).as_bytes());
        let reach = said["policies"][0]["reach"].clone();
        ["to_experts", "to_fallback", "unsure", "strange", "refused"]
            .map(|share| reach[share].as_f64().unwrap())
    };
    assert_eq!(found(""), [0.0, 0.0, 0.0, 0.0, 1.0]);
    let some = found("when: { domain: [legal] },");
    assert!((some.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{some:?}");
    assert!(some[4] > 0.05 && some[0] > 0.05 && some[1] > 0.3, "{some:?}");
}

#[test]
fn calibrate_refuses_what_does_not_help() {
    let folder = tempfile::tempdir().unwrap();
    graded(folder.path(), 80);
    let (code, said) =
        err(&mixgate(folder.path(), &["calibrate", "--outcomes", "graded.jsonl", "--expert", "small-7b"]));
    assert!(code == Some(1) && said.contains("small-7b: 80 graded answers, where 100 are needed"), "{said}");
    let (code, said) =
        err(&mixgate(folder.path(), &["calibrate", "--outcomes", "graded.jsonl", "--expert", "x"]));
    assert!(code == Some(1) && said.contains("x: 0 graded answers"), "{said}");
}

#[test]
fn train_learns_from_the_log_and_what_was_said_of_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (records, grades): (Vec<String>, Vec<String>) = (0..300).map(logged).unzip();
    fs::write(folder.path().join("log.jsonl"), records.concat()).unwrap();
    fs::write(folder.path().join("grades.jsonl"), grades[..260].concat()).unwrap();
    let train = ["train", "--from-log", "log.jsonl", "--out", "mine.safetensors"];
    let (code, said) = err(&mixgate(folder.path(), &train));
    assert!(code == Some(1) && said.contains("Of 300 records 300 have no grade"), "{said}");
    let said = out(&mixgate(folder.path(), &[&train[..], &["--grades", "grades.jsonl"]].concat()));
    assert!(said.contains("poet") && said.contains(" 260 "), "{said}");
    let known = out(&mixgate(folder.path(), &["catalogue", "--model", "mine.safetensors", "poet"]));
    assert!(known.contains("chat") && known.contains("260"), "{known}");

    // feedback stands in the log itself
    let with_feedback: String = records.iter().zip(&grades).map(|(r, g)| format!("{r}{g}")).collect();
    fs::write(folder.path().join("log.jsonl"), with_feedback).unwrap();
    let said = out(&mixgate(folder.path(), &train));
    assert!(said.contains("poet") && said.contains(" 300 "), "{said}");

    fs::write(folder.path().join("grades.jsonl"), "{\"decision\":\"d1\",\"score\":7}\n").unwrap();
    let (code, said) = err(&mixgate(folder.path(), &[&train[..], &["--grades", "grades.jsonl"]].concat()));
    assert!(code == Some(1) && said.contains("grades.jsonl:1: score 7 is not one of 0 to 1"), "{said}");
}

#[test]
fn eval_judges_graded_answers_beside_the_controls() {
    let folder = tempfile::tempdir().unwrap();
    graded(folder.path(), 400);
    let pair = ["eval", "--outcomes", "graded.jsonl", "--strong", "large", "--weak", "small-7b"];
    let said = out(&mixgate(folder.path(), &[&pair[..], &["--folds", "5"]].concat()));
    for part in [
        "large answers better than small-7b (1.000 and 0.500), and the router knows something of where",
        "APGR       0.7",
        "always large 1.000, always cheap 0.500",
        "shuffled",
        "length alone",
        "promised at most",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let blind = out(&mixgate(folder.path(), &[&pair[..], &["--json"]].concat()));
    let blind = json(blind.as_bytes());
    assert_eq!(blind["learned"], "as shipped");
    assert_eq!((&blind["pair"]["n"], &blind["calibration"]), (&400.into(), &Json::Null), "{blind}");
    let panel = ["eval", "--outcomes", "graded.jsonl", "--experts", "small-7b,large", "--prices", "1,10"];
    let said = out(&mixgate(folder.path(), &[&panel[..], &["--folds", "5"]].concat()));
    assert!(said.contains("as a share of the hull's: 0.5"), "{said}");
    let (code, said) = err(&mixgate(folder.path(), &panel));
    assert!(code == Some(1) && said.contains("learn from the file with --folds"), "{said}");
    let (code, said) =
        err(&mixgate(folder.path(), &["eval", "--outcomes", "graded.jsonl", "--experts", "small,large"]));
    assert!(
        code == Some(1) && said.contains("no row has a score of small; it has large, small-7b"),
        "{said}"
    );
}

#[test]
fn the_catalogue_lists_models_and_the_domains_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let all = out(&mixgate(folder.path(), &["catalogue"]));
    assert!(all.contains("mixtral-8x7b-instruct-v0.1") && all.contains("llama-2-7b-hf"), "{all}");
    let one = out(&mixgate(folder.path(), &["catalogue", "gemini-3.1"]));
    assert!(one.contains("gemini-3.1-pro\n") && one.contains("science"), "{one}");
    let (code, said) = err(&mixgate(folder.path(), &["catalogue", "mixtrel"]));
    assert!(code == Some(1) && said.contains("knows no model `mixtrel`"), "{said}");
}

#[test]
fn eval_draws_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    graded(folder.path(), 200);
    let eval =
        ["eval", "--outcomes", "graded.jsonl", "--strong", "large", "--weak", "small-7b", "--folds", "5"];
    let panel = ["--experts", "small-7b,large", "--prices", "1,10", "--pictures", "drawn"];
    out(&mixgate(folder.path(), &[&eval[..], &panel].concat()));
    for (name, holds) in
        [("pair.svg", "random mixing"), ("experts.svg", "convex hull"), ("calibration.svg", "chance said")]
    {
        let svg = fs::read_to_string(folder.path().join("drawn").join(name)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains(holds) && svg.contains("small-7b"), "{svg}");
    }
}

#[test]
fn compare_answers_with_a_document_a_picture_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let line = |n: usize| {
        let (prompt, domain, rhymer, adder) = match n % 2 {
            0 => (format!("add {n} and {} and then multiply by {}", n * 3, n + 7), "math", 0, 1),
            _ => (format!("write a poem of {n} cats in a garden"), "writing", 1, 0),
        };
        let large = u8::from(!n.is_multiple_of(5));
        format!(
            "{{\"prompt\":\"{prompt}\",\"domain\":\"{domain}\",\"models\":{{\"rhymer-7b\":{rhymer},\"adder-7b\":{adder},\"large\":{large}}}}}\n"
        )
    };
    fs::write(folder.path().join("graded.jsonl"), (0..400).map(line).collect::<String>()).unwrap();
    let compare = ["compare", "--panel", "graded.jsonl=rhymer-7b,adder-7b,gone-7b:large"];
    let (code, said) = err(&mixgate(folder.path(), &compare));
    assert!(code == Some(1) && said.contains("no cost, price or size of large; give --price"), "{said}");

    let prices = ["--price", "rhymer-7b=1", "--price", "adder-7b=1", "--price", "large=10"];
    let to = ["--json", "--out", "answer.md"];
    let found = out(&mixgate(folder.path(), &[&compare[..], &prices, &to].concat()));
    let found = json(found.as_bytes());
    let set = &found["sets"][0];
    assert_eq!((&set["absent"][0], set["domains"].as_array().unwrap().len()), (&"gone-7b".into(), 2));
    assert!(set["whole"]["routed"]["verdict"]["wins"][0].as_f64().unwrap() > 0.1, "{set}");
    assert!(set["whole"]["best"]["verdict"]["loses"][0].as_f64().unwrap() > 0.1, "{set}");
    let document = fs::read_to_string(folder.path().join("answer.md")).unwrap();
    for part in [
        "![",
        "(answer.svg)",
        "small wins by",
        "Not in this set, so left out: gone-7b",
        "control: shuffled",
        "--panel graded.jsonl=rhymer-7b,adder-7b,gone-7b:large",
        "| math |",
    ] {
        assert!(document.contains(part), "{part}: {document}");
    }
    assert!(!document.contains('{'), "{document}");
    let svg = fs::read_to_string(folder.path().join("answer.svg")).unwrap();
    assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
}
