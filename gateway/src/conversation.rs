//! Judges a short turn together with what stands before it.
//!
//! «What about a sublease?» is about law where a lease is, and about little by itself. The texts before the last human
//! turn are scored by the same network, each for itself, and log-probabilities are added up with weights: to append the
//! texts to each other was measured to lose more than it gains. Of 568 written follow-ups, whose writers the network had
//! not read, .66 are named right so, and .38 by the last turn alone; of 513 conversations of several turns .60 and .55
//! (`mixgate eval --domains`, with and without `messages`).

use router_model::{MAX_DOMAINS, Scores};

use crate::text::{Alone, Part};

/// A short turn as sure as this decides alone.
const SURE: f32 = 0.8;
/// The same of one that points back: what it seems to be about by itself is mostly chance.
const SURE_LEANING: f32 = 0.985;
/// Below it all probabilities are alike: no text rules out a domain for the others.
const LEAST: f32 = 1e-6;

/// Whether a turn scored so is to be judged together with what stands before it.
pub fn says_little(alone: Alone, scores: &Scores) -> bool {
    let sure = match alone {
        Alone::Stands => return false,
        Alone::Short => SURE,
        Alone::Leans => SURE_LEANING,
    };
    scores.top().1 < sure
}

/// What the last human turn weighs; what points back says less of its subject than what it points to.
fn weight_of_last(alone: Alone) -> f32 {
    if alone == Alone::Leans { 0.5 } else { 1.0 }
}

fn weight(alone: Alone, part: Part) -> f32 {
    match (part, alone) {
        (Part::Turn, Alone::Leans) => 1.0,
        (Part::Turn, _) => 0.8,
        (Part::Answer, Alone::Leans) => 0.2,
        (Part::Answer, _) => 0.4,
        (Part::System, _) => 0.3,
    }
}

/// Scores of several texts on their way to being one.
#[derive(Debug)]
pub struct Fusion {
    alone: Alone,
    last: Scores,
    chances: Vec<f32>,
    logs: [f32; MAX_DOMAINS],
    ood: f32,
    weight: f32,
}

impl Fusion {
    /// Begins with the last human turn.
    pub fn new(alone: Alone, last: Scores, chances: &[f32]) -> Self {
        let mut fusion = Self {
            alone,
            last,
            chances: vec![0.0; chances.len()],
            logs: [0.0; MAX_DOMAINS],
            ood: 0.0,
            weight: 0.0,
        };
        fusion.add_with(weight_of_last(alone), &last, chances);
        fusion
    }

    /// Adds a text that stands before it.
    pub fn add(&mut self, part: Part, scores: &Scores, chances: &[f32]) {
        self.add_with(weight(self.alone, part), scores, chances);
    }

    fn add_with(&mut self, weight: f32, scores: &Scores, chances: &[f32]) {
        for (log, chance) in self.logs.iter_mut().zip(scores.domains()) {
            *log += weight * chance.max(LEAST).ln();
        }
        for (sum, chance) in self.chances.iter_mut().zip(chances) {
            *sum += weight * chance;
        }
        self.ood += weight * scores.ood();
        self.weight += weight;
    }

    /// The scores of all together. What is no probability of a domain is their mean, or that of the last turn.
    pub fn finish(mut self, chances: &mut Vec<f32>) -> Scores {
        let logs = &mut self.logs[..self.last.domains().len()];
        let highest = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        logs.iter_mut().for_each(|log| *log = (*log - highest).exp());
        let sum: f32 = logs.iter().sum();
        logs.iter_mut().for_each(|share| *share /= sum);
        self.chances.iter_mut().for_each(|sum| *sum /= self.weight);
        *chances = self.chances;
        self.last.with_domains(logs, self.ood / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAW: [f32; 3] = [0.9, 0.05, 0.05];
    const VAGUE: [f32; 3] = [0.2, 0.45, 0.35];
    const VERSE: [f32; 3] = [0.02, 0.03, 0.95];

    fn fused(alone: Alone, last: [f32; 3], before: &[(Part, [f32; 3])]) -> (usize, f32) {
        let mut fusion = Fusion::new(alone, Scores::new(&last, 1.0), &[0.2]);
        before.iter().for_each(|(part, scores)| fusion.add(*part, &Scores::new(scores, 0.0), &[0.8]));
        let mut chances = Vec::new();
        let scores = fusion.finish(&mut chances);
        let sum: f32 = scores.domains().iter().sum();
        assert!((sum - 1.0).abs() < 1e-5 && (0.2..=0.8).contains(&chances[0]), "{sum} {chances:?}");
        assert!(scores.ood() < 1.0 || before.is_empty());
        scores.top()
    }

    #[test]
    fn a_vague_turn_is_about_what_the_turn_before_was() {
        assert_eq!(fused(Alone::Short, VAGUE, &[(Part::Turn, LAW)]).0, 0);
        let leaning = fused(Alone::Leans, VAGUE, &[(Part::Turn, LAW), (Part::Answer, [0.3, 0.4, 0.3])]);
        assert!(leaning.0 == 0 && leaning.1 > 0.8, "{leaning:?}");
    }

    #[test]
    fn a_clear_turn_of_few_words_is_about_something_else() {
        assert!(!says_little(Alone::Short, &Scores::new(&VERSE, 0.0)), "it decides alone");
        assert_eq!(fused(Alone::Short, VERSE, &[(Part::Turn, LAW)]).0, 2, "and would outweigh it");
    }

    #[test]
    fn one_text_by_itself_is_what_it_was() {
        let (top, chance) = fused(Alone::Short, LAW, &[]);
        assert!(top == 0 && (chance - 0.9).abs() < 1e-5);
    }

    #[test]
    fn how_sure_is_sure_enough_depends_on_the_turn() {
        let of = |chance: f32| Scores::new(&[chance, 1.0 - chance], 0.0);
        for (alone, chance, little) in [
            (Alone::Short, 0.79, true),
            (Alone::Short, 0.8, false),
            (Alone::Leans, 0.984, true),
            (Alone::Leans, 0.985, false),
            (Alone::Stands, 0.5, false),
        ] {
            assert_eq!(says_little(alone, &of(chance)), little, "{alone:?} {chance}");
        }
    }
}
