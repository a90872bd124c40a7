//! Plays a script on a socket, and watches meanwhile for the client to leave: that moment is what tests of
//! cancellation ask about.

use super::read::Wire;
use super::script::Step;
use super::seen::Seen;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// How an answer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All of it was sent, and the connection stays.
    Kept,
    /// The script closed or reset the connection.
    Closed,
    /// The client was gone before the end.
    ClientLeft,
}

/// Plays the steps; what is sent is charged.
pub(super) async fn play(wire: &mut Wire, steps: Vec<Step>, seen: &Seen) -> Fate {
    for step in steps {
        match act(wire, step, seen).await {
            Ok(Fate::Kept) => {}
            Ok(fate) => return fate,
            Err(_) => return Fate::ClientLeft,
        }
    }
    Fate::Kept
}

async fn act(wire: &mut Wire, step: Step, seen: &Seen) -> io::Result<Fate> {
    match step {
        Step::Send { bytes, bill } => {
            wire.stream.write_all(&bytes).await?;
            seen.charge(bill);
            Ok(Fate::Kept)
        }
        Step::Trickle { bytes, pause, bill } => {
            let fate = trickle(wire, &bytes, pause).await?;
            seen.charge(bill);
            Ok(fate)
        }
        Step::Forever { bytes, every, bill } => loop {
            wire.stream.write_all(&bytes).await?;
            seen.charge(bill);
            if rest(wire, every).await == Fate::ClientLeft {
                return Ok(Fate::ClientLeft);
            }
        },
        Step::Pause(time) => Ok(rest(wire, time).await),
        Step::Hold => {
            wire.client_left().await;
            Ok(Fate::ClientLeft)
        }
        Step::Close => Ok(Fate::Closed),
        Step::Reset => {
            // with nothing to linger for, closing sends RST in place of FIN
            wire.stream.set_zero_linger()?;
            Ok(Fate::Closed)
        }
    }
}

async fn trickle(wire: &mut Wire, bytes: &[u8], pause: Duration) -> io::Result<Fate> {
    for byte in bytes {
        wire.stream.write_all(std::slice::from_ref(byte)).await?;
        if rest(wire, pause).await == Fate::ClientLeft {
            return Ok(Fate::ClientLeft);
        }
    }
    Ok(Fate::Kept)
}

async fn rest(wire: &mut Wire, time: Duration) -> Fate {
    if time.is_zero() {
        tokio::task::yield_now().await;
        return Fate::Kept;
    }
    tokio::select! {
        () = wire.client_left() => Fate::ClientLeft,
        () = tokio::time::sleep(time) => Fate::Kept,
    }
}
