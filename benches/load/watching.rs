//! What being watched costs: a mixgate that writes its decision log, is scraped every second and has ten consoles open,
//! beside one that is left alone and one that only writes its log. All stand in front of the same mock and take turns.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::machine::Machine;
use crate::pace::Pace;
use crate::prompts::{Answer, Bodies, OF_EACH_DOMAIN, to_expert};
use crate::run::Spread;
use crate::world::{Server, World};
use crate::{Fault, drive, process, report, root};

/// As in the other load runs.
const EXPERTS: usize = 10;
/// Of the gateway whose metrics are measured.
const MANY_EXPERTS: usize = 20;
const CONSOLES: usize = 10;
const CONNECTIONS: usize = 64;
/// Fifteen times as often as Prometheus does.
const SCRAPE: Duration = Duration::from_secs(1);
const CHAT_BYTES: usize = 640;
const AT_MOST: f64 = 1.05;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Watching {
    command: String,
    quick: bool,
    machine: Machine,
    rows: Vec<Row>,
    /// CPU of a watched gateway that nobody asks anything, milliseconds a second, less that of one left alone.
    idle_millis_per_second: Spread,
    scrape: Scrape,
    failed: u64,
}

/// CPU per request, left alone and watched.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    alone: Spread,
    logging: Spread,
    watched: Spread,
    /// Of the watched one's median and that of the one left alone.
    ratio: f64,
}

/// What a scrape is, when prompts of every domain have gone to every expert.
#[derive(Debug, Serialize)]
struct Scrape {
    /// Pairs of domain and expert among the decisions.
    pairs: usize,
    bytes: usize,
    series: usize,
    millis: Spread,
}

/// Everything, in one run.
pub(crate) async fn measure(pace: &Pace, command: String) -> Result<Watching, Fault> {
    let machine = Machine::look(&root());
    let world = World::start(&[], EXPERTS)?;
    let [alone, logging, watched] =
        [world.silent(EXPERTS)?, world.another(EXPERTS)?, world.another(EXPERTS)?];
    let admin = watched.admin.ok_or("a mixgate has an admin plane")?;
    let mut watchers = JoinSet::new();
    for _ in 0..CONSOLES {
        watchers.spawn(console(admin));
    }
    watchers.spawn(scraper(admin));
    let (mut rows, mut failed) = (Vec::new(), 0);
    let kinds = [
        (Answer::Whole, "answer whole, 64 connections"),
        (Answer::Streamed, "answer streamed, 64 connections"),
    ];
    for (answer, name) in kinds {
        let bodies = Bodies::new(CHAT_BYTES, answer);
        let mut found = [const { Vec::new() }; 3];
        // short turns, many of them: what else the machine does falls on all three alike
        for _ in 0..pace.rounds * 20 {
            for (server, found) in [&alone, &logging, &watched].into_iter().zip(&mut found) {
                let slice = drive::closed(&server.target(), &bodies, CONNECTIONS, pace.slice / 4).await?;
                found.push(slice.cpu_per_request());
                failed += slice.failed;
            }
        }
        let [alone, logging, watched] = found.map(Spread::of);
        let ratio = watched.median / alone.median;
        rows.push(Row { name, alone, logging, watched, ratio });
    }
    let idle_millis_per_second = idle(pace, &alone, &watched).await;
    watchers.abort_all();
    let many = world.another(MANY_EXPERTS)?;
    everywhere(&many).await?;
    let scrape = scrape(many.admin.ok_or("a mixgate has an admin plane")?, pace.rounds * 4).await?;
    Ok(Watching { command, quick: pace.quick, machine, rows, idle_millis_per_second, scrape, failed })
}

async fn idle(pace: &Pace, alone: &Server, watched: &Server) -> Spread {
    let mut rounds = Vec::new();
    for _ in 0..pace.rounds {
        let cpu = || [alone, watched].map(|server| process::cpu_micros(&[server.pid()]));
        let (before, start) = (cpu(), Instant::now());
        tokio::time::sleep(pace.open).await;
        let (after, time) = (cpu(), start.elapsed());
        let spent = (after[1] - before[1]) - (after[0] - before[0]);
        rounds.push(spent / 1e3 / time.as_secs_f64());
    }
    Spread::of(rounds)
}

/// Reads events until the end, as an open page does.
async fn console(admin: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /api/events HTTP/1.1\r\nhost: {admin}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = [0; 16 * 1024];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

async fn scraper(admin: SocketAddr) -> io::Result<()> {
    loop {
        tokio::time::sleep(SCRAPE).await;
        metrics(admin).await?;
    }
}

async fn metrics(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// A prompt of every domain to every expert.
async fn everywhere(server: &Server) -> Result<(), Fault> {
    let mut client = Client::connect(server.target().address).await?;
    for expert in 0..MANY_EXPERTS {
        for prompt in OF_EACH_DOMAIN {
            client.ask(to_expert(expert, prompt)).await?;
        }
    }
    Ok(())
}

async fn scrape(admin: SocketAddr, rounds: usize) -> Result<Scrape, Fault> {
    let (mut millis, mut text) = (Vec::new(), String::new());
    for _ in 0..rounds {
        let start = Instant::now();
        text = metrics(admin).await?;
        millis.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    let decisions = text.lines().filter_map(|line| line.strip_prefix("mixgate_route_decisions_total{"));
    let pairs: BTreeSet<&str> = decisions.filter_map(|labels| labels.split(",reason=").next()).collect();
    Ok(Scrape { pairs: pairs.len(), bytes: text.len(), series, millis: Spread::of(millis) })
}

impl Watching {
    /// Writes `run.json` and `README.md`; gives the latter.
    pub(crate) fn write(&self, out: &Path) -> Result<String, Fault> {
        fs::create_dir_all(out)?;
        fs::write(out.join("run.json"), serde_json::to_string_pretty(self)? + "\n")?;
        let text = self.text();
        fs::write(out.join("README.md"), &text)?;
        Ok(text)
    }

    fn text(&self) -> String {
        let mut out = "# What being watched costs\n\n".to_owned();
        report::setting(&mut out, &self.command, &self.machine, self.quick);
        let _ = writeln!(
            out,
            "Three mixgates with {EXPERTS} experts and prompts of ten subjects. One is left alone: no decision log, \
             nobody looks. One writes its decision log to a file. One does so, is scraped every second and has \
             {CONSOLES} consoles open.\n\n\
             | CPU per request, µs | alone | with its log | watched | ratio | expected | |\n|---|--:|--:|--:|--:|--:|---|"
        );
        for row in &self.rows {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {:.3} | ≤ {AT_MOST} | {} |",
                row.name,
                report::spread(&row.alone),
                report::spread(&row.logging),
                report::spread(&row.watched),
                row.ratio,
                report::met(row.ratio <= AT_MOST)
            );
        }
        let Scrape { pairs, bytes, series, millis } = &self.scrape;
        let _ = writeln!(
            out,
            "\nThe ratio is that of the watched one's median and the median of the one left alone.\n\n\
             | | |\n|---|--:|\n\
             | CPU that watching takes of a gateway that nobody asks anything, ms a second | {} |\n\
             | a scrape with {MANY_EXPERTS} experts and decisions for {pairs} pairs of domain and expert, KB | {:.0} |\n| the same, series | {series} |\n| the same, ms, over a new connection | {} |\n\n\
             Requests without a whole 200: {}.",
            report::spread(&self.idle_millis_per_second),
            *bytes as f64 / 1e3,
            report::spread(millis),
            self.failed
        );
        out
    }
}
