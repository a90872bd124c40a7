//! The configuration as it is written: one struct per section, every default visible here.
//!
//! These types are the reference: `mixgate schema` prints them as JSON Schema, and an unknown key is a fault.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::mask;
pub use super::pricing::{Price, Pricing, Reported};
use super::units::{DurationText, Percent, Secret, Size};

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[schemars(title = "mixgate configuration", deny_unknown_fields)]
pub struct Config {
    /// Listeners and limits.
    #[serde(default)]
    pub server: Server,
    /// The router model and how it is asked.
    #[serde(default)]
    pub router: Router,
    /// Names of one's own for what requests are about: a domain of the router model by another name, or several that count
    /// together (`contracts: legal`, `office: [writing, text_ops]`). Figures, rules, metrics, headers and records then have
    /// these names; a domain that is not listed here keeps its own.
    #[serde(default)]
    pub domains: BTreeMap<String, OneOrMore>,
    /// Named policies. None: `careful`, `balanced` and `frugal` with tolerances 0.02, 0.20 and 0.30.
    #[serde(default)]
    pub policies: BTreeMap<String, Policy>,
    /// Name of the expert that is the large model: it takes what no other should, and is the baseline of savings. Or a
    /// list of names: the first is that, the others stand in for it, in their order, while it fails.
    pub fallback: OneOrMore,
    /// When every fallback fails, the best expert that may answer does, reason `upstream_failure`; `false`: the client
    /// gets an error. A policy may say otherwise. It never holds for a model that the client named.
    #[serde(default = "yes")]
    pub degrade: bool,
    /// When a failed call is followed by another.
    #[serde(default)]
    pub retry: Retry,
    /// The models that can answer.
    pub experts: Vec<Expert>,
    /// Further names for the `model` of a request: alias → `auto`, `auto:<policy>`, an expert's name or model id.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// Hard constraints: no score overrides them.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Who may call. None: anyone, on loopback only unless `server.anonymous`.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
    /// How conversations stay with their expert.
    #[serde(default)]
    pub sessions: Sessions,
    /// The decision log.
    #[serde(default)]
    pub log: Log,
}

fn yes() -> bool {
    true
}

/// A name, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several, in their order.
    Several(Vec<String>),
}

impl OneOrMore {
    /// The names, in their order.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }

    /// The first; empty where none is named, which the checks refuse.
    pub fn primary(&self) -> &str {
        self.names().first().map(String::as_str).unwrap_or_default()
    }
}

/// When a failed call is followed by another of the same expert. What the client caused is never repeated there; the
/// next candidate is asked whatever is left of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Retry {
    /// Second calls to an expert, at another of its endpoints, as a share of the requests of the last ten seconds; over
    /// it the next candidate is asked.
    pub budget: Percent,
    /// So many a second are allowed however few requests there are.
    pub min_per_second: u32,
    /// A request that a server may have read and not answered.
    pub after_sent: AfterSent,
}

impl Default for Retry {
    fn default() -> Self {
        Self { budget: Percent(20.0), min_per_second: 10, after_sent: AfterSent::Once }
    }
}

/// What becomes of a request that a server may have read and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterSent {
    /// It is tried once more, elsewhere; the record has both costs, that of the lost one estimated.
    Once,
    /// It is not: the client gets an error.
    Never,
}

/// Whether usage is asked for in streams whose client did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// Until the server refuses `stream_options`; from then on not.
    #[default]
    Auto,
    /// Always.
    Ask,
    /// Never: tokens of streams are estimated where the server does not send them by itself.
    Off,
}

impl StreamUsage {
    /// Whether to ask an endpoint, which has refused it or not.
    pub fn asks(self, refused: bool) -> bool {
        match self {
            Self::Auto => !refused,
            Self::Ask => true,
            Self::Off => false,
        }
    }

    /// Whether it may be left out.
    pub fn may_stop(self) -> bool {
        self == Self::Auto
    }
}

/// Listeners and limits.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Server {
    /// Data plane.
    pub listen: String,
    /// Metrics, health, status, decisions.
    pub admin_listen: String,
    /// Largest request body; larger: 413.
    pub max_body: Size,
    /// Request bodies held in memory at once, over all connections; more: 503.
    pub max_buffered: Size,
    /// Open connections; more wait in the kernel's queue.
    pub max_connections: u32,
    /// Requests being answered; more: 503 with `retry-after`.
    pub max_in_flight: u32,
    /// Longest pause while a request body arrives; longer: 408.
    pub body_timeout: DurationText,
    /// How long running answers may take after SIGTERM.
    pub drain_timeout: DurationText,
    /// Silence after which a committed stream sends a comment, so that nothing in between closes it.
    pub keep_alive: DurationText,
    /// What `model` says in answers: the upstream's own value, or the one the client asked for.
    pub response_model: ResponseModel,
    /// Hashes of the keys for the admin listener, needed when it is not on loopback.
    pub admin_keys: Vec<String>,
    /// Allows calls without a key on a listener beyond loopback.
    pub anonymous: bool,
    /// Pages that may use the gateway from a browser.
    pub cors: Cors,
    /// Names that the data plane answers to on loopback without keys, beside literal addresses and names without a dot
    /// such as `localhost`: what a proxy in front of it sends as `host`. Any other could be a page's own that leads here.
    pub hosts: Vec<String>,
}

/// Pages that may use the gateway from a browser.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Cors {
    /// Their origins, such as `https://app.example`; `*`: any, where keys are asked for. None: pages of other sites are
    /// refused. Pages that this machine itself serves on a loopback name may use a data plane on loopback unlisted. On the
    /// admin plane they hold only with `admin_keys`.
    pub origins: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            admin_listen: "127.0.0.1:9090".to_owned(),
            max_body: Size(32 << 20),
            max_buffered: Size(512 << 20),
            max_connections: 4096,
            max_in_flight: 1024,
            body_timeout: DurationText::secs(30),
            drain_timeout: DurationText::secs(600),
            keep_alive: DurationText::secs(15),
            response_model: ResponseModel::Upstream,
            admin_keys: Vec::new(),
            anonymous: false,
            cors: Cors::default(),
            hosts: Vec::new(),
        }
    }
}

/// Whose name stands in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseModel {
    /// Byte for byte what the upstream sent.
    Upstream,
    /// The client's own `model` value, for clients that insist on it.
    Requested,
}

/// The router model and how it is asked.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Router {
    /// `builtin`, or the path of a `.safetensors` file made by `mixgate train`.
    pub model: String,
    /// The policy of `auto`.
    pub policy: String,
    /// How long a classification may take; past it the fallback answers, with reason `deadline`.
    pub deadline: DurationText,
}

impl Default for Router {
    fn default() -> Self {
        Self { model: "builtin".to_owned(), policy: "balanced".to_owned(), deadline: DurationText::millis(5) }
    }
}

/// How scores become a choice: `tolerance`, or `max_under_route`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Policy {
    /// The cheapest expert whose expected quality is at most this much below the fallback's.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tolerance: Option<f64>,
    /// A calibrated promise: with 90 % confidence at most this share of the requests that need the large model goes to
    /// another, over all domains and in each that `check` names, all at once.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_under_route: Option<f64>,
    /// Below this probability of the domains that it has figures for, taken together, an expert is not chosen; under
    /// `max_under_route` below this probability of the likeliest domain. Where none is left the fallback answers, reason
    /// `low_confidence` where the likeliest domain is below it, too. Default 0.4; under that an expert counts with what
    /// its own domains give alone, so that a lower value hardly ever sends it more.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_confidence: Option<f64>,
    /// From this out-of-distribution score on the fallback answers, reason `out_of_distribution`: the share of
    /// requests by writers unknown to the router model that are less unlike the known. Default 0.93: seven in a hundred
    /// are taken for strange. 1: only what is stranger than all of them, as text without a word is.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_ood_score: Option<f64>,
    /// Governance tags every expert must have.
    pub require: Vec<String>,
    /// Whether an expert answers when every fallback fails; default: as `degrade` at the top.
    pub degrade: Option<bool>,
}

/// One model that can answer.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Expert {
    /// Its name: in requests, headers, metrics.
    pub name: String,
    /// The model id the upstream knows it by.
    pub model: String,
    /// The upstream's protocol.
    #[serde(default)]
    pub provider: ProviderName,
    /// Its address, up to and including `/v1`; a query goes behind each path. Either this or `endpoints`.
    #[serde(default, serialize_with = "shown_if_any")]
    pub base_url: Option<String>,
    /// Several addresses of the same model.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Its key; keep it in the environment.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Headers sent with every request to it; they go before those that the gateway sets.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Whether usage is asked for in streams whose client did not.
    #[serde(default)]
    pub stream_usage: StreamUsage,
    /// What it is meant for; told to people and in `/v1/models`, decides nothing.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Chance of a good answer, per domain. No figure: never chosen for that domain; the fallback's default is 1.
    #[serde(default)]
    pub quality: BTreeMap<String, f64>,
    /// The name of this model, or of one like it, in the router model's catalogue (`mixgate catalogue`): its chance
    /// of a good answer is then estimated for each prompt, in the domains where it was graded. `quality` goes first.
    #[serde(default)]
    pub catalogue: Option<String>,
    /// Price per million tokens, USD, or `reported`: what the upstream says each answer cost (`usage.cost`). Needed,
    /// unless `hosting` is given: then its requests count as unpriced.
    #[serde(default)]
    pub price: Option<Pricing>,
    /// What a self-hosted model costs whether used or not.
    #[serde(default)]
    pub hosting: Option<Hosting>,
    /// Tokens of prompt and answer together.
    #[serde(default = "context_window")]
    pub context_window: u64,
    /// Longest answer, tokens.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// What it can do beyond text.
    #[serde(default)]
    pub capabilities: Vec<CapabilityName>,
    /// Requests at once; more go to the next candidate.
    #[serde(default = "max_concurrency")]
    pub max_concurrency: u32,
    /// What it may be used for.
    #[serde(default)]
    pub governance: Governance,
    /// How long each step of an attempt may take.
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// An address as consoles may see it: its query may hold a key.
fn shown<S: Serializer>(address: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&mask::addresses(address))
}

#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
fn shown_if_any<S: Serializer>(address: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    address.as_deref().map(mask::addresses).serialize(to)
}

fn context_window() -> u64 {
    8192
}

fn max_concurrency() -> u32 {
    256
}

/// Protocols spoken to upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderName {
    /// Any OpenAI-compatible server: vLLM, Ollama, llama.cpp, TGI, the hosted ones.
    #[default]
    Openai,
}

/// One address of a model.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Endpoint {
    /// Its address, up to and including `/v1`.
    #[serde(serialize_with = "shown")]
    pub base_url: String,
    /// Its share of the traffic, relative to the others.
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// Cost of a self-hosted model.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Hosting {
    /// USD per hour, used or not.
    #[schemars(range(min = 0.0))]
    pub usd_per_hour: f64,
}

/// Abilities a request can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityName {
    /// Function calling.
    Tools,
    /// `response_format` with a JSON Schema.
    JsonSchema,
    /// Images in messages.
    Vision,
    /// Audio in or out.
    Audio,
    /// `reasoning_effort`.
    Reasoning,
    /// `logprobs`.
    Logprobs,
    /// Several tool calls in one turn.
    ParallelTools,
}

/// What a model may be used for; becomes the tags that rules ask for.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Governance {
    /// Licence of the weights; tag `license:<value>`.
    pub license: Option<String>,
    /// The vendor indemnifies; tag `indemnified`.
    pub indemnified: bool,
    /// Where it runs; tags `region:<value>`.
    pub regions: Vec<String>,
    /// What it was trained on; tags `trained_on:<value>`. Not written: unknown, and a rule that forbids a source refuses it.
    pub trained_on: Option<Vec<String>>,
    /// Any further tags.
    pub tags: Vec<String>,
}

/// How long each step of an attempt may take.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: DurationText,
    /// Of a stream: until the response's head.
    pub headers: DurationText,
    /// Of a stream: from the head to the first meaningful event. Models that think first may say nothing for minutes.
    pub first_token: DurationText,
    /// Between two events of a stream; comments count as silence.
    pub idle: DurationText,
    /// The whole attempt; the only limit of an answer that is not streamed, besides `connect`.
    pub total: DurationText,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: DurationText::secs(2),
            headers: DurationText::secs(60),
            first_token: DurationText::secs(300),
            idle: DurationText::secs(60),
            total: DurationText::secs(600),
        }
    }
}

/// A hard constraint.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Rule {
    /// When it applies; every condition that is written must hold. None written: always.
    #[serde(default)]
    pub when: When,
    /// Tags an expert must have.
    #[serde(default)]
    pub require: Vec<String>,
    /// Tags an expert must not have.
    #[serde(default)]
    pub forbid: Vec<String>,
}

/// When a rule applies.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct When {
    /// Any of these domains has at least probability `at`, in the text that routing decides by or in a passage of the
    /// request; also where the domain is unknown: deadline, error, out of distribution, low confidence, more text than
    /// is read.
    pub domain: Vec<String>,
    /// Default 0.2.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub at: Option<f64>,
    /// The caller is this tenant.
    pub tenant: Option<String>,
}

/// Who may call, and what.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Tenant {
    /// Its name: in records and rules.
    pub name: String,
    /// `sha256:…` of its keys, as `mixgate hash-key` prints them; several, so that they can be rotated.
    pub keys: Vec<String>,
    /// Experts it may use; absent: all.
    #[serde(default)]
    pub experts: Option<Vec<String>>,
    /// Policies it may name; absent: all.
    #[serde(default)]
    pub policies: Option<Vec<String>>,
}

/// How conversations stay with their expert.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Sessions {
    /// How long a conversation may pause and still keep its expert.
    pub idle: DurationText,
    /// Conversations remembered; the least used go first.
    pub max: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { idle: DurationText::secs(3600), max: 100_000 }
    }
}

/// The decision log.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Log {
    /// `stdout`, `stderr`, `off`, or the path of a file that is appended to.
    pub decisions: String,
    /// Whether records carry the prompt's text.
    pub content: Content,
}

impl Default for Log {
    fn default() -> Self {
        Self { decisions: "stdout".to_owned(), content: Content::Off }
    }
}

/// What records say of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Nothing.
    Off,
    /// The routable text.
    Full,
}
