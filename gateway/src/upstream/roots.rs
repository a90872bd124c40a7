//! Which certificates are trusted.

use std::env;
use std::path::Path;

use rustls::RootCertStore;

/// Names of files and folders with certificates, as OpenSSL reads them.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The system's certificates, or those that the environment names in their place, and Mozilla's: a private authority is
/// trusted beside the public ones.
pub(super) fn trusted() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (good, bad) = roots.add_parsable_certificates(found.certs);
    if let Some(file) = named_in_environment(VARIABLES[0]) {
        holds_a_certificate(&file)?;
    }
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

/// A folder beside it must not hide that the file has none: whoever names a file counts on what is in it.
fn holds_a_certificate(file: &str) -> Result<(), String> {
    let found = rustls_native_certs::load_certs_from_paths(Some(Path::new(file)), None);
    let (good, _) = RootCertStore::empty().add_parsable_certificates(found.certs);
    if good > 0 {
        return Ok(());
    }
    let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
    Err(format!(
        "no certificate could be read from SSL_CERT_FILE={file}{why}; it must hold at least one, as PEM"
    ))
}

#[expect(
    clippy::disallowed_methods,
    reason = "rustls-native-certs reads the same variables; here only their names"
)]
fn named_in_environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused_by_itself() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        for content in [&b""[..], b"\x30\x82\x01\x0a\x02"] {
            file.write_all(content).unwrap();
            let why = holds_a_certificate(&path).expect_err("no certificate");
            assert!(why.contains(&format!("SSL_CERT_FILE={path}")) && why.contains("as PEM"), "{why}");
        }
    }
}
