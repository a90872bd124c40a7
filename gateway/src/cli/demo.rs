//! x
use super::Exit;
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
pub(super) fn run(_: Args) -> Result<(), Exit> { Ok(()) }
