//! The pages of `docs/reference` are held against the code: what can be written from it is, and what people wrote is
//! asked of a running gateway.
//!
//! After a change, `UPDATE_EXPECT=1 cargo test --test e2e reference` writes the generated parts anew; read the
//! difference before you commit it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, CommandFactory as _};
use gateway::cli::Cli;
use gateway::error::Failure;
use gateway::record::Reason;
use testkit::{Client, Upstream, json as answers};

use crate::harness::{Json, Setup, chat, json};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(page(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Holds what stands between the markers of a page against this text, or writes it there.
fn holds(name: &str, part: &str, generated: &str) {
    let text = read(name);
    let (begin, end) = (format!("<!-- {part}: written by a test -->\n"), format!("\n<!-- end of {part} -->"));
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{name} has no marker {begin}"));
    let (now, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("{name} has no marker {end}"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(page(name), format!("{head}{begin}{generated}{end}{tail}")).unwrap();
    } else {
        assert_eq!(now, generated, "{name} is not what the code says: see tests/reference.rs");
    }
}

/// The first cells of a page's tables, without their backquotes.
fn first_cells(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// One line, safe in a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[test]
fn commands_are_those_of_the_command_line() {
    let mut out = String::new();
    let mut cli = Cli::command();
    cli.build();
    for command in cli.get_subcommands_mut().filter(|c| c.get_name() != "help") {
        let usage = command.render_usage().to_string();
        let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
        let _ = write!(out, "## `mixgate {}`\n\n{}\n\n", command.get_name(), about.unwrap_or_default());
        let _ = write!(out, "```text\n{}\n```\n\n", usage.trim_start_matches("Usage: "));
        let known = ["help", "version"];
        let arguments: Vec<&Arg> = command
            .get_arguments()
            .filter(|a| !known.contains(&a.get_id().as_str()) && !a.is_hide_set())
            .collect();
        if !arguments.is_empty() {
            out.push_str("| argument | default | |\n|---|---|---|\n");
        }
        for argument in arguments {
            let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
            let default: Vec<_> = argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
            let takes = argument.get_action().takes_values() && !default.is_empty();
            let default = if takes { format!("`{}`", default.join(",")) } else { String::new() };
            let written = argument.to_string().replace('|', "\\|");
            let _ = writeln!(out, "| `{written}` | {default} | {} |", cell(&help.unwrap_or_default()));
        }
        out.push('\n');
    }
    holds("commands.md", "commands", out.trim_end().replace("\n\n\n", "\n\n").as_str());
}

#[test]
fn metrics_are_those_that_are_declared() {
    let mut out = "| metric | kind | labels | |\n|---|---|---|---|".to_owned();
    for family in gateway::meter::declared() {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = write!(
            out,
            "\n| `{}` | {} | {} | {} |",
            family.name,
            family.kind,
            labels.join(" "),
            cell(&family.help)
        );
    }
    holds("metrics.md", "metrics", &out);
}

/// The keys of one mapping of the schema, as rows.
fn keys(out: &mut String, schema: &Json, root: &Json) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return };
    out.push_str("| key | takes | default | |\n|---|---|---|---|\n");
    for (name, key) in properties {
        let default = match &key["default"] {
            _ if required.contains(&&**name) => "required".to_owned(),
            Json::Null | Json::Object(_) => String::new(),
            Json::Array(list) if list.is_empty() => "none".to_owned(),
            default => format!("`{}`", default.to_string().trim_matches('"')),
        };
        let says = cell(key["description"].as_str().unwrap_or_default());
        let _ = writeln!(out, "| `{name}` | {} | {default} | {says} |", takes(key, root));
    }
    out.push('\n');
}

/// What a key takes, in words.
fn takes(key: &Json, root: &Json) -> String {
    let named = |reference: &str| {
        let name = reference.trim_start_matches("#/$defs/");
        let target = &root["$defs"][name];
        if target["properties"].is_object() {
            return format!("[{}](#{})", name.to_lowercase(), name.to_lowercase());
        }
        let of = |one: &Json| one["const"].as_str().map(|value| format!("`{value}`"));
        let choices: Vec<String> = ["oneOf", "anyOf"]
            .iter()
            .flat_map(|k| target[*k].as_array().into_iter().flatten())
            .filter_map(of)
            .collect();
        let either = target["anyOf"].as_array().into_iter().flatten().filter(|one| one["$ref"].is_string());
        let either: Vec<String> = either.map(|one| takes(one, root)).collect();
        match (choices.is_empty(), either.is_empty()) {
            (false, _) => choices.join(" "),
            (true, false) => either.join(" or "),
            (true, true) => name.to_lowercase(),
        }
    };
    if let Some(reference) = key["$ref"].as_str() {
        return named(reference);
    }
    if let Some(one) = key["anyOf"].as_array().and_then(|any| any.iter().find(|o| o["type"] != "null")) {
        return takes(one, root);
    }
    if key["items"].is_object() {
        return format!("list of {}", takes(&key["items"], root));
    }
    if key["additionalProperties"].is_object() {
        return format!("names → {}", takes(&key["additionalProperties"], root));
    }
    let kind = match &key["type"] {
        Json::Array(kinds) => {
            kinds.iter().filter_map(Json::as_str).find(|k| *k != "null").unwrap_or_default()
        }
        kind => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "`true` `false`".to_owned(),
        other => other.to_owned(),
    }
}

#[test]
fn configuration_keys_are_those_of_the_schema() {
    let schema = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../experts.schema.json")).unwrap();
    let schema = json(&schema);
    let mut out = "## The file\n\n".to_owned();
    keys(&mut out, &schema, &schema);
    for (name, of) in schema["$defs"].as_object().unwrap() {
        if of["properties"].is_object() {
            let says = cell(of["description"].as_str().unwrap_or_default());
            let _ = write!(out, "## {name}\n\n{says}\n\n");
            keys(&mut out, of, &schema);
        }
    }
    holds("configuration.md", "configuration", out.trim_end());
}

/// One of each: a variant that is missing here does not compile in `told`.
fn failures() -> Vec<Failure> {
    let text = || "…".to_owned();
    vec![
        Failure::BadRequest("two host headers"),
        Failure::InvalidJson(text()),
        Failure::MissingParameter("messages"),
        Failure::InvalidValue("x-mixgate-policy", text()),
        Failure::ContextLengthExceeded { tokens: 40_000, window: 32_768 },
        Failure::NoEligibleExpert(text()),
        Failure::NoApiKey,
        Failure::WrongApiKey,
        Failure::ModelNotAllowed("…".to_owned()),
        Failure::ForeignPage,
        Failure::ForeignHost,
        Failure::ModelNotFound { model: text(), near: text() },
        Failure::UnknownUrl(text()),
        Failure::MethodNotAllowed("POST"),
        Failure::RequestTimeout,
        Failure::BodyTooLarge(33_554_432),
        Failure::UnsupportedMediaType,
        Failure::RateLimited(Some(Duration::from_secs(3))),
        Failure::Internal,
        Failure::UpstreamError { expert: text(), what: text() },
        Failure::NoHealthyUpstream(None),
        Failure::Overloaded,
        Failure::Draining,
        Failure::UpstreamTimeout { expert: text(), what: text() },
    ]
}

/// Whether a client ever reads it.
fn told(failure: &Failure) -> bool {
    use Failure as F;
    match failure {
        F::ClientGone => false,
        F::BadRequest(_)
        | F::InvalidJson(_)
        | F::MissingParameter(_)
        | F::InvalidValue(..)
        | F::ContextLengthExceeded { .. }
        | F::NoEligibleExpert(_)
        | F::NoApiKey
        | F::WrongApiKey
        | F::ModelNotAllowed(_)
        | F::ForeignPage
        | F::ForeignHost
        | F::ModelNotFound { .. }
        | F::UnknownUrl(_)
        | F::MethodNotAllowed(_)
        | F::RequestTimeout
        | F::BodyTooLarge(_)
        | F::UnsupportedMediaType
        | F::Internal
        | F::UpstreamError { .. }
        | F::RateLimited(_)
        | F::NoHealthyUpstream(_)
        | F::Overloaded
        | F::Draining
        | F::UpstreamTimeout { .. } => true,
    }
}

#[test]
fn errors_are_those_of_the_one_table() {
    let mut out = "| status | `code` | `type` | `message` |\n|--:|---|---|---|".to_owned();
    for failure in failures().iter().filter(|f| told(f)) {
        let (status, kind, code) = failure.kind();
        let said = cell(&failure.message()).replace('<', "&lt;");
        let _ = write!(out, "\n| {} | `{code}` | `{kind}` | {said} |", status.as_u16());
    }
    holds("http.md", "errors", &out);
}

#[test]
fn every_reason_is_explained() {
    let written: BTreeSet<String> = first_cells(&read("decision-record.md")).into_iter().collect();
    for reason in Reason::ALL {
        assert!(written.contains(reason.as_str()), "{} is not in decision-record.md", reason.as_str());
    }
}

/// `METHOD /path` of every endpoint that the page lists.
fn endpoints(part: &str) -> Vec<(String, String)> {
    let text = read("http.md");
    let (_, rest) = text.split_once(&format!("## {part}\n")).unwrap_or_else(|| panic!("no part {part}"));
    let part = rest.split("\n## ").next().unwrap();
    let listed = first_cells(part).into_iter().filter_map(|cell| {
        let (method, path) = cell.split_once(' ')?;
        Some((method.to_owned(), path.to_owned()))
    });
    listed.collect()
}

#[tokio::test]
async fn every_endpoint_that_is_listed_exists() {
    let large = Upstream::script(answers(200, r#"{"choices":[{"message":{"content":"Lima."}}]}"#)).await;
    let rig = Setup::new().large(large.addr(), "").start().await;
    let asked = rig.chat(&chat("large", "hello")).await;
    let decision = asked.header("x-mixgate-decision").unwrap().to_owned();
    for (part, address, least) in
        [("Data plane", rig.gateway.data, 7), ("Admin plane", rig.gateway.admin, 12)]
    {
        let listed = endpoints(part);
        assert!(listed.len() >= least, "{part}: {listed:?}");
        for (method, path) in listed {
            let real = path.replace("{id}", if part == "Data plane" { "large" } else { &decision });
            let mut client = Client::connect(address).await;
            let length =
                if method == "POST" { "content-length: 2\r\ncontent-type: application/json\r\n" } else { "" };
            let body = if method == "POST" { "{}" } else { "" };
            let head = format!("{method} {real} HTTP/1.1\r\nhost: {address}\r\n{length}\r\n{body}");
            client.send(head).await;
            let status = client.head().await.status;
            assert!(![404, 405, 501].contains(&status), "{method} {path}: {status}");
        }
    }
}

/// Paths of every value in a record; what is keyed by names stands as `{}`, lists as `[]`.
fn paths(at: &str, value: &Json, out: &mut BTreeSet<String>) {
    match value {
        Json::Object(map) if at == "domain_scores" => drop((map, out.insert(format!("{at}{{}}")))),
        Json::Object(map) => {
            for (key, value) in map {
                paths(&if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, value, out);
            }
        }
        Json::Array(list) => list.iter().for_each(|value| paths(&format!("{at}[]"), value, out)),
        _ => drop(out.insert(at.to_owned())),
    }
}

#[tokio::test]
async fn every_field_of_a_record_is_explained() {
    let usage =
        r#"{"choices":[{"message":{"content":"Lima."}}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
    let large = Upstream::script(answers(200, usage)).await;
    let house = "governance: { tags: [house] }";
    let setup = Setup::new().expert("tutor", large.addr(), &format!("quality: {{ math: 0.97 }}, {house}"));
    let setup = setup.expert("stranger", large.addr(), "").large(large.addr(), house);
    let setup = setup.section("log: { decisions: off, content: full }\nrules: [{ require: [house] }]");
    let rig = setup.section("policies: { balanced: { tolerance: 0.15 } }").start_real().await;
    let asked = chat("auto", "please solve it for my sister: 3x + 5 = 20");
    let reply = rig.chat(&asked).await;
    let dry = testkit::post_json(rig.gateway.data, "/v1/route", &[], &asked).await;
    let mut found = BTreeSet::new();
    paths("", &rig.record_of(&reply).await, &mut found);
    paths("", &json(&dry.body), &mut found);
    let text = read("decision-record.md");
    let fields = text.split_once("## Fields\n").unwrap().1.split("\n## ").next().unwrap();
    let written: BTreeSet<String> = first_cells(fields).into_iter().collect();
    let missing: Vec<_> = found.difference(&written).collect();
    let gone: Vec<_> = written.difference(&found).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not explained: {missing:?}; explained, but not there: {gone:?}"
    );
}
