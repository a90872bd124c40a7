//! From an answer and a fault to steps on a socket. Pure: what a fault looks like in bytes is asserted
//! below without a socket.

use super::answer::{Answer, Part};
use super::delivery::{Delivery, Ending, Framing};
use super::fault::Kind;
use super::seen::Bill;
use super::speak::ONE_TOKEN;
use std::io::Write as _;
use std::time::Duration;

/// One thing to do with the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send {
        bytes: Vec<u8>,
        bill: Bill,
    },
    /// Byte by byte, with so long a pause between.
    Trickle {
        bytes: Vec<u8>,
        pause: Duration,
        bill: Bill,
    },
    /// The same bytes again and again; the bill is for each time.
    Forever {
        bytes: Vec<u8>,
        every: Duration,
        bill: Bill,
    },
    Pause(Duration),
    /// Nothing, until the client leaves.
    Hold,
    Close,
    Reset,
}

/// What a script depends on beside the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) latency: Duration,
    pub(super) token_interval: Duration,
    /// For `x-request-id`.
    pub(super) number: u64,
    pub(super) keep_alive: bool,
}

/// The steps of one answer.
pub(super) fn script(answer: Answer, fault: Option<&Kind>, context: Context) -> Vec<Step> {
    let delivery = match fault {
        None => Delivery::honest(answer),
        Some(Kind::Silence) => return vec![Step::Hold],
        Some(Kind::ResetBeforeHeaders) => return vec![Step::Reset],
        Some(Kind::CloseOnReuse) => return vec![Step::Close],
        Some(Kind::StallInHeaders) => {
            let mut head = Delivery::honest(answer).head(context);
            head.truncate(head.len() / 2);
            return vec![Step::Send { bytes: head, bill: Bill::default() }, Step::Hold];
        }
        Some(fault) => Delivery::faulty(answer, fault, context.token_interval),
    };
    let steps = delivery.steps(context);
    match fault {
        Some(Kind::ByteByByte(pause)) => steps.into_iter().map(|step| step.trickled(*pause)).collect(),
        _ => steps,
    }
}

impl Delivery {
    fn head(&self, context: Context) -> Vec<u8> {
        let mut head = Vec::with_capacity(256);
        let Answer { status, content_type, retry_after, .. } = &self.answer;
        let Context { number, .. } = context;
        // writing to a vector does not fail
        let _ = write!(
            head,
            "HTTP/1.1 {status} {}\r\ncontent-type: {content_type}\r\nx-request-id: req_{number}\r\n{}",
            reason(*status),
            self.encoding
        );
        let _ = match self.framing {
            Framing::Chunked => write!(head, "transfer-encoding: chunked\r\n"),
            Framing::Length(length) => write!(head, "content-length: {length}\r\n"),
        };
        if let Some(seconds) = retry_after {
            let _ = write!(head, "retry-after: {seconds}\r\n");
        }
        head.extend_from_slice(if context.keep_alive { b"\r\n" } else { b"connection: close\r\n\r\n" });
        head
    }

    fn steps(self, context: Context) -> Vec<Step> {
        let mut writer = Writer::default();
        writer.pause(self.time_to_answer(context));
        writer.bytes = self.head(context);
        let mut tokens = 0;
        for piece in &self.answer.pieces {
            match piece.part {
                Part::Token if tokens > 0 => writer.pause(context.token_interval),
                Part::Rest => writer.flush(),
                _ => {}
            }
            tokens += usize::from(piece.part == Part::Token);
            writer.frame(&piece.bytes, self.framing);
            writer.bill += piece.bill;
        }
        self.end(writer, context)
    }

    /// Streams begin with the first token; other answers take as long as all of them.
    fn time_to_answer(&self, context: Context) -> Duration {
        let whole = self.answer.pieces.first().filter(|piece| piece.part == Part::Whole);
        let tokens = whole.map_or(0, |piece| piece.bill.completion_tokens.saturating_sub(1));
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        context.latency + context.token_interval.saturating_mul(tokens)
    }

    fn end(self, mut writer: Writer, context: Context) -> Vec<Step> {
        let framing = self.framing;
        match self.ending {
            Ending::Complete | Ending::CompleteAndClosed => {
                writer.bytes.extend_from_slice(if framing == Framing::Chunked { b"0\r\n\r\n" } else { b"" });
                writer.flush();
                let stays = matches!(self.ending, Ending::Complete) && context.keep_alive;
                writer.steps.extend((!stays).then_some(Step::Close));
            }
            Ending::Closed => writer.last(Step::Close),
            Ending::Reset => writer.last(Step::Reset),
            Ending::Hold => writer.last(Step::Hold),
            Ending::Forever { bytes, every } => {
                let bytes = framed(bytes, framing);
                writer.last(Step::Forever { bytes, every, bill: Bill::default() });
            }
            Ending::ForeverTheLast => {
                let token =
                    self.answer.pieces.last().map_or(Vec::new(), |piece| framed(&piece.bytes, framing));
                writer.last(Step::Forever { bytes: token, every: context.token_interval, bill: ONE_TOKEN });
            }
        }
        writer.steps
    }
}

/// Gathers bytes into as few writes as the pauses allow.
#[derive(Default)]
struct Writer {
    steps: Vec<Step>,
    bytes: Vec<u8>,
    bill: Bill,
}

impl Writer {
    fn frame(&mut self, bytes: &[u8], framing: Framing) {
        match framing {
            Framing::Length(_) => self.bytes.extend_from_slice(bytes),
            Framing::Chunked => chunk(&mut self.bytes, bytes),
        }
    }

    fn pause(&mut self, time: Duration) {
        if !time.is_zero() {
            self.flush();
            self.steps.push(Step::Pause(time));
        }
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.steps.push(Step::Send { bytes, bill: std::mem::take(&mut self.bill) });
        }
    }

    fn last(&mut self, step: Step) {
        self.flush();
        self.steps.push(step);
    }
}

impl Step {
    fn trickled(self, pause: Duration) -> Step {
        match self {
            Step::Send { bytes, bill } => Step::Trickle { bytes, pause, bill },
            step => step,
        }
    }
}

fn framed(bytes: &[u8], framing: Framing) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.frame(bytes, framing);
    writer.bytes
}

/// An empty chunk would end the body: nothing is written for it.
fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        // writing to a vector does not fail
        let _ = write!(out, "{:x}\r\n", bytes.len());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Mock",
    }
}

#[cfg(test)]
mod tests;
