//! How often a promise is broken where the router knows nothing: four domains of 450 prompts, of which 22 % need the
//! large model, promised on one draw and counted on the next, 1,500 times.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use router_model::eval::promise::{Blind, simulate};

const DRAWS: usize = 1500;
const DELTA: f64 = 0.10;

fn main() {
    println!(
        "at most   whole broken   a domain broken   any broken   only tuned   to experts   domains a draw"
    );
    for at_most in [0.05, 0.10, 0.20, 0.30] {
        let kept = simulate(Blind { domains: 4, prompts: 450, need: 0.22 }, at_most, DELTA, DRAWS);
        println!(
            "{at_most:<9.2} {:<14.3} {:<17.3} {:<12.3} {:<12.3} {:<12.3} {:.2}",
            kept.broken,
            kept.own_broken,
            kept.any_broken,
            kept.broken_by_tuning,
            kept.served,
            kept.own as f64 / kept.promised.max(1) as f64,
        );
    }
}
