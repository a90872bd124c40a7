//! Judges a turn together with what stands before it.
//!
//! «What about a sublease?» is about law where a lease is, and about little by itself. So the human turns are read once
//! more as one text, a first turn as one with its system prompt, and the beginning of the last answer by itself; of all of
//! them the same network gives log-probabilities, which are added up with weights. Of 2,349 written requests with messages,
//! by writers whom the network had not read (`mixgate eval --domains`, with and without `messages`), .71 are named right
//! so, and .58 by the last turn alone: of 568 follow-ups .76 and .40, of 513 conversations of several turns .72 and .59, of
//! 570 first turns beside a system prompt .72 and .64. The weights were chosen on two thirds of these writers for the rest;
//! near them they matter little.

use router_model::{MAX_DOMAINS, Scores};

use crate::text::{Alone, Part};

/// A turn as sure as this decides alone.
const SURE: f32 = 0.8;
/// The same of one that goes on and says something itself: it may have turned to something else, and what stands before it
/// would outweigh it.
const SURE_FOLLOWING: f32 = 0.6;
/// The same of one that points back: what it seems to be about by itself is mostly chance.
const SURE_LEANING: f32 = 0.985;
/// Below it all probabilities are alike: no text rules out a domain for the others.
const LEAST: f32 = 1e-6;

/// Whether a turn scored so is to be judged together with what stands before it.
pub fn needs_context(alone: Alone, scores: &Scores) -> bool {
    let sure = match alone {
        Alone::Stands => return false,
        Alone::Opens | Alone::Short => SURE,
        Alone::Follows => SURE_FOLLOWING,
        Alone::Leans => SURE_LEANING,
    };
    scores.top().1 < sure
}

/// What the last human turn weighs by itself; with the turns before it it is read again.
fn weight_of_last(alone: Alone) -> f32 {
    match alone {
        Alone::Stands => 1.0,
        Alone::Opens => 0.6,
        Alone::Follows | Alone::Short | Alone::Leans => 0.1,
    }
}

fn weight(alone: Alone, part: Part) -> f32 {
    match (part, alone) {
        (Part::Together, Alone::Opens) => 0.6,
        (Part::Together, _) => 0.8,
        // what says something itself needs less help
        (Part::Answer, Alone::Follows) => 0.2,
        (Part::Answer, _) => 0.5,
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
        // a familiar system prompt makes a strange first turn no less strange
        let ood = if self.alone == Alone::Opens { self.last.ood() } else { self.ood / self.weight };
        self.last.with_domains(logs, ood)
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
        assert_eq!(scores.ood() < 1.0, !before.is_empty() && alone != Alone::Opens, "{alone:?}");
        scores.top()
    }

    #[test]
    fn a_vague_turn_is_about_what_all_turns_together_are() {
        for alone in [Alone::Opens, Alone::Follows, Alone::Short, Alone::Leans] {
            assert_eq!(fused(alone, VAGUE, &[(Part::Together, LAW)]).0, 0, "{alone:?}");
        }
        let leaning = fused(Alone::Leans, VAGUE, &[(Part::Together, LAW), (Part::Answer, [0.3, 0.4, 0.3])]);
        assert!(leaning.0 == 0 && leaning.1 > 0.8, "{leaning:?}");
    }

    #[test]
    fn a_clear_turn_is_about_something_else_unless_it_points_back() {
        for alone in [Alone::Opens, Alone::Follows, Alone::Short] {
            assert!(!needs_context(alone, &Scores::new(&VERSE, 0.0)), "it decides alone: {alone:?}");
        }
        assert!(needs_context(Alone::Leans, &Scores::new(&VERSE, 0.0)));
    }

    #[test]
    fn an_answer_helps_a_turn_that_says_something_less() {
        let before = [(Part::Together, [0.5, 0.25, 0.25]), (Part::Answer, [0.1, 0.1, 0.8])];
        assert_eq!(fused(Alone::Follows, VAGUE, &before).0, 0);
        assert_eq!(fused(Alone::Short, VAGUE, &before).0, 2);
    }

    #[test]
    fn one_text_by_itself_is_what_it_was() {
        let (top, chance) = fused(Alone::Stands, LAW, &[]);
        assert!(top == 0 && (chance - 0.9).abs() < 1e-5);
    }

    #[test]
    fn how_sure_is_sure_enough_depends_on_the_turn() {
        let of = |chance: f32| Scores::new(&[chance, 1.0 - chance], 0.0);
        for (alone, chance, little) in [
            (Alone::Opens, 0.79, true),
            (Alone::Short, 0.8, false),
            (Alone::Follows, 0.59, true),
            (Alone::Follows, 0.6, false),
            (Alone::Leans, 0.984, true),
            (Alone::Leans, 0.985, false),
            (Alone::Stands, 0.5, false),
        ] {
            assert_eq!(needs_context(alone, &of(chance)), little, "{alone:?} {chance}");
        }
    }
}
