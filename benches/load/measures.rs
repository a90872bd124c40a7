//! The measures with an expectation, direct, through nginx and through mixgate in turn, round by round, so that
//! whatever else the machine does falls on all three alike.

use std::time::Duration;

use crate::drive::{self, Slice};
use crate::pace::Pace;
use crate::prompts::{Answer, Bodies};
use crate::run::{Compared, Figure, Row, Spread};
use crate::world::{Via, World};
use crate::{Fault, process};

/// A prompt of about 100 tokens, its body.
const CHAT_BYTES: usize = 640;
/// One of about 450 tokens.
const LONG_CHAT_BYTES: usize = 2048;
const CONNECTIONS: usize = 64;
const PER_SECOND: u32 = 200;
/// Streams at once, of 100 chunks 10 ms apart.
const STREAMS: usize = 50;
const STARTS: usize = 5;

/// Rows and the failures on the way to them.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    pub(crate) failed: u64,
}

/// CPU per request and per chunk.
pub(crate) async fn cpu(pace: &Pace, world: &World, found: &mut Found) -> Result<(), Fault> {
    let kinds = [
        (Answer::Whole, CHAT_BYTES, "CPU per request, answer whole"),
        (Answer::Streamed, CHAT_BYTES, "CPU per request, answer streamed"),
        (Answer::Whole, LONG_CHAT_BYTES, "CPU per request of 2 KiB, answer whole"),
    ];
    for (answer, bytes, name) in kinds {
        let bodies = Bodies::new(bytes, answer);
        let slices = rounds(pace.rounds, world, &bodies, CONNECTIONS, pace.slice).await?;
        let spreads = found.spreads(&slices, Slice::cpu_per_request);
        found.rows.push(Row::new((name, "µs"), spreads, Compared::Own, 2.2));
    }
    Ok(())
}

/// CPU per chunk of streams on a clock.
pub(crate) async fn chunks(pace: &Pace, found: &mut Found) -> Result<(), Fault> {
    let world = World::start(&["--token-interval", "10ms", "--tokens", "100"], 10)?;
    let bodies = Bodies::new(CHAT_BYTES, Answer::Streamed);
    let slices = rounds(pace.rounds, &world, &bodies, STREAMS, pace.streams).await?;
    let spreads = found.spreads(&slices, Slice::cpu_per_event);
    found.rows.push(Row::new(("CPU per streamed chunk, 10 ms apart", "µs"), spreads, Compared::Own, 1.3));
    Ok(())
}

async fn rounds(
    rounds: usize,
    world: &World,
    bodies: &Bodies,
    connections: usize,
    time: Duration,
) -> Result<[Vec<Slice>; 3], Fault> {
    let mut slices = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (via, slices) in Via::ALL.into_iter().zip(&mut slices) {
            slices.push(drive::closed(&world.target(via), bodies, connections, time).await?);
        }
    }
    Ok(slices)
}

impl Found {
    fn spreads(&mut self, slices: &[Vec<Slice>; 3], figure: impl Fn(Slice) -> f64) -> [Spread; 3] {
        self.failed += slices.iter().flatten().map(|s| s.failed).sum::<u64>();
        slices.each_ref().map(|rounds| Spread::of(rounds.iter().map(|s| figure(*s)).collect()))
    }
}

/// Latency at a rate that leaves everyone idle most of the time.
pub(crate) async fn latency(pace: &Pace, world: &World, found: &mut Found) -> Result<(), Fault> {
    let kinds = [
        (Answer::Whole, ["latency p50, answer whole", "latency p99, answer whole"]),
        (Answer::Streamed, ["latency p50, answer streamed", "latency p99, answer streamed"]),
    ];
    for (answer, names) in kinds {
        let bodies = Bodies::new(CHAT_BYTES, answer);
        let mut quantiles = [const { [const { Vec::new() }; 3] }; 2];
        for _ in 0..pace.rounds {
            for (at, via) in Via::ALL.into_iter().enumerate() {
                let latencies = drive::open(&world.target(via), &bodies, PER_SECOND, pace.open).await?;
                quantiles[0][at].push(latencies.quantile(0.50));
                quantiles[1][at].push(latencies.quantile(0.99));
                found.failed += latencies.failed;
            }
        }
        for (name, ways) in names.into_iter().zip(quantiles) {
            found.rows.push(Row::new((name, "µs"), ways.map(Spread::of), Compared::Added, 3.0));
        }
    }
    Ok(())
}

/// Time from exec to the first answer, and memory before any work.
pub(crate) fn starts(world: &World) -> Result<[Figure; 2], Fault> {
    let (mut times, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let server = world.another(10)?;
        times.push(server.started_in.as_secs_f64() * 1e3);
        idle.push(process::memory_mb(server.pid(), "VmRSS"));
    }
    Ok([
        figure("exec to the first 200 on /health", "ms", times, Some(200.0)),
        figure("resident memory, idle", "MB", idle, Some(60.0)),
    ])
}

/// Memory now.
pub(crate) fn memory(world: &World, name: &'static str, below: Option<f64>) -> Figure {
    figure(name, "MB", vec![process::memory_mb(world.mixgate.pid(), "VmRSS")], below)
}

fn figure(name: &'static str, unit: &'static str, rounds: Vec<f64>, below: Option<f64>) -> Figure {
    Figure { name, unit, value: Spread::of(rounds), below }
}
