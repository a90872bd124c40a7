//! Asks the router model, under a deadline and a catch. A failure is a value, not an error: it means the
//! fallback, and its reason is told.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use router_model::answers::AnswerSet;
use router_model::traffic::Request;
use router_model::{Attribution, Heads, Known, RouterModel, Scores, Scratch};

/// What routing needs of a router model; a seam for tests and for models of another make.
pub trait Classifier: Send + Sync + std::fmt::Debug {
    /// Names of the domains, in the order of the scores.
    fn domains(&self) -> &[String];

    /// Where a domain stands among the scores, by its name; where it has a name of one's own, by that which the model gave
    /// it, too.
    fn place(&self, domain: &str) -> Option<usize> {
        self.domains().iter().position(|known| known == domain)
    }

    /// Whether some of them are several domains of the model that count together.
    fn merges(&self) -> bool {
        false
    }

    /// Short stable id of the model.
    fn version(&self) -> &str;

    /// Scores a text; `None` once `give_up` said so.
    fn score(&self, text: &str, give_up: &mut dyn FnMut() -> bool) -> Option<Scores>;

    /// The models whose chances it knows, in the order of [`Classifier::heads`].
    fn known(&self) -> &[Known] {
        &[]
    }

    /// The graded answers that it carries, oldest set first: what promises are made from.
    fn answers(&self) -> &[AnswerSet] {
        &[]
    }

    /// The requests that it carries, as people write them.
    fn traffic(&self) -> &[Request] {
        &[]
    }

    /// The heads of these models; `None`: it has none.
    fn heads(&self) -> Option<&Heads> {
        None
    }

    /// Scores a text, and puts the chance of each model of `panel` into `chances`.
    fn judge(
        &self,
        text: &str,
        _panel: &Heads,
        _chances: &mut Vec<f32>,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Option<Scores> {
        self.score(text, give_up)
    }

    /// Change of `of` per word left out; empty where the model cannot say.
    fn explain(&self, text: &str, of: &dyn Fn(&Scores) -> f32) -> Vec<Attribution>;
}

impl Classifier for RouterModel {
    fn domains(&self) -> &[String] {
        self.domains()
    }

    fn version(&self) -> &str {
        self.version()
    }

    fn score(&self, text: &str, give_up: &mut dyn FnMut() -> bool) -> Option<Scores> {
        SCRATCH.with_borrow_mut(|scratch| self.score_until(text, scratch, give_up))
    }

    fn known(&self) -> &[Known] {
        &self.card().known
    }

    fn answers(&self) -> &[AnswerSet] {
        self.answers()
    }

    fn traffic(&self) -> &[Request] {
        self.traffic().requests()
    }

    fn heads(&self) -> Option<&Heads> {
        Some(self.heads())
    }

    fn judge(
        &self,
        text: &str,
        panel: &Heads,
        chances: &mut Vec<f32>,
        give_up: &mut dyn FnMut() -> bool,
    ) -> Option<Scores> {
        SCRATCH.with_borrow_mut(|scratch| {
            let scores = self.score_until(text, scratch, give_up)?;
            if !panel.names().is_empty() {
                self.chances(panel, scratch, chances);
            }
            Some(scores)
        })
    }

    fn explain(&self, text: &str, of: &dyn Fn(&Scores) -> f32) -> Vec<Attribution> {
        SCRATCH.with_borrow_mut(|scratch| self.explain(text, scratch, of))
    }
}

thread_local! {
    /// Buffers of the router model: one set a worker thread, so that nothing is allocated per request.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Scores, or why there are none.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The model's answer.
    Scored(Scores),
    /// It took too long.
    Deadline,
    /// It failed.
    Failed,
}

impl Verdict {
    /// The scores, if any.
    pub fn scores(&self) -> Option<&Scores> {
        if let Self::Scored(scores) = self { Some(scores) } else { None }
    }
}

/// Scores a text within `deadline`, with the chances of the models of `panel`.
pub fn classify(
    model: &dyn Classifier,
    text: &str,
    panel: &Heads,
    chances: &mut Vec<f32>,
    deadline: Duration,
) -> Verdict {
    let start = Instant::now();
    let mut late = || start.elapsed() > deadline;
    let outcome = catch_unwind(AssertUnwindSafe(|| model.judge(text, panel, chances, &mut late)));
    let took = start.elapsed();
    match outcome {
        Ok(Some(scores)) if took <= deadline && is_sound(&scores) => Verdict::Scored(scores),
        Ok(Some(_)) if took <= deadline => Verdict::Failed,
        Ok(_) => Verdict::Deadline,
        Err(_) => {
            tracing::error!(model = model.version(), "the router model panicked; the fallback answers");
            Verdict::Failed
        }
    }
}

/// A distribution, not the output of a broken file.
pub(crate) fn is_sound(scores: &Scores) -> bool {
    let sum: f32 = scores.domains().iter().sum();
    scores.domains().iter().all(|p| p.is_finite()) && (sum - 1.0).abs() < 0.01
}
