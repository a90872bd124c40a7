//! `mixgate demo`: the main job on this machine, with simulated models.
//!
//! Everything between the client and the models is real: sockets, the protocol, routing, metering, the metrics.
//! The models are not: each expert of the reference configuration is a mock that answers at once with words of
//! no meaning, so what the table says of cost follows from real prices and simulated lengths.

mod show;
mod world;

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Exit, runtime, stopped};
use show::{Row, Show};
use world::World;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Requests to send.
    #[arg(long, default_value_t = 120)]
    requests: usize,
    /// Stop after them instead of serving on.
    #[arg(long)]
    exit: bool,
}

/// One prompt with what it is about.
#[derive(Debug, Deserialize)]
struct Prompt {
    prompt: String,
    domain: String,
}

const PROMPTS: &str = include_str!("prompts.jsonl");
/// Between two requests, so that the eye can follow.
const PACE: Duration = Duration::from_millis(25);

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let prompts: Result<Vec<Prompt>, _> = PROMPTS.lines().map(serde_json::from_str).collect();
    let prompts = prompts.map_err(|e| Exit::Internal(format!("the demo's prompts: {e}")))?;
    runtime()?.block_on(async {
        let began = Instant::now();
        let world = World::start().await?;
        let mut show = Show::begin(&world, began.elapsed());
        for number in 0..args.requests {
            let prompt = &prompts[number % prompts.len()];
            let record = world.ask(&prompt.prompt, number % 2 == 0).await?;
            show.row(&Row { prompt: &prompt.prompt, domain: &prompt.domain, record: &record });
            tokio::time::sleep(PACE).await;
        }
        show.totals(&world);
        if !args.exit {
            show.invite(&world);
            stopped().map_err(|e| Exit::Internal(e.to_string()))?.await;
        }
        world.stop().await;
        Ok(())
    })
}
