//! The command line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::aws::AwsArgs;
use crate::commands;
use crate::context::Context;
use crate::local;
use crate::output::Format;
use diagnostics::{Error, Exit, Result, eprint_line};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the command failed
  2    the command line or a file is wrong, nothing was started
  3    the training job failed
  4    the training job was stopped
  130  Ctrl-C; a job in the cloud goes on";

/// Builds, pushes, runs and submits Trainyard's trainers
#[derive(Debug, Parser)]
#[command(name = "trainyard", version, after_help = EXIT_CODES, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct GlobalArgs {
    /// Answer with one JSON object on standard output, `logs` with one per line; all else goes to standard error
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    aws: AwsArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a trainer's image, without a Docker daemon
    Build(commands::build::BuildArgs),
    /// Push a trainer's image to ECR or any registry; uploads only what is missing
    Push(commands::push::PushArgs),
    /// Train: on SageMaker, in the local Docker engine, or as a local process
    Train(Box<commands::train::TrainArgs>),
    /// Show a job's logs until it ends
    Logs(commands::logs::LogsArgs),
    /// Show a job's state and where its time went
    Status(commands::status::StatusArgs),
    /// List training jobs
    List(commands::list::ListArgs),
    /// Stop a job
    Stop(commands::stop::StopArgs),
    /// Show all that SageMaker knows of a job
    Describe(commands::describe::DescribeArgs),
    /// Copy a file or folder to S3
    Upload(commands::upload::UploadArgs),
    /// Copy a file, folder or a job's model from S3
    Download(commands::download::DownloadArgs),
    /// Check credentials, role, bucket, repository, Docker and toolchain, and say what to do
    Doctor(commands::doctor::DoctorArgs),
    /// Print the IAM policies that are needed, and write Terraform for them
    Infra(commands::infra::InfraArgs),
}

/// Runs the command line of this process.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return Exit::Ok.into();
            }
            if wants_json(std::env::args_os()) {
                print_json(&misuse(&error.render().to_string()), false);
            }
            return Exit::Usage.into();
        }
    };
    let format = if cli.global.json {
        Format::Json
    } else {
        Format::Text
    };
    let lines = matches!(cli.command, Command::Logs(_));
    match start(cli, format) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprint_line(&error);
            if format == Format::Json {
                print_json(&error, lines);
            }
            error.exit().into()
        }
    }
}

/// The error on standard output, on one line behind other `lines`.
fn print_json(error: &Error, lines: bool) {
    let json = error.to_json();
    let text = if lines {
        serde_json::to_string(&json)
    } else {
        serde_json::to_string_pretty(&json)
    };
    if let Ok(text) = text {
        // Standard output may be what failed; the message stands on standard error.
        let _ = diagnostics::print_line(text.trim_end());
    }
}

/// Whether `--json` was typed, on a command line that could not be understood.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut own = arguments.take_while(|argument| argument != "--");
    own.any(|argument| argument == "--json")
}

/// What clap says: the first paragraph is the message, the others help.
fn misuse(text: &str) -> Error {
    let mut parts = text
        .split("\n\n")
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let message = parts.next().unwrap_or("the command line is wrong");
    let message = message.strip_prefix("error: ").unwrap_or(message);
    parts.fold(Error::usage(message), |error, part| {
        error.help(part.strip_prefix("tip: ").unwrap_or(part))
    })
}

fn start(cli: Cli, format: Format) -> Result<Exit> {
    let context = Context::new(cli.global.aws, format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(format!("cannot start threads: {error}"))
                .help("`ulimit -u` shows how many you may have")
        })?;
    let exit = runtime.block_on(dispatch(cli.command, &context));
    // A request that hangs in a blocking call must not hold up the end.
    runtime.shutdown_background();
    exit
}

async fn dispatch(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Build(args) => commands::build::run(args, context).await,
        Command::Push(args) => commands::push::run(args, context).await,
        Command::Train(args) => commands::train::run(*args, context).await,
        Command::Logs(args) => {
            let job = args.job.clone();
            local::or_here(&job, commands::logs::run(args, context)).await
        }
        Command::Status(args) => {
            let job = args.job.clone();
            local::or_here(&job, commands::status::run(args, context)).await
        }
        Command::List(args) => {
            local::and_here(context.format, commands::list::run(args, context)).await
        }
        Command::Stop(args) => {
            let job = args.job.clone();
            local::or_here(&job, commands::stop::run(args, context)).await
        }
        Command::Describe(args) => {
            let job = args.job.clone();
            local::or_here(&job, commands::describe::run(args, context)).await
        }
        Command::Upload(args) => commands::upload::run(args, context).await,
        Command::Download(args) => commands::download::run(args, context).await,
        Command::Doctor(args) => commands::doctor::run(args, context).await,
        Command::Infra(args) => commands::infra::run(args, context).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
