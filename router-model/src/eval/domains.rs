//! How well a model names the domains of labelled prompts, beside the control of naming always the same.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{calibration, stats};
use crate::data::Row;
use crate::{RouterModel, Scratch};

/// What [`evaluate`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainReport {
    /// Rows judged: those whose domain the model knows.
    pub n: usize,
    /// Rows whose domain the model does not know.
    pub unknown: usize,
    /// Share of rows whose likeliest domain is the labelled one.
    pub accuracy: f32,
    /// 95 % bootstrap interval of the accuracy.
    pub accuracy_interval: [f32; 2],
    /// Mean F1 score of the domains that occur.
    pub macro_f1: f32,
    /// Expected calibration error of the top chance, in 15 bins.
    pub ece: f32,
    /// What a perfectly calibrated model would show on so few rows: √(2/π)·√(p(1−p)/n) per bin.
    pub ece_floor: f32,
    /// Control: the accuracy of always naming the most frequent domain of these rows.
    pub most_frequent: (String, f32),
    /// Per domain, in the model's order.
    pub domains: Vec<DomainFigures>,
    /// `confusion[labelled][named]`, in the model's order.
    pub confusion: Vec<Vec<usize>>,
    /// Per source, by name.
    pub sources: Vec<SourceFigures>,
}

/// Figures of one domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainFigures {
    /// The domain.
    pub domain: String,
    /// Rows labelled with it.
    pub n: usize,
    /// Of the rows named so, the share labelled so; 0 when none is.
    pub precision: f32,
    /// Of the rows labelled so, the share named so; 0 when none is.
    pub recall: f32,
}

/// Figures of one source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceFigures {
    /// The source, up to a slash.
    pub source: String,
    /// Its rows.
    pub n: usize,
    /// Share named right.
    pub accuracy: f32,
}

/// One judged row.
struct Verdict {
    labelled: usize,
    named: usize,
    chance: f32,
}

impl Verdict {
    fn right(&self) -> bool {
        self.labelled == self.named
    }
}

/// Judges `model` on `rows`.
pub fn evaluate(model: &RouterModel, rows: &[Row]) -> DomainReport {
    let mut scratch = Scratch::default();
    let mut sources = BTreeMap::<&str, Vec<bool>>::new();
    let mut verdicts = Vec::new();
    for row in rows {
        let Some(labelled) = model.domains().iter().position(|label| Some(label) == row.domain.as_ref())
        else {
            continue;
        };
        let (named, chance) = model.score(&row.prompt, &mut scratch).top();
        let verdict = Verdict { labelled, named, chance };
        let source = row.source.split('/').next().unwrap_or_default();
        sources.entry(source).or_default().push(verdict.right());
        verdicts.push(verdict);
    }
    report(model.domains(), &verdicts, &sources, rows.len() - verdicts.len())
}

fn report(
    labels: &[String],
    verdicts: &[Verdict],
    sources: &BTreeMap<&str, Vec<bool>>,
    unknown: usize,
) -> DomainReport {
    let confusion = confusion(labels.len(), verdicts);
    let domains: Vec<_> = labels.iter().enumerate().map(|(i, label)| figures(label, i, &confusion)).collect();
    let right: Vec<bool> = verdicts.iter().map(Verdict::right).collect();
    let truth = |verdict: &Verdict| (verdict.chance, f32::from(u8::from(verdict.right())));
    let calibration = calibration::judge(verdicts.iter().map(truth));
    let source = |(source, right): (&&str, &Vec<bool>)| SourceFigures {
        source: (*source).to_owned(),
        n: right.len(),
        accuracy: share(right),
    };
    DomainReport {
        n: verdicts.len(),
        unknown,
        accuracy: share(&right),
        accuracy_interval: interval(&right),
        macro_f1: macro_f1(&domains),
        ece: calibration.ece as f32,
        ece_floor: calibration.floor as f32,
        most_frequent: most_frequent(&domains, verdicts.len()),
        domains,
        confusion,
        sources: sources.iter().map(source).collect(),
    }
}

fn confusion(labels: usize, verdicts: &[Verdict]) -> Vec<Vec<usize>> {
    let mut confusion = vec![vec![0; labels]; labels];
    for verdict in verdicts {
        confusion[verdict.labelled][verdict.named] += 1;
    }
    confusion
}

fn figures(label: &str, index: usize, confusion: &[Vec<usize>]) -> DomainFigures {
    let both = confusion[index][index];
    let labelled: usize = confusion[index].iter().sum();
    let named: usize = confusion.iter().map(|row| row[index]).sum();
    DomainFigures {
        domain: label.to_owned(),
        n: labelled,
        precision: ratio(both, named),
        recall: ratio(both, labelled),
    }
}

fn macro_f1(domains: &[DomainFigures]) -> f32 {
    let present = domains.iter().filter(|domain| domain.n > 0);
    let f1 = |domain: &DomainFigures| {
        let sum = domain.precision + domain.recall;
        if sum > 0.0 { 2.0 * domain.precision * domain.recall / sum } else { 0.0 }
    };
    let (sum, count) = present.fold((0.0, 0), |(sum, count), domain| (sum + f1(domain), count + 1));
    sum / count.max(1) as f32
}

fn most_frequent(domains: &[DomainFigures], n: usize) -> (String, f32) {
    let most = domains.iter().max_by_key(|domain| domain.n);
    most.map_or_else(Default::default, |domain| (domain.domain.clone(), ratio(domain.n, n)))
}

fn interval(right: &[bool]) -> [f32; 2] {
    let hits = |picks: &[usize]| picks.iter().filter(|pick| right[**pick]).count();
    stats::bootstrap(right.len(), |picks| hits(picks) as f64 / right.len() as f64).map(|end| end as f32)
}

fn share(right: &[bool]) -> f32 {
    ratio(right.iter().filter(|&&right| right).count(), right.len())
}

fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(rows: &[(usize, usize, f32)]) -> Vec<Verdict> {
        rows.iter().map(|&(labelled, named, chance)| Verdict { labelled, named, chance }).collect()
    }

    #[test]
    fn a_report_counts_by_hand() {
        let labels = ["a".to_owned(), "b".to_owned()];
        let rows = verdicts(&[(0, 0, 0.9), (0, 1, 0.6), (1, 1, 0.8), (0, 0, 0.7)]);
        let report = report(&labels, &rows, &BTreeMap::new(), 2);
        assert_eq!((report.n, report.unknown, report.accuracy), (4, 2, 0.75));
        assert_eq!(report.confusion, [[2, 1], [0, 1]]);
        assert_eq!(report.domains[1].precision, 0.5);
        assert_eq!(report.most_frequent, ("a".to_owned(), 0.75));
        assert!((report.macro_f1 - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn no_rows_give_zeros_and_no_nan() {
        let report = report(&["a".to_owned()], &[], &BTreeMap::new(), 0);
        assert_eq!((report.accuracy, report.ece, report.macro_f1), (0.0, 0.0, 0.0));
    }
}
