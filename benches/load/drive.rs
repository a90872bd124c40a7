//! The two ways to put load on a server: as fast as its answers come (for CPU), and on a clock that does not wait
//! for them (for latency, counted from when a request should have been sent).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::prompts::Bodies;
use crate::world::Target;
use crate::{Fault, process};

/// What a slice of load came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    pub(crate) failed: u64,
    pub(crate) cpu_micros: f64,
}

impl Slice {
    pub(crate) fn cpu_per_request(self) -> f64 {
        self.cpu_micros / self.requests.max(1) as f64
    }

    pub(crate) fn cpu_per_event(self) -> f64 {
        self.cpu_micros / self.events.max(1) as f64
    }

    fn add(&mut self, other: Slice) {
        self.requests += other.requests;
        self.events += other.events;
        self.failed += other.failed;
    }
}

/// So many connections, each with its next request as soon as the last is answered.
pub(crate) async fn closed(
    target: &Target,
    bodies: &Bodies,
    connections: usize,
    time: Duration,
) -> Result<Slice, Fault> {
    let clients = connect(target.address, bodies, connections).await?;
    let before = process::cpu_micros(&target.pids);
    let deadline = Instant::now() + time;
    let mut workers = JoinSet::new();
    for (at, client) in clients.into_iter().enumerate() {
        workers.spawn(work(client, bodies.clone(), at, deadline));
    }
    let mut slice = Slice::default();
    while let Some(part) = workers.join_next().await {
        slice.add(part?);
    }
    slice.cpu_micros = process::cpu_micros(&target.pids) - before;
    Ok(slice)
}

/// Connections that have had one answer each, so that what is measured is neither handshake nor first touch.
async fn connect(address: SocketAddr, bodies: &Bodies, connections: usize) -> Result<Vec<Client>, Fault> {
    let mut starting = JoinSet::new();
    for at in 0..connections {
        let body = bodies.at(at);
        starting.spawn(async move {
            let mut client = Client::connect(address).await?;
            client.ask(body).await?;
            Ok::<_, Fault>(client)
        });
    }
    let mut clients = Vec::with_capacity(connections);
    while let Some(client) = starting.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}

async fn work(mut client: Client, bodies: Bodies, first: usize, deadline: Instant) -> Slice {
    let mut slice = Slice::default();
    for at in first.. {
        if Instant::now() >= deadline {
            break;
        }
        match client.ask(bodies.at(at)).await {
            Ok(events) => slice.add(Slice { requests: 1, events, ..Slice::default() }),
            Err(_) => slice.failed += 1,
        }
    }
    slice
}

/// Latencies, sorted.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    sorted: Vec<f64>,
    pub(crate) failed: u64,
}

impl Latencies {
    /// In microseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

const OPEN_CONNECTIONS: usize = 32;

/// So many requests per second, whether or not the last is answered.
pub(crate) async fn open(
    target: &Target,
    bodies: &Bodies,
    per_second: u32,
    time: Duration,
) -> Result<Latencies, Fault> {
    let clients = connect(target.address, bodies, OPEN_CONNECTIONS).await?;
    let mut workers = JoinSet::new();
    let mut turns = Vec::new();
    for client in clients {
        let (turn, taken) = mpsc::channel(1024);
        turns.push(turn);
        workers.spawn(answer_turns(client, taken));
    }
    let ticks = (time.as_secs_f64() * f64::from(per_second)) as u32;
    let every = Duration::from_secs(1) / per_second;
    let bodies = bodies.clone();
    // a thread of its own: the runtime's timer knows whole milliseconds only
    let pacing = tokio::task::spawn_blocking(move || pace(&turns, &bodies, ticks, every));
    let mut all = Latencies::default();
    while let Some(part) = workers.join_next().await {
        let part = part?;
        all.sorted.extend(part.sorted);
        all.failed += part.failed;
    }
    pacing.await?;
    all.sorted.sort_by(f64::total_cmp);
    Ok(all)
}

fn pace(turns: &[mpsc::Sender<(Instant, Bytes)>], bodies: &Bodies, ticks: u32, every: Duration) {
    let start = Instant::now() + every;
    for tick in 0..ticks {
        let intended = start + every * tick;
        std::thread::sleep(intended.saturating_duration_since(Instant::now()));
        let tick = tick as usize;
        let _ = turns[tick % turns.len()].blocking_send((intended, bodies.at(tick)));
    }
}

async fn answer_turns(mut client: Client, mut turns: mpsc::Receiver<(Instant, Bytes)>) -> Latencies {
    let mut latencies = Latencies::default();
    while let Some((intended, body)) = turns.recv().await {
        match client.ask(body).await {
            Ok(_) => latencies.sorted.push(intended.elapsed().as_secs_f64() * 1e6),
            Err(_) => latencies.failed += 1,
        }
    }
    latencies
}
