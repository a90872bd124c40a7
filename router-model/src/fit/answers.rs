//! Graded answers brought to the shape in which a model carries them.

use crate::answers::{AnswerSet, Cell, Graded, OWN};
use crate::encode::fnv;
use crate::heads::Heads;
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

/// Graded answers and what was said of each before it was seen: of the first `held_out` rows by the heads as they are
/// deployed, of the others by heads fitted without them.
pub(super) struct Material<'a> {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) held_out: usize,
    pub(super) asked: Vec<Asked<'a>>,
}

impl<'a> Material<'a> {
    /// Of `seen`, which `heads` were fitted on and `asked` speaks of, and of `held`, which they were not. Both name the
    /// same models in the same order.
    pub(super) fn new(
        model: &RouterModel,
        heads: &Heads,
        held: Vec<Outcome>,
        seen: Vec<Outcome>,
        asked: Vec<Asked<'a>>,
    ) -> Material<'a> {
        let held_out = held.len();
        let (mut scratch, mut chances) = (Scratch::default(), Vec::new());
        let mut said = |outcome: &Outcome| {
            let _scores = model.score(&outcome.prompt, &mut scratch);
            model.chances(heads, &mut scratch, &mut chances);
            chances.clone()
        };
        let chances: Vec<Vec<f32>> = held.iter().map(&mut said).collect();
        let joined = |(head, asked): (usize, Asked<'a>)| {
            let rows = (0..held_out).filter(|&row| held[row].models.contains_key(asked.name));
            Asked {
                name: asked.name,
                picks: rows.clone().chain(asked.picks.iter().map(|pick| pick + held_out)).collect(),
                unseen: rows.map(|row| chances[row][head]).chain(asked.unseen).collect(),
            }
        };
        let asked = asked.into_iter().enumerate().map(joined).collect();
        Material { outcomes: held.into_iter().chain(seen).collect(), held_out, asked }
    }

    /// One set for each source, of at most `most` prompts drawn by their hashes, those held out first.
    pub(super) fn sets(&self, model: &RouterModel, most: usize) -> Vec<AnswerSet> {
        let source = |row: usize| self.outcomes[row].source.split('/').next().unwrap_or_default();
        let all = 0..self.outcomes.len();
        let mut names: Vec<&str> = all.clone().map(source).collect();
        names.sort_unstable();
        names.dedup();
        let rows = |name: &str| all.clone().filter(|&row| source(row) == name).collect();
        let sets = names.into_iter().map(|name| self.set(model, name, rows(name), most));
        sets.filter(|set| !set.is_empty()).collect()
    }

    /// The set of all rows, as a user's own.
    pub(super) fn own(&self, model: &RouterModel) -> AnswerSet {
        self.set(model, OWN, (0..self.outcomes.len()).collect(), usize::MAX)
    }

    /// The set of those `rows` of a source that at least two models answered, for only they say something of a choice;
    /// at most `most`.
    fn set(&self, model: &RouterModel, source: &str, mut rows: Vec<usize>, most: usize) -> AnswerSet {
        let Material { outcomes, held_out, asked } = self;
        let said = |asked: &Asked<'_>, row: usize| Some(asked.unseen[asked.picks.binary_search(&row).ok()?]);
        rows.retain(|&row| asked.iter().filter(|asked| said(asked, row).is_some()).count() > 1);
        rows.sort_by_cached_key(|&row| (row >= *held_out, fnv(outcomes[row].prompt.bytes()), row));
        rows.truncate(most);
        rows.sort_unstable();
        let here: Vec<&Asked<'_>> =
            asked.iter().filter(|asked| rows.iter().any(|&row| said(asked, row).is_some())).collect();
        let cell = |asked: &Asked<'_>, row: usize| match said(asked, row) {
            Some(chance) => Cell::new(chance, outcomes[row].models[asked.name] >= 0.5),
            None => Cell::ABSENT,
        };
        let mut scratch = Scratch::default();
        let mut prompt = |row: usize| Graded::of(&model.score(&outcomes[row].prompt, &mut scratch));
        AnswerSet {
            source: source.to_owned(),
            models: here.iter().map(|asked| asked.name.to_owned()).collect(),
            held_out: rows.partition_point(|row| row < held_out),
            prompts: rows.iter().map(|&row| prompt(row)).collect(),
            cells: rows.iter().flat_map(|&row| here.iter().map(move |asked| cell(asked, row))).collect(),
        }
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
        let asked = vec![asked("a", 0..40), asked("b", 5..30)];
        let material = Material::new(&model, &Heads::default(), Vec::new(), outcomes, asked);
        let found = material.sets(&model, 20);
        // of the second source only one model was asked
        assert_eq!((found.len(), found[0].source.as_str(), found[0].len()), (1, "one", 20));
        let both: Vec<_> = found[0].answered(&[0, 1]).collect();
        assert_eq!(both.len(), 20, "the first five have one answer");
        assert!(both.iter().all(|(_, answers)| answers[0].1 && !answers[1].1), "{both:?}");
        assert!(both.iter().all(|(_, answers)| answers[0].0 == answers[1].0), "{both:?}");
    }

    #[test]
    fn prompts_held_out_come_first_and_stay_when_there_are_too_many() {
        let outcome = |n: usize| Outcome {
            prompt: format!("prompt {n}"),
            source: "one".into(),
            models: [("a".to_owned(), 1.0), ("b".to_owned(), 0.2)].into(),
            ..Outcome::default()
        };
        let model = RouterModel::builtin().unwrap();
        let heads = model.heads().select(&[3, 5]);
        let asked = ["a", "b"].map(|name| Asked { name, picks: (0..30).collect(), unseen: vec![0.25; 30] });
        let (held, seen) = ((0..10).map(outcome).collect(), (10..40).map(outcome).collect());
        let set = &Material::new(&model, &heads, held, seen, asked.into()).sets(&model, 25)[0];
        assert_eq!((set.held_out, set.len()), (10, 25));
        let said: Vec<f32> = set.answered(&[0]).map(|(_, answers)| answers[0].0).collect();
        assert!(said[10..].iter().all(|chance| (chance - 0.25).abs() < 1e-4), "{said:?}");
        let (mut scratch, mut chances) = (Scratch::default(), Vec::new());
        let _scores = model.score("prompt 7", &mut scratch);
        model.chances(&heads, &mut scratch, &mut chances);
        assert_eq!(said[7], crate::answers::as_graded(chances[0]));
    }
}
