//! What users may rely on of the model that is shipped.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use proptest::prelude::*;
use router_model::{MAX_BYTES, MAX_DOMAINS, RouterModel, Scores, Scratch, TAXONOMY, data, eval};

fn builtin() -> RouterModel {
    RouterModel::builtin().unwrap()
}

fn prompts() -> Vec<data::Row> {
    data::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prompts.jsonl")).unwrap()
}

#[test]
fn the_builtin_model_knows_the_taxonomy() {
    assert_eq!(builtin().domains(), TAXONOMY);
    assert_eq!(builtin().version().len(), 8);
}

#[test]
fn prompts_written_by_hand_are_mostly_named_right() {
    let report = eval::evaluate(&builtin(), &prompts());
    assert_eq!((report.n, report.unknown), (60, 0));
    assert!(report.accuracy >= 0.8, "{} of {}", report.accuracy, report.n);
    assert!(report.accuracy > report.most_frequent.1);
}

#[test]
fn the_hot_path_equals_candle() {
    let model = builtin();
    let mut scratch = Scratch::default();
    let long = "a word of ünïcode 语言 ".repeat(3000);
    let texts = prompts().into_iter().map(|row| row.prompt).chain(["", "?", &long].map(String::from));
    for text in texts {
        let scores = model.score(&text, &mut scratch);
        let logits = model.reference_logits(&text).unwrap();
        let highest = logits.iter().copied().fold(f32::MIN, f32::max);
        let exps: Vec<f32> =
            logits.iter().map(|x| ((x - highest) / model.card().temperature).exp()).collect();
        let sum: f32 = exps.iter().sum();
        for (ours, theirs) in scores.domains().iter().zip(&exps) {
            assert!((ours - theirs / sum).abs() < 1e-4, "{ours} {} for {text:.40}", theirs / sum);
        }
    }
}

#[test]
fn an_explanation_is_exact() {
    let model = builtin();
    let mut scratch = Scratch::default();
    let text = "Prove that naïve matrix multiplication is slow";
    let math = TAXONOMY.iter().position(|&domain| domain == "math").unwrap();
    let of = |scores: &Scores| scores.domains()[math];
    let full = of(&model.score(text, &mut scratch));
    let attributions = model.explain(text, &mut scratch, &of);
    assert_eq!(attributions.len(), 7);
    for attribution in attributions {
        let without = format!("{}{}", &text[..attribution.text.start], &text[attribution.text.end..]);
        assert_eq!(attribution.weight, full - of(&model.score(&without, &mut scratch)));
    }
}

#[test]
fn an_explanation_is_bounded() {
    let text = "one two ".repeat(100_000);
    let attributions = builtin().explain(&text, &mut Scratch::default(), &|scores| scores.top().1);
    assert_eq!(attributions.len(), router_model::MAX_WORDS);
}

#[test]
fn only_the_head_and_the_tail_of_a_long_text_are_read() {
    let (model, mut scratch) = (builtin(), Scratch::default());
    let middle =
        |word: &str| format!("{}{}{}", "head ".repeat(2000), word.repeat(10_000), "tail ".repeat(1000));
    let [one, other] = ["select ", "poetry "].map(|word| model.score(&middle(word), &mut scratch));
    assert_eq!(one, other);
    let short = model.score(&"x".repeat(MAX_BYTES), &mut scratch);
    assert_eq!(short.domains().len(), TAXONOMY.len());
}

#[test]
fn scoring_gives_up_when_told() {
    let (model, mut scratch) = (builtin(), Scratch::default());
    let text = "word ".repeat(10_000);
    assert_eq!(model.score_until(&text, &mut scratch, &mut || true), None);
    let patient = model.score_until(&text, &mut scratch, &mut || false);
    assert_eq!(patient, Some(model.score(&text, &mut scratch)));
}

#[test]
fn gibberish_is_stranger_than_a_common_question() {
    let (model, mut scratch) = (builtin(), Scratch::default());
    let mut ood = |text: &str| model.score(text, &mut scratch).ood();
    let (familiar, strange) =
        (ood("Who won the world cup in 1998?"), ood("qzv xkkj wqpl zzgh vvbn plok tgvx"));
    assert!(familiar < 0.9 && strange > 0.99, "{familiar} {strange}");
}

#[test]
fn a_model_of_another_feature_version_is_refused() {
    let bytes = builtin().to_bytes().unwrap();
    let (now, other) = (b"\\\"features\\\":4,", b"\\\"features\\\":7,");
    let at = bytes.windows(now.len()).position(|window| window == now).unwrap();
    let changed = [&bytes[..at], other, &bytes[at + now.len()..]].concat();
    let message = RouterModel::from_bytes(&changed).unwrap_err().to_string();
    assert!(message.contains("feature version 7, this program computes version 4"), "{message}");
}

#[test]
fn a_damaged_file_is_refused_and_never_panics() {
    let bytes = builtin().to_bytes().unwrap();
    for end in [0, 7, 100, 5000, bytes.len() / 2, bytes.len() - 1] {
        assert!(RouterModel::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_model_written_and_read_is_the_same_file() {
    let bytes = include_bytes!("../weights/router.safetensors");
    assert!(RouterModel::from_bytes(bytes).unwrap().to_bytes().unwrap() == bytes);
}

proptest! {
    #[test]
    fn any_text_has_a_distribution(text in any::<String>(), times in 1..400_usize) {
        let scores = builtin_once().score(&text.repeat(times), &mut Scratch::default());
        prop_assert!((scores.domains().iter().sum::<f32>() - 1.0).abs() < 1e-4);
        prop_assert!(scores.domains().iter().all(|chance| (0.0..=1.0).contains(chance)));
        prop_assert!((0.0..=1.0).contains(&scores.ood()));
        prop_assert!((0.0..=1.0).contains(&scores.none()));
        prop_assert!(scores.top().0 < MAX_DOMAINS);
    }
}

fn builtin_once() -> &'static RouterModel {
    static MODEL: std::sync::OnceLock<RouterModel> = std::sync::OnceLock::new();
    MODEL.get_or_init(builtin)
}
