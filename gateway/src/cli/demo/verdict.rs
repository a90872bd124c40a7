//! The closing table of the demo: how many answers were right, as the models' recorded answers were graded, and
//! for how much.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use owo_colors::OwoColorize;

use super::judge::{Judgement, Trial, Way, judge};
use super::world::World;
use super::{Prompt, graded};
use crate::cli::print;
use crate::price::{MicroUsd, Price};
use crate::record::Finished;

/// A model of the panel.
struct Model {
    name: String,
    catalogue: String,
    price: Price,
}

/// The graded prompts so far.
pub(super) struct Verdict {
    /// Every model with recorded answers.
    panel: Vec<Model>,
    /// The large one's place in it.
    large: usize,
    trials: Vec<Trial>,
}

impl Verdict {
    /// Nothing is judged yet.
    pub(super) fn new(world: &World) -> Self {
        let snapshot = world.gateway.state.snapshot();
        let fallback = &snapshot.experts[snapshot.fallback].name;
        let on_record = |name: &str| graded::catalogue().any(|known| known == name);
        let model = |expert: &crate::expert::Expert| {
            let catalogue = expert.catalogue.clone().filter(|name| on_record(name))?;
            Some(Model { name: expert.name.to_string(), catalogue, price: expert.price? })
        };
        let panel: Vec<Model> = snapshot.experts.iter().filter_map(model).collect();
        let large = panel.iter().position(|model| *model.name == **fallback).unwrap_or_default();
        Self { panel, large, trials: Vec::new() }
    }

    /// Whether the answer is right; none where it was not graded.
    pub(super) fn right(&self, prompt: &Prompt, record: &Finished) -> Option<bool> {
        prompt.right.get(&self.panel[self.route(record)?].catalogue).copied()
    }

    /// Takes a graded prompt in.
    pub(super) fn note(&mut self, prompt: &Prompt, record: &Finished) {
        let (Some(route), Some(usage)) = (self.route(record), record.usage) else { return };
        let right: Option<Vec<bool>> =
            self.panel.iter().map(|model| prompt.right.get(&model.catalogue).copied()).collect();
        let Some(right) = right else { return };
        let cost: Vec<MicroUsd> = self.panel.iter().map(|model| model.price.cost(&usage)).collect();
        self.trials.push(Trial { domain: prompt.domain.clone(), route, right, cost });
    }

    fn route(&self, record: &Finished) -> Option<usize> {
        self.panel.iter().position(|model| Some(model.name.as_str()) == record.chosen.as_deref())
    }

    /// The table and what it means, in words.
    pub(super) fn show(&self) {
        let Some(judged) = judge(&self.trials, self.large) else { return };
        print::out!();
        print::out!("{}", format!("Right answers to {} graded prompts, and their cost", judged.n).bold());
        print::out!("{}", self.table(&judged));
        print::out!("{}", loss(&judged, &self.panel[self.large].name));
        let control = control(&judged);
        let knows = judged.beats(&judged.shuffled);
        print::out!("{}", if knows { control } else { control.yellow().to_string() });
        for line in [
            "Replayed: right or wrong, as the sources graded these models' recorded answers (PROMPTS.md); the",
            "router learned from other prompts. Simulated: texts, lengths and latencies. Prices: examples.",
        ] {
            print::out!("{}", line.dimmed());
        }
    }

    fn table(&self, judged: &Judgement) -> Table {
        let name = |place: usize| self.panel[place].name.as_str();
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            "who answers",
            "right",
            "share",
            "95 %",
            "cost $",
            "of the large",
        ]);
        let ways = [
            ("mixgate, as it routed".to_owned(), &judged.routed),
            (format!("always {} (large)", name(self.large)), &judged.large),
            (format!("always {} (cheapest)", name(judged.cheapest.0)), &judged.cheapest.1),
            (format!("always {} (best expert)", name(judged.best.0)), &judged.best.1),
            ("its routes, dealt to other prompts".to_owned(), &judged.shuffled),
            ("its routes, dealt within domains".to_owned(), &judged.within),
        ];
        for (name, way) in ways {
            table.add_row(cells(name, way, judged));
        }
        table
    }
}

fn cells(name: String, way: &Way, judged: &Judgement) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let [low, high] = way.interval.map(|share| 100.0 * share);
    vec![
        Cell::new(name),
        right(format!("{:.0}", way.right * judged.n as f64)),
        right(format!("{:.0} %", 100.0 * way.right)),
        right(format!("{low:.0} to {high:.0} %")),
        right(format!("{:.6}", way.cost / 1e6)),
        right(format!("{:.0} %", 100.0 * way.cost / judged.large.cost.max(1.0))),
    ]
}

/// What was saved, and what it cost in quality.
fn loss(judged: &Judgement, large: &str) -> String {
    let saved = 100.0 * (1.0 - judged.routed.cost / judged.large.cost.max(1.0));
    let (gain, [low, high]) = judged.gain;
    let count = (gain * judged.n as f64).round();
    let right = match count {
        0.0 => "as many answers are right".to_owned(),
        -1.0 => "1 answer fewer is right".to_owned(),
        1.0 => "1 answer more is right".to_owned(),
        count if count < 0.0 => format!("{:.0} answers fewer are right", -count),
        count => format!("{count:.0} answers more are right"),
    };
    let [gain, low, high] = [gain, low, high].map(|share| 100.0 * share);
    format!(
        "Against always {large}: {saved:.0} % saved; {right} ({gain:+.0} points, 95 %: {low:+.0} to {high:+.0})."
    )
}

/// What the router knew, in words; the intervals hold 95 % of the deals.
fn control(judged: &Judgement) -> String {
    let found = |shuffled: &Way| {
        let count = |share: f64| share * judged.n as f64;
        let [low, high] = shuffled.interval.map(count);
        let (routed, shuffled) = (count(judged.routed.right), count(shuffled.right));
        format!("{routed:.0} right to {shuffled:.0} (95 %: {low:.0} to {high:.0})")
    };
    let (anywhere, within) = (found(&judged.shuffled), found(&judged.within));
    if !judged.beats(&judged.shuffled) {
        return format!(
            "The router is not significantly better than its own routes dealt to other prompts:\n{anywhere}.\n\
             What is saved comes from the mix of models, not from knowing which prompt wants which."
        );
    }
    let domains = if judged.beats(&judged.within) {
        "It beats them dealt within each domain too"
    } else {
        "Within a domain it is not significantly better than dealing"
    };
    format!("The router beats its own routes dealt to other prompts: {anywhere}.\n{domains}: {within}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(right: f64, gain: f64) -> Judgement {
        let way = |right: f64, cost| Way { right, interval: [right - 0.1, right + 0.1], cost };
        Judgement {
            n: 100,
            routed: way(right, 50.0),
            large: way(0.8, 200.0),
            cheapest: (0, way(0.2, 1.0)),
            best: (1, way(0.6, 10.0)),
            shuffled: way(0.6, 50.0),
            within: way(0.65, 50.0),
            gain: (gain, [gain - 0.05, gain + 0.05]),
        }
    }

    #[test]
    fn the_words_say_what_was_saved_and_what_was_lost() {
        assert_eq!(
            loss(&judged(0.72, -0.08), "gpt"),
            "Against always gpt: 75 % saved; 8 answers fewer are right (-8 points, 95 %: -13 to -3)."
        );
        assert!(loss(&judged(0.8, 0.0), "gpt").contains("; as many answers are right ("));
        assert!(loss(&judged(0.82, 0.02), "gpt").contains("; 2 answers more are right (+2 points"));
    }

    #[test]
    fn a_router_within_its_shuffles_is_told_so() {
        let says = control(&judged(0.76, 0.0));
        assert!(
            says.starts_with("The router beats its own") && says.contains("within each domain too"),
            "{says}"
        );
        let says = control(&judged(0.72, 0.0));
        assert!(says.contains("\nWithin a domain it is not significantly better"), "{says}");
        let says = control(&judged(0.68, 0.0));
        assert!(says.contains("not significantly better") && says.contains("68 right to 60"), "{says}");
    }

    #[test]
    fn every_line_fits_a_terminal_of_100_columns() {
        let judgements = [(0.76, -0.11), (0.72, 0.0), (0.68, 0.1)].map(|(right, gain)| judged(right, gain));
        let lines = judgements.iter().flat_map(|judged| [loss(judged, "a-large-model"), control(judged)]);
        for line in lines.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
            assert!(line.len() <= 100, "{}: {line}", line.len());
        }
    }
}
