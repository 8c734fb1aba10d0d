//! S3 transfers with the AWS options of the command line.

use std::sync::Arc;

use aws_sdk_s3::error::{ErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use diagnostics::Error;
use s3::{Settings, Store};

use crate::aws::{Aws, explain};

/// Returns the store that a transfer uses.
pub(crate) fn store(aws: &Aws, settings: Settings) -> Store {
    Store::new(&aws.s3_for_transfers(), Arc::new(aws.clone()), settings)
}

impl s3::ErrorContext for Aws {
    fn explain(&self, action: &str, error: SdkError<ErrorMetadata, HttpResponse>) -> Error {
        explain(action, error)
    }

    fn suggest(&self, command: &str) -> String {
        self.suggest(command)
    }
}
