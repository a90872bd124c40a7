//! What one's own labels teach the network: to name the domains as its user does, and domains of the user's own.
//!
//! Tables and trunk stay as they are. Of the known domains the head moves, held to where it was: from a hundred labels it
//! mostly learns what its user's traffic is about, from more how that is written. A new domain is a line through the
//! direction of the words, learned from its examples against the other labelled requests and those that the model
//! carries. A second is enough for a thousand labels.

mod judge;
mod lesson;
mod seen;
mod write;

use std::collections::BTreeMap;

use crate::RouterModel;
use crate::card::Taught;
use crate::data::{NONE, Row};
use crate::scores::MAX_DOMAINS;
use judge::{curve, judge, told_apart};
use lesson::{Lesson, lesson};
use seen::{Reader, Seen};
use write::{retell, write};

/// Labelled requests that are needed to learn from.
pub const LEAST_LABELS: usize = 25;
/// Examples that a new domain needs.
pub const LEAST_EXAMPLES: usize = 50;

/// How a new domain is told from the others, on requests that were not learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDomain {
    /// Its name.
    pub name: String,
    /// Its examples.
    pub examples: usize,
    /// How many of them are named so.
    pub found: usize,
    /// Other requests, the labelled and the carried.
    pub others: usize,
    /// How many of these are named so, too.
    pub mistaken: usize,
}

/// What so many labels do for requests that were not learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Labels learned from.
    pub labels: usize,
    /// Requests that were judged, over all draws.
    pub judged: usize,
    /// Share that is named as labelled without learning.
    pub before: f64,
    /// The same after it.
    pub after: f64,
}

/// What labels taught.
pub struct Lessons {
    /// The model that learned.
    pub model: RouterModel,
    /// Labelled requests by domain.
    pub counts: BTreeMap<String, usize>,
    /// Requests labelled as about nothing, which teach nothing here.
    pub nothing: usize,
    /// On requests of known domains that were not learned from, four fifths of all being learned: accuracy and mean log
    /// loss before.
    pub before: [f64; 2],
    /// The same after.
    pub after: [f64; 2],
    /// Requests these figures are of.
    pub judged: usize,
    /// How accuracy grows with the labels.
    pub curve: Vec<Step>,
    /// The new domains.
    pub new: Vec<NewDomain>,
}

/// By how much a log loss must be larger to be worse.
const MARGIN: f64 = 0.005;

impl Lessons {
    /// Why the model should not be used, if so.
    pub fn objections(&self) -> Vec<String> {
        let worse = (self.after[1] > self.before[1] + MARGIN).then(|| {
            format!(
                "on labels that it had not learned from the log loss grows from {:.3} to {:.3}: these labels do not agree with each other, or are too few",
                self.before[1], self.after[1]
            )
        });
        let alone = self.new.iter().filter(|domain| domain.others == 0).map(|domain| {
            format!(
                "{}: there is nothing to tell it from, as the model carries no requests; label requests of other domains, too",
                domain.name
            )
        });
        let lost = self.new.iter().filter(|domain| 2 * domain.found < domain.examples).map(|domain| {
            format!(
                "{}: of its {} examples {} are found when they are not learned from; its requests look like those of other domains",
                domain.name, domain.examples, domain.found
            )
        });
        worse.into_iter().chain(alone).chain(lost).collect()
    }
}

/// Teaches `model` by labelled requests.
///
/// # Errors
///
/// In words: when there are too few labels, or examples of a new domain, or too many domains.
pub fn teach(model: &RouterModel, rows: &[Row], taught: Taught) -> Result<Lessons, String> {
    let (labels, counts) = labels(model, rows)?;
    let known = model.card.labels.len();
    let mut reader = Reader::new(model, rows);
    let own: Vec<Seen> = rows
        .iter()
        .filter_map(|row| {
            Some(reader.read(&row.prompt, labels.iter().position(|name| Some(name) == row.domain.as_ref())?))
        })
        .collect();
    let requests = model.traffic.requests.iter();
    let carried: Vec<Seen> = requests.map(|request| reader.read(&request.text, request.label)).collect();
    let all: Vec<&Seen> = own.iter().collect();
    let new = labels.len() - known;
    let by_fold: Vec<Lesson> = (0..super::FOLDS)
        .map(|fold| lesson(&without(&all, fold), &carried_without(&carried, fold), known, new))
        .collect();
    let held = |lessons: Option<&[Lesson]>| judge(&all, lessons, known);
    let mut found = Lessons {
        before: held(None),
        after: held(Some(&by_fold)),
        judged: all.iter().filter(|seen| seen.label < known).count(),
        curve: curve(&all, known),
        new: told_apart(&own, &carried, &by_fold, &labels[known..], known),
        nothing: rows.iter().filter(|row| row.is_none()).count(),
        counts,
        model: model.clone(),
    };
    let whole = lesson(&all, &carried.iter().collect::<Vec<_>>(), known, new);
    write(&mut found.model, &whole, &reader, &labels[known..]);
    retell(&mut found.model, &carried, &whole, &by_fold);
    let [before, after] = [found.before[0], found.after[0]].map(|share| share as f32);
    found.model.card.taught.push(Taught { new: labels[known..].to_vec(), before, after, ..taught });
    found.model.card.version = found.model.fingerprint();
    Ok(found)
}

/// The known domains and the new ones behind them, and how often each is labelled.
fn labels(model: &RouterModel, rows: &[Row]) -> Result<(Vec<String>, BTreeMap<String, usize>), String> {
    let mut counts = BTreeMap::new();
    for domain in rows.iter().filter(|row| !row.is_none()).filter_map(|row| row.domain.clone()) {
        *counts.entry(domain).or_default() += 1;
    }
    let total: usize = counts.values().sum();
    if total < LEAST_LABELS {
        return Err(format!("{total} labelled requests, where {LEAST_LABELS} are needed"));
    }
    let mut labels = model.card.labels.clone();
    for (name, &count) in counts.iter().filter(|(name, _)| !model.card.labels.contains(name)) {
        if count < LEAST_EXAMPLES {
            return Err(format!(
                "`{name}`, which the model does not know, has {count} examples, where a new domain needs {LEAST_EXAMPLES}; the model knows {}",
                model.card.labels.join(" ")
            ));
        }
        let is_label = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.len() > 64 || !name.bytes().all(is_label) || name == NONE {
            return Err(format!("`{name}` is no name for a domain: letters, digits, `-`, `_`, `.`"));
        }
        labels.push(name.clone());
    }
    match labels.len() {
        0..=MAX_DOMAINS => Ok((labels, counts)),
        count => Err(format!("{count} domains, where {MAX_DOMAINS} can be held")),
    }
}

fn without<'s>(seen: &[&'s Seen], fold: usize) -> Vec<&'s Seen> {
    seen.iter().copied().filter(|seen| seen.fold != fold).collect()
}

fn carried_without(carried: &[Seen], fold: usize) -> Vec<&Seen> {
    without(&carried.iter().collect::<Vec<_>>(), fold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scores, Scratch};

    fn model() -> RouterModel {
        RouterModel::builtin().unwrap()
    }

    fn row(prompt: String, domain: &str) -> Row {
        Row { prompt, domain: Some(domain.into()), ..Row::default() }
    }

    /// What the model carries, the labels of one domain given to another.
    fn renamed(model: &RouterModel, from: &str, to: &str, rows: usize) -> Vec<Row> {
        let label = |label: usize| if model.domains()[label] == from { to } else { &model.domains()[label] };
        let requests = model.traffic().requests().iter().take(rows);
        requests.map(|request| row(request.text.clone(), label(request.label))).collect()
    }

    /// Requests of a trade that the model does not know by this name.
    fn claims(count: usize) -> Vec<Row> {
        let what =
            ["water damage in the kitchen", "a broken windscreen", "hail on the roof", "a stolen bicycle"];
        let ask = [
            "Is it covered?",
            "What is still missing?",
            "Who pays the deductible?",
            "Draft the letter of acceptance.",
        ];
        let claim = |n: usize| {
            format!("Claim {}: our policyholder reports {}. {}", 7 * n + 3, what[n % 4], ask[n / 4 % 4])
        };
        (0..count).map(|n| row(claim(n), "claims")).collect()
    }

    fn score(model: &RouterModel, text: &str) -> Scores {
        model.score(text, &mut Scratch::default())
    }

    #[test]
    fn the_head_learns_what_its_user_calls_things() {
        let model = model();
        let rows = renamed(&model, "legal", "finance", 600);
        let taught = teach(&model, &rows, Taught::default()).unwrap();
        assert_eq!(taught.objections(), Vec::<String>::new());
        assert!(taught.after[0] > taught.before[0] + 0.02, "{:?} {:?}", taught.before, taught.after);
        let text = "Does the tenant have to give notice if the lease is for a fixed term?";
        let finance = model.domains().iter().position(|name| name == "finance").unwrap();
        let (old, new) =
            (score(&model, text).domains()[finance], score(&taught.model, text).domains()[finance]);
        assert!(new > old + 0.3, "{old} {new}");
        assert_ne!(taught.model.version(), model.version());
        let sizes: Vec<usize> = taught.curve.iter().map(|step| step.labels).collect();
        assert_eq!(sizes, [25, 50, 100, 200, 400]);
        assert!(taught.curve[4].after > taught.curve[0].after, "{:?}", taught.curve);
    }

    #[test]
    fn a_new_domain_is_found_and_the_others_stay() {
        let model = model();
        let taught = teach(&model, &claims(64), Taught::default()).unwrap();
        assert_eq!(taught.objections(), Vec::<String>::new());
        let [NewDomain { examples, found, others, mistaken, .. }] = &taught.new[..] else {
            panic!("one is new")
        };
        assert_eq!((*examples, *others), (64, model.traffic().requests().len()));
        assert!(*found >= 60 && *mistaken * 50 < *others, "{:?}", taught.new);
        let new = taught.model;
        assert_eq!((new.domains().len(), new.domains()[15].as_str()), (16, "claims"));
        let claim = score(&new, "Claim 901: our policyholder reports a burst pipe. Is it covered?");
        assert_eq!(claim.top().0, 15, "{:?}", claim.domains());
        let text = "Write a Python function that merges two sorted lists.";
        assert_eq!(score(&new, text).top().0, score(&model, text).top().0);
        assert!(new.traffic().requests().iter().all(|request| request.label < 15));
        let told: f32 =
            new.traffic().requests().iter().map(|request| request.seen.scores(16).domains()[15]).sum();
        assert!(told < 30.0, "{told}");
    }

    #[test]
    fn what_is_written_says_what_was_learned() {
        let model = model();
        let rows = [renamed(&model, "chat", "general", 80), claims(50)].concat();
        let taught = teach(&model, &rows, Taught::default()).unwrap().model;
        let mut reader = Reader::new(&model, &rows);
        let (own, carried): (Vec<Seen>, Vec<Seen>) = {
            let place = |row: &Row| {
                taught.domains().iter().position(|name| Some(name) == row.domain.as_ref()).unwrap()
            };
            let own = rows.iter().map(|row| (row.prompt.clone(), place(row))).collect::<Vec<_>>();
            let own = own.iter().map(|(text, label)| reader.read(text, *label)).collect();
            let requests = model.traffic().requests().iter();
            (own, requests.map(|request| reader.read(&request.text, request.label)).collect())
        };
        let lesson = lesson(&own.iter().collect::<Vec<_>>(), &carried.iter().collect::<Vec<_>>(), 15, 1);
        for text in ["Claim 4: hail on the roof. Who pays?", "hello there", "SELECT name FROM users", ""] {
            let learned = lesson.chances(&reader.read(text, 0));
            let said = score(&taught, text);
            let near = said.domains().iter().zip(&learned).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4);
            assert!(near && learned.len() == 16, "{text}: {:?} {learned:?}", said.domains());
        }
        let again = RouterModel::from_bytes(&taught.to_bytes().unwrap()).unwrap();
        assert_eq!(again.card(), taught.card());
        let text = "Claim 9: a stolen bicycle. Who pays?";
        assert_eq!(score(&again, text), score(&taught, text));
    }

    #[test]
    fn a_taught_model_can_be_taught_again() {
        let once = teach(&model(), &claims(50), Taught::default()).unwrap().model;
        let more = [claims(60), renamed(&once, "legal", "claims", 300)].concat();
        let twice = teach(
            &once,
            &more,
            Taught { file: crate::DataFile { rows: 360, ..Default::default() }, ..Taught::default() },
        )
        .unwrap();
        assert!(twice.new.is_empty());
        assert_eq!(
            twice.model.card().taught.iter().map(|taught| taught.file.rows).collect::<Vec<_>>(),
            [0, 360]
        );
        assert_eq!(twice.model.card().shape.hidden, 96);
    }

    #[test]
    fn too_little_is_told_in_words() {
        let error = |rows: &[Row]| teach(&model(), rows, Taught::default()).err().unwrap_or_default();
        assert_eq!(error(&claims(24)), "24 labelled requests, where 25 are needed");
        let few = error(&claims(49));
        assert!(
            few.starts_with(
                "`claims`, which the model does not know, has 49 examples, where a new domain needs 50"
            ),
            "{few}"
        );
        let named = |name: &str| {
            claims(50).into_iter().map(|row| Row { domain: Some(name.into()), ..row }).collect::<Vec<_>>()
        };
        assert!(error(&named("our claims")).contains("is no name for a domain"));
        let many: Vec<Row> = (0..18).flat_map(|n| named(&format!("claims{n}"))).collect();
        assert_eq!(error(&many), "33 domains, where 32 can be held");
        assert_eq!(error(&[]), "0 labelled requests, where 25 are needed");
    }

    #[test]
    fn labels_that_contradict_each_other_are_objected_to() {
        let model = model();
        let requests = model.traffic().requests().iter().take(200);
        let rows: Vec<Row> = requests
            .enumerate()
            .map(|(n, request)| row(request.text.clone(), &model.domains()[7 * n % 15]))
            .collect();
        let found = teach(&model, &rows, Taught::default()).unwrap();
        let lessons = Lessons { after: [0.1, found.before[1] + 0.01], ..found };
        assert!(lessons.objections()[0].contains("log loss grows"), "{:?}", lessons.objections());
        let lost = NewDomain { name: "odd".into(), examples: 50, found: 24, others: 9, mistaken: 0 };
        let alone = NewDomain { found: 50, others: 0, ..lost.clone() };
        let lessons = Lessons { after: lessons.before, new: vec![alone], ..lessons };
        assert!(lessons.objections()[0].starts_with("odd: there is nothing to tell it from"));
        let lessons = Lessons { after: lessons.before, new: vec![lost], ..lessons };
        assert!(
            lessons.objections()[0].starts_with("odd: of its 50 examples 24 are found"),
            "{:?}",
            lessons.objections()
        );
    }
}
