//! Names the URL in the error of a connection that cannot be made or breaks: the SDK's own errors leave it out.

use std::time::Duration;

use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// The client of all services: rustls with ring, and errors that say where.
pub(super) fn client() -> SharedHttpClient {
    let inner = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    SharedHttpClient::new(Named(inner))
}

#[derive(Debug)]
struct Named(SharedHttpClient);

impl HttpClient for Named {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(NamedConnector(self.0.http_connector(settings, components)))
    }
}

#[derive(Debug)]
struct NamedConnector(SharedHttpConnector);

impl HttpConnector for NamedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let place = origin(request.uri());
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move { answer.await.map_err(|error| named(error, place)) })
    }
}

/// `https://host:port`; paths and queries may hold names that are nobody's business.
fn origin(url: &str) -> String {
    let end = url
        .find("://")
        .and_then(|at| url.get(at + 3..)?.find('/').map(|slash| at + 3 + slash));
    url.get(..end.unwrap_or(url.len()))
        .unwrap_or(url)
        .to_owned()
}

/// The same error, so that the same retries happen, with the place in front.
fn named(error: ConnectorError, place: String) -> ConnectorError {
    let (io, timeout, user, other) = (
        error.is_io(),
        error.is_timeout(),
        error.is_user(),
        error.as_other(),
    );
    let source = Box::new(At {
        place,
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
#[error("no answer from `{place}`")]
struct At {
    place: String,
    source: BoxError,
}

/// How long a connection may take to be made.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take, where all of it comes at once.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (url, expected) in [
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
            (
                "https://s3.eu-west-1.amazonaws.com/b/k?x=1",
                "https://s3.eu-west-1.amazonaws.com",
            ),
            ("https://host", "https://host"),
            ("odd", "odd"),
        ] {
            assert_eq!(origin(url), expected);
        }
    }
}
