//! A small writer of charts as SVG, which read on white and on dark pages. It knows two things that make charts
//! readable: everything stays inside the frame, and a label goes where no other label is.

use std::fmt::Write as _;

/// Colours that are told apart by eyes of all kinds (Okabe and Ito, 2008).
pub(super) const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5c00", "#56b4e9"];
/// For controls.
pub(super) const GREY: &str = "#8a8a8a";
const INK: &str = "#222222";

const SIZE: f64 = 12.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 52.0;
/// Margin on the right.
const RIGHT: f64 = 24.0;
/// Margin on the right where names stand beside the frame.
pub(super) const ASIDE: f64 = 300.0;

/// One axis: what it says with its unit, where it begins and ends, and its ticks.
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) ends: [f64; 2],
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis that shows all of `values`, with about five ticks at round figures, printed times `times`.
    pub(super) fn over(title: &str, values: impl Iterator<Item = f64>, times: f64) -> Axis {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let (low, high) = if low <= high { (low * times, high * times) } else { (0.0, 1.0) };
        let span = (high - low).max(high.abs() * 1e-3).max(1e-9);
        let power = 10_f64.powf((span / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0].map(|m| m * power).into_iter().find(|step| span / step <= 6.0);
        let step = step.unwrap_or(10.0 * power);
        let (first, last) =
            ((low / step).floor(), (low.max(high) / step).ceil().max((low / step).floor() + 1.0));
        let digits = usize::try_from((-step.log10().floor()).max(0.0) as i64).unwrap_or(0);
        let tick = |at: i64| (at as f64 * step / times, format!("{:.digits$}", at as f64 * step));
        Axis {
            title: title.to_owned(),
            ends: [first * step / times, last * step / times],
            ticks: (first as i64..=last as i64).map(tick).collect(),
        }
    }
}

/// A picture in the making: a frame with two axes, and what was drawn into it.
pub(super) struct Picture {
    size: [f64; 2],
    left: f64,
    right: f64,
    x: [f64; 2],
    y: [f64; 2],
    body: String,
    /// Where labels are: left, top, right, bottom.
    taken: Vec<[f64; 4]>,
    /// Places along lines.
    drawn: Vec<[f64; 2]>,
    legend_end: f64,
}

impl Picture {
    pub(super) fn new(title: &str, size: [f64; 2], x: &Axis, y: &Axis) -> Picture {
        Picture::with_margin(title, size, RIGHT, x, y)
    }

    pub(super) fn with_margin(title: &str, size: [f64; 2], right: f64, x: &Axis, y: &Axis) -> Picture {
        let widest = y.ticks.iter().map(|(_, text)| width(text)).fold(0.0, f64::max);
        let left = widest + if y.title.is_empty() { 20.0 } else { 40.0 };
        let mut picture = Picture {
            size,
            left,
            right: size[0] - right,
            x: x.ends,
            y: y.ends,
            body: String::new(),
            taken: Vec::new(),
            drawn: Vec::new(),
            legend_end: left,
        };
        picture.text([left, 24.0], title, "start", INK, 15.0);
        picture.axes(x, y);
        picture
    }

    fn axes(&mut self, x: &Axis, y: &Axis) {
        let (right, bottom) = (self.right, self.size[1] - BOTTOM);
        for (at, text) in &x.ticks {
            let place = self.place([*at, self.y[0]])[0];
            self.rule([place, TOP], [place, bottom], "#e4e4e4", 1.0, "");
            self.text([place, bottom + 18.0], text, "middle", INK, SIZE);
        }
        for (at, text) in &y.ticks {
            let place = self.place([self.x[0], *at])[1];
            self.rule([self.left, place], [right, place], "#e4e4e4", 1.0, "");
            self.text([self.left - 8.0, place + 4.0], text, "end", INK, SIZE);
        }
        let (left, width, height) = (self.left, right - self.left, bottom - TOP);
        let _ = writeln!(
            self.body,
            r##"<rect x="{left:.1}" y="{TOP:.1}" width="{width:.1}" height="{height:.1}" fill="none" stroke="#777777"/>"##
        );
        self.text([left.midpoint(right), self.size[1] - 12.0], &x.title, "middle", INK, SIZE);
        if !y.title.is_empty() {
            let (at, title) = (TOP.midpoint(bottom), escape(&y.title));
            let _ = writeln!(
                self.body,
                r#"<text x="16" y="{at:.1}" text-anchor="middle" font-size="{SIZE}" fill="{INK}" transform="rotate(-90 16 {at:.1})">{title}</text>"#
            );
        }
    }

    /// From what is measured to where it is drawn; held inside the frame.
    fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let part = |value: f64, [low, high]: [f64; 2]| ((value - low) / (high - low)).clamp(0.0, 1.0);
        let (right, bottom) = (self.right, self.size[1] - BOTTOM);
        [self.left + part(x, self.x) * (right - self.left), bottom - part(y, self.y) * (bottom - TOP)]
    }

    pub(super) fn line(&mut self, points: &[[f64; 2]], colour: &str, dashes: &str) {
        let places: Vec<[f64; 2]> = points.iter().map(|point| self.place(*point)).collect();
        for pair in places.windows(2) {
            let ([a, b], [c, d]) = (pair[0], pair[1]);
            let steps = ((c - a).hypot(d - b) / 5.0).ceil().max(1.0);
            let along = (0..=steps as usize).map(|step| step as f64 / steps);
            self.drawn.extend(along.map(|part| [a + part * (c - a), b + part * (d - b)]));
        }
        let places: Vec<String> = places.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        let places = places.join(" ");
        let _ = writeln!(
            self.body,
            r#"<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>"#
        );
    }

    pub(super) fn dot(&mut self, point: [f64; 2], colour: &str, radius: f64) {
        let [x, y] = self.place(point);
        self.taken.push([x - radius, y - radius, x + radius, y + radius]);
        let _ = writeln!(
            self.body,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{colour}" stroke="#ffffff"/>"##
        );
    }

    /// Text beside a point, off other labels and, where there is room, off the lines; left out where there is no
    /// room at all.
    pub(super) fn label(&mut self, point: [f64; 2], text: &str) {
        let ([x, y], wide) = (self.place(point), width(text));
        let bottom = self.size[1] - BOTTOM;
        let lifts = [0.0, -14.0, 14.0, -22.0, 22.0, -30.0, 30.0, -42.0, 42.0, -56.0, 56.0];
        let beside = |lift: f64| {
            [x + 9.0, x - 9.0 - wide, x - wide / 2.0]
                .map(|left| [left, y + lift - 6.0, left + wide, y + lift + 6.0])
        };
        let off_labels = |place: &[f64; 4]| {
            let [left, top, right, low] = *place;
            let inside =
                left > self.left + 2.0 && right < self.right - 2.0 && top > TOP + 2.0 && low < bottom - 2.0;
            inside && self.taken.iter().all(|other| apart(place, other))
        };
        let off_lines = |place: &[f64; 4]| self.drawn.iter().all(|[x, y]| apart(place, &[*x, *y, *x, *y]));
        let free: Vec<[f64; 4]> = lifts.into_iter().flat_map(beside).filter(off_labels).collect();
        if let Some(place) = free.iter().find(|place| off_lines(place)).or(free.first()).copied() {
            self.taken.push(place);
            let middle = place[1].midpoint(place[3]);
            if (middle - y).abs() > 15.0 {
                let edge = if middle > y { place[1] } else { place[3] };
                self.rule([x, y], [x.clamp(place[0] + 4.0, place[2] - 4.0), edge], GREY, 1.0, "");
            }
            self.text([place[0], place[3] - 2.0], text, "start", INK, SIZE);
        }
    }

    /// One more name beside the frame, with its colour.
    pub(super) fn aside(&mut self, row: usize, colour: &str, text: &str) {
        let (x, y) = (self.right + 16.0, TOP + 14.0 + 22.0 * row as f64);
        self.rule([x, y], [x + 20.0, y], colour, 3.0, "");
        let room = ((self.size[0] - x - 30.0) / width("x")) as usize;
        let cut: String = text.chars().take(room).collect();
        self.text([x + 26.0, y + 4.0], &cut, "start", INK, SIZE);
    }

    /// One more entry above the frame.
    pub(super) fn legend(&mut self, colour: &str, dashes: &str, text: &str) {
        let (at, y) = (self.legend_end, TOP - 20.0);
        self.rule([at, y], [at + 20.0, y], colour, 3.0, dashes);
        self.text([at + 26.0, y + 4.0], text, "start", INK, SIZE);
        self.legend_end = at + 26.0 + width(text) + 18.0;
    }

    fn rule(&mut self, from: [f64; 2], to: [f64; 2], colour: &str, wide: f64, dashes: &str) {
        let ([a, b], [c, d]) = (from, to);
        let _ = writeln!(
            self.body,
            r#"<line x1="{a:.1}" y1="{b:.1}" x2="{c:.1}" y2="{d:.1}" stroke="{colour}" stroke-width="{wide}" stroke-dasharray="{dashes}"/>"#
        );
    }

    fn text(&mut self, [x, y]: [f64; 2], text: &str, anchor: &str, colour: &str, size: f64) {
        let text = escape(text);
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{text}</text>"#
        );
    }

    pub(super) fn finish(self) -> String {
        let ([width, height], body) = (self.size, self.body.replace(r#" stroke-dasharray="""#, ""));
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="system-ui, 'DejaVu Sans', Arial, sans-serif">
<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>
{body}</svg>
"##
        )
    }
}

fn apart(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1]
}

/// About how wide a text is.
fn width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.9
}

fn escape(text: &str) -> String {
    let shown = text.chars().filter(|letter| !letter.is_control());
    shown
        .collect::<String>()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Whether every element that opens closes, in order, and no `&` or `<` stands alone.
    pub(in crate::cli) fn well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for piece in svg.split('<').skip(1) {
            let Some((tag, text)) = piece.split_once('>') else { return false };
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) if open.pop() != Some(name) => return false,
                (false, false) => open.push(name),
                _ => {}
            }
            let bare =
                text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").replace("&quot;", "");
            if bare.contains('&') || tag.matches('"').count() % 2 == 1 {
                return false;
            }
        }
        open.is_empty()
    }

    #[test]
    fn ticks_are_round_and_hold_what_is_shown() {
        let axis = Axis::over("", [0.43, 0.71].into_iter(), 100.0);
        let texts: Vec<&str> = axis.ticks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["40", "45", "50", "55", "60", "65", "70", "75"]);
        for flat in [vec![0.5], vec![0.0], vec![]] {
            let axis = Axis::over("", flat.into_iter(), 1.0);
            assert!(axis.ends[0] < axis.ends[1] && axis.ticks.len() >= 2 && axis.ticks.len() < 12);
        }
        assert_eq!(Axis::over("", [0.0, 0.0053].into_iter(), 1.0).ticks[1].1, "0.001");
    }

    #[test]
    fn what_is_not_well_formed_is_seen() {
        assert!(!well_formed("<svg><text>a & b</text></svg>") && !well_formed("<svg><text></svg>"));
    }
}
