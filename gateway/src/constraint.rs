//! Hard gating: what an expert must be able and allowed to do. No score overrides it, and it is asked again
//! before every attempt, so that a fallback never breaks what routing observed.
//!
//! Governance (rules, `require`, allow-lists) holds for every request. Abilities and context hold where we choose;
//! a model that the caller named is honoured as it stands, and its own refusal passes through.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::auth::Caller;
use crate::config::written::{CapabilityName, Governance};
use crate::expert::Expert;
use crate::snapshot::Snapshot;
use crate::wide::Subject;

/// A set of abilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u8);

impl Capabilities {
    /// Function calling.
    pub const TOOLS: Self = Self(1);
    /// JSON Schema answers.
    pub const JSON_SCHEMA: Self = Self(2);
    /// Images.
    pub const VISION: Self = Self(4);
    /// Audio.
    pub const AUDIO: Self = Self(8);
    /// Reasoning effort.
    pub const REASONING: Self = Self(16);
    /// Log probabilities.
    pub const LOGPROBS: Self = Self(32);
    /// Several tool calls at once.
    pub const PARALLEL_TOOLS: Self = Self(64);

    /// Parts of a message that are no text, image or recording: files, videos, what nobody knows yet. No expert can say
    /// that it takes them, so only a fallback does.
    pub const OTHER: Self = Self(128);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::TOOLS, "tools"),
        (Self::JSON_SCHEMA, "json_schema"),
        (Self::VISION, "vision"),
        (Self::AUDIO, "audio"),
        (Self::REASONING, "reasoning"),
        (Self::LOGPROBS, "logprobs"),
        (Self::PARALLEL_TOOLS, "parallel_tools"),
        (Self::OTHER, "other content parts"),
    ];

    /// Adds `other` where `on`.
    pub fn set(&mut self, other: Self, on: bool) {
        if on {
            self.0 |= other.0;
        }
    }

    /// Whether all of `other` are in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Name of the first ability of `needs` that is not in it.
    pub fn lacks(self, needs: Self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(c, _)| needs.has(*c) && !self.has(*c)).map(|(_, name)| *name)
    }
}

impl FromIterator<CapabilityName> for Capabilities {
    fn from_iter<I: IntoIterator<Item = CapabilityName>>(names: I) -> Self {
        let bit = |name| match name {
            CapabilityName::Tools => Self::TOOLS,
            CapabilityName::JsonSchema => Self::JSON_SCHEMA,
            CapabilityName::Vision => Self::VISION,
            CapabilityName::Audio => Self::AUDIO,
            CapabilityName::Reasoning => Self::REASONING,
            CapabilityName::Logprobs => Self::LOGPROBS,
            CapabilityName::ParallelTools => Self::PARALLEL_TOOLS,
        };
        Self(names.into_iter().map(bit).fold(0, |set, c| set | c.0))
    }
}

/// The tags an expert's governance amounts to.
pub fn tags_of(governance: &Governance) -> BTreeSet<String> {
    let mut tags: BTreeSet<String> = governance.tags.iter().cloned().collect();
    tags.extend(governance.license.iter().map(|l| format!("license:{l}")));
    tags.extend(governance.regions.iter().map(|r| format!("region:{r}")));
    tags.extend(governance.trained_on.iter().flatten().map(|t| format!("trained_on:{t}")));
    if governance.indemnified {
        tags.insert("indemnified".to_owned());
    }
    tags
}

/// A rule, ready to be asked.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Positions of domains in the router model's labels; empty: any.
    pub domains: Vec<usize>,
    /// From this probability on.
    pub at: f32,
    /// Position of the tenant; `None`: any.
    pub tenant: Option<usize>,
    /// Tags needed.
    pub require: Vec<Arc<str>>,
    /// Tags forbidden.
    pub forbid: Vec<Arc<str>>,
}

impl Rule {
    /// Where the domain is unknown, every rule on domains applies.
    fn applies(&self, caller: Caller, subject: &Subject) -> bool {
        self.concerns(caller) && (self.domains.is_empty() || subject.may_be(&self.domains, self.at))
    }

    /// Whether it is about domains and would apply if one of them were more likely.
    pub fn is_open(&self, caller: Caller, subject: &Subject) -> bool {
        self.concerns(caller) && !self.domains.is_empty() && !subject.may_be(&self.domains, self.at)
    }

    fn concerns(&self, caller: Caller) -> bool {
        self.tenant.is_none_or(|tenant| caller.0 == Some(tenant))
    }
}

/// A tag that is needed or forbidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The tag.
    pub tag: Arc<str>,
    /// Position of the rule that says so; `None`: the policy or the request does.
    pub rule: Option<usize>,
}

/// The same of several tags.
fn asked(tags: &[Arc<str>], rule: Option<usize>) -> impl Iterator<Item = Asked> {
    tags.iter().map(move |tag| Asked { tag: Arc::clone(tag), rule })
}

/// Why an expert may not take a request.
#[expect(missing_docs, reason = "the line of each variant says what its fields are")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// It lacks an ability.
    Capability(&'static str),
    /// The request does not fit its window: tokens and window.
    Context { tokens: u64, window: u64 },
    /// It gives no answer as long as the one asked for: tokens asked for and its longest.
    Output { tokens: u64, longest: u64 },
    /// It lacks a required tag.
    Requires(Asked),
    /// It has a forbidden tag, or does not say whether it has.
    Forbids(Asked),
    /// The tenant may not use it.
    NotAllowed,
}

impl WhyNot {
    /// Position of the rule that shuts it out, where one does.
    pub fn rule(&self) -> Option<usize> {
        match self {
            Self::Requires(asked) | Self::Forbids(asked) => asked.rule,
            Self::Capability(_) | Self::Context { .. } | Self::Output { .. } | Self::NotAllowed => None,
        }
    }
}

impl Serialize for WhyNot {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(name) => write!(out, "lacks capability {name}"),
            Self::Context { tokens, window } => {
                write!(out, "about {tokens} tokens do not fit its window of {window}")
            }
            Self::Output { tokens, longest } => {
                write!(out, "gives at most {longest} tokens, and {tokens} are asked for")
            }
            Self::Requires(asked) => write!(out, "lacks required tag {}", asked.tag),
            Self::Forbids(asked) => write!(out, "forbidden tag {}", asked.tag),
            Self::NotAllowed => out.write_str("not on the tenant's list"),
        }
    }
}

/// Everything one request asks of whoever takes it.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    /// Tags needed, from rules, the policy and the request's header.
    pub require: Vec<Asked>,
    /// Tags forbidden.
    pub forbid: Vec<Asked>,
    /// Experts on the tenant's list; `None`: all.
    pub allowed: Option<Vec<usize>>,
    /// Abilities needed.
    pub needs: Capabilities,
    /// Prompt tokens, estimated, and the answer's if it was bounded.
    pub tokens: u64,
    /// Longest answer asked for.
    pub max_output: Option<u64>,
    /// The expert the caller named: its abilities and window are its own affair.
    pub named: Option<usize>,
}

impl Constraints {
    /// Collects what rules, policy and headers ask, given what is known of the domains.
    pub fn gather(
        snapshot: &Snapshot,
        caller: Caller,
        subject: &Subject,
        policy: usize,
        header: &[Arc<str>],
    ) -> Self {
        let mut constraints = Self { require: asked(header, None).collect(), ..Self::default() };
        let rules = snapshot.rules.iter().enumerate();
        for (index, rule) in rules.filter(|(_, rule)| rule.applies(caller, subject)) {
            constraints.require.extend(asked(&rule.require, Some(index)));
            constraints.forbid.extend(asked(&rule.forbid, Some(index)));
        }
        constraints.require.extend(asked(&snapshot.policies[policy].require, None));
        constraints.allowed = caller.0.and_then(|tenant| snapshot.tenants[tenant].experts.clone());
        constraints
    }

    /// Whether a rule applies.
    pub fn has_rule(&self, rule: usize) -> bool {
        self.require.iter().chain(&self.forbid).any(|asked| asked.rule == Some(rule))
    }

    /// Whether this expert may take the request.
    pub fn check(&self, expert: &Expert) -> Result<(), WhyNot> {
        if self.allowed.as_ref().is_some_and(|list| !list.contains(&expert.index)) {
            return Err(WhyNot::NotAllowed);
        }
        if let Some(asked) = self.require.iter().find(|asked| !expert.tags.contains(&*asked.tag)) {
            return Err(WhyNot::Requires(asked.clone()));
        }
        if let Some(asked) = self.forbid.iter().find(|asked| expert.may_have(&asked.tag)) {
            return Err(WhyNot::Forbids(asked.clone()));
        }
        if self.named == Some(expert.index) {
            return Ok(());
        }
        if let Some(name) = expert.capabilities.lacks(self.needs) {
            return Err(WhyNot::Capability(name));
        }
        if let (Some(tokens), Some(longest)) = (self.max_output, expert.max_output_tokens)
            && tokens > longest
        {
            return Err(WhyNot::Output { tokens, longest });
        }
        if self.tokens > expert.context_window {
            return Err(WhyNot::Context { tokens: self.tokens, window: expert.context_window });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use router_model::Scores;

    use super::*;
    use crate::classify::Verdict;

    fn rule(domains: Vec<usize>) -> Rule {
        Rule { domains, at: 0.2, tenant: None, require: vec!["indemnified".into()], forbid: Vec::new() }
    }

    fn about(domains: &[f32]) -> Subject {
        Subject::of(Some(&Verdict::Scored(Scores::new(domains, 0.0))))
    }

    #[test]
    fn a_rule_on_a_domain_applies_from_its_probability_on_and_where_nothing_is_known() {
        let rule = rule(vec![1]);
        assert!(rule.applies(Caller(None), &about(&[0.8, 0.2])));
        assert!(!rule.applies(Caller(None), &about(&[0.81, 0.19])));
        for nothing in [None, Some(&Verdict::Deadline), Some(&Verdict::Failed)] {
            assert!(rule.applies(Caller(None), &Subject::of(nothing)), "{nothing:?}");
        }
    }

    #[test]
    fn a_rule_on_a_tenant_leaves_others_alone() {
        let rule = Rule { tenant: Some(1), ..rule(Vec::new()) };
        assert!(rule.applies(Caller(Some(1)), &about(&[1.0])));
        assert!(!rule.applies(Caller(Some(0)), &about(&[1.0])));
        assert!(!rule.applies(Caller(None), &Subject::of(None)));
    }

    #[test]
    fn the_first_missing_ability_is_named() {
        let mut needs = Capabilities::default();
        needs.set(Capabilities::VISION, true);
        assert_eq!(Capabilities::TOOLS.lacks(needs), Some("vision"));
        assert_eq!(Capabilities::VISION.lacks(needs), None);
    }

    #[test]
    fn an_answer_may_be_as_long_as_the_expert_gives_and_no_longer() {
        let mut expert = crate::snapshot::tests::expert(0, "a", &[]);
        let asked = |max_output| Constraints { max_output, tokens: 10, ..Constraints::default() };
        assert_eq!(asked(Some(5000)).check(&expert), Ok(()), "its longest answer is not known");
        expert.max_output_tokens = Some(4096);
        for (tokens, may) in [(None, true), (Some(4095), true), (Some(4096), true), (Some(4097), false)] {
            assert_eq!(asked(tokens).check(&expert).is_ok(), may, "{tokens:?}");
        }
        let named = Constraints { named: Some(0), ..asked(Some(4097)) };
        assert_eq!(named.check(&expert), Ok(()), "who is named says itself what it does not do");
    }

    #[test]
    fn governance_becomes_tags() {
        let governance = Governance {
            license: Some("apache-2.0".to_owned()),
            indemnified: true,
            regions: vec!["eu".to_owned()],
            trained_on: Some(vec!["web".to_owned()]),
            tags: vec!["house".to_owned()],
        };
        let tags: Vec<String> = tags_of(&governance).into_iter().collect();
        assert_eq!(tags, ["house", "indemnified", "license:apache-2.0", "region:eu", "trained_on:web"]);
    }
}
