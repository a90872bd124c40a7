//! Faults of a configuration, each with its place, shown the way rustc shows its own.

use std::fmt::{self, Write};
use std::path::Path;

use super::mask;

/// Where in the file: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line, from 1; 0 where the fault has none.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What is wrong, with the value in it.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
}

/// The file as it was written, for the lines in messages.
#[derive(Debug, Clone)]
pub(super) struct Source {
    name: String,
    lines: Vec<String>,
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    /// The place itself; of one behind the last line, the end of that line.
    fn nearest(&self, place: Place) -> Place {
        match self.lines.last() {
            Some(last) if place.line > self.lines.len() => {
                Place { line: self.lines.len(), column: last.chars().count() + 1 }
            }
            _ => place,
        }
    }
}

/// Everything that is wrong with one file.
#[derive(Debug, Clone)]
pub struct Faults {
    source: Source,
    list: Vec<Fault>,
    /// Lines with a variable that is not set: what is missing there was told.
    unset: Vec<usize>,
    /// Line, name and value of every variable of the environment: a message shows the name.
    variables: Vec<(usize, String, String)>,
}

/// A shorter value tells nothing, and would be found in other words.
const SHORTEST_VALUE: usize = 4;

impl Faults {
    pub(super) fn new(source: Source) -> Self {
        Self { source, list: Vec::new(), unset: Vec::new(), variables: Vec::new() }
    }

    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let mut faults = Self::new(Source::new(&path.display().to_string(), ""));
        let help = "name a readable file with --config, or run `mixgate demo`, which needs none";
        faults.push(Place::default(), format!("the file cannot be read: {error}"), help);
        faults
    }

    pub(super) fn push(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let place = self.source.nearest(place);
        self.list.push(Fault { place, message: message.into(), help: help.into() });
    }

    pub(super) fn push_unset(&mut self, place: Place, message: String, help: String) {
        self.unset.push(place.line);
        self.push(place, message, help);
    }

    /// Notes what stands for a variable on a line.
    pub(super) fn note_variable(&mut self, line: usize, name: &str, value: &str) {
        if value.len() >= SHORTEST_VALUE {
            self.variables.push((line, name.to_owned(), value.to_owned()));
        }
    }

    /// For values that do not fit: one that came from an unset variable was told already.
    pub(super) fn push_unless_unset(&mut self, place: Place, message: String, help: String) {
        if !self.unset.contains(&place.line) {
            self.push(place, message, help);
        }
    }

    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|fault| fault.place);
    }

    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The faults, in the order of the file.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    fn write_one(&self, out: &mut dyn Write, fault: &Fault) -> fmt::Result {
        let Place { line, column } = fault.place;
        let shown =
            line.checked_sub(1).map(|index| mask::line(&self.source.lines, index)).unwrap_or_default();
        let here = self.variables.iter().filter(|(of, ..)| *of == line);
        let named = here.fold(fault.message.clone(), |text, (_, name, value)| {
            text.replace(value.as_str(), &format!("${{{name}}}"))
        });
        writeln!(out, "error: {}", shown.message(&named))?;
        if line == 0 {
            writeln!(out, "  --> {}", self.source.name)?;
        } else {
            let text = &shown.text;
            let margin = line.to_string().len();
            writeln!(out, "{:margin$}--> {}:{line}:{column}", "", self.source.name)?;
            writeln!(out, "{:margin$} |", "")?;
            writeln!(out, "{line} | {text}")?;
            writeln!(out, "{:margin$} | {:>column$}", "", "^")?;
        }
        if !fault.help.is_empty() {
            writeln!(out, "  = help: {}", fault.help)?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.list {
            self.write_one(out, fault)?;
            writeln!(out)?;
        }
        let count = self.list.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        write!(out, "{count} {noun} in {}", self.source.name)
    }
}

impl std::error::Error for Faults {}

/// « (did you mean `a` or `b`?)» from what is known, or nothing.
pub(crate) fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// `a`, `b` and `c` in back quotes, or all that is known where nothing is near.
pub(crate) fn suggestion<'k>(word: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    let near = near(word, known.clone());
    let list = |names: Vec<&'k str>| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if near.is_empty() {
        format!("known here: {}", list(known.into_iter().collect()))
    } else {
        format!("did you mean {}?", list(near).replace(", ", " or "))
    }
}
