//! The questions of `mixgate init` at a terminal. What is answered wrongly is asked again; an empty answer takes what
//! stands in brackets.

use std::io::{BufRead, Write};

use super::catalogue::Catalogue;
use super::model::{self, Model, OPENAI};
use super::probe::Listed;
use crate::cli::Exit;

/// Models of a server that are shown; one that is not is written all the same.
const SHOWN: usize = 12;

/// Somebody who answers.
pub(super) struct Asker<R, W> {
    input: R,
    out: W,
}

/// Looks up the models of a server.
pub(super) type Look<'l> = &'l dyn Fn(&Model) -> Result<Vec<Listed>, String>;

impl<R: BufRead, W: Write> Asker<R, W> {
    pub(super) fn new(input: R, out: W) -> Self {
        Self { input, out }
    }

    /// The fallback, then the small models until no further one is named; the fallback first.
    pub(super) fn models(&mut self, catalogue: &Catalogue, look: Look<'_>) -> Result<Vec<Model>, Exit> {
        self.say("The large model: it takes what no small one should, and savings are measured against it.")?;
        let url = self.ask("  address", Some(OPENAI), model::address)?;
        let fallback = self.model(url, catalogue, look, &[])?;
        let mut models = vec![fallback];
        loop {
            let which = if models.len() == 1 { "A small model" } else { "Another small model" };
            self.say(&format!("{which}; an empty address: no more."))?;
            let none_or = |text: &str| if text.is_empty() { Ok(String::new()) } else { model::address(text) };
            let url = self.ask("  address", None, none_or)?;
            if url.is_empty() {
                return Ok(models);
            }
            models.push(self.model(url, catalogue, look, &models)?);
        }
    }

    /// One model beside those `before` it; the first is the fallback.
    fn model(
        &mut self,
        url: String,
        catalogue: &Catalogue,
        look: Look<'_>,
        before: &[Model],
    ) -> Result<Model, Exit> {
        let mut model = Model { key: model::usual_key(&url).map(str::to_owned), url, ..Model::default() };
        let usual = model.key.take().unwrap_or_default();
        let key = |text: &str| match text {
            "" | "-" => Ok(None),
            text => model::variable(text).map(Some),
        };
        let question = if usual.is_empty() {
            "  environment variable with its key (empty: none)"
        } else {
            "  environment variable with its key (-: none)"
        };
        model.key = self.ask(question, Some(&usual), key)?;
        let listed = look(&model);
        let only = self.tell_listed(&listed)?;
        let some = |text: &str| {
            if text.is_empty() { Err("a model id is needed".to_owned()) } else { Ok(text.to_owned()) }
        };
        model.model = self.ask("  model id", only.as_deref(), some)?;
        model.name = self.name(&model.model, before)?;
        let of_it = listed.unwrap_or_default().into_iter().find(|one| one.id == model.model);
        model.context = of_it.and_then(|one| one.context());
        if model.context.is_none() {
            model.context = self.optional("  context window in tokens (empty: not known)", model::context)?;
        }
        model.catalogue = catalogue.find(&model.model).map(str::to_owned);
        match &model.catalogue {
            Some(name) => self.say(&format!("  the catalogue knows it from graded answers, as {name}"))?,
            None if before.is_empty() => {}
            None => {
                let question =
                    "  chance of a good answer, by domain, such as code:0.9 sql:0.9 (empty: not known)";
                model.quality = self.ask(question, None, model::quality)?;
            }
        }
        let price = "  price, USD per million tokens as INPUT/OUTPUT, such as 2.50/10 (empty: not now)";
        model.price = self.optional(price, model::price)?;
        Ok(model)
    }

    /// A name that none of those before has.
    fn name(&mut self, id: &str, before: &[Model]) -> Result<String, Exit> {
        let is_taken = |name: &str| before.iter().any(|model| model.name == name);
        let usual = model::free(&model::name_of(id), &is_taken);
        self.ask("  its name here", Some(&usual), |text| {
            let name = model::name_of(text);
            if is_taken(&name) { Err(format!("there is a model `{name}` already")) } else { Ok(name) }
        })
    }

    /// Shows what a server has; its only model.
    fn tell_listed(&mut self, listed: &Result<Vec<Listed>, String>) -> Result<Option<String>, Exit> {
        match listed {
            Err(fault) => {
                self.say(&format!("  {fault}"))?;
                Ok(None)
            }
            Ok(models) if models.is_empty() => Ok(None),
            Ok(models) => {
                let names: Vec<&str> = models.iter().take(SHOWN).map(|one| one.id.as_str()).collect();
                let more = if models.len() > SHOWN { ", …" } else { "" };
                let noun = if models.len() == 1 { "model" } else { "models" };
                self.say(&format!("  it has {} {noun}: {}{more}", models.len(), names.join(", ")))?;
                Ok((models.len() == 1).then(|| models[0].id.clone()))
            }
        }
    }

    /// Yes or no; an empty answer is a yes.
    pub(super) fn agrees(&mut self, question: &str) -> Result<bool, Exit> {
        self.ask(question, Some("yes"), |text| match text.to_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("yes or no".to_owned()),
        })
    }

    fn optional<T>(
        &mut self,
        question: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Exit> {
        self.ask(question, None, |text| if text.is_empty() { Ok(None) } else { read(text).map(Some) })
    }

    /// Asks until the answer can be read.
    fn ask<T>(
        &mut self,
        question: &str,
        usual: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Exit> {
        let usual = usual.filter(|usual| !usual.is_empty());
        let brackets = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
        loop {
            self.put(&format!("{question}{brackets}: "))?;
            let mut line = String::new();
            let read_bytes = self.input.read_line(&mut line);
            if read_bytes.map_err(|error| Exit::Input(format!("standard input: {error}")))? == 0 {
                return Err(Exit::Input(
                    "the answers ended before the last question: nothing was written".to_owned(),
                ));
            }
            let answer = Some(line.trim()).filter(|answer| !answer.is_empty()).or(usual).unwrap_or_default();
            match read(answer) {
                Ok(value) => return Ok(value),
                Err(fault) => self.say(&format!("  {fault}"))?,
            }
        }
    }

    fn say(&mut self, text: &str) -> Result<(), Exit> {
        self.put(&format!("{text}\n"))
    }

    fn put(&mut self, text: &str) -> Result<(), Exit> {
        let put = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        put.map_err(|error| Exit::Input(format!("standard error: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &str) -> (Result<Vec<Model>, Exit>, String) {
        let mut out = Vec::new();
        let look = |model: &Model| match model.url.as_str() {
            "http://small/v1" => {
                Ok(vec![serde_json::from_str(r#"{"id":"org/Tiny-7B","max_model_len":4096}"#).unwrap()])
            }
            _ => Err("it cannot be reached".to_owned()),
        };
        let catalogue = Catalogue::of(&["gpt-4o-2024-05-13"]);
        let models = Asker::new(answers.as_bytes(), &mut out).models(&catalogue, &look);
        (models, String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_known_stands_in_brackets_and_the_rest_is_asked() {
        let large = "\n\ngpt-4o\n\n128000\n2.5/10\n";
        let small = "http://small/v1\n\n\ntiny\ncode:0.9\n0.2\n";
        let (models, out) = asked(&format!("{large}{small}\n"));
        let models = models.unwrap();
        let (fallback, experts) = models.split_first().unwrap();
        assert_eq!((fallback.url.as_str(), fallback.key.as_deref()), (OPENAI, Some("OPENAI_API_KEY")));
        assert_eq!((fallback.name.as_str(), fallback.context), ("gpt-4o", Some(128_000)));
        assert_eq!(fallback.catalogue.as_deref(), Some("gpt-4o-2024-05-13"));
        assert_eq!(experts.len(), 1);
        let tiny = &experts[0];
        assert_eq!((tiny.model.as_str(), tiny.name.as_str(), &tiny.key), ("org/Tiny-7B", "tiny", &None));
        assert_eq!((tiny.context, tiny.price), (Some(4096), Some([0.2, 0.2])));
        assert_eq!(tiny.quality, [("code".to_owned(), 0.9)]);
        assert!(out.contains("it cannot be reached") && out.contains("[org/Tiny-7B]"), "{out}");
    }

    #[test]
    fn a_name_that_is_taken_is_not_offered_and_not_taken() {
        let large = "\n\ny\n\n8192\n\n";
        let small = |names: &str| format!("http://small/v1\n\norg/y\n{names}\n8192\n\n\n");
        let (models, out) = asked(&format!("{large}{}{}\n", small(""), small("y\nz")));
        let names: Vec<String> = models.unwrap().into_iter().map(|model| model.name).collect();
        assert_eq!(names, ["y", "y-2", "z"]);
        assert!(out.contains("[y-2]") && out.contains("[y-3]"), "{out}");
        assert!(out.contains("there is a model `y` already"), "{out}");
    }

    #[test]
    fn a_wrong_answer_is_asked_again_and_an_end_writes_nothing() {
        let large = "nowhere\nhttp://big/v1\nsk-CANARY\n-\n\nbig\n\nmany\n8192\ncheap\n\n";
        let (models, out) = asked(&format!("{large}\n"));
        let models = models.unwrap();
        let (fallback, experts) = models.split_first().unwrap();
        assert_eq!((fallback.url.as_str(), &fallback.key, fallback.price), ("http://big/v1", &None, None));
        assert!(experts.is_empty());
        for part in
            ["`nowhere` is no address", "no name of a variable", "a model id is needed", "`many`", "`cheap`"]
        {
            assert!(out.contains(part), "{part}: {out}");
        }
        assert!(!out.contains("CANARY"), "{out}");
        let (models, _) = asked("\n\ngpt-4o\n");
        assert!(matches!(models, Err(Exit::Input(why)) if why.contains("nothing was written")));
    }
}
