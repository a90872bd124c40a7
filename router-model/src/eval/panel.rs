//! A panel of experts with prices: what does routing reach, for what cost, beside its controls.
//!
//! A prompt goes to the expert of the highest chance less λ times cost; λ is the dial. The hull is what mixing
//! single models at random can reach; a router earns its keep only below it.

use serde::Serialize;

use super::stats::{bootstrap, mean, shuffle};
use crate::random::Random;

/// One prompt: per expert the chance that the router gave it, how it answered, and what that cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Chances of a good answer.
    pub chances: Vec<f32>,
    /// Scores of the answers, 0 to 1.
    pub scores: Vec<f32>,
    /// Costs of the answers, in any one unit.
    pub costs: Vec<f64>,
}

/// Accuracy and cost per prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Point {
    /// Mean cost of an answer.
    pub cost: f64,
    /// Mean score of the answers.
    pub quality: f64,
}

/// What [`judge`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PanelReport {
    /// Prompts.
    pub n: usize,
    /// Each expert alone, as given.
    pub singles: Vec<(String, Point)>,
    /// Upper convex hull of the singles, by cost.
    pub hull: Vec<Point>,
    /// The router over its dial, by cost.
    pub curve: Vec<Point>,
    /// Control: the router's chances of other prompts, over the same dial.
    pub shuffled: Vec<Point>,
    /// The best single expert.
    pub best: String,
    /// Per prompt the cheapest expert that is right, else the cheapest: nobody can do better.
    pub oracle: Point,
    /// Cost for 98 % of the best single expert's accuracy as a share of the hull's cost for it.
    pub cost_share: Option<f64>,
    /// Its 95 % bootstrap interval.
    pub cost_share_interval: Option<[f64; 2]>,
    /// The same for the shuffled control; none: never reached.
    pub shuffled_cost_share: Option<f64>,
}

/// The part of the best single expert's accuracy that the cost share is taken at.
pub const TARGET: f64 = 0.98;

/// Judges a panel.
pub fn judge(names: &[String], trials: &[Trial]) -> PanelReport {
    let all: Vec<usize> = (0..trials.len()).collect();
    let singles: Vec<Point> = (0..names.len()).map(|expert| single(trials, &all, expert)).collect();
    let best = (0..names.len()).max_by(|a, b| singles[*a].quality.total_cmp(&singles[*b].quality));
    let mut shuffled: Vec<Trial> = trials.to_vec();
    let mut chances: Vec<Vec<f32>> = trials.iter().map(|trial| trial.chances.clone()).collect();
    shuffle(&mut chances, &mut Random::new(3));
    shuffled.iter_mut().zip(chances).for_each(|(trial, chances)| trial.chances = chances);
    let share = |picks: &[usize]| cost_share(trials, names.len(), picks);
    PanelReport {
        n: trials.len(),
        hull: hull(&singles),
        curve: curve(trials, &all),
        shuffled: curve(&shuffled, &all),
        best: best.map(|best| names[best].clone()).unwrap_or_default(),
        oracle: oracle(trials),
        cost_share: share(&all),
        cost_share_interval: share(&all)
            .map(|_| bootstrap(trials.len(), |picks| share(picks).unwrap_or(1.0))),
        shuffled_cost_share: cost_share(&shuffled, names.len(), &all),
        singles: names.iter().cloned().zip(singles).collect(),
    }
}

fn single(trials: &[Trial], picks: &[usize], expert: usize) -> Point {
    Point {
        cost: mean(picks.iter().map(|&pick| trials[pick].costs[expert])),
        quality: mean(picks.iter().map(|&pick| f64::from(trials[pick].scores[expert]))),
    }
}

fn oracle(trials: &[Trial]) -> Point {
    let pick = |trial: &Trial| {
        let cheaper = |a: &usize, b: &usize| trial.costs[*a].total_cmp(&trial.costs[*b]);
        let experts = 0..trial.costs.len();
        let right = experts.clone().filter(|&expert| trial.scores[expert] >= 0.5).min_by(cheaper);
        right.or(experts.min_by(cheaper)).unwrap_or_default()
    };
    Point {
        cost: mean(trials.iter().map(|trial| trial.costs.get(pick(trial)).copied().unwrap_or_default())),
        quality: mean(trials.iter().map(|t| f64::from(t.scores.get(pick(t)).copied().unwrap_or_default()))),
    }
}

/// Steps of the dial.
const STEPS: i32 = 40;

fn curve(trials: &[Trial], picks: &[usize]) -> Vec<Point> {
    let highest = trials.iter().flat_map(|trial| &trial.costs).fold(f64::MIN_POSITIVE, |a, b| a.max(*b));
    let at = |step: i32| {
        // from «cost is nothing» to «cost is all», in equal ratios
        let dial = if step == 0 { 0.0 } else { 1e-3 * 1e5_f64.powf(f64::from(step) / f64::from(STEPS)) };
        let mut point = Point::default();
        for &pick in picks {
            let trial = &trials[pick];
            let best = choose(&trial.chances, &trial.costs, dial / highest);
            point.cost += trial.costs[best];
            point.quality += f64::from(trial.scores[best]);
        }
        let count = picks.len().max(1) as f64;
        Point { cost: point.cost / count, quality: point.quality / count }
    };
    let mut curve: Vec<Point> = (0..=STEPS).map(at).collect();
    curve.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    curve
}

/// The expert of the highest chance less `dial` times cost; of equals the last.
pub(super) fn choose(chances: &[f32], costs: &[f64], dial: f64) -> usize {
    let worth = |expert: usize| f64::from(chances[expert]) - dial * costs[expert];
    (0..costs.len()).max_by(|a, b| worth(*a).total_cmp(&worth(*b))).unwrap_or(0)
}

/// The upper convex hull, from the cheapest point to the best.
pub(super) fn hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.quality.total_cmp(&a.quality)));
    let mut hull: Vec<Point> = Vec::new();
    for point in sorted {
        if hull.last().is_some_and(|last| last.quality >= point.quality) {
            continue;
        }
        while let [.., a, b] = hull[..] {
            let above = (b.quality - a.quality) * (point.cost - a.cost)
                > (point.quality - a.quality) * (b.cost - a.cost);
            if above {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// The least cost at which a curve reaches a quality, straight lines in between.
fn cost_at(curve: &[Point], quality: f64) -> Option<f64> {
    let mut least: Option<f64> =
        curve.first().filter(|first| first.quality >= quality).map(|first| first.cost);
    for pair in curve.windows(2) {
        let (low, high) = (pair[0], pair[1]);
        if low.quality < quality && high.quality >= quality {
            let part = (quality - low.quality) / (high.quality - low.quality);
            let cost = low.cost + part * (high.cost - low.cost);
            least = Some(least.map_or(cost, |least| least.min(cost)));
        }
    }
    least
}

fn cost_share(trials: &[Trial], experts: usize, picks: &[usize]) -> Option<f64> {
    let singles: Vec<Point> = (0..experts).map(|expert| single(trials, picks, expert)).collect();
    let target = TARGET * singles.iter().map(|point| point.quality).fold(0.0, f64::max);
    Some(cost_at(&curve(trials, picks), target)? / cost_at(&hull(&singles), target)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(knows: bool) -> PanelReport {
        // the small one is right on even prompts, the large one always
        let trial = |n: usize| {
            let small = (1 - n % 2) as f32;
            let said = if knows { small } else { 0.5 };
            Trial { chances: vec![0.9 * said + 0.02, 0.95], scores: vec![small, 1.0], costs: vec![1.0, 10.0] }
        };
        judge(&["small".into(), "large".into()], &(0..1000).map(trial).collect::<Vec<_>>())
    }

    #[test]
    fn a_router_that_knows_pays_half_and_one_that_does_not_pays_the_hull() {
        let knowing = panel(true);
        assert!((knowing.oracle.cost - 5.5).abs() < 1e-9 && knowing.best == "large");
        // the hull pays 1 + 9·0.96 = 9.64 for 98 %; the router about 5.5 less a little
        assert!(knowing.cost_share.unwrap() < 0.58, "{:?}", knowing.cost_share);
        assert!(panel(false).cost_share.unwrap() > 0.99);
        assert!(knowing.shuffled_cost_share.unwrap() > 0.9, "{:?}", knowing.shuffled_cost_share);
    }

    #[test]
    fn a_hull_leaves_out_who_is_dearer_and_worse() {
        let points = [(1.0, 0.4), (2.0, 0.35), (3.0, 0.5), (4.0, 0.8), (9.0, 0.81)];
        let hull = hull(&points.map(|(cost, quality)| Point { cost, quality }));
        assert_eq!(hull.iter().map(|point| point.cost).collect::<Vec<_>>(), [1.0, 4.0, 9.0]);
    }
}
