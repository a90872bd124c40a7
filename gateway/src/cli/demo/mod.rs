//! `mixgate demo`: the main job on this machine, with simulated models.
//!
//! Everything between the client and the models is real: sockets, the protocol, routing, metering, the metrics.
//! The models are not: each expert is a mock that answers at once with words of no meaning, so what the table
//! says of cost follows from listed prices and simulated lengths. Whether an answer is right is real again for
//! a part of the prompts: those come with the grades that these very models' answers got (`graded`), so that
//! the demo says what the saving cost in quality (`judge`).

mod graded;
mod judge;
mod show;
mod verdict;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Exit, print, runtime, stopped};
use show::{Row, Show};
use verdict::Verdict;
use world::World;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Requests to send; default: every prompt once.
    #[arg(long)]
    requests: Option<usize>,
    /// Stop after them instead of serving on.
    #[arg(long)]
    exit: bool,
}

/// One prompt with what it is about.
#[derive(Debug, Deserialize)]
struct Prompt {
    prompt: String,
    domain: String,
    /// Whether a model's recorded answer is right, by its name in the catalogue; empty: not graded.
    #[serde(skip)]
    right: BTreeMap<String, bool>,
}

const PROMPTS: &str = include_str!("prompts.jsonl");
/// Between two requests, so that the eye can follow.
const PACE: Duration = Duration::from_millis(15);

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let plain: Result<Vec<Prompt>, _> = PROMPTS.lines().map(serde_json::from_str).collect();
    let plain = plain.map_err(|e| Exit::Internal(format!("the demo's prompts: {e}")))?;
    let prompts = mixed(plain, graded::prompts()?);
    runtime()?.block_on(async {
        let began = Instant::now();
        let world = World::start(&graded::domains(&prompts)).await?;
        let mut show = Show::begin(&world, began.elapsed());
        let mut verdict = Verdict::new(&world);
        for number in 0..args.requests.unwrap_or(prompts.len()) {
            let prompt = &prompts[number % prompts.len()];
            let record = world.ask(prompt, number % 2 == 0).await?;
            let right = verdict.right(prompt, &record);
            if number < prompts.len() {
                verdict.note(prompt, &record);
            }
            show.row(&Row { prompt: &prompt.prompt, domain: &prompt.domain, record: &record, right });
            if print::is_lost() {
                break;
            }
            tokio::time::sleep(PACE).await;
        }
        show.totals(&world);
        verdict.show();
        if !args.exit {
            show.invite(&world);
        }
        if !args.exit && !print::is_lost() {
            stopped().map_err(|e| Exit::Internal(e.to_string()))?.await;
        }
        world.stop().await;
        Ok(())
    })
}

/// Two lists as one, each in its order, spread evenly over it.
fn mixed<T>(a: Vec<T>, b: Vec<T>) -> Vec<T> {
    let place = |count: usize| move |(at, item): (usize, T)| ((2 * at + 1) as f64 / count as f64, item);
    let (of_a, of_b) = (place(a.len()), place(b.len()));
    let mut all: Vec<(f64, T)> =
        a.into_iter().enumerate().map(of_a).chain(b.into_iter().enumerate().map(of_b)).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    all.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::mixed;

    #[test]
    fn two_lists_become_one_and_every_part_of_it_has_of_both() {
        assert_eq!(mixed(vec![1, 2], vec![10, 20, 30, 40]), [10, 1, 20, 30, 2, 40]);
        assert_eq!(mixed(vec![], vec![1]), [1]);
    }
}
