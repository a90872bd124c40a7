//! A curve as SVG: both axes logarithmic, in greys and two hues that are readable on white and on dark.

use std::fmt::Write;

use crate::run::{Curve, Point};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 300.0;
const COLOURS: [&str; 2] = ["#d9822b", "#3b8eea"];

/// Draws it.
pub(crate) fn svg(curve: &Curve) -> String {
    let points = || curve.lines.iter().flat_map(|line| &line.points);
    let x = Axis::over(points().map(|p| p.x), LEFT, RIGHT);
    let y = Axis::over(points().flat_map(|p| [p.y.min, p.y.max]), BOTTOM, TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"#808080\">\n<text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>\n",
        curve.title
    );
    grid(&mut out, &x, &y, points());
    labels(&mut out, curve);
    let named = curve.lines.iter().filter(|line| line.name == "mixgate").map(|l| (l, COLOURS[1]));
    let others = curve.lines.iter().filter(|line| line.name != "mixgate").map(|l| (l, COLOURS[0]));
    for (at, (line, colour)) in others.chain(named).enumerate() {
        series(&mut out, &line.points, &x, &y, colour);
        let legend = LEFT + at as f64 * 110.0;
        let _ = writeln!(
            out,
            "<circle cx=\"{}\" cy=\"36\" r=\"5\" fill=\"{colour}\"/><text x=\"{}\" y=\"40\">{}</text>",
            legend + 5.0,
            legend + 16.0,
            line.name
        );
    }
    out + "</svg>\n"
}

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let logs = values.filter(|v| *v > 0.0).map(f64::log10);
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        Self { low: low - 0.06, high: high + 0.06, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.max(1e-9).log10() - self.low) / (self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    /// 1, 2 and 5 of each decade.
    fn ticks(&self) -> Vec<f64> {
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        let ticks = decades.flat_map(|d| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(d)));
        let inside: Vec<f64> = ticks.filter(|t| (self.low..=self.high).contains(&t.log10())).collect();
        if inside.len() <= 9 {
            return inside;
        }
        inside.into_iter().filter(|t| (t.log10() - t.log10().round()).abs() < 1e-9).collect()
    }
}

fn grid<'p>(out: &mut String, x: &Axis, y: &Axis, points: impl Iterator<Item = &'p Point>) {
    for tick in y.ticks() {
        let at = y.place(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#808080\" stroke-opacity=\"0.25\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            short(tick)
        );
    }
    let mut xs: Vec<f64> = points.map(|p| p.x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    for value in xs {
        let at = x.place(value);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {BOTTOM}v5\" stroke=\"#808080\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 18.0,
            short(value)
        );
    }
    let _ = writeln!(out, "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"#808080\"/>");
}

fn labels(out: &mut String, curve: &Curve) {
    let (middle, centre) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
    let _ = writeln!(
        out,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{} (log)</text>\n\
         <text transform=\"translate(18 {centre}) rotate(-90)\" text-anchor=\"middle\">{} (log)</text>",
        BOTTOM + 42.0,
        curve.x_label,
        curve.y_label
    );
}

/// The medians as a line, each with its range from least to most.
fn series(out: &mut String, points: &[Point], x: &Axis, y: &Axis, colour: &str) {
    let place = |p: &Point| format!("{:.1},{:.1}", x.place(p.x), y.place(p.y.median));
    let path: Vec<String> = points.iter().map(place).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    );
    for point in points {
        let (at, low, high) = (x.place(point.x), y.place(point.y.min), y.place(point.y.max));
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {low:.1}V{high:.1}\" stroke=\"{colour}\"/>\
             <circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
            y.place(point.y.median)
        );
    }
}

/// 2048 as `2Ki`, 50000 as `50k`.
pub(crate) fn short(value: f64) -> String {
    let whole = value as u64;
    match whole {
        1_024.. if whole.is_multiple_of(1 << 20) => format!("{} Mi", whole >> 20),
        1_024.. if whole.is_multiple_of(1 << 10) => format!("{} Ki", whole >> 10),
        1_000_000.. => format!("{}M", whole / 1_000_000),
        10_000.. => format!("{}k", whole / 1_000),
        1.. => whole.to_string(),
        0 => format!("{value:.2}"),
    }
}
