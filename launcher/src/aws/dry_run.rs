//! `--dry-run`: the SDK builds the exact request, which is recorded and not sent.

use std::sync::{Arc, Mutex, PoisonError};

use aws_config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use serde_json::{Value, json};

use super::Aws;

/// Recorder of the last request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Option<Value>>>);

impl Recorder {
    /// Returns the recorded request: `{"method", "url", "operation", "body"}`. None if the SDK
    /// refused the input.
    pub(crate) fn take(&self) -> Option<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap_or_default();
        let body = match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(_) => Value::from(String::from_utf8_lossy(body).into_owned()),
        };
        let operation = request.headers().get("x-amz-target").unwrap_or_default();
        let recorded = json!({
            "method": request.method(),
            "url": request.uri(),
            "operation": operation,
            "body": body,
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(recorded);
        HttpConnectorFuture::ready(Err(ConnectorError::user("dry run".into())))
    }
}

impl Aws {
    /// Returns clients that record requests instead of sending them. Every call returns an error,
    /// to be ignored.
    pub(crate) fn dry_run(&self) -> (Self, Recorder) {
        let recorder = Recorder::default();
        let connector = SharedHttpConnector::new(recorder.clone());
        let client = http_client_fn(move |_, _| connector.clone());
        // The signature is not shown, so any keys will do.
        let placeholder = Credentials::new("dry-run", "dry-run", None, None, "dry-run");
        let config = self
            .config
            .to_builder()
            .http_client(client)
            .credentials_provider(SharedCredentialsProvider::new(placeholder))
            .retry_config(RetryConfig::disabled())
            .build();
        (
            Self {
                config,
                ..self.clone()
            },
            recorder,
        )
    }
}
