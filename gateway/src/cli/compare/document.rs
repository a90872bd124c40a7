//! The answer as a Markdown document: prose that always holds, around tables that are computed.

use router_model::eval::compare::{Comparison, Fallback, Figure, TIE, Verdict, Way, signed};

use super::{Answer, Set, Unit, sources};

const TEMPLATE: &str = include_str!("document.md");
/// What is true of the published sets and not of anybody's own data.
const PUBLISHED: &str = include_str!("published.md");

/// The whole document; `picture` is the name of the picture's file beside it.
pub(super) fn write(answer: &Answer, picture: &str) -> String {
    let sets = &answer.sets;
    let published = sets.iter().any(|set| sources::of(&set.file).is_some());
    let verdicts: usize = sets.iter().map(|set| 3 + 2 * set.domains.len()).sum();
    let parts = [
        ("picture", picture.to_owned()),
        ("short", short(sets)),
        ("summary", summary(sets)),
        ("tie", format!("{:.0}", TIE * 100.0)),
        ("sets", sets.iter().map(section).collect::<Vec<_>>().join("\n\n")),
        (
            "whose",
            if published { "Graded answers that others have published" } else { "Graded answers" }.to_owned(),
        ),
        ("published", if published { PUBLISHED.trim_end().to_owned() + "\n" } else { String::new() }),
        ("verdicts", verdicts.to_string()),
        ("sources", origins(sets)),
        ("command", answer.command.clone()),
        ("router_model", answer.router_model.clone()),
    ];
    parts.iter().fold(TEMPLATE.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// What people call a set.
pub(super) fn title(set: &Set) -> &str {
    sources::of(&set.file).map_or(&set.name, |source| source.title)
}

fn short(sets: &[Set]) -> String {
    let wholes = || sets.iter().map(|set| (title(set).to_owned(), &set.whole));
    let domains = || {
        let of = |set| move |(name, found)| (format!("{}: {name}", title(set)), found);
        sets.iter().flat_map(move |set| set.domains.iter().map(|(name, found)| (name, found)).map(of(set)))
    };
    let routed = |(name, found): (String, &Comparison)| (name, found.routed.verdict);
    let fallback = |(name, found): (String, &Comparison)| Some((name, found.fallback.as_ref()?.way.verdict));
    let several = || sets.iter().filter(|set| set.small.len() > 1).map(|set| set.whole.over_best);
    let mut lines = vec![headline(sets).to_owned(), String::new()];
    lines.push(format!(
        "- **Small models alone**, each question to the likeliest of them, against the large model: {}.",
        counted(wholes().map(routed), "set")
    ));
    if domains().next().is_some() {
        let counted = counted(domains().map(routed), "domain");
        lines.push(format!("  Domain by domain within the sets: {counted}."));
    }
    let counts = counted(wholes().filter_map(fallback), "set");
    lines.push(format!("- **With the large model as fallback**, for at most half of its cost: {counts}."));
    if domains().next().is_some() {
        lines.push(format!("  Domain by domain: {}.", counted(domains().filter_map(fallback), "domain")));
    }
    if several().next().is_some() {
        let gains = gains(several());
        lines.push(format!(
            "- **Is routing among the small ones worth it?** Against the best single small model: {gains}."
        ));
    }
    let over_random = sets.iter().filter_map(|set| Some(set.whole.fallback.as_ref()?.over_random));
    let gains = gains(over_random);
    lines.push(format!(
        "- **Is routing the fallback worth it?** Against random mixing for the same cost: {gains}."
    ));
    lines.join("\n")
}

/// The answer in one sentence, as far as the verdicts carry it.
fn headline(sets: &[Set]) -> &'static str {
    let verdicts = || sets.iter().map(|set| set.whole.routed.verdict);
    let behind = verdicts().filter(|verdict| matches!(verdict, Verdict::Loses(_))).count();
    let level = verdicts().filter(|verdict| matches!(verdict, Verdict::Wins(_) | Verdict::Tie(_))).count();
    match () {
        () if behind == sets.len() => {
            "On these data, no: small models alone stay behind the large one everywhere."
        }
        () if 2 * behind > sets.len() => {
            "On most of these sets, no: small models alone stay behind the large one. How far depends on the set."
        }
        () if 2 * level > sets.len() => {
            "On most of these sets, yes: small models together hold their own against the large one."
        }
        () => "It depends on the set, and some of these data cannot tell.",
    }
}

/// Of what no more than this many have, they are named.
const NAMED: usize = 3;

/// «wins on 1 (which), ties on 2 (which, which), …», of what occurs.
fn counted(verdicts: impl Iterator<Item = (String, Verdict)>, what: &str) -> String {
    let mut groups =
        [("wins on", vec![]), ("ties on", vec![]), ("undecided on", vec![]), ("loses on", vec![])];
    for (name, verdict) in verdicts {
        let at = match verdict {
            Verdict::Wins(_) => 0,
            Verdict::Tie(_) => 1,
            Verdict::Undecided(_) => 2,
            Verdict::Loses(_) => 3,
        };
        groups[at].1.push(name);
    }
    let all: usize = groups.iter().map(|(_, names)| names.len()).sum();
    let group = |(how, names): &(&str, Vec<String>)| match names.len() {
        count if count <= NAMED => format!("{how} {count} ({})", names.join(", ")),
        count => format!("{how} {count}"),
    };
    let some: Vec<String> = groups.iter().filter(|(_, names)| !names.is_empty()).map(group).collect();
    format!("{}, of {all} {what}{}", some.join(", "), if all == 1 { "" } else { "s" })
}

fn gains(figures: impl Iterator<Item = Figure>) -> String {
    let (mut better, mut unclear, mut worse) = (0, 0, 0);
    for Figure { interval: [low, high], .. } in figures {
        match () {
            () if low > 0.0 => better += 1,
            () if high < 0.0 => worse += 1,
            () => unclear += 1,
        }
    }
    format!("better on {better}, no difference shown on {unclear}, worse on {worse}")
}

fn summary(sets: &[Set]) -> String {
    let mut lines = vec![
        "| set | prompts | large | best small | routed small | verdict | cost | with fallback | verdict | cost |".to_owned(),
        "|---|---:|---:|---:|---:|---|---:|---:|---|---:|".to_owned(),
    ];
    for set in sets {
        lines.push(format!("| {} {}", cell(title(set)), short_row(&set.whole)));
    }
    let caution = |set: &Set| Some(format!("- {}: {}", title(set), sources::of(&set.file)?.caution?));
    let cautions: Vec<String> = sets.iter().filter_map(caution).collect();
    if !cautions.is_empty() {
        lines.extend(["\nRead with care:\n".to_owned(), cautions.join("\n")]);
    }
    lines.join("\n")
}

fn short_row(found: &Comparison) -> String {
    let Comparison { n, large, best, routed, .. } = found;
    let fallback = found.fallback.as_ref().map_or_else(
        || "– | – | –".to_owned(),
        |Fallback { way, .. }| {
            let verdict = way.verdict.of_whom("mixture");
            format!("{} | {verdict} | {}", percent(way.quality.value), percent(way.cost))
        },
    );
    format!(
        "| {n} | {} | {} | {} | {} | {} | {fallback} |",
        percent(large.value),
        percent(best.quality.value),
        percent(routed.quality.value),
        routed.verdict.of_whom("small"),
        percent(routed.cost)
    )
}

fn section(set: &Set) -> String {
    let mut text = format!("### {}\n\n", title(set));
    if let Some(source) = sources::of(&set.file) {
        text += &format!("{}\n\n", source.graded);
    }
    text += &facts(set);
    text += &ways(&set.whole);
    text += &findings(set);
    if !set.domains.is_empty() {
        text += "\nBy domain, of those with a hundred prompts or more:\n\n";
        text += "| domain | prompts | large | best small | routed small | verdict | cost | with fallback | verdict | cost |\n";
        text += "|---|---:|---:|---:|---:|---|---:|---:|---|---:|\n";
        for (name, found) in &set.domains {
            text += &format!("| {} {}\n", cell(name), short_row(found));
        }
    }
    text.trim_end().to_owned()
}

fn facts(set: &Set) -> String {
    let cost = |name: &String| match set.unit {
        Unit::UsdOfTheFile => format!("${:.3} per thousand answers", set.costs[name] * 1000.0),
        Unit::UsdPerMillionTokens => format!("${:.2}", set.costs[name]),
        Unit::BillionsOfParameters => {
            format!("{:.3}", set.costs[name]).trim_end_matches(['0']).trim_end_matches('.').to_owned()
        }
    };
    let with_cost = |name: &String| format!("{name} ({})", cost(name));
    let small: Vec<String> = set.small.iter().map(with_cost).collect();
    let unit = match set.unit {
        Unit::UsdOfTheFile => "what each answer really cost, as the set says; the mean is given",
        Unit::UsdPerMillionTokens => "a price per million tokens, given on the command line",
        Unit::BillionsOfParameters => "billions of parameters, as the names tell",
    };
    let mut text =
        format!("- Small: {}.\n- Large: {}.\n- Cost: {unit}.\n", small.join(", "), with_cost(&set.large));
    if !set.absent.is_empty() {
        text += &format!("- Not in this set, so left out: {}.\n", set.absent.join(", "));
    }
    if set.left_out > 0 {
        text +=
            &format!("- {} prompts are left out because not all of these models were asked.\n", set.left_out);
    }
    text + "\n"
}

fn ways(found: &Comparison) -> String {
    let mut text =
        "| way | score (95 %) | cost | difference to large (95 %) | verdict |\n|---|---:|---:|---:|---|\n"
            .to_owned();
    let mut add = |name: &str, way: &Way, verdict: String| {
        text += &format!(
            "| {} | {} | {} | {} | {verdict} |\n",
            cell(name),
            spread(way.quality),
            percent(way.cost),
            points(way.difference)
        );
    };
    let control = String::new;
    add(&format!("best small: {}", best(found)), &found.best, found.best.verdict.of_whom("small"));
    add("routed small", &found.routed, found.routed.verdict.of_whom("small"));
    add("· control: shuffled", &found.routed_shuffled, control());
    add("· control: random mixing of small models", &found.routed_random, control());
    if let Some(Fallback { way, large_share, random, shuffled, .. }) = &found.fallback {
        let name = format!("with fallback: {} to the large model", percent(*large_share));
        add(&name, way, way.verdict.of_whom("mixture"));
        add("· control: shuffled", shuffled, control());
        add("· control: random mixing", random, control());
    }
    text += &format!("| large | {} | 100.0 % | | |\n", spread(found.large));
    text += &format!("| if one always knew the best small model | {} | | | |\n\n", percent(found.ceiling));
    text
}

fn best(found: &Comparison) -> String {
    if found.best_parts == found.parts {
        return found.best_name.clone();
    }
    format!("{} in {} of {} parts", found.best_name, found.best_parts, found.parts)
}

fn findings(set: &Set) -> String {
    let found = &set.whole;
    let mut text = String::new();
    let mut say = |what: &str, figure: Figure| {
        let Figure { interval: [low, high], .. } = figure;
        let so = match () {
            () if low > 0.0 => "better",
            () if high < 0.0 => "worse",
            () => "no difference shown",
        };
        text += &format!("- {what}: {} points, {so}.\n", points(figure));
    };
    if set.small.len() > 1 {
        say("Routed small over the best small", found.over_best);
        say("Routed small over its shuffled self", found.over_shuffled);
    }
    if let Some(fallback) = &found.fallback {
        say("With fallback over random mixing for the same cost", fallback.over_random);
        say("With fallback over its shuffled self", fallback.over_shuffled);
    }
    text
}

fn origins(sets: &[Set]) -> String {
    let mut lines =
        vec!["| set | file | repository, commit | licence |".to_owned(), "|---|---|---|---|".to_owned()];
    for set in sets {
        let (from, licence) =
            sources::of(&set.file).map_or(("your own", "your own"), |source| (source.from, source.licence));
        lines.push(format!("| {} | `{}` | {from} | {licence} |", cell(title(set)), cell(&set.file)));
    }
    lines.join("\n")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn spread(figure: Figure) -> String {
    let Figure { value, interval: [low, high] } = figure;
    format!("{} ({:.1} to {:.1})", percent(value), low * 100.0, high * 100.0)
}

fn points(figure: Figure) -> String {
    let Figure { value, interval: [low, high] } = figure;
    format!("{} ({} to {})", signed(value), signed(low), signed(high))
}

/// Text that keeps a table's cells apart.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_and_gains_are_counted_in_words() {
        let loss = Verdict::Loses([0.01, 0.02]);
        let verdicts =
            [Verdict::Tie(0.01), loss, loss, loss, loss].into_iter().zip(["a", "b", "c", "d", "e"]);
        let said = counted(verdicts.map(|(verdict, name)| (name.to_owned(), verdict)), "set");
        assert_eq!(said, "ties on 1 (a), loses on 4, of 5 sets");
        let figure = |low, high| Figure { value: 0.0, interval: [low, high] };
        let said = gains([figure(0.1, 0.2), figure(-0.1, 0.1), figure(0.0, 0.1)].into_iter());
        assert_eq!(said, "better on 1, no difference shown on 2, worse on 0");
    }
}
