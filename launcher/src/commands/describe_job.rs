//! `trainyard describe`

mod text;

use clap::Args;

use crate::cloud::{PollInterval, describe_raw, job_name};
use crate::context::Context;
use diagnostics::{Exit, Result};

/// Show all details of a training job
///
/// With `--json` the unchanged response of SageMaker, times as text.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DescribeJobArgs {
    /// Name or ARN of the job
    pub(crate) job: String,
}

const EXAMPLES: &str = "\
Examples:
  trainyard describe svm-2026-11-30-02-40-00-123
  trainyard describe svm-2026-11-30-02-40-00-123 --json";

pub(crate) async fn run(args: &DescribeJobArgs, context: &Context) -> Result<Exit> {
    let aws = context.aws().await?;
    let name = job_name(&args.job, &aws).await?;
    let (job, mut response) = describe_raw(&aws, name, &PollInterval::new(&context.env)).await?;
    text::convert_times(&mut response);
    context
        .format
        .print(&response, |response| text::text(&job, response))
}
