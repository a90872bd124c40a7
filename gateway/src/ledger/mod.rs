//! Where finished records go: a bounded queue to one writer thread, drained at exit.
//!
//! A request never waits for a disk or a pipe: where the writer stands still and the queue is full, the record is
//! dropped and counted in `mixgate_decision_log_dropped_total`.

mod recent;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use prometheus::IntCounter;

use serde::Serialize;

use crate::record::{Finished, Rfc3339};

pub use recent::Recent;

/// Records that may wait for the writer.
const QUEUE: usize = 16 * 1024;
/// The writer gathers this long before it looks again, so that busy hours do not wake it per request.
const GATHER: Duration = Duration::from_millis(10);

/// Bytes that are written at once.
const BATCH: usize = 64 * 1024;

/// Takes finished records.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Hands a record over; never blocks.
    fn write(&self, record: Arc<Finished>);

    /// Hands over what someone made of an answer; never blocks.
    fn grade(&self, grade: Grade);

    /// Writes everything that was handed over. Called once, at exit.
    fn drain(&self);
}

/// What someone made of an answer: a line of its own, as answers are graded when they are long written.
#[derive(Debug, Serialize)]
pub struct Grade {
    decision: String,
    score: f32,
    time: String,
}

impl Grade {
    /// The grade of a decision, 0 to 1, given now.
    pub fn new(decision: String, score: f32) -> Self {
        Self { decision, score, time: Rfc3339(SystemTime::now()).to_string() }
    }
}

/// A line of the log.
#[derive(Debug)]
enum Line {
    Record(Arc<Finished>),
    Grade(Grade),
}

impl Line {
    fn write(&self, lines: &mut Vec<u8>) {
        match self {
            Self::Record(record) => record.write_line(lines),
            Self::Grade(grade) => {
                if serde_json::to_writer(&mut *lines, grade).is_ok() {
                    lines.push(b'\n');
                }
            }
        }
    }
}

/// Keeps nothing.
#[derive(Debug)]
pub struct Off;

impl Ledger for Off {
    fn write(&self, _: Arc<Finished>) {}

    fn grade(&self, _: Grade) {}

    fn drain(&self) {}
}

/// One JSON object a line.
#[derive(Debug)]
pub struct JsonLines {
    sender: SyncSender<Option<Line>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    dropped: IntCounter,
}

/// The ledger that `log.decisions` names: `stdout`, `stderr`, `off` or a path.
pub fn open(target: &str, dropped: &IntCounter) -> io::Result<Box<dyn Ledger>> {
    let out: Box<dyn Write + Send> = match target {
        "off" => return Ok(Box::new(Off)),
        "stdout" => Box::new(io::stdout()),
        "stderr" => Box::new(io::stderr()),
        path => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
    };
    Ok(Box::new(JsonLines::new(out, dropped.clone())?))
}

impl JsonLines {
    fn new(out: Box<dyn Write + Send>, dropped: IntCounter) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || write_all(out, &receiver))?;
        Ok(Self { sender, writer: Mutex::new(Some(writer)), dropped })
    }

    fn hand_over(&self, line: Line) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.sender.try_send(Some(line)) {
            self.dropped.inc();
        }
    }
}

impl Ledger for JsonLines {
    fn write(&self, record: Arc<Finished>) {
        self.hand_over(Line::Record(record));
    }

    fn grade(&self, grade: Grade) {
        self.hand_over(Line::Grade(grade));
    }

    fn drain(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && self.sender.send(None).is_ok()
            && writer.join().is_err()
        {
            tracing::error!("the decision log's writer panicked");
        }
    }
}

fn write_all(mut out: Box<dyn Write + Send>, records: &Receiver<Option<Line>>) {
    let mut lines = Vec::with_capacity(2 * BATCH);
    while let Ok(Some(line)) = records.recv() {
        line.write(&mut lines);
        loop {
            match records.try_recv() {
                Ok(Some(line)) => line.write(&mut lines),
                Err(TryRecvError::Empty) => break,
                Ok(None) | Err(TryRecvError::Disconnected) => return flush(&mut *out, &mut lines),
            }
            if lines.len() >= BATCH {
                flush(&mut *out, &mut lines);
            }
        }
        flush(&mut *out, &mut lines);
        std::thread::sleep(GATHER);
    }
}

fn flush(out: &mut dyn Write, lines: &mut Vec<u8>) {
    if let Err(error) = out.write_all(lines).and_then(|()| out.flush()) {
        tracing::error!(%error, "the decision log could not be written");
    }
    lines.clear();
}
