//! A conversation stays with the specialist that has it, and leaves when its subject does.

use crate::harness::{Model, Rig, Setup, json};
use serde_json::json;
use testkit::Reply;

/// A specialist for each of these domains, good at nothing else, and the large model.
async fn specialists(domains: &[&str]) -> (Model, Rig) {
    let model = Model::honest().await;
    let mut setup = Setup::new();
    for domain in domains {
        setup = setup.expert(domain, model.addr, &format!("quality: {{ {domain}: 0.95 }}"));
    }
    let policies = "policies: { balanced: { tolerance: 0.20 } }\nrouter: { deadline: 1s }";
    let rig = setup.large(model.addr, "").section(policies).start_real().await;
    (model, rig)
}

const OPENINGS: [(&str, &str); 6] = [
    (
        "code",
        "Write a Rust function that parses a CSV file into a vector of structs with serde, and returns an error with the line number",
    ),
    (
        "legal",
        "Which clauses should a software license agreement contain to limit the liability of the licensor under English law?",
    ),
    (
        "medical",
        "What are the causes, the symptoms and the treatment of atrial fibrillation in a patient with chronic kidney disease?",
    ),
    (
        "finance",
        "How do I value a bond with a semiannual coupon when the yield to maturity rises, and what does duration tell an investor?",
    ),
    (
        "sql",
        "Write a SQL query that returns for each customer the total of all orders in the last month, joining orders and customers",
    ),
    (
        "math",
        "Prove by induction that the sum of the first n odd numbers is n squared, and compute the sum for n = 50",
    ),
];

const ANSWER: &str =
    "Of course. There are two ways to do that; the first one is described below, then the second one.";

/// Asks the first of these turns, then the next as if the others had been answered.
async fn next(rig: &Rig, turns: &[&str]) -> Reply {
    let mut messages = Vec::new();
    for turn in turns {
        messages.push(json!({"role": "user", "content": turn}));
        messages.push(json!({"role": "assistant", "content": ANSWER}));
    }
    messages.pop();
    rig.chat(&json!({"model": "auto", "messages": messages}).to_string()).await
}

fn expert(reply: &Reply) -> &str {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-mixgate-expert").unwrap_or_default()
}

#[tokio::test]
async fn turns_that_mean_little_alone_stay_with_the_specialist() {
    let domains = OPENINGS.map(|(domain, _)| domain);
    let (_model, rig) = specialists(&domains).await;
    let follow_ups = [
        "can you make it shorter?",
        "and what about the second one?",
        "explain that again, please",
        "why is the other one better?",
        "does this still hold then?",
        "show me the same for another case",
        "but what happens if it fails?",
        "ok, and after that?",
    ];
    let (mut stayed, mut strayed, mut told) = (0, Vec::new(), Vec::new());
    for (domain, opening) in OPENINGS {
        for follow_up in follow_ups {
            assert_eq!(expert(&next(&rig, &[opening]).await), domain, "{opening}");
            let reply = next(&rig, &[opening, follow_up]).await;
            let who = expert(&reply);
            stayed += usize::from(who == domain);
            let says = format!("{domain}: «{follow_up}» to {who} ({:?})", reply.header("x-mixgate-domain"));
            if who != domain && who != "large" {
                strayed.push(says);
            } else if who != domain {
                told.push(says);
            }
        }
    }
    let all = OPENINGS.len() * follow_ups.len();
    println!("{stayed} of {all} stayed; strayed: {strayed:?}; left: {told:?}");
    assert!(strayed.is_empty(), "{strayed:?}");
    assert!(stayed * 10 >= all * 9, "{stayed} of {all} stayed: {told:?}");
}

#[tokio::test]
async fn a_new_subject_leaves_the_specialist() {
    let domains = OPENINGS.map(|(domain, _)| domain);
    let (_model, rig) = specialists(&domains).await;
    for (domain, opening) in OPENINGS {
        for (subject, turn) in [
            ("writing", "now write me a poem about cats"),
            ("writing", "write a short story about a dragon and a princess"),
            ("chat", "what's the weather like today?"),
            ("chat", "tell me a joke"),
            ("medical", "what are the symptoms of diabetes?"),
            ("code", "write a python function that reverses a list"),
            ("sql", "write a SQL query that counts orders per customer"),
            ("math", "what is the derivative of x^2 sin(x)?"),
        ] {
            if subject != domain {
                assert_eq!(expert(&next(&rig, &[opening]).await), domain);
                let reply = next(&rig, &[opening, turn]).await;
                assert_ne!(expert(&reply), domain, "{turn}");
                assert_eq!(reply.header("x-mixgate-domain"), Some(subject), "{turn}");
            }
        }
    }
}

#[tokio::test]
async fn a_conversation_of_remarks_is_about_what_it_began_with() {
    let (_model, rig) = specialists(&["legal", "code"]).await;
    let (_, opening) = OPENINGS[1];
    let turns = [opening, "make it shorter", "and the second one?", "can the other side cancel it?"];
    for count in 1..=turns.len() {
        let reply = next(&rig, &turns[..count]).await;
        assert_eq!(expert(&reply), "legal", "{:?}", &turns[..count]);
    }
    // for somebody else, who was never with the specialist, the same history says as much
    let reply = next(&rig, &["hello", opening, "make it shorter", "can the other side cancel it?"]).await;
    assert_eq!(reply.header("x-mixgate-domain"), Some("legal"));
}

#[tokio::test]
async fn the_record_has_the_scores_that_decided() {
    let (_model, rig) = specialists(&["legal"]).await;
    let (_, opening) = OPENINGS[1];
    let alone = next(&rig, &["can the other side cancel it?"]).await;
    let reply = next(&rig, &[opening, "can the other side cancel it?"]).await;
    assert_eq!(reply.header("x-mixgate-domain"), Some("legal"));
    assert_ne!(alone.header("x-mixgate-domain"), Some("legal"), "by itself it is about something else");
    let record = rig.record_of(&reply).await;
    assert_eq!(record["domain"], "legal");
    let confidence: f64 = reply.header("x-mixgate-confidence").unwrap().parse().unwrap();
    assert!((record["confidence"].as_f64().unwrap() - confidence).abs() < 0.001, "{record}");
    let body = json!({"model": "auto", "messages": [
        {"role": "user", "content": opening},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "can the other side cancel it?"},
    ]});
    let dry = testkit::post_json(rig.addr(), "/v1/route", &[], &body.to_string()).await;
    assert_eq!(json(&dry.body)["domain"], "legal", "the explanation is of the same decision");
}
