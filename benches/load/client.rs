//! One connection of the generator: hyper's HTTP/1.1 client, and the events of an answer counted as they come.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Fault;

const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that asks one request after the other.
pub(crate) struct Client {
    address: SocketAddr,
    host: HeaderValue,
    sender: SendRequest<Full<Bytes>>,
    // ends with the client
    _driver: JoinSet<()>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        let host = HeaderValue::from_str(&address.to_string())?;
        Ok(Self { address, host, sender, _driver: driver })
    }

    /// Asks, reads the whole answer; comes back with the number of its events.
    pub(crate) async fn ask(&mut self, body: Bytes) -> Result<u64, Fault> {
        tokio::time::timeout(PATIENCE, self.answer(body)).await?
    }

    async fn answer(&mut self, body: Bytes) -> Result<u64, Fault> {
        if self.sender.ready().await.is_err() {
            *self = Self::connect(self.address).await?;
        }
        let mut answer = self.sender.send_request(self.request(body)).await?;
        let status = answer.status();
        let mut line_feeds = 0;
        while let Some(frame) = answer.body_mut().frame().await {
            let data = frame?.into_data().unwrap_or_default();
            line_feeds += memchr::memchr_iter(b'\n', &data).count() as u64;
        }
        if !status.is_success() {
            return Err(format!("{} answered {status}", self.address).into());
        }
        // `data: …` and an empty line each
        Ok(line_feeds / 2)
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/v1/chat/completions");
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }
}
