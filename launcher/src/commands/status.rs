//! `trainyard status`

use clap::Args;
use jiff::Timestamp;

use crate::cloud::{JobState, describe, job_name};
use crate::context::Context;
use diagnostics::{Exit, Result};

/// Show state, phases and billed time of a job
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Name or ARN of the job
    pub(crate) job: String,
}

pub(crate) async fn run(args: &StatusArgs, context: &Context) -> Result<Exit> {
    let aws = context.aws().await?;
    let name = job_name(&args.job, &aws).await?;
    let job = describe(&aws, name).await?;
    let state = JobState::new(&job, Timestamp::now());
    context.format.print(&state, JobState::text)
}
