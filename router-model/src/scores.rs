//! What the model says of one text: a small value to hand on.

/// The most domains that [`Scores`] hold.
pub const MAX_DOMAINS: usize = 32;

/// Chances of the domains of one text, and how unlike the known it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    domains: [f32; MAX_DOMAINS],
    count: usize,
    ood: f32,
    none: f32,
    difficulty: f32,
    output_tokens: f32,
}

impl Scores {
    /// Scores as given: `domains` sum to 1, `ood` is in 0..=1. For stand-ins in tests too.
    ///
    /// # Panics
    ///
    /// When there are more than [`MAX_DOMAINS`] domains.
    pub fn new(domains: &[f32], ood: f32) -> Scores {
        let mut held = [0.0; MAX_DOMAINS];
        held[..domains.len()].copy_from_slice(domains);
        Scores { domains: held, count: domains.len(), ood, none: 0.0, difficulty: 0.0, output_tokens: 0.0 }
    }

    /// The same of other domains and another strangeness, as where several texts are judged together.
    ///
    /// # Panics
    ///
    /// When there are more than [`MAX_DOMAINS`] domains.
    pub fn with_domains(self, domains: &[f32], ood: f32) -> Scores {
        let Scores { domains, count, ood, .. } = Scores::new(domains, ood);
        Scores { domains, count, ood, ..self }
    }

    /// The same where domains count together: domain `i` is a part of group `groups[i]`.
    pub fn grouped(&self, groups: &[usize]) -> Scores {
        let (mut held, mut count) = ([0.0; MAX_DOMAINS], 0);
        for (chance, &group) in self.domains().iter().zip(groups) {
            held[group] += chance;
            count = count.max(group + 1);
        }
        self.with_domains(&held[..count], self.ood)
    }

    /// The same with a chance of «none of the domains».
    pub(crate) fn with_none(self, none: f32) -> Scores {
        Scores { none, ..self }
    }

    /// The same with a difficulty.
    pub(crate) fn with_difficulty(self, difficulty: f32) -> Scores {
        Scores { difficulty, ..self }
    }

    /// The same with a length of the answer, tokens.
    pub(crate) fn with_output_tokens(self, output_tokens: f32) -> Scores {
        Scores { output_tokens, ..self }
    }

    /// How long an answer of a model of usual verbosity is likely to be, tokens; `None` where the router model does
    /// not know.
    pub fn output_tokens(&self) -> Option<f32> {
        (self.output_tokens > 0.0).then_some(self.output_tokens)
    }

    /// How hard the text looks, whatever it is about: mean 0 and spread about 1 over the outcome data, higher is
    /// harder. It orders prompts of one kind a little better than their length does, and promises no more.
    pub fn difficulty(&self) -> f32 {
        self.difficulty
    }

    /// The chance that the text is about none of the domains, were every second text of that kind; it stands beside
    /// [`Scores::domains`], not among them. It was learned from texts put together from two of different domains, so
    /// it says how ill the parts of a text go together; [`Scores::ood`] counts it in, and is the one to gate on.
    pub fn none(&self) -> f32 {
        self.none
    }

    /// Calibrated chances, in the order of the model's labels; they sum to 1.
    pub fn domains(&self) -> &[f32] {
        &self.domains[..self.count]
    }

    /// The likeliest domain and its chance; the first of equals, `(0, 0.0)` when there are none.
    pub fn top(&self) -> (usize, f32) {
        let best =
            |best: (usize, f32), (index, &chance)| if chance > best.1 { (index, chance) } else { best };
        self.domains().iter().enumerate().fold((0, 0.0), best)
    }

    /// How unlike the known the text is, in 0..=1: the share of the tuning prompts that are less novel.
    ///
    /// It ranks four figures together: the doubt among the domains, the words and the pairs of words never seen, and
    /// [`Scores::none`]. A gate at 0.99 turns away one in a hundred of familiar prompts.
    pub fn ood(&self) -> f32 {
        self.ood
    }
}

/// Turns logits into chances in place, each divided by `temperature` first.
pub(crate) fn softmax(logits: &mut [f32], temperature: f32) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = ((*logit - highest) / temperature).exp();
        sum += *logit;
    }
    logits.iter_mut().for_each(|chance| *chance /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_the_first_of_the_likeliest() {
        assert_eq!(Scores::new(&[0.2, 0.4, 0.4], 0.0).top(), (1, 0.4));
        assert_eq!(Scores::new(&[], 0.0).top(), (0, 0.0));
    }

    #[test]
    fn the_chance_of_none_stands_beside_the_domains() {
        let scores = Scores::new(&[0.4, 0.6], 0.1).with_none(0.9);
        assert_eq!((scores.domains(), scores.none(), scores.ood()), (&[0.4, 0.6][..], 0.9, 0.1));
    }

    #[test]
    fn domains_that_count_together_have_the_sum_of_their_chances() {
        let scores = Scores::new(&[0.3, 0.45, 0.25], 0.1).with_none(0.2).with_output_tokens(90.0);
        let grouped = scores.grouped(&[0, 1, 0]);
        assert_eq!((grouped.domains(), grouped.top()), (&[0.55, 0.45][..], (0, 0.55)));
        assert_eq!((grouped.ood(), grouped.none(), grouped.output_tokens()), (0.1, 0.2, Some(90.0)));
    }

    #[test]
    fn softmax_of_large_logits_is_a_distribution() {
        let mut logits = [1000.0, 999.0, -1000.0];
        softmax(&mut logits, 1.0);
        assert!((logits.iter().sum::<f32>() - 1.0).abs() < 1e-6 && logits[0] > logits[1]);
    }
}
