//! The CA certificates of the image: this machine's.

use std::path::PathBuf;

use diagnostics::{Error, Result};

/// Locations of the bundle: Debian and Alpine, Fedora, RHEL, openSUSE, macOS.
const LOCATIONS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Path in the image where programs look first.
pub(crate) const IMAGE_PATH: &str = "etc/ssl/certs/ca-certificates.crt";

/// A bundle and its path.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    pub(crate) path: PathBuf,
    pub(crate) pem: Vec<u8>,
}

impl Certificates {
    /// Reads SSL_CERT_FILE if it is set, else the first bundle found.
    pub(crate) fn find() -> Result<Self> {
        let own = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
        let found = match own {
            Some(path) => Some(PathBuf::from(path)),
            None => LOCATIONS
                .iter()
                .map(PathBuf::from)
                .find(|path| path.is_file()),
        };
        let path = found.ok_or_else(|| {
            Error::new("no CA certificates on this machine").help(format!(
                "install them (Debian: `apt-get install ca-certificates`), or set SSL_CERT_FILE; looked at {}",
                LOCATIONS.join(", ")
            ))
        })?;
        let pem = std::fs::read(&path).map_err(|error| {
            Error::new(format!("cannot read `{}`: {error}", path.display()))
                .help("expected a bundle that you may read; SSL_CERT_FILE names another one")
        })?;
        check(&path.display().to_string(), &pem)?;
        Ok(Self { path, pem })
    }
}

/// Checks the bundle. A private key in it would be published with the image.
fn check(path: &str, pem: &[u8]) -> Result<()> {
    let has = |needle: &[u8]| pem.windows(needle.len()).any(|window| window == needle);
    if !has(b"-----BEGIN CERTIFICATE-----") && !has(b"-----BEGIN TRUSTED CERTIFICATE-----") {
        return Err(Error::usage(format!("`{path}` holds no certificate"))
            .help("expected a PEM file with `-----BEGIN CERTIFICATE-----`"));
    }
    if has(b"PRIVATE KEY-----") {
        return Err(Error::usage(format!("`{path}` holds a private key"))
            .help("expected certificates alone: they go into the image, which others can read"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundle_with_private_key_is_refused() {
        let certificate = b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        check("x", certificate).expect("valid");
        let key = b"-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n";
        let both = [certificate.as_slice(), key].concat();
        assert!(check("x", &both).is_err());
        assert!(check("x", b"").is_err());
        assert!(check("x", key).is_err());
    }
}
