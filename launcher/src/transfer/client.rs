//! The S3 client of a transfer and what all its requests share.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use tokio::sync::Semaphore;

use super::retry::{Pulse, Trouble, tries};
use super::{PARALLEL, Settings};
use crate::aws::Aws;
use diagnostics::Result;

/// S3, as one transfer uses it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(super) s3: Client,
    pub(super) settings: Settings,
    /// One permit per request that carries data, over all files and parts.
    pub(super) slots: Arc<Semaphore>,
    aws: Aws,
}

impl Store {
    /// The SDK's own retries and checksums are off: it can repeat neither a streamed body nor half an answer, so both
    /// are done here for all requests.
    pub(crate) fn new(aws: &Aws, settings: Settings) -> Self {
        let config = aws
            .s3_carrying()
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Self {
            s3: Client::from_conf(config),
            settings,
            slots: Arc::new(Semaphore::new(PARALLEL)),
            aws: aws.clone(),
        }
    }

    /// A command to type next, in backticks, with the same AWS options.
    pub(super) fn next(&self, command: &str) -> String {
        self.aws.next(command)
    }

    /// A request without data to speak of, tried again where that helps.
    pub(super) async fn ask<T, Once>(
        &self,
        what: &str,
        once: impl Fn() -> Once,
    ) -> Result<T, Trouble>
    where
        Once: Future<Output = Result<T, Trouble>>,
    {
        tries(what, self.settings.stall, |_| once()).await
    }

    /// A request that moves data and beats the pulse.
    pub(super) async fn carry<T, Once>(
        &self,
        what: &str,
        once: impl Fn(Pulse) -> Once,
    ) -> Result<T, Trouble>
    where
        Once: Future<Output = Result<T, Trouble>>,
    {
        tries(what, self.settings.stall, once).await
    }

    /// Joining the parts of a huge object takes S3 minutes; it keeps the connection alive meanwhile.
    pub(super) fn patience_to_join(&self) -> Duration {
        self.settings.stall * 5
    }
}
