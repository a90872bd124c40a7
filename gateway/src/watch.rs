//! Looks at a stream as it passes: what came, whether it was whole, what it used.
//!
//! The bytes go on unchanged, except for what the gateway itself caused: usage that the client did not ask for is
//! taken out again, and where the operator wants it the client's own model name is put in.

mod members;

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::provider::{EventFacts, OpenChoice, Provider};
use crate::sse::{self, Event, Splitter};
use crate::tail::LastBytes;
use crate::usage::Usage;
use members::{Told, model_in_beginning, model_in_event, usage_member};

pub use members::{model_in_json, model_in_open_json};

/// Bytes of an event whose end has not come from which on it counts as progress: no ping is as long.
const PROGRESS: usize = 4 * 1024;
/// Most bytes of an event that are held before the commit: there an error must be known for one, however long its words.
const MAX_OPENING: usize = 1 << 20;

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
    finished: Finished,
    done: bool,
    /// Until the commit every event is parsed.
    thorough: bool,
    /// Something a client waits for has come.
    pub meaningful: bool,
    /// One of its events is no JSON: before the commit no answer to trust, after it the client's to judge.
    pub malformed: bool,
    /// The upstream's own error.
    pub error: Option<String>,
    usage: Option<Usage>,
    text_bytes: u64,
    events: u64,
    frames_bytes: usize,
    /// Of an event that is too long to be held.
    long: Option<Box<Long>>,
}

/// The choices that have finished.
#[derive(Debug, Default)]
struct Finished {
    first: u128,
    further: BTreeSet<u64>,
}

impl Finished {
    fn add(&mut self, index: u64) {
        match u32::try_from(index).ok().and_then(|index| 1_u128.checked_shl(index)) {
            Some(bit) => self.first |= bit,
            None => {
                self.further.insert(index);
            }
        }
    }

    fn count(&self) -> usize {
        self.first.count_ones() as usize + self.further.len()
    }
}

/// An event that passes unread, but for its beginning, where an error shows, and its end, where finish and usage stand.
#[derive(Debug, Default)]
struct Long {
    end: LastBytes,
    open: OpenChoice,
    text_bytes: usize,
    /// Nearly all of its beginning was text, so the rest is.
    is_text: bool,
}

impl Long {
    fn begin(kept: &[u8], open: OpenChoice, provider: &dyn Provider) -> Box<Self> {
        let text_bytes = provider.text_bytes(kept);
        let is_text = text_bytes > kept.len() / 2;
        let mut long = Self { end: LastBytes::default(), open, text_bytes, is_text };
        long.end.take(kept);
        Box::new(long)
    }

    fn take(&mut self, bytes: &[u8]) {
        self.end.take(bytes);
        if self.is_text {
            self.text_bytes += bytes.len();
        }
    }
}

impl Watch {
    /// For a stream of this many choices.
    pub fn new(provider: &'static dyn Provider, choices: u32, edits: Edits) -> Self {
        Self {
            provider,
            splitter: Splitter::holding(MAX_OPENING),
            edits,
            choices,
            finished: Finished::default(),
            done: false,
            thorough: true,
            meaningful: false,
            malformed: false,
            error: None,
            usage: None,
            text_bytes: 0,
            events: 0,
            frames_bytes: 0,
            long: None,
        }
    }

    /// The answer goes to the client: from now on it is read just enough to relay and count, and little of it is held.
    pub fn commit(&mut self) {
        self.thorough = false;
        self.splitter.hold(sse::MAX_EVENT);
    }

    /// Every choice finished, or the end marker came.
    pub fn is_complete(&self) -> bool {
        self.done || self.finished.count() >= self.choices as usize
    }

    /// The end marker came.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What went to the client ends between two events: always, but for one too long to be held and a CR whose LF may
    /// still come.
    pub fn between_events(&self) -> bool {
        self.long.is_none() && self.splitter.is_between_lines()
    }

    /// Bytes taken so far that are not held.
    pub fn bytes(&self) -> usize {
        if self.long.is_some() { self.frames_bytes } else { self.frames_bytes - self.splitter.pending() }
    }

    /// Tokens, and whether they are estimated.
    pub fn usage(&self, prompt_tokens: u64) -> (Usage, bool) {
        Usage::or_estimate(self.usage, || Usage::estimate(prompt_tokens, self.text_bytes, self.events))
    }

    /// Takes a frame and queues what goes to the client: whole events, so that a cut never leaves half of one there.
    /// True when it brought an answer forward: not by a comment, nor by a ping in the clothes of data.
    pub fn take(&mut self, frame: &Bytes, out: &mut VecDeque<Bytes>) -> bool {
        self.frames_bytes += frame.len();
        let mut splitter = std::mem::take(&mut self.splitter);
        let mut passed = 0;
        let mut progress = false;
        splitter.feed(frame, |event| {
            let (start, end) = event.span;
            if event.too_long {
                progress = true;
                self.end_long(&frame[..end]);
                push(out, frame.slice(..end));
                passed = end;
                return;
            }
            let facts = self.look(&event.bytes);
            progress |= facts.as_ref().is_some_and(|facts| !facts.is_noise);
            let replaced = match (self.edit(&event, facts.as_ref()), start) {
                (None, Some(_)) => return,
                (None, None) if event.bytes.is_empty() => frame.slice(passed..end),
                (None, None) => Bytes::from(event.bytes.into_owned()),
                (Some(edited), _) => Bytes::from(edited),
            };
            push(out, frame.slice(passed..start.unwrap_or(passed)));
            push(out, replaced);
            passed = end;
        });
        let mut held = splitter.pending().min(frame.len() - passed);
        progress |= held > 0 && splitter.pending() > PROGRESS;
        if let Some(mut kept) = splitter.overflow() {
            held = 0;
            if let Some(long) = &mut self.long {
                long.take(&frame[passed..]);
            } else {
                kept.extend_from_slice(&frame[passed..]);
                passed = frame.len();
                self.long = Some(self.begin_long(&kept));
                push(out, Bytes::from(self.renamed(kept)));
            }
        }
        self.splitter = splitter;
        push(out, frame.slice(passed..frame.len() - held));
        progress
    }

    /// The beginning of a long event with the client's model name, which stands before the choices.
    fn renamed(&self, mut beginning: Vec<u8>) -> Vec<u8> {
        if let Some(model) = &self.edits.model
            && let Some(at) = model_in_beginning(&beginning)
        {
            beginning.splice(at, serde_json::to_vec(model).unwrap_or_default());
        }
        beginning
    }

    /// An event is too long to be held: this is what came of it.
    fn begin_long(&mut self, kept: &[u8]) -> Box<Long> {
        let mut open = OpenChoice::default();
        if let Some(data) = sse::data(kept) {
            let mut facts;
            (facts, open) = self.provider.beginning_of_event(&data);
            note_named_error(&mut facts, kept, &data);
            self.note(&facts);
        }
        Long::begin(kept, open, self.provider)
    }

    /// An event that was too long has ended.
    fn end_long(&mut self, rest: &[u8]) {
        let Some(mut long) = self.long.take() else { return };
        long.take(rest);
        let facts = self.provider.end_of_event(long.end.bytes(), long.open, long.text_bytes);
        self.note(&facts);
    }

    /// The upstream has ended: what is still held, unless it is the torn end of a stream that is not whole.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.long = None;
        let pending = self.splitter.take_pending();
        let facts = sse::data(&pending).map(|data| self.provider.event(&data, true));
        if let Some(facts) = facts.filter(|facts| facts.error.is_none()) {
            self.note(&facts);
            if facts.done && self.error.is_some() {
                return None;
            }
        }
        (self.is_complete() && !pending.is_empty()).then(|| Bytes::from(pending))
    }

    fn look(&mut self, event: &[u8]) -> Option<EventFacts> {
        let data = sse::data(event)?;
        let mut facts = self.provider.event(&data, self.thorough);
        note_named_error(&mut facts, event, &data);
        self.note(&facts);
        Some(facts)
    }

    /// Takes a report of usage, from an event or from elsewhere.
    pub fn told(&mut self, usage: Option<Usage>) {
        if let Some(later) = usage {
            self.usage = Some(self.usage.map_or(later, |usage| usage.followed_by(later)));
        }
    }

    fn note(&mut self, facts: &EventFacts) {
        self.done |= facts.done;
        facts.finished.iter().for_each(|index| self.finished.add(*index));
        self.meaningful |= facts.meaningful;
        self.malformed |= facts.is_malformed;
        self.told(facts.usage);
        self.text_bytes += facts.text_bytes as u64;
        self.events += u64::from(facts.text_bytes > 0);
        if facts.error.is_some() && self.error.is_none() {
            self.error.clone_from(&facts.error);
        }
    }

    /// The event as it goes on, empty where it does not; `None`: unchanged.
    fn edit(&self, event: &Event<'_>, facts: Option<&EventFacts>) -> Option<Vec<u8>> {
        // an LF that a cut has parted from its CR still belongs to the event before
        let nothing = || event.bytes[..usize::from(event.bytes.starts_with(b"\n"))].to_vec();
        let facts = facts?;
        if facts.done {
            // an answer with an error in it is not done, whatever its upstream says
            return self.error.is_some().then(nothing);
        }
        if !self.edits.strip_usage && self.edits.model.is_none() {
            return None;
        }
        if self.edits.strip_usage && facts.only_usage && !facts.says_more {
            return Some(nothing());
        }
        let mut edited: Option<Vec<u8>> = None;
        if let Some(model) = &self.edits.model
            && let Some(at) = model_in_event(&event.bytes)
        {
            let quoted = serde_json::to_vec(model).unwrap_or_default();
            edited.get_or_insert_with(|| event.bytes.to_vec()).splice(at, quoted);
        }
        let what = if facts.only_usage { Told::Something } else { Told::Nothing };
        while self.edits.strip_usage
            && let Some(at) = usage_member(edited.as_deref().unwrap_or(&event.bytes), what)
        {
            edited.get_or_insert_with(|| event.bytes.to_vec()).drain(at);
        }
        edited
    }
}

/// An event may be an error by its name.
fn note_named_error(facts: &mut EventFacts, event: &[u8], data: &[u8]) {
    if event.first() == Some(&b'e') && !facts.done && sse::name(event) == Some(b"error") {
        let words = String::from_utf8_lossy(data);
        facts.error.get_or_insert_with(|| words.chars().take(300).collect());
    }
}

fn push(out: &mut VecDeque<Bytes>, bytes: Bytes) {
    if !bytes.is_empty() {
        out.push_back(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::written::ProviderName;
    use crate::provider;

    fn relayed(stream: &[u8], cuts: &[usize], edits: &Edits) -> (Vec<u8>, Watch) {
        let mut watch = Watch::new(provider::of(ProviderName::Openai), 1, edits.clone());
        watch.commit();
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

    /// An event of this many bytes, its empty line included.
    fn event_of(size: usize, end: &str) -> String {
        let (before, behind) = ("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"", "\"}");
        let rest = size - before.len() - behind.len() - end.len();
        format!("{before}{}{behind}{end}", "x".repeat(rest))
    }

    #[test]
    fn an_event_just_below_or_above_the_limit_passes_whole_and_in_its_place() {
        let small = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
        for size in
            [sse::MAX_EVENT - 1, sse::MAX_EVENT, sse::MAX_EVENT + 1, sse::MAX_EVENT + 60_000, (1 << 20) + 1]
        {
            let stream = [small, &event_of(size, "}]}\n\n"), small, "data: [DONE]\n\n"].concat();
            for step in [1_000, 60_000, 65_536, stream.len()] {
                let cuts: Vec<usize> = (0..stream.len()).step_by(step).collect();
                let (out, watch) = relayed(stream.as_bytes(), &cuts, &Edits::default());
                assert_eq!(out.len(), stream.len(), "{size} in pieces of {step}");
                assert!(out == stream.as_bytes() && watch.is_complete(), "{size} in pieces of {step}");
            }
        }
    }

    #[test]
    fn a_long_event_goes_on_before_its_end_and_its_end_is_read() {
        let usage =
            "},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
        let stream = event_of(3 << 20, usage);
        let mut watch = Watch::new(provider::of(ProviderName::Openai), 1, Edits::default());
        watch.commit();
        let (mut out, mut most) = (VecDeque::new(), 0);
        let mut passed = 0;
        for frame in stream.as_bytes().chunks(16 << 10) {
            assert!(watch.take(&Bytes::copy_from_slice(frame), &mut out), "it comes forward");
            passed += out.drain(..).map(|piece| piece.len()).sum::<usize>();
            most = most.max(watch.frames_bytes - passed);
        }
        assert!(passed == stream.len() && most <= sse::MAX_EVENT, "{most} bytes were held");
        assert!(watch.is_complete() && watch.between_events());
        assert_eq!(watch.usage(0), (Usage { input: 3, output: 4, ..Usage::default() }, false));
    }

    #[test]
    fn an_error_is_known_for_one_however_long_its_words_are() {
        let words = "x".repeat(200_000);
        for error in [
            format!("data: {{\"error\":{{\"message\":\"{words}\",\"code\":500}}}}\n\n"),
            format!("data: {{\"object\":\"error\",\"message\":\"{words}\"}}\n\n"),
            format!("data: {{\"message\":\"{words}\",\"object\":\"error\"}}\n\n"),
            format!("event: error\ndata: {{\"message\":\"{words}\"}}\n\n"),
        ] {
            let stream = format!("{error}data: [DONE]\n\n");
            for step in [6, 9_000, 60_000, stream.len()] {
                let cuts: Vec<usize> = (0..stream.len()).step_by(step).collect();
                let (out, watch) = relayed(stream.as_bytes(), &cuts, &Edits::default());
                assert!(out == error.as_bytes(), "in pieces of {step}: {} bytes", out.len());
                assert!(watch.error.is_some(), "in pieces of {step}");
                let mut before = Watch::new(provider::of(ProviderName::Openai), 1, Edits::default());
                let mut queue = VecDeque::new();
                for frame in error.as_bytes().chunks(step) {
                    before.take(&Bytes::copy_from_slice(frame), &mut queue);
                }
                assert!(before.error.is_some() && !before.meaningful, "before the commit");
            }
        }
    }

    #[test]
    fn every_choice_of_a_long_event_finishes() {
        let event = |index: u64| {
            let text = "x".repeat(100_000);
            [
                format!(
                    "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"index\":{index},\"finish_reason\":\"stop\"}}]}}\n\n"
                ),
                format!(
                    "data: {{\"choices\":[{{\"finish_reason\":\"stop\",\"index\":{index},\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
                ),
            ]
        };
        for (first, second) in event(0).iter().zip(&event(1)) {
            let mut watch = Watch::new(provider::of(ProviderName::Openai), 2, Edits::default());
            watch.commit();
            for frame in [first, second].into_iter().flat_map(|event| event.as_bytes().chunks(9_000)) {
                assert!(!watch.is_complete());
                watch.take(&Bytes::copy_from_slice(frame), &mut VecDeque::new());
            }
            assert!(watch.is_complete(), "{}", &second[..60]);
        }
    }

    #[test]
    fn the_clients_model_name_is_put_into_a_long_event_too() {
        let long = event_of(200_000, "}]}\n\n").replacen(
            '{',
            "{\"x\":{\"model\":\"no\"},\"y\":\"model\",\"model\" : \"m\",",
            1,
        );
        let cuts: Vec<usize> = (0..long.len()).step_by(10_000).collect();
        let (out, _) =
            relayed(long.as_bytes(), &cuts, &Edits { strip_usage: true, model: Some("other".to_owned()) });
        assert!(out == long.replace("\"model\" : \"m\"", "\"model\" : \"other\"").as_bytes());
    }

    #[test]
    fn the_tokens_of_a_long_text_are_estimated_from_all_of_it_and_those_of_a_picture_are_not() {
        let output = |event: &str| {
            let cuts: Vec<usize> = (0..event.len()).step_by(50_000).collect();
            relayed(event.as_bytes(), &cuts, &Edits::default()).1.usage(0).0.output
        };
        let text = event_of(2 << 20, "}]}\n\n");
        assert!((500_000..=(2 << 20) / 4).contains(&output(&text)), "{}", output(&text));
        let picture = text.replace("\"content\"", "\"picture\"");
        assert!(output(&picture) <= 1);
    }

    #[test]
    fn behind_an_error_there_is_no_marker_of_the_end() {
        let error = "data: {\"error\":{\"message\":\"boom\"}}\n\n";
        for marker in ["data: [DONE]\n\n", "data: [DONE] \n\n", "data: [DONE]\n"] {
            let mut watch = Watch::new(provider::of(ProviderName::Openai), 1, Edits::default());
            let mut out = VecDeque::new();
            watch.take(&Bytes::from(format!("{error}{marker}")), &mut out);
            out.extend(watch.finish());
            let out: Vec<u8> = out.into_iter().flatten().collect();
            assert_eq!((String::from_utf8(out).unwrap(), watch.error.is_some()), (error.to_owned(), true));
        }
        let (out, watch) = relayed(
            b"event: error\ndata: {\"message\":\"boom\"}\n\ndata: [DONE]\n\n",
            &[],
            &Edits::default(),
        );
        assert!(watch.error.is_some() && !out.ends_with(b"[DONE]\n\n"));
    }

    #[test]
    fn only_null_usage_at_the_top_is_taken_out() {
        let strip = |data: &str| {
            let (out, _) = relayed(
                format!("data: {data}\n\n").as_bytes(),
                &[],
                &Edits { strip_usage: true, model: None },
            );
            let out = String::from_utf8(out).unwrap();
            out.strip_prefix("data: ").unwrap_or(&out).trim_end().to_owned()
        };
        for kept in [
            r#"{"choices":[{"delta":{"content":"a","usage":null}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"},"usage":null}]}"#,
            r#"{"choices":[{"delta":{"content":"\"usage\":null,"}}]}"#,
            r#"{"x":{"usage":null},"choices":[{"delta":{"content":"a"}}]}"#,
        ] {
            assert_eq!(strip(kept), kept);
        }
        let word = r#""choices":[{"delta":{"content":"a } ] \" {"}}]"#;
        for stripped in [
            format!(r#"{{{word},"usage":null}}"#),
            format!(r#"{{"usage":null,{word}}}"#),
            format!(r#"{{{word}, "usage" : null , "usage":null}}"#),
        ] {
            assert_eq!(
                strip(&stripped).replace(' ', ""),
                format!("{{{word}}}").replace(' ', ""),
                "{stripped}"
            );
        }
    }

    #[test]
    fn what_stands_beside_usage_survives_it() {
        let stream = "data: {\"choices\":[],\"id\":\"c\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1},\"timings\":{\"predicted_ms\":1.5}}\n\n";
        let (out, watch) = relayed(stream.as_bytes(), &[], &Edits { strip_usage: true, model: None });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "data: {\"choices\":[],\"id\":\"c\",\"timings\":{\"predicted_ms\":1.5}}\n\n"
        );
        assert_eq!(watch.usage(0).0.input, 3);
    }

    #[test]
    fn a_stream_is_complete_when_every_choice_has_finished() {
        let complete = |choices: u32, finished: &[u64]| {
            let mut watch = Watch::new(provider::of(ProviderName::Openai), choices, Edits::default());
            for index in finished {
                let chunk =
                    format!("data: {{\"choices\":[{{\"index\":{index},\"finish_reason\":\"stop\"}}]}}\n\n");
                watch.take(&Bytes::from(chunk), &mut VecDeque::new());
            }
            watch.is_complete()
        };
        assert!(complete(1, &[0]) && complete(2, &[0, 1]) && complete(3, &[127, 128, 4_000_000_000]));
        assert!(
            !complete(2, &[0]) && !complete(2, &[0, 0]) && !complete(2, &[200, 200]) && !complete(1, &[])
        );
    }

    #[test]
    fn pings_in_the_clothes_of_data_are_no_progress() {
        let progress = |event: &str| {
            [false, true].map(|committed| {
                let mut watch = Watch::new(provider::of(ProviderName::Openai), 1, Edits::default());
                if committed {
                    watch.commit();
                }
                watch.take(&Bytes::from(event.to_owned()), &mut VecDeque::new())
            })
        };
        for ping in [
            ": ping\n\n",
            "data: : keepalive\n\n",
            "data:\n\n",
            "data: null\n\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "data: {\"cho",
            "data: {\"id\":\"c\",\"choices\":[]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n",
        ] {
            assert_eq!(progress(ping), [false, false], "{ping:?}");
        }
        for word in [
            r#"{"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":" "}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
        ] {
            assert_eq!(progress(&format!("data: {word}\n\n")), [true, true], "{word}");
        }
        assert_eq!(
            progress(&format!("data: {{\"x\":\"{}", "x".repeat(PROGRESS))),
            [true, true],
            "a long event on its way"
        );
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
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_out_are_bytes_in_for_events_of_every_size(sizes in proptest::collection::vec(0_usize..5, 1..4), near in proptest::collection::vec(0_usize..70_000, 3), frames in 1_usize..5, odd in 1_usize..4_000) {
            let limits = [100, sse::MAX_EVENT - 300, sse::MAX_EVENT - 2, 64 * 1024, 1 << 20];
            let events = sizes.iter().zip(&near).map(|(limit, more)| event_of(limits[*limit] + more, "}]}\n\n"));
            let stream = events.chain(["data: [DONE]\n\n".to_owned()]).collect::<String>();
            let step = 16 * 1024 * frames + odd;
            let cuts: Vec<usize> = (0..stream.len()).step_by(step).collect();
            let (out, watch) = relayed(stream.as_bytes(), &cuts, &Edits::default());
            prop_assert!(out == stream.as_bytes(), "{} of {} bytes", out.len(), stream.len());
            prop_assert!(watch.is_complete());
        }
    }

    proptest! {
        #[test]
        fn edits_do_not_depend_on_how_a_stream_is_cut(cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
            let edits = Edits { strip_usage: true, model: Some("other".to_owned()) };
            prop_assert_eq!(relayed(STREAM.as_bytes(), &cuts, &edits).0, relayed(STREAM.as_bytes(), &[], &edits).0);
        }
    }
}
