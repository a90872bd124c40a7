//! The demo's world: a mock per expert, a gateway in front, and a client, all on loopback.
//!
//! Its experts are those of the reference configuration, whose figures of quality are set by hand around 0.9, and
//! models whose answers to the graded prompts are on record, whose chances the router model estimates on the scale
//! of hard benchmarks. The two scales do not compare, so they never meet: in the domains of the graded prompts a
//! figure set by hand is taken away, and who has none left leaves; in the others the large model keeps the figure
//! it had there, 1, and the graded models have none that comes near.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Prompt;
use super::graded::{Graded, JOINING, LARGE};
use crate::api::Dialect;
use crate::ask::Spliced;
use crate::cli::Exit;
use crate::config::written::{self, Config, Governance, Policy, Price, Pricing, ProviderName};
use crate::config::{Checked, DurationText};
use crate::expert::Timeouts;
use crate::expert::endpoint::Endpoint;
use crate::gateway::Gateway;
use crate::lanes::Lanes;
use crate::mock::{self, Fault, Mock};
use crate::provider;
use crate::record::Finished;
use crate::router_file;
use crate::upstream::{Connector, Terms};

/// One expert misbehaves twice, so that a fallback can be seen.
const TROUBLED: (&str, &str) = ("qwen-coder-7b", "status-503@2");
/// Tokens of every answer. One length for all: how long their answers were is on record for some models only, and
/// none shall look cheap for being short.
const TOKENS: usize = 150;
/// The tag of models with recorded answers, and the policy that asks for it.
const GRADED: &str = "graded";
/// How far below the large model's a chance may be on graded prompts. Half of the reference's `balanced`: hard
/// questions leave less room between a small and a large model. Set beforehand, not for the figures.
const TOLERANCE: f64 = 0.10;

/// Everything that runs.
pub(super) struct World {
    pub(super) gateway: Gateway,
    endpoint: Arc<Endpoint>,
    connector: Connector,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Serialize)]
struct Ask<'a> {
    model: &'a str,
    stream: bool,
    messages: [Message<'a>; 1],
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

impl World {
    /// Starts mocks and gateway; `graded`: the domains of graded prompts.
    pub(super) async fn start(graded: &BTreeSet<&str>) -> Result<Self, Exit> {
        let internal = |e: &dyn std::fmt::Display| Exit::Internal(e.to_string());
        let (mut checked, classifier) = router_file::reference().map_err(|faults| internal(&faults))?;
        one_scale_per_domain(&mut checked.config, graded);
        join(&mut checked.config);
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        for index in 0..checked.config.experts.len() {
            start_mock(&mut checked.config, index, &tasks, &stop).await.map_err(|e| internal(&e))?;
        }
        open_up(&mut checked.config);
        let gateway = start_gateway(checked, classifier).await.map_err(|e| internal(&e))?;
        let base = format!("http://{}/v1", gateway.data);
        let endpoint = Endpoint::new(&base, 1, provider::of(ProviderName::Openai))
            .ok_or_else(|| Exit::Internal(format!("{base} is no address")))?;
        Ok(Self {
            gateway,
            endpoint: Arc::new(endpoint),
            connector: Connector::with_system_roots().map_err(Exit::Input)?,
            tasks,
            stop,
        })
    }

    /// Sends a prompt as a client would, a graded one to the models that were graded; returns the record of it.
    pub(super) async fn ask(&self, prompt: &Prompt, stream: bool) -> Result<Arc<Finished>, Exit> {
        let model = if prompt.right.is_empty() { "auto" } else { "auto:graded" };
        let ask = Ask { model, stream, messages: [Message { role: "user", content: &prompt.prompt }] };
        let body = Bytes::from(serde_json::to_vec(&ask).map_err(|e| Exit::Internal(e.to_string()))?);
        let request = || {
            let mut request = Request::new(Spliced::one(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.endpoint.paths[Dialect::Chat.index()].clone();
            request.headers_mut().insert(HOST, self.endpoint.host_header.clone());
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request
        };
        let patience = Duration::from_secs(30);
        let limits = Timeouts {
            connect: patience,
            headers: patience,
            first_token: patience,
            idle: patience,
            total: patience,
        };
        let terms = Terms::new(&limits, Instant::now() + patience);
        let answer = self.connector.send(&self.endpoint, request, &terms).await;
        let answer = answer.map_err(|e| Exit::Internal(format!("the gateway did not answer: {e:?}")))?;
        let id = answer
            .head
            .headers
            .get("x-mixgate-decision")
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let status = answer.head.status;
        let (mut body, mut text) = (answer.body, Vec::new());
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data.map_err(|e| Exit::Internal(format!("an answer broke off: {e}")))?);
        }
        if !status.is_success() {
            let text = String::from_utf8_lossy(&text).into_owned();
            return Err(Exit::Internal(format!("the gateway answered {status}: {text}")));
        }
        self.record(&id).await
    }

    /// The record is closed a moment after the last byte.
    async fn record(&self, id: &str) -> Result<Arc<Finished>, Exit> {
        for _ in 0..1000 {
            if let Some(record) = self.gateway.state.recent.get(id) {
                return Ok(record);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(Exit::Internal(format!("the decision {id} was not recorded")))
    }

    /// Ends everything.
    pub(super) async fn stop(self) {
        self.gateway.drain().await;
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await;
    }
}

/// Leaves of the figures set by hand only those outside the domains of graded prompts, and makes the large model
/// one of the graded.
fn one_scale_per_domain(config: &mut Config, graded: &BTreeSet<&str>) {
    let by_hand = |domain: &str| !graded.contains(domain);
    for expert in &mut config.experts {
        expert.quality.retain(|domain, _| by_hand(domain));
        if expert.name == config.fallback.primary() {
            let ones = router_model::TAXONOMY.into_iter().filter(|domain| by_hand(domain));
            expert.quality.extend(ones.map(|domain| (domain.to_owned(), 1.0)));
            expert.catalogue = Some(LARGE.to_owned());
            expert.governance.tags.push(GRADED.to_owned());
        }
    }
    config.experts.retain(|expert| !expert.quality.is_empty());
    // none of those who join is indemnified: in such a domain a rule would decide in the router's place
    for rule in &mut config.rules {
        rule.when.domain.retain(|domain| by_hand(domain));
    }
    config.rules.retain(|rule| rule.when.tenant.is_some() || !rule.when.domain.is_empty());
}

/// Takes the graded models in, and the policy under which only they answer.
fn join(config: &mut Config) {
    config.experts.splice(0..0, JOINING.iter().map(expert));
    let require = vec![GRADED.to_owned()];
    let policy = Policy { tolerance: Some(TOLERANCE), require, ..Policy::default() };
    config.policies.insert(GRADED.to_owned(), policy);
}

fn expert(graded: &Graded) -> written::Expert {
    written::Expert {
        name: graded.expert.to_owned(),
        model: graded.catalogue.to_owned(),
        provider: ProviderName::Openai,
        base_url: None,
        endpoints: Vec::new(),
        api_key: None,
        headers: BTreeMap::new(),
        stream_usage: written::StreamUsage::default(),
        domains: Vec::new(),
        quality: BTreeMap::new(),
        catalogue: Some(graded.catalogue.to_owned()),
        price: Some(Pricing::Listed(Price {
            input_per_1m: graded.usd_per_1m,
            cached_input_per_1m: None,
            cache_write_per_1m: None,
            output_per_1m: graded.usd_per_1m,
        })),
        hosting: None,
        context_window: graded.context_window,
        max_output_tokens: None,
        capabilities: Vec::new(),
        max_concurrency: 256,
        governance: Governance {
            license: Some(graded.license.to_owned()),
            tags: vec![GRADED.to_owned()],
            ..Governance::default()
        },
        timeouts: written::Timeouts::default(),
    }
}

async fn start_mock(
    config: &mut Config,
    index: usize,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let is_large = config.experts[index].name == config.fallback.primary();
    let expert = &mut config.experts[index];
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    expert.base_url = Some(format!("http://{}/v1", listener.local_addr()?));
    expert.endpoints.clear();
    let faults: Vec<Fault> =
        (expert.name == TROUBLED.0).then(|| TROUBLED.1.parse().ok()).flatten().into_iter().collect();
    let mock = Mock {
        model: expert.model.clone(),
        latency: Duration::from_millis(if is_large { 30 } else { 8 }),
        tokens: TOKENS,
        faults,
        ..Mock::default()
    };
    tasks.spawn(mock::serve(listener, Arc::new(mock), stop.clone()));
    Ok(())
}

/// Anyone on this machine may call, nothing but the table goes to standard output, and a busy machine does not
/// change the table by a decision that came too late.
fn open_up(config: &mut Config) {
    config.router.deadline = DurationText::millis(1000);
    config.tenants.clear();
    config.rules.retain(|rule| rule.when.tenant.is_none());
    "off".clone_into(&mut config.log.decisions);
}

/// At the usual ports, or wherever there is room.
async fn start_gateway(
    mut checked: Checked,
    classifier: Arc<dyn crate::classify::Classifier>,
) -> std::io::Result<Gateway> {
    match Gateway::start(checked.clone(), None, Arc::clone(&classifier), Lanes::ambient(), None).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            "127.0.0.1:0".clone_into(&mut checked.config.server.listen);
            "127.0.0.1:0".clone_into(&mut checked.config.server.admin_listen);
            Gateway::start(checked, None, classifier, Lanes::ambient(), None).await
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_set_by_hand_and_estimated_chances_never_meet_in_a_domain() {
        let graded = BTreeSet::from(["code", "math", "finance"]);
        let mut config = router_file::reference().unwrap().0.config;
        one_scale_per_domain(&mut config, &graded);
        for expert in &config.experts {
            assert!(!expert.quality.keys().any(|domain| graded.contains(domain.as_str())), "{expert:?}");
        }
        let large = config.experts.iter().find(|expert| expert.name == config.fallback.primary()).unwrap();
        assert_eq!(large.quality.len(), router_model::TAXONOMY.len() - graded.len());
        assert!(large.quality.values().all(|quality| *quality >= 1.0));
        assert!(config.experts.iter().any(|expert| expert.name == TROUBLED.0), "a fallback is to be seen");
        assert!(!config.experts.iter().any(|expert| expert.name == "finance-8b"), "nothing is known of it");
    }
}
