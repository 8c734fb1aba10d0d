//! Context shared by all commands: environment, output format and AWS options.

use sagemaker::Env;

use crate::aws::{Aws, AwsArgs};
use crate::output::Format;
use diagnostics::Result;

/// Input that every command receives besides its own arguments.
pub(crate) struct Context {
    /// Environment of the process, read once.
    pub(crate) env: Env,
    /// Output format.
    pub(crate) format: Format,
    /// AWS options of the command line.
    pub(crate) aws_args: AwsArgs,
}

impl Context {
    pub(crate) fn new(aws_args: AwsArgs, format: Format) -> Self {
        Self {
            env: Env::process(),
            format,
            aws_args,
        }
    }

    /// Returns a command to suggest, in backticks, with the AWS options of this one.
    pub(crate) fn suggest(&self, command: &str) -> String {
        format!("`trainyard {command}{}`", self.aws_args.given_options())
    }

    /// Finds region and credentials as the AWS CLI does. Sends no request to AWS services.
    pub(crate) async fn aws(&self) -> Result<Aws> {
        Aws::load(&self.aws_args).await
    }
}
