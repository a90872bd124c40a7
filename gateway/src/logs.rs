//! What the process says of itself, on standard error.
//!
//! Who logs never waits: lines go into a bounded buffer and one thread writes them, so that a terminal that was stopped
//! or a collector that hangs holds up no request and no end of the process. A warning that repeats itself is told a
//! few times and then counted. What is lost or left out is in `mixgate_log_lines_dropped_total`.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::{IntCounterVec, Opts};
use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::ledger::Buffer;

/// Bytes that may wait for the writer.
const MOST: usize = 4 << 20;
/// How long the end may take where nobody reads.
const LAST_LINES: Duration = Duration::from_secs(1);
/// A warning is told so often in a [`WINDOW`].
const TOLD: u64 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// Lines that were said and never written: `full`, the writer stood still; `repeated`, they were like those before.
static DROPPED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let opts = Opts::new(
        "log_lines_dropped_total",
        "Lines of the process's log that were not written: `full`, whoever reads it stood still; `repeated`, they were like many just before.",
    );
    let made = IntCounterVec::new(opts.namespace("mixgate"), &["reason"]);
    let counter = made.unwrap_or_else(|error| unreachable!("a metric is declared wrongly: {error}"));
    for reason in ["full", "repeated"] {
        counter.with_label_values(&[reason]);
    }
    counter
});

/// Counts the lines that were not written, by reason.
pub fn dropped() -> &'static IntCounterVec {
    &DROPPED
}

/// The log of the process, until it is finished.
#[derive(Debug)]
pub struct Logs {
    buffer: Arc<Buffer>,
    writer: JoinHandle<()>,
}

/// Starts the log; also panics go there from now on.
///
/// # Errors
///
/// In words, when there is one already.
pub fn start(filter: EnvFilter, json: bool, ansi: bool) -> Result<Logs, String> {
    let buffer = Arc::new(Buffer::holding(MOST));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi);
    let logs = logs.with_writer(Lines(Arc::clone(&buffer)));
    let started = if json {
        logs.json().map_event_format(Limited::new).try_init()
    } else {
        logs.compact().map_event_format(Limited::new).try_init()
    };
    started.map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(tell_panic));
    let taken = Arc::clone(&buffer);
    let writer = std::thread::Builder::new().name("log".to_owned());
    let writer = writer.spawn(move || write_all(&taken, &mut io::stderr()));
    Ok(Logs { buffer, writer: writer.map_err(|error| error.to_string())? })
}

impl Logs {
    /// Writes what was said, as long as somebody reads it.
    pub fn finish(self) {
        self.buffer.close();
        let patience = Instant::now() + LAST_LINES;
        while !self.writer.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Where it happened. A message that was made up at the moment may quote what was at hand, a prompt for one, so only
/// those that stand in the code are shown.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let at = panic.location().map_or_else(String::new, ToString::to_string);
    tracing::error!(at, "a panic: {}", shown(panic.payload()));
}

fn shown(payload: &(dyn Any + Send)) -> &'static str {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.unwrap_or("its message could quote a request, and is not shown")
}

fn write_all(buffer: &Buffer, out: &mut dyn Write) {
    let mut lines = Vec::new();
    while buffer.take(&mut lines) {
        if out.write_all(&lines).is_err() {
            DROPPED.with_label_values(&["full"]).inc_by(memchr::memchr_iter(b'\n', &lines).count() as u64);
        }
        lines.clear();
    }
}

/// Takes lines for the buffer.
#[derive(Debug, Clone)]
struct Lines(Arc<Buffer>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !line.is_empty() && !self.0.push(line) {
            DROPPED.with_label_values(&["full"]).inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Formats events, but of those that repeat themselves only some.
#[derive(Debug)]
struct Limited<F> {
    format: F,
    told: Mutex<HashMap<Identifier, Told>>,
}

/// How often a warning was told lately.
#[derive(Debug)]
struct Told {
    since: Instant,
    times: u64,
}

impl Told {
    /// Whether to tell it once more, and how many were left out before.
    fn again(&mut self, now: Instant) -> Option<u64> {
        let mut left_out = 0;
        if now.duration_since(self.since) >= WINDOW {
            left_out = self.times.saturating_sub(TOLD);
            *self = Self { since: now, times: 0 };
        }
        self.times += 1;
        (self.times <= TOLD).then_some(left_out)
    }
}

impl<F> Limited<F> {
    fn new(format: F) -> Self {
        Self { format, told: Mutex::default() }
    }

    /// The same for an event; what is no warning is always told.
    fn again(&self, event: &Event<'_>) -> Option<u64> {
        if *event.metadata().level() > Level::WARN {
            return Some(0);
        }
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Told { since: now, times: 0 };
        told.entry(event.metadata().callsite()).or_insert_with(new).again(now)
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.again(event) {
            None => {
                DROPPED.with_label_values(&["repeated"]).inc();
                Ok(())
            }
            Some(0) => self.format.format_event(context, out, event),
            Some(left_out) => {
                let mut line = String::new();
                self.format.format_event(context, Writer::new(&mut line), event)?;
                out.write_str(&with_count(line.trim_end(), left_out))
            }
        }
    }
}

/// The line, and how many like it were left out before it.
fn with_count(line: &str, left_out: u64) -> String {
    match line.strip_suffix('}').filter(|line| line.starts_with('{')) {
        Some(object) => format!("{object},\"left_out\":{left_out}}}\n"),
        None => format!("{line} left_out={left_out}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_itself_is_told_so_often_and_then_counted() {
        let start = Instant::now();
        let mut told = Told { since: start, times: 0 };
        for _ in 0..TOLD {
            assert_eq!(told.again(start), Some(0));
        }
        let almost = start + WINDOW - Duration::from_millis(1);
        for _ in 0..5 {
            assert_eq!(told.again(almost), None);
        }
        assert_eq!(told.again(start + WINDOW), Some(5));
        assert_eq!(told.again(start + WINDOW), Some(0));
    }

    #[test]
    fn what_a_panic_made_up_is_not_shown() {
        let payload = |panics: fn(&str)| std::panic::catch_unwind(|| panics("a pässword")).unwrap_err();
        assert_eq!(shown(&*payload(|_| panic!("of the code"))), "of the code");
        for made_up in [payload(|text| panic!("about {text}")), payload(|text| drop(text[..4].to_owned()))] {
            assert!(!shown(&*made_up).contains("ssword"), "{}", shown(&*made_up));
        }
    }

    #[test]
    fn the_count_stands_in_the_line() {
        assert_eq!(with_count(r#"{"message":"a"}"#, 7), "{\"message\":\"a\",\"left_out\":7}\n");
        assert_eq!(with_count("WARN a {b}", 7), "WARN a {b} left_out=7\n");
    }

    #[test]
    fn a_log_says_no_more_than_it_may_and_nobody_waits() {
        let written = Lines(Arc::new(Buffer::holding(1000)));
        let before = DROPPED.with_label_values(&["full"]).get();
        let mut line = written.clone();
        for _ in 0..15 {
            line.write_all(&[b"x".repeat(99), b"\n".to_vec()].concat()).unwrap();
        }
        assert_eq!(DROPPED.with_label_values(&["full"]).get() - before, 5);
        written.0.close();
        let mut out = Vec::new();
        write_all(&written.0, &mut out);
        assert_eq!(out.len(), 1000);
    }
}
