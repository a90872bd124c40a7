//! The file of a model: one safetensors file, its card as JSON in the metadata.
//!
//! Tables are bytes with one scale per column, so that a row is one load and the file is small enough
//! for git; the trunk and the head are f32. A file is checked whole before a number of it is used.

use std::collections::HashMap;
use std::fmt;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use crate::RouterModel;
use crate::answers::{AnswerSet, Cell, Graded};
use crate::card::{AnswersCard, Card};
use crate::encode::{FEATURE_VERSION, KINDS};
use crate::heads::{GRAM_BITS, Heads};
use crate::length::Length;
use crate::lexicon::{Lexicon, MAX_WORD_ROWS};
use crate::link::{KNOTS, Link};
use crate::ood::STRANGENESS;
use crate::scores::MAX_DOMAINS;
use crate::surface::SURFACE;
use crate::traffic::{Request, Traffic};

/// Numbers in a row of a table.
pub const DIM: usize = 16;
/// Numbers in a word's vector.
pub const WORD_DIM: usize = 128;
/// Numbers that the trunk reads: one pooled row per kind of n-gram, the pooled vectors of the words, then the
/// surface figures.
pub const INPUT: usize = KINDS * DIM + WORD_DIM + SURFACE;

const CARD: &str = "card";
const TABLES: [&str; KINDS] = ["table.words", "table.pairs", "table.letters"];

/// Sizes of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Binary logarithm of the rows of each table: words, pairs, letters.
    pub table_bits: [u32; KINDS],
    /// Width of the trunk.
    pub hidden: usize,
    /// Rows of the table of word vectors.
    pub words: usize,
    /// Binary logarithm of the bits of the set of what training saw.
    pub seen_bits: u32,
}

/// The numbers of a model, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    /// Per kind `(2^table_bits, DIM)`, in units of `scales`.
    pub(crate) tables: [Vec<i8>; KINDS],
    /// `(KINDS, DIM)`
    pub(crate) scales: Vec<f32>,
    /// Which row of `words` a word has.
    pub(crate) lexicon: Lexicon,
    /// `(rows, WORD_DIM)`, in units of `word_scales`.
    pub(crate) words: Vec<i8>,
    /// `(WORD_DIM)`
    pub(crate) word_scales: Vec<f32>,
    /// `(INPUT, hidden)`
    pub(crate) trunk: Vec<f32>,
    /// `(hidden)`
    pub(crate) trunk_bias: Vec<f32>,
    /// `(hidden, domains)`
    pub(crate) head: Vec<f32>,
    /// `(domains)`
    pub(crate) head_bias: Vec<f32>,
    /// From the hidden layer, the figures of strangeness and those of the surface to the log-odds of «none of the domains»,
    /// `(hidden + STRANGENESS + SURFACE)`.
    pub(crate) none: Vec<f32>,
    /// What is added to them.
    pub(crate) none_bias: f32,
    /// Weight of each surface figure in how hard a text is, `(SURFACE)`.
    pub(crate) difficulty: Vec<f32>,
    /// `2^seen_bits` bits, the lowest of a byte first.
    pub(crate) seen: Vec<u8>,
}

/// Why a model file was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are no safetensors file.
    NotSafetensors(safetensors::SafeTensorError),
    /// There is no card, or it cannot be read.
    Card(String),
    /// The model was trained on other features than this program computes.
    FeatureVersion {
        /// Of the model.
        model: u32,
        /// Of this program.
        program: u32,
    },
    /// A tensor is absent or not as the card says.
    Tensor {
        /// Its name.
        name: String,
        /// What was expected.
        expected: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::NotSafetensors(error) => write!(f, "router model: not a safetensors file: {error}"),
            LoadError::Card(why) => write!(f, "router model: its card: {why}"),
            LoadError::FeatureVersion { model, program } => write!(
                f,
                "router model: it was trained on feature version {model}, this program computes version {program}; make it again with this program: `mixgate calibrate` from graded answers, or `mixgate train`"
            ),
            LoadError::Tensor { name, expected } => {
                write!(f, "router model: tensor {name}: expected {expected}")
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads and checks a whole file.
pub(crate) fn read(bytes: &[u8]) -> Result<RouterModel, LoadError> {
    let card = read_card(bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(LoadError::NotSafetensors)?;
    let (shape, domains) = (&card.shape, card.labels.len());
    let mut tables: [Vec<i8>; KINDS] = Default::default();
    for ((table, name), bits) in tables.iter_mut().zip(TABLES).zip(shape.table_bits) {
        *table = tensor(&file, name, Dtype::I8, &[1 << bits, DIM])?.iter().map(|&byte| byte as i8).collect();
    }
    let keys = tensor(&file, "words.keys", Dtype::U32, &[shape.words])?;
    let keys: Vec<u32> = keys.as_chunks().0.iter().map(|&key| u32::from_le_bytes(key)).collect();
    let words = tensor(&file, "words", Dtype::I8, &[shape.words, WORD_DIM])?;
    let weights = Weights {
        tables,
        lexicon: Lexicon::new(card.hash_seed, &keys),
        words: words.iter().map(|&byte| byte as i8).collect(),
        word_scales: floats(&file, "words.scales", &[WORD_DIM])?,
        scales: floats(&file, "table.scales", &[KINDS, DIM])?,
        trunk: floats(&file, "trunk.weight", &[INPUT, shape.hidden])?,
        trunk_bias: floats(&file, "trunk.bias", &[shape.hidden])?,
        head: floats(&file, "domain.weight", &[shape.hidden, domains])?,
        head_bias: floats(&file, "domain.bias", &[domains])?,
        none: floats(&file, "none.weight", &[shape.hidden + STRANGENESS + SURFACE])?,
        none_bias: floats(&file, "none.bias", &[1])?[0],
        difficulty: floats(&file, "difficulty", &[SURFACE])?,
        seen: tensor(&file, "seen", Dtype::U8, &[1 << (shape.seen_bits - 3)])?.to_vec(),
    };
    let heads = read_heads(&file, &card)?;
    let answers = read_answers(&file, &card)?;
    let length = match card.length {
        Some(_) => Length {
            surface: floats(&file, "length.surface", &[SURFACE])?,
            words: floats(&file, "length.words", &[WORD_DIM])?,
        },
        None => Length::default(),
    };
    let traffic = read_traffic(&file, &card)?;
    Ok(RouterModel { card, weights, heads, answers, length, traffic })
}

fn read_links(file: &SafeTensors<'_>, models: usize) -> Result<Vec<Link>, LoadError> {
    let numbers = floats(file, "success.links", &[models, 2, KNOTS])?;
    let link = |numbers: &[f32]| Link {
        from: std::array::from_fn(|knot| numbers[knot]),
        to: std::array::from_fn(|knot| numbers[KNOTS + knot]),
    };
    Ok(numbers.chunks_exact(2 * KNOTS).map(link).collect())
}

/// The sets of graded answers, which lie in two tensors one behind the other.
fn read_answers(file: &SafeTensors<'_>, card: &Card) -> Result<Vec<AnswerSet>, LoadError> {
    if card.answers.is_empty() {
        return Ok(Vec::new());
    }
    let (all, every) = sizes(&card.answers);
    let cells = tensor(file, "answers.cells", Dtype::U16, &[every])?;
    let prompts = read_graded(file, "answers.prompts", all, card.labels.len())?;
    let (mut prompts, mut cells) = (&prompts[..], cells.as_chunks().0);
    let set = |of: &AnswersCard| {
        let (mine, others) = prompts.split_at(of.prompts);
        let (answers, rest) = cells.split_at(of.prompts * of.models.len());
        (prompts, cells) = (others, rest);
        AnswerSet {
            source: of.source.clone(),
            models: of.models.clone(),
            held_out: of.held_out.min(of.prompts),
            prompts: mine.to_vec(),
            cells: answers.iter().map(|&cell| Cell(u16::from_le_bytes(cell))).collect(),
        }
    };
    Ok(card.answers.iter().map(set).collect())
}

fn read_traffic(file: &SafeTensors<'_>, card: &Card) -> Result<Traffic, LoadError> {
    if card.traffic == 0 {
        return Ok(Traffic::default());
    }
    let labels = tensor(file, "traffic.labels", Dtype::U8, &[card.traffic])?;
    let ends = tensor(file, "traffic.ends", Dtype::U32, &[card.traffic])?;
    let ends = ends.as_chunks().0.iter().map(|&end| u32::from_le_bytes(end) as usize);
    let seen = read_graded(file, "traffic.seen", card.traffic, card.labels.len())?;
    let fault = |expected: String| LoadError::Tensor { name: "traffic.texts".into(), expected };
    let texts = file.tensor("traffic.texts").map_err(|_| fault("text".into()))?.data();
    let texts = std::str::from_utf8(texts).map_err(|error| fault(format!("text in UTF-8: {error}")))?;
    let mut begin = 0;
    let mut request = |((end, &label), seen): ((usize, &u8), Graded)| {
        let text = texts.get(begin..end)?.to_owned();
        begin = end;
        let label = usize::from(label);
        (label < card.labels.len()).then_some(Request { text, label, seen })
    };
    let requests: Option<Vec<Request>> = ends.zip(labels).zip(seen).map(&mut request).collect();
    let expected = || format!("{} texts and domains below {}", card.traffic, card.labels.len());
    Ok(Traffic { requests: requests.ok_or_else(|| fault(expected()))? })
}

/// What a network made of prompts.
fn read_graded(
    file: &SafeTensors<'_>,
    name: &str,
    prompts: usize,
    domains: usize,
) -> Result<Vec<Graded>, LoadError> {
    let numbers = tensor(file, name, Dtype::U8, &[prompts, Graded::bytes(domains)])?;
    let read: Option<Vec<Graded>> = numbers.chunks_exact(Graded::bytes(domains)).map(Graded::read).collect();
    read.ok_or_else(|| LoadError::Tensor { name: name.into(), expected: format!("domains below {domains}") })
}

/// Prompts and cells of all sets.
fn sizes(sets: &[AnswersCard]) -> (usize, usize) {
    let prompts = sets.iter().fold(0_usize, |sum, set| sum.saturating_add(set.prompts));
    let cells = |set: &AnswersCard| set.prompts.saturating_mul(set.models.len());
    (prompts, sets.iter().fold(0, |sum, set| sum.saturating_add(cells(set))))
}

fn read_heads(file: &SafeTensors<'_>, card: &Card) -> Result<Heads, LoadError> {
    let models = card.known.len();
    if models == 0 {
        return Ok(Heads::default());
    }
    let grams = tensor(file, "success.grams", Dtype::I8, &[1 << GRAM_BITS, models])?;
    Ok(Heads {
        names: card.known.iter().map(|known| known.name.clone()).collect(),
        surface: floats(file, "success.surface", &[SURFACE, models])?,
        words: floats(file, "success.words", &[WORD_DIM, models])?,
        grams: grams.iter().map(|&byte| byte as i8).collect(),
        scales: floats(file, "success.scales", &[models])?,
        bias: floats(file, "success.bias", &[models])?,
        links: read_links(file, models)?,
    })
}

fn read_card(bytes: &[u8]) -> Result<Card, LoadError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(LoadError::NotSafetensors)?;
    let json = metadata.metadata().as_ref().and_then(|entries| entries.get(CARD));
    let json = json.ok_or_else(|| LoadError::Card("absent from the metadata".into()))?;
    let card: Card = serde_json::from_str(json).map_err(|error| LoadError::Card(error.to_string()))?;
    if card.features != FEATURE_VERSION {
        return Err(LoadError::FeatureVersion { model: card.features, program: FEATURE_VERSION });
    }
    if !(1..=MAX_DOMAINS).contains(&card.labels.len()) {
        let why = format!("{} labels, where 1 to {MAX_DOMAINS} can be held", card.labels.len());
        return Err(LoadError::Card(why));
    }
    if card.shape.words > MAX_WORD_ROWS {
        return Err(LoadError::Card(format!(
            "{} word vectors, where {MAX_WORD_ROWS} can be held",
            card.shape.words
        )));
    }
    if card.shape.hidden == 0 {
        return Err(LoadError::Card("a trunk of no width".into()));
    }
    if let Some(why) = card.misfit() {
        return Err(LoadError::Card(why.into()));
    }
    let bits = card.shape.table_bits.iter().chain([&card.shape.seen_bits]);
    if bits.into_iter().any(|bits| !(3..=28).contains(bits)) {
        return Err(LoadError::Card("a table of under 2^3 or over 2^28 rows".into()));
    }
    if !(card.temperature.is_finite() && card.temperature > 0.0) {
        return Err(LoadError::Card(format!("temperature {}", card.temperature)));
    }
    Ok(card)
}

fn tensor<'a>(
    file: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], LoadError> {
    match file.tensor(name) {
        Ok(tensor) if tensor.dtype() == dtype && tensor.shape() == shape => Ok(tensor.data()),
        _ => Err(LoadError::Tensor { name: name.into(), expected: format!("{dtype:?} {shape:?}") }),
    }
}

fn floats(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
    let bytes = tensor(file, name, Dtype::F32, shape)?;
    let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect();
    if numbers.iter().all(|number| number.is_finite()) {
        return Ok(numbers);
    }
    Err(LoadError::Tensor { name: name.into(), expected: "finite numbers".into() })
}

/// The bytes of a file; the same model gives the same bytes.
pub(crate) fn write(model: &RouterModel) -> Result<Vec<u8>, LoadError> {
    let RouterModel { card, weights, heads, answers, length, traffic } = model;
    let (hidden, domains) = (card.shape.hidden, card.labels.len());
    let mut tensors = vec![
        ("table.scales", Dtype::F32, vec![KINDS, DIM], float_bytes(&weights.scales)),
        ("trunk.weight", Dtype::F32, vec![INPUT, hidden], float_bytes(&weights.trunk)),
        ("trunk.bias", Dtype::F32, vec![hidden], float_bytes(&weights.trunk_bias)),
        ("domain.weight", Dtype::F32, vec![hidden, domains], float_bytes(&weights.head)),
        ("domain.bias", Dtype::F32, vec![domains], float_bytes(&weights.head_bias)),
        ("none.weight", Dtype::F32, vec![hidden + STRANGENESS + SURFACE], float_bytes(&weights.none)),
        ("none.bias", Dtype::F32, vec![1], float_bytes(&[weights.none_bias])),
        ("difficulty", Dtype::F32, vec![SURFACE], float_bytes(&weights.difficulty)),
        ("seen", Dtype::U8, vec![weights.seen.len()], weights.seen.clone()),
        (
            "words.keys",
            Dtype::U32,
            vec![card.shape.words],
            weights.lexicon.keys.iter().flat_map(|key| key.to_le_bytes()).collect(),
        ),
        ("words", Dtype::I8, vec![card.shape.words, WORD_DIM], bytes(&weights.words)),
        ("words.scales", Dtype::F32, vec![WORD_DIM], float_bytes(&weights.word_scales)),
    ];
    if !answers.is_empty() {
        let (prompts, cells) = sizes(&card.answers);
        let shape = vec![prompts, Graded::bytes(domains)];
        let bytes = graded_bytes(answers.iter().flat_map(|set| &set.prompts), domains);
        tensors.push(("answers.prompts", Dtype::U8, shape, bytes));
        let bytes = answers.iter().flat_map(|set| &set.cells).flat_map(|cell| cell.0.to_le_bytes()).collect();
        tensors.push(("answers.cells", Dtype::U16, vec![cells], bytes));
    }
    if let requests @ [_, ..] = traffic.requests() {
        let shape = vec![requests.len(), Graded::bytes(domains)];
        let labels = requests.iter().map(|request| request.label as u8).collect();
        let texts: Vec<u8> = requests.iter().flat_map(|request| request.text.bytes()).collect();
        let mut end = 0;
        let ends = requests.iter().flat_map(|request| {
            end += request.text.len() as u32;
            end.to_le_bytes()
        });
        let ends = ends.collect();
        let seen = graded_bytes(requests.iter().map(|request| &request.seen), domains);
        tensors.push(("traffic.labels", Dtype::U8, vec![requests.len()], labels));
        tensors.push(("traffic.ends", Dtype::U32, vec![requests.len()], ends));
        tensors.push(("traffic.texts", Dtype::U8, vec![texts.len()], texts));
        tensors.push(("traffic.seen", Dtype::U8, shape, seen));
    }
    if card.length.is_some() {
        tensors.push(("length.surface", Dtype::F32, vec![SURFACE], float_bytes(&length.surface)));
        tensors.push(("length.words", Dtype::F32, vec![WORD_DIM], float_bytes(&length.words)));
    }
    let models = heads.names.len();
    let links: Vec<f32> = heads.links.iter().flat_map(|link| link.from.into_iter().chain(link.to)).collect();
    if models > 0 {
        tensors.extend([
            ("success.surface", Dtype::F32, vec![SURFACE, models], float_bytes(&heads.surface)),
            ("success.words", Dtype::F32, vec![WORD_DIM, models], float_bytes(&heads.words)),
            ("success.grams", Dtype::I8, vec![1 << GRAM_BITS, models], bytes(&heads.grams)),
            ("success.scales", Dtype::F32, vec![models], float_bytes(&heads.scales)),
            ("success.bias", Dtype::F32, vec![models], float_bytes(&heads.bias)),
            ("success.links", Dtype::F32, vec![models, 2, KNOTS], float_bytes(&links)),
        ]);
    }
    for (table, name) in weights.tables.iter().zip(TABLES) {
        tensors.push((name, Dtype::I8, vec![table.len() / DIM, DIM], bytes(table)));
    }
    let json = serde_json::to_string(card).map_err(|error| LoadError::Card(error.to_string()))?;
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect();
    let metadata = HashMap::from([(CARD.to_owned(), json)]);
    views.and_then(|views| serialize(views, Some(metadata))).map_err(LoadError::NotSafetensors)
}

fn graded_bytes<'a>(prompts: impl Iterator<Item = &'a Graded>, domains: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prompts.for_each(|prompt| prompt.write(domains, &mut bytes));
    bytes
}

fn bytes(table: &[i8]) -> Vec<u8> {
    table.iter().map(|&number| number as u8).collect()
}

fn float_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
