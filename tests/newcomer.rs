//! A newcomer's way, as the README tells it: the demo, its console, one dashboard.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use testkit::{Client, get};

use crate::harness::json;
use crate::process::Process;
use crate::tools::must;

/// Names of metrics in a board, as Prometheus knows the families.
fn metrics_of(board: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards").join(board);
    let text = std::fs::read_to_string(path).unwrap();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let mut names: Vec<String> = words
        .filter(|word| word.starts_with("mixgate_"))
        .map(|word| {
            ["_bucket", "_sum", "_count"].iter().fold(word, |name, end| name.trim_end_matches(end)).to_owned()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn the_demo_its_console_and_a_dashboard() {
    let demo = Process::start(&["demo", "--requests", "40"], &[]);
    let line = demo.out.line("open the console in a browser: http://").await;
    let address = line.split_once("http://").unwrap().1.trim_end_matches("/ui/");
    let admin: SocketAddr = address.parse().unwrap_or_else(|_| panic!("no address in {line}"));

    let page = get(admin, "/ui/").await;
    assert!(page.status == 200 && page.text().contains("app.js"), "{}", page.text());
    let figures = json(&get(admin, "/api/figures").await.body);
    assert_eq!(figures["requests"]["ok"], 40, "{figures}");
    assert!(figures["saved_usd"].as_f64() > Some(0.0), "{figures}");

    // whoever opens it late sees what was before
    let mut console = Client::connect(admin).await;
    console.send(format!("GET /api/events HTTP/1.1\r\nhost: {admin}\r\n\r\n")).await;
    assert_eq!(console.head().await.status, 200);
    let past = json(console.event().await.unwrap().as_bytes());
    let first = &past[0];
    assert!(first["requests"]["ok"].as_u64() < Some(40) && first["cost_usd"].is_number(), "{past}");

    // what it says one may try can be tried as it stands
    let said = demo.out.text().replace("\\\n", " ");
    let commands: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 3, "{said}");
    for command in commands {
        must(Command::new("bash").args(["-c", &command.replacen("curl", "curl -sS --fail", 1)]));
    }

    let metrics = get(admin, "/metrics").await.text();
    let wanted = metrics_of("overview.json");
    assert!(wanted.len() > 8, "{wanted:?}");
    let missing: Vec<_> =
        wanted.iter().filter(|name| !metrics.contains(&format!("# HELP {name} "))).collect();
    assert!(missing.is_empty(), "the demo does not tell of {missing:?}");
}
