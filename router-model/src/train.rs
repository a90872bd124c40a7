//! Training: the trunk and head by AdamW in candle, the tables by sparse Adagrad beside it.
//!
//! A step touches a few thousand rows of tables that have a hundred thousand; giving the tables to a dense
//! optimiser would spend nearly all time on rows that did not change. So candle sees the pooled input as a
//! variable, and its gradient is handed on to the rows by hand. Every random choice comes from the seed
//! and every sum is in a fixed order: the same rows and recipe give the same bytes, whatever the number
//! of threads (another kind of processor may round otherwise).

mod augment;
#[cfg(feature = "encoder")]
pub mod distill;
mod finish;
mod none;
mod recipe;
mod tables;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

use crate::data::Row;
use crate::encode::{Encoding, KINDS};
use crate::net::Net;
use crate::outcomes::Outcome;
use crate::random::Random;
use crate::weights::{DIM, INPUT, WORD_DIM};
use crate::{MAX_DOMAINS, RouterModel};
pub use recipe::{Progress, Recipe, TrainError};
use tables::Tables;
use words::WordTable;
pub use words::{KeyedVectors, WordVectors};

/// Trains on `rows`, tunes the calibration on `dev`, fits a head for each model in `outcomes`, and gives the
/// model. Outcomes of the split `dev` are not learned from: the model carries them to make promises. After each pass but the last `checkpoint`, where there is one, gets the number of the pass and the network
/// as it stands, a whole model without heads.
///
/// # Errors
///
/// When the rows name fewer than two domains or too many, or candle fails.
pub fn train(
    recipe: &Recipe,
    rows: &[Row],
    dev: &[Row],
    outcomes: &[Outcome],
    progress: &mut dyn FnMut(Progress),
    checkpoint: Option<Checkpoint<'_>>,
) -> Result<RouterModel, TrainError> {
    let labels: Vec<String> =
        rows.iter().filter_map(|row| row.domain.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if !(2..=MAX_DOMAINS).contains(&labels.len()) {
        return Err(TrainError::Domains { found: labels.len() });
    }
    let examples = examples(recipe, rows, &labels);
    let mut trainer = Trainer::new(recipe, labels.len())?;
    let network = |trainer: &Trainer<'_>| finish::network(recipe, trainer, &labels, rows, dev);
    trainer.run(&examples, progress, &mut |trainer, pass| match checkpoint {
        Some(ref keep) => keep(pass, &network(trainer)?),
        None => Ok(()),
    })?;
    finish::finish(network(&trainer)?, dev, outcomes, progress)
}

/// Takes the network after a pass.
pub type Checkpoint<'a> = &'a dyn Fn(usize, &RouterModel) -> Result<(), TrainError>;

/// A row ready to learn from.
struct Example<'a> {
    text: &'a str,
    label: usize,
    weight: f32,
}

/// The rows with their labels as indices and weights of mean 1.
fn examples<'a>(recipe: &Recipe, rows: &'a [Row], labels: &[String]) -> Vec<Example<'a>> {
    let mut sizes = BTreeMap::<&str, usize>::new();
    for row in rows {
        *sizes.entry(&row.source).or_default() += 1;
    }
    let weight = |row: &Row| (sizes[row.source.as_str()] as f32).powf(-recipe.flatten);
    let mean = rows.iter().map(weight).sum::<f32>() / rows.len().max(1) as f32;
    let example = |row: &'a Row| {
        let label = labels.binary_search(row.domain.as_ref()?).ok()?;
        Some(Example { text: &row.prompt, label, weight: weight(row) / mean })
    };
    rows.iter().filter_map(example).collect()
}

struct Trainer<'a> {
    recipe: &'a Recipe,
    domains: usize,
    tables: Tables,
    words: WordTable,
    /// trunk, trunk bias, head, head bias
    vars: [Var; 4],
    net: Net,
    optimizer: AdamW,
    random: Random,
}

impl<'a> Trainer<'a> {
    fn new(recipe: &'a Recipe, domains: usize) -> candle_core::Result<Self> {
        let mut random = Random::new(recipe.seed);
        let hidden = recipe.shape.hidden;
        let vars = [
            uniform(&mut random, INPUT, hidden)?,
            Var::zeros(hidden, candle_core::DType::F32, &Device::Cpu)?,
            uniform(&mut random, hidden, domains)?,
            Var::zeros(domains, candle_core::DType::F32, &Device::Cpu)?,
        ];
        let [trunk, trunk_bias, head, head_bias] = vars.each_ref().map(|var| var.as_tensor().clone());
        let params = ParamsAdamW { lr: recipe.net_rate, weight_decay: recipe.decay, ..Default::default() };
        Ok(Trainer {
            recipe,
            domains,
            tables: Tables::new(recipe.shape.table_bits, &mut random),
            words: WordTable::new(&recipe.words, recipe.hash_seed),
            optimizer: AdamW::new(vars.to_vec(), params)?,
            vars,
            net: Net { trunk, trunk_bias, head, head_bias },
            random,
        })
    }

    fn run(
        &mut self,
        examples: &[Example<'_>],
        progress: &mut dyn FnMut(Progress),
        passed: &mut dyn FnMut(&Self, usize) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let of = examples.len() * self.recipe.epochs;
        let (mut done, mut loss, mut steps) = (0, 0.0, 0.0);
        let mut order: Vec<usize> = (0..examples.len()).collect();
        for pass in 1..=self.recipe.epochs {
            shuffle(&mut order, &mut self.random);
            for picks in order.chunks(self.recipe.batch) {
                let batch: Vec<&Example<'_>> = picks.iter().map(|&pick| &examples[pick]).collect();
                loss += self.step(&batch, 1.0 - done as f32 / of as f32)?;
                steps += 1.0;
                done += batch.len();
                if steps == 16.0 || done == of {
                    progress(Progress::Network { rows: done, of, loss: loss / steps });
                    (loss, steps) = (0.0, 0.0);
                }
            }
            if pass < self.recipe.epochs {
                passed(self, pass)?;
            }
        }
        Ok(())
    }

    /// One step on one batch; `rate` is the part of the first learning rate that is left.
    fn step(&mut self, batch: &[&Example<'_>], rate: f32) -> candle_core::Result<f32> {
        let encodings: Vec<Encoding> = batch.iter().map(|example| self.encode(example.text)).collect();
        let mut input = Vec::with_capacity(batch.len() * INPUT);
        for encoding in &encodings {
            self.tables.pool(encoding, &mut input);
            self.words.pool(encoding, &mut input);
            input.extend_from_slice(&encoding.surface);
        }
        let input = Var::from_vec(input, (batch.len(), INPUT), &Device::Cpu)?;
        let log_chances = candle_nn::ops::log_softmax(&self.net.forward(&input)?, 1)?;
        let loss = (self.targets(batch)? * log_chances)?.sum_all()?.affine(-1.0 / batch.len() as f64, 0.0)?;
        let gradients = loss.backward()?;
        self.optimizer.set_learning_rate(self.recipe.net_rate * f64::from(rate));
        self.optimizer.step(&gradients)?;
        if let Some(gradient) = gradients.get(&input) {
            let gradient: Vec<f32> = gradient.affine(batch.len() as f64, 0.0)?.flatten_all()?.to_vec1()?;
            for (encoding, gradient) in encodings.iter().zip(gradient.chunks_exact(INPUT)) {
                self.tables.descend(encoding, gradient, self.recipe.table_rate * rate);
                if self.recipe.word_rate > 0.0 {
                    let gradient = &gradient[KINDS * DIM..][..WORD_DIM];
                    self.words.descend(encoding, gradient, self.recipe.word_rate * rate);
                }
            }
        }
        loss.to_scalar()
    }

    /// The features of a text as this pass sees it: changed a little, with n-grams left out.
    fn encode(&mut self, text: &str) -> Encoding {
        let mut encoding = Encoding::default();
        let text = augment::augment(text, &mut self.random);
        let _whole = encoding.read(crate::text::cut(&text), &self.words.lexicon, &mut || false);
        encoding.rows.retain(|_| self.random.unit() >= self.recipe.word_dropout);
        for kind in 0..KINDS {
            encoding.grams[kind].retain(|_| self.random.unit() >= self.recipe.dropout);
        }
        encoding
    }

    /// Smoothed labels times the weights of the rows, `(batch, domains)`.
    fn targets(&self, batch: &[&Example<'_>]) -> candle_core::Result<Tensor> {
        let even = self.recipe.smoothing / self.domains as f32;
        let mut targets = Vec::with_capacity(batch.len() * self.domains);
        for example in batch {
            let target =
                |label| even + if label == example.label { 1.0 - self.recipe.smoothing } else { 0.0 };
            targets.extend((0..self.domains).map(|label| target(label) * example.weight));
        }
        Tensor::from_vec(targets, (batch.len(), self.domains), &Device::Cpu)
    }
}

/// `(rows, columns)` even in ±√(3 / rows), so that the output varies as the input.
fn uniform(random: &mut Random, rows: usize, columns: usize) -> candle_core::Result<Var> {
    let limit = (3.0 / rows as f32).sqrt();
    let numbers: Vec<f32> = (0..rows * columns).map(|_| (random.unit() * 2.0 - 1.0) * limit).collect();
    Var::from_vec(numbers, (rows, columns), &Device::Cpu)
}

fn shuffle(order: &mut [usize], random: &mut Random) {
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scratch, Shape};

    fn rows() -> Vec<Row> {
        let row = |domain: &str, prompt: String| Row {
            prompt,
            domain: Some(domain.into()),
            source: format!("made/{domain}"),
            license: Some("CC0-1.0".into()),
        };
        let pair = |n: usize| {
            [row("sums", format!("add {n} and {}", n + 3)), row("rhymes", format!("a poem of {n} cats"))]
        };
        (0..100).flat_map(pair).collect()
    }

    fn recipe() -> Recipe {
        let shape = Shape { table_bits: [8, 8, 8], hidden: 16, words: 0, seen_bits: 12 };
        Recipe { epochs: 3, batch: 16, shape, ..Recipe::default() }
    }

    #[test]
    fn a_model_learns_what_the_rows_say() {
        let mut last = None;
        let model =
            train(&recipe(), &rows(), &rows(), &[], &mut |progress| last = Some(progress), None).unwrap();
        assert_eq!(model.domains(), ["rhymes", "sums"]);
        assert_eq!(model.card().dev.accuracy, 1.0);
        assert_eq!(model.card().sources[0].licenses, ["CC0-1.0"]);
        assert!(matches!(last, Some(Progress::Network { rows: 600, of: 600, .. })));
        let scores = model.score("please add 5 and 900", &mut Scratch::default());
        assert!(scores.domains()[1] > 0.8, "{:?}", scores.domains());
        let mixed = model.score("add 5 and 900 a poem of 7 cats", &mut Scratch::default());
        assert!(scores.none() < mixed.none(), "{} {}", scores.none(), mixed.none());
    }

    #[test]
    fn the_same_recipe_and_rows_give_the_same_bytes() {
        let file = |seed| {
            let recipe = Recipe { seed, ..recipe() };
            train(&recipe, &rows(), &rows(), &[], &mut |_| (), None).unwrap().to_bytes().unwrap()
        };
        assert!(file(1) == file(1));
        assert!(file(1) != file(2));
    }

    #[test]
    fn each_pass_but_the_last_gives_a_model_and_changes_nothing() {
        let seen = std::cell::RefCell::new(Vec::new());
        let keep = |pass: usize, model: &RouterModel| {
            let again = RouterModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
            seen.borrow_mut().push((pass, again.card().dev.accuracy));
            Ok(())
        };
        let with = train(&recipe(), &rows(), &rows(), &[], &mut |_| (), Some(&keep)).unwrap();
        let without = train(&recipe(), &rows(), &rows(), &[], &mut |_| (), None).unwrap();
        assert_eq!(with.version(), without.version());
        let seen = seen.into_inner();
        assert_eq!(seen.iter().map(|(pass, _)| *pass).collect::<Vec<_>>(), [1, 2]);
        assert!(seen.iter().all(|(_, accuracy)| *accuracy > 0.5), "{seen:?}");
    }

    #[test]
    fn one_domain_is_nothing_to_learn() {
        let error = train(&recipe(), &rows()[..1], &[], &[], &mut |_| (), None).unwrap_err();
        assert_eq!(error.to_string(), "the training rows name 1 domains, where 2 to 32 can be learned");
    }

    #[test]
    fn without_tuning_rows_there_is_still_a_model() {
        let model = train(&recipe(), &rows(), &[], &[], &mut |_| (), None).unwrap();
        assert_eq!(model.score("add", &mut Scratch::default()).ood(), 0.0);
        assert!((model.card().temperature - 1.0).abs() < 1e-6, "{}", model.card().temperature);
    }
}
