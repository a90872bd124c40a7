//! One model as the answers to `mixgate init` describe it, read from the words of an option or of a terminal.

use std::collections::BTreeSet;

use http::Uri;

use super::catalogue::Catalogue;

/// One model, as it will be written down.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    /// Its name in the configuration.
    pub(super) name: String,
    /// The name was said, not made from the model's id.
    pub(super) is_named: bool,
    /// What its server calls it.
    pub(super) model: String,
    /// Its address.
    pub(super) url: String,
    /// The variable of the environment that holds its key.
    pub(super) key: Option<String>,
    /// USD per million tokens of input and of output.
    pub(super) price: Option<[f64; 2]>,
    /// Chance of a good answer, by domain.
    pub(super) quality: Vec<(String, f64)>,
    /// A model of the catalogue.
    pub(super) catalogue: Option<String>,
    /// Tokens of prompt and answer together.
    pub(super) context: Option<u64>,
}

/// Where most large models are, and what its own SDK calls its key.
pub(super) const OPENAI: &str = "https://api.openai.com/v1";

/// Variables by which hosted services' own programs take their keys.
const KEYS: [(&str, &str); 7] = [
    ("api.openai.com", "OPENAI_API_KEY"),
    ("api.mistral.ai", "MISTRAL_API_KEY"),
    ("api.groq.com", "GROQ_API_KEY"),
    ("api.deepseek.com", "DEEPSEEK_API_KEY"),
    ("api.together.xyz", "TOGETHER_API_KEY"),
    ("openrouter.ai", "OPENROUTER_API_KEY"),
    ("api.fireworks.ai", "FIREWORKS_API_KEY"),
];

/// The usual variable for the key of a hosted service.
pub(super) fn usual_key(url: &str) -> Option<&'static str> {
    let host = url.parse::<Uri>().ok()?.host()?.to_owned();
    KEYS.iter().find(|(known, _)| *known == host).map(|(_, variable)| *variable)
}

/// An address of a server, without the slash at its end.
pub(super) fn address(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("http" | "https") => Ok(text.to_owned()),
        _ => {
            Err(format!("`{text}` is no address: write it with its scheme, such as http://127.0.0.1:8001/v1"))
        }
    }
}

/// The name of a variable. Somebody who pastes a key instead must not find it in a file or a message.
pub(super) fn variable(text: &str) -> Result<String, String> {
    let text = text.trim();
    let text = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if !text.is_empty()
        && text.len() <= 64
        && text.chars().all(is_name)
        && !text.starts_with(|c: char| c.is_ascii_digit())
    {
        return Ok(text.to_owned());
    }
    Err("this is no name of a variable such as OPENAI_API_KEY: keys stay in the environment and are never written in clear".to_owned())
}

/// `INPUT/OUTPUT`, or one figure for both.
pub(super) fn price(text: &str) -> Result<[f64; 2], String> {
    let (input, output) = text.split_once('/').unwrap_or((text, text));
    let figure = |text: &str| text.trim().trim_start_matches('$').parse::<f64>().ok();
    match (figure(input), figure(output)) {
        (Some(input), Some(output)) if [input, output].iter().all(|usd| (0.0..=1e6).contains(usd)) => {
            Ok([input, output])
        }
        _ => Err(format!(
            "`{text}` is no price: write USD per million tokens as INPUT/OUTPUT, such as 2.50/10"
        )),
    }
}

/// Chances by domain, such as `code:0.9 sql:0.85`.
pub(super) fn quality(text: &str) -> Result<Vec<(String, f64)>, String> {
    let one = |word: &str| {
        let (domain, chance) = word.split_once([':', '='])?;
        let chance = chance.parse::<f64>().ok().filter(|chance| (0.0..=1.0).contains(chance))?;
        router_model::TAXONOMY.contains(&domain).then(|| (domain.to_owned(), chance))
    };
    let words = text.split([' ', '+', ',']).filter(|word| !word.is_empty());
    let fault = |word: &str| {
        let domains = router_model::TAXONOMY.join(" ");
        format!("`{word}` is no domain and chance, such as code:0.9; domains are {domains}")
    };
    let mut read = Vec::<(String, f64)>::new();
    for word in words {
        let (domain, chance) = one(word).ok_or_else(|| fault(word))?;
        if let Some((_, before)) = read.iter().find(|(known, _)| *known == domain) {
            return Err(format!("`{domain}` has two chances, {before} and {chance}: keep one of them"));
        }
        read.push((domain, chance));
    }
    Ok(read)
}

/// A number of tokens.
pub(super) fn context(text: &str) -> Result<u64, String> {
    let tokens = text.trim().parse::<u64>().ok().filter(|tokens| (1..=1_000_000_000).contains(tokens));
    tokens.ok_or_else(|| format!("`{text}` is no number of tokens, such as 32768"))
}

/// A name for a model in headers and metrics: the last part of its id, as far as a name may hold it.
pub(super) fn name_of(model: &str) -> String {
    let last = model.rsplit('/').next().unwrap_or(model).to_lowercase();
    let may = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = last.chars().map(may).collect();
    let name = name.trim_matches(['-', '.', '_']);
    if name.is_empty() || name == "auto" { "model".to_owned() } else { name.to_owned() }
}

/// The name itself, or where somebody has it with the first number that nobody has.
pub(super) fn free(name: &str, is_taken: &dyn Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

/// Gives models of one id different names. Names that were said stay as they are.
pub(super) fn name_apart(models: &mut [Model]) -> Result<(), String> {
    let mut taken = BTreeSet::new();
    for Model { name, .. } in models.iter().filter(|model| model.is_named) {
        if !taken.insert(name.clone()) {
            return Err(format!("two models are to be called `{name}`: say another `name=` for one of them"));
        }
    }
    for model in models.iter_mut().filter(|model| !model.is_named) {
        model.name = free(&model.name, &|name| taken.contains(name));
        taken.insert(model.name.clone());
    }
    Ok(())
}

impl Model {
    /// From the words of an option: `MODEL@ADDRESS`, and behind commas what else is known. The fallback is at OpenAI
    /// where no address is said.
    pub(super) fn read(text: &str, fallback: bool, catalogue: &Catalogue) -> Result<Self, String> {
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default().trim();
        let (model, url) = match first.split_once("@http") {
            Some((model, rest)) => (model, format!("http{rest}")),
            None if fallback && !first.contains('@') => (first, OPENAI.to_owned()),
            None => return Err(format!("`{first}` has no address: write MODEL@http://127.0.0.1:8001/v1")),
        };
        if model.is_empty() {
            return Err(format!("`{first}` has no model id in front of its address"));
        }
        let url = address(&url)?;
        let mut read = Self {
            name: name_of(model),
            model: model.to_owned(),
            key: usual_key(&url).map(str::to_owned),
            catalogue: catalogue.find(model).map(str::to_owned),
            url,
            ..Self::default()
        };
        for part in parts {
            let (what, value) = part.split_once('=').unwrap_or((part, ""));
            read.set(what.trim(), value, catalogue)?;
        }
        Ok(read)
    }

    fn set(&mut self, what: &str, value: &str, catalogue: &Catalogue) -> Result<(), String> {
        match what {
            "name" => {
                value.trim().clone_into(&mut self.name);
                self.is_named = true;
            }
            "key" if value.trim().is_empty() => self.key = None,
            "key" => self.key = Some(variable(value)?),
            "price" => self.price = Some(price(value)?),
            "quality" => self.quality = quality(value)?,
            "context" => self.context = Some(context(value)?),
            "catalogue" if value.trim().is_empty() => self.catalogue = None,
            "catalogue" => self.catalogue = Some(catalogue.named(value.trim())?),
            _ => {
                let known = "name, key, price, quality, context and catalogue";
                return Err(format!("`{what}` is nothing that is known of a model: there are {known}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Model, String> {
        Model::read(text, false, &Catalogue::of(&["qwen2.5-coder-7b-instruct"]))
    }

    #[test]
    fn an_option_describes_a_model() {
        let said = "Qwen/Qwen2.5-Coder-7B-Instruct@http://10.0.0.7:8000/v1/,name=coder,key=CODER_KEY,price=0.2/0.3,quality=code:0.9+sql:0.91,context=32768";
        let model = read(said).unwrap();
        assert_eq!(model.name, "coder");
        assert_eq!(model.model, "Qwen/Qwen2.5-Coder-7B-Instruct");
        assert_eq!(model.url, "http://10.0.0.7:8000/v1");
        assert_eq!(model.key.as_deref(), Some("CODER_KEY"));
        assert_eq!(model.price, Some([0.2, 0.3]));
        assert_eq!(model.quality, [("code".to_owned(), 0.9), ("sql".to_owned(), 0.91)]);
        assert_eq!(
            (model.context, model.catalogue.as_deref()),
            (Some(32768), Some("qwen2.5-coder-7b-instruct"))
        );
        let large = Model::read("gpt-4o", true, &Catalogue::of(&[])).unwrap();
        assert_eq!((large.url.as_str(), large.key.as_deref()), (OPENAI, Some("OPENAI_API_KEY")));
    }

    #[test]
    fn what_is_wrong_is_told_and_a_key_is_not_repeated() {
        for (said, part) in [
            ("gpt-4o", "no address"),
            ("@http://h/v1", "no model id"),
            ("m@http:///v1", "is no address"),
            ("m@http://h/v1,price=cheap", "is no price"),
            ("m@http://h/v1,price=-1/2", "is no price"),
            ("m@http://h/v1,quality=cooking:0.9", "domains are chat"),
            ("m@http://h/v1,quality=code:9", "`code:9`"),
            ("m@http://h/v1,quality=code:.9+sql:1+code:.8", "`code` has two chances, 0.9 and 0.8: keep one"),
            ("m@http://h/v1,colour=red", "`colour`"),
            ("m@http://h/v1,context=0", "is no number of tokens"),
            ("m@http://h/v1,catalogue=nobody", "nobody"),
        ] {
            let fault = read(said).unwrap_err();
            assert!(fault.contains(part), "{said}: {fault}");
        }
        for key in ["sk-CANARY", "sk_canary123", "CANARY KEY", "9CANARY"] {
            let fault = read(&format!("m@http://h/v1,key={key}")).unwrap_err();
            assert!(fault.contains("OPENAI_API_KEY") && !fault.to_lowercase().contains("canary"), "{fault}");
        }
    }

    #[test]
    fn a_name_that_was_said_stays_and_one_that_was_made_gives_way() {
        let named = |options: [&str; 3]| {
            let mut models = options.map(|option| read(&format!("org/y@http://h/v1{option}")).unwrap());
            name_apart(&mut models).map(|()| models.map(|model| model.name))
        };
        assert_eq!(named(["", "", ",name=y-2"]).unwrap(), ["y", "y-3", "y-2"]);
        assert_eq!(named(["", ",name=y", ""]).unwrap(), ["y-2", "y", "y-3"]);
        let fault = named([",name=y", "", ",name=y"]).unwrap_err();
        assert!(fault.contains("called `y`: say another `name=`"), "{fault}");
    }

    #[test]
    fn names_are_what_headers_and_labels_may_hold() {
        for (model, name) in [
            ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-instruct-v0.3"),
            ("llama3:8b", "llama3-8b"),
            ("модель", "model"),
            ("auto", "model"),
        ] {
            assert_eq!(name_of(model), name);
        }
    }
}
