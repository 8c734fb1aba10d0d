//! `trainyard status`

use clap::Args;
use jiff::Timestamp;

use crate::cloud::{JobState, describe, job_name};
use crate::context::Context;
use diagnostics::{Exit, Result};

/// Where a job is, where its time went, what it costs
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Name of the job, or its ARN
    pub(crate) job: String,
}

pub(crate) async fn run(args: StatusArgs, context: &Context) -> Result<Exit> {
    let aws = context.aws().await?;
    let name = job_name(&args.job, &aws).await?;
    let job = describe(&aws, name).await?;
    let state = JobState::new(&job, Timestamp::now());
    context.format.answer(&state, JobState::text)?;
    Ok(Exit::Ok)
}
