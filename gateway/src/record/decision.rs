//! What routing decided, kept as figures; names are put in when it is written.

use std::sync::Arc;

use router_model::Scores;
use serde::Serialize;

use super::{Names, Reason};
use crate::constraint::WhyNot;
use crate::price::MicroUsd;

/// What routing decided, before anything was sent. Kept as figures; names are put in when it is written.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The names of the configuration it was made under; records outlive configurations, and hold none.
    pub names: Arc<Names>,
    /// Position of the policy.
    pub policy: usize,
    /// The router model's answer; `None` where it failed or was not asked.
    pub scores: Option<Scores>,
    /// Why the first candidate is the first; the record shows the reason at the end.
    pub reason: Reason,
    /// Every expert, by index, and how it stood.
    pub candidates: Vec<Stand>,
    /// What the request looked like.
    pub features: Features,
    /// Which words decided; asked for by `/v1/route` and `mixgate route`.
    pub attribution: Vec<Attributed>,
    /// The routable text, where `log.content` is `full`.
    pub text: Option<String>,
    /// Time the router model took.
    pub route_micros: u64,
    /// Positions of experts in the order they are tried.
    pub order: Vec<usize>,
}

/// How an expert stood in a decision.
#[derive(Debug, Clone)]
pub struct Stand {
    /// Expected chance of a good answer.
    pub score: f32,
    /// Expected cost.
    pub cost: Option<MicroUsd>,
    /// Why it may not take the request.
    pub why_not: Option<WhyNot>,
}

impl Stand {
    /// The rule that shuts it out, where one does: its position and its line in the configuration.
    pub fn rule<'n>(&self, names: &'n Names) -> Option<&'n str> {
        names.rules.get(self.why_not.as_ref()?.rule()?).map(|rule| &**rule)
    }
}

impl Decision {
    /// Bytes that it holds by itself.
    pub(super) fn weight(&self) -> usize {
        let words: usize = self.attribution.iter().map(|word| word.text.capacity()).sum();
        size_of::<Self>()
            + self.candidates.capacity() * size_of::<Stand>()
            + self.attribution.capacity() * size_of::<Attributed>()
            + words
            + self.text.as_ref().map_or(0, String::capacity)
            + self.order.capacity() * size_of::<usize>()
    }

    /// Name of the likeliest domain.
    pub fn domain(&self) -> Option<&str> {
        self.names.domains.get(self.top()?).map(String::as_str)
    }

    /// Position of the likeliest domain.
    pub fn top(&self) -> Option<usize> {
        Some(self.scores.as_ref()?.top().0)
    }

    /// Probability of the likeliest domain; 0 where nothing is known.
    pub fn confidence(&self) -> f32 {
        self.scores.as_ref().map_or(0.0, |s| s.top().1)
    }
}

impl Decision {
    /// Leaves out the experts that whoever reads it must not hear of.
    pub fn show_only(&mut self, may_see: impl Fn(usize) -> bool) {
        let kept: Vec<usize> = (0..self.candidates.len()).filter(|index| may_see(*index)).collect();
        self.candidates = kept.iter().map(|&index| self.candidates[index].clone()).collect();
        self.order = self.order.iter().filter_map(|old| kept.iter().position(|index| index == old)).collect();
        self.names = Arc::new(self.names.with_experts(&kept));
    }
}

/// A decision as it is written.
#[derive(Serialize)]
struct DecisionView<'a> {
    policy: &'a str,
    domain: Option<&'a str>,
    domain_scores: DomainScores<'a>,
    confidence: f32,
    ood_score: f32,
    candidates: Candidates<'a>,
    features: &'a Features,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attribution: &'a [Attributed],
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    router_version: &'a str,
    route_micros: u64,
}

/// Scores by name.
struct DomainScores<'a>(&'a Decision);

impl Serialize for DomainScores<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scores = self.0.scores.as_ref().map(Scores::domains).unwrap_or_default();
        let names = &self.0.names.domains;
        serializer.collect_map(names.iter().zip(scores.iter().copied().map(round)))
    }
}

/// Every expert and how it stood.
struct Candidates<'a>(&'a Decision);

impl Serialize for Candidates<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let experts = self.0.names.experts.iter().zip(&self.0.candidates);
        serializer.collect_seq(experts.map(|(expert, stand)| CandidateView {
            expert,
            score: round(stand.score),
            expected_cost_usd: stand.cost,
            eligible: stand.why_not.is_none(),
            why_not: stand.why_not.as_ref(),
            rule: stand.rule(&self.0.names),
        }))
    }
}

#[derive(Serialize)]
struct CandidateView<'a> {
    expert: &'a str,
    score: f32,
    expected_cost_usd: Option<MicroUsd>,
    eligible: bool,
    why_not: Option<&'a WhyNot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

impl Serialize for Decision {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DecisionView {
            policy: &self.names.policies[self.policy],
            domain: self.domain(),
            domain_scores: DomainScores(self),
            confidence: round(self.confidence()),
            ood_score: round(self.scores.as_ref().map_or(0.0, Scores::ood)),
            candidates: Candidates(self),
            features: &self.features,
            attribution: &self.attribution,
            text: self.text.as_deref(),
            router_version: &self.names.router_version,
            route_micros: self.route_micros,
        }
        .serialize(serializer)
    }
}

/// To four digits: what stands behind them is noise and bytes.
fn round(value: f32) -> f32 {
    (value * 1e4).round() / 1e4
}

/// What a request looked like; nothing of its text.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Features {
    /// Characters of the routable text.
    pub chars: usize,
    /// Prompt tokens, estimated.
    pub tokens_estimated: u64,
    /// Human turns.
    pub turns: u32,
    /// It brings tools.
    pub has_tools: bool,
    /// It has images.
    pub has_images: bool,
    /// Script of most letters: `latin`, `cyrillic`, `han` and so on; `none` without letters.
    pub language: &'static str,
}

/// A word and what it did to the score.
#[derive(Debug, Clone, Serialize)]
pub struct Attributed {
    /// The word.
    pub text: String,
    /// Change of the score when it is left out.
    pub weight: f32,
}
