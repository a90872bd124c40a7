//! One connection to an upstream, driven by whoever waits for its answer.
//!
//! hyper splits a connection into a future that does the work and handles that wait for it, and expects a task for
//! the future. Here the request's own task polls both: an answer crosses from no task to another, and dropping it
//! closes its connection at once. A handle is polled right behind the work that can make it ready, so its waker
//! needs to wake nobody.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::unconstrained;

use super::sips::Sips;
use crate::ask::Spliced;
use crate::decode::{Coding, Inflater};
use crate::expert::endpoint::Endpoint;

/// The longest head.
const MAX_HEAD: usize = 64 * 1024;

/// One HTTP/1.1 connection.
pub(super) struct Link {
    sender: SendRequest<Spliced>,
    /// The rest of the last answer, which nobody waits for.
    rest: Option<Incoming>,
    /// `None` once it has ended.
    work: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    /// When it was opened.
    pub(super) since: Instant,
}

impl Link {
    /// Speaks HTTP/1.1 over a stream.
    pub(super) async fn over<S>(stream: S) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        let (sender, connection) =
            builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(Sips(stream))).await?;
        Ok(Self { sender, rest: None, work: Some(Box::pin(connection)), since: Instant::now() })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn exchange(&mut self, request: Request<Spliced>) -> hyper::Result<Response<Incoming>> {
        // without a budget: a task that has spent its own would be told to come back, and nobody wakes it
        let mut answer = pin!(unconstrained(self.sender.send_request(request)));
        poll_fn(|cx| {
            work(&mut self.work, cx);
            answer.as_mut().poll(&mut nobody())
        })
        .await
    }

    /// Whether it can take a request: it is still open, and its last answer is through.
    pub(super) fn is_idle(&mut self) -> bool {
        work(&mut self.work, &mut nobody());
        if let Some(rest) = &mut self.rest {
            if !matches!(Pin::new(rest).poll_frame(&mut nobody()), Poll::Ready(None)) {
                return false;
            }
            self.rest = None;
            work(&mut self.work, &mut nobody());
        }
        self.work.is_some() && self.sender.is_ready()
    }
}

/// Moves a connection on; the task is woken when it can go further.
fn work(
    connection: &mut Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    cx: &mut Context<'_>,
) {
    if let Some(running) = connection
        && let Poll::Ready(end) = running.as_mut().poll(cx)
    {
        if let Err(error) = end {
            tracing::debug!(%error, "a connection to an upstream ended");
        }
        // whoever still waits for it is told by this
        *connection = None;
    }
}

/// Wakes nobody.
fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("open", &self.work.is_some()).finish_non_exhaustive()
    }
}

/// Why a body broke off.
#[derive(Debug)]
pub enum Broken {
    /// Its connection did, or its framing made no sense.
    Wire(hyper::Error),
    /// It is not what its `content-encoding` says.
    Coding(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(error) => error.fmt(out),
            Self::Coding(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for Broken {}

/// The body of an answer as it comes. Read to its end, it gives its connection back to the pool; dropped before, it
/// closes it.
#[derive(Debug)]
pub struct Coming {
    incoming: Incoming,
    link: Option<Link>,
    endpoint: Arc<Endpoint>,
    inflater: Option<Box<Inflater>>,
}

impl Coming {
    pub(super) fn new(incoming: Incoming, link: Link, endpoint: &Arc<Endpoint>) -> Self {
        Self { incoming, link: Some(link), endpoint: Arc::clone(endpoint), inflater: None }
    }

    /// From here on its compression is undone.
    pub fn inflate(&mut self, coding: Coding) {
        self.inflater = Inflater::new(coding).map(Box::new);
    }

    /// Nothing more of it is wanted, and its end is not waited for: the connection is kept if the end has come by the
    /// time somebody wants it.
    pub fn leave(self) {
        if let Some(mut link) = self.link {
            link.rest = Some(self.incoming);
            self.endpoint.pool.put(link);
        }
    }

    /// The next bytes, uncompressed.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            if let Some(inflater) = &mut self.inflater
                && let Some(piece) = inflater.step().transpose()
            {
                return Poll::Ready(Some(piece.map_err(Broken::Coding)));
            }
            let came = ready!(self.poll_wire(cx));
            let Some(inflater) = &mut self.inflater else {
                return Poll::Ready(came.map(|data| data.map_err(Broken::Wire)));
            };
            match came {
                Some(Ok(data)) => inflater.feed(data),
                Some(Err(error)) => return Poll::Ready(Some(Err(Broken::Wire(error)))),
                None => return Poll::Ready(inflater.finish().err().map(|error| Err(Broken::Coding(error)))),
            }
        }
    }

    /// The next bytes of the wire; trailers are dropped.
    fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        loop {
            let mut polled = Pin::new(&mut self.incoming).poll_frame(&mut nobody());
            if let (Poll::Pending, Some(link)) = (&polled, &mut self.link) {
                work(&mut link.work, cx);
                polled = Pin::new(&mut self.incoming).poll_frame(&mut nobody());
            }
            return match polled {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    if let Some(link) = self.link.take() {
                        self.endpoint.pool.put(link);
                    }
                    Poll::Ready(None)
                }
            };
        }
    }

    /// The same, awaited.
    pub async fn data(&mut self) -> Option<Result<Bytes, Broken>> {
        poll_fn(|cx| self.poll_data(cx)).await
    }
}
