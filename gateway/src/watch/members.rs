//! Where in an event, or in an answer, those members stand that are edited: `usage` and `model`.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use serde_json::value::RawValue;

use crate::json::{behind_string, depth_before, pick};

/// What a `usage` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// `null`: servers add it to every chunk once usage was asked for.
    Nothing,
    /// Tokens, or null.
    Something,
}

/// Made once: making a searcher costs more than searching a chunk.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));

/// Where a top-level `"usage":…` stands, with its comma.
pub(super) fn usage_member(event: &[u8], told: Told) -> Option<Range<usize>> {
    USAGE.find_iter(event).find_map(|at| {
        let rest = &event[at + USAGE.needle().len()..];
        let value = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let length = match told {
            Told::Nothing => value.starts_with(b"null").then_some(b"null".len())?,
            Told::Something => {
                let mut values = serde_json::Deserializer::from_slice(value).into_iter::<&RawValue>();
                values.next()?.ok()?.get().len()
            }
        };
        let end = event.len() - value.len() + length;
        // looking ahead costs less than looking back: what is sought mostly stands near the end
        (depth_before(&event[end..]) == 1).then_some(())?;
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

/// The same in the beginning of an event.
pub(super) fn model_in_beginning(event: &[u8]) -> Option<Range<usize>> {
    let start = memmem::find(event, b"data:")? + b"data:".len();
    let at = model_in_open_json(&event[start..])?;
    Some(start + at.start..start + at.end)
}

/// The same in the beginning of a JSON text.
pub fn model_in_open_json(json: &[u8]) -> Option<Range<usize>> {
    let (mut at, mut open) = (0, 0);
    while let Some(byte) = json.get(at) {
        let key = at;
        at = if *byte == b'"' { behind_string(json, at) } else { at + 1 };
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            b'"' if open == 1 && json[key..at] == *b"\"model\"" => {
                let Some(value) = json[at..].trim_ascii_start().strip_prefix(b":") else { continue };
                let start = json.len() - value.trim_ascii_start().len();
                let end = behind_string(json, start);
                return (json.get(start) == Some(&b'"') && json.get(end - 1) == Some(&b'"'))
                    .then_some(start..end);
            }
            _ => {}
        }
    }
    None
}

/// The same in an event with a single data line.
pub(super) fn model_in_event(event: &[u8]) -> Option<Range<usize>> {
    let start = memmem::find(event, b"data:")? + b"data:".len();
    let end = memchr::memchr2(b'\n', b'\r', &event[start..]).map_or(event.len(), |at| start + at);
    let at = model_in_json(&event[start..end])?;
    Some(start + at.start..start + at.end)
}
