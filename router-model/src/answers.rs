//! Graded answers that a model carries: of each prompt what the network made of it and, per model that was asked,
//! the chance that was said before the answer was seen, and whether the answer was good.
//!
//! From them any panel of known models can be judged without the prompts themselves, and promised from
//! ([`AnswerSet::calibration`]) by the prompts that were held out when the heads were fitted: only there the chances are
//! what the deployed heads say of a new prompt (split conformal prediction; Papadopoulos et al., 2002). Sets do not mix:
//! scores of different sources do not compare.

use crate::promise::{Calibration, Sample, taker, wish};
use crate::scores::{MAX_DOMAINS, Scores};

/// Graded answers of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerSet {
    /// Where the prompts came from.
    pub source: String,
    /// The models that were asked.
    pub models: Vec<String>,
    /// How many of the prompts, the first ones, the heads of the model did not learn from: of these the very heads that
    /// are deployed said the chances, and only from these can be promised. Of the others, heads fitted without them did.
    pub held_out: usize,
    pub(crate) prompts: Vec<Graded>,
    /// `(prompts, models)`
    pub(crate) cells: Vec<Cell>,
}

/// What the network made of a prompt, each number to 1/255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graded {
    /// Position of the likeliest domain; by rounding another may have the same chance.
    top: u8,
    ood: u8,
    chances: [u8; MAX_DOMAINS],
}

/// Numbers of a prompt in the file beside the chances of the domains: the likeliest and the out-of-distribution score.
const BESIDE: usize = 2;

impl Graded {
    /// Of what was said of the prompt.
    pub fn of(scores: &Scores) -> Graded {
        let byte = |share: f32| (share.clamp(0.0, 1.0) * 255.0).round() as u8;
        let mut chances = [0; MAX_DOMAINS];
        chances.iter_mut().zip(scores.domains()).for_each(|(held, chance)| *held = byte(*chance));
        Graded { top: scores.top().0 as u8, ood: byte(scores.ood()), chances }
    }

    /// What was said of it, among `domains` domains.
    pub fn scores(&self, domains: usize) -> Scores {
        let mut held = [0.0; MAX_DOMAINS];
        let sum = self.chances[..domains].iter().map(|&byte| f32::from(byte)).sum::<f32>().max(1.0);
        held.iter_mut().zip(&self.chances[..domains]).for_each(|(held, &byte)| *held = f32::from(byte) / sum);
        Scores::new(&held[..domains], f32::from(self.ood) / 255.0)
    }

    /// The same where domains count together; see [`Scores::grouped`].
    pub fn grouped(&self, groups: &[usize]) -> Graded {
        Graded::of(&self.scores(groups.len()).grouped(groups))
    }

    /// Position of the likeliest domain.
    pub fn domain(&self) -> usize {
        usize::from(self.top)
    }

    /// Numbers of a prompt in the file.
    pub(crate) const fn bytes(domains: usize) -> usize {
        BESIDE + domains
    }

    /// The numbers in the file, of `domains` domains.
    pub(crate) fn write(&self, domains: usize, file: &mut Vec<u8>) {
        file.extend([self.top, self.ood]);
        file.extend(&self.chances[..domains]);
    }

    /// The numbers in the file.
    pub(crate) fn bytes_of(&self, domains: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::bytes(domains));
        self.write(domains, &mut bytes);
        bytes
    }

    /// From the numbers in the file; `None` where they name a domain that is not there.
    pub(crate) fn read(numbers: &[u8]) -> Option<Graded> {
        let (&[top, ood], written) = numbers.split_first_chunk::<BESIDE>()?;
        let mut chances = [0; MAX_DOMAINS];
        chances.get_mut(..written.len())?.copy_from_slice(written);
        (usize::from(top) < written.len()).then_some(Graded { top, ood, chances })
    }
}

/// One answer: a chance to 1/32766 and whether it was good, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell(pub(crate) u16);

const CHANCES: f32 = 32766.0;

impl Cell {
    /// A model that was not asked.
    pub(crate) const ABSENT: Cell = Cell(u16::MAX);

    /// The answer that had `chance` before it was seen.
    pub(crate) fn new(chance: f32, good: bool) -> Cell {
        Cell(((chance.clamp(0.0, 1.0) * CHANCES).round() as u16) << 1 | u16::from(good))
    }

    fn read(self) -> Option<(f32, bool)> {
        (self != Cell::ABSENT).then(|| (f32::from(self.0 >> 1) / CHANCES, self.0 & 1 == 1))
    }
}

/// A chance as the graded answers have it: a threshold that was found among these decides the same of both.
pub fn as_graded(chance: f32) -> f32 {
    (chance.clamp(0.0, 1.0) * CHANCES).round() / CHANCES
}

impl AnswerSet {
    /// Whether it is from a user's own calibration.
    pub fn is_own(&self) -> bool {
        self.source == OWN
    }

    /// How many prompts.
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }

    /// The same where domains count together; see [`Scores::grouped`].
    pub fn grouped(&self, groups: &[usize]) -> AnswerSet {
        let prompts = self.prompts.iter().map(|prompt| prompt.grouped(groups)).collect();
        AnswerSet { prompts, ..self.clone() }
    }

    /// Leaves out what it says of some models.
    pub(crate) fn forget(&mut self, gone: impl Fn(&String) -> bool) {
        let kept: Vec<usize> = (0..self.models.len()).filter(|&place| !gone(&self.models[place])).collect();
        let rows = self.cells.chunks_exact(self.models.len().max(1));
        self.cells = rows.flat_map(|row| kept.iter().map(|&place| row[place])).collect();
        self.models = kept.into_iter().map(|place| self.models[place].clone()).collect();
    }

    /// Where `names` stand among the models; `None` when one does not.
    pub fn places<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<Vec<usize>> {
        let place = |name| self.models.iter().position(|model| model == name);
        names.into_iter().map(place).collect()
    }

    /// The prompts that all models at `places` answered: of each what the network made of it, and per model the
    /// chance that was said and whether the answer was good.
    pub fn answered<'a>(
        &'a self,
        places: &'a [usize],
    ) -> impl Iterator<Item = (Graded, Vec<(f32, bool)>)> + 'a {
        self.first(self.len(), places)
    }

    /// The same of the prompts that the deployed heads did not learn from.
    pub fn answered_held_out<'a>(
        &'a self,
        places: &'a [usize],
    ) -> impl Iterator<Item = (Graded, Vec<(f32, bool)>)> + 'a {
        self.first(self.held_out, places)
    }

    /// Of the first `count` prompts those that all models at `places` answered.
    fn first<'a>(
        &'a self,
        count: usize,
        places: &'a [usize],
    ) -> impl Iterator<Item = (Graded, Vec<(f32, bool)>)> + 'a {
        let rows = self.cells.chunks_exact(self.models.len().max(1));
        let row = |(prompt, cells): (&Graded, &[Cell])| {
            let answers: Option<Vec<_>> = places.iter().map(|&place| cells[place].read()).collect();
            Some((*prompt, answers?))
        };
        self.prompts.iter().zip(rows).take(count).filter_map(row)
    }

    /// The prompts held out, as promises see them, for `experts`, cheapest first, and `fallback`, among domains of the names
    /// `domains`; `None` where one of the models was not asked.
    pub fn calibration(&self, experts: &[&str], fallback: &str, domains: &[String]) -> Option<Calibration> {
        let places = self.places(experts.iter().copied().chain([fallback]))?;
        let mut samples = Vec::new();
        for (prompt, answers) in self.first(self.held_out, &places) {
            let Some(((large, large_good), small)) = answers.split_last() else { continue };
            let Some(taker) = taker(small.iter().map(|answer| answer.0).enumerate()) else { continue };
            let (chance, good) = small[taker];
            let needs_large = *large_good && !good;
            samples.push(Sample { domain: prompt.domain(), wish: wish(*large, chance), needs_large });
        }
        Some(Calibration::new(&self.source, domains, samples))
    }
}

/// The source of the answers that a user's own calibration was given.
pub const OWN: &str = "calibration";

/// The set to promise a panel from: of those in which all of `names` were asked the user's own, else the one that has
/// most prompts held out which all of them answered.
pub fn set_of<'a>(sets: &'a [AnswerSet], names: &[&str]) -> Option<&'a AnswerSet> {
    let known = sets.iter().filter_map(|set| Some((set, set.places(names.iter().copied())?)));
    known
        .max_by_key(|(set, places)| (set.is_own(), set.first(set.held_out, places).count()))
        .map(|(set, _)| set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_keeps_its_whole_distribution() {
        let scores = Scores::new(&[0.004, 0.496, 0.5], 0.93);
        let graded = Graded::of(&scores);
        let mut file = Vec::new();
        graded.write(3, &mut file);
        assert_eq!((file.len(), Graded::read(&file)), (Graded::bytes(3), Some(graded)));
        let read = graded.scores(3);
        let near = |a: f32, b: f32| (a - b).abs() < 4e-3;
        assert!(read.domains().iter().zip(scores.domains()).all(|(a, b)| near(*a, *b)), "{read:?}");
        assert!(near(read.ood(), 0.93) && (read.domains().iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(graded.domain(), 2);
        assert_eq!(Graded::read(&[2, 0, 9, 9]), None, "there is no third domain");
    }

    #[test]
    fn a_cell_keeps_a_chance_and_a_grade() {
        for (chance, good) in [(0.0, false), (1.0, true), (0.123, true), (0.77777, false)] {
            let (said, was) = Cell::new(chance, good).read().unwrap();
            assert!((said - chance).abs() < 1e-4 && was == good, "{chance} {said}");
        }
        assert_eq!(Cell::ABSENT.read(), None);
    }

    fn set(rows: usize) -> AnswerSet {
        let about = |domain: usize| [[0.9, 0.1], [0.1, 0.9]][domain];
        let prompt = |row: usize| Graded::of(&Scores::new(&about(usize::from(row >= 100)), 0.1));
        let cells = |row: usize| {
            let third = if row == 0 { Cell::ABSENT } else { Cell::new(0.3, false) };
            [Cell::new(0.5, row.is_multiple_of(2)), Cell::new(0.9, true), third]
        };
        AnswerSet {
            source: "made".into(),
            models: ["small", "large", "other"].map(String::from).into(),
            held_out: rows,
            prompts: (0..rows).map(prompt).collect(),
            cells: (0..rows).flat_map(cells).collect(),
        }
    }

    #[test]
    fn a_panel_is_calibrated_on_the_prompts_that_all_of_it_answered() {
        let (set, domains) = (set(120), ["math", "code"].map(String::from));
        let of = |experts: &[&str]| set.calibration(experts, "large", &domains);
        let two = of(&["small"]).unwrap();
        // twenty prompts about code are too few to speak for it
        assert_eq!((two.samples.len(), two.domains), (100, vec![Some("math".into()), None]));
        assert_eq!(two.samples.iter().filter(|sample| sample.needs_large).count(), 50);
        assert!((two.samples[0].wish - 0.45).abs() < 1e-3, "{:?}", two.samples[0]);
        assert_eq!(of(&["small", "other"]).unwrap().samples.len(), 99);
        assert!(of(&["absent"]).is_none());
    }

    #[test]
    fn what_counts_together_is_graded_together() {
        let one = |set: &AnswerSet| set.answered(&[0]).next().unwrap().0;
        let (set, whole) = (set(1), set(1).grouped(&[0, 0]));
        assert_eq!((one(&set).domain(), one(&whole).domain()), (0, 0));
        assert_eq!(one(&whole).scores(1).domains(), [1.0]);
        assert_eq!(one(&set.grouped(&[1, 0])).domain(), 1);
    }

    #[test]
    fn nothing_is_promised_from_prompts_that_the_heads_learned_from() {
        let set = AnswerSet { held_out: 60, ..set(90) };
        let domains = ["math".to_owned()];
        assert_eq!(set.calibration(&["small"], "large", &domains).unwrap().samples.len(), 60);
        assert_eq!(set.answered(&[0, 1]).count(), 90, "they are judged by");
    }

    #[test]
    fn a_model_that_is_forgotten_leaves_the_others_as_they_were() {
        let mut set = set(2);
        set.forget(|model| model == "large");
        assert_eq!(set.models, ["small", "other"]);
        assert_eq!(set.answered(&[0, 1]).map(|(_, answers)| answers.len()).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_users_own_set_is_taken_else_the_one_that_knows_most() {
        let named = |source: &str, rows| AnswerSet { source: source.into(), ..set(rows) };
        let own = AnswerSet { models: vec!["small".into()], cells: Vec::new(), ..named(OWN, 0) };
        let sets = [named("few", 3), named("many", 5), own];
        assert_eq!(set_of(&sets, &["small", "large"]).unwrap().source, "many");
        assert_eq!(set_of(&sets, &["small"]).unwrap().source, OWN);
        assert!(set_of(&sets, &["small", "absent"]).is_none());
    }
}
