//! The requests: fifty different prompts over many domains, filled up to the size a measure asks for.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

const SUBJECTS: [&str; 10] = [
    "Write a Rust function that merges two sorted lists without allocating",
    "Solve for x and show every step: 3x^2 - 12x + 9 = 0",
    "Which query lists the ten customers with the highest revenue per month",
    "Explain the difference between a bond and a share to a new investor",
    "What are the usual side effects of ibuprofen in adults",
    "Summarise the causes of the French Revolution",
    "Translate into German: the meeting has been moved to next Tuesday",
    "Hello, how are you, and what can you do for me today",
    "Which clauses should a contract of tenancy for an office contain",
    "Three switches, one lamp in another room: find the right switch in one visit",
];

const MANNERS: [&str; 5] = [
    "in three short sentences.",
    "and give one example.",
    "for a reader of twelve years.",
    "as a table with two columns.",
    "and say how sure you are.",
];

const BACKGROUND: &str = "Background: the team of a small company looks after its own tools, keeps notes of \
    what it has tried, and wants answers that a colleague can check. ";

/// One prompt of each domain of the taxonomy.
pub(crate) const OF_EACH_DOMAIN: [&str; 15] = [
    "Hello there, how are you doing today?",
    "Write a Python function that merges two sorted lists",
    "What is the bending moment of a simply supported steel beam under a uniform load?",
    "How do bond prices react when the central bank raises interest rates?",
    "Who won the football world cup in 1998?",
    "What did Kant mean by the categorical imperative?",
    "Is a verbal agreement to sell land enforceable under contract law?",
    "Solve 3x^2 - 12x + 9 = 0 and show every step",
    "What are the symptoms and the treatment of acute appendicitis?",
    "Wie komme ich vom Bahnhof zum Rathaus, und was kostet die Fahrkarte?",
    "Three switches, one lamp in another room: find the right switch in one visit",
    "Why does ice float on water, in terms of hydrogen bonds?",
    "Write a SQL query that lists the ten customers with the highest revenue per month",
    "Correct the grammar of this sentence: he go to school every days",
    "Write a short story about a lighthouse keeper who finds a letter",
];

/// A body that names its expert.
pub(crate) fn to_expert(expert: usize, prompt: &str) -> Bytes {
    format!(r#"{{"model":"expert-{expert}","messages":[{{"role":"user","content":"{prompt}"}}]}}"#).into()
}

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Whole,
    Streamed,
    /// Streamed, with exactly so many tokens.
    Tokens(usize),
}

/// Fifty bodies, handed out in turn.
#[derive(Clone, Debug)]
pub(crate) struct Bodies(Arc<[Bytes]>);

impl Bodies {
    /// Of about so many bytes each. Long ones are fewer, so that the generator's memory stays small.
    pub(crate) fn new(bytes: usize, answer: Answer) -> Self {
        let count = if bytes > 1 << 18 { 5 } else { SUBJECTS.len() * MANNERS.len() };
        Self((0..count).map(|index| body(index, bytes, answer)).collect())
    }

    pub(crate) fn at(&self, index: usize) -> Bytes {
        self.0[index % self.0.len()].clone()
    }
}

#[derive(Serialize)]
struct Chat<'a> {
    model: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    messages: [Message<'a>; 2],
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

fn body(index: usize, bytes: usize, answer: Answer) -> Bytes {
    let (subject, manner) =
        (SUBJECTS[index % SUBJECTS.len()], MANNERS[index / SUBJECTS.len() % MANNERS.len()]);
    let envelope = 220 + subject.len() + manner.len();
    let filler: String = BACKGROUND.chars().cycle().take(bytes.saturating_sub(envelope)).collect();
    let prompt = format!("{subject}, {manner}\n\n{filler}");
    let tokens = if let Answer::Tokens(tokens) = answer { Some(tokens) } else { None };
    let chat = Chat {
        model: "auto",
        stream: answer != Answer::Whole,
        max_tokens: tokens,
        ignore_eos: tokens.map(|_| true),
        messages: [
            Message { role: "system", content: "You are the assistant of a small company. Be brief." },
            Message { role: "user", content: &prompt },
        ],
    };
    serde_json::to_vec(&chat).unwrap_or_default().into()
}
