//! Requests as the network sees them.

use crate::data::Row;
use crate::encode::KINDS;
use crate::fit;
use crate::slices::{self, Buffers};
use crate::text::cut;
use crate::weights::{DIM, WORD_DIM};
use crate::{RouterModel, Scratch};

/// A request as the network sees it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Log-odds of the domains that there are but for a constant, `(domains)`.
    pub(super) logits: Vec<f64>,
    /// The hidden layer as it was trained, at mean 0 and mean square 1 all together, `(units)`.
    pub(super) hidden: Vec<f32>,
    /// Where its words point, `(WORD_DIM)`.
    pub(super) direction: Vec<f32>,
    /// The labelled domain, new ones behind the known.
    pub(super) label: usize,
    /// The part of the cross-validation that it is in.
    pub(super) fold: usize,
}

/// Reads requests as the network sees them.
pub(super) struct Reader<'m> {
    model: &'m RouterModel,
    scratch: Scratch,
    pub(super) means: Vec<f32>,
    /// What the distance from the mean is divided by.
    pub(super) spreads: Vec<f32>,
}

/// The least spread that a hidden unit is taken to have.
const LEAST_SPREAD: f32 = 1e-3;

impl<'m> Reader<'m> {
    /// The hidden layer is measured on what the model carries, else on the rows themselves.
    pub(super) fn new(model: &'m RouterModel, rows: &[Row]) -> Self {
        let hidden = model.card.trained.map_or(model.card.shape.hidden, |trained| trained.units);
        let (means, spreads) = (vec![0.0; hidden], vec![1.0; hidden]);
        let mut reader = Reader { model, scratch: Scratch::default(), means, spreads };
        let carried = model.traffic.requests.iter().map(|request| request.text.as_str());
        let texts: Vec<&str> = if model.traffic.requests.is_empty() {
            rows.iter().map(|row| row.prompt.as_str()).collect()
        } else {
            carried.collect()
        };
        let units: Vec<Vec<f32>> = texts.iter().map(|text| reader.read(text, 0).hidden).collect();
        let count = units.len().max(1) as f32;
        let mean = |at: usize| units.iter().map(|unit| unit[at]).sum::<f32>() / count;
        reader.means = (0..hidden).map(mean).collect();
        let root = (hidden as f32).sqrt();
        let spread = |at: usize| {
            let off = |unit: &Vec<f32>| (unit[at] - reader.means[at]).powi(2);
            ((units.iter().map(off).sum::<f32>() / count).sqrt() + LEAST_SPREAD) * root
        };
        reader.spreads = (0..hidden).map(spread).collect();
        reader
    }

    pub(super) fn read(&mut self, text: &str, label: usize) -> Seen {
        let Scratch { encoding, buffers, .. } = &mut self.scratch;
        let weights = &self.model.weights;
        let _whole = encoding.read(cut(text), &weights.lexicon, &mut || false);
        encoding.keep(&weights.seen);
        slices::forward(weights, encoding, buffers);
        let Buffers { input, hidden, logits } = buffers;
        let units = hidden.iter().zip(&self.means).zip(&self.spreads);
        Seen {
            logits: logits.iter().map(|&logit| f64::from(logit / self.model.card.temperature)).collect(),
            hidden: units.map(|((x, mean), spread)| (x - mean) / spread).collect(),
            direction: input[KINDS * DIM..][..WORD_DIM].to_vec(),
            label,
            fold: fit::fold(text),
        }
    }
}
