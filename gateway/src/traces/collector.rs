//! Carries batches of spans to the collector, over the gateway's own connector: it knows TLS, time limits and IPv6.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::ask::Spliced;
use crate::config::written::ProviderName;
use crate::expert::Timeouts;
use crate::expert::endpoint::Endpoint;
use crate::provider;
use crate::upstream::{Coming, Connector, NoHead, Reuse, Terms};

/// A collector that takes longer loses the batch: OpenTelemetry's own default.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of a collector's answer.
const MAX_ANSWER: usize = 64 * 1024;

/// The way to a collector. Batches come from a thread of their own; the sending is done where the sockets live. To the
/// connector a collector is an endpoint like that of a model: an address with its idle connections.
#[derive(Debug)]
pub(super) struct Collector {
    handle: Handle,
    connector: Connector,
    endpoint: OnceLock<Option<Arc<Endpoint>>>,
    /// What went wrong last, so that it is told once and not with every batch.
    trouble: Mutex<Option<String>>,
}

impl Collector {
    /// Sends on the runtime that calls this.
    pub(super) fn here() -> Result<Self, String> {
        let connector = Connector::with_system_roots()?;
        Ok(Self {
            handle: Handle::current(),
            connector,
            endpoint: OnceLock::new(),
            trouble: Mutex::default(),
        })
    }

    /// The SDK says that a batch was lost, but not why.
    fn tell(&self, endpoint: &Endpoint, now: Option<String>) {
        // whatever else stands in the address may be secret
        let (host, port) = (&endpoint.host, endpoint.port);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &now {
            Some(error) if *trouble != now => tracing::warn!("traces do not reach {host}:{port}: {error}"),
            None if trouble.is_some() => tracing::info!("traces reach {host}:{port} again"),
            _ => {}
        }
        *trouble = now;
    }

    /// Every batch goes to one address.
    fn endpoint(&self, uri: &Uri) -> Result<Arc<Endpoint>, HttpError> {
        let parse = || Endpoint::new(&uri.to_string(), 1, provider::of(ProviderName::Openai)).map(Arc::new);
        self.endpoint
            .get_or_init(parse)
            .clone()
            .ok_or_else(|| "the collector's address is no http address".into())
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let endpoint = self.endpoint(request.uri())?;
        let (connector, to) = (self.connector.clone(), Arc::clone(&endpoint));
        let sent = self.handle.spawn(async move { send(&connector, &to, request).await }).await?;
        self.tell(
            &endpoint,
            match &sent {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(format!("it answers {}", answer.status())),
                Err(error) => Some(error.to_string()),
            },
        );
        sent
    }
}

async fn send(
    connector: &Connector,
    endpoint: &Arc<Endpoint>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    head.uri = path.into();
    let host = endpoint.authority.rsplit_once('@').map_or(&*endpoint.authority, |(_, host)| host);
    head.headers.insert(HOST, HeaderValue::from_str(host)?);
    let make = || Request::from_parts(head.clone(), Spliced::one(body.clone()));
    let limits = Timeouts {
        connect: PATIENCE,
        headers: PATIENCE,
        first_token: PATIENCE,
        idle: PATIENCE,
        total: PATIENCE,
    };
    let until = Instant::now() + PATIENCE;
    let terms = Terms::new(&limits, until);
    let answered = match connector.send(endpoint, make, &terms).await {
        // a batch that comes twice does no harm
        Err(NoHead::Stale) => connector.send(endpoint, make, &Terms { reuse: Reuse::Never, ..terms }).await,
        answered => answered,
    };
    let answered = answered.map_err(in_words)?;
    let body = tokio::time::timeout_at(until, whole(answered.body)).await??;
    Ok(Response::from_parts(answered.head, body))
}

async fn whole(mut body: Coming) -> Result<Bytes, HttpError> {
    let mut bytes = BytesMut::new();
    while let Some(more) = poll_fn(|cx| body.poll_data(cx)).await {
        bytes.extend_from_slice(&more?);
        if bytes.len() > MAX_ANSWER {
            return Err("its answer is too long".into());
        }
    }
    Ok(bytes.freeze())
}

fn in_words(no_head: NoHead) -> HttpError {
    match no_head {
        NoHead::Connect(error) => format!("no connection: {error}").into(),
        NoHead::ConnectTimeout => "no connection in time".into(),
        NoHead::Broken(error) => format!("the connection broke: {error}").into(),
        NoHead::HeadersTimeout => "no answer in time".into(),
        NoHead::Stale => "an idle connection broke as soon as it was used".into(),
    }
}
