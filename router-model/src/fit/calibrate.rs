//! A user's own experts, from a few hundred graded answers: a head each and, with the large model's answers, what
//! promises are made from. The trunk stays as it is; it takes about a second.

use std::collections::BTreeSet;

use super::Design;
use super::answers::{Asked, Material};
use super::known::{self, entry};
use crate::card::Known;
use crate::encode::fnv;
use crate::eval::calibration;
use crate::heads::Heads;
use crate::outcomes::{CHARS_PER_TOKEN, Outcome};
use crate::{RouterModel, Scratch};

/// Graded answers of a model that calibration needs.
pub const LEAST_ROWS: usize = 100;

/// By how much a mean squared error must be larger to be worse.
const MARGIN: f64 = 0.002;

/// What calibration found of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What stands in the catalogue from now on.
    pub known: Known,
    /// Mean squared error of the chances on answers that the head did not see.
    pub error: f64,
    /// The same of saying the mean always: the control.
    pub error_of_mean: f64,
    /// Where the model had a head before and there are answers that it did not learn from: on these, the mean
    /// squared error of the new head and of the old one.
    pub against_before: Option<[f64; 2]>,
}

impl Report {
    /// Why the new head should not be used, if so.
    pub fn objection(&self) -> Option<String> {
        let Report { known: Known { name, .. }, error, error_of_mean, against_before } = self;
        match against_before {
            Some([new, before]) if *new > before + MARGIN => Some(format!(
                "{name}: on answers that neither saw the new head is worse than the one there is (mean squared error {new:.4} against {before:.4}); the old one stays"
            )),
            _ if *error > error_of_mean + MARGIN => Some(format!(
                "{name}: on answers it did not see the head is worse than always saying the mean (mean squared error {error:.4} against {error_of_mean:.4}); give it more graded answers, or write its quality per domain"
            )),
            _ => None,
        }
    }
}

/// What calibration gives.
pub struct Calibrated {
    /// The model with the new heads.
    pub model: RouterModel,
    /// What was found, in the order of the names.
    pub reports: Vec<Report>,
}

/// Of five graded prompts so many are not learned from, where promises are to be made: from these they are.
const HELD_OUT_OF_FIVE: u64 = 2;

/// Fits heads for `experts`, cheapest first, and `fallback` on `outcomes`; with a fallback, two fifths of the prompts
/// are held out of the fits, and promises can be made from these.
///
/// # Errors
///
/// In words: when a model has too few graded answers.
pub fn calibrate(
    model: &RouterModel,
    outcomes: &[Outcome],
    experts: &[String],
    fallback: Option<&String>,
) -> Result<Calibrated, String> {
    let names: Vec<&String> = experts.iter().chain(fallback).collect();
    // by the text, and by other bits of its hash than its fold
    let is_held = |row: &Outcome| fallback.is_some() && fnv(row.prompt.bytes()) % 5 < HELD_OUT_OF_FIVE;
    let (held, seen): (Vec<Outcome>, Vec<Outcome>) = outcomes.iter().cloned().partition(is_held);
    let design = Design::new(model, seen.iter().map(|row| row.prompt.as_str()));
    let (mut heads, mut asked) = (Vec::new(), Vec::new());
    for name in &names {
        let graded = outcomes.iter().filter(|row| row.models.contains_key(*name)).count();
        if graded < LEAST_ROWS {
            return Err(format!("{name}: {graded} graded answers, where {LEAST_ROWS} are needed"));
        }
        let (picks, targets) = known::graded(&seen, name);
        let fit = design.fit(name, &picks, &targets);
        heads.push(fit.head);
        asked.push(Asked { name, picks, unseen: fit.unseen });
    }
    let heads = Heads::pack(&heads);
    let material = Material::new(model, &heads, held, seen, asked);
    let reports: Vec<Report> = material.asked.iter().map(|asked| report(model, &material, asked)).collect();
    let mut model = model.clone();
    model.heads = model.heads.merged(&heads);
    let new = |known: &Known| reports.iter().any(|report| report.known.name == known.name);
    model.card.known.retain(|known| !new(known));
    model.card.known.extend(reports.iter().map(|report| report.known.clone()));
    // what older sets say of these models, other heads said
    model.answers.iter_mut().for_each(|set| set.forget(|model| names.contains(&model)));
    model.carry(material.own(&model));
    model.card.version = model.fingerprint();
    Ok(Calibrated { model, reports })
}

/// Answers that a comparison of two heads needs.
const COMPARED: usize = 50;

fn report(model: &RouterModel, material: &Material<'_>, asked: &Asked<'_>) -> Report {
    let Material { outcomes, held_out, .. } = material;
    let Asked { name, picks, unseen } = asked;
    let targets = known::graded(outcomes, name).1;
    let known = verbose(model, outcomes, entry(name, outcomes, picks, &targets, unseen));
    let truth = |pick: usize| targets[pick];
    let mean = picks.iter().map(|&pick| truth(pick)).sum::<f32>() / picks.len().max(1) as f32;
    let brier = |said: &mut dyn Iterator<Item = (usize, f32)>| {
        calibration::judge(said.map(|(pick, chance)| (chance, truth(pick)))).brier
    };
    let unseen = || picks.iter().copied().zip(unseen.iter().copied());
    let learned = picks.iter().filter(|pick| *pick >= held_out);
    let learned: Vec<u32> = learned.map(|&pick| prompt_hash(&outcomes[pick].prompt)).collect();
    Report {
        error: brier(&mut unseen()),
        error_of_mean: brier(&mut picks.iter().map(|&pick| (pick, mean))),
        against_before: before(model, outcomes, name).and_then(|old| {
            let new: Vec<(usize, f32)> = unseen().filter(|(pick, _)| old(*pick).is_some()).collect();
            let old = new.iter().filter_map(|(pick, _)| Some((*pick, old(*pick)?)));
            (new.len() >= COMPARED).then(|| [brier(&mut new.iter().copied()), brier(&mut old.clone())])
        }),
        known: Known { learned, ..known },
    }
}

/// What the head that there is says of a row that it did not learn from; `None`: there is no such head.
fn before<'a>(
    model: &'a RouterModel,
    outcomes: &'a [Outcome],
    name: &str,
) -> Option<impl Fn(usize) -> Option<f32> + 'a> {
    let at = model.heads.names().iter().position(|known| known == name)?;
    let head = model.heads.select(&[at]);
    let seen: BTreeSet<u32> = model.card.known[at].learned.iter().copied().collect();
    Some(move |row: usize| {
        let prompt = outcomes[row].prompt.as_str();
        if seen.contains(&prompt_hash(prompt)) {
            return None;
        }
        let (mut scratch, mut chances) = (Scratch::default(), Vec::new());
        let _scores = model.score(prompt, &mut scratch);
        model.chances(&head, &mut scratch, &mut chances);
        chances.first().copied()
    })
}

/// The same with how long its answers were beside what was expected of each prompt, where enough have a length.
fn verbose(model: &RouterModel, outcomes: &[Outcome], known: Known) -> Known {
    let mut scratch = Scratch::default();
    let lengths = outcomes.iter().filter_map(|row| {
        let chars = row.out_chars.get(&known.name).filter(|chars| **chars > 0.0)?;
        let expected = model.score(&row.prompt, &mut scratch).output_tokens()?;
        Some((chars / CHARS_PER_TOKEN, f64::from(expected)))
    });
    let (count, tokens, expected) = lengths.fold((0, 0.0, 0.0), |(count, tokens, expected), length| {
        (count + 1, tokens + length.0, expected + length.1)
    });
    let verbosity = (count >= LEAST_ROWS).then(|| (tokens / expected) as f32);
    Known { verbosity: verbosity.or(known.verbosity), ..known }
}

fn prompt_hash(prompt: &str) -> u32 {
    fnv(prompt.bytes()) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::answers::OWN;

    /// The small model fails at sums, the large one never.
    fn outcome(n: usize) -> Outcome {
        let (prompt, small) = if n.is_multiple_of(2) {
            (format!("add {n} and {} and then {}", n * 3, n + 7), 0.0)
        } else {
            (format!("write a poem of {n} cats in a garden"), 1.0)
        };
        let models = BTreeMap::from([("small".to_owned(), small), ("large".to_owned(), 1.0)]);
        Outcome { prompt, domain: Some("math".into()), models, ..Outcome::default() }
    }

    fn outcomes() -> Vec<Outcome> {
        (0..400).map(outcome).collect()
    }

    #[test]
    fn a_new_expert_has_a_head_a_place_in_the_catalogue_and_a_promise() {
        let model = RouterModel::builtin().unwrap();
        let (small, large) = ("small".to_owned(), "large".to_owned());
        let found = calibrate(&model, &outcomes(), std::slice::from_ref(&small), Some(&large)).unwrap();
        assert!(found.reports.iter().all(|report| report.objection().is_none()), "{:?}", found.reports[0]);
        assert_ne!(found.model.version(), model.version());
        let again = RouterModel::from_bytes(&found.model.to_bytes().unwrap()).unwrap();
        let at = again.heads().names().iter().position(|name| *name == small).unwrap();
        let head = again.heads().select(&[at]);
        let (mut scratch, mut chances) = (Scratch::default(), Vec::new());
        let mut chance = |text: &str| {
            let _scores = again.score(text, &mut scratch);
            again.chances(&head, &mut scratch, &mut chances);
            chances[0]
        };
        let (sum, poem) = (chance("add 3 and 9 and then 4"), chance("write a poem of 3 cats in a garden"));
        assert!(sum < 0.3 && poem > 0.7, "{sum} {poem}");
        let set = crate::answers::set_of(again.answers(), &["small", "large"]).unwrap();
        assert_eq!((set.source.as_str(), set.len()), (OWN, 400));
        assert!((130..190).contains(&set.held_out), "{}", set.held_out);
        assert_eq!(again.card().known[at].learned.len(), 400 - set.held_out);
        let promise = set.calibration(&["small"], "large", again.domains()).unwrap().solve(0.1, 0.1).unwrap();
        assert!(promise.served > 0.4 && promise.served < 0.6, "{promise:?}");
    }

    #[test]
    fn what_is_promised_from_was_said_by_the_deployed_heads_of_prompts_they_did_not_learn_from() {
        let model = RouterModel::builtin().unwrap();
        let (small, large) = ("small".to_owned(), "large".to_owned());
        let all = outcomes();
        let found = calibrate(&model, &all, std::slice::from_ref(&small), Some(&large)).unwrap().model;
        let set = crate::answers::set_of(found.answers(), &["small"]).unwrap();
        let at = found.heads().names().iter().position(|name| *name == small).unwrap();
        let learned = &found.card().known[at].learned;
        let held: Vec<&Outcome> =
            all.iter().filter(|row| !learned.contains(&prompt_hash(&row.prompt))).collect();
        assert_eq!(held.len(), set.held_out);
        let (mut scratch, mut chances) = (Scratch::default(), Vec::new());
        for (row, (_, said)) in held.iter().zip(set.answered(&[0])) {
            let _scores = found.score(&row.prompt, &mut scratch);
            found.chances(found.heads(), &mut scratch, &mut chances);
            assert_eq!(crate::answers::as_graded(chances[at]), said[0].0, "{}", row.prompt);
            assert_eq!(row.models["small"] >= 0.5, said[0].1);
        }
        let without = calibrate(&model, &all, &[small, large], None).unwrap().model;
        let set = crate::answers::set_of(without.answers(), &["small", "large"]).unwrap();
        assert_eq!((set.len(), set.held_out), (400, 0), "who promises nothing learns from all");
    }

    #[test]
    fn too_few_answers_are_told_in_words() {
        let model = RouterModel::builtin().unwrap();
        let error = calibrate(&model, &outcomes()[..50], &["small".to_owned()], None).err().unwrap();
        assert_eq!(error, "small: 50 graded answers, where 100 are needed");
    }

    #[test]
    fn a_head_that_learned_from_few_does_not_replace_one_that_learned_from_many() {
        // forty subjects, the small model fails at every other one: many answers show them all, few do not
        let about = |n: usize| {
            let subject =
                format!("subject{}", char::from(b'a' + (n % 40 / 2) as u8).to_string().repeat(1 + n % 2));
            let models = BTreeMap::from([("small".to_owned(), (n % 40 / 2 % 2) as f32)]);
            Outcome { prompt: format!("tell me of {subject} in {n} words"), models, ..Outcome::default() }
        };
        let (model, small) = (RouterModel::builtin().unwrap(), ["small".to_owned()]);
        let many: Vec<Outcome> = (0..2000).map(about).collect();
        let few: Vec<Outcome> = (2000..2110).map(about).collect();
        let model = calibrate(&model, &many, &small, None).unwrap().model;
        let report = &calibrate(&model, &few, &small, None).unwrap().reports[0];
        let says = report.objection().unwrap_or_default();
        assert!(says.contains("the old one stays"), "{:?}", report.against_before);
    }

    #[test]
    fn answers_that_the_old_head_learned_from_do_not_speak_for_it() {
        let model = RouterModel::builtin().unwrap();
        let small = ["small".to_owned()];
        let model = calibrate(&model, &outcomes(), &small, None).unwrap().model;
        let again = calibrate(&model, &outcomes(), &small, None).unwrap();
        assert_eq!(again.reports[0].against_before, None);
        let grown: Vec<Outcome> = (0..480).map(outcome).collect();
        assert!(calibrate(&model, &grown, &small, None).unwrap().reports[0].against_before.is_some());
    }

    #[test]
    fn a_head_worse_than_the_mean_is_objected_to() {
        let model = RouterModel::builtin().unwrap();
        let report = calibrate(&model, &outcomes(), &["small".to_owned()], None).unwrap().reports.remove(0);
        assert_eq!(report.objection(), None);
        let worse = Report { error: report.error_of_mean + 0.01, ..report };
        assert!(worse.objection().unwrap().contains("worse than always saying the mean"));
    }
}
