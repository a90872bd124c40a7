//! `${VAR}` and `${VAR:-default}`, put in before the YAML is read.
//!
//! Expansion is textual, so that numbers, addresses and keys may all come from the environment, but a value can
//! never change the structure of the file: one that YAML would not read as a single plain word is refused
//! outside double quotes and escaped inside them.

use super::Environment;
use super::fault::{Faults, Place};

/// The expanded text, and the way back to the columns of the file.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    pub(super) text: String,
    shifts: Vec<Shift>,
}

/// One replacement: on `line`, characters from `from` on stand `by` further right than they were written.
#[derive(Debug)]
struct Shift {
    line: usize,
    from: usize,
    origin: usize,
    by: isize,
    variable: String,
}

impl Expanded {
    /// The place in the file as written.
    pub(super) fn written(&self, place: Place) -> Place {
        let shift = self.shifts.iter().rev().find(|s| s.line == place.line && s.from < place.column);
        let Some(shift) = shift else { return place };
        let column = (place.column as isize - shift.by).max(shift.origin as isize) as usize;
        Place { line: place.line, column }
    }

    /// The variables that are named on a line of the file.
    pub(super) fn variables(&self, line: usize) -> impl Iterator<Item = &str> {
        self.shifts.iter().filter(move |shift| shift.line == line).map(|shift| shift.variable.as_str())
    }
}

/// Expands every reference outside comments; unset variables and unfinished references are faults.
pub(super) fn expand(text: &str, environment: Environment<'_>, faults: &mut Faults) -> Expanded {
    let mut expanded = Expanded::default();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        expand_line(line, index + 1, environment, faults, &mut expanded);
    }
    expanded
}

fn expand_line(
    line: &str,
    number: usize,
    environment: Environment<'_>,
    faults: &mut Faults,
    out: &mut Expanded,
) {
    let mut by = 0;
    let mut rest = line;
    let start = out.text.len();
    while let Some(at) = rest.find("${") {
        let written = line.len() - rest.len() + at;
        let before = &line[..written];
        if comment_starts(before) {
            break;
        }
        out.text.push_str(&rest[..at]);
        let place = Place { line: number, column: before.chars().count() + 1 };
        let Some(end) = rest[at..].find('}') else {
            faults.push(place, "`${` without its `}`", "write ${NAME} or ${NAME:-default}");
            break;
        };
        let reference = &rest[at..=at + end];
        let value = resolve(&reference[2..reference.len() - 1], environment, place, faults);
        let value = fit(&value, before, place, faults);
        out.text.push_str(&value);
        by += value.chars().count() as isize - reference.chars().count() as isize;
        let from = out.text[start..].chars().count();
        let variable = reference[2..reference.len() - 1].split(":-").next().unwrap_or_default().to_owned();
        out.shifts.push(Shift { line: number, from, origin: place.column, by, variable });
        rest = &rest[at + end + 1..];
    }
    out.text.push_str(rest);
}

fn resolve(reference: &str, environment: Environment<'_>, place: Place, faults: &mut Faults) -> String {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let proper = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !proper {
        let help = "a name has letters, digits and underscores: ${NAME} or ${NAME:-default}";
        faults.push(place, format!("`{name}` is no name of a variable"), help);
        return String::new();
    }
    let value = environment(name);
    let state = if value.is_some() { "is empty" } else { "is not set" };
    match (value.filter(|value| !value.is_empty()), default) {
        (Some(value), _) => {
            faults.note_variable(place.line, name, &value);
            value
        }
        (None, Some(default)) => default.to_owned(),
        (None, None) => {
            let help = format!("set it, or give a default: ${{{name}:-…}}");
            faults.push_unset(place, format!("the environment variable `{name}` {state}"), help);
            String::new()
        }
    }
}

/// The value as it may stand at this place of the line.
fn fit(value: &str, before: &str, place: Place, faults: &mut Faults) -> String {
    if inside_double_quotes(before) {
        return value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    }
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+=~".contains(c);
    if value.chars().all(plain) && !value.ends_with(':') && !value.starts_with(['-', '@', '%', '='])
        || value.is_empty()
    {
        return value.to_owned();
    }
    let help = "put the reference in double quotes: \"${NAME}\"";
    faults.push(place, "the value of this variable has characters that YAML would read as structure", help);
    String::new()
}

fn inside_double_quotes(before: &str) -> bool {
    let mut escaped = false;
    let mut inside = false;
    for c in before.chars() {
        match c {
            '\\' if inside => escaped = !escaped,
            '"' if !escaped => inside = !inside,
            _ => escaped = false,
        }
    }
    inside
}

fn comment_starts(before: &str) -> bool {
    let hash = before.trim_start().starts_with('#') || before.contains(" #") || before.contains("\t#");
    hash && !inside_double_quotes(before)
}
