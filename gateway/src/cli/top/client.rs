//! Asks the admin plane for JSON.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Exit;

/// A gateway that answers at all answers soon.
const PATIENCE: Duration = Duration::from_secs(5);

/// The admin plane of a gateway.
pub(super) struct Admin {
    address: String,
    authority: String,
    key: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    error: Message,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

impl Admin {
    /// From an address such as `http://127.0.0.1:9090`; without a key that of the environment is taken.
    pub(super) fn new(address: &str, key: Option<String>) -> Result<Self, Exit> {
        let usage = || Exit::Usage(format!("--admin {address}: write http://HOST:PORT"));
        let uri: Uri = address.trim_end_matches('/').parse().map_err(|_| usage())?;
        let authority = uri.authority().ok_or_else(usage)?;
        if uri.scheme_str() != Some("http") || authority.port_u16().is_none() {
            return Err(usage());
        }
        let key = key.or_else(|| crate::config::environment("MIXGATE_ADMIN_KEY"));
        Ok(Self { address: address.to_owned(), authority: authority.to_string(), key })
    }

    /// The address, as given.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The JSON at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Exit> {
        let fault = |what: &dyn std::fmt::Display| Exit::Input(format!("{}: {what}", self.address));
        let (status, body) = match timeout(PATIENCE, self.ask(path)).await {
            Ok(answer) => answer.map_err(|error| fault(&error))?,
            Err(_) => return Err(fault(&"no answer within 5 seconds")),
        };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| {
                fault(&format!("{path} is not what this version of mixgate expects: {error}"))
            });
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(fault(&"it wants an admin key: --key, or MIXGATE_ADMIN_KEY"));
        }
        let said = serde_json::from_slice::<Envelope>(&body).map(|envelope| envelope.error.message);
        Err(fault(
            &said.unwrap_or_else(|_| format!("{path} answered {status}; is this a mixgate's admin address?")),
        ))
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::get(path).header(HOST, &self.authority);
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let asking = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            ended = connection => match ended {
                Ok(()) => asking.await,
                Err(error) => Err(error.into()),
            },
        }
    }
}
