//! Graded answers brought to the shape in which a model carries them.

use crate::answers::{AnswerSet, Cell, Graded};
use crate::encode::fnv;
use crate::outcomes::Outcome;
use crate::{RouterModel, Scratch};

/// A model that was asked, and what a head that had not seen its answers said of each.
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    /// Rows that it answered, ascending.
    pub(super) picks: Vec<usize>,
    /// The chance said of each.
    pub(super) unseen: Vec<f32>,
}

/// One set for each source, of at most `most` prompts drawn by their hashes.
pub(super) fn sets(
    model: &RouterModel,
    outcomes: &[Outcome],
    asked: &[Asked<'_>],
    most: usize,
) -> Vec<AnswerSet> {
    let source = |row: usize| outcomes[row].source.split('/').next().unwrap_or_default();
    let mut names: Vec<&str> = (0..outcomes.len()).map(source).collect();
    names.sort_unstable();
    names.dedup();
    let rows = |name: &str| (0..outcomes.len()).filter(|&row| source(row) == name).collect();
    let sets = names.into_iter().map(|name| set(model, name, outcomes, rows(name), asked, most));
    sets.filter(|set| !set.is_empty()).collect()
}

/// The set of those `rows` of a source that at least two models answered, for only they say something of a choice;
/// at most `most`.
pub(super) fn set(
    model: &RouterModel,
    source: &str,
    outcomes: &[Outcome],
    mut rows: Vec<usize>,
    asked: &[Asked<'_>],
    most: usize,
) -> AnswerSet {
    let said = |asked: &Asked<'_>, row: usize| Some(asked.unseen[asked.picks.binary_search(&row).ok()?]);
    rows.retain(|&row| asked.iter().filter(|asked| said(asked, row).is_some()).count() > 1);
    rows.sort_by_cached_key(|&row| (fnv(outcomes[row].prompt.bytes()), row));
    rows.truncate(most);
    rows.sort_unstable();
    let here: Vec<&Asked<'_>> =
        asked.iter().filter(|asked| rows.iter().any(|&row| said(asked, row).is_some())).collect();
    let cell = |asked: &Asked<'_>, row: usize| match said(asked, row) {
        Some(chance) => Cell::new(chance, outcomes[row].models[asked.name] >= 0.5),
        None => Cell::ABSENT,
    };
    let mut scratch = Scratch::default();
    let mut prompt = |row: usize| {
        let scores = model.score(&outcomes[row].prompt, &mut scratch);
        let (domain, confidence) = scores.top();
        Graded { domain, confidence, ood: scores.ood() }
    };
    AnswerSet {
        source: source.to_owned(),
        models: here.iter().map(|asked| asked.name.to_owned()).collect(),
        prompts: rows.iter().map(|&row| prompt(row)).collect(),
        cells: rows.iter().flat_map(|&row| here.iter().map(move |asked| cell(asked, row))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_stay_apart_and_who_was_not_asked_is_told() {
        let outcome = |n: usize| Outcome {
            prompt: format!("prompt {n}"),
            source: if n < 30 { "one/a" } else { "two" }.into(),
            models: [("a".to_owned(), 1.0), ("b".to_owned(), 0.2)].into(),
            ..Outcome::default()
        };
        let outcomes: Vec<Outcome> = (0..40).map(outcome).collect();
        let asked = |name, picks: std::ops::Range<usize>| Asked {
            name,
            unseen: picks.clone().map(|n| n as f32 / 100.0).collect(),
            picks: picks.collect(),
        };
        let model = RouterModel::builtin().unwrap();
        let found = sets(&model, &outcomes, &[asked("a", 0..40), asked("b", 5..30)], 20);
        // of the second source only one model was asked
        assert_eq!((found.len(), found[0].source.as_str(), found[0].len()), (1, "one", 20));
        let both: Vec<_> = found[0].answered(&[0, 1]).collect();
        assert_eq!(both.len(), 20, "the first five have one answer");
        assert!(both.iter().all(|(_, answers)| answers[0].1 && !answers[1].1), "{both:?}");
        assert!(both.iter().all(|(_, answers)| answers[0].0 == answers[1].0), "{both:?}");
    }
}
