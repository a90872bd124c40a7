//! `/ui`: the console's files, carried in the binary. They hold no data: what they show they ask the paths beside them
//! for, with the operator's key where one is configured.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};

use crate::auth;
use crate::body::Body;
use crate::error::Failure;

/// Nothing is loaded from elsewhere, nothing inline runs, nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Path below `/ui/`, type, content.
const FILES: [(&str, &str, &[u8]); 17] = [
    ("", HTML, include_bytes!("ui/index.html")),
    ("app.js", SCRIPT, include_bytes!("ui/app.js")),
    ("chart.js", SCRIPT, include_bytes!("ui/chart.js")),
    ("configuration.js", SCRIPT, include_bytes!("ui/configuration.js")),
    ("decisions.js", SCRIPT, include_bytes!("ui/decisions.js")),
    ("figures.js", SCRIPT, include_bytes!("ui/figures.js")),
    ("now.js", SCRIPT, include_bytes!("ui/now.js")),
    ("stream.js", SCRIPT, include_bytes!("ui/stream.js")),
    ("try.js", SCRIPT, include_bytes!("ui/try.js")),
    ("view.js", SCRIPT, include_bytes!("ui/view.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("ui/icon.svg")),
    ("style.css", STYLE, include_bytes!("ui/style.css")),
    ("vendor/hooks.js", SCRIPT, include_bytes!("ui/vendor/hooks.js")),
    ("vendor/htm.js", SCRIPT, include_bytes!("ui/vendor/htm.js")),
    ("vendor/preact.js", SCRIPT, include_bytes!("ui/vendor/preact.js")),
    ("vendor/uPlot.css", STYLE, include_bytes!("ui/vendor/uPlot.css")),
    ("vendor/uPlot.js", SCRIPT, include_bytes!("ui/vendor/uPlot.js")),
];

/// Whether a path belongs to the console.
pub(super) fn is_its(path: &str) -> bool {
    path == "/ui" || path == "/" || path.starts_with("/ui/")
}

/// The file at a path.
pub(super) fn file(path: &str, headers: &HeaderMap) -> Result<Response<Body>, Failure> {
    let Some(name) = path.strip_prefix("/ui/") else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("/ui/"));
        return Ok(response);
    };
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, content) = found.ok_or_else(|| Failure::UnknownUrl(path.to_owned()))?;
    let tag = format!("\"{}\"", &auth::hex(&auth::sha256(content))[..16]);
    let known = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = Response::new(if known { Body::empty() } else { Body::full(*content) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}
