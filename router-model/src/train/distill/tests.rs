//! Distillation from a teacher of random weights: eight numbers, one layer, a dozen tokens.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::bert::{BertModel, Config};

use super::*;
use crate::random::Random;
use crate::weights::WORD_DIM;

const CONFIG: &str = r#"{"model_type": "bert", "vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 16, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "max_position_embeddings": 6, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "pad_token_id": 0}"#;

/// As files of published models do, it asks for padding.
const TOKENIZER: &str = r###"{"version": "1.0", "truncation": null, "added_tokens": [],
    "padding": {"strategy": {"Fixed": 5}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "[PAD]"},
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
        "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    "decoder": null,
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "the": 4,
            "cat": 5, "dog": 6, "##s": 7, "a": 8, "##a": 9, "!": 10, "1": 11}}}"###;

/// A teacher's folder, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("router-model-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("config.json"), CONFIG).unwrap();
        std::fs::write(path.join("tokenizer.json"), TOKENIZER).unwrap();
        save(&path.join("model.safetensors"), &mut Random::new(4));
        Folder(path)
    }

    fn load(&self) -> Result<Teacher, DistillError> {
        Teacher::load(&self.0)
    }

    /// What loading says of the folder once `file` holds `content`, without the folder's name.
    fn fault(&self, file: &str, content: &str) -> String {
        let path = self.0.join(file);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        let message = self.load().err().unwrap().to_string();
        std::fs::write(&path, before).unwrap();
        message.strip_prefix(&format!("{}/", self.0.display())).unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn save(path: &Path, random: &mut Random) {
    let config: Config = serde_json::from_str(CONFIG).unwrap();
    let weights = VarMap::new();
    BertModel::load(VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu), &config).unwrap();
    {
        let vars = weights.data().lock().unwrap();
        for (_, var) in std::collections::BTreeMap::from_iter(vars.iter()) {
            let numbers: Vec<f32> = (0..var.elem_count()).map(|_| random.unit() * 2.0 - 1.0).collect();
            var.set(&Tensor::from_vec(numbers, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
    }
    weights.save(path).unwrap();
}

fn rows() -> Vec<Row> {
    let row = |&prompt: &&str| Row { prompt: prompt.into(), ..Row::default() };
    ["Cats and dogs", "a cat, aaaaaaaa cats", "cats and a DOG!", "and 11 aaa"].iter().map(row).collect()
}

fn word(text: &str) -> Word {
    Word { text: text.into(), ..Word::default() }
}

#[test]
fn the_words_of_rows_and_teacher_are_read_and_the_commonest_are_first_and_shortest() {
    let folder = Folder::new("distill");
    let teacher = folder.load().unwrap();
    let mut told = Vec::new();
    let made = distill(&teacher, &rows(), &mut |done, of| told.push((done, of))).unwrap();
    assert_eq!(made.vectors.words, ["and", "cats", "a", "cat", "dog", "the"]);
    assert_eq!(told, [(5, 6), (6, 6)], "words of one token, then of two");
    assert!((made.kept - 1.0).abs() < 1e-9, "eight axes hold all of eight numbers: {}", made.kept);
    let length = |vector: &[f32; WORD_DIM]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    // 10 words, and one more for each of the 6
    for (vector, times) in made.vectors.vectors.iter().zip([3.0, 3.0, 2.0, 1.0, 1.0, 0.0]) {
        let weight = 1e-3 / (1e-3 + (times + 1.0) / 16.0);
        assert!((length(vector) / weight - 1.0).abs() < 1e-5, "{} {weight}", length(vector));
    }
    assert_eq!(distill(&teacher, &rows(), &mut |_, _| ()).unwrap(), made, "a second time");
}

#[test]
fn a_words_vector_does_not_depend_on_what_else_is_read() {
    let folder = Folder::new("alone");
    let teacher = folder.load().unwrap();
    let together = teacher.read(&["cats", "the", "dog"].map(word), &mut |_, _| ()).unwrap();
    let alone = teacher.read(&[word("dog")], &mut |_, _| ()).unwrap();
    let difference = together.numbers[16..].iter().zip(&alone.numbers).map(|(x, y)| (x - y).abs());
    assert!(difference.fold(0.0, f32::max) < 1e-6);
    assert!((alone.numbers.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn a_word_of_more_tokens_than_the_teacher_has_positions_is_cut() {
    let folder = Folder::new("long");
    let teacher = folder.load().unwrap();
    let read = teacher.read(&[word("aaaa"), word("aaaaaaaaaaaa")], &mut |_, _| ()).unwrap();
    let (four, twelve) = read.numbers.split_at(8);
    assert_eq!(four, twelve, "four tokens of either, between the two marks");
}

#[test]
fn a_fault_names_its_file() {
    let folder = Folder::new("faults");
    let other = CONFIG.replace("\"bert\"", "\"roberta\"");
    assert_eq!(
        folder.fault("config.json", &other),
        "config.json: model_type is roberta, where only bert can be read"
    );
    let fault = folder.fault("config.json", &CONFIG.replace("_heads\": 2", "_heads\": 0"));
    assert!(fault.ends_with("0 num_attention_heads cannot share a hidden_size of 8"), "{fault}");
    let fault = folder.fault("config.json", "{}");
    assert!(fault.starts_with("config.json: not the configuration of a BERT: missing field"), "{fault}");
    let fault = folder.fault("tokenizer.json", "{}");
    assert!(fault.starts_with("tokenizer.json: "), "{fault}");
    let fault = folder.fault("model.safetensors", "none");
    assert!(fault.starts_with("model.safetensors: "), "{fault}");
    std::fs::remove_file(folder.0.join("config.json")).unwrap();
    assert!(matches!(folder.load().err(), Some(DistillError::Io { .. })));
}
