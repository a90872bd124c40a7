//! `mixgate schema`: the JSON Schema of the configuration.

use super::Exit;
use crate::cli::print;
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: Args) -> Result<(), Exit> {
    print::out!("{}", config::schema());
    Ok(())
}
