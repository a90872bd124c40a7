//! Where finished records go: lines in a bounded buffer, written out by one thread, drained at exit.
//!
//! A line is made where its request ends, while the record is still in that core's cache; the thread only moves bytes.
//! A request never waits for a disk or a pipe: where the writer stands still and the buffer is full, the record is
//! dropped and counted in `mixgate_decision_log_dropped_total`.

mod buffer;
mod recent;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use prometheus::IntCounter;

use serde::Serialize;

use crate::record::{Finished, Rfc3339};

pub(crate) use buffer::Buffer;
pub use recent::Recent;

/// Bytes that may wait for the writer: some ten thousand records.
const MOST: usize = 32 << 20;
/// The writer gathers this long before it looks again, so that busy hours do not wake it per request.
const GATHER: Duration = Duration::from_millis(10);
/// How long the end may take where whoever reads the log stands still.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Room for a line with a dozen experts.
const USUAL: usize = 3 << 10;
/// A buffer that grew beyond this in a bad moment gives its memory back.
const KEPT: usize = 1 << 20;

/// Takes finished records.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Hands a record over; never blocks.
    fn write(&self, record: &Finished);

    /// Hands over what someone made of an answer; never blocks.
    fn grade(&self, grade: Grade);

    /// Goes on in a new file under the same name: the old one was moved away. May wait for a disk.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened; then it goes on in the old one.
    fn reopen(&self) -> io::Result<()> {
        Ok(())
    }

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

/// Keeps nothing.
#[derive(Debug)]
pub struct Off;

impl Ledger for Off {
    fn write(&self, _: &Finished) {}

    fn grade(&self, _: Grade) {}

    fn drain(&self) {}
}

/// One JSON object a line.
#[derive(Debug)]
pub struct JsonLines {
    buffer: Arc<Buffer>,
    writer: Mutex<Option<JoinHandle<()>>>,
    dropped: IntCounter,
    /// Where it is written, if that is a file.
    path: Option<PathBuf>,
    /// The file that the writer goes on in.
    next: Arc<Mutex<Option<File>>>,
}

/// What lines are written to.
type Out = Box<dyn Write + Send>;

/// A file for records, which may hold prompts: its owner's alone.
fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The ledger that `log.decisions` names: `stdout`, `stderr`, `off` or a path.
///
/// # Errors
///
/// When the file cannot be opened; the error names it.
pub fn open(target: &str, dropped: &IntCounter) -> io::Result<Box<dyn Ledger>> {
    let (out, path): (Out, _) = match target {
        "off" => return Ok(Box::new(Off)),
        "stdout" => (Box::new(io::stdout()), None),
        "stderr" => (Box::new(io::stderr()), None),
        path => {
            let file = open_file(Path::new(path));
            (
                Box::new(file.map_err(|error| io::Error::new(error.kind(), unusable(path, &error)))?),
                Some(path.into()),
            )
        }
    };
    let mut log = JsonLines::new(out, dropped.clone())?;
    log.path = path;
    Ok(Box::new(log))
}

/// Whether `open` could open it, as far as can be told without creating anything.
pub(crate) fn look(target: &str) -> Result<(), String> {
    if matches!(target, "off" | "stdout" | "stderr") {
        return Ok(());
    }
    let path = Path::new(target);
    if path.is_dir() {
        return Err(unusable(target, &io::ErrorKind::IsADirectory.into()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.unwrap_or(Path::new(".")).metadata() {
        Ok(folder) if folder.is_dir() => Ok(()),
        Ok(_) => Err(unusable(target, &io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(unusable(target, &error)),
    }
}

fn unusable(path: &str, error: &io::Error) -> String {
    format!(
        "`log.decisions: {path}` cannot be written: {error}; name a file in a folder that exists and may be written, or \
         `stdout`, `stderr`, `off`"
    )
}

impl JsonLines {
    fn new(out: Out, dropped: IntCounter) -> io::Result<Self> {
        let buffer = Arc::new(Buffer::holding(MOST));
        let next = Arc::<Mutex<Option<File>>>::default();
        let (taken, lost, new) = (Arc::clone(&buffer), dropped.clone(), Arc::clone(&next));
        let writer = std::thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || write_all(out, &new, &taken, &lost))?;
        Ok(Self { buffer, writer: Mutex::new(Some(writer)), dropped, path: None, next })
    }

    fn hand_over(&self, line: &[u8]) {
        if !self.buffer.push(line) {
            self.dropped.inc();
        }
    }
}

impl Ledger for JsonLines {
    fn write(&self, record: &Finished) {
        let mut line = Vec::with_capacity(USUAL);
        record.write_line(&mut line);
        self.hand_over(&line);
    }

    fn grade(&self, grade: Grade) {
        if let Ok(mut line) = serde_json::to_vec(&grade) {
            line.push(b'\n');
            self.hand_over(&line);
        }
    }

    fn reopen(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = open_file(path)?;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    fn drain(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.buffer.close();
        let Some(writer) = writer else { return };
        // a pipe that nobody reads must not keep the process alive
        let patience = Instant::now() + LAST_LINES;
        while !writer.is_finished() && Instant::now() < patience {
            std::thread::sleep(GATHER);
        }
        if !writer.is_finished() {
            tracing::error!(
                "the last lines of the decision log cannot be written: whoever reads it stands still"
            );
        } else if writer.join().is_err() {
            tracing::error!("the decision log's writer panicked");
        }
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        self.buffer.close();
    }
}

fn write_all(mut out: Out, next: &Mutex<Option<File>>, buffer: &Buffer, dropped: &IntCounter) {
    let mut lines = Vec::new();
    let mut begun = false;
    while buffer.take(&mut lines) {
        if let Some(new) = next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            (out, begun) = (Box::new(new), false);
        }
        flush(&mut *out, &lines, &mut begun, dropped);
        lines.clear();
        lines.shrink_to(KEPT);
        std::thread::sleep(GATHER);
    }
}

/// Writes lines; those that cannot be written are lost and counted. `begun`: the last line was left unfinished, so the
/// next ones begin on a line of their own.
fn flush(out: &mut dyn Write, lines: &[u8], begun: &mut bool, dropped: &IntCounter) {
    let (mut end, mut left) = (if *begun { &b"\n"[..] } else { b"" }, lines);
    let written = write_what_can_be(out, &mut end, begun)
        .and_then(|()| write_what_can_be(out, &mut left, begun))
        .and_then(|()| out.flush());
    if let Err(error) = written {
        dropped.inc_by(memchr::memchr_iter(b'\n', left).count() as u64);
        tracing::error!(%error, "the decision log could not be written");
    }
}

/// `write_all`, but what was not written is left, and whether that is in the middle of a line is noted.
fn write_what_can_be(out: &mut dyn Write, left: &mut &[u8], begun: &mut bool) -> io::Result<()> {
    while !left.is_empty() {
        match out.write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                *begun = left[written - 1] != b'\n';
                *left = &left[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Shows what is written, and writes only when it may.
    struct Gate {
        open: Receiver<()>,
        written: SyncSender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.open.recv();
            let _ = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (JsonLines, SyncSender<()>, Receiver<Vec<u8>>) {
        let (opens, open) = sync_channel(8);
        let (written, shown) = sync_channel(8);
        let dropped = IntCounter::new("dropped", "of the test").unwrap();
        (JsonLines::new(Box::new(Gate { open, written }), dropped).unwrap(), opens, shown)
    }

    #[test]
    fn what_was_handed_over_is_written_once_and_in_order_before_the_end() {
        let (log, opens, shown) = log();
        for number in 0..1000 {
            log.hand_over(format!("{number}\n").as_bytes());
        }
        drop(opens);
        log.drain();
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(shown.try_iter().flatten().collect::<Vec<_>>(), expected.as_bytes());
        log.hand_over(b"too late\n");
        assert_eq!(log.dropped.get(), 1);
    }

    #[test]
    fn where_the_writer_stands_still_lines_are_dropped_and_counted() {
        let (log, opens, shown) = log();
        let mut line = vec![b'x'; MOST / 4];
        line[MOST / 4 - 1] = b'\n';
        log.hand_over(&line);
        // the writer holds the first, and stands
        while !log.buffer.is_empty() {
            std::thread::yield_now();
        }
        (0..6).for_each(|_| log.hand_over(&line));
        assert_eq!(log.dropped.get(), 2);
        drop(opens);
        log.drain();
        assert_eq!(shown.try_iter().map(|bytes| bytes.len()).sum::<usize>(), 5 * line.len());
    }

    /// Takes so many bytes, then fails.
    struct Small(usize, Vec<u8>);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= taken;
            self.1.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_half_of_one_spoils_no_other() {
        let dropped = IntCounter::new("dropped", "of the test").unwrap();
        let (mut out, mut begun) = (Small(6, Vec::new()), false);
        let mut write = |out: &mut Small, lines: &[u8]| {
            flush(out, lines, &mut begun, &dropped);
            dropped.get()
        };
        assert_eq!(write(&mut out, b"one\ntwo\nthree\n"), 2);
        assert_eq!(write(&mut out, b"four\n"), 3, "there is still no room");
        out.0 = 1;
        assert_eq!(write(&mut out, b"five\n"), 4, "for the end of the line, and no more");
        out.0 = 100;
        assert_eq!(write(&mut out, b"six\n"), 4);
        assert_eq!(out.1, b"one\ntw\nsix\n");
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named_and_looking_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let dropped = IntCounter::new("a", "b").unwrap();
        std::fs::write(path("file"), "").unwrap();
        for bad in [path(""), path("nope/x.jsonl"), path("file/x.jsonl")] {
            let told = [look(&bad).unwrap_err(), open(&bad, &dropped).unwrap_err().to_string()];
            for text in told {
                assert!(
                    text.contains(&format!("`log.decisions: {bad}`")) && text.contains("name a file"),
                    "{text}"
                );
            }
        }
        for good in [path("new.jsonl"), path("file"), "new.jsonl".to_owned(), "off".to_owned()] {
            assert_eq!(look(&good), Ok(()));
        }
        assert!(!folder.path().join("new.jsonl").exists());
    }
}
