//! The S3 client of a transfer.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::sync::Semaphore;

use crate::request::{IdleTimer, RequestError, with_retries};
use crate::{MAX_PARALLEL, Settings};
use diagnostics::{Error, Result};
use transport::retry::is_transient;

/// Error messages in the caller's terms.
pub trait ErrorContext: Debug + Send + Sync {
    /// Explains the error of a request; `action` is such as ``cannot list `s3://bucket/` ``.
    fn explain(&self, action: &str, error: SdkError<ErrorMetadata, HttpResponse>) -> Error;

    /// Returns a command to suggest, in backticks, with the caller's AWS options.
    fn suggest(&self, command: &str) -> String;
}

/// S3 client and settings of one transfer.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) s3: Client,
    pub(crate) settings: Settings,
    /// One permit per data request, across all files and parts.
    pub(crate) permits: Arc<Semaphore>,
    context: Arc<dyn ErrorContext>,
}

impl Store {
    /// Creates a store. Retries and checksums of the SDK are disabled: it can repeat neither a
    /// streamed body nor half a response, so both are done here.
    pub fn new(client: &Client, context: Arc<dyn ErrorContext>, settings: Settings) -> Self {
        let config = client
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Self {
            s3: Client::from_conf(config),
            settings,
            permits: Arc::new(Semaphore::new(MAX_PARALLEL)),
            context,
        }
    }

    /// Returns a command to suggest, in backticks, with the caller's AWS options.
    pub(crate) fn suggest(&self, command: &str) -> String {
        self.context.suggest(command)
    }

    /// Converts the error of a request.
    pub(crate) fn failed<E>(&self, action: &str, error: SdkError<E, HttpResponse>) -> RequestError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let code = error.code().unwrap_or_default().to_owned();
        let status = error
            .raw_response()
            .map_or(0, |response| response.status().as_u16());
        let is_transient = is_transient(&error);
        let error = error.map_service_error(|error| error.meta().clone());
        RequestError {
            error: self.context.explain(&format!("cannot {action}"), error),
            is_transient,
            code,
            status,
        }
    }

    /// Sends a request that moves data, with retries. It resets the timer.
    pub(crate) async fn send<T, Once>(
        &self,
        what: &str,
        once: impl Fn(IdleTimer) -> Once,
    ) -> Result<T, RequestError>
    where
        Once: Future<Output = Result<T, RequestError>>,
    {
        with_retries(what, self.settings.stall, self.settings.attempts, once).await
    }

    /// Sends a request that moves no data, with retries.
    pub(crate) async fn request<T, E, Sent>(
        &self,
        what: &str,
        once: impl Fn() -> Sent,
    ) -> Result<T, RequestError>
    where
        Sent: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        self.send(what, |_: IdleTimer| async {
            once().await.map_err(|error| self.failed(what, error))
        })
        .await
    }

    /// Timeout of CompleteMultipartUpload: S3 may need minutes to join the parts of a huge object.
    pub(crate) fn completion_timeout(&self) -> Duration {
        self.settings.stall * 5
    }
}
