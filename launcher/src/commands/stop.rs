//! `trainyard stop`

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use clap::Args;

use crate::aws::{Aws, explain};
use crate::cloud::{
    Follow, FollowOutcome, JobState, PollInterval, Sink, job_name, job_name_offline, job_state,
    report_interrupt, retry_new,
};
use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::plan::Plan;
use diagnostics::{Exit, Result, eprint_line};

/// Stop a training job
///
/// The trainer gets SIGTERM and has two minutes to save its model.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct StopArgs {
    /// Name or ARN of the job
    pub(crate) job: String,
    /// Wait until the job has stopped
    #[arg(long)]
    wait: bool,
    /// Show the request without sending it
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  trainyard stop svm-2026-11-30-02-40-00-123
  trainyard stop svm-2026-11-30-02-40-00-123 --wait";

pub(crate) async fn run(args: &StopArgs, context: &Context) -> Result<Exit> {
    let aws = context.aws().await?;
    if args.dry_run {
        let name = job_name_offline(&args.job, &aws)?;
        return plan(&aws, name, context).await;
    }
    let name = job_name(&args.job, &aws).await?;
    let interval = PollInterval::new(&context.env);
    let state = job_state(&aws.sagemaker(), name, &interval).await?;
    let state = if state.is_over() {
        eprint_line(format!("job `{name}` has ended already"));
        state
    } else {
        if state.status == "Stopping" {
            eprint_line(format!("job `{name}` is stopping already"));
        } else {
            stop(&aws, name, &interval).await?;
        }
        if args.wait {
            match wait(&aws, name, context).await? {
                Some(state) => state,
                None => {
                    let status = aws.suggest(&format!("status {name}"));
                    let text =
                        format!("the job is still stopping\n  help: {status} shows its state");
                    return report_interrupt(name, &text, context);
                }
            }
        } else {
            job_state(&aws.sagemaker(), name, &interval).await?
        }
    };
    context.format.print(&state, JobState::text)
}

async fn plan(aws: &Aws, name: &str, context: &Context) -> Result<Exit> {
    let (recording, recorder) = aws.dry_run();
    // Always fails: the recorder does not send the request.
    let _ = recording
        .sagemaker()
        .stop_training_job()
        .training_job_name(name)
        .send()
        .await;
    let mut plan = Plan::default();
    plan.request(
        format!("stop the training job `{name}`"),
        recorder.take().unwrap_or_default(),
    );
    plan.print(context.format)
}

/// Stops the job. A job that has ended meanwhile is not an error.
async fn stop(aws: &Aws, name: &str, interval: &PollInterval) -> Result<()> {
    let client = aws.sagemaker();
    let send = || client.stop_training_job().training_job_name(name).send();
    let Err(error) = retry_new(name, interval, send).await else {
        return Ok(());
    };
    let refused = error.code() == Some("ValidationException");
    if refused && job_state(&client, name, interval).await?.status != "InProgress" {
        return Ok(());
    }
    Err(explain(&format!("cannot stop the job `{name}`"), error))
}

/// Returns the final state, or None after Ctrl-C.
async fn wait(aws: &Aws, name: &str, context: &Context) -> Result<Option<JobState>> {
    let follow =
        Follow::new(aws, name, PollInterval::new(&context.env), Sink::stderr()).without_log();
    match follow.run_to_end(Interrupt::install()?).await? {
        FollowOutcome::Ended(state) => Ok(Some(*state)),
        FollowOutcome::Interrupted | FollowOutcome::ReaderGone => Ok(None),
    }
}
