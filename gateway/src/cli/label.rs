//! `mixgate label`: labels one's own traffic by hand, the prompts that the router model is least sure of first.
//!
//! Each label is one line, appended and synced before the next prompt is shown, so it can be stopped at any time; started
//! again, it goes on where it was. One file serves all that learns: a line has the prompt and its domain (`train --domains`,
//! `--requests`, `eval --rules`), grades by model (`calibrate --outcomes`), and the decision's id with its score
//! (`train --from-log --grades`). Where several decisions are about one prompt, it is labelled once; the grade of each
//! further one has a line of its own.

mod file;
mod item;
mod keys;
mod show;

use std::path::PathBuf;

use router_model::data::NONE;
use router_model::{RouterModel, Scores};

use super::Exit;
use crate::cli::print;
use crate::config::is_name;
use file::{Label, Labels};
use item::Item;
use keys::{Keys, Press};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Where standard input is no terminal, each line of it is a key, or the name of a domain."
)]
pub(super) struct Args {
    /// What is labelled: a decision log whose records have their text (`log.content: full`), or JSON lines with `prompt`
    /// or `messages`, or both, and, where known, `answers{name: text}`.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where labels go: a line is appended for each, and what is labelled there is not asked again.
    #[arg(long, value_name = "FILE", default_value = "labels.jsonl")]
    out: PathBuf,
    /// The router model that proposes a domain: `builtin`, or a file.
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    model: String,
    /// A domain of your own that the model does not know; it can be chosen like the others, and is learned from 50
    /// examples on (`train --add`).
    #[arg(long = "domain", value_name = "NAME")]
    domains: Vec<String>,
    /// Ask for domains alone, not whether answers are good.
    #[arg(long)]
    no_grades: bool,
}

pub(super) fn run(args: Args) -> Result<(), Exit> {
    let Args { files, out, model, domains: own, no_grades } = args;
    let model = super::load_router_model(&model)?;
    let domains = domains(&model, own)?;
    let mut items = item::read(&files)?;
    let all = items.len();
    let mut labels = Labels::open(&out)?;
    items.retain(|item| !labels.has(&item.key()));
    if no_grades {
        items.iter_mut().for_each(|item| item.answers.clear());
    }
    let open = order(&model, items);
    print::err!("{all} prompts, {} of them not labelled yet in {}", open.len(), out.display());
    let mut session = Session { domains: &domains, keys: Keys::new(), labels: &mut labels, made: 0 };
    session.go(&open)?;
    let made = session.made;
    print::out!(
        "{}: {made} labels more, {} in all, {} prompts left",
        out.display(),
        labels.count(),
        open.len() - made
    );
    Ok(())
}

/// The domains of the model, and behind them those of one's own.
fn domains(model: &RouterModel, own: Vec<String>) -> Result<Vec<String>, Exit> {
    let mut domains = model.domains().to_vec();
    for name in own {
        // a letter is a key
        if !is_name(&name) || name.len() < 2 || name == NONE {
            return Err(Exit::Usage(format!(
                "--domain {name}: a name has two letters, digits, `-`, `_`, `.` at least"
            )));
        }
        if !domains.contains(&name) {
            domains.push(name);
        }
    }
    Ok(domains)
}

/// The prompts with what the model says of them, the least sure first.
fn order(model: &RouterModel, items: Vec<Item>) -> Vec<(Item, Scores)> {
    let scored = items.into_iter().map(|item| {
        let scores = super::eval::served::read(model, &item.row());
        (item, scores)
    });
    let mut scored: Vec<(Item, Scores)> = scored.collect();
    scored.sort_by(|(_, one), (_, other)| one.top().1.total_cmp(&other.top().1));
    scored
}

/// What becomes of a prompt.
enum Verdict {
    /// Its domain; `None`: whoever labels cannot say.
    Domain(Option<String>),
    Undo,
    Stop,
}

/// Whether there is somebody who answers on.
#[derive(PartialEq)]
enum Goes {
    On,
    Stops,
}

/// Somebody who labels.
struct Session<'s> {
    /// Those of the model, then those of one's own.
    domains: &'s [String],
    keys: Keys,
    labels: &'s mut Labels,
    made: usize,
}

impl Session<'_> {
    fn go(&mut self, open: &[(Item, Scores)]) -> Result<(), Exit> {
        while let Some((item, scores)) = open.get(self.made) {
            show::prompt(self.made + 1, open.len(), item, self.domains, scores);
            let mut also = Vec::new();
            match self.domain(scores, &mut also)? {
                Verdict::Stop => return Ok(()),
                Verdict::Undo if self.made == 0 => print::err!("there is nothing to take back"),
                Verdict::Undo => {
                    self.labels.take_back()?;
                    self.made -= 1;
                }
                Verdict::Domain(domain) => {
                    let mut label = Label::of(item, domain, also);
                    let goes = if label.domain.is_some() { self.grade(item, &mut label)? } else { Goes::On };
                    if goes == Goes::Stops {
                        // half a label is asked for again
                        return Ok(());
                    }
                    self.labels.append(&label)?;
                    self.made += 1;
                }
            }
        }
        Ok(())
    }

    /// Asks what the prompt is about; further domains that could be right go to `also`.
    fn domain(&mut self, scores: &Scores, also: &mut Vec<String>) -> Result<Verdict, Exit> {
        let proposed = self.domains[scores.top().0].clone();
        loop {
            show::keys(&proposed, also);
            let chosen = match self.keys.next()? {
                Press::End => return Ok(Verdict::Stop),
                Press::Enter => Some(proposed.clone()),
                Press::Text(text) => match text.as_str() {
                    "q" => return Ok(Verdict::Stop),
                    "s" => return Ok(Verdict::Domain(None)),
                    "u" => return Ok(Verdict::Undo),
                    "-" => Some(NONE.to_owned()),
                    "c" => self.choose()?,
                    "+" => {
                        also.extend(self.choose()?);
                        None
                    }
                    name => self.named(name),
                },
            };
            if let Some(domain) = chosen {
                also.retain(|other| *other != domain);
                return Ok(Verdict::Domain(Some(domain)));
            }
        }
    }

    /// A domain by its letter or its name; `None`: none was chosen after all.
    fn choose(&mut self) -> Result<Option<String>, Exit> {
        show::domains(self.domains);
        let Press::Text(text) = self.keys.next()? else { return Ok(None) };
        let at = |letter: char| self.domains.get((letter as usize).checked_sub('a' as usize)?).cloned();
        let mut letters = text.chars();
        let chosen = match (letters.next(), letters.next()) {
            (Some('-'), None) => Some(NONE.to_owned()),
            (Some(letter), None) => at(letter),
            _ => self.named(&text),
        };
        if chosen.is_none() {
            print::err!("`{text}` is neither the letter nor the name of a domain");
        }
        Ok(chosen)
    }

    fn named(&self, name: &str) -> Option<String> {
        let known = name == NONE || self.domains.iter().any(|domain| domain == name);
        known.then(|| name.to_owned())
    }

    /// Asks of each answer on record whether it is good.
    fn grade<'i>(&mut self, item: &'i Item, label: &mut Label<'i>) -> Result<Goes, Exit> {
        for answer in &item.answers {
            show::answer(answer);
            loop {
                match self.keys.next()? {
                    Press::End => return Ok(Goes::Stops),
                    Press::Enter => break,
                    Press::Text(text) => match text.as_str() {
                        "0" | "1" => {
                            label.grade(answer, u8::from(text == "1"));
                            break;
                        }
                        "q" => return Ok(Goes::Stops),
                        _ => show::grades(),
                    },
                }
            }
        }
        Ok(Goes::On)
    }
}
