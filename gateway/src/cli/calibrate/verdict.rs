//! What graded answers say of an expert beside the large model, in words: where it is as good, where it is worse.

use std::collections::BTreeMap;

use router_model::outcomes::Outcome;
use router_model::{RouterModel, Scratch};

/// Prompts of a domain that both must have answered.
const ENOUGH: usize = 20;
/// A difference within this, on either side, with 95 % confidence, is none.
const ALIKE: f64 = 0.05;

/// How an expert did beside the large model in one domain.
#[derive(Debug, Clone, PartialEq)]
struct Beside {
    domain: String,
    prompts: usize,
    /// Its mean score less the large model's, and half of the 95 % interval.
    difference: f64,
    margin: f64,
}

/// One sentence about `expert`, from the prompts that both were graded on; the domain is the row's, else the likeliest.
pub(super) fn verdict(model: &RouterModel, rows: &[Outcome], expert: &str, fallback: &str) -> String {
    let mut scratch = Scratch::default();
    let mut domains = BTreeMap::<String, Vec<f64>>::new();
    for row in rows {
        let (Some(small), Some(large)) = (row.models.get(expert), row.models.get(fallback)) else { continue };
        let likeliest = || model.domains()[model.score(&row.prompt, &mut scratch).top().0].clone();
        let domain = row.domain.clone().unwrap_or_else(likeliest);
        domains.entry(domain).or_default().push(f64::from(*small) - f64::from(*large));
    }
    let found: Vec<Beside> = domains.iter().filter_map(|(domain, all)| beside(domain, all)).collect();
    if found.is_empty() {
        return format!("{expert}: no domain has {ENOUGH} prompts that {fallback} was graded on, too");
    }
    let clauses = [
        ("better in", Beside::is_better as fn(&Beside) -> bool),
        ("as good in", Beside::is_alike),
        ("worse in", Beside::is_worse),
        ("not told apart in", Beside::is_open),
    ];
    let clause = |(words, is): &(&str, fn(&Beside) -> bool)| {
        let of: Vec<String> = found.iter().filter(|beside| is(beside)).map(Beside::told).collect();
        (!of.is_empty()).then(|| format!("{words} {}", of.join(", ")))
    };
    let clauses: Vec<String> = clauses.iter().filter_map(clause).collect();
    format!("{expert} beside {fallback}: {}", clauses.join("; "))
}

fn beside(domain: &str, differences: &[f64]) -> Option<Beside> {
    let n = differences.len() as f64;
    let difference = differences.iter().sum::<f64>() / n;
    let square = differences.iter().map(|d| (d - difference).powi(2)).sum::<f64>() / n;
    // one prompt more that went the other way: no sample is so small that it knows for sure
    let margin = 1.96 * (square / n).sqrt() + 1.0 / n;
    (differences.len() >= ENOUGH).then(|| Beside {
        domain: domain.to_owned(),
        prompts: differences.len(),
        difference,
        margin,
    })
}

impl Beside {
    fn is_worse(&self) -> bool {
        self.difference + self.margin < 0.0 && !self.is_alike()
    }

    fn is_better(&self) -> bool {
        self.difference - self.margin > 0.0 && !self.is_alike()
    }

    fn is_alike(&self) -> bool {
        self.difference.abs() + self.margin <= ALIKE
    }

    fn is_open(&self) -> bool {
        !self.is_alike() && !self.is_worse() && !self.is_better()
    }

    fn told(&self) -> String {
        let Beside { domain, prompts, difference, margin } = self;
        format!("{domain} ({difference:+.2} ± {margin:.2}, {prompts} prompts)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(domain: &str, scores: &[(f32, f32)], times: usize) -> Vec<Outcome> {
        let row = |&(small, large): &(f32, f32)| Outcome {
            prompt: "p".into(),
            domain: Some(domain.into()),
            models: [("small".to_owned(), small), ("large".to_owned(), large)].into(),
            ..Outcome::default()
        };
        (0..times).flat_map(|_| scores.iter().map(row)).collect()
    }

    #[test]
    fn every_domain_stands_where_its_answers_put_it() {
        let rows = [
            rows("chat", &[(1.0, 1.0)], 100),
            rows("math", &[(0.0, 1.0), (1.0, 1.0)], 50),
            rows("sql", &[(1.0, 0.0), (1.0, 1.0)], 50),
            rows("law", &[(1.0, 0.0), (0.0, 1.0)], 15),
            rows("few", &[(0.0, 1.0)], ENOUGH - 1),
        ]
        .concat();
        let model = RouterModel::builtin().unwrap();
        assert_eq!(
            verdict(&model, &rows, "small", "large"),
            "small beside large: better in sql (+0.50 ± 0.11, 100 prompts); as good in chat (+0.00 ± 0.01, 100 prompts); \
             worse in math (-0.50 ± 0.11, 100 prompts); not told apart in law (+0.00 ± 0.39, 30 prompts)"
        );
    }

    #[test]
    fn a_domain_of_enough_prompts_is_told_and_one_of_fewer_is_not() {
        let model = RouterModel::builtin().unwrap();
        let of = |count: usize| verdict(&model, &rows("math", &[(0.0, 1.0)], count), "small", "large");
        assert!(of(ENOUGH).contains("worse in math"), "{}", of(ENOUGH));
        assert!(of(ENOUGH - 1).contains("no domain has 20 prompts"), "{}", of(ENOUGH - 1));
    }
}
