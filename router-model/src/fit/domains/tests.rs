use super::*;
use crate::{Scores, Scratch};

fn model() -> RouterModel {
    RouterModel::builtin().unwrap()
}

fn row(prompt: String, domain: &str) -> Row {
    Row { prompt, domain: Some(domain.into()), ..Row::default() }
}

/// What the model carries, the labels of one domain given to another.
fn renamed(model: &RouterModel, from: &str, to: &str, rows: usize) -> Vec<Row> {
    let label = |label: usize| if model.domains()[label] == from { to } else { &model.domains()[label] };
    let requests = model.traffic().requests().iter().take(rows);
    requests.map(|request| row(request.text.clone(), label(request.label))).collect()
}

/// Requests of a trade that the model does not know by this name.
fn claims(count: usize) -> Vec<Row> {
    let what = ["water damage in the kitchen", "a broken windscreen", "hail on the roof", "a stolen bicycle"];
    let ask = [
        "Is it covered?",
        "What is still missing?",
        "Who pays the deductible?",
        "Draft the letter of acceptance.",
    ];
    let claim = |n: usize| {
        format!("Claim {}: our policyholder reports {}. {}", 7 * n + 3, what[n % 4], ask[n / 4 % 4])
    };
    (0..count).map(|n| row(claim(n), "claims")).collect()
}

fn score(model: &RouterModel, text: &str) -> Scores {
    model.score(text, &mut Scratch::default())
}

#[test]
fn the_head_learns_what_its_user_calls_things() {
    let model = model();
    let rows = renamed(&model, "legal", "finance", 600);
    let taught = teach(&model, &rows, Taught::default()).unwrap();
    assert_eq!(taught.objections(), Vec::<String>::new());
    assert!(taught.after[0] > taught.before[0] + 0.02, "{:?} {:?}", taught.before, taught.after);
    let text = "Does the tenant have to give notice if the lease is for a fixed term?";
    let finance = model.domains().iter().position(|name| name == "finance").unwrap();
    let (old, new) = (score(&model, text).domains()[finance], score(&taught.model, text).domains()[finance]);
    assert!(new > old + 0.3, "{old} {new}");
    assert_ne!(taught.model.version(), model.version());
    let sizes: Vec<usize> = taught.curve.iter().map(|step| step.labels).collect();
    assert_eq!(sizes, [25, 50, 100, 200, 400]);
    assert!(taught.curve[4].after > taught.curve[0].after, "{:?}", taught.curve);
}

#[test]
fn a_new_domain_is_found_and_the_others_stay() {
    let model = model();
    let taught = teach(&model, &claims(64), Taught::default()).unwrap();
    assert_eq!(taught.objections(), Vec::<String>::new());
    let [OwnDomain { examples, found, others, mistaken, .. }] = &taught.own[..] else { panic!("one is new") };
    assert_eq!((*examples, *others), (64, model.traffic().requests().len()));
    assert!(*found >= 60 && *mistaken * 50 < *others, "{:?}", taught.own);
    let new = taught.model;
    assert_eq!((new.domains().len(), new.domains()[15].as_str()), (16, "claims"));
    let claim = score(&new, "Claim 901: our policyholder reports a burst pipe. Is it covered?");
    assert_eq!(claim.top().0, 15, "{:?}", claim.domains());
    let text = "Write a Python function that merges two sorted lists.";
    assert_eq!(score(&new, text).top().0, score(&model, text).top().0);
    let of = |own: bool| new.traffic().requests().iter().filter(move |request| (request.label == 15) == own);
    let said = |request: &crate::traffic::Request| request.seen.scores(16).domains()[15];
    assert_eq!(of(true).count(), 64, "the examples are carried");
    assert!(of(true).filter(|request| said(request) > 0.5).count() >= 60);
    assert!(of(false).map(said).sum::<f32>() < 30.0);
    assert!(new.answers().is_empty() && !model.answers().is_empty(), "their prompts are read otherwise now");
    // words that no table knows are no longer strange where they were taught
    let code = "G28 X0 Y0 Z0 G1 X9.5 F1200 M104 S210 T1";
    let rows: Vec<Row> = (0..60).map(|n| row(format!("{code} ; part {n} G1 Y{n} E0.{n}"), "gcode")).collect();
    let gcode = teach(&model, &rows, Taught::default()).unwrap().model;
    let text = format!("{code} ; part 77 G1 Y31 E0.77");
    let [old, new] = [&model, &gcode].map(|model| score(model, &text).ood());
    assert_eq!(score(&gcode, &text).top().0, 15);
    assert!(old > 0.93 && new < 0.93, "{old} {new}");
}

/// What the network says is what the lesson says, which the requests of `rows` and the carried ones taught.
fn agrees(model: &RouterModel, rows: &[Row], kinds: Kinds) -> RouterModel {
    let taught = teach(model, rows, Taught::default()).unwrap().model;
    let mut reader = Reader::new(model, rows);
    let place =
        |row: &Row| taught.domains().iter().position(|name| Some(name) == row.domain.as_ref()).unwrap();
    let own: Vec<Seen> = rows.iter().map(|row| reader.read(&row.prompt, place(row))).collect();
    let requests = model.traffic().requests().iter();
    let carried: Vec<Seen> = requests.map(|request| reader.read(&request.text, request.label)).collect();
    let [own, carried] = [&own, &carried].map(|seen| seen.iter().collect::<Vec<_>>());
    // one of the strengths that are tried
    let lessons = [1.0, 0.25, 0.0625].map(|strength| Lesson::learn(&own, &carried, kinds, strength));
    for text in ["Claim 4: hail on the roof. Who pays?", "hello there", "SELECT name FROM users", ""] {
        let said = score(&taught, text);
        let near = lessons.iter().any(|lesson| {
            let learned = lesson.chances(&reader.read(text, 0));
            learned.len() == said.domains().len()
                && said.domains().iter().zip(&learned).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4)
        });
        assert!(near, "{text}: {:?}", said.domains());
    }
    let again = RouterModel::from_bytes(&taught.to_bytes().unwrap()).unwrap();
    assert_eq!(again.card(), taught.card());
    assert_eq!(score(&again, "Claim 9: who pays?"), score(&taught, "Claim 9: who pays?"));
    taught
}

#[test]
fn what_is_written_says_what_was_learned() {
    let model = model();
    let kinds = |taught, new| Kinds { trained: 15, taught, new };
    agrees(&model, &renamed(&model, "chat", "general", 80), kinds(0, 0));
    let once = agrees(&model, &claims(50), kinds(0, 1));
    assert_eq!(once.card().shape.hidden, 96);
    let repairs: Vec<Row> = claims(60)
        .into_iter()
        .map(|row| Row {
            prompt: row.prompt.replace("Claim", "Repair order"),
            domain: Some("repairs".into()),
            ..row
        })
        .collect();
    let twice = agrees(&once, &[repairs, claims(10)].concat(), kinds(1, 1));
    assert_eq!((twice.card().shape.hidden, twice.domains().len()), (96, 17));
    agrees(&twice, &[renamed(&model, "legal", "finance", 100), claims(30)].concat(), kinds(2, 0));
}

#[test]
fn labels_of_other_domains_leave_those_that_were_taught() {
    let once = teach(&model(), &claims(64), Taught::default()).unwrap().model;
    let labels = renamed(&once, "legal", "finance", 90);
    let twice = teach(&once, &labels, Taught::default()).unwrap().model;
    for row in claims(64) {
        let [before, after] = [&once, &twice].map(|model| score(model, &row.prompt).domains()[15]);
        assert!(after > 0.8 * before, "{}: {before} {after}", row.prompt);
    }
    // more examples are told from what is carried, too
    let more = teach(&once, &claims(80)[40..], Taught::default()).unwrap();
    let [claims] = &more.own[..] else { panic!("one has examples") };
    assert!(!claims.is_new && claims.found >= claims.found_before, "{claims:?}");
    assert!(claims.mistaken * 50 < claims.others, "{claims:?}");
}

#[test]
fn beside_a_new_domain_labels_are_only_what_it_is_told_from() {
    let model = model();
    let near =
        |n: usize| row(format!("What does comprehensive car insurance of group {n} cover?"), "finance");
    let rows = [claims(50), (0..30).map(near).collect()].concat();
    let taught = teach(&model, &rows, Taught::default()).unwrap();
    assert_eq!((taught.objections(), taught.curve.len()), (Vec::new(), 0));
    let text = "Is a theft covered by comprehensive insurance?";
    let [old, new] = [&model, &taught.model].map(|model| {
        let scores = score(model, text);
        scores.domains()[3] / scores.domains()[6]
    });
    assert!((old / new - 1.0).abs() < 1e-2, "finance beside law stays: {old} {new}");
}

#[test]
fn too_little_is_told_in_words() {
    let error = |rows: &[Row]| teach(&model(), rows, Taught::default()).err().unwrap_or_default();
    assert_eq!(error(&claims(24)), "24 labelled requests, where 25 are needed");
    let few = error(&claims(49));
    assert!(
        few.starts_with(
            "`claims`, which the model does not know, has 49 examples, where a new domain needs 50"
        ),
        "{few}"
    );
    let named = |name: &str| {
        claims(50).into_iter().map(|row| Row { domain: Some(name.into()), ..row }).collect::<Vec<_>>()
    };
    assert!(error(&named("our claims")).contains("is no name for a domain"));
    let many: Vec<Row> = (0..18).flat_map(|n| named(&format!("claims{n}"))).collect();
    assert_eq!(error(&many), "33 domains, where 32 can be held");
    assert_eq!(error(&[]), "0 labelled requests, where 25 are needed");
    assert_eq!(
        error(&[claims(20), claims(30)].concat()),
        error(&claims(30)),
        "who says it twice says it once"
    );
    assert!(error(&named("Legal")).contains("`legal` is: write it so"));
    assert!(
        error(&named("legal"))
            .starts_with("all labels of domains that the network was trained with are of `legal`")
    );
}

#[test]
fn labels_that_contradict_each_other_are_objected_to() {
    let model = model();
    let requests = model.traffic().requests().iter().take(200);
    let rows: Vec<Row> = requests
        .enumerate()
        .map(|(n, request)| row(request.text.clone(), &model.domains()[7 * n % 15]))
        .collect();
    let found = teach(&model, &rows, Taught::default()).unwrap();
    let lessons = Lessons { after: [0.1, found.before[1] + 0.01], ..found };
    assert!(lessons.objections()[0].contains("log loss grows"), "{:?}", lessons.objections());
    let lost = OwnDomain {
        name: "odd".into(),
        is_new: true,
        examples: 50,
        found: 24,
        others: 9,
        ..Default::default()
    };
    let alone = OwnDomain { found: 50, others: 0, ..lost.clone() };
    let lessons = Lessons { after: lessons.before, own: vec![alone], ..lessons };
    assert!(lessons.objections()[0].starts_with("odd: there is nothing to tell it from"));
    let lessons = Lessons { after: lessons.before, own: vec![lost], ..lessons };
    assert!(
        lessons.objections()[0].starts_with("odd: of its 50 examples 24 are found"),
        "{:?}",
        lessons.objections()
    );
}
