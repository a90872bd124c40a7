//! The demo's world: a mock per expert, a gateway in front, and a client, all on loopback.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Dialect;
use crate::cli::Exit;
use crate::config::written::{Config, ProviderName};
use crate::config::{self, Checked};
use crate::expert::Timeouts;
use crate::expert::endpoint::Endpoint;
use crate::gateway::Gateway;
use crate::lanes::Lanes;
use crate::mock::{self, Fault, Mock};
use crate::provider;
use crate::record::Finished;
use crate::state::load_classifier;
use crate::upstream::Connector;

/// One expert misbehaves twice, so that a fallback can be seen.
const TROUBLED: (&str, &str) = ("qwen-math-7b", "status-503@2");

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
    /// Starts mocks and gateway.
    pub(super) async fn start() -> Result<Self, Exit> {
        let internal = |e: &dyn std::fmt::Display| Exit::Internal(e.to_string());
        let mut checked = config::reference().map_err(|faults| internal(&faults))?;
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        for index in 0..checked.config.experts.len() {
            start_mock(&mut checked.config, index, &tasks, &stop).await.map_err(|e| internal(&e))?;
        }
        open_up(&mut checked.config);
        let classifier = load_classifier(&checked.config).map_err(Exit::Internal)?;
        let gateway = start_gateway(checked, classifier).await.map_err(|e| internal(&e))?;
        let base = format!("http://{}/v1", gateway.data);
        let endpoint = Endpoint::new(&base, 1, provider::of(ProviderName::Openai))
            .ok_or_else(|| Exit::Internal(format!("{base} is no address")))?;
        Ok(Self {
            gateway,
            endpoint: Arc::new(endpoint),
            connector: Connector::with_system_roots(),
            tasks,
            stop,
        })
    }

    /// Sends a prompt as a client would; returns the record of it.
    pub(super) async fn ask(&self, prompt: &str, stream: bool) -> Result<Arc<Finished>, Exit> {
        let ask = Ask { model: "auto", stream, messages: [Message { role: "user", content: prompt }] };
        let body = Bytes::from(serde_json::to_vec(&ask).map_err(|e| Exit::Internal(e.to_string()))?);
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
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
        let answer = self.connector.send(&self.endpoint, request, &limits, Instant::now() + patience).await;
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

async fn start_mock(
    config: &mut Config,
    index: usize,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let is_large = config.experts[index].name == config.fallback;
    let expert = &mut config.experts[index];
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    expert.base_url = Some(format!("http://{}/v1", listener.local_addr()?));
    expert.endpoints.clear();
    let faults: Vec<Fault> =
        (expert.name == TROUBLED.0).then(|| TROUBLED.1.parse().ok()).flatten().into_iter().collect();
    let mock = Mock {
        model: expert.model.clone(),
        latency: Duration::from_millis(if is_large { 30 } else { 8 }),
        tokens: if is_large { 180 } else { 120 },
        faults,
        ..Mock::default()
    };
    tasks.spawn(mock::serve(listener, Arc::new(mock), stop.clone()));
    Ok(())
}

/// Anyone on this machine may call, and nothing but the table goes to standard output.
fn open_up(config: &mut Config) {
    config.tenants.clear();
    config.rules.retain(|rule| rule.when.tenant.is_none());
    "off".clone_into(&mut config.log.decisions);
}

/// At the usual ports, or wherever there is room.
async fn start_gateway(
    mut checked: Checked,
    classifier: Arc<dyn crate::classify::Classifier>,
) -> std::io::Result<Gateway> {
    match Gateway::start(checked.clone(), None, Arc::clone(&classifier), Lanes::ambient()).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            "127.0.0.1:0".clone_into(&mut checked.config.server.listen);
            "127.0.0.1:0".clone_into(&mut checked.config.server.admin_listen);
            Gateway::start(checked, None, classifier, Lanes::ambient()).await
        }
        result => result,
    }
}
