//! `mixgate schema`: the JSON Schema of the configuration.

use super::Exit;
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments")]
pub(super) fn run(_: Args) -> Result<(), Exit> {
    anstream::println!("{}", config::schema());
    Ok(())
}
