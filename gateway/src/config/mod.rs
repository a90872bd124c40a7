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
pub(crate) use fault::suggestion as fault_suggestion;
pub use fault::{Fault, Faults, Place};
pub(crate) use mask::addresses as without_secrets;
pub use origin::Setting;
pub use units::{DurationText, Percent, Secret, Size};
pub use written::Config;

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

/// Reads, expands and checks the file at `path`; all faults at once.
pub fn load(path: &Path) -> Result<Checked, Faults> {
    let text = std::fs::read_to_string(path).map_err(|error| Faults::unreadable(path, &error))?;
    parse(&path.display().to_string(), &text, &process_environment)
}

/// The same from a text; `name` stands in the messages.
pub fn parse(name: &str, text: &str, environment: Environment<'_>) -> Result<Checked, Faults> {
    // YAML's line ends are these three: with one kind of them every hand counts alike
    let text =
        if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() };
    let mut faults = Faults::new(Source::new(name, &text));
    let expanded = env::expand(&text, environment, &mut faults);
    let Some(tree) = Spot::parse(&expanded, &mut faults) else { return Err(faults) };
    let config = tree::read::<Config>(&tree, &mut faults);
    let Some(config) = config else { return Err(faults) };
    let warnings = check::check(&config, &tree, &mut faults);
    if faults.is_empty() {
        let settings = origin::settings(&config, &tree, &expanded);
        let (hash, rules) = (hash_of(&expanded.text), rules(name, &tree));
        return Ok(Checked { config, hash, settings, rules, warnings });
    }
    faults.sort();
    Err(faults)
}

/// What records call the rules of a file.
fn rules(name: &str, tree: &Spot) -> Vec<Arc<str>> {
    let file = Path::new(name).file_name().map_or(name.into(), |file| file.to_string_lossy());
    let rules = tree.get("rules").map(Spot::items).unwrap_or_default().iter().enumerate();
    rules.map(|(index, rule)| format!("rules[{index}], {file}:{}", rule.place.line).into()).collect()
}

/// The reference configuration that this build carries; `experts.yaml` of the repository.
pub fn reference() -> Result<Checked, Faults> {
    parse("experts.yaml (built in)", REFERENCE, &process_environment)
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
