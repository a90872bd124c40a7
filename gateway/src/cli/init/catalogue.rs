//! Which model of the router model's catalogue a model id means.
//!
//! Ids differ in case, in the folder before them and in the date behind them: `Qwen/Qwen2.5-7B-Instruct` and
//! `gpt-4o-2024-08-06` are known without these. Anything less alike is asked, never guessed: `gpt-4o-mini` is no `gpt-4o`.

use router_model::Known;

use crate::config::fault_suggestion;

/// The names of the catalogue, and where the graded answers of each came from.
#[derive(Debug, Default)]
pub(super) struct Catalogue(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    name: String,
    plain: String,
    sources: Vec<String>,
}

impl Catalogue {
    pub(super) fn new(known: &[Known]) -> Self {
        let entry = |known: &Known| Entry {
            name: known.name.clone(),
            plain: plain(&known.name),
            sources: known.sources.clone(),
        };
        Self(known.iter().map(entry).collect())
    }

    /// The name that means this model; of several dated ones the newest.
    pub(super) fn find(&self, model: &str) -> Option<&str> {
        let wanted = plain(model);
        let same = self.0.iter().filter(|entry| entry.plain == wanted);
        let exact =
            |entry: &&Entry| entry.name.eq_ignore_ascii_case(model.rsplit('/').next().unwrap_or(model));
        same.clone()
            .find(exact)
            .or_else(|| same.max_by(|a, b| a.name.cmp(&b.name)))
            .map(|entry| entry.name.as_str())
    }

    /// A name of the catalogue as it is written there.
    pub(super) fn named(&self, name: &str) -> Result<String, String> {
        let names = self.0.iter().map(|entry| entry.name.as_str());
        match names.clone().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => Ok(known.to_owned()),
            None => Err(format!("the catalogue has no `{name}`; {}", fault_suggestion(name, names))),
        }
    }

    /// Whether two of its models were graded on questions of one source, so that their figures compare.
    pub(super) fn compare(&self, one: &str, other: &str) -> bool {
        let sources = |name: &str| self.0.iter().find(|entry| entry.name == name).map(|entry| &entry.sources);
        match (sources(one), sources(other)) {
            (Some(one), Some(other)) => one.iter().any(|source| other.contains(source)),
            _ => false,
        }
    }

    /// One of these names, without sources.
    #[cfg(test)]
    pub(super) fn of(names: &[&str]) -> Self {
        let entry = |name: &&str| Entry { name: (*name).to_owned(), plain: plain(name), sources: Vec::new() };
        Self(names.iter().map(entry).collect())
    }
}

/// A model id without its folder, its case, its punctuation and its date.
fn plain(model: &str) -> String {
    let last = model.rsplit('/').next().unwrap_or(model).to_lowercase();
    let parts: Vec<&str> =
        last.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    parts[..parts.len() - date(&parts)].join("-")
}

/// How many of the last parts are a date: `2024 05 13`, `20240620`, `0613`.
fn date(parts: &[&str]) -> usize {
    let digits = |part: &str, n: usize| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    match parts {
        [_, .., year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) => 3,
        [_, .., day] if digits(day, 8) || digits(day, 4) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_without_its_folder_its_case_and_its_date() {
        let catalogue = Catalogue::of(&[
            "gpt-4o-2024-05-13",
            "gpt-4o-2024-08-06",
            "gpt-4o-mini-2024-07-18",
            "qwen2.5-7b-instruct",
            "claude-3-5-sonnet-20240620",
            "llama-3-8b",
        ]);
        for (model, found) in [
            ("gpt-4o", Some("gpt-4o-2024-08-06")),
            ("gpt-4o-2024-05-13", Some("gpt-4o-2024-05-13")),
            ("gpt-4o-mini", Some("gpt-4o-mini-2024-07-18")),
            ("Qwen/Qwen2.5-7B-Instruct", Some("qwen2.5-7b-instruct")),
            ("claude-3.5-sonnet", Some("claude-3-5-sonnet-20240620")),
            ("llama3:8b", None),
            ("gpt-4o-max", None),
            ("2024", None),
        ] {
            assert_eq!(catalogue.find(model), found, "{model}");
        }
    }
}
