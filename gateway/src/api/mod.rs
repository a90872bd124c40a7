//! The dialects clients speak: where a path leads and what its answers look like. Edge only: there is one
//! dispatch behind all of them.

pub mod explain;
pub mod models;

use http::Method;

use crate::error::Failure;

/// A client dialect that ends in a call to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/embeddings`
    Embeddings,
}

impl Dialect {
    /// All of them, in the order of [`Dialect::index`].
    pub const ALL: [Self; 3] = [Self::Chat, Self::Completions, Self::Embeddings];

    /// The field that carries the prompt.
    pub fn input(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Completions => "prompt",
            Self::Embeddings => "input",
        }
    }

    /// The path below `/v1`, the same at clients and at OpenAI-compatible upstreams; also the metrics' label.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }

    /// The field of an answer that must not be empty.
    pub fn result(self) -> &'static str {
        if self == Self::Embeddings { "data" } else { "choices" }
    }

    /// Position in tables.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'p> {
    /// To a model.
    Model(Dialect),
    /// The decision for a chat request.
    Route,
    /// The list of models.
    Models,
    /// One model.
    OneModel(&'p str),
    /// Whether we serve.
    Health,
}

/// Finds the target of a method and path.
pub fn target<'p>(method: &Method, path: &'p str) -> Result<Target<'p>, Failure> {
    let (allowed, target) = match path {
        "/v1/chat/completions" => ("POST", Target::Model(Dialect::Chat)),
        "/v1/completions" => ("POST", Target::Model(Dialect::Completions)),
        "/v1/embeddings" => ("POST", Target::Model(Dialect::Embeddings)),
        "/v1/route" => ("POST", Target::Route),
        "/v1/models" => ("GET", Target::Models),
        "/health" => ("GET", Target::Health),
        _ => match path.strip_prefix("/v1/models/") {
            Some(id) if !id.is_empty() => ("GET", Target::OneModel(id)),
            _ => return Err(Failure::UnknownUrl(path.to_owned())),
        },
    };
    let fits = method.as_str() == allowed || (allowed == "GET" && *method == Method::HEAD);
    if fits {
        Ok(target)
    } else {
        Err(Failure::MethodNotAllowed(if allowed == "GET" { "GET, HEAD" } else { allowed }))
    }
}

/// The path that was likely meant: `/v1` left out or doubled, slashes too many.
pub fn meant(path: &str) -> Option<&'static str> {
    const KNOWN: [&str; 6] =
        ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/route", "/health"];
    let segments = || path.split('/').filter(|segment| !segment.is_empty() && *segment != "v1");
    KNOWN.into_iter().find(|known| known.split('/').filter(|s| !s.is_empty() && *s != "v1").eq(segments()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_nearly_right_leads_to_the_right_one() {
        for (path, right) in [
            ("/chat/completions", Some("/v1/chat/completions")),
            ("/v1/v1/chat/completions", Some("/v1/chat/completions")),
            ("//v1//chat/completions/", Some("/v1/chat/completions")),
            ("/embeddings", Some("/v1/embeddings")),
            ("/v1/models/", Some("/v1/models")),
            ("/health/", Some("/health")),
            ("/", None),
            ("/v1", None),
            ("/v1/chat", None),
        ] {
            assert_eq!(meant(path), right, "{path}");
        }
    }

    #[test]
    fn every_path_has_its_methods() {
        assert_eq!(target(&Method::POST, "/v1/chat/completions"), Ok(Target::Model(Dialect::Chat)));
        assert_eq!(target(&Method::GET, "/v1/models/org/name"), Ok(Target::OneModel("org/name")));
        assert_eq!(target(&Method::GET, "/v1/chat/completions"), Err(Failure::MethodNotAllowed("POST")));
        assert_eq!(target(&Method::POST, "/v1/models"), Err(Failure::MethodNotAllowed("GET, HEAD")));
        assert_eq!(target(&Method::GET, "/v1/nothing"), Err(Failure::UnknownUrl("/v1/nothing".to_owned())));
    }
}
