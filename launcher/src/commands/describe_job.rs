//! `trainyard describe`

mod text;

use clap::Args;

use crate::cloud::{describe_raw, job_name};
use crate::context::Context;
use diagnostics::{Exit, Result};

/// Show all details of a training job
///
/// With `--json` the unchanged response of SageMaker, times as text.
#[derive(Debug, Args)]
pub(crate) struct DescribeJobArgs {
    /// Name or ARN of the job
    pub(crate) job: String,
}

pub(crate) async fn run(args: DescribeJobArgs, context: &Context) -> Result<Exit> {
    let aws = context.aws().await?;
    let name = job_name(&args.job, &aws).await?;
    let (job, mut response) = describe_raw(&aws, name).await?;
    text::convert_times(&mut response);
    context
        .format
        .print(&response, |response| text::text(&job, response))?;
    Ok(Exit::Ok)
}
