//! Does the model know what it does not know: familiar prompts against strange ones, by the out-of-distribution
//! score.

use router_model::data::Row;
use router_model::{RouterModel, Scratch};
use serde::Serialize;

use super::served;
use crate::cli::print;
use crate::policy::MAX_OOD;

/// How well strange prompts are told from familiar ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Strange {
    /// Share of the familiar prompts that the default threshold turns away.
    turned_away: f32,
    /// One per kind of strange prompt.
    kinds: Vec<Kind>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Kind {
    kind: &'static str,
    n: usize,
    /// Chance that a strange prompt has a higher score than a familiar one.
    auroc: f32,
    /// Familiar prompts turned away by a threshold that catches 95 % of the strange ones.
    fpr95: f32,
    /// Share of the strange prompts that the default threshold catches.
    caught: f32,
}

pub(super) fn judge(model: &RouterModel, familiar: &[Row], unlike: &[String]) -> Strange {
    let mut scratch = Scratch::default();
    let mut scores = |texts: &mut dyn Iterator<Item = String>| -> Vec<f32> {
        texts.map(|text| model.score(&text, &mut scratch).ood()).collect()
    };
    let (nothing, familiar): (Vec<&Row>, Vec<&Row>) = familiar.iter().partition(|row| row.is_none());
    let mut known: Vec<f32> = familiar.iter().map(|row| served::read(model, row).ood()).collect();
    known.sort_by(f32::total_cmp);
    let sample = || familiar.iter().step_by(7).map(|row| row.prompt.as_str());
    let mut kinds = vec![
        ("letters of each word in another order", scores(&mut sample().map(scramble))),
        ("letters replaced by others", scores(&mut sample().map(replace))),
        ("letters of a script never seen", scores(&mut sample().map(transcribe))),
    ];
    if !nothing.is_empty() {
        kinds.insert(0, ("rows labelled none", scores(&mut nothing.iter().map(|row| row.prompt.clone()))));
    }
    if !unlike.is_empty() {
        kinds.insert(0, ("the prompts of --unlike", scores(&mut unlike.iter().cloned())));
    }
    Strange {
        turned_away: share(&known, MAX_OOD),
        kinds: kinds.into_iter().map(|(kind, scores)| of(kind, &known, scores)).collect(),
    }
}

fn of(kind: &'static str, known: &[f32], mut scores: Vec<f32>) -> Kind {
    scores.sort_by(f32::total_cmp);
    let below = |score: &f32| {
        let low = known.partition_point(|known| known < score);
        let high = known.partition_point(|known| known <= score);
        low.midpoint(high) as f32 + ((high - low) % 2) as f32 / 2.0
    };
    let pairs = (known.len() * scores.len()).max(1) as f32;
    let threshold = scores.get(scores.len() / 20).copied().unwrap_or_default();
    Kind {
        kind,
        n: scores.len(),
        auroc: scores.iter().map(below).sum::<f32>() / pairs,
        fpr95: share(known, threshold),
        caught: share(&scores, MAX_OOD),
    }
}

/// Share of ascending scores at or above a threshold.
fn share(ascending: &[f32], threshold: f32) -> f32 {
    let under = ascending.partition_point(|score| *score < threshold);
    (ascending.len() - under) as f32 / ascending.len().max(1) as f32
}

fn map_words(text: &str, mut change: impl FnMut(&str, &mut fastrand::Rng) -> String) -> String {
    let mut random = fastrand::Rng::with_seed(text.len() as u64);
    text.split_whitespace().map(|word| change(word, &mut random)).collect::<Vec<_>>().join(" ")
}

fn scramble(text: &str) -> String {
    map_words(text, |word, random| {
        let mut letters: Vec<char> = word.chars().collect();
        random.shuffle(&mut letters);
        letters.into_iter().collect()
    })
}

fn replace(text: &str) -> String {
    map_words(text, |word, random| word.chars().map(|_| random.lowercase()).collect())
}

/// Into Georgian letters, one for one.
fn transcribe(text: &str) -> String {
    let letter = |c: char| match c {
        'a'..='z' => char::from_u32(0x10d0 + (c as u32 - 'a' as u32)).unwrap_or(c),
        _ => c,
    };
    text.to_lowercase().chars().map(letter).collect()
}

pub(super) fn show(found: &Strange) {
    let mut table = super::domains::table(&["strange prompts", "AUROC", "FPR95", "caught by default"]);
    for kind in &found.kinds {
        let figures = [kind.auroc, kind.fpr95, kind.caught].map(|figure| format!("{figure:.3}"));
        table.add_row([kind.kind.to_owned()].into_iter().chain(figures));
    }
    print::out!("{table}");
    print::out!(
        "of the familiar prompts the default threshold of {MAX_OOD} turns away {:.3}",
        found.turned_away
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_one_when_all_are_apart_and_half_when_all_are_alike() {
        assert_eq!(of("", &[0.1, 0.2], vec![0.3, 0.4]).auroc, 1.0);
        assert_eq!(of("", &[0.2, 0.2, 0.2], vec![0.2, 0.2]).auroc, 0.5);
        assert_eq!(of("", &[0.1, 0.3], vec![0.2]).auroc, 0.5);
    }

    #[test]
    fn strange_texts_are_strange() {
        assert_ne!(scramble("derivative of polynomials"), "derivative of polynomials");
        assert_eq!(replace("two words").split(' ').map(str::len).collect::<Vec<_>>(), [3, 5]);
        assert!(transcribe("abc").chars().all(|c| ('\u{10d0}'..='\u{10ff}').contains(&c)));
    }
}
