//! Pushes images to registries: only missing parts, in parallel, with retries.

mod credentials;
mod errors;
mod registry_ref;

use std::future::Future;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use serde::Serialize;

use super::{Data, Image, Layer, manifest};
use diagnostics::{Error, Result, eprint_line};
use transport::retry::{Backoff, retry};

pub use credentials::Credentials;
pub use registry_ref::{EcrHost, RegistryRef};

/// Minimum speed of an upload; a slower registry is treated as unreachable.
const MIN_BYTES_PER_SECOND: u64 = 100_000;

/// Result of a push.
#[derive(Debug, Default, Serialize)]
pub struct Pushed {
    /// Parts that were uploaded.
    pub uploaded: Vec<Blob>,
    /// Parts that the registry had.
    pub present: Vec<Blob>,
    /// Tags that were set; tags that already referred to the image are not included.
    pub tagged: Vec<String>,
}

/// A part of an image.
#[derive(Debug, Clone, Serialize)]
pub struct Blob {
    /// Description, such as `binary`.
    pub what: String,
    /// Digest `sha256:HEX`.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

fn certificate(data: Vec<u8>) -> Certificate {
    Certificate {
        encoding: CertificateEncoding::Der,
        data,
    }
}

/// A registry and its credentials.
struct Registry<'a> {
    client: Client,
    registry_ref: &'a RegistryRef,
    credentials: &'a Credentials,
}

/// Uploads missing parts, then sets the tags, in order. `certificates` are trusted, too: those of
/// a CA bundle, each in DER.
pub async fn push(
    image: &Image,
    registry_ref: &RegistryRef,
    credentials: &Credentials,
    certificates: Vec<Vec<u8>>,
    tags: &[String],
) -> Result<Pushed> {
    let registry = Registry::new(image, registry_ref, credentials, certificates)?;
    // Parts have no tag, but the client builds their URLs from one.
    let first = image.tag();
    registry.log_in(first).await?;
    let config = Data::Memory(image.config.clone());
    let config = Layer::new("configuration", String::new(), config)
        .map_err(|error| super::write_error(&error))?;
    let parts = image.layers.iter().chain([&config]);
    let sent = try_join_all(parts.map(|part| registry.upload(first, part))).await?;
    let mut pushed = Pushed::default();
    for (blob, uploaded) in sent {
        match uploaded {
            true => pushed.uploaded.push(blob),
            false => pushed.present.push(blob),
        }
    }
    // Tags are set last, so that no incomplete image is pulled.
    for tag in tags {
        if registry.tag(image, tag).await? {
            pushed.tagged.push(tag.clone());
        }
    }
    Ok(pushed)
}

impl<'a> Registry<'a> {
    fn new(
        image: &Image,
        registry_ref: &'a RegistryRef,
        credentials: &'a Credentials,
        certificates: Vec<Vec<u8>>,
    ) -> Result<Self> {
        // Two crates use rustls without choosing a crypto provider. An error means that one is
        // installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol: registry_ref.protocol(),
            // One request per blob: ECR refuses small chunks.
            use_monolithic_push: true,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(
                60 + image.size() / MIN_BYTES_PER_SECOND,
            )),
            extra_root_certificates: certificates.into_iter().map(certificate).collect(),
            user_agent: concat!("trainyard/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| {
            Error::new(format!("cannot start a client for registries: {error}"))
                .help("check the proxy's variables and SSL_CERT_FILE")
        })?;
        Ok(Self {
            client,
            registry_ref,
            credentials,
        })
    }

    fn reference(&self, tag: &str) -> Reference {
        let (host, repository) = (
            self.registry_ref.host.clone(),
            self.registry_ref.repository.clone(),
        );
        Reference::with_tag(host, repository, tag.to_owned())
    }

    async fn log_in(&self, tag: &str) -> Result<()> {
        let reference = self.reference(tag);
        let auth = &self.credentials.auth;
        let done = self.with_retries(|| {
            let login = self.client.auth(&reference, auth, RegistryOperation::Push);
            async { login.await.map(drop) }
        });
        done.await.map_err(|error| self.explain("log in", error))
    }

    /// Uploads a part unless it is present; true if it was uploaded.
    async fn upload(&self, tag: &str, part: &Layer) -> Result<(Blob, bool)> {
        let reference = self.reference(tag);
        let blob = Blob {
            what: part.what.clone(),
            digest: part.digest.clone(),
            size: part.size(),
        };
        let found = self.with_retries(|| self.client.blob_exists(&reference, &part.digest));
        // Push permission does not imply permission to look up parts: then upload. Wrong
        // credentials fail here.
        let is_present = match found.await {
            Err(error) if matches!(errors::status(&error), Some(403 | 405)) => false,
            other => other.map_err(|error| self.explain("check which parts exist", error))?,
        };
        if is_present {
            eprint_line(format!("{}: already present", blob.what));
            return Ok((blob, false));
        }
        let uploaded = self.with_retries(|| {
            let data = part.data.stream().map_err(OciDistributionError::from);
            self.client
                .push_blob_stream(&reference, data, &part.digest, Some(part.size()))
        });
        let what = format!("upload the part `{}`", blob.what);
        uploaded.await.map_err(|error| self.explain(&what, error))?;
        eprint_line(format!("{}: uploaded {} bytes", blob.what, blob.size));
        Ok((blob, true))
    }

    /// Sets a tag; false if it already refers to the image, since immutable tags cannot be set
    /// twice.
    async fn tag(&self, image: &Image, tag: &str) -> Result<bool> {
        let reference = self.reference(tag);
        let auth: &RegistryAuth = &self.credentials.auth;
        let known = self.client.fetch_manifest_digest(&reference, auth).await;
        if known.is_ok_and(|digest| digest == image.digest()) {
            return Ok(false);
        }
        let set = self.with_retries(|| async {
            let media_type = manifest::MANIFEST_TYPE.parse().map_err(|_| {
                OciDistributionError::UnsupportedMediaTypeError(manifest::MANIFEST_TYPE.to_owned())
            })?;
            let bytes = image.manifest.clone();
            self.client
                .push_manifest_raw(&reference, bytes, media_type)
                .await
        });
        let what = format!("set the tag `{tag}`");
        set.await.map_err(|error| self.explain(&what, error))?;
        // The client follows redirects, which may end elsewhere.
        let is_missing = |error: &OciDistributionError| errors::status(error) == Some(404);
        let read = || self.client.fetch_manifest_digest(&reference, auth);
        match retry(Backoff::REGISTRY, read, is_missing, drop).await {
            Ok(digest) if digest != image.digest() => {
                Err(errors::not_set(&what, self.registry_ref))
            }
            Err(error) if is_missing(&error) => Err(errors::not_set(&what, self.registry_ref)),
            // Push permission does not imply permission to read.
            _ => Ok(true),
        }
    }

    /// Retries after transient errors: failed and broken connections, 429 and 5xx.
    async fn with_retries<T, F, W>(&self, attempt: F) -> Result<T, OciDistributionError>
    where
        F: FnMut() -> W,
        W: Future<Output = Result<T, OciDistributionError>>,
    {
        let report = |error| {
            let reason = errors::reason(error);
            eprint_line(format!(
                "`{}`: {reason}; trying again",
                self.registry_ref.host
            ));
        };
        retry(Backoff::REGISTRY, attempt, errors::is_transient, report).await
    }

    fn explain(&self, what: &str, error: OciDistributionError) -> Error {
        errors::explain(what, self.registry_ref, self.credentials, error)
    }
}
