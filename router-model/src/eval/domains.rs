//! How well a model names the domains of labelled prompts, beside the control of naming always the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{calibration, stats};
use crate::data::Row;
use crate::{RouterModel, Scores, Scratch};

/// What [`evaluate`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainReport {
    /// Rows judged: those whose domain the model knows.
    pub n: usize,
    /// Rows whose domain the model does not know.
    pub unknown: usize,
    /// Share of rows whose likeliest domain is the labelled one.
    pub accuracy: f32,
    /// Share of rows whose likeliest domain is the labelled one or another that could be right.
    pub lenient: f32,
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
    /// Per kind of request, where the rows say what kind they are.
    pub kinds: Vec<SourceFigures>,
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
    /// The source, up to a slash where there are many; or the kind.
    pub source: String,
    /// Its rows.
    pub n: usize,
    /// Share named right.
    pub accuracy: f32,
    /// The same, where second labels count.
    pub lenient: f32,
}

/// One judged row.
struct Verdict {
    labelled: usize,
    named: usize,
    chance: f32,
    /// Another label that could be right was named.
    near: bool,
}

impl Verdict {
    fn right(&self) -> bool {
        self.labelled == self.named
    }

    fn nearly(&self) -> bool {
        self.right() || self.near
    }
}

/// Judges `model` on the prompts of `rows`.
pub fn evaluate(model: &RouterModel, rows: &[Row]) -> DomainReport {
    let mut scratch = Scratch::default();
    evaluate_by(model.domains(), rows, &mut |row| model.score(&row.prompt, &mut scratch))
}

/// More sources than this are gathered by what stands before the slash.
const MANY: usize = 48;

/// Judges what `read` says of `rows`.
pub fn evaluate_by(labels: &[String], rows: &[Row], read: &mut dyn FnMut(&Row) -> Scores) -> DomainReport {
    let names: BTreeSet<&str> = rows.iter().map(|row| row.source.as_str()).collect();
    let mut groups = Groups::default();
    let mut verdicts = Vec::new();
    for row in rows {
        let Some(labelled) = labels.iter().position(|label| Some(label) == row.domain.as_ref()) else {
            continue;
        };
        let (named, chance) = read(row).top();
        let near = row.also.contains(&labels[named]);
        let verdict = Verdict { labelled, named, chance, near };
        let whole = if names.len() > MANY { row.source.split('/').next() } else { Some(row.source.as_str()) };
        let found = (verdict.right(), verdict.nearly());
        groups.sources.entry(whole.unwrap_or_default()).or_default().push(found);
        if !row.kind.is_empty() {
            groups.kinds.entry(&row.kind).or_default().push(found);
        }
        verdicts.push(verdict);
    }
    let unknown = rows.len() - verdicts.len();
    report(labels, &verdicts, &groups, unknown)
}

/// Rows that were named right, and those that were nearly, by source and by kind.
#[derive(Default)]
struct Groups<'r> {
    sources: BTreeMap<&'r str, Vec<(bool, bool)>>,
    kinds: BTreeMap<&'r str, Vec<(bool, bool)>>,
}

fn grouped(groups: &BTreeMap<&str, Vec<(bool, bool)>>) -> Vec<SourceFigures> {
    let figures = |(name, found): (&&str, &Vec<(bool, bool)>)| SourceFigures {
        source: (*name).to_owned(),
        n: found.len(),
        accuracy: ratio(found.iter().filter(|(right, _)| *right).count(), found.len()),
        lenient: ratio(found.iter().filter(|(_, nearly)| *nearly).count(), found.len()),
    };
    groups.iter().map(figures).collect()
}

fn report(labels: &[String], verdicts: &[Verdict], groups: &Groups<'_>, unknown: usize) -> DomainReport {
    let confusion = confusion(labels.len(), verdicts);
    let domains: Vec<_> = labels.iter().enumerate().map(|(i, label)| figures(label, i, &confusion)).collect();
    let right: Vec<bool> = verdicts.iter().map(Verdict::right).collect();
    let truth = |verdict: &Verdict| (verdict.chance, f32::from(u8::from(verdict.right())));
    let calibration = calibration::judge(verdicts.iter().map(truth));
    DomainReport {
        n: verdicts.len(),
        unknown,
        accuracy: share(&right),
        lenient: ratio(verdicts.iter().filter(|verdict| verdict.nearly()).count(), verdicts.len()),
        accuracy_interval: interval(&right),
        macro_f1: macro_f1(&domains),
        ece: calibration.ece as f32,
        ece_floor: calibration.floor as f32,
        most_frequent: most_frequent(&domains, verdicts.len()),
        domains,
        confusion,
        sources: grouped(&groups.sources),
        kinds: grouped(&groups.kinds),
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
        rows.iter()
            .map(|&(labelled, named, chance)| Verdict { labelled, named, chance, near: false })
            .collect()
    }

    #[test]
    fn a_report_counts_by_hand() {
        let labels = ["a".to_owned(), "b".to_owned()];
        let rows = verdicts(&[(0, 0, 0.9), (0, 1, 0.6), (1, 1, 0.8), (0, 0, 0.7)]);
        let report = report(&labels, &rows, &Groups::default(), 2);
        assert_eq!((report.n, report.unknown, report.accuracy), (4, 2, 0.75));
        assert_eq!(report.confusion, [[2, 1], [0, 1]]);
        assert_eq!(report.domains[1].precision, 0.5);
        assert_eq!(report.most_frequent, ("a".to_owned(), 0.75));
        assert!((report.macro_f1 - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_second_label_counts_where_it_may() {
        let row = |domain: &str, also: &[&str], kind: &str| Row {
            domain: Some(domain.into()),
            also: also.iter().map(|&label| label.into()).collect(),
            kind: kind.into(),
            ..Row::default()
        };
        let rows = [row("b", &["a"], "x"), row("b", &[], "x"), row("a", &[], ""), row("c", &[], "")];
        let labels = ["a".to_owned(), "b".to_owned()];
        let report = evaluate_by(&labels, &rows, &mut |_| Scores::new(&[0.9, 0.1], 0.0));
        assert_eq!((report.n, report.unknown), (3, 1));
        assert!((report.accuracy - 1.0 / 3.0).abs() < 1e-6 && (report.lenient - 2.0 / 3.0).abs() < 1e-6);
        assert_eq!((report.kinds[0].n, report.kinds[0].accuracy, report.kinds[0].lenient), (2, 0.0, 0.5));
    }

    #[test]
    fn no_rows_give_zeros_and_no_nan() {
        let report = report(&["a".to_owned()], &[], &Groups::default(), 0);
        assert_eq!((report.accuracy, report.ece, report.macro_f1), (0.0, 0.0, 0.0));
    }
}
