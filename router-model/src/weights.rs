//! The file of a model: one safetensors file, its card as JSON in the metadata.
//!
//! Tables are bytes with one scale per column, so that a row is one load and the file is small enough
//! for git; the trunk and the head are f32. A file is checked whole before a number of it is used.

use std::collections::HashMap;
use std::fmt;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use crate::card::Card;
use crate::encode::{FEATURE_VERSION, KINDS};
use crate::scores::MAX_DOMAINS;
use crate::surface::SURFACE;

/// Numbers in a row of a table.
pub const DIM: usize = 16;
/// Numbers that the trunk reads: one pooled row per kind of n-gram, then the surface figures.
pub const INPUT: usize = KINDS * DIM + SURFACE;

const CARD: &str = "card";
const TABLES: [&str; KINDS] = ["table.words", "table.pairs", "table.letters"];

/// Sizes of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Binary logarithm of the rows of each table: words, pairs, letters.
    pub table_bits: [u32; KINDS],
    /// Width of the trunk.
    pub hidden: usize,
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
    /// `(INPUT, hidden)`
    pub(crate) trunk: Vec<f32>,
    /// `(hidden)`
    pub(crate) trunk_bias: Vec<f32>,
    /// `(hidden, domains)`
    pub(crate) head: Vec<f32>,
    /// `(domains)`
    pub(crate) head_bias: Vec<f32>,
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
                "router model: it was trained on feature version {model}, this program computes version {program}; train it again"
            ),
            LoadError::Tensor { name, expected } => {
                write!(f, "router model: tensor {name}: expected {expected}")
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads and checks a whole file.
pub(crate) fn read(bytes: &[u8]) -> Result<(Card, Weights), LoadError> {
    let card = read_card(bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(LoadError::NotSafetensors)?;
    let (shape, domains) = (&card.shape, card.labels.len());
    let mut tables: [Vec<i8>; KINDS] = Default::default();
    for ((table, name), bits) in tables.iter_mut().zip(TABLES).zip(shape.table_bits) {
        *table = tensor(&file, name, Dtype::I8, &[1 << bits, DIM])?.iter().map(|&byte| byte as i8).collect();
    }
    let weights = Weights {
        tables,
        scales: floats(&file, "table.scales", &[KINDS, DIM])?,
        trunk: floats(&file, "trunk.weight", &[INPUT, shape.hidden])?,
        trunk_bias: floats(&file, "trunk.bias", &[shape.hidden])?,
        head: floats(&file, "domain.weight", &[shape.hidden, domains])?,
        head_bias: floats(&file, "domain.bias", &[domains])?,
        seen: tensor(&file, "seen", Dtype::U8, &[1 << (shape.seen_bits - 3)])?.to_vec(),
    };
    Ok((card, weights))
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
    if card.shape.hidden == 0 {
        return Err(LoadError::Card("a trunk of no width".into()));
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

/// The bytes of a file; the same card and weights give the same bytes.
pub(crate) fn write(card: &Card, weights: &Weights) -> Result<Vec<u8>, LoadError> {
    let (hidden, domains) = (card.shape.hidden, card.labels.len());
    let mut tensors = vec![
        ("table.scales", Dtype::F32, vec![KINDS, DIM], float_bytes(&weights.scales)),
        ("trunk.weight", Dtype::F32, vec![INPUT, hidden], float_bytes(&weights.trunk)),
        ("trunk.bias", Dtype::F32, vec![hidden], float_bytes(&weights.trunk_bias)),
        ("domain.weight", Dtype::F32, vec![hidden, domains], float_bytes(&weights.head)),
        ("domain.bias", Dtype::F32, vec![domains], float_bytes(&weights.head_bias)),
        ("seen", Dtype::U8, vec![weights.seen.len()], weights.seen.clone()),
    ];
    for (table, name) in weights.tables.iter().zip(TABLES) {
        let bytes = table.iter().map(|&number| number as u8).collect();
        tensors.push((name, Dtype::I8, vec![table.len() / DIM, DIM], bytes));
    }
    let json = serde_json::to_string(card).map_err(|error| LoadError::Card(error.to_string()))?;
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect();
    let metadata = HashMap::from([(CARD.to_owned(), json)]);
    views.and_then(|views| serialize(views, Some(metadata))).map_err(LoadError::NotSafetensors)
}

fn float_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
