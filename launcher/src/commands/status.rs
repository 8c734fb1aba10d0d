//! `trainyard status`

use clap::Args;

use crate::cloud::{JobState, PollInterval, job_name, job_state};
use crate::context::Context;
use diagnostics::{Exit, Result};

/// Show state, phases and billed time of a job
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// Name or ARN of the job
    pub(crate) job: String,
}

const EXAMPLES: &str = "\
Examples:
  trainyard status svm-2026-11-30-02-40-00-123
  trainyard status svm-2026-11-30-02-40-00-123 --json";

pub(crate) async fn run(args: &StatusArgs, context: &Context) -> Result<Exit> {
    let aws = context.aws().await?;
    let name = job_name(&args.job, &aws).await?;
    let interval = PollInterval::new(&context.env);
    let state = job_state(&aws.sagemaker(), name, &interval).await?;
    context.format.print(&state, JobState::text)
}
