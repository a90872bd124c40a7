//! `GET /v1/models`: `auto`, the policies, the aliases and the experts, in OpenAI's list shape; only what the
//! caller may use.

use serde::Serialize;

use crate::auth::Caller;
use crate::error::Failure;
use crate::plan;
use crate::snapshot::{Selector, Snapshot};

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expert: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    domains: &'a [String],
}

/// The list.
pub fn list(snapshot: &Snapshot, caller: Caller) -> Vec<u8> {
    let mut names: Vec<&String> = snapshot.selectors.keys().collect();
    names.sort_by_key(|name| (rank(snapshot, name), name.as_str()));
    let data = names.into_iter().filter_map(|name| model(snapshot, caller, name)).collect();
    serde_json::to_vec(&List { object: "list", data }).unwrap_or_default()
}

/// One of them.
pub fn one(snapshot: &Snapshot, caller: Caller, id: &str) -> Result<Vec<u8>, Failure> {
    let id = percent_decoded(id);
    let model = model(snapshot, caller, &id).ok_or_else(|| plan::not_found(snapshot, caller, &id))?;
    Ok(serde_json::to_vec(&model).unwrap_or_default())
}

/// `auto` first, then what the configuration calls by name, model ids last.
fn rank(snapshot: &Snapshot, name: &str) -> u8 {
    match name {
        "auto" => 0,
        _ if name.starts_with("auto:") => 1,
        _ if snapshot.config.aliases.contains_key(name) => 2,
        _ if snapshot.experts.iter().any(|e| *e.name == *name) => 3,
        _ => 4,
    }
}

fn model<'a>(snapshot: &'a Snapshot, caller: Caller, name: &str) -> Option<Model<'a>> {
    let (id, selector) = snapshot.selectors.get_key_value(name)?;
    let expert = if let Selector::Expert(index) = selector { Some(&snapshot.experts[*index]) } else { None };
    snapshot.may_select(caller, *selector).then(|| Model {
        id,
        object: "model",
        created: 0,
        owned_by: "mixgate",
        expert: expert.map(|e| &*e.name),
        domains: expert.map(|e| e.domains.as_slice()).unwrap_or_default(),
    })
}

fn percent_decoded(id: &str) -> String {
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = (byte == b'%').then(|| tail.get(..2)).flatten();
        match code.and_then(|c| u8::from_str_radix(std::str::from_utf8(c).ok()?, 16).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
