//! HTTP connector that adds the URL to connection errors; errors of the SDK do not contain it.

use std::error::Error as _;
use std::time::Duration;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::settings::CaBundle;
use crate::util::env_var;
use diagnostics::{Error, Result};

/// Returns the HTTP client of all services: rustls with ring, proxy and certificates as in the AWS
/// CLI. A container's credentials are requested without the proxy.
pub(super) fn client(bundle: Option<&CaBundle>) -> Result<SharedHttpClient> {
    let tls = tls_context(bundle)?;
    let build = |proxy: ProxyConfig| {
        let tls = tls.clone();
        aws_smithy_http_client::Builder::new().build_with_connector_fn(
            move |settings, components| {
                let mut builder = Connector::builder().proxy_config(proxy.clone());
                builder.set_connector_settings(settings.cloned());
                builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
                secure(builder, tls.clone())
            },
        )
    };
    let direct = build(ProxyConfig::disabled());
    let proxied: Vec<_> = proxies()?
        .into_iter()
        .map(|(scheme, proxy)| (scheme, build(proxy)))
        .collect();
    let container = container_origin();
    Ok(http_client_fn(move |settings, components| {
        SharedHttpConnector::new(OriginConnector {
            direct: direct.http_connector(settings, components),
            proxied: proxied
                .iter()
                .map(|(scheme, client)| (*scheme, client.http_connector(settings, components)))
                .collect(),
            container: container.clone(),
        })
    }))
}

/// Returns a connector with the same settings, for requests outside of the SDK.
pub(super) fn http_connector(bundle: Option<&CaBundle>) -> Result<SharedHttpConnector> {
    let tls = tls_context(bundle)?;
    let build = |proxy| {
        let builder = Connector::builder().proxy_config(proxy);
        SharedHttpConnector::new(secure(builder, tls.clone()))
    };
    Ok(SharedHttpConnector::new(OriginConnector {
        direct: build(ProxyConfig::disabled()),
        proxied: proxies()?
            .into_iter()
            .map(|(scheme, proxy)| (scheme, build(proxy)))
            .collect(),
        container: None,
    }))
}

/// Returns the proxies of the environment by the scheme of the URL, as botocore finds them: lower
/// case first, and no ALL_PROXY.
fn proxies() -> Result<Vec<(&'static str, ProxyConfig)>> {
    let not_for = proxy_variable("no").map(|(_, rules)| rules);
    if not_for.as_deref() == Some("*") {
        return Ok(Vec::new());
    }
    let mut proxies = Vec::new();
    for scheme in ["http", "https"] {
        let Some((name, url)) = proxy_variable(scheme) else {
            continue;
        };
        let url = if url.contains("://") {
            url
        } else {
            format!("http://{url}")
        };
        let proxy = match scheme {
            "http" => ProxyConfig::http(url),
            _ => ProxyConfig::https(url),
        };
        // Not shown: it may contain a password.
        let proxy = proxy.map_err(|_| {
            Error::usage(format!("{name} is not the URL of a proxy"))
                .help("expected a URL such as `http://host:port`")
        })?;
        let proxy = match &not_for {
            Some(rules) => proxy.no_proxy(rules),
            None => proxy,
        };
        proxies.push((scheme, proxy));
    }
    Ok(proxies)
}

/// Returns name and value of the variable with a proxy. An empty one in lower case hides that in
/// upper case.
fn proxy_variable(scheme: &str) -> Option<(String, String)> {
    let lower = format!("{scheme}_proxy");
    let upper = lower.to_uppercase();
    let name = match std::env::var_os(&lower) {
        Some(_) => lower,
        None => upper,
    };
    let value = std::env::var(&name).ok()?;
    (!value.is_empty()).then_some((name, value))
}

/// Returns the origin of a container's credentials, as botocore finds it.
fn container_origin() -> Option<String> {
    if env_var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some() {
        return Some("http://169.254.170.2".to_owned());
    }
    let url = env_var("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
    Some(origin(&url.into_string().ok()?))
}

fn secure(builder: ConnectorBuilder, context: TlsContext) -> Connector {
    builder
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build()
}

/// Uses the certificates of the bundle if there is one, else those of the system.
fn tls_context(bundle: Option<&CaBundle>) -> Result<TlsContext> {
    let store = match bundle {
        Some(bundle) => TrustStore::empty().with_pem_certificate(bundle.read()?.0),
        None => TrustStore::default(),
    };
    let context = TlsContext::builder().with_trust_store(store).build();
    context.map_err(|error| {
        Error::new(format!("cannot set up TLS: {error}"))
            .help("check AWS_CA_BUNDLE, or the certificates of this machine if it is not set")
    })
}

impl CaBundle {
    /// Reads the file and its certificates, each in DER. Checks them: the connector panics on an
    /// invalid one.
    pub(super) fn read(&self) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
        let source = &self.source;
        let shown = diagnostics::sanitize(&self.path.to_string_lossy()).into_owned();
        let refused = |why: String| {
            Error::usage(format!("{source}: `{shown}`: {why}")).help(format!(
                "expected a file with certificates in PEM; or remove {source}"
            ))
        };
        let text = std::fs::read(&self.path).map_err(|error| refused(error.to_string()))?;
        let (mut store, mut all) = (RootCertStore::empty(), Vec::new());
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| refused(error.to_string()))?;
            all.push(certificate.to_vec());
            let added = store.add(certificate);
            added.map_err(|error| refused(error.to_string()))?;
        }
        if store.is_empty() {
            return Err(refused("it contains no certificate".to_owned()));
        }
        Ok((text, all))
    }
}

#[derive(Debug)]
struct OriginConnector {
    direct: SharedHttpConnector,
    /// Connectors with a proxy, by the scheme of the URL.
    proxied: Vec<(&'static str, SharedHttpConnector)>,
    /// Origin that is requested without a proxy.
    container: Option<String>,
}

impl HttpConnector for OriginConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let origin = origin(request.uri());
        let scheme = origin.split_once("://").map(|(scheme, _)| scheme);
        let proxied = self
            .proxied
            .iter()
            .find(|(of, _)| scheme == Some(*of) && self.container.as_ref() != Some(&origin));
        let connector = proxied.map_or(&self.direct, |(_, connector)| connector);
        let response = connector.call(request);
        HttpConnectorFuture::new(async move {
            response.await.map_err(|error| with_origin(error, origin))
        })
    }
}

/// Returns `https://host:port`, without password, path and query.
fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

/// Adds the origin to an error and keeps its kind, so that retries stay the same.
fn with_origin(error: ConnectorError, origin: String) -> ConnectorError {
    let (io, timeout, user, other) = (
        error.is_io(),
        error.is_timeout(),
        error.is_user(),
        error.as_other(),
    );
    let source = Box::new(NoResponse {
        origin,
        source: error.into_source(),
    });
    match () {
        () if timeout => ConnectorError::timeout(source),
        () if user => ConnectorError::user(source),
        () if io => ConnectorError::io(source),
        () => ConnectorError::other(source, other),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no response from `{origin}`")]
struct NoResponse {
    origin: String,
    source: BoxError,
}

/// True for network errors. Unusable credential sources have the same type in the SDK, but do not
/// pass this connector.
pub(super) fn is_network(error: &ConnectorError) -> bool {
    error
        .source()
        .is_some_and(|source| source.is::<NoResponse>())
}

/// Timeout of connecting.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a response without data transfer.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Error of a host name that does not resolve, with the text of some resolvers.
    pub(in crate::aws) fn unresolved() -> ConnectorError {
        let words = "failed to lookup address information: No address associated with hostname";
        let error = ConnectorError::io(format!("dns error: {words}").into());
        with_origin(
            error,
            "https://api.sagemaker.eu-west-9.amazonaws.com".to_owned(),
        )
    }

    #[test]
    fn refuses_a_bundle_without_certificates() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for text in [
            "",
            "words",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(file.path(), text).expect("written");
            let bundle = CaBundle {
                path: file.path().to_owned(),
                source: "AWS_CA_BUNDLE".to_owned(),
            };
            let error = bundle.read().expect_err("no certificates");
            assert!(error.to_string().contains("AWS_CA_BUNDLE"), "{error}");
        }
    }

    #[test]
    fn origin_has_no_password_path_or_query() {
        for (url, expected) in [
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
            (
                "https://s3.eu-west-1.amazonaws.com/b/k?x=1",
                "https://s3.eu-west-1.amazonaws.com",
            ),
            ("https://host", "https://host"),
            ("https://user:pass@host:1/a@b", "https://host:1"),
            ("odd", "odd"),
        ] {
            assert_eq!(origin(url), expected);
        }
    }
}
