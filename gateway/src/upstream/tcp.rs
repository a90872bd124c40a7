//! A TCP connection to a name, whichever of its addresses answers first (RFC 8305, «Happy Eyeballs»).
//!
//! Addresses are tried in turns of the two families, each a moment after the one before it or as soon as that has
//! failed: one that swallows packets costs a moment, not the whole time for connecting.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Sleep, sleep};

/// Between the starts of two tries.
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses that are tried.
const MOST: usize = 8;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Looks a name up and connects to it; the error is for the operator.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    if let Ok(address) = host.parse().map(|ip| SocketAddr::new(ip, port)) {
        return TcpStream::connect(address).await.map_err(|error| error.to_string());
    }
    let found = lookup_host((host, port)).await.map_err(|error| format!("{host}: {error}"))?;
    let addresses = in_turns(found.collect());
    let first = |address| Box::pin(TcpStream::connect(address)) as Connecting;
    race(addresses.into_iter().map(first).collect()).await.map_err(|error| format!("{host}: {error}"))
}

/// The families in turns, the first one's first; at most [`MOST`].
fn in_turns(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let leads = found.first().is_some_and(SocketAddr::is_ipv6);
    let (leading, other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == leads);
    let (mut leading, mut other) = (leading.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    while turns.len() < MOST {
        let before = turns.len();
        turns.extend(leading.next());
        turns.extend(other.next());
        if turns.len() == before {
            break;
        }
    }
    turns
}

/// The first that succeeds, else the last error.
async fn race<F, T>(tries: Vec<F>) -> io::Result<T>
where
    F: Future<Output = io::Result<T>> + Unpin,
{
    let mut waiting = tries.into_iter();
    let mut running: Vec<F> = waiting.next().into_iter().collect();
    let mut stagger: Pin<Box<Sleep>> = Box::pin(sleep(STAGGER));
    let mut last = None;
    poll_fn(move |cx| {
        loop {
            let mut at = 0;
            while let Some(one) = running.get_mut(at) {
                match Pin::new(one).poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        last = Some(error);
                        drop(running.remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let is_due = running.is_empty() || stagger.as_mut().poll(cx).is_ready();
            let Some(next) = is_due.then(|| waiting.next()).flatten() else {
                return match last.take_if(|_| running.is_empty()) {
                    Some(error) => Poll::Ready(Err(error)),
                    None if running.is_empty() => {
                        Poll::Ready(Err(io::Error::other("the name has no address")))
                    }
                    None => Poll::Pending,
                };
            };
            running.push(next);
            stagger.set(sleep(STAGGER));
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    type Try = Pin<Box<dyn Future<Output = io::Result<u32>> + Send>>;

    fn good(name: u32, after: u64) -> Try {
        Box::pin(async move {
            sleep(Duration::from_millis(after)).await;
            Ok(name)
        })
    }

    fn bad(after: u64) -> Try {
        Box::pin(async move {
            sleep(Duration::from_millis(after)).await;
            Err(io::ErrorKind::ConnectionRefused.into())
        })
    }

    fn never() -> Try {
        Box::pin(std::future::pending())
    }

    async fn raced(tries: Vec<Try>) -> (Option<u32>, u64) {
        let started = Instant::now();
        let winner = race(tries).await.ok();
        (winner, started.elapsed().as_millis() as u64)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_everything_costs_a_moment() {
        assert_eq!(raced(vec![never(), good(2, 10)]).await, (Some(2), 260));
        assert_eq!(raced(vec![never(), never(), good(3, 10)]).await, (Some(3), 510));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_costs_nothing_and_the_first_to_answer_wins() {
        assert_eq!(raced(vec![bad(5), good(2, 10)]).await, (Some(2), 15));
        assert_eq!(raced(vec![good(1, 400), good(2, 10)]).await, (Some(2), 260));
        assert_eq!(raced(vec![good(1, 260), good(2, 100)]).await, (Some(1), 260));
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_answers_the_last_error_is_told() {
        assert_eq!(raced(vec![bad(5), bad(10)]).await, (None, 15));
        assert_eq!(raced(Vec::new()).await.0, None);
    }

    #[test]
    fn families_take_turns() {
        let all = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"].map(|a| a.parse::<SocketAddr>().unwrap());
        let turns: Vec<String> = in_turns(all.to_vec()).iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(in_turns(vec![all[0]; 50]).len(), MOST);
    }
}
