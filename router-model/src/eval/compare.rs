//! Can several small models stand in for a large one? Four ways to answer the same prompts, and their controls,
//! each held against the large model prompt by prompt.
//!
//! What a way is worth is a score per prompt, so that every difference is paired: the same prompts, one
//! subtracted from the other, resampled together. Nothing is judged on what it was chosen by: chances come from
//! heads that did not see the prompt, and the best single small model is chosen on the other parts.

use std::fmt;

use serde::Serialize;

use super::panel::{Point, Trial, choose, hull};
use super::stats::{bootstrap, mean};

/// The most that the mixture with fallback may spend, as a share of always asking the large model.
pub const BUDGET: f64 = 0.5;
/// How far from zero a difference may reach for «tie»: three points in a hundred. Wider is «undecided».
pub const TIE: f64 = 0.03;

/// What an interval of the difference to the large model allows to say; in points of a hundred when printed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of the interval is above zero.
    Wins([f64; 2]),
    /// It holds zero and reaches no further than [`TIE`].
    Tie(f64),
    /// All of it is below zero: by how much, the lesser first.
    Loses([f64; 2]),
    /// It holds zero and reaches too far to call it a tie.
    Undecided([f64; 2]),
}

impl Verdict {
    /// The verdict of a 95 % interval of the difference to the large model.
    pub fn of([low, high]: [f64; 2]) -> Verdict {
        let widest = low.abs().max(high.abs());
        match () {
            () if low > 0.0 => Verdict::Wins([low, high]),
            () if high < 0.0 => Verdict::Loses([-high, -low]),
            () if widest <= TIE => Verdict::Tie(widest),
            () => Verdict::Undecided([low, high]),
        }
    }

    /// In words, of whoever was held against the large model.
    pub fn of_whom(&self, who: &str) -> String {
        match self {
            Verdict::Wins(_) | Verdict::Loses(_) => format!("{who} {self}"),
            Verdict::Tie(_) | Verdict::Undecided(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = |share: &f64| share * 100.0;
        match self {
            Verdict::Wins([low, high]) => write!(f, "wins by {:.1} to {:.1}", points(low), points(high)),
            Verdict::Tie(within) => write!(f, "tie (within ±{:.1})", points(within)),
            Verdict::Loses([low, high]) => write!(f, "loses by {:.1} to {:.1}", points(low), points(high)),
            Verdict::Undecided([low, high]) => write!(f, "undecided ({} to {})", signed(*low), signed(*high)),
        }
    }
}

/// A difference in points of a hundred, with its sign; nothing has none.
pub fn signed(share: f64) -> String {
    let text = format!("{:+.1}", share * 100.0);
    if matches!(text.as_str(), "+0.0" | "-0.0") { "0.0".to_owned() } else { text }
}

/// A figure and its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figure {
    /// Over all prompts.
    pub value: f64,
    /// 95 % of the resamples lie here.
    pub interval: [f64; 2],
}

impl Figure {
    /// The mean of one value per prompt.
    fn mean_of(values: &[f64]) -> Figure {
        let over = |picks: &[usize]| mean(picks.iter().map(|&pick| values[pick]));
        Figure { value: mean(values.iter().copied()), interval: bootstrap(values.len(), over) }
    }

    /// The mean of what `a` has more than `b`, prompt by prompt.
    fn difference(a: &[f64], b: &[f64]) -> Figure {
        Figure::mean_of(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
    }
}

/// One way to answer the prompts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Way {
    /// Mean score of the answers.
    pub quality: Figure,
    /// Cost as a share of always asking the large model.
    pub cost: f64,
    /// Mean score less that of the large model.
    pub difference: Figure,
    /// What that difference allows to say.
    pub verdict: Verdict,
}

/// The mixture of small models with the large one as fallback.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fallback {
    /// How it does.
    pub way: Way,
    /// Share of the prompts that the large model answers.
    pub large_share: f64,
    /// Control: random mixing of single models, the best there is for the same cost.
    pub random: Way,
    /// Control: the same choices dealt out to other prompts.
    pub shuffled: Way,
    /// What it has more than random mixing.
    pub over_random: Figure,
    /// What it has more than its shuffled self.
    pub over_shuffled: Figure,
}

/// What [`judge`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Prompts.
    pub n: usize,
    /// Mean score of the large model.
    pub large: Figure,
    /// The small model that is best on the other parts, judged on this one, in turn.
    pub best: Way,
    /// Which small model that is most often.
    pub best_name: String,
    /// In how many of the parts.
    pub best_parts: usize,
    /// How many parts there are.
    pub parts: usize,
    /// Every prompt to the small model of the highest chance.
    pub routed: Way,
    /// Control: random mixing of small models, the best there is for the same cost.
    pub routed_random: Way,
    /// Control: the same choices dealt out to other prompts.
    pub routed_shuffled: Way,
    /// What the routed have more than the best single one.
    pub over_best: Figure,
    /// What the routed have more than their shuffled selves.
    pub over_shuffled: Figure,
    /// The mixture with fallback at no more than [`BUDGET`]; none where even the cheapest model costs more.
    pub fallback: Option<Fallback>,
    /// Share of what is to be had by whoever knows beforehand which small model answers best: a ceiling that
    /// counts lucky guesses too.
    pub ceiling: f64,
}

/// What each prompt's answer is worth and costs.
struct Lane {
    scores: Vec<f64>,
    costs: Vec<f64>,
}

/// Compares: `names` are the small models and, last, the large one, as in every trial; `parts` is the part of a
/// cross-validation that each trial is in.
pub fn judge(names: &[String], trials: &[Trial], parts: &[usize]) -> Comparison {
    let large_at = names.len().saturating_sub(1);
    let small: Vec<usize> = (0..large_at).collect();
    let all: Vec<usize> = (0..names.len()).collect();
    let large = lane(trials, &vec![large_at; trials.len()]);
    let (best_picks, best_at, best_parts) = best_on_the_others(trials, parts, &small);
    let best = lane(trials, &best_picks);
    let routed_picks = at_dial(trials, &small, 0.0);
    let routed = lane(trials, &routed_picks);
    let routed_shuffled = shuffled(trials, &routed_picks);
    let way = |lane: &Lane| way(lane, &large);
    Comparison {
        n: trials.len(),
        large: Figure::mean_of(&large.scores),
        best: way(&best),
        best_name: names[best_at].clone(),
        best_parts,
        parts: parts.iter().max().map_or(0, |most| most + 1),
        routed: way(&routed),
        routed_random: way(&random(trials, &small, mean(routed.costs.iter().copied()))),
        routed_shuffled: way(&routed_shuffled),
        over_best: Figure::difference(&routed.scores, &best.scores),
        over_shuffled: Figure::difference(&routed.scores, &routed_shuffled.scores),
        fallback: within_budget(trials, &all, &large).map(|picks| {
            let mixed = lane(trials, &picks);
            let random = random(trials, &all, mean(mixed.costs.iter().copied()));
            let shuffled = shuffled(trials, &picks);
            Fallback {
                way: way(&mixed),
                large_share: mean(picks.iter().map(|&pick| f64::from(u8::from(pick == large_at)))),
                random: way(&random),
                shuffled: way(&shuffled),
                over_random: Figure::difference(&mixed.scores, &random.scores),
                over_shuffled: Figure::difference(&mixed.scores, &shuffled.scores),
            }
        }),
        ceiling: mean(
            trials
                .iter()
                .map(|trial| f64::from(trial.scores[..large_at].iter().copied().fold(0.0, f32::max))),
        ),
    }
}

fn way(lane: &Lane, large: &Lane) -> Way {
    let difference = Figure::difference(&lane.scores, &large.scores);
    let spent: f64 = large.costs.iter().sum();
    Way {
        quality: Figure::mean_of(&lane.scores),
        cost: if spent > 0.0 { lane.costs.iter().sum::<f64>() / spent } else { 0.0 },
        difference,
        verdict: Verdict::of(difference.interval),
    }
}

/// Each prompt by the model picked for it.
fn lane(trials: &[Trial], picks: &[usize]) -> Lane {
    let rows = || trials.iter().zip(picks);
    Lane {
        scores: rows().map(|(trial, &pick)| f64::from(trial.scores[pick])).collect(),
        costs: rows().map(|(trial, &pick)| trial.costs[pick]).collect(),
    }
}

/// Each prompt by a model drawn with these shares: what is to be expected of it.
fn mixed(trials: &[Trial], shares: &[(usize, f64)]) -> Lane {
    let expected = |of: &dyn Fn(&Trial, usize) -> f64| -> Vec<f64> {
        trials.iter().map(|trial| shares.iter().map(|&(at, share)| share * of(trial, at)).sum()).collect()
    };
    Lane {
        scores: expected(&|trial, at| f64::from(trial.scores[at])),
        costs: expected(&|trial, at| trial.costs[at]),
    }
}

/// The same picks dealt out to the prompts at random: the mean over all ways of dealing.
fn shuffled(trials: &[Trial], picks: &[usize]) -> Lane {
    let models = picks.iter().max().map_or(0, |most| most + 1);
    let share = |at: usize| picks.iter().filter(|&&pick| pick == at).count() as f64 / picks.len() as f64;
    mixed(trials, &(0..models).map(|at| (at, share(at))).collect::<Vec<_>>())
}

/// The best random mixing of two of these models that costs no more than `cost`.
fn random(trials: &[Trial], models: &[usize], cost: f64) -> Lane {
    let single = |at: &usize| Point {
        cost: mean(trials.iter().map(|trial| trial.costs[*at])),
        quality: mean(trials.iter().map(|trial| f64::from(trial.scores[*at]))),
    };
    let singles: Vec<Point> = models.iter().map(single).collect();
    let hull = hull(&singles);
    let at = |point: &Point| singles.iter().position(|single| single == point).map_or(0, |at| models[at]);
    let above = hull.iter().position(|point| point.cost > cost);
    match above {
        Some(above) if above > 0 => {
            let (low, high) = (hull[above - 1], hull[above]);
            let share = (cost - low.cost) / (high.cost - low.cost);
            mixed(trials, &[(at(&low), 1.0 - share), (at(&high), share)])
        }
        Some(_) => mixed(trials, &[(at(&hull[0]), 1.0)]),
        None => mixed(trials, &hull.last().map(|last| (at(last), 1.0)).into_iter().collect::<Vec<_>>()),
    }
}

/// Per trial the small model that is best on the other parts; the one picked for most parts, and for how many.
fn best_on_the_others(trials: &[Trial], parts: &[usize], small: &[usize]) -> (Vec<usize>, usize, usize) {
    let count = parts.iter().max().map_or(0, |most| most + 1);
    let best_of = |part: usize| {
        let others = || trials.iter().zip(parts).filter(move |(_, at)| **at != part);
        let quality = |model: usize| mean(others().map(|(trial, _)| f64::from(trial.scores[model])));
        small.iter().copied().max_by(|a, b| quality(*a).total_cmp(&quality(*b))).unwrap_or(0)
    };
    let best: Vec<usize> = (0..count).map(best_of).collect();
    let times = |model: usize| best.iter().filter(|&&at| at == model).count();
    let most = small.iter().copied().max_by_key(|&model| times(model)).unwrap_or(0);
    (parts.iter().map(|&part| best[part]).collect(), most, times(most))
}

/// The picks among `models` at a dial. What an answer will cost is not known beforehand: each model counts with
/// its mean.
fn at_dial(trials: &[Trial], models: &[usize], dial: f64) -> Vec<usize> {
    let costs: Vec<f64> = models.iter().map(|&at| mean(trials.iter().map(|trial| trial.costs[at]))).collect();
    let highest = costs.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let pick = |trial: &Trial| {
        let chances: Vec<f32> = models.iter().map(|&at| trial.chances[at]).collect();
        models[choose(&chances, &costs, dial / highest)]
    };
    trials.iter().map(pick).collect()
}

/// The picks at the least dial that spends no more than [`BUDGET`] of the large model. Only costs decide it, not
/// how the answers turn out.
fn within_budget(trials: &[Trial], all: &[usize], large: &Lane) -> Option<Vec<usize>> {
    let budget = BUDGET * large.costs.iter().sum::<f64>();
    let fits = |picks: &Vec<usize>| lane(trials, picks).costs.iter().sum::<f64>() <= budget;
    let free = at_dial(trials, all, 0.0);
    if fits(&free) {
        return Some(free);
    }
    // in equal ratios, from «cost is next to nothing» to «cost is all»
    let at = |exponent: f64| at_dial(trials, all, 10_f64.powf(exponent));
    let (mut low, mut high) = (-6.0, 6.0);
    let mut found = Some(at(high)).filter(|picks| fits(picks))?;
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        let picks = at(middle);
        if fits(&picks) {
            (high, found) = (middle, picks);
        } else {
            low = middle;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_never_says_more_than_its_interval() {
        for (interval, said) in [
            ([0.004, 0.02], "wins by 0.4 to 2.0"),
            ([-0.012, 0.02], "tie (within ±2.0)"),
            ([-0.03, 0.03], "tie (within ±3.0)"),
            ([-0.0301, 0.01], "undecided (-3.0 to +1.0)"),
            ([-0.02, 0.08], "undecided (-2.0 to +8.0)"),
            ([-0.051, -0.01], "loses by 1.0 to 5.1"),
            ([0.0, 0.0], "tie (within ±0.0)"),
            ([0.0, 0.031], "undecided (0.0 to +3.1)"),
            ([-0.04, -0.0001], "loses by 0.0 to 4.0"),
        ] {
            assert_eq!(Verdict::of(interval).to_string(), said);
        }
        assert_eq!(Verdict::of([0.01, 0.02]).of_whom("small"), "small wins by 1.0 to 2.0");
        assert_eq!(Verdict::of([-0.01, 0.02]).of_whom("small"), "tie (within ±2.0)");
        assert_eq!((signed(-0.0004), signed(0.012)), ("0.0".to_owned(), "+1.2".to_owned()));
    }

    #[test]
    fn a_paired_interval_is_narrow_where_two_fail_on_the_same_prompts() {
        let hard: Vec<f64> = (0..1000).map(|n| f64::from(n % 2)).collect();
        let almost: Vec<f64> = (0..1000).map(|n| if n % 100 == 0 { 1.0 } else { f64::from(n % 2) }).collect();
        let paired = Figure::difference(&almost, &hard);
        assert!((paired.value - 0.01).abs() < 1e-9, "{paired:?}");
        assert!(paired.interval[0] > 0.0 && paired.interval[1] < 0.02, "{paired:?}");
        let alone = Figure::mean_of(&hard).interval;
        assert!(alone[1] - alone[0] > 0.05, "{alone:?}");
        assert_eq!(Figure::difference(&hard, &hard).interval, [0.0, 0.0]);
    }

    /// Two small models, each right on its half, and a large one that is right on nine in ten.
    fn comparison(knows: bool) -> Comparison {
        let trial = |n: usize| {
            let (a, b) = ((n % 2) as f32, (1 - n % 2) as f32);
            let large = f32::from(u8::from(!n.is_multiple_of(10)));
            let said = if knows { [a, b] } else { [0.6, 0.5] };
            Trial {
                chances: vec![said[0] * 0.8, said[1] * 0.8, 0.85],
                scores: vec![a, b, large],
                costs: vec![1.0, 1.0, 10.0],
            }
        };
        let trials: Vec<Trial> = (0..1000).map(trial).collect();
        let parts: Vec<usize> = (0..1000).map(|n| n / 7 % 5).collect();
        judge(&["a".into(), "b".into(), "large".into()], &trials, &parts)
    }

    #[test]
    fn small_models_that_complete_each_other_win_when_routed_and_lose_one_by_one() {
        let found = comparison(true);
        assert!((found.routed.quality.value - 1.0).abs() < 1e-9 && (found.routed.cost - 0.1).abs() < 1e-9);
        assert!(matches!(found.routed.verdict, Verdict::Wins(_)), "{:?}", found.routed);
        assert!(matches!(found.best.verdict, Verdict::Loses(_)), "{:?}", found.best);
        assert!((found.routed_shuffled.quality.value - 0.5).abs() < 1e-9);
        assert!(found.over_shuffled.interval[0] > 0.4 && found.ceiling == 1.0);
    }

    #[test]
    fn a_fallback_keeps_its_budget_and_one_that_knows_nothing_is_no_better_than_chance() {
        let knowing = comparison(true).fallback.unwrap();
        assert!(knowing.way.cost <= BUDGET && knowing.over_random.interval[0] > 0.1, "{knowing:?}");
        let blind = comparison(false).fallback.unwrap();
        assert!(blind.way.cost <= BUDGET && blind.over_random.interval[0] <= 0.0, "{blind:?}");
        assert!(blind.over_shuffled.value.abs() < 1e-9);
    }

    #[test]
    fn where_even_the_small_model_costs_too_much_there_is_no_fallback() {
        let trial = Trial { chances: vec![0.2, 0.9], scores: vec![1.0, 1.0], costs: vec![6.0, 10.0] };
        let found = judge(&["small".into(), "large".into()], &vec![trial; 50], &[0; 50]);
        assert!(found.fallback.is_none() && found.best_name == "small");
    }
}
