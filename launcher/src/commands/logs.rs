//! `trainyard logs`

use clap::Args;

use crate::cloud::{End, Follow, PollInterval, Sink, follow_up_help, job_name};
use crate::context::Context;
use crate::interrupt::Interrupt;
use diagnostics::{Exit, Result, eprint_line};

const AFTER_HELP: &str = "\
Exit codes: 0 the job is completed (with --no-wait: the log was shown), 3 it failed, 4 it was stopped.
With --json each line is an object: {\"time\", \"host\", \"stream\", \"message\"}.";

/// A job's log, from its beginning
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LogsArgs {
    /// Name of the job, or its ARN
    pub(crate) job: String,
    /// Show what there is and do not wait for more
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(args: LogsArgs, context: &Context) -> Result<Exit> {
    let aws = context.aws().await?;
    let name = job_name(&args.job, &aws).await?;
    let sink = Sink::stdout(context.format);
    let follow = Follow::new(&aws, name, PollInterval::new(&context.env), sink);
    if args.no_wait {
        let (found, state) = follow.once().await?;
        if !found && state.is_over() {
            eprint_line(format!(
                "no log: the job is over, {}\n  help: {} tells how it ended",
                state.both_states(),
                aws.next(&format!("describe {name}"))
            ));
        } else if !found {
            eprint_line(format!("no log yet\n{}", follow_up_help(&aws, name)));
        }
        return Ok(Exit::Ok);
    }
    match follow.run_to_end(Interrupt::install()?).await? {
        End::Ended(state) => {
            eprint_line(state.text());
            Ok(state.exit())
        }
        End::Interrupted => {
            eprint_line(format!(
                "Ctrl-C: the job goes on\n{}",
                follow_up_help(&aws, name)
            ));
            Ok(Exit::Interrupted)
        }
        End::ReaderGone => Ok(Exit::Ok),
    }
}
