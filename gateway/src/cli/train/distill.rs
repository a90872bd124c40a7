//! `mixgate train --distill`: vectors of words from a sentence encoder, to train from with `--words`.
//!
//! The encoder is a guest of this command alone: what it leaves behind is a table, and neither training
//! nor the gateway loads it again.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use router_model::train::distill::{Distilled, Teacher, distill};
use router_model::{WORD_DIM, data};

use super::{Exit, name, write};
use crate::cli::print;
use crate::cli::sha256;

/// Loads the encoder in `folder`, has it read the words of these files, and writes their vectors to `out`.
pub(super) fn run(folder: &Path, files: &[&Path], out: &Path) -> Result<(), Exit> {
    let mut rows = Vec::new();
    for file in files {
        rows.extend(data::read(file).map_err(|error| Exit::Input(error.to_string()))?);
    }
    let teacher = Teacher::load(folder).map_err(|error| Exit::Input(error.to_string()))?;
    let bar = bar();
    let distilled = distill(&teacher, &rows, &mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let distilled = distilled.map_err(|error| Exit::Input(error.to_string()))?;
    write(out, &distilled.vectors.to_bytes().map_err(Exit::Internal)?)?;
    show(&distilled, &name(folder), &sha256(&teacher.file())?, out);
    Ok(())
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % of {len} words, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(distilled: &Distilled, teacher: &str, sha256: &str, out: &Path) {
    let Distilled { vectors, kept } = distilled;
    print::out!("vectors of words in {}", out.display());
    print::out!("  words        {}", vectors.words.len());
    print::out!("  columns      {WORD_DIM}, {:.1} % of the teacher's variance", kept * 100.0);
    print::out!("  teacher      {teacher} (sha256 {sha256})");
}
