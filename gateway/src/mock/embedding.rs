//! `POST /v1/embeddings`: unit vectors that depend on the text only, as numbers or, as openai-python asks
//! for by default, as base64 of little-endian floats.

use super::Mock;
use super::answer::{Answer, JSON, json};
use super::ask::EmbeddingAsk;
use super::fault::Kind;
use super::refuse;
use super::seen::Bill;
use super::text::{Dice, seed};
use serde::Serialize;

const DIMENSIONS: usize = 64;
const MOST_DIMENSIONS: usize = 8192;

#[derive(Serialize)]
struct Embeddings<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The answer: one vector per text.
pub(super) fn answer(mock: &Mock, body: &[u8], fault: Option<&Kind>) -> Answer {
    let ask: EmbeddingAsk<'_> = match serde_json::from_slice(body) {
        Ok(ask) => ask,
        Err(error) => return refuse::bad_json(&error),
    };
    if let Some(refused) = refuse::model(mock, ask.model.as_deref()) {
        return refused;
    }
    let Some(input) = ask.input else { return refuse::missing("input") };
    let dimensions = ask.dimensions.unwrap_or(DIMENSIONS).clamp(1, MOST_DIMENSIONS);
    let base64 = ask.encoding_format.as_deref() == Some("base64");
    let texts = input.each();
    let tokens = texts.iter().map(|(_, tokens)| tokens).sum();
    let embedding = |(index, (text, _)): (usize, &(String, u64))| Embedding {
        object: "embedding",
        index,
        embedding: Vector::of(unit(text, dimensions), base64),
    };
    let answer = Embeddings {
        object: "list",
        data: texts.iter().enumerate().map(embedding).collect(),
        model: ask.model.as_deref().unwrap_or(&mock.model),
        usage: (fault != Some(&Kind::UsageMissing))
            .then_some(Usage { prompt_tokens: tokens, total_tokens: tokens }),
    };
    Answer::whole(200, JSON, json(&answer), Bill { prompt_tokens: tokens, ..Bill::default() })
}

impl Vector {
    fn of(numbers: Vec<f32>, base64: bool) -> Vector {
        if !base64 {
            return Vector::Numbers(numbers);
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Vector::Base64(to_base64(&bytes))
    }
}

fn unit(text: &str, dimensions: usize) -> Vec<f32> {
    let mut dice = Dice(seed(text));
    // 24 bits: what an f32 holds exactly
    let mut number = || (dice.roll() >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let raw: Vec<f32> = (0..dimensions).map(|_| number()).collect();
    let length = raw.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|number| number / length).collect()
}

fn to_base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > three.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_one_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(to_base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn vectors_have_length_one_and_depend_on_the_text() {
        let length: f32 = unit("a", 256).iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
        assert_eq!(unit("a", 8), unit("a", 8));
        assert_ne!(unit("a", 8), unit("b", 8));
    }
}
