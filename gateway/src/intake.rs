//! From a request's body to what is decided of it: read within limits, parsed, planned.
//!
//! A small body is parsed where it is read. A large one leaves the lane, which has others to serve: parsing a hostile
//! body of 32 MiB takes the better part of a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::api::Dialect;
use crate::ask::Ask;
use crate::auth::Caller;
use crate::error::Failure;
use crate::plan::{Plan, Wish, plan};
use crate::record::Record;
use crate::snapshot::Snapshot;
use crate::state::State;

/// Bytes a second that a body must come with, after a pause's grace.
const SLOWEST: u64 = 4 * 1024;

/// Bytes of the client's `model` that a record keeps.
const MAX_SHOWN: usize = 100;

/// A body larger than this is parsed, and moved to more room, beside the lanes.
pub const LARGE: usize = 128 * 1024;

/// A request that can be sent.
#[derive(Debug)]
pub struct Understood<'a> {
    /// What is asked, without the turns.
    pub ask: Ask<'a>,
    /// What is decided.
    pub plan: Plan,
}

/// Parses a body and decides where it goes.
pub fn understand<'a>(
    state: &State,
    record: &Record,
    caller: Caller,
    dialect: Dialect,
    headers: &HeaderMap,
    bytes: &'a [u8],
) -> Result<Understood<'a>, Failure> {
    let mut ask = Ask::parse(dialect, bytes)?;
    let plan = decide(state, record, caller, dialect, headers, &ask)?;
    // an answer may take minutes, and needs none of them
    ask.turns = Vec::new();
    Ok(Understood { ask, plan })
}

/// The same of a large body; what its parts take beside it counts as buffered, too.
pub fn understand_large(
    state: &Arc<State>,
    record: &Record,
    caller: Caller,
    dialect: Dialect,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Understood<'static>, Failure> {
    let ask = Ask::parse(dialect, bytes)?;
    let mut beside = Held { state, permit: None };
    beside.grow_to(ask.weight())?;
    let plan = decide(state, record, caller, dialect, headers, &ask)?;
    Ok(Understood { ask: ask.decided(), plan })
}

fn decide(
    state: &State,
    record: &Record,
    caller: Caller,
    dialect: Dialect,
    headers: &HeaderMap,
    ask: &Ask<'_>,
) -> Result<Plan, Failure> {
    {
        let mut facts = record.facts();
        facts.requested_model = ask.model[..ask.model.floor_char_boundary(MAX_SHOWN)].to_owned();
        facts.streaming = ask.stream && dialect != Dialect::Embeddings;
    }
    let wish = Wish::read(&record.snapshot, caller, headers, &ask.model)?;
    plan(&record.snapshot, Some(&state.sessions), caller, &wish, ask, dialect)
}

/// Reads a body: the only full buffer of unknown size, bounded alone and in sum.
pub async fn read(
    state: &State,
    snapshot: &Snapshot,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Failure> {
    check_type(headers)?;
    let limit = snapshot.config.server.max_body.0;
    let known = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if known.is_some_and(|length| length > limit) {
        return Err(Failure::BodyTooLarge(limit));
    }
    let mut held = Held { state, permit: None };
    let begun = Instant::now();
    let pause = snapshot.config.server.body_timeout.0;
    let mut whole: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while !body.is_end_stream() {
        let frame = match timeout(pause, body.frame()).await {
            Err(_) => return Err(Failure::RequestTimeout),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Failure::BadRequest("its body broke off")),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        match whole.take() {
            None if all.is_empty() => whole = Some(data),
            before => {
                if all.is_empty() {
                    all.reserve(known.unwrap_or(0) as usize);
                }
                let more = before.as_ref().map_or(0, Bytes::len) + data.len();
                all = room_for(more, all).await;
                all.extend_from_slice(&before.unwrap_or_default());
                all.extend_from_slice(&data);
            }
        }
        let length = all.len() + whole.as_ref().map_or(0, Bytes::len);
        if length as u64 > limit {
            return Err(Failure::BodyTooLarge(limit));
        }
        if begun.elapsed() > pause + Duration::from_secs(length as u64 / SLOWEST) {
            return Err(Failure::RequestTimeout);
        }
        held.grow_to(length)?;
    }
    Ok((whole.unwrap_or_else(|| all.freeze()), held.permit))
}

/// Makes room; where much would move, beside the lane.
async fn room_for(more: usize, mut bytes: BytesMut) -> BytesMut {
    if bytes.len() <= LARGE || bytes.capacity() - bytes.len() >= more {
        bytes.reserve(more);
        return bytes;
    }
    let grow = move || {
        bytes.reserve(more.max(bytes.len()));
        bytes
    };
    tokio::task::spawn_blocking(grow).await.unwrap_or_default()
}

/// A share of the memory that request bodies may take together.
struct Held<'s> {
    state: &'s State,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held<'_> {
    fn grow_to(&mut self, bytes: usize) -> Result<(), Failure> {
        let has = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(1024).saturating_sub(has) as u32;
        if more == 0 {
            return Ok(());
        }
        let buffered = Arc::clone(&self.state.buffered);
        let more = buffered.try_acquire_many_owned(more).map_err(|_| Failure::Overloaded)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|value| {
        let coding = value.as_bytes().trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    });
    let json = headers.get(CONTENT_TYPE).is_none_or(|v| {
        let essence =
            v.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    });
    if encoded || !json { Err(Failure::UnsupportedMediaType) } else { Ok(()) }
}
