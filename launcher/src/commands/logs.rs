//! `trainyard logs`

use clap::Args;

use crate::cloud::{
    Follow, FollowOutcome, PollInterval, Sink, follow_up_help, job_name, keeps_running,
};
use crate::context::Context;
use crate::interrupt::Interrupt;
use diagnostics::{Exit, Result, eprint_line};

const EXAMPLES: &str = "\
Examples:
  trainyard logs svm-2026-11-30-02-40-00-123
  trainyard logs svm-2026-11-30-02-40-00-123 --no-wait --json";

/// Show the log of a job until it ends
///
/// Prints the log from its beginning. Exits with 0 if the job completed, 3 if it failed, 4 if it
/// was stopped; with `--no-wait` always with 0. With `--json` each event is one object: `{"time",
/// "host", "stream", "message"}`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// Name or ARN of the job
    pub(crate) job: String,
    /// Show the log so far and do not wait for more
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(args: &LogsArgs, context: &Context) -> Result<Exit> {
    let aws = context.aws().await?;
    let name = job_name(&args.job, &aws).await?;
    let sink = Sink::stdout(context.format);
    let follow = Follow::new(&aws, name, PollInterval::new(&context.env), sink);
    if args.no_wait {
        let (found, state) = follow.once().await?;
        if !found && state.is_over() {
            eprint_line(format!(
                "no log: the job has ended, {}\n  help: {} shows how it ended",
                state.both_states(),
                aws.suggest(&format!("describe {name}"))
            ));
        } else if !found {
            eprint_line(format!("no log yet\n{}", follow_up_help(&aws, name)));
        }
        return Ok(Exit::Ok);
    }
    match follow.run_to_end(Interrupt::install()?).await? {
        FollowOutcome::Ended(state) => {
            eprint_line(state.text());
            Ok(state.exit())
        }
        FollowOutcome::Interrupted => {
            eprint_line(format!("Ctrl-C: {}", keeps_running(&aws, name)));
            Ok(Exit::Interrupted)
        }
        FollowOutcome::ReaderGone => Ok(Exit::Ok),
    }
}
