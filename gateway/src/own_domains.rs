//! Names of one's own for what requests are about: the same router model, whose domains have other names or count
//! together. Everything behind it sees the own names only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use router_model::answers::AnswerSet;
use router_model::traffic::Request;
use router_model::{Attribution, DomainQuality, Heads, Known, NONE, Scores};

use crate::classify::Classifier;
use crate::config::fault_suggestion;
use crate::config::written::OneOrMore;

/// The domains of a router model by their own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    names: Vec<String>,
    /// Per domain of the model, which of the names it counts to.
    of: Vec<usize>,
}

/// Why own names cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misnamed {
    /// The own name.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl Groups {
    /// The groups of a model that knows `domains`; what has no own name keeps its name.
    ///
    /// # Errors
    ///
    /// Every name that cannot be used.
    pub fn new(own: &BTreeMap<String, OneOrMore>, domains: &[&str]) -> Result<Groups, Vec<Misnamed>> {
        let mut faults = Vec::new();
        let mut owners: Vec<Option<&str>> = vec![None; domains.len()];
        for (name, parts) in own {
            let mut fault = |what: String, help: String| {
                faults.push(Misnamed { name: name.clone(), what, help });
            };
            if parts.names().is_empty() {
                fault(format!("`{name}` names no domain"), "name at least one".into());
            }
            for part in parts.names() {
                match domains.iter().position(|domain| domain == part) {
                    None => fault(
                        format!("the router model knows no domain `{part}`"),
                        fault_suggestion(part, domains.iter().copied()),
                    ),
                    Some(place) => match owners[place].replace(name) {
                        Some(other) if other != name => fault(
                            format!("`{part}` counts to `{other}` already"),
                            "a domain has one name; list it once".into(),
                        ),
                        _ => {}
                    },
                }
            }
        }
        for name in own.keys() {
            let taken =
                domains.iter().zip(&owners).any(|(domain, owner)| domain == name && *owner != Some(name));
            if taken || name == NONE {
                let what = format!("`{name}` is the name of another domain");
                let help = if name == NONE {
                    "it is what requests about nothing are labelled with".into()
                } else {
                    format!("choose another, or count it in: `{name}: [{name}, …]`")
                };
                faults.push(Misnamed { name: name.clone(), what, help });
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut names: Vec<String> = Vec::new();
        let mut group = |name: &str| {
            names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            })
        };
        let of = domains.iter().zip(&owners).map(|(domain, owner)| group(owner.unwrap_or(domain))).collect();
        Ok(Groups { names, of })
    }

    /// Their names, in the order of the scores.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// A router model whose domains have other names.
#[derive(Debug)]
pub struct OwnDomains {
    model: Arc<dyn Classifier>,
    groups: Groups,
    known: Vec<Known>,
    answers: Vec<AnswerSet>,
    traffic: Vec<Request>,
}

impl OwnDomains {
    /// `model` with the names of `groups`, which are of its domains.
    pub fn new(model: Arc<dyn Classifier>, groups: Groups) -> Self {
        let of = &groups.of;
        let answers = model.answers().iter().map(|set| set.grouped(of)).collect();
        let request = |request: &Request| Request {
            text: request.text.clone(),
            label: of[request.label],
            seen: request.seen.grouped(of),
        };
        let traffic = model.traffic().iter().map(request).collect();
        let parts = |name: &str| of.iter().filter(|group| groups.names[**group] == name).count();
        let name = |domain: &str| {
            let place = model.domains().iter().position(|known| known == domain)?;
            Some(&groups.names[of[place]])
        };
        let known = model
            .known()
            .iter()
            .map(|known| Known { domains: together(&known.domains, name, parts), ..known.clone() });
        let known = known.collect();
        Self { model, groups, known, answers, traffic }
    }
}

/// The figures of domains that count together, each weighed by its answers; none where one of the parts has none.
fn together<'n>(
    figures: &[DomainQuality],
    name: impl Fn(&str) -> Option<&'n String>,
    parts_of: impl Fn(&str) -> usize,
) -> Vec<DomainQuality> {
    let named =
        |figure: &DomainQuality| name(&figure.domain).cloned().unwrap_or_else(|| figure.domain.clone());
    let names: BTreeSet<String> = figures.iter().map(named).collect();
    let of = |name: String| {
        let parts: Vec<&DomainQuality> = figures.iter().filter(|figure| named(figure) == name).collect();
        if parts.len() < parts_of(&name) {
            return None;
        }
        let rows = parts.iter().map(|part| part.rows).sum::<usize>();
        let mean = |of: fn(&DomainQuality) -> f32| {
            parts.iter().map(|part| of(part) * part.rows as f32).sum::<f32>() / rows.max(1) as f32
        };
        let (quality, low, high) = (mean(|part| part.quality), mean(|part| part.low), mean(|part| part.high));
        Some(DomainQuality { domain: name, rows, quality, low, high })
    };
    names.into_iter().filter_map(of).collect()
}

impl Classifier for OwnDomains {
    fn domains(&self) -> &[String] {
        &self.groups.names
    }

    fn merges(&self) -> bool {
        self.groups.names.len() < self.groups.of.len()
    }

    fn place(&self, domain: &str) -> Option<usize> {
        let own = self.groups.names.iter().position(|name| name == domain);
        own.or_else(|| self.model.place(domain).map(|place| self.groups.of[place]))
    }

    fn version(&self) -> &str {
        self.model.version()
    }

    fn score(&self, text: &str, give_up: &mut dyn FnMut() -> bool) -> Option<Scores> {
        Some(self.model.score(text, give_up)?.grouped(&self.groups.of))
    }

    fn known(&self) -> &[Known] {
        &self.known
    }

    fn answers(&self) -> &[AnswerSet] {
        &self.answers
    }

    fn traffic(&self) -> &[Request] {
        &self.traffic
    }

    fn heads(&self) -> Option<&Heads> {
        self.model.heads()
    }

    fn judge(
        &self,
        text: &str,
        panel: &Heads,
        chances: &mut Vec<f32>,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Option<Scores> {
        Some(self.model.judge(text, panel, chances, give_up)?.grouped(&self.groups.of))
    }

    fn explain(&self, text: &str, of: &dyn Fn(&Scores) -> f32) -> Vec<Attribution> {
        self.model.explain(text, &|scores| of(&scores.grouped(&self.groups.of)))
    }
}

#[cfg(test)]
mod tests {
    use router_model::{RouterModel, TAXONOMY};

    use super::*;

    fn own(names: &[(&str, &[&str])]) -> BTreeMap<String, OneOrMore> {
        let parts = |parts: &[&str]| OneOrMore::Several(parts.iter().map(|&part| part.to_owned()).collect());
        names.iter().map(|&(name, of)| (name.to_owned(), parts(of))).collect()
    }

    fn faults(names: &[(&str, &[&str])]) -> Vec<String> {
        Groups::new(&own(names), &TAXONOMY).unwrap_err().into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn what_has_no_own_name_keeps_its_own() {
        let groups =
            Groups::new(&own(&[("office", &["writing", "text_ops"]), ("contracts", &["legal"])]), &TAXONOMY);
        let groups = groups.unwrap();
        assert_eq!(groups.names().len(), 14);
        assert!(groups.names().iter().all(|name| !["legal", "writing", "text_ops"].contains(&name.as_str())));
        assert_eq!(groups.of[13], groups.of[14], "{groups:?}");
        assert_eq!(groups.names[groups.of[6]], "contracts");
        let same = Groups::new(&own(&[("legal", &["legal", "finance"])]), &TAXONOMY).unwrap();
        assert_eq!(same.names().len(), 14, "a name may be that of its part");
    }

    #[test]
    fn a_domain_has_one_name_and_a_name_one_meaning() {
        assert_eq!(faults(&[("a", &["leagl"])]), ["the router model knows no domain `leagl`"]);
        assert_eq!(faults(&[("a", &["legal"]), ("b", &["legal"])]), ["`legal` counts to `a` already"]);
        assert_eq!(faults(&[("code", &["legal"])]), ["`code` is the name of another domain"]);
        assert_eq!(
            faults(&[("code", &["sql"]), ("sql", &["code"])]).len(),
            2,
            "labels would be read the wrong way"
        );
        assert_eq!(faults(&[("none", &["legal"])]), ["`none` is the name of another domain"]);
        assert_eq!(faults(&[("a", &[])]), ["`a` names no domain"]);
        assert!(Groups::new(&own(&[("a", &["legal", "legal"])]), &TAXONOMY).is_ok());
    }

    #[test]
    fn the_same_model_speaks_of_the_own_names_everywhere() {
        let model: Arc<dyn Classifier> = Arc::new(RouterModel::builtin().unwrap());
        let groups = Groups::new(&own(&[("office", &["writing", "text_ops"])]), &TAXONOMY).unwrap();
        let named = OwnDomains::new(Arc::clone(&model), groups);
        let office = named.place("office").unwrap();
        assert_eq!((named.place("writing"), named.place("text_ops")), (Some(office), Some(office)));
        assert_eq!(named.place("cooking"), None);
        let text = "Write a short mail to our customers about the new opening hours.";
        let (own, before) =
            (named.score(text, &mut || false).unwrap(), model.score(text, &mut || false).unwrap());
        assert!((own.domains()[office] - before.domains()[13] - before.domains()[14]).abs() < 1e-6);
        assert!((own.domains().iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(own.ood(), before.ood());
        let drop = named.explain(text, &|scores| scores.domains()[office]);
        assert_eq!(drop.len(), model.explain(text, &|scores| scores.domains()[13]).len());
        for (own, before) in named.traffic().iter().zip(model.traffic()) {
            assert_eq!(own.label == office, [13, 14].contains(&before.label), "{}", own.text);
        }
        assert!(
            named.known().iter().flat_map(|known| &known.domains).all(|figure| figure.domain != "writing")
        );
        assert_eq!(named.answers().len(), model.answers().len());
    }

    #[test]
    fn figures_of_domains_that_count_together_are_weighed_by_their_answers() {
        let figure = |domain: &str, rows, quality| DomainQuality {
            domain: domain.into(),
            rows,
            quality,
            low: quality - 0.1,
            high: quality + 0.1,
        };
        let name = "office".to_owned();
        let figures = [figure("writing", 300, 0.8), figure("code", 50, 0.5), figure("text_ops", 100, 0.4)];
        let office = |domain: &str| (domain != "code").then_some(&name);
        let found = together(&figures, office, |name| 1 + usize::from(name == "office"));
        assert_eq!(found[0], figure("code", 50, 0.5));
        assert_eq!((found[1].rows, found[1].domain.as_str()), (400, "office"));
        assert!((found[1].quality - 0.7).abs() < 1e-6 && (found[1].low - 0.6).abs() < 1e-6);
        // of a domain that nobody graded nothing is known, whatever it counts together with
        let found = together(&figures[..2], office, |name| 1 + usize::from(name == "office"));
        assert_eq!(found, [figure("code", 50, 0.5)]);
    }
}
