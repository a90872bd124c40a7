//! Every command that the README and the pages of `docs` show is run, in the order of its page, as its reader would:
//! in a folder with the page's own `experts.yaml`, in front of mock models. What cannot be run here is listed with the
//! reason.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::blocks;
use crate::harness::{CHAT, chat};
use crate::process::Process;
use crate::router::{graded_line, logged};

/// Commands that are not run here: how they begin, and why.
const ELSEWHERE: [(&str, &str); 12] = [
    ("cargo build", "takes minutes; what it builds is what these tests run"),
    ("cargo run --release -- demo", "commands.rs runs `mixgate demo`"),
    ("cargo test", "is what runs this"),
    ("sudo install", "writes into the system"),
    ("ssh ", "there is no other machine"),
    ("kubectl ", "there is no cluster; deploy.rs holds the manifests against their schemas"),
    ("mixgate compare", "wants public data that is not in the repository; commands.rs runs it on other data"),
    ("wrk ", "wants wrk; tried by hand"),
    ("locust ", "wants Locust; tried by hand"),
    ("oha ", "wants oha; tried by hand"),
    ("node chat.js", "wants autocannon; tried by hand"),
    ("aiperf ", "wants AIPerf; tried by hand"),
];

/// The default ports that pages name.
const PORTS: [u16; 4] = [8080, 9090, 8001, 8002];

const EXPERTS: &str = "fallback: large
experts:
  - { name: coder, model: coder-7b, base_url: 'http://127.0.0.1:8001/v1', quality: { code: 0.97 }, price: { input_per_1m: 0.2, output_per_1m: 0.2 } }
  - { name: large, model: large-1, base_url: 'http://127.0.0.1:8002/v1', price: { input_per_1m: 2.5, output_per_1m: 10 } }
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The pages whose commands are run.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.into_string().unwrap()));
    // its snippets are programs: docs.rs runs them
    let docs = docs.filter(|page| page.ends_with(".md") && page != "docs/applications.md");
    let others = ["README.md", "deploy/README.md", "dashboards/README.md"].map(str::to_owned);
    let mut pages: Vec<String> = docs.chain(others).collect();
    pages.sort();
    pages
}

/// The commands of a block; lines that end in a backslash go on.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn elsewhere(command: &str) -> bool {
    ELSEWHERE.iter().any(|(begins, _)| command.starts_with(begins))
}

/// A reader with a page, a folder, and free ports instead of the usual ones.
struct Reader {
    folder: tempfile::TempDir,
    ports: [u16; 4],
    running: Vec<(String, Process)>,
    decision: String,
}

impl Reader {
    fn new() -> Reader {
        let held = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = held.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let reader = Reader {
            folder: tempfile::tempdir().unwrap(),
            ports,
            running: Vec::new(),
            decision: String::new(),
        };
        reader.write("experts.yaml", EXPERTS);
        reader.lay_out();
        reader
    }

    /// Files that pages take for granted.
    fn lay_out(&self) {
        let graded = (0..500).map(|n| graded_line(n, &["our-8b", "a"], &["b", "c", "gpt-4o"]));
        let graded: String = graded.collect();
        let (records, grades): (String, String) = (0..300).map(logged).unzip();
        let decisions = format!("{records}{grades}");
        for (name, lines) in [
            ("graded.jsonl", &*graded),
            ("F.jsonl", &graded),
            ("decisions.jsonl", &decisions),
            ("grades.jsonl", &grades),
            ("labelled.jsonl", r#"{"prompt":"Is a verbal contract binding?","domain":"legal"}"#),
            ("prompts.jsonl", r#"{"id":1,"prompt":"Integrate x^2"}"#),
        ] {
            fs::write(self.folder.path().join(name), lines).unwrap();
        }
        fs::create_dir(self.folder.path().join("docs")).unwrap();
        for (from, to) in
            [("docs/panel.yaml", "docs/panel.yaml"), ("dashboards/rules/alerts.yaml", "alerts.yaml")]
        {
            fs::copy(root().join(from), self.folder.path().join(to)).unwrap();
        }
    }

    /// The same with the ports that are really there.
    fn here(&self, text: &str) -> String {
        PORTS.iter().zip(&self.ports).fold(text.to_owned(), |text, (usual, real)| {
            text.replace(&format!("127.0.0.1:{usual}"), &format!("127.0.0.1:{real}"))
        })
    }

    fn write(&self, name: &str, yaml: &str) {
        let [data, admin, ..] = self.ports;
        let server = format!("server: {{ listen: 127.0.0.1:{data}, admin_listen: 127.0.0.1:{admin} }}\n");
        let server = if yaml.contains("\nserver:") { String::new() } else { server };
        fs::write(self.folder.path().join(name), format!("{server}{}", self.here(yaml))).unwrap();
    }

    /// A configuration that the page shows under its name, or as a further part of it.
    fn keep(&self, yaml: &str) {
        let Some((head, rest)) = yaml.split_once('\n') else { return };
        if head == "# experts.yaml" {
            self.write("experts.yaml", yaml);
        } else if head.starts_with("# experts.yaml, ") {
            let path = self.folder.path().join("experts.yaml");
            fs::write(&path, format!("{}\n{rest}", fs::read_to_string(&path).unwrap())).unwrap();
            self.run("mixgate check --config experts.yaml");
        }
    }

    /// Starts what runs until it is told to end; one at an address.
    async fn start(&mut self, command: &str) {
        let command = self.here(command.split(" #").next().unwrap());
        let mut words: Vec<String> = command.split_whitespace().skip(1).map(str::to_owned).collect();
        let config = words.iter().position(|word| word == "experts.yaml");
        if let Some(config) = config {
            words[config] = self.folder.path().join("experts.yaml").to_str().unwrap().to_owned();
        }
        let serves = words[0] == "serve";
        let address = if serves { "gateway".to_owned() } else { words[2].clone() };
        self.running.retain(|(at, _)| *at != address);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let process = Process::start(&words, &[]);
        process.says(if serves { "serving" } else { "http://" }).await;
        self.running.push((address, process));
        if serves {
            let at = ([127, 0, 0, 1], self.ports[0]).into();
            let reply = testkit::post_json(at, CHAT, &[], &chat("auto", "hello")).await;
            reply.header("x-mixgate-decision").unwrap_or_default().clone_into(&mut self.decision);
        }
    }

    fn run(&self, command: &str) {
        let command = self.here(command).replace("curl -s", "curl -sS --fail-with-body");
        let top = format!("mixgate top --admin http://127.0.0.1:{}", self.ports[1]);
        let command = command.replace("mixgate top", &top);
        let ours = Path::new(env!("CARGO_BIN_EXE_mixgate")).parent().unwrap().to_owned();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([ours].into_iter().chain(env::split_paths(&path))).unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-e", "-o", "pipefail", "-c", &command]).current_dir(self.folder.path());
        bash.env("PATH", path).env("DECISION", &self.decision);
        let ran = bash.output().unwrap();
        let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(ran.status.success(), "{command}\n{}\n{}", said[0], said[1]);
    }
}

async fn run_page(page: &str) {
    let text = read(page);
    let mut reader = Reader::new();
    let asks = ["127.0.0.1:8080", "127.0.0.1:9090", "mixgate top"].iter().any(|word| text.contains(word));
    if asks && !text.contains("mixgate serve --config experts.yaml\n```") {
        for command in [
            "mixgate mock --listen 127.0.0.1:8001 --model coder-7b",
            "mixgate mock --listen 127.0.0.1:8002 --model large-1",
            "mixgate serve --config experts.yaml",
        ] {
            reader.start(command).await;
        }
    }
    for block in blocks(&text) {
        match block.language.as_str() {
            "yaml" => reader.keep(&block.text),
            "sh" => {
                for command in commands(&block.text) {
                    let waits = ["mixgate serve", "mixgate mock"].iter().any(|c| command.starts_with(c));
                    match command {
                        command if elsewhere(&command) => {}
                        command if waits => reader.start(&command).await,
                        command => reader.run(&command),
                    }
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_command_of_the_readme_and_the_docs_runs() {
    let mut ran = Vec::new();
    for page in pages() {
        run_page(&page).await;
        ran.push(page);
    }
    assert!(ran.len() > 8, "{ran:?}");
}

#[test]
fn what_is_run_elsewhere_is_still_shown() {
    let shown: Vec<String> =
        pages().iter().flat_map(|page| blocks(&read(page))).flat_map(|b| commands(&b.text)).collect();
    for (begins, why) in ELSEWHERE {
        assert!(shown.iter().any(|command| command.starts_with(begins)), "no page shows `{begins}` ({why})");
    }
}

/// Targets of the links of a page, without those to other hosts.
fn links(markdown: &str) -> Vec<String> {
    let targets = markdown.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let reference = fs::read_dir(root().join("docs/reference")).unwrap();
    let reference = reference
        .map(|entry| format!("docs/reference/{}", entry.unwrap().file_name().into_string().unwrap()));
    let more = ["CONTRIBUTING.md".to_owned(), "docs/applications.md".to_owned()];
    for page in pages().into_iter().chain(reference).chain(more) {
        for link in links(&read(&page)) {
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let folder = Path::new(&page).parent().unwrap();
            let target = if path.is_empty() { root().join(&page) } else { root().join(folder).join(path) };
            assert!(target.exists(), "{page} links to {link}, which is not there");
            if !fragment.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let anchors = text.lines().filter_map(|line| line.strip_prefix('#'));
                let found =
                    anchors.map(|heading| anchor(heading.trim_start_matches('#'))).any(|a| a == fragment);
                assert!(found, "{page} links to {link}: there is no such heading");
            }
        }
    }
}
