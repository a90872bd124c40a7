//! Finds events in a byte stream without keeping it.
//!
//! Lines end in LF, CRLF or CR; an event ends at an empty line; a BOM may stand at the very start (WHATWG HTML,
//! «Server-sent events»). The splitter only remembers an event that a frame has cut in two, up to a limit.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// Most bytes of an event that are held until the next frame; a longer one passes as it comes, and only its beginning
/// and its end are looked at. What is held counts for every client that reads slowly.
pub const MAX_EVENT: usize = 16 * 1024;

/// Where a splitter stands between two frames.
#[derive(Debug)]
pub struct Splitter {
    /// Most bytes of an event that are held.
    most: usize,
    /// The start of an event whose end has not come.
    partial: Vec<u8>,
    /// Bytes of it, also where they are no longer kept.
    partial_len: usize,
    /// The last line so far has no byte yet.
    line_is_empty: bool,
    /// The last byte was a CR: an LF now belongs to it.
    after_cr: bool,
    started: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::holding(MAX_EVENT)
    }
}

/// A whole event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'f> {
    /// Its bytes, terminating empty line included; none of one that is too long.
    pub bytes: Cow<'f, [u8]>,
    /// It was too long to be held.
    pub too_long: bool,
    /// Where it ends in the frame, and where it starts: `None` for one that began in an earlier frame.
    pub span: (Option<usize>, usize),
}

impl Splitter {
    /// One that holds this many bytes of an event.
    pub fn holding(most: usize) -> Self {
        Self {
            most,
            partial: Vec::new(),
            partial_len: 0,
            line_is_empty: false,
            after_cr: false,
            started: false,
        }
    }

    /// From the next frame on it holds this many bytes of an event.
    pub fn hold(&mut self, most: usize) {
        self.most = most;
    }

    /// Takes a frame and reports every event that ends in it.
    pub fn feed<'f>(&mut self, frame: &'f [u8], mut on: impl FnMut(Event<'f>)) {
        let mut start = 0;
        let mut at = 0;
        if !self.started && !frame.is_empty() {
            self.started = true;
            self.line_is_empty = true;
        }
        while let Some(end) = self.next_end(frame, &mut at) {
            let event = if self.partial_len == 0 {
                let bytes = Cow::Borrowed(&frame[start..end]);
                Event { bytes, too_long: false, span: (Some(start), end) }
            } else {
                let (bytes, too_long) = self.take_partial(&frame[start..end]);
                Event { bytes: Cow::Owned(bytes), too_long, span: (None, end) }
            };
            start = end;
            on(event);
        }
        self.keep(&frame[start..]);
    }

    /// Bytes of an event whose end has not come.
    pub fn pending(&self) -> usize {
        self.partial_len
    }

    /// Whether a line put in here would stand between two events: not inside one, nor between a CR and its LF.
    pub fn is_between_lines(&self) -> bool {
        match self.partial.first() {
            Some(first) => *first != b'\n',
            None => self.partial_len == 0 && !self.after_cr,
        }
    }

    /// The pending bytes, as far as they were kept.
    pub fn take_pending(&mut self) -> Vec<u8> {
        self.partial_len = 0;
        std::mem::take(&mut self.partial)
    }

    /// Moves `at` behind the next empty line and returns it.
    fn next_end(&mut self, frame: &[u8], at: &mut usize) -> Option<usize> {
        if self.after_cr && *at < frame.len() {
            self.after_cr = false;
            if frame[*at] == b'\n' {
                *at += 1;
            }
        }
        while *at < frame.len() {
            let Some(found) = memchr2(b'\n', b'\r', &frame[*at..]) else {
                self.line_is_empty = false;
                *at = frame.len();
                return None;
            };
            let empty = self.line_is_empty && found == 0;
            let mut next = *at + found + 1;
            if frame[next - 1] == b'\r' {
                match frame.get(next) {
                    Some(b'\n') => next += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            *at = next;
            self.line_is_empty = true;
            if empty {
                return Some(next);
            }
        }
        None
    }

    /// Where the pending event has become too long to keep: what was kept of it before the last frame, once.
    pub fn overflow(&mut self) -> Option<Vec<u8>> {
        (self.partial_len > self.partial.len()).then(|| std::mem::take(&mut self.partial))
    }

    /// The pending event with its end; or nothing, where it was too long to be kept, and true.
    fn take_partial(&mut self, rest: &[u8]) -> (Vec<u8>, bool) {
        let too_long = self.partial_len > self.partial.len();
        let mut bytes = self.take_pending();
        if !too_long {
            bytes.extend_from_slice(rest);
        }
        (bytes, too_long)
    }

    fn keep(&mut self, rest: &[u8]) {
        if self.partial_len + rest.len() <= self.most {
            self.partial.extend_from_slice(rest);
        }
        self.partial_len += rest.len();
    }
}

/// The data of an event: its `data:` lines, joined by LF. `None`: it has none (a comment, a ping).
pub fn data(event: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut found: Option<Cow<'_, [u8]>> = None;
    let event = event.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(event);
    for line in lines(event) {
        let Some(value) = event[line].strip_prefix(b"data:") else { continue };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &mut found {
            None => found = Some(Cow::Borrowed(value)),
            Some(joined) => {
                let joined = joined.to_mut();
                joined.push(b'\n');
                joined.extend_from_slice(value);
            }
        }
    }
    found
}

/// The name of an event, where it has one.
pub fn name(event: &[u8]) -> Option<&[u8]> {
    let value = lines(event).find_map(|line| event[line].strip_prefix(b"event:"))?;
    Some(value.trim_ascii())
}

fn lines(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < text.len()).then(|| {
            let end = memchr2(b'\n', b'\r', &text[at..]).map_or(text.len(), |found| at + found);
            let line = at..end;
            at = end + 1;
            line
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(frames: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut all = Vec::new();
        for frame in frames {
            splitter.feed(frame, |event| all.push(event.bytes.into_owned()));
        }
        all
    }

    #[test]
    fn every_line_ending_ends_an_event() {
        for stream in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
            let found = events(&[stream.as_bytes()]);
            assert_eq!(found.len(), 2, "{stream:?}");
            assert_eq!(data(&found[1]).unwrap().as_ref(), b"b");
        }
    }

    #[test]
    fn comments_have_no_data_and_many_lines_are_one_datum() {
        assert_eq!(data(b": ping\n\n"), None);
        assert_eq!(data(b"event: x\ndata: a\ndata:b\nid: 1\n\n").unwrap().as_ref(), b"a\nb");
        assert_eq!(data(b"\xEF\xBB\xBFdata: a\n\n").unwrap().as_ref(), b"a");
    }

    #[test]
    fn an_endless_event_is_not_kept() {
        let mut splitter = Splitter::default();
        for _ in 0..40 {
            splitter.feed(&[b'x'; 64 * 1024], |_| panic!("no event ends here"));
            splitter.overflow();
            assert!(splitter.partial.capacity() <= 2 * MAX_EVENT);
        }
        let mut seen = Vec::new();
        splitter.feed(b"\n\ndata: a\n\n", |event| seen.push((event.bytes.into_owned(), event.too_long)));
        assert_eq!(seen, [(Vec::new(), true), (b"data: a\n\n".to_vec(), false)]);
    }

    #[test]
    fn an_event_that_was_held_up_to_its_last_frame_is_whole() {
        for (size, is_held) in [(MAX_EVENT, true), (MAX_EVENT + 1, false)] {
            let mut splitter = Splitter::default();
            splitter.feed(&vec![b'x'; size], |_| panic!("no event ends here"));
            assert_eq!(splitter.overflow().is_some(), !is_held);
            let rest = [&[b'x'; 60_000][..], b"\n\n"].concat();
            splitter.feed(&rest, |event| {
                let whole = if is_held { size + rest.len() } else { 0 };
                assert_eq!((event.bytes.len(), event.too_long), (whole, !is_held));
            });
        }
    }

    #[test]
    fn what_was_held_is_given_back_where_less_is_held_from_then_on() {
        let mut splitter = Splitter::holding(1 << 20);
        splitter.feed(&[b'x'; 60_000], |_| panic!("no event ends here"));
        splitter.hold(MAX_EVENT);
        assert_eq!(splitter.overflow(), None);
        splitter.feed(b"x", |_| panic!("no event ends here"));
        assert_eq!(splitter.overflow().map(|kept| kept.len()), Some(60_000));
        assert_eq!(splitter.pending(), 60_001);
    }

    #[test]
    fn a_line_may_stand_between_events_but_not_between_cr_and_lf() {
        let between = |frames: &[&[u8]]| {
            let mut splitter = Splitter::default();
            frames.iter().for_each(|frame| splitter.feed(frame, |_| {}));
            splitter.is_between_lines()
        };
        assert!(between(&[]));
        assert!(between(&[b"data: a\n\n"]));
        assert!(between(&[b"data: a\r\n\r\n"]));
        assert!(between(&[b"data: a\n\ndata: b"]), "what is held was not sent");
        assert!(!between(&[b"data: a\r\n\r"]));
        assert!(!between(&[b"data: a\r\n\r", b"\n"]), "the LF is held, its CR was sent");
        assert!(!between(&[b"data: a\r\n\r", b"\ndata: b"]));
    }

    #[test]
    fn the_name_of_an_event_is_found() {
        assert_eq!(name(b"event: error\ndata: {}\n\n"), Some(&b"error"[..]));
        assert_eq!(name(b"data: event: error\n\n"), None);
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(lines in proptest::collection::vec("(data: ?[a-zé]{0,4}|: c|)(\n|\r\n|\r)", 0..40), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let stream = lines.concat().into_bytes();
            let mut points: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
            points.extend([0, stream.len()]);
            points.sort_unstable();
            let frames: Vec<&[u8]> = points.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            let whole: Vec<_> = events(&[&stream]).iter().map(|e| data(e).map(Cow::into_owned)).collect();
            let cut: Vec<_> = events(&frames).iter().map(|e| data(e).map(Cow::into_owned)).collect();
            prop_assert_eq!(whole, cut);
        }
    }
}
