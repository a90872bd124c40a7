//! Which certificates are trusted.

use std::env;

use rustls::RootCertStore;

/// Names of files and folders with certificates, as OpenSSL reads them.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The system's certificates, or those that the environment names in their place, and Mozilla's: a private authority is
/// trusted beside the public ones.
pub(super) fn trusted() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (good, bad) = roots.add_parsable_certificates(found.certs);
    let named = VARIABLES.iter().filter_map(|name| Some((*name, named_in_environment(name)?))).next();
    if let Some((variable, value)) = named {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        if good == 0 || !found.errors.is_empty() {
            return Err(format!("no certificate could be read from {variable}={value}{why}"));
        }
        if bad > 0 {
            tracing::warn!(bad, "{variable}={value} holds what is no certificate");
        }
    }
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(roots)
}

#[expect(
    clippy::disallowed_methods,
    reason = "rustls-native-certs reads the same variables; here only their names"
)]
fn named_in_environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
