//! One configuration, built and immutable: what a request is answered under from its first to its last byte.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use router_model::Heads;

use crate::auth::{Caller, KeyHash};
use crate::classify::Classifier;
use crate::config::written::{self, Config, Content, Pricing, ResponseModel};
use crate::config::{self, Checked, Setting};
use crate::constraint::{Capabilities, Rule, tags_of};
use crate::dispatch::RetryBudget;
use crate::expert::endpoint::Endpoint;
use crate::expert::{Expert, Timeouts};

use crate::meter::{ExpertMeter, Meter};
use crate::policy;
use crate::price::Price;
use crate::provider;
use crate::record::Names;

/// One configuration, built.
#[derive(Debug)]
pub struct Snapshot {
    /// Hash of its text.
    pub hash: String,
    /// The sections that are used as written.
    pub config: Config,
    /// Every value of it and where it came from.
    pub settings: Vec<Setting>,
    /// The models.
    pub experts: Vec<Expert>,
    /// Their metrics, by the same index.
    pub meters: Vec<Arc<ExpertMeter>>,
    /// The metrics of requests that no expert answered.
    pub nobody: Arc<ExpertMeter>,
    /// Position of the large model.
    pub fallback: usize,
    /// Positions of the large model and of those that stand in for it.
    pub fallbacks: Vec<usize>,
    /// How many calls may follow failed ones; lives on through reloads that leave its figures.
    pub retry_budget: Arc<RetryBudget>,
    /// The policies.
    pub policies: Vec<policy::Named>,
    /// Position of the policy of `auto`.
    pub default_policy: usize,
    /// Hard constraints.
    pub rules: Vec<Rule>,
    /// Every governance tag that an expert has or that a rule or policy names.
    pub tags: BTreeSet<Arc<str>>,
    /// Who may call; empty: anyone.
    pub tenants: Vec<Tenant>,
    /// Hashes of keys for the admin listener.
    pub admin_keys: Vec<KeyHash>,
    /// What `model` may say.
    pub selectors: HashMap<String, Selector>,
    /// Names of its domains as headers.
    pub domain_headers: Vec<HeaderValue>,
    /// What its records call things.
    pub names: Arc<Names>,
    /// The router model.
    pub classifier: Arc<dyn Classifier>,
    /// The heads of the router model that the experts name, by [`Expert::head`].
    pub panel: Heads,
    /// How long a classification may take.
    pub deadline: Duration,
}

impl Snapshot {
    /// Whether answers carry the client's `model`.
    pub fn renames(&self) -> bool {
        self.config.server.response_model == ResponseModel::Requested
    }

    /// Whether an expert is the large model or stands in for it.
    pub fn is_fallback(&self, expert: usize) -> bool {
        self.fallbacks.contains(&expert)
    }

    /// Whether the best expert answers under this policy when every fallback fails.
    pub fn degrades(&self, policy: usize) -> bool {
        self.policies[policy].degrade.unwrap_or(self.config.degrade)
    }

    /// Whether the caller may use an expert.
    pub fn may_use_expert(&self, caller: Caller, expert: usize) -> bool {
        self.tenant(caller).and_then(|t| t.experts.as_ref()).is_none_or(|list| list.contains(&expert))
    }

    /// Whether the caller may use a policy.
    pub fn may_use_policy(&self, caller: Caller, policy: usize) -> bool {
        self.tenant(caller).and_then(|t| t.policies.as_ref()).is_none_or(|list| list.contains(&policy))
    }

    /// Position of the policy whose `require` holds for a model that the caller names: the default one, or the first of
    /// its own where it may not use that.
    pub fn policy_of_named_models(&self, caller: Caller) -> usize {
        let own = self.tenant(caller).and_then(|tenant| tenant.policies.as_ref());
        let first = own.filter(|list| !list.contains(&self.default_policy)).and_then(|list| list.first());
        first.copied().unwrap_or(self.default_policy)
    }

    /// Whether the caller may use what a `model` value leads to.
    pub fn may_select(&self, caller: Caller, selector: Selector) -> bool {
        match selector {
            Selector::Expert(index) => self.may_use_expert(caller, index),
            Selector::Policy(index) => self.may_use_policy(caller, index),
        }
    }

    /// Whether a tag is no secret of experts that the caller may not use.
    pub fn may_see_tag(&self, caller: Caller, tag: &str) -> bool {
        let mut owners = self.experts.iter().filter(|expert| expert.tags.contains(tag)).peekable();
        owners.peek().is_none() || owners.any(|expert| self.may_use_expert(caller, expert.index))
    }

    /// The caller's name, by which it is known over reloads.
    pub fn tenant_name(&self, caller: Caller) -> Option<&Arc<str>> {
        self.tenant(caller).map(|tenant| &tenant.name)
    }

    fn tenant(&self, caller: Caller) -> Option<&Tenant> {
        caller.0.map(|index| &self.tenants[index])
    }

    /// Whether records carry text.
    pub fn keeps_content(&self) -> bool {
        self.config.log.content == Content::Full
    }

    /// Position of an expert by name or model id.
    pub fn expert_named(&self, name: &str) -> Option<usize> {
        self.experts
            .iter()
            .position(|e| *e.name == *name)
            .or_else(|| self.experts.iter().position(|e| e.model == name))
    }

    /// Position of a policy.
    pub fn policy_named(&self, name: &str) -> Option<usize> {
        self.policies.iter().position(|p| p.name == name)
    }
}

/// Who may call, ready to be asked.
#[derive(Debug)]
pub struct Tenant {
    /// Its name.
    pub name: Arc<str>,
    /// Hashes of its keys.
    pub keys: Vec<KeyHash>,
    /// Positions of its experts; `None`: all.
    pub experts: Option<Vec<usize>>,
    /// Positions of its policies; `None`: all.
    pub policies: Option<Vec<usize>>,
}

/// Where a `model` value leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// The policy decides.
    Policy(usize),
    /// The caller did.
    Expert(usize),
}

/// A configuration to decide with, where nothing is served.
///
/// # Errors
///
/// In words, when a policy promises what the router model cannot keep.
pub fn snapshot_for_dry_runs(
    checked: Checked,
    classifier: Arc<dyn Classifier>,
    meter: &Meter,
) -> Result<Snapshot, String> {
    build(checked, classifier, meter, None)
}

/// Builds a configuration; what is known of endpoints is taken over from the `old` one.
pub(crate) fn build(
    checked: Checked,
    classifier: Arc<dyn Classifier>,
    meter: &Meter,
    old: Option<&Snapshot>,
) -> Result<Snapshot, String> {
    let Checked { config, hash, settings, rules: rule_names, .. } = checked;
    let place = |name: &String| config.experts.iter().position(|e| e.name == *name);
    let fallbacks: Vec<usize> = config.fallback.names().iter().filter_map(place).collect();
    let fallback = fallbacks.first().copied().unwrap_or(0);
    let mut experts: Vec<Expert> = config
        .experts
        .iter()
        .enumerate()
        .map(|(index, written)| build_expert(index, written, index == fallback, &*classifier, old))
        .collect();
    let panel = panel(&config, &*classifier);
    for (expert, written) in experts.iter_mut().zip(&config.experts) {
        expert.head = panel.names().iter().position(|name| Some(name) == written.catalogue.as_ref());
    }
    let policies = policy::build(&config.policies, &experts, fallback, &config.tenants, &*classifier)?;
    let tenants = config.tenants.iter().map(|t| build_tenant(t, &experts, &policies)).collect();
    let rules: Vec<Rule> =
        config.rules.iter().map(|r| build_rule(r, &config.tenants, classifier.domains())).collect();
    for expert in &experts {
        // its first is seen by a rate only if there was a 0 before
        meter.stale_connections.with_label_values(&[&*expert.name]);
    }
    Ok(Snapshot {
        hash,
        tags: all_tags(&experts, &rules, &policies),
        meters: experts.iter().map(|e| handles(meter, &e.name, classifier.domains(), old)).collect(),
        nobody: handles(meter, "none", classifier.domains(), old),
        selectors: selectors(&config, &experts, &policies),
        default_policy: policies.iter().position(|p| p.name == config.router.policy).unwrap_or(0),
        admin_keys: config.server.admin_keys.iter().filter_map(|k| KeyHash::parse(k)).collect(),
        deadline: config.router.deadline.0,
        domain_headers: classifier.domains().iter().map(|name| header(name)).collect(),
        names: Arc::new(Names::new(
            experts.iter().map(|expert| Arc::clone(&expert.name)).collect(),
            policies.iter().map(|policy| policy.name.clone()).collect(),
            rule_names,
            classifier.domains(),
            classifier.version(),
            fallback,
        )),
        retry_budget: retry_budget(config.retry, old),
        experts,
        fallback,
        fallbacks,
        policies,
        rules,
        tenants,
        panel,
        classifier,
        config,
        settings,
    })
}

/// The metrics of an expert, those of the old configuration where they fit: what was counted stays known by them.
fn handles(meter: &Meter, name: &str, domains: &[String], old: Option<&Snapshot>) -> Arc<ExpertMeter> {
    let old = old.filter(|old| old.classifier.domains() == domains);
    let known = old.and_then(|old| old.meters.iter().chain([&old.nobody]).find(|known| known.name() == name));
    known.map_or_else(|| Arc::new(meter.expert(name, domains.len())), Arc::clone)
}

/// The heads of the models that experts name in `catalogue`, in the order of these experts.
fn panel(config: &Config, classifier: &dyn Classifier) -> Heads {
    let Some(heads) = classifier.heads() else { return Heads::default() };
    let named = config.experts.iter().filter_map(|expert| expert.catalogue.as_ref());
    let places: Vec<usize> = named.filter_map(|name| heads.names().iter().position(|n| n == name)).collect();
    heads.select(&places)
}

fn build_expert(
    index: usize,
    written: &written::Expert,
    is_fallback: bool,
    classifier: &dyn Classifier,
    old: Option<&Snapshot>,
) -> Expert {
    let domains = classifier.domains();
    let provider = provider::of(written.provider);
    let key = written.api_key.as_ref().filter(|key| !key.expose().trim().is_empty());
    let known =
        written.catalogue.as_ref().and_then(|name| classifier.known().iter().find(|k| k.name == *name));
    let graded: Vec<bool> =
        domains.iter().map(|d| known.is_some_and(|k| k.domains.iter().any(|g| g.domain == *d))).collect();
    let default = |graded: bool| (is_fallback && !graded).then_some(1.0);
    let quality = domains
        .iter()
        .zip(&graded)
        .map(|(d, graded)| written.quality.get(d).map(|q| *q as f32).or(default(*graded)))
        .collect();
    let before = old.and_then(|o| o.experts.iter().find(|e| *e.name == *written.name));
    let mut capabilities: Capabilities = written.capabilities.iter().copied().collect();
    capabilities.set(Capabilities::OTHER, is_fallback);
    let t = &written.timeouts;
    Expert {
        index,
        name: written.name.as_str().into(),
        model: written.model.clone(),
        name_header: header(&written.name),
        model_header: header(&written.model),
        provider,
        authorization: key.and_then(|k| provider.authorization(k)),
        headers: written.headers.iter().filter_map(further_header).collect(),
        stream_usage: written.stream_usage,
        domains: written.domains.clone(),
        quality,
        catalogue: written.catalogue.clone(),
        head: None,
        graded,
        verbosity: known.and_then(|known| known.verbosity).unwrap_or(1.0),
        price: written.price.as_ref().and_then(Pricing::listed).map(Price::new),
        reports_cost: matches!(written.price, Some(Pricing::Reported(_))),
        hosting: written.hosting.map_or(0.0, |h| h.usd_per_hour),
        context_window: written.context_window,
        max_output_tokens: written.max_output_tokens,
        capabilities,
        tags: tags_of(&written.governance),
        training_known: written.governance.trained_on.is_some(),
        max_concurrency: written.max_concurrency,
        timeouts: Timeouts {
            connect: t.connect.0,
            headers: t.headers.0,
            first_token: t.first_token.0,
            idle: t.idle.0,
            total: t.total.0,
        },
        endpoints: build_endpoints(written, old),
        load: before.map_or_else(Arc::default, |e| Arc::clone(&e.load)),
    }
}

fn further_header((name, value): (&String, &config::Secret)) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value.header("")?))
}

/// The budget of the old configuration where its figures are the same.
fn retry_budget(written: written::Retry, old: Option<&Snapshot>) -> Arc<RetryBudget> {
    let same = old.filter(|old| old.config.retry == written);
    same.map_or_else(|| Arc::new(RetryBudget::new(written)), |old| Arc::clone(&old.retry_budget))
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// Endpoints; one that was there before keeps its connections and its load.
fn build_endpoints(written: &written::Expert, old: Option<&Snapshot>) -> Vec<Arc<Endpoint>> {
    let single = written.base_url.as_deref().map(|url| (url, 1));
    let several = written.endpoints.iter().map(|e| (e.base_url.as_str(), e.weight));
    single
        .into_iter()
        .chain(several)
        .filter_map(|(url, weight)| {
            let new = Endpoint::new(url, weight, provider::of(written.provider))?;
            let same = |e: &&Arc<Endpoint>| {
                (&e.authority, e.tls, &e.paths, e.weight) == (&new.authority, new.tls, &new.paths, new.weight)
            };
            let before = old.and_then(|o| {
                o.experts.iter().find(|e| *e.name == *written.name)?.endpoints.iter().find(same)
            });
            Some(before.map_or_else(|| Arc::new(new), Arc::clone))
        })
        .collect()
}

fn build_tenant(written: &written::Tenant, experts: &[Expert], policies: &[policy::Named]) -> Tenant {
    let expert = |name: &String| experts.iter().position(|e| *e.name == **name);
    let policy = |name: &String| policies.iter().position(|p| p.name == *name);
    Tenant {
        name: written.name.as_str().into(),
        keys: written.keys.iter().filter_map(|k| KeyHash::parse(k)).collect(),
        experts: written.experts.as_ref().map(|list| list.iter().filter_map(expert).collect()),
        policies: written.policies.as_ref().map(|list| list.iter().filter_map(policy).collect()),
    }
}

fn build_rule(written: &written::Rule, tenants: &[written::Tenant], domains: &[String]) -> Rule {
    Rule {
        domains: written.when.domain.iter().filter_map(|d| domains.iter().position(|l| l == d)).collect(),
        at: written.when.at.unwrap_or(0.2) as f32,
        tenant: written.when.tenant.as_ref().and_then(|name| tenants.iter().position(|t| t.name == *name)),
        require: written.require.iter().map(|tag| tag.as_str().into()).collect(),
        forbid: written.forbid.iter().map(|tag| tag.as_str().into()).collect(),
    }
}

/// `indemnified` is a word of the configuration, whether or not anyone is.
fn all_tags(experts: &[Expert], rules: &[Rule], policies: &[policy::Named]) -> BTreeSet<Arc<str>> {
    let named = rules.iter().flat_map(|rule| rule.require.iter().chain(&rule.forbid));
    let named = named.chain(policies.iter().flat_map(|policy| &policy.require)).cloned();
    experts
        .iter()
        .flat_map(|expert| &expert.tags)
        .map(|tag| tag.as_str().into())
        .chain(named)
        .chain(["indemnified".into()])
        .collect()
}

/// Every value `model` may have; names go before model ids, and the first of two experts with the same id wins.
fn selectors(config: &Config, experts: &[Expert], policies: &[policy::Named]) -> HashMap<String, Selector> {
    let mut all = HashMap::new();
    for expert in experts.iter().rev() {
        all.insert(expert.model.clone(), Selector::Expert(expert.index));
    }
    for expert in experts {
        all.insert(expert.name.to_string(), Selector::Expert(expert.index));
    }
    let default = policies.iter().position(|p| p.name == config.router.policy).unwrap_or(0);
    all.insert("auto".to_owned(), Selector::Policy(default));
    for (index, policy) in policies.iter().enumerate() {
        all.insert(format!("auto:{}", policy.name), Selector::Policy(index));
    }
    for (alias, target) in &config.aliases {
        if let Some(selector) = all.get(target).copied() {
            all.insert(alias.clone(), selector);
        }
    }
    all
}

#[cfg(test)]
pub(crate) mod tests {
    use router_model::RouterModel;

    use super::*;
    use crate::api::Dialect;
    use crate::record::Outcome;

    /// An expert with these qualities and nothing special.
    pub(crate) fn expert(index: usize, name: &str, quality: &[Option<f32>]) -> Expert {
        let yaml = format!(
            "name: {name}\nmodel: {name}\nbase_url: http://127.0.0.1:1/v1\nprice: {{ input_per_1m: 1, output_per_1m: 1 }}"
        );
        let written: written::Expert = serde_saphyr::from_str(&yaml).unwrap();
        let model = RouterModel::builtin().unwrap();
        let mut expert = build_expert(index, &written, false, &model, None);
        expert.quality = quality.to_vec();
        expert.graded = vec![false; quality.len()];
        expert
    }

    #[test]
    fn what_was_counted_is_known_after_a_reload() {
        let yaml = "
fallback: a
experts: [{ name: a, model: m, base_url: 'http://h/v1', price: { input_per_1m: 1, output_per_1m: 1 } }]";
        let checked = || config::parse("t.yaml", yaml, &|_| None).unwrap();
        let model: Arc<dyn Classifier> = Arc::new(RouterModel::builtin().unwrap());
        let meter = Meter::new("-");
        let old = build(checked(), Arc::clone(&model), &meter, None).unwrap();
        meter.ended(&old.meters[0], Dialect::Chat, Outcome::Cancelled);
        meter.ended(&old.nobody, Dialect::Chat, Outcome::ClientError);
        let new = build(checked(), model, &meter, Some(&old)).unwrap();
        assert_eq!(new.meters[0].figures().requests[Outcome::Cancelled as usize], 1);
        assert_eq!(new.nobody.figures().requests[Outcome::ClientError as usize], 1);
    }

    #[test]
    fn names_go_before_model_ids_and_aliases_follow() {
        let yaml = "
fallback: b
aliases: { fast: a, gpt: 'auto:frugal' }
experts:
  - { name: a, model: shared, base_url: 'http://h/v1', price: { input_per_1m: 1, output_per_1m: 1 } }
  - { name: b, model: shared, base_url: 'http://h/v1', price: { input_per_1m: 1, output_per_1m: 1 } }
  - { name: shared, model: x, base_url: 'http://h/v1', price: { input_per_1m: 1, output_per_1m: 1 } }";
        let checked = config::parse("t.yaml", yaml, &|_| None).unwrap();
        let experts: Vec<Expert> = (0..3)
            .map(|i| {
                build_expert(i, &checked.config.experts[i], false, &RouterModel::builtin().unwrap(), None)
            })
            .collect();
        let model = RouterModel::builtin().unwrap();
        let policies = policy::build(&checked.config.policies, &experts, 0, &[], &model).unwrap();
        let all = selectors(&checked.config, &experts, &policies);
        assert_eq!(all["shared"], Selector::Expert(2));
        assert_eq!(all["fast"], Selector::Expert(0));
        let frugal = policies.iter().position(|p| p.name == "frugal").unwrap();
        assert_eq!(all["gpt"], Selector::Policy(frugal));
    }
}
