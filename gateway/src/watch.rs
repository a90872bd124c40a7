//! Looks at a stream as it passes: what came, whether it was whole, what it used.
//!
//! The bytes go on unchanged, except for what the gateway itself caused: usage that the client did not ask for is
//! taken out again, and where the operator wants it the client's own model name is put in.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use crate::json::pick;
use crate::provider::{EventFacts, Provider};
use crate::sse::{self, Event, Splitter};
use crate::usage::Usage;

/// What is changed in a stream.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// Takes out usage, which was only asked for by the gateway.
    pub strip_usage: bool,
    /// Puts in this model name.
    pub model: Option<String>,
}

/// The watcher of one stream.
#[derive(Debug)]
pub struct Watch {
    provider: &'static dyn Provider,
    splitter: Splitter,
    edits: Edits,
    choices: u32,
    finished: u128,
    done: bool,
    /// Until the commit every event is parsed.
    pub thorough: bool,
    /// Something a client waits for has come.
    pub meaningful: bool,
    /// The upstream's own error.
    pub error: Option<String>,
    usage: Option<Usage>,
    text_bytes: u64,
    events: u64,
    frames_bytes: usize,
}

impl Watch {
    /// For a stream of this many choices.
    pub fn new(provider: &'static dyn Provider, choices: u32, edits: Edits) -> Self {
        Self {
            provider,
            splitter: Splitter::default(),
            edits,
            choices,
            finished: 0,
            done: false,
            thorough: true,
            meaningful: false,
            error: None,
            usage: None,
            text_bytes: 0,
            events: 0,
            frames_bytes: 0,
        }
    }

    /// Every choice finished, or the end marker came.
    pub fn is_complete(&self) -> bool {
        self.done || self.finished.count_ones() >= self.choices
    }

    /// The end marker came.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What went to the client ends between two events: always, but for one too long to be held.
    pub fn between_events(&self) -> bool {
        self.splitter.pending() <= sse::MAX_EVENT
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> usize {
        self.frames_bytes
    }

    /// Tokens, and whether they are estimated.
    pub fn usage(&self, prompt_tokens: u64) -> (Usage, bool) {
        match self.usage {
            Some(usage) => (usage, false),
            None => (Usage::estimate(prompt_tokens, self.text_bytes, self.events), true),
        }
    }

    /// Takes a frame and queues what goes to the client: whole events, so that a cut never leaves half of one there.
    /// True when an event with data ended in it.
    pub fn take(&mut self, frame: &Bytes, out: &mut VecDeque<Bytes>) -> bool {
        self.frames_bytes += frame.len();
        let mut splitter = std::mem::take(&mut self.splitter);
        let mut passed = 0;
        let mut data_came = false;
        splitter.feed(frame, |event| {
            let facts = self.look(&event.bytes);
            data_came |= facts.is_some();
            let (start, end) = event.span;
            let replaced = match (self.edit(&event, facts.as_ref()), start) {
                (None, Some(_)) => return,
                (None, None) if event.bytes.is_empty() => frame.slice(passed..end),
                (None, None) => Bytes::copy_from_slice(&event.bytes),
                (Some(edited), _) => Bytes::from(edited),
            };
            push(out, frame.slice(passed..start.unwrap_or(passed)));
            push(out, replaced);
            passed = end;
        });
        let mut held = splitter.pending().min(frame.len() - passed);
        if let Some(kept) = splitter.overflow() {
            held = 0;
            push(out, Bytes::from(kept));
        }
        self.splitter = splitter;
        push(out, frame.slice(passed..frame.len() - held));
        data_came
    }

    /// The upstream has ended: what is still held, unless it is the torn end of a stream that is not whole.
    pub fn finish(&mut self) -> Option<Bytes> {
        let pending = self.splitter.take_pending();
        let facts = sse::data(&pending).map(|data| self.provider.event(&data, true));
        if let Some(facts) = facts.filter(|facts| facts.error.is_none()) {
            self.note(&facts);
        }
        (self.is_complete() && !pending.is_empty()).then(|| Bytes::from(pending))
    }

    fn look(&mut self, event: &[u8]) -> Option<EventFacts> {
        let data = sse::data(event)?;
        let facts = self.provider.event(&data, self.thorough);
        self.note(&facts);
        Some(facts)
    }

    fn note(&mut self, facts: &EventFacts) {
        self.done |= facts.done;
        self.finished |= facts.finished;
        self.meaningful |= facts.meaningful;
        self.usage = facts.usage.or(self.usage);
        self.text_bytes += facts.text_bytes as u64;
        self.events += u64::from(facts.text_bytes > 0);
        if facts.error.is_some() && self.error.is_none() {
            self.error.clone_from(&facts.error);
        }
    }

    /// The event as it goes on, empty where it does not; `None`: unchanged.
    fn edit(&self, event: &Event<'_>, facts: Option<&EventFacts>) -> Option<Vec<u8>> {
        if !self.edits.strip_usage && self.edits.model.is_none() {
            return None;
        }
        let facts = facts.filter(|f| !f.done)?;
        if self.edits.strip_usage && facts.only_usage {
            // an LF that a cut has parted from its CR still belongs to the event before
            let stays = if event.bytes.starts_with(b"\n") { 1 } else { 0 };
            return Some(event.bytes[..stays].to_vec());
        }
        let mut edited: Option<Vec<u8>> = None;
        if let Some(model) = &self.edits.model
            && let Some(at) = model_in_event(&event.bytes)
        {
            let quoted = serde_json::to_vec(model).unwrap_or_default();
            edited.get_or_insert_with(|| event.bytes.to_vec()).splice(at, quoted);
        }
        if self.edits.strip_usage
            && let Some(at) = null_usage(edited.as_deref().unwrap_or(&event.bytes))
        {
            edited.get_or_insert_with(|| event.bytes.to_vec()).drain(at);
        }
        edited
    }
}

fn push(out: &mut VecDeque<Bytes>, bytes: Bytes) {
    if !bytes.is_empty() {
        out.push_back(bytes);
    }
}

/// Where `,"usage":null` stands: servers add it to every chunk once usage was asked for.
fn null_usage(event: &[u8]) -> Option<Range<usize>> {
    const KEY: &[u8] = b"\"usage\"";
    memmem::find_iter(event, KEY).find_map(|at| {
        let rest = &event[at + KEY.len()..];
        let value = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        value.starts_with(b"null").then_some(())?;
        let end = event.len() - value.len() + b"null".len();
        let before = event[..at].trim_ascii_end();
        if before.last() == Some(&b',') {
            return Some(before.len() - 1..end);
        }
        let after = event[end..].trim_ascii_start();
        after.starts_with(b",").then(|| at..event.len() - after.len() + 1)
    })
}

/// Where the value of a top-level `model` stands in a JSON text.
pub fn model_in_json(json: &[u8]) -> Option<Range<usize>> {
    let [model] = pick(json, ["model"])?;
    let model = model?.get();
    let start = model.as_ptr() as usize - json.as_ptr() as usize;
    Some(start..start + model.len())
}

/// The same in an event with a single data line.
fn model_in_event(event: &[u8]) -> Option<Range<usize>> {
    let start = memmem::find(event, b"data:")? + b"data:".len();
    let end = memchr::memchr2(b'\n', b'\r', &event[start..]).map_or(event.len(), |at| start + at);
    let at = model_in_json(&event[start..end])?;
    Some(start + at.start..start + at.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::written::ProviderName;
    use crate::provider;

    fn relayed(stream: &[u8], cuts: &[usize], edits: &Edits) -> (Vec<u8>, Watch) {
        let mut watch = Watch::new(provider::of(ProviderName::Openai), 1, edits.clone());
        let mut points = vec![0, stream.len()];
        points.extend(cuts.iter().map(|c| c % (stream.len() + 1)));
        points.sort_unstable();
        let mut out = VecDeque::new();
        for pair in points.windows(2) {
            watch.take(&Bytes::copy_from_slice(&stream[pair[0]..pair[1]]), &mut out);
        }
        out.extend(Some(Bytes::from(watch.splitter.take_pending())));
        (out.into_iter().flatten().collect(), watch)
    }

    const STREAM: &str = concat!(
        "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hé\"}}],\"usage\":null}\n\n",
        ": ping\n\n",
        "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}], \"usage\": null}\r\n\r\n",
        "data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n",
        "data: [DONE]\n\n",
    );

    #[test]
    fn usage_that_only_the_gateway_asked_for_is_taken_out() {
        let expected = STREAM.replace(",\"usage\":null", "").replace(", \"usage\": null", "");
        let start = expected.find("data: {\"model\":\"m\",\"choices\":[],").unwrap();
        let end = start + expected[start..].find("\n\n").unwrap() + 2;
        let expected = format!("{}{}", &expected[..start], &expected[end..]);
        let (out, watch) = relayed(STREAM.as_bytes(), &[], &Edits { strip_usage: true, model: None });
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(watch.usage(0), (Usage { input: 3, output: 1, ..Usage::default() }, false));
        assert!(watch.is_complete());
    }

    #[test]
    fn the_clients_model_name_is_put_in() {
        let (out, _) = relayed(
            STREAM.as_bytes(),
            &[9, 90],
            &Edits { strip_usage: false, model: Some("gpt\"x".to_owned()) },
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            STREAM.replace("\"model\":\"m\"", "\"model\":\"gpt\\\"x\"")
        );
    }

    #[test]
    fn the_torn_end_of_a_cut_stream_is_not_passed_on() {
        let mut watch = Watch::new(provider::of(ProviderName::Openai), 1, Edits::default());
        let mut out = VecDeque::new();
        let torn = "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"st";
        watch.take(&Bytes::from(format!("data: {{}}\n\n{torn}")), &mut out);
        assert_eq!(out, [Bytes::from("data: {}\n\n")]);
        assert_eq!((watch.finish(), watch.is_complete(), watch.error), (None, false, None));
    }

    #[test]
    fn a_last_marker_without_its_empty_line_still_counts() {
        let mut watch = Watch::new(provider::of(ProviderName::Openai), 1, Edits::default());
        watch.take(&Bytes::from("data: [DONE]\n"), &mut VecDeque::new());
        assert_eq!((watch.finish(), watch.is_complete()), (Some(Bytes::from("data: [DONE]\n")), true));
    }

    #[test]
    fn an_event_too_long_to_look_into_still_passes() {
        let stream = format!("data: {}\n\n{STREAM}", "x".repeat(sse::MAX_EVENT * 2));
        let cuts: Vec<usize> = (0..stream.len()).step_by(60_000).collect();
        let edits = Edits { strip_usage: false, model: Some("m".to_owned()) };
        let (out, watch) = relayed(stream.as_bytes(), &cuts, &edits);
        assert!(out == stream.as_bytes() && watch.is_complete());
    }

    #[test]
    fn a_stream_without_finish_or_marker_is_not_whole() {
        let cut = &STREAM.as_bytes()
            [..STREAM.find("data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},").unwrap()];
        assert!(!relayed(cut, &[], &Edits::default()).1.is_complete());
    }

    proptest! {
        #[test]
        fn bytes_out_are_bytes_in(stream in proptest::collection::vec(any::<u8>(), 0..400), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
            let (out, _) = relayed(&stream, &cuts, &Edits::default());
            prop_assert_eq!(out, stream);
        }

        #[test]
        fn bytes_out_are_bytes_in_for_events(lines in proptest::collection::vec("(data: ?(\\{\"a\":1\\}|x|\\[DONE\\])|: c|)(\n|\r\n|\r)", 0..40), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
            let stream = lines.concat().into_bytes();
            let (out, _) = relayed(&stream, &cuts, &Edits::default());
            prop_assert_eq!(&out, &stream);
            let (out, _) = relayed(&stream, &cuts, &Edits { strip_usage: true, model: Some("m".to_owned()) });
            prop_assert_eq!(out, stream, "nothing to edit, nothing changed");
        }

        #[test]
        fn edits_do_not_depend_on_how_a_stream_is_cut(cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
            let edits = Edits { strip_usage: true, model: Some("other".to_owned()) };
            prop_assert_eq!(relayed(STREAM.as_bytes(), &cuts, &edits).0, relayed(STREAM.as_bytes(), &[], &edits).0);
        }
    }
}
