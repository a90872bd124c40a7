//! The first configuration as text: what is known, and in comments what is not.

use std::fmt::Write;

use super::model::Model;

/// The file. `is_set`: whether a variable is there now; one that is not gets an empty default, or the file would be
/// refused at once.
pub(super) fn text(fallback: &Model, experts: &[Model], is_set: &dyn Fn(&str) -> bool) -> String {
    let mut out = format!(
        "# Written by `mixgate init`. `mixgate schema` prints every key; `mixgate check` holds the file against the rules.

# the large model: it takes what no other should, and savings are measured against its price
fallback: {}

experts:
",
        scalar(&fallback.name)
    );
    for model in experts {
        expert(&mut out, model, false, is_set);
    }
    expert(&mut out, fallback, true, is_set);
    out
}

fn expert(out: &mut String, model: &Model, is_fallback: bool, is_set: &dyn Fn(&str) -> bool) {
    let Model { name, model: id, url, key, price, quality, catalogue, context, is_named: _ } = model;
    let mut line = |text: String| _ = writeln!(out, "{text}");
    line(format!("  - name: {}", scalar(name)));
    line(format!("    model: {}", scalar(id)));
    line(format!("    base_url: {}", scalar(url)));
    match key {
        Some(key) if is_set(key) => line(format!("    api_key: ${{{key}}}")),
        Some(key) => line(format!(
            "    api_key: ${{{key}:-}}   # {key} was not set when this was written; without `:-` an unset one is refused"
        )),
        None => {}
    }
    if let Some(name) = catalogue {
        line(format!("    catalogue: {}   # graded answers of this model give its chances", scalar(name)));
    }
    if !quality.is_empty() {
        let figures: Vec<String> =
            quality.iter().map(|(domain, chance)| format!("{domain}: {chance}")).collect();
        line(format!(
            "    quality: {{ {} }}   # chance of a good answer; no figure: never chosen for that domain",
            figures.join(", ")
        ));
    } else if catalogue.is_none() && is_fallback {
        line("    # quality: { code: 0.93 }   # chance of a good answer by domain; without a figure it counts as 1".to_owned());
    } else if catalogue.is_none() {
        line("    # quality: { code: 0.90 }   # chance of a good answer by domain; without one only requests that name it go there".to_owned());
    }
    match price {
        Some([input, output]) => {
            line(format!("    price: {{ input_per_1m: {input}, output_per_1m: {output} }}"));
        }
        None => {
            line("    # price: { input_per_1m: 0.10, output_per_1m: 0.10 }   # USD; write yours, and take `hosting` out".to_owned());
            line(format!(
                "    hosting: {{ usd_per_hour: 0 }}   # in place of a price: {}",
                unpriced(is_fallback)
            ));
        }
    }
    match context {
        Some(tokens) => line(format!("    context_window: {tokens}")),
        None => line(
            "    # context_window: 32768   # tokens of prompt and answer; 8192 where nothing is written"
                .to_owned(),
        ),
    }
    if is_fallback {
        line("    capabilities: [tools, json_schema]   # what it can beyond text: vision, audio, reasoning, logprobs, parallel_tools".to_owned());
    } else {
        line("    # capabilities: [tools, json_schema]   # what it can beyond text; none: such requests go to the fallback".to_owned());
    }
}

fn unpriced(is_fallback: bool) -> &'static str {
    if is_fallback { "no savings are told" } else { "it counts as the dearest" }
}

/// A text as YAML: plain where nothing in it could be read otherwise, else in quotes.
fn scalar(text: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '?' | '=' | '&');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_word =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if begins && text.chars().all(is_plain) && !text.ends_with(':') && !is_word {
        return text.to_owned();
    }
    // JSON strings are YAML; `${` would be read as a variable of the environment
    serde_json::to_string(text).unwrap_or_default().replace("${", "\\u0024{")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn model(name: &str) -> Model {
        Model {
            name: name.to_owned(),
            model: name.to_owned(),
            url: "http://h:1/v1".to_owned(),
            ..Model::default()
        }
    }

    #[test]
    fn what_is_written_is_what_the_configuration_reads() {
        let fallback = Model {
            key: Some("BIG_KEY".to_owned()),
            price: Some([2.5, 10.0]),
            context: Some(128_000),
            catalogue: Some("gpt-4o-2024-05-13".to_owned()),
            ..model("big")
        };
        let small = Model {
            model: "org/Tiny: \"7B\" #1".to_owned(),
            key: Some("SMALL_KEY".to_owned()),
            quality: vec![("code".to_owned(), 0.9)],
            ..model("123")
        };
        let dollars = Model { model: "a \\${HOME} $${B:-c}".to_owned(), ..model("bare") };
        let text = text(&fallback, &[small.clone(), dollars.clone()], &|name| name == "BIG_KEY");
        let key = |name: &str| (name == "BIG_KEY").then(|| "sk-secret".to_owned());
        let read = config::parse("t.yaml", &text, &key).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        let config = read.config;
        assert_eq!(config.fallback.primary(), "big");
        let names: Vec<&str> = config.experts.iter().map(|expert| expert.name.as_str()).collect();
        assert_eq!(names, ["123", "bare", "big"]);
        assert_eq!(config.experts[0].model, small.model);
        assert_eq!(config.experts[1].model, dollars.model, "{text}");
        assert_eq!(config.experts[0].quality["code"], 0.9);
        assert_eq!(config.experts[2].api_key.as_ref().unwrap().expose(), "sk-secret");
        assert_eq!((config.experts[2].context_window, config.experts[1].context_window), (128_000, 8192));
        assert!(config.experts[1].price.is_none() && config.experts[2].price.is_some());
        assert!(!text.contains("sk-secret"), "{text}");
    }

    #[test]
    fn texts_that_yaml_would_read_otherwise_are_quoted() {
        for text in ["no", "1e3", "a: b", "#x", "a #b", "", "- x", "${X}", "a:", "\"", "null"] {
            assert!(scalar(text).starts_with('"'), "{text}");
        }
        assert_eq!(scalar("http://127.0.0.1:8001/v1?a=b"), "http://127.0.0.1:8001/v1?a=b");
    }
}
