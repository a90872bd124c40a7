//! What a fault makes of an answer: where its pieces are cut, how the body is framed, how it ends. Pure;
//! each fault is one line of `faulty`.

use super::answer::{Answer, JSON, Part, Piece};
use super::fault::Kind;
use super::refuse;
use super::seen::Bill;
use std::time::Duration;

/// Often enough to keep any idle timer from firing that counts pings.
const PING_EVERY: Duration = Duration::from_millis(50);

/// An answer, how its body is framed, and how it ends.
pub(super) struct Delivery {
    pub(super) answer: Answer,
    pub(super) framing: Framing,
    pub(super) ending: Ending,
    pub(super) encoding: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    Length(usize),
}

pub(super) enum Ending {
    /// As HTTP wants it, and the connection stays.
    Complete,
    /// As HTTP wants it, and then the connection closes.
    CompleteAndClosed,
    Closed,
    Reset,
    Hold,
    Forever {
        bytes: &'static [u8],
        every: Duration,
    },
    /// The last token again and again.
    ForeverTheLast,
}

impl Delivery {
    pub(super) fn honest(answer: Answer) -> Delivery {
        let framing =
            if answer.is_stream() { Framing::Chunked } else { Framing::Length(length(&answer.pieces)) };
        Delivery { answer, framing, ending: Ending::Complete, encoding: "" }
    }

    pub(super) fn faulty(answer: Answer, fault: &Kind, token_interval: Duration) -> Delivery {
        let honest = Delivery::honest(answer);
        let sent = length(&honest.answer.pieces);
        let blank: &'static [u8] = if honest.answer.is_stream() { b": ping\n\n" } else { b" " };
        match fault {
            Kind::StallAfterHeaders => honest.bare().ending(Ending::Hold),
            Kind::StallAfter(tokens) => honest.cut(*tokens).ending(Ending::Hold),
            Kind::StallWithPings(tokens) => {
                honest.cut(*tokens).ending(Ending::Forever { bytes: blank, every: PING_EVERY })
            }
            Kind::ResetAfterHeaders => honest.bare().ending(Ending::Reset),
            Kind::ResetInEvent(tokens) => honest.cut_inside(*tokens).ending(Ending::Reset),
            Kind::EndWithoutLastChunk(tokens) => honest.cut(*tokens).ending(Ending::Closed),
            Kind::EndInEvent(tokens) => honest.cut_inside(*tokens),
            Kind::EndWithoutFinish => honest.without(&[Part::Finish, Part::Usage, Part::Done]),
            Kind::EndWithoutDone => honest.without(&[Part::Done]),
            Kind::ErrorEventFirst => honest.bare().failing(),
            Kind::ErrorEventMidStream(tokens) => honest.cut(*tokens).failing(),
            Kind::ErrorEventThenDone(tokens) => honest.cut(*tokens).failing().then_done(),
            Kind::Html => Delivery::honest(html()),
            Kind::Empty => honest.emptied(),
            Kind::InvalidJson => honest.halved(),
            Kind::ContentLengthShort => honest.framed(Framing::Length(sent / 2)).ending(Ending::Closed),
            Kind::ContentLengthLong => honest.framed(Framing::Length(sent + 16)).ending(Ending::Closed),
            Kind::FalseGzip => Delivery { encoding: "content-encoding: gzip\r\n", ..honest },
            Kind::Endless if honest.answer.is_stream() => {
                honest.without(&[Part::Finish, Part::Usage, Part::Done]).ending(Ending::ForeverTheLast)
            }
            Kind::Endless => {
                honest.cut(0).ending(Ending::Forever { bytes: b"more and ", every: token_interval })
            }
            Kind::SplitUtf8 => honest.split(|bytes, at| bytes[at] & 0xc0 == 0x80),
            Kind::ByteByByte(_) if honest.answer.is_stream() => honest.split(|_, _| true),
            Kind::UsageTwice => honest.twice(Part::Usage),
            Kind::CloseAfterAnswer => honest.ending(Ending::CompleteAndClosed),
            // the rest is in the answer already, or is the port's
            _ => honest,
        }
    }

    fn ending(self, ending: Ending) -> Delivery {
        Delivery { ending, ..self }
    }

    fn framed(self, framing: Framing) -> Delivery {
        Delivery { framing, ..self }
    }

    /// Leaves the head only.
    fn bare(mut self) -> Delivery {
        self.answer.pieces.clear();
        self.framed(Framing::Chunked)
    }

    /// Leaves so many tokens, or half of a body that is no stream.
    fn cut(self, tokens: usize) -> Delivery {
        self.cut_in_two(tokens).0
    }

    /// The same, and half of the event that comes then.
    fn cut_inside(self, tokens: usize) -> Delivery {
        let (mut kept, next) = self.cut_in_two(tokens);
        kept.answer.pieces.extend(next.map(Piece::half));
        kept
    }

    fn cut_in_two(mut self, tokens: usize) -> (Delivery, Option<Piece>) {
        let pieces = std::mem::take(&mut self.answer.pieces);
        let mut pieces = pieces.into_iter().flat_map(Piece::whole_in_halves).peekable();
        let mut kept: Vec<Piece> = pieces.next_if(|piece| piece.part == Part::Whole).into_iter().collect();
        let mut left = tokens;
        while let Some(piece) = pieces.next_if(|piece| piece.part.comes_before_token(left)) {
            left -= usize::from(piece.part == Part::Token);
            kept.push(piece);
        }
        self.answer.pieces = kept;
        (self.framed(Framing::Chunked), pieces.next())
    }

    fn without(mut self, parts: &[Part]) -> Delivery {
        self.answer.pieces.retain(|piece| !parts.contains(&piece.part));
        self
    }

    fn twice(mut self, part: Part) -> Delivery {
        let again = |piece: Piece| if piece.part == part { vec![piece.clone(), piece] } else { vec![piece] };
        self.answer.pieces = self.answer.pieces.into_iter().flat_map(again).collect();
        self
    }

    /// An error behind what is left; a body that is no stream is the error.
    fn failing(mut self) -> Delivery {
        if !self.answer.is_stream() {
            return Delivery::honest(Answer::whole(200, JSON, refuse::IN_STREAM.body(), Bill::default()));
        }
        self.answer.pieces.push(refuse::IN_STREAM.event());
        self
    }

    fn then_done(mut self) -> Delivery {
        if self.answer.is_stream() {
            self.answer.pieces.push(Piece::done());
        }
        self
    }

    fn emptied(mut self) -> Delivery {
        self.answer.pieces.clear();
        self.framed(Framing::Length(0))
    }

    fn halved(mut self) -> Delivery {
        let stream = self.answer.is_stream();
        for piece in self.answer.pieces.iter_mut().filter(|piece| piece.part != Part::Done) {
            piece.bytes.truncate(piece.bytes.len() / 2);
            piece.bytes.extend_from_slice(if stream { b"\n\n" } else { b"" });
        }
        Delivery::honest(self.answer)
    }

    /// Cuts the pieces before each byte that `here` says yes to; the bill goes with the first part.
    fn split(mut self, here: impl Fn(&[u8], usize) -> bool) -> Delivery {
        let mut parts = Vec::new();
        for piece in std::mem::take(&mut self.answer.pieces) {
            let cuts = (1..piece.bytes.len()).filter(|at| here(&piece.bytes, *at));
            let mut from = 0;
            for to in cuts.chain([piece.bytes.len()]) {
                let (bill, part) =
                    if from == 0 { (piece.bill, piece.part) } else { (Bill::default(), Part::Rest) };
                parts.push(Piece { bytes: piece.bytes[from..to].to_vec(), part, bill });
                from = to;
            }
        }
        self.answer.pieces = parts;
        self.framed(Framing::Chunked)
    }
}

impl Part {
    /// Whether a cut behind `left` more tokens leaves this.
    fn comes_before_token(self, left: usize) -> bool {
        self == Part::Opening || (self == Part::Token && left > 0)
    }
}

impl Piece {
    /// A cut whole has two pieces: what is sent, with the bill for all, and what is not.
    fn whole_in_halves(mut self) -> Vec<Piece> {
        if self.part != Part::Whole {
            return vec![self];
        }
        let rest = Piece {
            bytes: self.bytes.split_off(self.bytes.len() / 2),
            part: Part::Rest,
            bill: Bill::default(),
        };
        vec![self, rest]
    }

    fn half(mut self) -> Piece {
        self.bytes.truncate(self.bytes.len() / 2);
        Piece { bill: Bill::default(), ..self }
    }
}

fn length(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| piece.bytes.len()).sum()
}

fn html() -> Answer {
    let page =
        "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>\n";
    Answer::whole(200, "text/html; charset=utf-8", page.into(), Bill::default())
}
