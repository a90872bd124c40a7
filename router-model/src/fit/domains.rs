//! What one's own labels teach the network: to name the domains as its user does, and domains of the user's own.
//!
//! Tables and trunk stay as they are. Of the known domains the head moves, held to where it was: from a hundred labels it
//! mostly learns what its user's traffic is about, from more how that is written. A new domain is a line through the
//! direction of the words, learned from its examples against the other labelled requests and those that the model
//! carries. A second is enough for a thousand labels.

mod judge;
mod lesson;
mod seen;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use crate::RouterModel;
use crate::card::Taught;
use crate::card::is_domain_name;
use crate::data::{NONE, Row};
use crate::scores::MAX_DOMAINS;
use judge::{curve, judge, told_apart};
use lesson::{Kinds, Lesson};
use seen::{Reader, Seen};
use write::{carry, retell, write};

/// Labelled requests that are needed to learn from.
const LEAST_LABELS: usize = 25;
/// Examples that a new domain needs.
const LEAST_EXAMPLES: usize = 50;

/// How a domain of the user's own is told from the others, on requests that were not learned from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnDomain {
    /// Its name.
    pub name: String,
    /// Whether it was not known before.
    pub is_new: bool,
    /// Its examples.
    pub examples: usize,
    /// How many of them were named so before.
    pub found_before: usize,
    /// How many of them are named so.
    pub found: usize,
    /// Other requests, the labelled and the carried.
    pub others: usize,
    /// How many of these were named so before.
    pub mistaken_before: usize,
    /// How many of these are named so.
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
    /// Labels that stand in the file more than once, which count once.
    pub doubles: usize,
    /// Among the domains that the network was trained with, on requests of these: accuracy and mean log loss before.
    pub before: [f64; 2],
    /// The same of each request after learning from four fifths that it is not in. Beside examples of a new domain nothing
    /// is learned of the others.
    pub after: [f64; 2],
    /// Requests these figures are of.
    pub judged: usize,
    /// Prompts that are labelled with more than one domain.
    pub twofold: usize,
    /// Share of the requests of other people that the model carries that is named as labelled, before and after.
    pub carried: [f64; 2],
    /// How accuracy grows with the labels.
    pub curve: Vec<Step>,
    /// The user's own domains that have examples.
    pub own: Vec<OwnDomain>,
}

/// By how much a log loss must be larger to be worse.
const MARGIN: f64 = 0.005;

impl Lessons {
    /// Why the model should not be used, if so.
    pub fn objections(&self) -> Vec<String> {
        let [[before, loss_before], [_, loss]] = [self.before, self.after];
        let worse = (loss > loss_before + MARGIN).then(|| {
            format!(
                "what these labels teach does not hold for those of them that were not learned from: the log loss grows from {loss_before:.3} to {loss:.3}; the model names {:.0} of 100 as labelled as it is",
                100.0 * before
            )
        });
        let fewer = (self.after[0] < before - 0.01).then(|| {
            format!(
                "of those labels that were not learned from fewer are named as labelled: {:.3} in place of {before:.3}",
                self.after[0]
            )
        });
        let new = || self.own.iter().filter(|domain| domain.is_new);
        let known = self.own.iter().filter(|domain| !domain.is_new);
        let worse_than = known.filter(|domain| 10 * domain.found < 9 * domain.found_before).map(|domain| {
            format!(
                "{}: of its {} examples {} would be found, where {} are now; label some of its requests, too",
                domain.name, domain.examples, domain.found, domain.found_before
            )
        });
        let alone = new().filter(|domain| domain.others == 0).map(|domain| {
            format!(
                "{}: there is nothing to tell it from, as the model carries no requests; label requests of other domains, too",
                domain.name
            )
        });
        let lost = new().filter(|domain| 2 * domain.found < domain.examples).map(|domain| {
            format!(
                "{}: of its {} examples {} are found when they are not learned from; its requests look like those of other domains, or each like none of the others: give more",
                domain.name, domain.examples, domain.found
            )
        });
        worse.or(fewer).into_iter().chain(worse_than).chain(alone).chain(lost).collect()
    }
}

/// How freely the trained domains move is tried: the tuned amount, a quarter of it, a sixteenth.
const WEAKER: [f64; 2] = [0.25, 0.0625];

/// Lessons of one strength, each without a fold, and what they do there.
struct Tried {
    strength: f64,
    by_fold: Vec<Lesson>,
    after: [f64; 2],
}

/// Teaches `model` by labelled requests.
///
/// # Errors
///
/// In words: when there are too few labels, or examples of a new domain, or too many domains.
pub fn teach(model: &RouterModel, rows: &[Row], taught: Taught) -> Result<Lessons, String> {
    let (rows, doubles) = once(rows);
    let (labels, counts) = labels(model, &rows)?;
    let kinds = kinds(model, &labels);
    check_mix(&counts, &labels, kinds)?;
    let mut reader = Reader::new(model, &rows);
    let label = |row: &Row| labels.iter().position(|name| Some(name) == row.domain.as_ref());
    let own = rows.iter().filter_map(|row| Some(reader.read(&row.prompt, label(row)?)));
    let own: Vec<Seen> = own.collect();
    let requests = model.traffic.requests.iter();
    let carried: Vec<Seen> = requests.map(|request| reader.read(&request.text, request.label)).collect();
    let [all, around] = [&own, &carried].map(|seen| seen.iter().collect::<Vec<&Seen>>());
    let learn = |strength: f64| {
        let parts = (0..super::FOLDS).map(|fold| [without(&all, fold), without(&around, fold)]);
        let lessons: Vec<Lesson> =
            parts.map(|[own, carried]| Lesson::learn(&own, &carried, kinds, strength)).collect();
        let after = judge(&all, kinds.trained, |seen| &lessons[seen.fold]);
        Tried { strength, by_fold: lessons, after }
    };
    let weaker: &[f64] = if kinds.new > 0 { &[] } else { &WEAKER };
    let better = |best: Tried, next: Tried| if next.after[1] < best.after[1] { next } else { best };
    let Tried { strength, by_fold, after } =
        weaker.iter().map(|&strength| learn(strength)).fold(learn(1.0), better);
    let nothing = Lesson::none(kinds);
    let names = &labels[kinds.trained..];
    let mut found = Lessons {
        before: judge(&all, kinds.trained, |_| &nothing),
        after,
        judged: all.iter().filter(|seen| seen.label < kinds.trained).count(),
        curve: if kinds.new > 0 { Vec::new() } else { curve(&all, kinds, strength) },
        twofold: twofold(&rows),
        carried: [std::slice::from_ref(&nothing), &by_fold[..]]
            .map(|lessons| judge(&around, kinds.trained, |seen| &lessons[seen.fold % lessons.len()])[0]),
        own: told_apart(&own, &carried, &by_fold, names, kinds),
        nothing: rows.iter().filter(|row| row.is_none()).count(),
        doubles,
        counts,
        model: model.clone(),
    };
    let whole = Lesson::learn(&all, &around, kinds, strength);
    let new = &names[kinds.taught..];
    write(&mut found.model, &whole, &reader, kinds, new);
    retell(&mut found.model, &carried, &whole, &by_fold, kinds);
    carry(&mut found.model, &rows, &own, &by_fold, kinds);
    // what the network made of these prompts, whose texts are not there, it makes no more
    found.model.carry_no_answers();
    let [before, after] = [found.before[0], found.after[0]].map(|share| share as f32);
    found.model.card.taught.push(Taught { new: new.to_vec(), before, after, ..taught });
    found.model.card.version = found.model.fingerprint();
    Ok(found)
}

/// Each prompt once per domain, and how many rows went.
fn once(rows: &[Row]) -> (Vec<Row>, usize) {
    let mut known = BTreeSet::new();
    let kept = rows.iter().filter(|row| known.insert((row.prompt.trim(), row.domain.as_deref())));
    let kept: Vec<Row> = kept.cloned().collect();
    let doubles = rows.len() - kept.len();
    (kept, doubles)
}

/// Prompts with more than one domain.
fn twofold(rows: &[Row]) -> usize {
    let mut labels = BTreeMap::<&str, BTreeSet<Option<&str>>>::new();
    for row in rows {
        labels.entry(row.prompt.trim()).or_default().insert(row.domain.as_deref());
    }
    labels.values().filter(|labels| labels.len() > 1).count()
}

fn kinds(model: &RouterModel, labels: &[String]) -> Kinds {
    let known = model.card.labels.len();
    let trained = model.card.trained.map_or(known, |trained| trained.domains);
    Kinds { trained, taught: known - trained, new: labels.len() - known }
}

/// Labels of known domains are taken for a sample of traffic: of one domain alone they would say that there is no other.
fn check_mix(counts: &BTreeMap<String, usize>, labels: &[String], kinds: Kinds) -> Result<(), String> {
    let trained: Vec<&String> =
        labels[..kinds.trained].iter().filter(|name| counts.contains_key(*name)).collect();
    match trained[..] {
        [name] if kinds.new == 0 => Err(format!(
            "all labels of domains that the network was trained with are of `{name}`: it would learn that there is nothing else; label a sample of your traffic"
        )),
        _ => Ok(()),
    }
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
        let known = model.card.labels.iter().map(String::as_str).chain([NONE]);
        if let Some(known) = known.into_iter().find(|known| known.eq_ignore_ascii_case(name)) {
            return Err(format!("`{name}` is no domain that the model knows, `{known}` is: write it so"));
        }
        if !is_domain_name(name) || name.len() < 2 {
            return Err(format!(
                "`{name}` is no name for a domain: two to 64 of a to z, A to Z, digits, `-`, `_`, `.`"
            ));
        }
        if count < LEAST_EXAMPLES {
            return Err(format!(
                "`{name}`, which the model does not know, has {count} examples, where a new domain needs {LEAST_EXAMPLES}; the model knows {}",
                model.card.labels.join(" ")
            ));
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
