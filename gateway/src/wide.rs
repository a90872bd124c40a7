//! What rules on a domain go by: the reading that routing decides by, and a wider one of the whole request.
//!
//! A rule is a promise to somebody, so it cannot be left to the text that suits routing best: a question about pensions
//! is one in a system prompt, in a tool's answer, in a wrapper and in the middle of a long text, too. So every text of
//! the body is read in windows about the size of a sentence, within the deadline of the router, and only where there
//! are rules on domains. What could not be read is unknown, and where the domain is unknown every rule on one applies.

mod literals;
mod windows;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use router_model::{MAX_DOMAINS, Scores};
use serde::Serialize;

use crate::ask::Ask;
use crate::auth::Caller;
use crate::classify::{Classifier, Verdict};
use crate::constraint::Rule;
use crate::policy::{MAX_OOD, MIN_CONFIDENCE};
use crate::snapshot::Snapshot;
use literals::Literals;
use windows::Windows;

/// Bytes of text that are read in windows; what is longer is unknown.
pub const MAX_READ: usize = 64 * 1024;

/// Why the domain of a request is unknown, whatever the scores say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The router model was not asked, or failed.
    RouterError,
    /// It took too long.
    Deadline,
    /// The text is unlike anything known.
    OutOfDistribution,
    /// No domain is likely.
    LowConfidence,
    /// There is more text than is read.
    TooLong,
    /// Token ids stand for the text.
    TokenIds,
}

impl Unknown {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RouterError => "router_error",
            Self::Deadline => "deadline",
            Self::OutOfDistribution => "out_of_distribution",
            Self::LowConfidence => "low_confidence",
            Self::TooLong => "too_long",
            Self::TokenIds => "token_ids",
        }
    }
}

/// A window that says of a domain that the request is about it, too.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// Position of the domain.
    pub domain: usize,
    /// Its probability there.
    pub probability: f32,
    /// The text.
    pub text: String,
}

/// What is known of the domains of a request, as far as rules are concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    likely: [f32; MAX_DOMAINS],
    /// Why nothing is, where it is not.
    pub unknown: Option<Unknown>,
    /// The likeliest passage of a domain that a rule is about.
    pub passage: Option<Passage>,
}

impl Subject {
    /// What the first reading says.
    pub fn of(verdict: Option<&Verdict>) -> Self {
        let mut subject = Self { likely: [0.0; MAX_DOMAINS], unknown: None, passage: None };
        subject.unknown = match verdict {
            None | Some(Verdict::Failed) => Some(Unknown::RouterError),
            Some(Verdict::Deadline) => Some(Unknown::Deadline),
            Some(Verdict::Scored(scores)) => {
                subject.likely[..scores.domains().len()].copy_from_slice(scores.domains());
                // not by the policy's thresholds: a policy that dares more is no reason to break a rule
                match scores {
                    scores if scores.ood() >= MAX_OOD => Some(Unknown::OutOfDistribution),
                    scores if scores.top().1 < MIN_CONFIDENCE => Some(Unknown::LowConfidence),
                    _ => None,
                }
            }
        };
        subject
    }

    /// Whether one of these domains is as likely as this, or the domain is unknown.
    pub fn may_be(&self, domains: &[usize], at: f32) -> bool {
        self.unknown.is_some()
            || domains.iter().any(|domain| self.likely.get(*domain).is_some_and(|p| *p >= at))
    }

    /// The same with what another reading says.
    pub fn and(mut self, other: &Self) -> Self {
        self.likely.iter_mut().zip(other.likely).for_each(|(likely, other)| *likely = likely.max(other));
        self.unknown = self.unknown.or(other.unknown);
        self.passage = self.passage.or_else(|| other.passage.clone());
        self
    }

    /// Takes the scores of a window. Only its likeliest domain counts, or every text of some length would be about
    /// everything; and a window that is unlike anything known says nothing.
    fn see(&mut self, scores: &Scores, rules: &[&Rule], window: &str) {
        let (domain, probability) = scores.top();
        if scores.ood() >= MAX_OOD || probability <= self.likely[domain] {
            return;
        }
        self.likely[domain] = probability;
        let ruled = |rule: &&Rule| rule.domains.contains(&domain) && probability >= rule.at;
        if rules.iter().any(ruled) {
            self.passage = Some(Passage { domain, probability, text: window.to_owned() });
        }
    }
}

/// Which windows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// Until every rule applies.
    Enough,
    /// All of them, for an explanation.
    All,
}

/// Reads the whole request, where a rule on a domain could still not apply.
pub fn look_wider(
    snapshot: &Snapshot,
    caller: Caller,
    ask: &Ask<'_>,
    first: &Subject,
    thoroughness: Thoroughness,
    until: Instant,
) -> Option<Box<Subject>> {
    let open = |subject: &Subject| {
        let on_domains = snapshot.rules.iter().filter(|rule| rule.is_open(caller, subject));
        on_domains.collect::<Vec<_>>()
    };
    if snapshot.rules.iter().all(|rule| rule.domains.is_empty())
        || thoroughness == Thoroughness::Enough && open(first).is_empty()
    {
        return None;
    }
    let mut subject = Box::new(first.clone());
    if subject.unknown.is_some() {
        return Some(subject);
    }
    if ask.has_token_ids {
        subject.unknown = Some(Unknown::TokenIds);
        return Some(subject);
    }
    let rules: Vec<&Rule> = snapshot.rules.iter().filter(|rule| !rule.domains.is_empty()).collect();
    let mut windows = Windows::default();
    let mut see = |windows: &Windows, window: &str| {
        let long = if windows.read > MAX_READ { Err(Unknown::TooLong) } else { Ok(()) };
        match long.and_then(|()| score(&*snapshot.classifier, window, until)) {
            Ok(scores) => scores.into_iter().for_each(|scores| subject.see(&scores, &rules, window)),
            Err(why) => subject.unknown = Some(why),
        }
        let enough = thoroughness == Thoroughness::Enough && open(&subject).is_empty();
        if enough || subject.unknown.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let flow = Literals::of(ask.body).try_for_each(|literal| windows.take(literal, &mut see));
    if flow.is_continue() {
        // whether it was broken off is told by the subject
        let _ = windows.finish(&mut see);
    }
    Some(subject)
}

/// The scores of a window; none of one without text.
fn score(model: &dyn Classifier, window: &str, until: Instant) -> Result<Option<Scores>, Unknown> {
    let mut late = || Instant::now() > until;
    if late() {
        return Err(Unknown::Deadline);
    }
    if window.is_empty() {
        return Ok(None);
    }
    let scored = catch_unwind(AssertUnwindSafe(|| model.score(window, &mut late)));
    let scores = scored.map_err(|_| Unknown::RouterError)?.ok_or(Unknown::Deadline)?;
    if crate::classify::is_sound(&scores) { Ok(Some(scores)) } else { Err(Unknown::RouterError) }
}
