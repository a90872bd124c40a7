//! What is expected of an expert's answer where something is known of it in some domains only.
//!
//! In the domains that an expert has figures for, it is held against the fallback. Outside of them nothing is known. To
//! count that as nothing would shut every specialist out, for a router is never quite sure, and the rest of its doubt is
//! spread over domains that the request has little to do with. So where the expert's own domains together are likely
//! enough, it is taken to be as far below the fallback outside of them as it is inside, and never above it; where they
//! are not, what is unknown counts as a bad answer.

use router_model::MAX_DOMAINS;

use super::Expert;

/// From this probability of its own domains together on, an expert is believed outside of them, too. On requests of
/// writers that the network had not read, the likeliest domain of this probability is the right one every second time
/// (`mixgate eval --domains`), and most of the wrong ones are neighbours.
const LIKELY: f32 = 0.4;

/// What is expected of an expert.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expected {
    /// Chance of a good answer, 0 to 1.
    pub quality: f32,
    /// Probability of the domains in which something is known of it, 0 to 1.
    pub own: f32,
}

/// The fallback's quality in every domain, for one request.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    quality: [f32; MAX_DOMAINS],
}

impl Reference {
    /// Of the fallback, given the chances of the models of the panel.
    pub fn of(fallback: &Expert, chances: &[f32]) -> Self {
        let mut quality = [0.0; MAX_DOMAINS];
        for (domain, quality) in quality.iter_mut().enumerate().take(fallback.quality.len()) {
            *quality = fallback.quality_in(domain, chances).unwrap_or(0.0);
        }
        Self { quality }
    }
}

impl Expert {
    /// Whether something is known of it for a label.
    pub fn knows(&self, label: usize) -> bool {
        self.quality.get(label).is_some_and(Option::is_some) || self.graded.get(label) == Some(&true)
    }

    /// Its figure for a domain, else the chance that the router model gives this very prompt where it was graded there.
    fn quality_in(&self, domain: usize, chances: &[f32]) -> Option<f32> {
        let chance = || self.head.and_then(|head| chances.get(head)).copied().unwrap_or(0.0);
        let graded = self.graded.get(domain) == Some(&true);
        self.quality.get(domain).copied().flatten().or_else(|| graded.then(chance))
    }

    /// What is expected of it over a distribution of domains, beside the fallback.
    pub fn expected(&self, reference: &Reference, domains: &[f32], chances: &[f32]) -> Expected {
        let (mut own, mut inside, mut fallback_inside, mut fallback) = (0.0, 0.0, 0.0, 0.0);
        for (domain, (probability, of_fallback)) in domains.iter().zip(reference.quality).enumerate() {
            fallback += probability * of_fallback;
            if let Some(quality) = self.quality_in(domain, chances) {
                own += probability;
                inside += probability * quality;
                fallback_inside += probability * of_fallback;
            }
        }
        if own < LIKELY {
            return Expected { quality: inside, own };
        }
        let below = ((fallback_inside - inside) / own).max(0.0);
        let outside = (fallback - fallback_inside - (1.0 - own) * below).max(0.0);
        Expected { quality: inside + outside, own }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::expert;

    /// Of an expert with these figures, beside a fallback with figures of its own.
    fn expected(figures: &[Option<f32>], fallback: &[f32], domains: &[f32]) -> Expected {
        let fallback: Vec<Option<f32>> = fallback.iter().copied().map(Some).collect();
        let reference = Reference::of(&expert(1, "large", &fallback), &[]);
        expert(0, "small", figures).expected(&reference, domains, &[])
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn in_its_own_domains_an_expert_is_what_its_figures_say() {
        let found = expected(&[Some(0.9), Some(0.7)], &[0.95, 0.8], &[0.25, 0.75]);
        assert!(near(found.quality, 0.75) && near(found.own, 1.0), "{found:?}");
    }

    #[test]
    fn outside_it_is_as_far_below_the_fallback_as_inside_where_its_own_are_likely_enough() {
        for own in [0.4, 0.6, 0.99] {
            let found = expected(&[Some(0.9), None], &[0.93, 1.0], &[own, 1.0 - own]);
            let fallback = own * 0.93 + (1.0 - own);
            assert!(near(fallback - found.quality, 0.03), "{own}: {found:?}");
        }
        let unlikely = expected(&[Some(0.9), None], &[0.93, 1.0], &[0.39, 0.61]);
        assert!(near(unlikely.quality, 0.39 * 0.9), "nothing is known outside: {unlikely:?}");
    }

    #[test]
    fn outside_it_is_never_above_the_fallback() {
        let found = expected(&[Some(1.0), None], &[0.5, 0.8], &[0.5, 0.5]);
        assert!(near(found.quality, 0.5 + 0.4), "{found:?}");
        let poor = expected(&[Some(0.0), None], &[1.0, 0.1], &[0.5, 0.5]);
        assert!(near(poor.quality, 0.0), "nor below nothing: {poor:?}");
    }

    #[test]
    fn the_fallback_is_what_it_is() {
        let found = expected(&[Some(0.9), Some(0.7)], &[0.9, 0.7], &[0.5, 0.5]);
        assert!(near(found.quality, 0.8), "{found:?}");
    }

    #[test]
    fn who_has_no_figures_is_expected_to_answer_badly() {
        assert_eq!(expected(&[None, None], &[1.0, 1.0], &[0.5, 0.5]), Expected { quality: 0.0, own: 0.0 });
    }
}
