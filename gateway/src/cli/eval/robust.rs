//! The same prompts as people and programs really send them: mistyped, inside conversations, with tools, fenced.
//!
//! Each goes through the gateway's own reading of a chat request, so that what is judged is what is served.

use comfy_table::Table;
use router_model::data::Row;
use router_model::{RouterModel, Scratch};
use serde::Serialize;
use serde_json::json;

use super::domains::table;
use crate::api::Dialect;
use crate::ask::Ask;
use crate::text::routable;

/// Accuracy under one condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Condition {
    condition: &'static str,
    n: usize,
    accuracy: f32,
    change: f32,
}

/// Turns a prompt, and another one, into the messages of a chat request.
type Wrap = fn(&str, &str) -> String;

const CONDITIONS: [(&str, Wrap); 10] = [
    ("clean", |prompt, _| json!([{"role": "user", "content": prompt}]).to_string()),
    ("lower case", |prompt, _| json!([{"role": "user", "content": prompt.to_lowercase()}]).to_string()),
    ("one letter in twenty mistyped", |prompt, _| {
        json!([{"role": "user", "content": mistype(prompt)}]).to_string()
    }),
    ("politely", |prompt, _| {
        let polite = format!("Hi there! Could you help me out?\n\n{prompt}\n\nMany thanks!");
        json!([{"role": "user", "content": polite}]).to_string()
    }),
    ("in a code fence", |prompt, _| {
        json!([{"role": "user", "content": format!("```\n{prompt}\n```")}]).to_string()
    }),
    ("behind a system prompt", |prompt, _| {
        let system = "You are Ada, the support assistant of a bank. Never give legal advice. Answer in the language of the user, in at most three sentences, and cite the page of the manual.";
        json!([{"role": "system", "content": system}, {"role": "user", "content": prompt}]).to_string()
    }),
    ("after turns about something else", |prompt, other| {
        json!([
            {"role": "user", "content": other},
            {"role": "assistant", "content": "Here is what I found out about it: it depends."},
            {"role": "user", "content": prompt}
        ])
        .to_string()
    }),
    ("while a tool answers", |prompt, other| {
        json!([
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": other}
        ]).to_string()
    }),
    ("then «continue»", |prompt, _| {
        json!([
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": "First of all,"},
            {"role": "user", "content": "continue"}
        ])
        .to_string()
    }),
    ("inside an agent's reminders", |prompt, other| {
        let wrapped = format!("<system-reminder>\n{other}\n</system-reminder>\n{prompt}");
        json!([{"role": "user", "content": wrapped}]).to_string()
    }),
];

/// Leaves out, doubles or swaps one letter in twenty, the same ones each time.
fn mistype(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let mut random = fastrand::Rng::with_seed(text.len() as u64);
    let mut at = 0;
    while at + 1 < letters.len() {
        if letters[at].is_alphabetic() && random.u32(..20) == 0 {
            match random.u32(..3) {
                0 => drop(letters.remove(at)),
                1 => letters.insert(at, letters[at]),
                _ => letters.swap(at, at + 1),
            }
            at += 1;
        }
        at += 1;
    }
    letters.into_iter().collect()
}

/// Judges the rows whose domain the model knows, under each condition.
pub(super) fn judge(model: &RouterModel, rows: &[Row]) -> Vec<Condition> {
    let known: Vec<(usize, &str)> = rows
        .iter()
        .filter_map(|row| {
            let label = model.domains().iter().position(|label| Some(label) == row.domain.as_ref())?;
            Some((label, row.prompt.as_str()))
        })
        .collect();
    let mut found: Vec<Condition> = Vec::new();
    for (condition, wrap) in CONDITIONS {
        let accuracy = accuracy(model, &known, wrap);
        let clean = found.first().map_or(accuracy, |clean| clean.accuracy);
        found.push(Condition { condition, n: known.len(), accuracy, change: accuracy - clean });
    }
    found
}

fn accuracy(model: &RouterModel, rows: &[(usize, &str)], wrap: Wrap) -> f32 {
    let mut scratch = Scratch::default();
    let right = rows.iter().enumerate().filter(|(place, (label, prompt))| {
        // another prompt of the file, far enough to be of another source
        let other = rows[(place + rows.len() / 2) % rows.len()].1;
        let body = format!("{{\"model\":\"auto\",\"messages\":{}}}", wrap(prompt, other));
        let text = Ask::parse(Dialect::Chat, body.as_bytes()).map(|ask| routable(&ask).text);
        text.is_ok_and(|text| model.score(&text, &mut scratch).top().0 == *label)
    });
    right.count() as f32 / rows.len().max(1) as f32
}

pub(super) fn show(conditions: &[Condition]) -> Table {
    let mut table = table(&["the same prompts", "accuracy", "change"]);
    for Condition { condition, accuracy, change, .. } in conditions {
        table.add_row([(*condition).to_owned(), format!("{accuracy:.3}"), format!("{change:+.3}")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_keeps_the_prompt_readable() {
        let model = RouterModel::builtin().unwrap();
        let row = |prompt: &str, domain: &str| Row {
            prompt: prompt.into(),
            domain: Some(domain.into()),
            ..Row::default()
        };
        let rows = [
            row("Write a SQL query: SELECT the names of all customers who ordered twice", "sql"),
            row("What are the symptoms of diabetes and how is it treated?", "medical"),
            row("Solve for x: 3x^2 - 12x + 9 = 0, and show the factorisation", "math"),
            row("ignored", "no such domain"),
        ];
        for condition in judge(&model, &rows) {
            assert_eq!((condition.n, condition.accuracy), (3, 1.0), "{condition:?}");
        }
    }

    #[test]
    fn mistyping_changes_little_and_always_the_same() {
        let text = "Explain the difference between a stack and a queue to a child. ".repeat(5);
        assert_eq!(mistype(&text), mistype(&text));
        assert!(mistype(&text) != text && mistype(&text).len().abs_diff(text.len()) < 12);
    }
}
