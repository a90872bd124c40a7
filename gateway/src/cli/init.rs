//! `mixgate init`: a first configuration, asked at a terminal or wholly said by options.
//!
//! Every model is called before it is written down, so that a wrong address, key or id is told here and not by the first
//! user. Keys are taken from the environment and named, never written.

mod ask;
mod catalogue;
mod model;
mod probe;
mod yaml;

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use router_model::RouterModel;

use super::Exit;
use crate::cli::print;
use crate::config;
use ask::Asker;
use catalogue::Catalogue;
use model::Model;
use probe::Probe;

#[derive(Debug, clap::Args)]
#[command(after_help = "Without --fallback it asks. Wholly by options:
  mixgate init --fallback gpt-4o,price=2.50/10,context=128000 \\
    --expert Qwen/Qwen2.5-Coder-7B-Instruct@http://10.0.0.7:8000/v1,name=coder,quality=code:0.9+sql:0.9,price=0.2/0.2")]
pub(super) struct Args {
    /// Where the configuration goes.
    #[arg(long, value_name = "FILE", default_value = "experts.yaml")]
    out: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
    /// The large model, as `MODEL@ADDRESS` (at OpenAI without an address) and, behind commas, what else is known:
    /// `name=`, `key=` (the variable of the environment that holds it), `price=INPUT/OUTPUT` in USD per million tokens,
    /// `context=` tokens, `quality=code:0.9+sql:0.85`, `catalogue=`.
    #[arg(long, alias = "fallback-model", value_name = "MODEL@URL,…")]
    fallback: Option<String>,
    /// A small model, written in the same way. May be repeated.
    #[arg(long = "expert", value_name = "MODEL@URL,…", requires = "fallback")]
    experts: Vec<String>,
    /// Call no model.
    #[arg(long)]
    no_probe: bool,
    /// How long each call to a model may take.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = crate::duration::parse)]
    timeout: Duration,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    if args.out.exists() && !args.force {
        let message =
            format!("{} is there already: say another place with --out, or --force", args.out.display());
        return Err(Exit::Input(message));
    }
    let router = RouterModel::builtin().map_err(|error| Exit::Internal(error.to_string()))?;
    let catalogue = Catalogue::new(&router.card().known);
    let probe = if args.no_probe { None } else { Some(Probe::new(args.timeout)?) };
    let models = match &args.fallback {
        Some(fallback) => {
            let mut models = said(fallback, &args.experts, &catalogue)?;
            model::name_apart(&mut models).map_err(Exit::Usage)?;
            warn(&call_all(probe.as_ref(), &mut models));
            models
        }
        None if std::io::stdin().is_terminal() => asked(&catalogue, probe.as_ref())?,
        None => {
            let message = "standard input is no terminal: say the models with --fallback and --expert";
            return Err(Exit::Usage(message.to_owned()));
        }
    };
    let Some((fallback, experts)) = models.split_first() else { return Ok(()) };
    let text = yaml::text(fallback, experts, &|name| config::environment(name).is_some());
    check(&args.out, &text)?;
    write(&args.out, &text, args.force)?;
    tell(&args.out, &models, &catalogue);
    Ok(())
}

/// The models as options say them, the fallback first.
fn said(fallback: &str, experts: &[String], catalogue: &Catalogue) -> Result<Vec<Model>, Exit> {
    let read = |option: &str, text: &str| {
        let model = Model::read(text, option == "--fallback", catalogue);
        model.map_err(|fault| Exit::Usage(format!("{option}: {fault}")))
    };
    let experts = experts.iter().map(|expert| read("--expert", expert));
    std::iter::once(read("--fallback", fallback)).chain(experts).collect()
}

/// The same, asked at the terminal; somebody there decides about models that do not answer.
fn asked(catalogue: &Catalogue, probe: Option<&Probe>) -> Result<Vec<Model>, Exit> {
    let mut asker = Asker::new(std::io::stdin().lock(), anstream::stderr());
    let look = |model: &Model| match probe {
        Some(_) if is_unset(model) => Err(unset(model)),
        Some(probe) => probe.models(model),
        None => Ok(Vec::new()),
    };
    let mut models = asker.models(catalogue, &look)?;
    let faults = call_all(probe, &mut models);
    warn(&faults);
    if faults.is_empty() || asker.agrees("write it all the same")? {
        return Ok(models);
    }
    Err(Exit::Input("nothing was written".to_owned()))
}

/// What calling every model found.
fn call_all(probe: Option<&Probe>, models: &mut [Model]) -> Vec<String> {
    let Some(probe) = probe else { return Vec::new() };
    models.iter_mut().filter_map(|model| call(probe, model)).collect()
}

fn warn(faults: &[String]) {
    faults.iter().for_each(|fault| print::err!("warning: {fault}"));
}

/// Calls a model: what its server has, and a word. Takes its window over; what failed, in words.
fn call(probe: &Probe, model: &mut Model) -> Option<String> {
    if is_unset(model) {
        return Some(unset(model));
    }
    print::err!("calling {} at {} …", model.model, model.url);
    let listed = probe.models(model);
    let of_it = listed.iter().flatten().find(|one| one.id == model.model);
    model.context = model.context.or(of_it.and_then(probe::Listed::context));
    // a server may list nothing and answer all the same
    let answered = probe.chat(model).err()?;
    let known: Vec<&str> = listed.iter().flatten().map(|one| one.id.as_str()).collect();
    if known.is_empty() || of_it.is_some() {
        return Some(answered);
    }
    Some(format!("{answered}; it has {}", known[..known.len().min(12)].join(", ")))
}

fn is_unset(model: &Model) -> bool {
    model.key.as_deref().is_some_and(|key| config::environment(key).is_none())
}

fn unset(model: &Model) -> String {
    let key = model.key.as_deref().unwrap_or_default();
    format!("{} is not called: the variable {key} is not set here", model.url)
}

/// What would be refused is not written.
fn check(out: &Path, text: &str) -> Result<(), Exit> {
    let name = out.display().to_string();
    let checked = config::parse(&name, text, &|name| config::environment(name));
    checked.map(drop).map_err(|faults| Exit::Input(format!("nothing was written\n{faults}")))
}

fn write(out: &Path, text: &str, force: bool) -> Result<(), Exit> {
    let mut options = OpenOptions::new();
    if force {
        options.write(true).create(true).truncate(true);
    } else {
        options.write(true).create_new(true);
    }
    let written = options.open(out).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Exit::Input(format!("{}: {error}", out.display())))
}

/// What was written, what is open, and what to do next.
fn tell(out: &Path, models: &[Model], catalogue: &Catalogue) {
    open(models, catalogue).iter().for_each(|note| print::err!("note: {note}"));
    let file = out.display();
    let small = models.len() - 1;
    let fallback = models.first().map(|model| model.name.as_str()).unwrap_or_default();
    let noun = if small == 1 { "model" } else { "models" };
    print::out!("{file}: {small} small {noun}, fallback {fallback}");
    print::out!("next:");
    print::out!("  mixgate check --config {file}");
    print::out!("  mixgate route --config {file} \"Write a SQL query that counts users by country\"");
    print::out!("  mixgate serve --config {file}      then http://127.0.0.1:8080/v1, `model: auto`");
}

/// What the file leaves open.
fn open(models: &[Model], catalogue: &Catalogue) -> Vec<String> {
    let Some((fallback, experts)) = models.split_first() else { return Vec::new() };
    let mut notes = Vec::new();
    for model in models.iter().filter(|model| model.price.is_none()) {
        notes.push(format!("{} has no price: write it where the comment stands", model.name));
    }
    for Model { name, quality, catalogue: known, .. } in experts {
        match known {
            None if quality.is_empty() => notes.push(format!(
                "{name} has no figure and is in no catalogue: until it has `quality`, only requests that name it go there"
            )),
            Some(known) if !fallback.catalogue.as_deref().is_some_and(|large| catalogue.compare(known, large)) => {
                let large = &fallback.name;
                notes.push(format!(
                    "{name} has figures of tests that {large} has none of, so they do not compare: give both a `catalogue` \
                     of one source (`mixgate catalogue`), or `quality`"
                ));
            }
            _ => {}
        }
    }
    notes
}
