//! What commands print. `println!` panics where standard output is full, which is no bug of ours, and the user's to mend.
//!
//! The first error of standard output is kept, nothing more is written there, and the command goes on: what it does
//! beside, such as writing a file, is wanted all the same. At its end the error is told once. A pipe that nobody reads
//! any more, as of `| head -1`, is no error.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use super::Exit;

/// Why standard output was lost.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints a line of the result to standard output.
macro_rules! out {
    () => { $crate::cli::print::line(format_args!("")) };
    ($($argument:tt)*) => { $crate::cli::print::line(format_args!($($argument)*)) };
}

/// Prints a line of anything else to standard error.
macro_rules! err {
    ($($argument:tt)*) => { $crate::cli::print::remark(format_args!($($argument)*)) };
}

pub(super) use {err, out};

/// What [`out!`] does.
pub(super) fn line(text: fmt::Arguments<'_>) {
    if !is_lost()
        && let Err(error) = writeln!(anstream::stdout(), "{text}")
    {
        let _first = LOST.set(error);
    }
}

/// What [`err!`] does: where standard error is lost nobody can be told.
pub(super) fn remark(text: fmt::Arguments<'_>) {
    let _lost = writeln!(anstream::stderr(), "{text}");
}

/// Whether nobody gets what is printed: a command that only shows something may end.
pub(super) fn is_lost() -> bool {
    LOST.get().is_some()
}

/// What became of everything that was printed. Lines are written as they come: nothing is left to flush, and a decision
/// log whose pipe nobody reads may hold standard output for good.
pub(super) fn ended() -> Result<(), Exit> {
    LOST.get().map_or(Ok(()), lost)
}

/// What an error of standard output means.
pub(super) fn lost(error: &io::Error) -> Result<(), Exit> {
    if error.kind() == ErrorKind::BrokenPipe {
        return Ok(());
    }
    let what = error.to_string();
    // without « (os error 28)»
    Err(Exit::Output(what.split(" (os error").next().unwrap_or_default().to_owned()))
}
