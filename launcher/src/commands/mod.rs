//! One module per command: its arguments and its `run`.

pub(crate) mod build;
mod build_docker;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod infra;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod push;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod train;
pub(crate) mod upload;

use sagemaker::Env;

use crate::aws::{Aws, AwsArgs};
use crate::output::Format;
use diagnostics::Result;

/// What every command is given.
pub(crate) struct Context {
    /// The environment, read once.
    pub(crate) env: Env,
    /// How to answer.
    pub(crate) format: Format,
    aws: AwsArgs,
}

impl Context {
    pub(crate) fn new(aws: AwsArgs, format: Format) -> Self {
        Self {
            env: Env::process(),
            format,
            aws,
        }
    }

    /// A command to type next, in backticks, with the AWS options that were typed.
    pub(crate) fn next(&self, command: &str) -> String {
        format!("`trainyard {command}{}`", self.aws.typed())
    }

    /// Region and credentials, found as the AWS CLI finds them. Sends nothing yet.
    pub(crate) async fn aws(&self) -> Result<Aws> {
        Aws::load(&self.aws).await
    }
}
