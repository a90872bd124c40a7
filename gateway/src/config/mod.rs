//! Configuration: written, checked, then used.
//!
//! A file goes through four hands. `env` puts variables in; `tree` keeps every value with its place; `written`
//! is the file as serde types, one struct per section; `check` holds them against each other. No hand stops at
//! its first fault: an operator sees all of them at once, each with file, line, column and the line itself.
//! Building the running gateway from a checked configuration is `state`'s work.

mod check;
mod env;
mod fault;
mod mask;
mod origin;
mod pricing;
mod tree;
mod units;
pub mod written;

use std::path::Path;
use std::sync::Arc;

pub use check::is_loopback;
pub(crate) use check::is_name;
pub(crate) use fault::suggestion as fault_suggestion;
pub use fault::{Fault, Faults, Place};
pub(crate) use mask::addresses as without_secrets;
pub use origin::Setting;
pub use units::{DurationText, Percent, Secret, Size};
pub use written::Config;

use env::Expanded;
use fault::Source;
use tree::Spot;

/// Looks a variable up: the process environment, or a map in tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A configuration that passed every check, and what it was read from.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The values, defaults filled in.
    pub config: Config,
    /// SHA-256 over the expanded text, first 12 hex digits; the label of `config_info`.
    pub hash: String,
    /// Every value and where it came from.
    pub settings: Vec<Setting>,
    /// Each rule's position and line, as `rules[1], experts.yaml:57`. Of the file its name alone: clients may read it.
    pub rules: Vec<Arc<str>>,
    /// Remarks that refuse nothing.
    pub warnings: Vec<String>,
}

/// A configuration that was read and checked by itself: its values, and the faults so far. The router model that it
/// names is held against it before it is finished.
#[derive(Debug)]
pub struct Draft {
    name: String,
    config: Config,
    tree: Spot,
    expanded: Expanded,
    faults: Faults,
    warnings: Vec<String>,
}

impl Draft {
    /// The values, as far as they could be read.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Adds a fault at the value under these keys, or the nearest part of it that is written. A number counts the items
    /// of a list as [`Draft::config`] has them.
    pub(crate) fn fault(&mut self, keys: &[&str], message: String, help: impl Into<String>) {
        self.faults.push(self.tree.nearest(keys).place, message, help);
    }

    /// The configuration, where nothing is wrong with it.
    ///
    /// # Errors
    ///
    /// Every fault, in the order of the file.
    pub fn finish(self) -> Result<Checked, Faults> {
        if !self.faults.is_empty() {
            return Err(self.refuse());
        }
        let Self { name, config, tree, expanded, warnings, .. } = self;
        let settings = origin::settings(&config, &tree, &expanded);
        Ok(Checked { config, hash: hash_of(&expanded.text), settings, rules: rules(&name, &tree), warnings })
    }

    /// Its faults, in the order of the file.
    pub(crate) fn refuse(mut self) -> Faults {
        self.faults.sort();
        self.faults
    }
}

/// Reads, expands and checks the file at `path`.
///
/// # Errors
///
/// Where there are no values to go on with: the file cannot be read, or is no YAML.
pub fn read(path: &Path) -> Result<Draft, Faults> {
    let text = std::fs::read_to_string(path).map_err(|error| Faults::unreadable(path, &error))?;
    draft(&path.display().to_string(), &text, &process_environment)
}

/// A whole configuration from a text, without its router model; `name` stands in the messages.
pub fn parse(name: &str, text: &str, environment: Environment<'_>) -> Result<Checked, Faults> {
    draft(name, text, environment)?.finish()
}

/// As [`read`], from a text.
pub fn draft(name: &str, text: &str, environment: Environment<'_>) -> Result<Draft, Faults> {
    // YAML's line ends are these three: with one kind of them every hand counts alike
    let text =
        if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() };
    let mut faults = Faults::new(Source::new(name, &text));
    let expanded = env::expand(&text, environment, &mut faults);
    let Some(tree) = Spot::parse(&expanded, &mut faults) else { return Err(faults) };
    let config = tree::read::<Config>(&tree, &mut faults);
    let Some(config) = config else { return Err(faults) };
    let warnings = check::check(&config, &tree, &mut faults);
    Ok(Draft { name: name.to_owned(), config, tree, expanded, faults, warnings })
}

/// What records call the rules of a file.
fn rules(name: &str, tree: &Spot) -> Vec<Arc<str>> {
    let file = Path::new(name).file_name().map_or(name.into(), |file| file.to_string_lossy());
    let rules = tree.get("rules").map(Spot::items).unwrap_or_default().iter().enumerate();
    rules.map(|(index, rule)| format!("rules[{index}], {file}:{}", rule.place.line).into()).collect()
}

/// The reference configuration that this build carries; `experts.yaml` of the repository.
pub fn reference() -> Result<Draft, Faults> {
    draft("experts.yaml (built in)", REFERENCE, &process_environment)
}

const REFERENCE: &str = include_str!("../../../experts.yaml");

/// The JSON Schema of the configuration file, pretty-printed.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Config);
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

fn hash_of(text: &str) -> String {
    crate::auth::hex(&crate::auth::sha256(text.as_bytes()))[..12].to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A variable of the environment that a command takes; empty: not set.
pub(crate) fn environment(name: &str) -> Option<String> {
    process_environment(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
