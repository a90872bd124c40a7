//! Pictures of what `mixgate eval` found: cost and quality of a panel, the dial of a pair, reliability.

use router_model::eval::calibration::Calibration;
use router_model::eval::pair::PairReport;
use router_model::eval::panel::PanelReport;

use crate::cli::svg::{ASIDE, Axis, COLOURS, GREY, Picture};

const SHAPE: [f64; 2] = [760.0, 480.0];

/// Cost and quality of a panel over the dial.
pub(super) fn panel(report: &PanelReport, unit: &str) -> String {
    let points = |points: &[router_model::eval::panel::Point]| -> Vec<[f64; 2]> {
        points.iter().map(|point| [point.cost, point.quality]).collect()
    };
    let (curve, shuffled, hull) = (points(&report.curve), points(&report.shuffled), points(&report.hull));
    let oracle = [report.oracle.cost, report.oracle.quality];
    let singles: Vec<[f64; 2]> = report.singles.iter().map(|(_, at)| [at.cost, at.quality]).collect();
    let all = [&curve[..], &shuffled, &hull, &singles, &[oracle]].concat();
    let x =
        Axis::over(&format!("mean cost of an answer ({unit})"), all.iter().map(|at| at[0]).chain([0.0]), 1.0);
    let y = Axis::over("mean score of the answers (%)", all.iter().map(|at| at[1]), 100.0);
    let mut picture = Picture::new(&format!("Cost and quality, {} prompts", report.n), SHAPE, &x, &y);
    picture.line(&shuffled, GREY, "2 4");
    picture.line(&hull, COLOURS[1], "7 5");
    picture.line(&curve, COLOURS[0], "");
    singles.iter().for_each(|at| picture.dot(*at, COLOURS[1], 4.5));
    picture.dot(oracle, COLOURS[2], 5.5);
    picture.label(oracle, "oracle: cheapest that is right");
    for ((name, _), at) in report.singles.iter().zip(&singles) {
        picture.label(*at, name);
    }
    picture.legend(COLOURS[0], "", "router over its dial");
    picture.legend(COLOURS[1], "7 5", "single models and their convex hull");
    picture.legend(GREY, "2 4", "router shuffled");
    picture.finish()
}

/// Share of the large model against quality.
pub(super) fn pair(report: &PairReport, strong: &str, weak: &str) -> String {
    let curve: Vec<[f64; 2]> = report.curve.iter().map(|at| [at.strong_share, at.quality]).collect();
    let ends = [[0.0, report.weak], [1.0, report.strong]];
    let qualities = curve.iter().chain(&ends).map(|at| at[1]);
    let x = Axis::over("prompts that the large model answers (%)", [0.0, 1.0].into_iter(), 100.0);
    let y = Axis::over("mean score of the answers (%)", qualities, 100.0);
    let title =
        format!("Share of the large model and quality, {} prompts: APGR {:.3}", report.n, report.apgr);
    let mut picture = Picture::new(&title, SHAPE, &x, &y);
    picture.line(&ends, GREY, "7 5");
    picture.line(&curve, COLOURS[0], "");
    curve.iter().for_each(|at| picture.dot(*at, COLOURS[0], 3.5));
    ends.iter().for_each(|at| picture.dot(*at, COLOURS[1], 4.5));
    picture.label(ends[0], weak);
    picture.label(ends[1], strong);
    picture.legend(COLOURS[0], "", "router");
    picture.legend(GREY, "7 5", "random mixing");
    picture.finish()
}

/// The most models in one reliability diagram.
const MODELS: usize = COLOURS.len();

/// Bins with a smaller share of the prompts are noise, and not shown.
const SHOWN: f64 = 0.01;

/// Chances against what came true; dots as large as their bins are full.
pub(super) fn reliability(found: &[(String, Calibration)]) -> String {
    let whole = || Axis::over("", [0.0, 1.0].into_iter(), 100.0);
    let x = Axis { title: "chance said (%)".into(), ..whole() };
    let y = Axis { title: "mean score that came true (%)".into(), ..whole() };
    let mut names: Vec<&str> = Vec::new();
    let mut models: Vec<&(String, Calibration)> = Vec::new();
    for model in found.iter().filter(|(_, calibration)| calibration.n > 0) {
        if !names.contains(&model.0.as_str()) {
            names.push(&model.0);
            models.push(model);
        }
    }
    let title = match models.len() {
        count if count > MODELS => {
            format!("Do the chances mean what they say: the first {MODELS} of {count} models")
        }
        _ => "Do the chances mean what they say".to_owned(),
    };
    let mut picture = Picture::with_margin(&title, [860.0, 580.0], ASIDE, &x, &y);
    picture.line(&[[0.0, 0.0], [1.0, 1.0]], GREY, "7 5");
    for (row, ((name, calibration), colour)) in models.into_iter().zip(COLOURS).enumerate() {
        let share = |count: usize| count as f64 / calibration.n as f64;
        let bins = calibration.bins.iter().filter(|(count, ..)| share(*count) >= SHOWN);
        let points: Vec<[f64; 2]> = bins.clone().map(|(_, said, came)| [*said, *came]).collect();
        picture.line(&points, colour, "");
        for ((count, ..), at) in bins.zip(&points) {
            picture.dot(*at, colour, 2.0 + 8.0 * share(*count).sqrt());
        }
        picture.aside(row, colour, &format!("ECE {:.3} {name}", calibration.ece));
    }
    picture.legend(GREY, "7 5", "as said; dots as large as their share of the prompts, from 1 %");
    picture.finish()
}

#[cfg(test)]
mod tests {
    use router_model::eval::{calibration, pair as pair_eval, panel as panel_eval};

    use super::*;
    use crate::cli::svg::tests::well_formed;

    fn places(svg: &str) -> Vec<f64> {
        let attributes = [" cx=\"", " cy=\"", " x=\"", " y=\""];
        let numbers = |at: &str| {
            svg.split(at)
                .skip(1)
                .filter_map(|rest| rest.split('"').next()?.parse().ok())
                .collect::<Vec<f64>>()
        };
        attributes.iter().flat_map(|at| numbers(at)).collect()
    }

    #[test]
    fn a_panel_has_a_dot_per_model_and_one_for_the_oracle_and_its_labels_are_escaped() {
        let trial = |n: usize| panel_eval::Trial {
            chances: vec![0.4, 0.5, 0.9],
            scores: vec![(n % 2) as f32, (n % 3 / 2) as f32, 1.0],
            costs: vec![1.0, 1.1, 10.0],
        };
        let names =
            ["a<b>&\"c\"".to_owned(), "other".to_owned(), "a-name-long-enough-to-hit-the-frame".to_owned()];
        let report = panel_eval::judge(&names, &(0..60).map(trial).collect::<Vec<_>>());
        let svg = panel(&report, "any unit");
        assert!(well_formed(&svg), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("a&lt;b&gt;&amp;&quot;c&quot;") && svg.contains(&names[2]), "{svg}");
        assert!(places(&svg).iter().all(|at| (0.0..=SHAPE[0]).contains(at)), "{svg}");
    }

    #[test]
    fn a_pair_and_a_reliability_diagram_have_a_dot_per_point() {
        let trial = |n: usize| pair_eval::Trial { score: n as f32, strong: 1.0, weak: 0.5, chars: n };
        let report = pair_eval::judge(&(0..100).map(trial).collect::<Vec<_>>());
        let svg = pair(&report, "strong", "weak");
        assert!(well_formed(&svg) && svg.contains("random mixing"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), report.curve.len() + 2);
        let said = calibration::judge((0..100).map(|n| (n as f32 / 100.0, 1.0)));
        let svg = reliability(&[("x".into(), said.clone()), ("y".into(), said.clone())]);
        assert!(well_formed(&svg), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2 * said.bins.len());
    }
}
