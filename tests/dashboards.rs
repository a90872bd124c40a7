//! The dashboards and rules that are delivered: each alert is tested and explained, each panel says what it shows,
//! and what is committed is what the generator makes. Whether a real Prometheus finds anything behind the
//! expressions is asked in `live`.

mod live;
mod types;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Json;
use crate::tools::{must, promtool};

const BOARDS: [&str; 3] = ["overview", "money", "routing"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The file at this place of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Json {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn list<'j>(json: &'j Json, name: &str) -> &'j [Json] {
    json[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word<'j>(json: &'j Json, name: &str) -> &'j str {
    json[name].as_str().unwrap_or_default()
}

/// A rule, recorded or an alert.
struct Rule {
    name: String,
    expr: String,
    written: Json,
}

/// The rules of a file, by the key of their name: `record` or `alert`.
fn rules(file: &str, key: &str) -> Vec<Rule> {
    let groups = yaml(&format!("dashboards/rules/{file}.yaml"));
    let all = list(&groups, "groups").iter().flat_map(|group| list(group, "rules"));
    let rule = |rule: &Json| Rule {
        name: word(rule, key).to_owned(),
        expr: word(rule, "expr").to_owned(),
        written: rule.clone(),
    };
    all.map(rule).collect()
}

fn alerts() -> Vec<Rule> {
    rules("alerts", "alert")
}

fn recorded() -> Vec<Rule> {
    rules("recording", "record")
}

/// A panel that asks something; rows do not.
struct Panel {
    board: &'static str,
    title: String,
    written: Json,
}

impl Panel {
    fn place(&self) -> String {
        format!("{}: {}", self.board, self.title)
    }

    fn exprs(&self) -> impl Iterator<Item = &str> {
        list(&self.written, "targets").iter().map(|target| word(target, "expr"))
    }
}

fn board(name: &str) -> Json {
    serde_json::from_str(&text(&format!("dashboards/{name}.json"))).unwrap()
}

fn panels() -> Vec<Panel> {
    let mut all = Vec::new();
    for name in BOARDS {
        let asking = board(name);
        let asking = list(&asking, "panels").iter().filter(|panel| panel["type"] != "row");
        all.extend(asking.map(|panel| Panel {
            board: name,
            title: word(panel, "title").to_owned(),
            written: panel.clone(),
        }));
    }
    all
}

/// The queries of the lines that mark changes on a board.
fn annotations(name: &str) -> Vec<String> {
    let board = board(name);
    let all = list(&board["annotations"], "list").iter().filter(|a| a["datasource"]["type"] == "prometheus");
    all.map(|annotation| word(annotation, "expr").to_owned()).collect()
}

/// Names of `mixgate:…` in a text.
fn recorded_names(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_');
    let words = text.split(|c: char| !part(c));
    words.filter(|word| word.starts_with("mixgate:")).map(str::to_owned).collect()
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules_and_their_cases_pass() {
    let rules = root().join("dashboards/rules");
    must(promtool().args(["check", "rules", "recording.yaml", "alerts.yaml"]).current_dir(&rules));
    let cases = fs::read_dir(rules.join("tests")).unwrap().map(|file| file.unwrap().path());
    let mut cases: Vec<PathBuf> = cases.collect();
    cases.sort();
    assert!(!cases.is_empty());
    must(promtool().args(["test", "rules"]).args(&cases).current_dir(&rules));
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for file in fs::read_dir(root().join("dashboards/rules/tests")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let cases = yaml(&format!("dashboards/rules/tests/{file}"));
        for case in list(&cases, "tests").iter().flat_map(|test| list(test, "alert_rule_test")) {
            let expected = case["exp_alerts"].as_array().unwrap_or_else(|| panic!("{file}: {case}"));
            let of = if expected.is_empty() { &mut silent } else { &mut fires };
            of.insert(word(case, "alertname").to_owned());
        }
    }
    let names: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!((&fires, &silent), (&names, &names));
}

#[test]
fn every_alert_says_what_it_is_and_has_a_runbook() {
    let runbooks = text("docs/runbooks.md");
    let sections: BTreeSet<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    for alert in &alerts {
        let (name, annotations) = (&alert.name, &alert.written["annotations"]);
        assert!(matches!(word(&alert.written["labels"], "severity"), "page" | "ticket"), "{name}: severity");
        for said in ["summary", "description"] {
            assert!(word(annotations, said).len() > 20, "{name}: {said}");
        }
        // how a heading of one word becomes an anchor
        let anchor = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(word(annotations, "runbook_url"), anchor, "{name}");
        assert!(sections.contains(name.as_str()), "docs/runbooks.md has no section {name}");
        let section = runbooks.split("\n## ").find(|section| section.starts_with(name.as_str())).unwrap();
        let severity = format!("**{}.**", word(&alert.written["labels"], "severity"));
        for part in [severity.as_str(), "\n1. ", "\n2. ", "\n3. ", "**End it.**"] {
            assert!(section.contains(part), "docs/runbooks.md, {name}: no {part:?}");
        }
    }
    assert_eq!(sections.len(), alerts.len(), "sections without an alert: {sections:?}");
}

#[test]
fn what_is_recorded_is_used_and_what_is_used_is_recorded() {
    let names: BTreeSet<String> = recorded().into_iter().map(|rule| rule.name).collect();
    let mut used: BTreeSet<String> = alerts().iter().flat_map(|alert| recorded_names(&alert.expr)).collect();
    used.extend(recorded().iter().flat_map(|rule| recorded_names(&rule.expr)));
    used.extend(panels().iter().flat_map(|panel| panel.exprs().flat_map(recorded_names).collect::<Vec<_>>()));
    assert_eq!(used, names);
    for place in ["docs/runbooks.md", "dashboards/README.md"] {
        let told = recorded_names(&text(place));
        assert!(told.is_subset(&names), "{place}: {:?}", told.difference(&names));
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_source() {
    let names: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    for panel in panels() {
        let (place, written) = (panel.place(), &panel.written);
        let description = word(written, "description");
        assert!(description.len() > 40 && description.ends_with('.'), "{place}: {description:?}");
        let mentioned = description.split(|c: char| !c.is_ascii_alphanumeric());
        for alert in mentioned.filter(|word| word.starts_with("Mixgate")) {
            assert!(names.contains(alert), "{place}: there is no alert {alert}");
        }
        assert!(!word(&written["fieldConfig"]["defaults"], "unit").is_empty(), "{place}: no unit");
        assert_eq!(written["datasource"]["uid"], "${datasource}", "{place}");
        let targets = list(written, "targets");
        assert!(!targets.is_empty(), "{place}");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{place}");
            let expr = word(target, "expr");
            let by_rule = !recorded_names(expr).is_empty();
            let over = expr.contains("rate(") || expr.contains("increase(");
            let window = ["[$__rate_interval]", "[$__range]", "[1h]"].iter().any(|w| expr.contains(w));
            assert!(by_rule || window == over, "{place}: {expr}");
            let needs = description.contains("Needs the recording rules.");
            assert_eq!(needs, by_rule, "{place}: whether it needs the rules is in its description");
        }
    }
}

#[test]
fn the_boards_can_be_imported_as_they_stand() {
    let mut uids = BTreeSet::new();
    for name in BOARDS {
        let board = board(name);
        assert!(
            uids.insert(word(&board, "uid").to_owned()) && word(&board, "uid") == format!("mixgate-{name}")
        );
        assert!(board["schemaVersion"].as_u64() >= Some(41), "{name}");
        assert!(list(&board, "tags").contains(&"mixgate".into()), "{name}");
        assert_eq!(board.get("id"), None, "{name}: an id of one Grafana means another board in the next");
        let variables = list(&board["templating"], "list").iter().map(|variable| word(variable, "name"));
        assert_eq!(variables.collect::<Vec<_>>(), ["datasource", "instance", "expert"], "{name}");
        assert_eq!(annotations(name).len(), 2, "{name}: configurations and starts");
        does_not_overlap(name, list(&board, "panels"));
    }
}

/// No two panels share an id or a place on the grid of 24 columns.
fn does_not_overlap(name: &str, panels: &[Json]) {
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {}", panel["id"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{name}: {}", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{name}: {} lies on another", panel["title"]);
        }
    }
}

#[test]
fn the_committed_boards_are_what_the_generator_makes() {
    must(Command::new("python3").arg("dashboards/make.py").arg("--check").current_dir(root()));
}
