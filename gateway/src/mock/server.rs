//! Accepts, and holds one conversation per connection: read a request, make an answer, play it. No task
//! beyond the connection's own and no channel: under load the mock must cost less than what it measures.

use super::armed::{Armed, Moment};
use super::fault::Kind;
use super::play::{Fate, play};
use super::read::{Method, ReadError, Request, Wire};
use super::script::{Context, script};
use super::{Mock, port, refuse, route};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Serves until `stop`; connections end with it, answers in flight are cut.
///
/// # Errors
/// If the port cannot be opened again behind a fault that closed it.
pub async fn serve(listener: TcpListener, mock: Arc<Mock>, stop: CancellationToken) -> io::Result<()> {
    // a child: ending our own conversations is no business of the caller's other servers
    let stop = stop.child_token();
    let server = Arc::new(Server { armed: Armed::new(&mock.faults), mock });
    let conversations = TaskTracker::new();
    let accepting = accept(listener, &server, &conversations, &stop);
    let ended = stop.run_until_cancelled(accepting).await;
    conversations.close();
    stop.cancel();
    conversations.wait().await;
    ended.unwrap_or(Ok(()))
}

struct Server {
    mock: Arc<Mock>,
    armed: Armed,
}

async fn accept(
    mut listener: TcpListener,
    server: &Arc<Server>,
    conversations: &TaskTracker,
    stop: &CancellationToken,
) -> io::Result<()> {
    loop {
        while let Some(fault) = server.armed.next(Moment::Listening) {
            listener = port::suffer(listener, &fault).await?;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => converse(stream, server, conversations, stop),
                // out of descriptors, or the client is gone already: neither is over at once
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            () = server.armed.changed.notified() => {}
        }
    }
}

fn converse(stream: TcpStream, server: &Arc<Server>, conversations: &TaskTracker, stop: &CancellationToken) {
    let (server, stop) = (server.clone(), stop.clone());
    conversations.spawn(async move { stop.run_until_cancelled(server.conversation(stream)).await });
}

impl Server {
    async fn conversation(&self, stream: TcpStream) {
        let _open = self.mock.seen.connected();
        if let Some(Kind::SlowConnect(time)) = self.armed.next(Moment::Accepted) {
            tokio::time::sleep(time).await;
        }
        // without it a kernel may hold a small event back for 40 ms
        let _ = stream.set_nodelay(true);
        let mut wire = Wire::new(stream);
        for before in 0.. {
            let fate = match wire.request().await {
                Ok(request) if request.method == Method::Post => self.model(&mut wire, request, before).await,
                Ok(request) => self.honest(&mut wire, &request).await,
                Err(ReadError::Malformed(why)) => self.malformed(&mut wire, why).await,
                Err(ReadError::Gone) => return,
            };
            if fate != Fate::Kept {
                return;
            }
        }
    }

    async fn model(&self, wire: &mut Wire, request: Request, before: u64) -> Fate {
        let asked = self.mock.seen.asked(&request.head, &request.body);
        let fault = self.armed.next(Moment::Asked { before });
        let answer = route::model(&self.mock, asked.number, &request, fault.as_ref());
        let context = Context {
            latency: self.mock.latency,
            token_interval: self.mock.token_interval,
            number: asked.number,
            keep_alive: request.keep_alive,
        };
        drop(request);
        let fate = play(wire, script(answer, fault.as_ref(), context), &self.mock.seen).await;
        if fate == Fate::ClientLeft {
            asked.client_left();
        }
        fate
    }

    async fn honest(&self, wire: &mut Wire, request: &Request) -> Fate {
        let answer = route::honest(&self.mock, &self.armed, request);
        play(wire, script(answer, None, at_once(request.keep_alive)), &self.mock.seen).await
    }

    async fn malformed(&self, wire: &mut Wire, why: &str) -> Fate {
        play(wire, script(refuse::malformed(why), None, at_once(false)), &self.mock.seen).await
    }
}

fn at_once(keep_alive: bool) -> Context {
    Context { latency: Duration::ZERO, token_interval: Duration::ZERO, number: 0, keep_alive }
}
