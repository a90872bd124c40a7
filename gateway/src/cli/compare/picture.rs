//! The picture of the answer: per set a dot with its interval for each way.

use router_model::eval::compare::Figure;

use super::{Set, document};
use crate::cli::svg::{Axis, COLOURS, GREY, Picture};

/// The ways, from above, with their colours.
const WAYS: [(&str, &str); 4] = [
    ("best small model", GREY),
    ("small models, routed", COLOURS[0]),
    ("with fallback", COLOURS[2]),
    ("large model", COLOURS[1]),
];

pub(super) fn draw(sets: &[Set]) -> String {
    let count = sets.len() as f64;
    let middle = |row: usize| count - row as f64 - 0.5;
    let name = |(row, set): (usize, &Set)| (middle(row), document::title(set).to_owned());
    let y =
        Axis { title: String::new(), ends: [0.0, count], ticks: sets.iter().enumerate().map(name).collect() };
    let x = Axis::over("mean score of the answers (%), with 95 % intervals", [0.0, 1.0].into_iter(), 100.0);
    let title = "Can several small models stand in for a large one?";
    let mut picture = Picture::new(title, [760.0, 130.0 + 62.0 * count], &x, &y);
    for (row, set) in sets.iter().enumerate() {
        for ((figure, (_, colour)), at) in figures(set).into_iter().zip(WAYS).zip([0.3, 0.1, -0.1, -0.3]) {
            let Some(Figure { value, interval: [low, high] }) = figure else { continue };
            let y = middle(row) + at;
            picture.line(&[[low, y], [high, y]], colour, "");
            picture.dot([value, y], colour, 4.5);
        }
    }
    for (name, colour) in WAYS {
        picture.legend(colour, "", name);
    }
    picture.finish()
}

fn figures(set: &Set) -> [Option<Figure>; 4] {
    let found = &set.whole;
    [
        Some(found.best.quality),
        Some(found.routed.quality),
        found.fallback.as_ref().map(|fallback| fallback.way.quality),
        Some(found.large),
    ]
}
