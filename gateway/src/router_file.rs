//! The router model that a configuration names, loaded as part of reading the configuration: what is wrong with its file,
//! and names that it does not know, stand among the other faults, each with its line.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use router_model::{LoadError, RouterModel};
use sha2::{Digest, Sha256};

use crate::auth;
use crate::classify::Classifier;
use crate::config::{self, Checked, Draft, Faults};
use crate::own_domains::{Groups, Misnamed, OwnDomains};
use crate::snapshot::Snapshot;

/// A configuration and the router model that it names.
pub type Loaded = (Checked, Arc<dyn Classifier>);

/// Reads the configuration at `path` and its router model.
///
/// # Errors
///
/// All faults of both at once.
pub fn load(path: &Path) -> Result<Loaded, Faults> {
    complete(config::read(path)?, None)
}

/// The same from a text; `name` stands in the messages.
///
/// # Errors
///
/// As [`load`].
pub fn parse(name: &str, text: &str, environment: config::Environment<'_>) -> Result<Loaded, Faults> {
    complete(config::draft(name, text, environment)?, None)
}

/// The configuration that this build carries, and the built-in router model.
///
/// # Errors
///
/// As [`load`].
pub fn reference() -> Result<Loaded, Faults> {
    complete(config::reference()?, None)
}

/// Loads the router model of a draft, and holds its names against the model; a built-in one that runs is taken over.
pub(crate) fn complete(mut draft: Draft, running: Option<&Snapshot>) -> Result<Loaded, Faults> {
    let name = draft.config().router.model.clone();
    let the_same = |snapshot: &&Snapshot| {
        let (new, old) = (draft.config(), &snapshot.config);
        name == "builtin" && old.router.model == name && old.domains == new.domains
    };
    if let Some(running) = running.filter(the_same) {
        let model = Arc::clone(&running.classifier);
        check_names(&mut draft, &*model);
        return draft.finish().map(|checked| (checked, model));
    }
    match load_model(&name) {
        Ok(model) => {
            let Some(model) = by_own_names(&mut draft, model) else { return Err(draft.refuse()) };
            check_names(&mut draft, &*model);
            draft.finish().map(|checked| (checked, model))
        }
        Err(Unfit { what, help }) => {
            draft.fault(&["router", "model"], what, help);
            Err(draft.refuse())
        }
    }
}

/// The model by the names of `domains:`, where there are any; `None` where these cannot be used.
fn by_own_names(draft: &mut Draft, model: Arc<dyn Classifier>) -> Option<Arc<dyn Classifier>> {
    let own = &draft.config().domains;
    if own.is_empty() {
        return Some(model);
    }
    let domains: Vec<&str> = model.domains().iter().map(String::as_str).collect();
    match Groups::new(own, &domains) {
        Ok(groups) => Some(Arc::new(OwnDomains::new(model, groups))),
        Err(faults) => {
            // with the built-in one they were found without loading it
            if draft.config().router.model != "builtin" {
                for Misnamed { name, what, help } in faults {
                    draft.fault(&["domains", &name], what, help);
                }
            }
            None
        }
    }
}

/// Why a router model cannot be used, and what to do.
struct Unfit {
    what: String,
    help: &'static str,
}

const OTHER_FILE: &str = "name a file that `mixgate train` or `mixgate calibrate` wrote, or `builtin`";
const MAKE_AGAIN: &str =
    "make it again with this program: `mixgate calibrate` from graded answers, or `mixgate train`";

impl Unfit {
    fn unreadable(name: &str, error: &std::io::Error) -> Self {
        Self { what: format!("the router model `{name}` cannot be read: {error}"), help: OTHER_FILE }
    }

    fn refused(name: &str, error: &LoadError) -> Self {
        if let LoadError::FeatureVersion { model, program } = error {
            let what = format!(
                "the router model `{name}` was trained on feature version {model}, this program computes version {program}"
            );
            return Self { what, help: MAKE_AGAIN };
        }
        let why = error.to_string();
        let why = why.strip_prefix("router model: ").unwrap_or(&why);
        Self { what: format!("the router model `{name}` cannot be loaded: {why}"), help: OTHER_FILE }
    }
}

fn load_model(name: &str) -> Result<Arc<dyn Classifier>, Unfit> {
    if name != "builtin" {
        return Ok(load_router_file(name)?);
    }
    match RouterModel::builtin() {
        Ok(model) => Ok(Arc::new(model)),
        Err(error) => Err(Unfit::refused(name, &error)),
    }
}

/// The file that was loaded last, by its hash: a reload that does not change it costs no second copy.
static LOADED: Mutex<Option<([u8; 32], Weak<RouterModel>)>> = Mutex::new(None);

fn load_router_file(name: &str) -> Result<Arc<RouterModel>, Unfit> {
    let unreadable = |error: std::io::Error| Unfit::unreadable(name, &error);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let hash = hash_of_file(name).map_err(unreadable)?;
    if let Some((known, model)) = &*loaded
        && *known == hash
        && let Some(model) = model.upgrade()
    {
        return Ok(model);
    }
    let bytes = std::fs::read(name).map_err(unreadable)?;
    let model = RouterModel::from_bytes(&bytes).map_err(|error| Unfit::refused(name, &error))?;
    let model = Arc::new(model);
    // of what was read, should it have changed meanwhile
    *loaded = Some((auth::sha256(&bytes), Arc::downgrade(&model)));
    Ok(model)
}

fn hash_of_file(name: &str) -> std::io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(name)?, &mut HashedBytes(&mut hasher))?;
    Ok(hasher.finalize().into())
}

/// Takes what is to be hashed.
struct HashedBytes<'h>(&'h mut Sha256);

impl std::io::Write for HashedBytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Names of domains in the configuration must be labels of the model, names in `catalogue` models that it knows.
fn check_names(draft: &mut Draft, model: &dyn Classifier) {
    let config = draft.config();
    let version = model.version();
    let mut unknown: Vec<(Vec<String>, String, String)> = Vec::new();
    let mut domain = |keys: Vec<String>, domain: &String| {
        if !model.domains().contains(domain) {
            let help = config::fault_suggestion(domain, model.domains().iter().map(String::as_str));
            unknown.push((keys, format!("the router model `{version}` knows no domain `{domain}`"), help));
        }
    };
    // of the built-in one they are known without loading it
    if config.router.model != "builtin" {
        for (index, expert) in config.experts.iter().enumerate() {
            let keys = |name: &String| ["experts", &index.to_string(), "quality", name].map(str::to_owned);
            expert.quality.keys().for_each(|name| domain(keys(name).into(), name));
            let keys = ["experts", &index.to_string(), "domains"].map(str::to_owned);
            expert.domains.iter().for_each(|name| domain(keys.clone().into(), name));
        }
        for (index, rule) in config.rules.iter().enumerate() {
            let keys = ["rules", &index.to_string(), "when", "domain"].map(str::to_owned);
            rule.when.domain.iter().for_each(|name| domain(keys.clone().into(), name));
        }
    }
    for (index, expert) in config.experts.iter().enumerate() {
        let Some(name) = &expert.catalogue else { continue };
        if !model.known().iter().any(|known| known.name == *name) {
            let help = config::fault_suggestion(name, model.known().iter().map(|known| known.name.as_str()));
            let keys = ["experts", &index.to_string(), "catalogue"].map(str::to_owned);
            let what = format!("the catalogue of the router model `{version}` has no `{name}`");
            unknown.push((keys.into(), what, help));
        }
    }
    for (keys, what, help) in unknown {
        draft.fault(&keys.iter().map(String::as_str).collect::<Vec<_>>(), what, help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_file_that_did_not_change_is_loaded_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("router.safetensors");
        let weights = include_bytes!("../../router-model/weights/router.safetensors");
        std::fs::write(&path, weights).unwrap();
        let load = || load_router_file(path.to_str().unwrap()).map_err(|unfit| unfit.what);
        let first = load().unwrap();
        assert!(Arc::ptr_eq(&first, &load().unwrap()), "the same file, the same model");
        std::fs::write(&path, &weights[..weights.len() / 2]).unwrap();
        assert!(load().is_err(), "half a file is none");
        std::fs::write(&path, weights).unwrap();
        assert!(Arc::ptr_eq(&first, &load().unwrap()));
        drop(first);
        assert!(load().is_ok(), "nobody has it any more");
    }

    /// The weights, as of a program with other features.
    fn older(weights: &[u8]) -> Vec<u8> {
        let card = br#"\"features\":"#;
        let at = weights.windows(card.len()).position(|window| window == card).unwrap() + card.len();
        let mut older = weights.to_vec();
        older[at] = b'1';
        older
    }

    /// What is wrong with a configuration whose router model is this file.
    fn faults(model: &Path, more: &str) -> String {
        let yaml = format!(
            "router:\n  model: {}\n  policy: nobody\nfallback: a\nexperts:\n  - {{ name: a, model: m, base_url: 'http://h/v1', hosting: {{ usd_per_hour: 0 }}, {more} }}\n",
            model.display()
        );
        parse("t.yaml", &yaml, &|_| None).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_router_file_that_cannot_be_used_is_a_fault_among_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("router.safetensors");
        let told = faults(&path, "");
        assert!(told.contains("cannot be read: No such file") && told.contains("t.yaml:2:10"), "{told}");
        let weights = include_bytes!("../../router-model/weights/router.safetensors");
        std::fs::write(&path, &weights[..1000]).unwrap();
        let told = faults(&path, "");
        assert!(told.contains("cannot be loaded: ") && told.contains("`mixgate calibrate` wrote"), "{told}");
        std::fs::write(&path, older(weights)).unwrap();
        let told = faults(&path, "");
        let (version, place) = (told.find("feature version 1,").unwrap(), told.find("t.yaml:2:10").unwrap());
        let policy = told.find("there is no policy `nobody`").unwrap();
        assert!(version < place && place < policy && told.contains("make it again"), "{told}");
        assert!(told.ends_with("2 faults in t.yaml"), "{told}");
    }

    #[test]
    fn names_that_a_router_file_does_not_know_have_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("router.safetensors");
        std::fs::write(&path, include_bytes!("../../router-model/weights/router.safetensors")).unwrap();
        let told = faults(&path, "quality: { cod: 1 }, catalogue: mixtral-8x7");
        for part in ["knows no domain `cod`", "did you mean `code`", "has no `mixtral-8x7`", "t.yaml:6:"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(told.ends_with("3 faults in t.yaml"), "{told}");
    }
}
