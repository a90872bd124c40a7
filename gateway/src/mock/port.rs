//! A port that is closed, or that swallows connections: the faults that happen before there is a
//! connection to misbehave on. Both give back a listener on the same address when their time is over.

use super::fault::Kind;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BACKLOG: u32 = 1024;
/// Loopback connects in microseconds; what takes longer hangs.
const HANGS: Duration = Duration::from_millis(100);

/// Does to the port what the fault says, and opens it again.
pub(super) async fn suffer(listener: TcpListener, fault: &Kind) -> io::Result<TcpListener> {
    match fault {
        Kind::Refuse(time) => refuse(listener, *time).await,
        Kind::ConnectHang(time) => hang(listener, *time).await,
        _ => Ok(listener),
    }
}

/// Bound and not listening: the kernel refuses, and nobody else gets the port.
async fn refuse(listener: TcpListener, time: Option<Duration>) -> io::Result<TcpListener> {
    let address = listener.local_addr()?;
    drop(listener);
    let socket = bound(address)?;
    wait(time).await;
    socket.listen(BACKLOG)
}

/// A queue with one place that is taken: the kernel drops whoever knocks.
async fn hang(listener: TcpListener, time: Option<Duration>) -> io::Result<TcpListener> {
    let address = listener.local_addr()?;
    drop(listener);
    let full = bound(address)?.listen(0)?;
    let mut places: Vec<TcpStream> = Vec::new();
    while let Ok(place) = tokio::time::timeout(HANGS, TcpStream::connect(address)).await {
        places.push(place?);
    }
    wait(time).await;
    drop((full, places));
    bound(address)?.listen(BACKLOG)
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn wait(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
