//! The boards are held against the types that Grafana publishes of its own dashboards and panels: an option that does
//! not exist, a value outside a closed list, a field that is missing are faults.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::{BOARDS, board, list, root, word};
use crate::harness::Json;
use crate::tools::{installed, must};

/// Where a panel's types stand in Grafana's package, by the panel's type.
const PANELS: [(&str, &str); 5] = [
    ("timeseries", "timeseries"),
    ("stat", "stat"),
    ("table", "table"),
    ("heatmap", "heatmap"),
    ("state-timeline", "statetimeline"),
];

/// Keys of an annotation that belong to Prometheus as a data source.
const OF_THE_SOURCE: [&str; 6] = ["expr", "step", "titleFormat", "textFormat", "tagKeys", "useValueForTime"];

/// Enumerations are written as text in JSON.
const LOOSE: &str =
    "type Loose<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends (infer E)[] ? Loose<E>[] : T extends object ? { [K in keyof T]: Loose<T[K]> } : T;
";

fn imports(out: &mut String) {
    let raw = "./node_modules/@grafana/schema/dist/types/raw";
    let _ = writeln!(out, "import type {{ Dashboard }} from '{raw}/dashboard/x/types.gen';");
    for (_, name) in PANELS {
        let _ = writeln!(out, "import type * as {name} from '{raw}/composable/{name}/panelcfg/x/types.gen';");
    }
    out.push_str(LOOSE);
}

/// A board as a value of Grafana's type. What an annotation asks is its data source's own matter.
fn typed(out: &mut String, name: &str) {
    let mut board = board(name);
    for annotation in board["annotations"]["list"].as_array_mut().unwrap() {
        annotation.as_object_mut().unwrap().retain(|key, _| !OF_THE_SOURCE.contains(&&**key));
    }
    let _ = writeln!(out, "const {name}: Loose<Dashboard> = {board};");
    for panel in list(&board, "panels").iter().filter(|panel| panel["type"] != "row") {
        let kind = word(panel, "type");
        let (_, types) =
            PANELS.iter().find(|(of, _)| *of == kind).unwrap_or_else(|| panic!("no types of {kind}"));
        let id = &panel["id"];
        let _ = writeln!(out, "const {name}_{id}: Loose<Partial<{types}.Options>> = {};", panel["options"]);
        let custom = &panel["fieldConfig"]["defaults"]["custom"];
        if *custom != Json::Null {
            let _ =
                writeln!(out, "const {name}_{id}_custom: Loose<Partial<{types}.FieldConfig>> = {custom};");
        }
    }
}

#[test]
fn the_boards_have_the_types_that_grafana_publishes() {
    let manifest = fs::read(root().join("tests/dashboards/package.json")).unwrap();
    let folder = installed("dashboards-node", &manifest, |folder| {
        fs::write(folder.join("package.json"), &manifest).unwrap();
        must(
            Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(folder),
        );
    });
    let mut text = String::new();
    imports(&mut text);
    BOARDS.iter().for_each(|name| typed(&mut text, name));
    fs::write(folder.join("boards.ts"), text).unwrap();
    let options =
        "--noEmit --skipLibCheck --strict --moduleResolution bundler --module esnext --target es2022";
    let mut tsc = Command::new(folder.join("node_modules/.bin/tsc"));
    must(tsc.args(options.split(' ')).arg("boards.ts").current_dir(&folder));
}
