//! `mixgate hash-key`: a key on standard input, its hash on standard output.

use std::io::Read;

use super::Exit;
use crate::auth::KeyHash;
use crate::cli::print;

/// A key with less than this is guessed sooner or later: a hash without salt holds for random keys only.
const SHORTEST: usize = 16;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A fresh key and its hash:  key=$(openssl rand -hex 24); echo $key; echo -n $key | mixgate hash-key"
)]
pub(super) struct Args {}

pub(super) fn run(_: Args) -> Result<(), Exit> {
    let mut key = String::new();
    std::io::stdin().read_to_string(&mut key).map_err(|e| Exit::Input(format!("standard input: {e}")))?;
    let key = key.trim();
    if key.is_empty() {
        return Err(Exit::Input("there is no key on standard input".to_owned()));
    }
    if let Some(odd) = key.chars().find(|c| c.is_control()) {
        let message = format!("no header can carry {odd:?}, which is in this key: pass one key, on one line");
        return Err(Exit::Input(message));
    }
    if key.len() < SHORTEST {
        print::err!(
            "warning: a key of {} characters can be guessed; use a random one of {SHORTEST} or more",
            key.len()
        );
    }
    print::out!("{}", KeyHash::of(key));
    Ok(())
}
