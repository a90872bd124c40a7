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
mod strange;
mod strangers;
mod tables;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

use crate::data::Row;
use crate::encode::{Encoding, KINDS};
use crate::lexicon::Lexicon;
use crate::net::Net;
use crate::outcomes::Outcome;
use crate::random::Random;
use crate::weights::{DIM, INPUT, WORD_DIM};
use crate::{MAX_DOMAINS, RouterModel};
pub use recipe::{Progress, Recipe, TrainError};
use tables::Tables;
use words::WordTable;
pub use words::{KeyedVectors, WordVectors};

/// The split of requests that are not learned from.
const DEV: &str = "dev";
/// Of so many sources on, what only one of them says is taken for a habit of that source.
const SOURCES: usize = 8;

/// What a network learns from, and what it is calibrated and judged on.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Labelled prompts of any kind.
    pub labelled: &'a [Row],
    /// Requests as people write them, labelled. Each is learned from [`Recipe::times`] times, and in turn some of their
    /// writers ([`Row::source`]) are kept out of training: the model is calibrated on what it says of those.
    pub requests: &'a [Row],
    /// More labelled prompts to judge by, and to calibrate on where there are no requests.
    pub dev: &'a [Row],
}

impl<'a> Rows<'a> {
    fn learned(self) -> impl Iterator<Item = &'a Row> + Clone {
        self.labelled.iter().chain(self.requests.iter().filter(|row| row.split != DEV))
    }
}

/// Trains on `rows`, fits a head for each model in `outcomes`, and gives the model. Outcomes of the split `dev` are not learned from: the model carries them to make promises. After each pass but the last `checkpoint`, where there is one, gets the number of the pass and the network
/// as it stands, a whole model without heads.
///
/// # Errors
///
/// When the rows name fewer than two domains or too many, or candle fails.
pub fn train(
    recipe: &Recipe,
    rows: Rows<'_>,
    outcomes: &[Outcome],
    progress: &mut dyn FnMut(Progress),
    checkpoint: Option<Checkpoint<'_>>,
) -> Result<RouterModel, TrainError> {
    let labels = rows.learned().filter(|row| !row.is_none()).filter_map(|row| row.domain.clone());
    let labels: Vec<String> = labels.collect::<BTreeSet<_>>().into_iter().collect();
    if !(2..=MAX_DOMAINS).contains(&labels.len()) {
        return Err(TrainError::Domains { found: labels.len() });
    }
    let strangers = strangers::judge(recipe, rows, &labels, progress)?;
    let mut trainer = Trainer::new(recipe, labels.len(), seen(recipe, rows.learned()))?;
    let network = |trainer: &Trainer<'_>| finish::network(recipe, trainer, &labels, rows, strangers.as_ref());
    let networks = strangers.as_ref().map_or(0, |strangers| strangers.networks) + 1;
    let mut last = |step: Progress| progress(step.of_network(networks, networks));
    trainer.run(&examples(recipe, rows, &labels), &mut last, &mut |trainer, pass| match checkpoint {
        Some(ref keep) => keep(pass, &network(trainer)?),
        None => Ok(()),
    })?;
    finish::finish(network(&trainer)?, rows.dev, outcomes, progress)
}

/// Takes the network after a pass.
pub type Checkpoint<'a> = &'a dyn Fn(usize, &RouterModel) -> Result<(), TrainError>;

/// A row ready to learn from.
struct Example<'a> {
    text: &'a str,
    label: usize,
    /// Other labels that could be right.
    also: Vec<usize>,
    weight: f32,
    /// How often a pass learns from it.
    times: usize,
}

/// The rows with their labels as indices and weights of mean 1.
fn examples<'a>(recipe: &Recipe, rows: Rows<'a>, labels: &[String]) -> Vec<Example<'a>> {
    let mut sizes = BTreeMap::<&str, usize>::new();
    for row in rows.learned() {
        *sizes.entry(&row.source).or_default() += 1;
    }
    let weight = |row: &Row| (sizes[row.source.as_str()] as f32).powf(-recipe.flatten);
    let place = |domain: &String| labels.binary_search(domain).ok();
    let example = |(row, times): (&'a Row, usize)| {
        let label = place(row.domain.as_ref()?)?;
        let also = row.also.iter().filter_map(place).filter(|&other| other != label).collect();
        Some(Example { text: &row.prompt, label, also, weight: weight(row), times })
    };
    let once = rows.labelled.iter().map(|row| (row, 1));
    let often = rows.requests.iter().filter(|row| row.split != DEV).map(|row| (row, recipe.times));
    let mut examples: Vec<Example<'_>> = once.chain(often).filter_map(example).collect();
    let total: f32 = examples.iter().map(|example| example.weight * example.times as f32).sum();
    let mean = total / examples.iter().map(|example| example.times).sum::<usize>().max(1) as f32;
    examples.iter_mut().for_each(|example| example.weight /= mean);
    examples
}

/// The set of words and pairs of words that rows of at least two sources have; of at least two rows where there are few
/// sources.
fn seen<'a>(recipe: &Recipe, rows: impl Iterator<Item = &'a Row> + Clone) -> Vec<u8> {
    let lexicon = Lexicon::new(recipe.hash_seed, &recipe.words.keys);
    let shift = 32 - recipe.shape.seen_bits;
    let mut first = vec![0_u32; 1 << recipe.shape.seen_bits];
    let mut seen = vec![0_u8; 1 << (recipe.shape.seen_bits - 3)];
    let sources: BTreeSet<&str> = rows.clone().map(|row| row.source.as_str()).collect();
    let sources: Vec<&str> = sources.into_iter().collect();
    let mut encoding = Encoding::default();
    for (number, row) in rows.enumerate() {
        let source = if sources.len() < SOURCES {
            number
        } else {
            sources.binary_search(&row.source.as_str()).unwrap_or(0)
        };
        let source = source as u32 + 1;
        let _whole = encoding.read(crate::text::cut(&row.prompt), &lexicon, &mut || false);
        for hash in encoding.grams[..2].iter().flatten() {
            let bit = (hash >> shift) as usize;
            match first[bit] {
                0 => first[bit] = source,
                other if other != source => seen[bit >> 3] |= 1 << (bit & 7),
                _ => {}
            }
        }
    }
    seen
}

struct Trainer<'a> {
    recipe: &'a Recipe,
    domains: usize,
    seen: Vec<u8>,
    tables: Tables,
    words: WordTable,
    /// trunk, trunk bias, head, head bias
    vars: [Var; 4],
    net: Net,
    optimizer: AdamW,
    random: Random,
}

impl<'a> Trainer<'a> {
    fn new(recipe: &'a Recipe, domains: usize, seen: Vec<u8>) -> candle_core::Result<Self> {
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
            seen,
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
        let repeat = |(place, example): (usize, &Example<'_>)| std::iter::repeat_n(place, example.times);
        let mut order: Vec<usize> = examples.iter().enumerate().flat_map(repeat).collect();
        let of = order.len() * self.recipe.epochs;
        let (mut done, mut loss, mut steps) = (0, 0.0, 0.0);
        for pass in 1..=self.recipe.epochs {
            shuffle(&mut order, &mut self.random);
            for picks in order.chunks(self.recipe.batch) {
                let batch: Vec<&Example<'_>> = picks.iter().map(|&pick| &examples[pick]).collect();
                loss += self.step(&batch, 1.0 - done as f32 / of as f32)?;
                steps += 1.0;
                done += batch.len();
                if steps == 16.0 || done == of {
                    progress(Progress::Network {
                        network: 1,
                        networks: 1,
                        rows: done,
                        of,
                        loss: loss / steps,
                    });
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
        encoding.keep(&self.seen);
        for grams in encoding.common.iter_mut().chain(&mut encoding.grams[KINDS - 1..]) {
            grams.retain(|_| self.random.unit() >= self.recipe.dropout);
        }
        encoding
    }

    /// Smoothed labels times the weights of the rows, `(batch, domains)`.
    fn targets(&self, batch: &[&Example<'_>]) -> candle_core::Result<Tensor> {
        let even = self.recipe.smoothing / self.domains as f32;
        let mut targets = Vec::with_capacity(batch.len() * self.domains);
        for example in batch {
            let sure = 1.0 - self.recipe.smoothing;
            let others = if example.also.is_empty() { 0.0 } else { self.recipe.also };
            let target = |label: usize| match label {
                _ if label == example.label => even + sure * (1.0 - others),
                _ if example.also.contains(&label) => even + sure * others / example.also.len() as f32,
                _ => even,
            };
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
            ..Row::default()
        };
        let pair = |n: usize| {
            [row("sums", format!("add {n} and {}", n + 3)), row("rhymes", format!("a poem of {n} cats"))]
        };
        (0..100).flat_map(pair).collect()
    }

    fn of<'a>(labelled: &'a [Row], dev: &'a [Row]) -> Rows<'a> {
        Rows { labelled, requests: &[], dev }
    }

    fn recipe() -> Recipe {
        let shape = Shape { table_bits: [8, 8, 8], hidden: 16, words: 0, seen_bits: 12 };
        // so few rows of so few words are soon learned from, where nothing holds down
        Recipe {
            epochs: 3,
            batch: 16,
            shape,
            table_rate: 0.1,
            word_dropout: 0.3,
            dropout: 0.5,
            smoothing: 0.05,
            ..Recipe::default()
        }
    }

    #[test]
    fn a_model_learns_what_the_rows_say() {
        let mut last = None;
        let model =
            train(&recipe(), of(&rows(), &rows()), &[], &mut |progress| last = Some(progress), None).unwrap();
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
    fn requests_are_judged_by_networks_that_read_nothing_of_their_writers() {
        let request = |n: usize| {
            let (domain, prompt) = match n % 9 {
                8 => ("none", format!("zzq xkk {n} wqpl")),
                odd if odd % 2 == 1 => ("sums", format!("please add {n} and {}", n + 5)),
                _ => ("rhymes", format!("make me a poem of {n} cats")),
            };
            Row {
                prompt,
                domain: Some(domain.into()),
                also: vec!["sums".into()],
                source: format!("by/{}", n % 5),
                split: if n.is_multiple_of(7) { "dev" } else { "train" }.into(),
                ..Row::default()
            }
        };
        let (labelled, requests): (Vec<Row>, Vec<Row>) = (rows(), (0..180).map(request).collect());
        let all = Rows { labelled: &labelled, requests: &requests, dev: &labelled };
        let model = train(&recipe(), all, &[], &mut |_| (), None).unwrap();
        assert_eq!(model.domains(), ["rhymes", "sums"], "none is no domain");
        let found = model.card().strangers.unwrap();
        assert_eq!((found.rows, found.none, found.writers), (160, 20, 5));
        assert!(found.accuracy > 0.9 && found.lenient >= found.accuracy, "{found:?}");
        let alone = Rows { requests: &requests[..1], ..all };
        let model = train(&recipe(), alone, &[], &mut |_| (), None).unwrap();
        assert_eq!(model.card().strangers, None, "one writer cannot be kept out");
    }

    #[test]
    fn the_same_recipe_and_rows_give_the_same_bytes() {
        let file = |seed| {
            let recipe = Recipe { seed, ..recipe() };
            train(&recipe, of(&rows(), &rows()), &[], &mut |_| (), None).unwrap().to_bytes().unwrap()
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
        let with = train(&recipe(), of(&rows(), &rows()), &[], &mut |_| (), Some(&keep)).unwrap();
        let without = train(&recipe(), of(&rows(), &rows()), &[], &mut |_| (), None).unwrap();
        assert_eq!(with.version(), without.version());
        let seen = seen.into_inner();
        assert_eq!(seen.iter().map(|(pass, _)| *pass).collect::<Vec<_>>(), [1, 2]);
        assert!(seen.iter().all(|(_, accuracy)| *accuracy > 0.5), "{seen:?}");
    }

    #[test]
    fn one_domain_is_nothing_to_learn() {
        let error = train(&recipe(), of(&rows()[..1], &[]), &[], &mut |_| (), None).unwrap_err();
        assert_eq!(error.to_string(), "the training rows name 1 domains, where 2 to 32 can be learned");
    }

    #[test]
    fn without_tuning_rows_there_is_still_a_model() {
        let model = train(&recipe(), of(&rows(), &[]), &[], &mut |_| (), None).unwrap();
        assert_eq!(model.score("add", &mut Scratch::default()).ood(), 0.0);
        assert!((model.card().temperature - 1.0).abs() < 1e-6, "{}", model.card().temperature);
    }
}
