//! From a request to an ordered list of experts: scores, constraints, policy, conversation. No I/O; what it reads
//! of the world is in its arguments.

use std::sync::Arc;
use std::time::Instant;

use crate::api::Dialect;
use crate::ask::Ask;
use crate::auth::Caller;
use crate::classify::Verdict;
use crate::config::fault_suggestion as suggestion;
use crate::constraint::{Capabilities, Constraints, WhyNot};
use crate::error::Failure;
use crate::policy::{Candidate, Choice, Gate, Policy, Tolerance};
use crate::price::MicroUsd;
use crate::record::{Decision, Features, Reason, Stand};
use crate::session::{Hold, SessionId, Sessions};
use crate::snapshot::{Selector, Snapshot};
use crate::text::{self, Routable};
use crate::weigh::{Reading, Weighed, candidates_if_sure, evidence, weigh};
use crate::wide::{Subject, Thoroughness, look_wider};
use http::{HeaderMap, HeaderValue};

/// Characters of a client's name for something that are shown to it.
const MAX_SHOWN: usize = 100;
/// The header that only tightens.
const REQUIRE: &str = "x-mixgate-require";
/// Tags that it may name, and their longest.
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;

/// What the caller asked of routing, in `model` and headers.
#[derive(Debug)]
pub struct Wish<'h> {
    /// Who decides.
    pub selector: Selector,
    /// The expert was forced by header.
    pub forced: bool,
    /// Position of the policy that decides, or whose `require` holds for a named model.
    pub policy: usize,
    /// Tags asked for by header, and those of the policy that a header's takes the place of: headers only tighten.
    pub require: Vec<Arc<str>>,
    /// The conversation's name, by header.
    pub session: Option<&'h str>,
    /// Where a dry run sets the dial, whatever the policy.
    pub tolerance: Option<f32>,
}

/// A decision, and what must hold on its way.
#[derive(Debug)]
pub struct Plan {
    /// The decision.
    pub decision: Decision,
    /// Why nobody may take the request, where nobody may; the decision says it of each expert.
    pub refused: Option<Failure>,
    /// What every candidate must fulfil.
    pub constraints: Constraints,
    /// The conversation, to remember who answered.
    pub session: Option<SessionId>,
    /// What rules on domains saw beyond the routable text, where there are any.
    pub wider: Option<Box<Subject>>,
}

impl<'h> Wish<'h> {
    /// Reads `model` and the `x-mixgate-*` headers, and holds them against the tenant's allow-lists.
    pub fn read(
        snapshot: &Snapshot,
        caller: Caller,
        headers: &'h HeaderMap,
        model: &str,
    ) -> Result<Self, Failure> {
        let mut selector = select(snapshot, caller, model)?;
        let mut forced = false;
        let mut policy = match selector {
            Selector::Policy(named) => named,
            Selector::Expert(_) => snapshot.policy_of_named_models(caller),
        };
        let mut require = Vec::new();
        if let Some(name) = text_header(headers, "x-mixgate-policy")? {
            require.extend_from_slice(&snapshot.policies[policy].require);
            policy = snapshot.policy_named(name).ok_or_else(|| unknown_policy(snapshot, caller, name))?;
            check_policy(snapshot, caller, policy)?;
            if matches!(selector, Selector::Policy(_)) {
                selector = Selector::Policy(policy);
            }
        } else if matches!(selector, Selector::Policy(_)) {
            // before an expert's name takes its place: a tenant's policies hold for what it forces, too
            check_policy(snapshot, caller, policy)?;
        }
        let mut asked = model;
        if let Some(name) = text_header(headers, "x-mixgate-expert")? {
            let expert = snapshot.expert_named(name).ok_or_else(|| not_found(snapshot, caller, name))?;
            selector = Selector::Expert(expert);
            forced = true;
            asked = name;
        }
        check_expert(snapshot, caller, selector, asked)?;
        require.extend(required_tags(snapshot, caller, headers)?);
        Ok(Self {
            selector,
            forced,
            policy,
            require,
            session: text_header(headers, "x-mixgate-session")?,
            tolerance: None,
        })
    }

    /// Asks a policy, or one with the dial where a dry run sets it.
    pub fn with_policy<T>(
        &self,
        snapshot: &Snapshot,
        policy: usize,
        ask: impl FnOnce(&dyn Policy) -> T,
    ) -> T {
        match self.tolerance {
            Some(tolerance) => ask(&Tolerance { tolerance, gate: Gate::default() }),
            None => ask(&*snapshot.policies[policy].policy),
        }
    }
}

/// Holds an expert against the tenant's list. The client is told what it wrote, never whose other name that is.
fn check_expert(snapshot: &Snapshot, caller: Caller, selector: Selector, asked: &str) -> Result<(), Failure> {
    if matches!(selector, Selector::Policy(_)) || snapshot.may_select(caller, selector) {
        return Ok(());
    }
    Err(Failure::ModelNotAllowed(format!("the model `{}`", shown(asked))))
}

/// Holds a policy against the tenant's list, wherever it is named.
fn check_policy(snapshot: &Snapshot, caller: Caller, policy: usize) -> Result<(), Failure> {
    if snapshot.may_use_policy(caller, policy) {
        return Ok(());
    }
    Err(Failure::ModelNotAllowed(format!("the policy `{}`", snapshot.policies[policy].name)))
}

fn unknown_policy(snapshot: &Snapshot, caller: Caller, name: &str) -> Failure {
    let may = |index: &usize| snapshot.may_use_policy(caller, *index);
    let known = (0..snapshot.policies.len()).filter(may).map(|index| snapshot.policies[index].name.as_str());
    let shown = shown(name);
    Failure::InvalidValue("x-mixgate-policy", format!("no policy `{shown}`; {}", suggestion(&shown, known)))
}

fn select(snapshot: &Snapshot, caller: Caller, model: &str) -> Result<Selector, Failure> {
    snapshot.selectors.get(model).copied().ok_or_else(|| not_found(snapshot, caller, model))
}

/// A client's own text, as much of it as an error repeats.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

/// The 404 of a model, with the names that are near among those that the caller may use.
pub fn not_found(snapshot: &Snapshot, caller: Caller, model: &str) -> Failure {
    let shown = shown(model);
    let may = |(_, selector): &(&String, &Selector)| snapshot.may_select(caller, **selector);
    let known = snapshot.selectors.iter().filter(may).map(|(name, _)| name.as_str());
    let near = suggestion(&shown, known);
    Failure::ModelNotFound { model: shown, near }
}

/// The tags of the header's lines, which are one list (RFC 9110, section 5.3), as the configuration has them: a
/// client's own text goes into no record.
fn required_tags(snapshot: &Snapshot, caller: Caller, headers: &HeaderMap) -> Result<Vec<Arc<str>>, Failure> {
    let refuse = |what: String| Failure::InvalidValue(REQUIRE, what);
    let mut tags = Vec::new();
    let lines = headers.get_all(REQUIRE).iter().map(|line| plain(REQUIRE, line));
    let lines = lines.collect::<Result<Vec<&str>, Failure>>()?;
    let written = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    for tag in written.filter(|tag| !tag.is_empty()) {
        if tags.len() == MAX_TAGS {
            return Err(refuse(format!("more than {MAX_TAGS} tags")));
        }
        if tag.len() > MAX_TAG {
            return Err(refuse(format!("a tag of more than {MAX_TAG} bytes")));
        }
        let known =
            snapshot.tags.get(tag).filter(|tag| snapshot.may_see_tag(caller, tag)).ok_or_else(|| {
                let seen = snapshot.tags.iter().filter(|tag| snapshot.may_see_tag(caller, tag));
                refuse(format!("no tag `{tag}` is configured; {}", suggestion(tag, seen.map(|tag| &**tag))))
            })?;
        tags.push(Arc::clone(known));
    }
    Ok(tags)
}

/// The text of a header that stands once; what is empty counts as absent.
fn text_header<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Failure> {
    let mut lines = headers.get_all(name).iter();
    let Some(value) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Failure::InvalidValue(name, "must stand once".to_owned()));
    }
    Ok(Some(plain(name, value)?).filter(|text| !text.is_empty()))
}

fn plain<'h>(name: &'static str, value: &'h HeaderValue) -> Result<&'h str, Failure> {
    let text = value.to_str().map_err(|_| Failure::InvalidValue(name, "must be plain text".to_owned()))?;
    Ok(text.trim())
}

/// Decides where a request goes. `sessions` is `None` for a dry run.
pub fn plan(
    snapshot: &Arc<Snapshot>,
    sessions: Option<&Sessions>,
    caller: Caller,
    wish: &Wish<'_>,
    ask: &Ask<'_>,
    dialect: Dialect,
) -> Result<Plan, Failure> {
    let begun = Instant::now();
    let until = begun + snapshot.deadline;
    let routed_text = if dialect == Dialect::Embeddings { Routable::default() } else { text::routable(ask) };
    let reading = Reading::of(&*snapshot.classifier, &snapshot.panel, ask, dialect, &routed_text, until);
    let thoroughness = if sessions.is_some() { Thoroughness::Enough } else { Thoroughness::All };
    let first = Subject::of(reading.verdict.as_ref());
    let wider = look_wider(snapshot, caller, ask, &first, thoroughness, until);
    let took = begun.elapsed();
    let Weighed { constraints, candidates } = weigh(snapshot, caller, wish, ask, &reading, wider.as_deref());
    let scores = reading.scores();
    let mut session = None;
    let choice = match wish.selector {
        Selector::Expert(index) => named(snapshot, index, wish.forced, dialect, &candidates),
        Selector::Policy(_) if dialect == Dialect::Embeddings => {
            let what = "embeddings of two models cannot be compared: name the model";
            return Err(Failure::InvalidValue("model", what.to_owned()));
        }
        Selector::Policy(policy) => {
            let choice = wish.with_policy(snapshot, policy, |policy| {
                policy.choose(&candidates, scores.map(evidence), snapshot.fallback)
            });
            let choice = told_apart(choice, reading.verdict.as_ref());
            let known = sessions
                .map(|s| (s, s.identify(snapshot.tenant_name(caller), wish.session, ask, &routed_text)));
            session = known.map(|(_, (id, _))| id);
            let last = known.and_then(|(s, (id, hold))| Some((seat(snapshot, s, id, hold)?, hold)));
            let firmer = |(index, hold): (usize, Hold)| {
                let enough = || is_enough_if_sure(snapshot, wish, ask, &reading, &constraints, index);
                let leans = hold == Hold::GoodEnough && reading.leans && !choice.order.contains(&index);
                (index, if leans && enough() { Hold::Always } else { hold })
            };
            let last = last.map(firmer);
            let choice = stay(choice, last, &candidates, snapshot.fallback);
            Ok(with_stand_ins(snapshot, &candidates, choice, snapshot.degrades(policy)))
        }
    };
    let choice = match choice {
        Ok(choice) if choice.order.is_empty() => Err(nobody(&candidates)),
        choice => choice,
    };
    let shut_out = Choice { order: Vec::new(), reason: Reason::Ineligible };
    let (choice, refused) = choice.map_or_else(|failure| (shut_out, Some(failure)), |choice| (choice, None));
    let features = features(ask, &routed_text);
    let stands = candidates
        .into_iter()
        .map(|c| Stand { score: c.quality, cost: c.cost, why_not: c.why_not })
        .collect();
    let decision = Decision {
        names: Arc::clone(&snapshot.names),
        policy: wish.policy,
        scores: reading.scores().copied(),
        reason: choice.reason,
        candidates: stands,
        features,
        attribution: Vec::new(),
        text: snapshot.keeps_content().then_some(routed_text.text),
        route_micros: took.as_micros() as u64,
        order: choice.order,
    };
    Ok(Plan { decision, refused, constraints, session, wider })
}

/// A named expert, and behind it the fallbacks; an embedding has no stand-in.
fn named(
    snapshot: &Snapshot,
    index: usize,
    forced: bool,
    dialect: Dialect,
    candidates: &[Candidate<'_>],
) -> Result<Choice, Failure> {
    let name = &snapshot.experts[index].name;
    match &candidates[index].why_not {
        Some(WhyNot::NotAllowed) => return Err(Failure::ModelNotAllowed(format!("the model `{name}`"))),
        Some(why) => return Err(Failure::NoEligibleExpert(format!("{name}: {why}"))),
        None => {}
    }
    let mut order = vec![index];
    if dialect != Dialect::Embeddings {
        stand_in(snapshot, candidates, &mut order);
    }
    Ok(Choice { order, reason: if forced { Reason::Forced } else { Reason::Pinned } })
}

/// Puts the fallbacks that may take the request behind those that are to be asked before.
fn stand_in(snapshot: &Snapshot, candidates: &[Candidate<'_>], order: &mut Vec<usize>) {
    for &index in snapshot.fallbacks.iter().filter(|index| candidates[**index].why_not.is_none()) {
        if !order.contains(&index) {
            order.push(index);
        }
    }
}

/// Behind the policy's choice: whoever stands in for the fallback, and where `degrade` allows it the other experts that
/// may take the request, best expected quality first.
fn with_stand_ins(
    snapshot: &Snapshot,
    candidates: &[Candidate<'_>],
    choice: Choice,
    degrade: bool,
) -> Choice {
    let Choice { mut order, reason } = choice;
    if order.is_empty() {
        return Choice { order, reason };
    }
    if candidates[snapshot.fallback].why_not.is_some() && reason != Reason::Routed {
        // the first that may stands for the fallback, before any smaller one
        let mut fallbacks = Vec::new();
        stand_in(snapshot, candidates, &mut fallbacks);
        order.retain(|index| !fallbacks.contains(index));
        order.splice(..0, fallbacks);
    }
    stand_in(snapshot, candidates, &mut order);
    if degrade {
        let has_figures =
            |c: &&Candidate<'_>| c.expert.head.is_some() || c.expert.quality.iter().any(Option::is_some);
        let may = candidates.iter().filter(|c| c.why_not.is_none()).filter(has_figures);
        let mut others: Vec<&Candidate<'_>> = may.filter(|c| !order.contains(&c.expert.index)).collect();
        others.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        order.extend(others.iter().map(|candidate| candidate.expert.index));
    }
    Choice { order, reason }
}

/// A missed deadline is another reason than a failure.
fn told_apart(choice: Choice, verdict: Option<&Verdict>) -> Choice {
    let deadline = matches!(verdict, Some(Verdict::Deadline)) && choice.reason == Reason::RouterError;
    Choice { reason: if deadline { Reason::Deadline } else { choice.reason }, ..choice }
}

/// The expert that has this conversation.
fn seat(snapshot: &Snapshot, sessions: &Sessions, id: SessionId, hold: Hold) -> Option<usize> {
    if hold == Hold::Opens {
        return None;
    }
    let name = sessions.last_expert(id, Instant::now(), snapshot.config.sessions.idle.0)?;
    snapshot.experts.iter().position(|e| *e.name == *name)
}

/// Whether an expert would be good enough for a turn that points back, were it sure what it points to. How the few words
/// of «and in the second year?» spread over the domains says nothing against the expert that has the conversation, as
/// long as what stands before it still decides for a domain that it knows.
fn is_enough_if_sure(
    snapshot: &Snapshot,
    wish: &Wish<'_>,
    ask: &Ask<'_>,
    reading: &Reading,
    constraints: &Constraints,
    expert: usize,
) -> bool {
    let Some((candidates, sure)) = candidates_if_sure(snapshot, ask, reading, constraints) else {
        return false;
    };
    wish.with_policy(snapshot, wish.policy, |policy| {
        policy.choose(&candidates, Some(evidence(&sure)), snapshot.fallback).order.contains(&expert)
    })
}

/// Keeps a conversation with its expert: always in a tool loop or a «continue», else while it is good enough.
fn stay(
    choice: Choice,
    last: Option<(usize, Hold)>,
    candidates: &[Candidate<'_>],
    fallback: usize,
) -> Choice {
    let Some((index, hold)) = last else { return choice };
    let eligible = candidates[index].why_not.is_none();
    let keeps = eligible && (hold == Hold::Always || choice.order.contains(&index));
    if !keeps || choice.order.first() == Some(&index) {
        let reason = if keeps && hold == Hold::Always { Reason::Sticky } else { choice.reason };
        return Choice { reason, ..choice };
    }
    let mut order = vec![index];
    order.extend(choice.order.iter().copied().filter(|i| *i != index));
    if candidates[fallback].why_not.is_none() && !order.contains(&fallback) {
        order.push(fallback);
    }
    Choice { order, reason: Reason::Sticky }
}

/// Why nobody is left: the request is too long for everyone who might have it, or the constraints, one line per
/// expert. Length is asked last: who fails there passes by all else, and a shorter request would be taken.
fn nobody(candidates: &[Candidate<'_>]) -> Failure {
    let windows = candidates.iter().filter_map(|c| match &c.why_not {
        Some(WhyNot::Context { tokens, window }) => Some((*tokens, *window)),
        _ => None,
    });
    if let Some((tokens, window)) = windows.max_by_key(|(_, window)| *window) {
        return Failure::ContextLengthExceeded { tokens, window };
    }
    // what is not on the tenant's list is none of its business
    let seen = candidates.iter().filter(|c| c.why_not != Some(WhyNot::NotAllowed));
    let why: Vec<String> =
        seen.filter_map(|c| Some(format!("{}: {}", c.expert.name, c.why_not.as_ref()?))).take(8).collect();
    Failure::NoEligibleExpert(why.join("; "))
}

fn features(ask: &Ask<'_>, text: &Routable) -> Features {
    Features {
        chars: text.text.chars().count(),
        tokens_estimated: ask.tokens_estimated,
        turns: text.turns,
        has_tools: ask.needs.has(Capabilities::TOOLS),
        has_images: ask.needs.has(Capabilities::VISION),
        language: text::script(&text.text),
    }
}

/// Expected cost of a request for an expert, for people.
pub fn cost_text(cost: Option<MicroUsd>) -> String {
    cost.map_or_else(|| "unpriced".to_owned(), |c| format!("${c}"))
}
