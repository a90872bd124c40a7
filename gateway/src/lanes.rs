//! Threads that serve connections: one per core, each with a runtime of its own.
//!
//! A connection and all that its requests need stay on the lane it was given to, upstream connections included. A
//! runtime that shares its work among threads would wake one more of them for each chunk of a stream, only to find
//! nothing left to do. The price: what computes for long on a lane holds up its neighbours; here that is the
//! reading of a body of many megabytes, at gigabytes a second.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Turns of tasks between two looks at sockets and timers. A stream that is always ready moves a megabyte in its turn: at
/// tokio's 61 a neighbour's bytes and time limits wait for all of them.
const EVENT_INTERVAL: u32 = 8;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The lane of this thread; 0 outside of any.
pub fn here() -> usize {
    HERE.get()
}

/// The lanes of a process.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// One of them.
#[derive(Debug)]
pub struct Lane {
    /// Its runtime.
    pub runtime: Handle,
    /// Connections on it.
    open: Arc<AtomicUsize>,
}

/// A connection on a lane, until it is dropped.
#[derive(Debug)]
pub struct Placed(Arc<AtomicUsize>);

impl Lanes {
    /// The runtime that this is called in, alone: where a process serves little beside other work.
    pub fn ambient() -> Self {
        let lane = Lane { runtime: Handle::current(), open: Arc::default() };
        Self { lanes: vec![lane], threads: Vec::new(), stop: CancellationToken::new() }
    }

    /// One lane per core that this process may use.
    pub fn per_core() -> io::Result<Self> {
        let count = std::thread::available_parallelism()?.get();
        let stop = CancellationToken::new();
        let mut lanes = Self { lanes: Vec::new(), threads: Vec::new(), stop: stop.clone() };
        for index in 0..count {
            let runtime =
                Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build()?;
            lanes.lanes.push(Lane { runtime: runtime.handle().clone(), open: Arc::default() });
            let stop = stop.clone();
            let serve = move || {
                HERE.set(index);
                runtime.block_on(stop.cancelled());
                // a name that is just being looked up is not waited for
                runtime.shutdown_background();
            };
            lanes.threads.push(std::thread::Builder::new().name(format!("lane-{index}")).spawn(serve)?);
        }
        Ok(lanes)
    }

    /// The lane with the fewest connections, with a place on it.
    pub fn place(&self) -> (&Lane, Placed) {
        let fewest = self.lanes.iter().min_by_key(|lane| lane.open.load(Ordering::Relaxed));
        let lane = fewest.unwrap_or(&self.lanes[0]);
        lane.open.fetch_add(1, Ordering::Relaxed);
        (lane, Placed(Arc::clone(&lane.open)))
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a lane panicked");
            }
        }
    }
}
