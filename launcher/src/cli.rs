//! Command line of the program.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Effects, Styles};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::aws::AwsArgs;
use crate::commands;
use crate::context::Context;
use crate::local;
use crate::output::Format;
use diagnostics::stdio::{eprint_text, print_text};
use diagnostics::usage::{self, ALL_OPTIONS};
use diagnostics::{Error, Exit, Result};

/// Colours of help texts, as in cargo.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    the command failed
  2    invalid command line or file; nothing was started
  3    the training job failed
  4    the training job was stopped
  130  Ctrl-C; a job in the cloud keeps running";

const EXAMPLES: &str = "\
Examples:
  trainyard doctor svm --role trainyard-execution --bucket my-bucket
  trainyard push svm --create-repository
  trainyard train svm --data data --output s3://my-bucket/models --instance-type ml.m5.large
  trainyard download model --job-name JOB";

/// Train text classifiers locally and on Amazon SageMaker
///
/// A job runs on SageMaker, in the local Docker engine or as a local process, always with the same
/// command. Run `trainyard doctor` first to check what a job needs.
#[derive(Debug, Parser)]
#[command(
    name = "trainyard",
    version,
    styles = STYLES,
    after_help = EXIT_CODES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    /// Print the result as JSON on standard output
    ///
    /// One object, or one object per line for `logs`. Messages go to standard error.
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    #[command(flatten)]
    aws: AwsArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(commands::build::BuildArgs),
    Push(commands::push::PushArgs),
    Train(Box<commands::train::TrainArgs>),
    Logs(commands::logs::LogsArgs),
    Status(commands::status::StatusArgs),
    List(commands::list::ListArgs),
    Stop(commands::stop::StopArgs),
    Describe(commands::describe_job::DescribeJobArgs),
    Upload(commands::upload::UploadArgs),
    Download(commands::download::DownloadArgs),
    Doctor(commands::doctor::DoctorArgs),
    Recommend(commands::recommend::RecommendArgs),
    Serve(commands::serve::ServeArgs),
    Infra(commands::infra::InfraArgs),
}

/// Runs the command line of this process.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse_from(arguments(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return report_clap_error(&error).into(),
    };
    let format = if cli.json { Format::Json } else { Format::Text };
    let lines = matches!(cli.command, Command::Logs(_));
    match run_command(cli, format) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprint_text(&error);
            if format == Format::Json {
                print_json(&error, lines);
            }
            error.exit().into()
        }
    }
}

/// Removes `-h` and `--help` after `help`, which clap refuses there.
fn arguments(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let is = |at: usize, word: &str| arguments.get(at).is_some_and(|found| found == word);
    if is(1, "help") || (is(1, "infra") && is(2, "help")) {
        arguments.retain(|argument| argument != "-h" && argument != "--help");
    }
    arguments
}

/// Prints help, the version or an error of clap.
fn report_clap_error(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Ok;
    }
    let converted = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        Error::usage("expected a command, found none").help(ALL_OPTIONS)
    } else {
        let converted = usage_error(error);
        eprint_text(&converted);
        converted
    };
    if wants_json(std::env::args_os()) {
        print_json(&converted, false);
    }
    Exit::Usage
}

/// Prints an error as JSON on standard output; on one line after other JSON `lines`.
fn print_json(error: &Error, lines: bool) {
    let json = error.to_json();
    let text = if lines {
        serde_json::to_string(&json)
    } else {
        serde_json::to_string_pretty(&json)
    };
    if let Ok(text) = text {
        // Ignored: standard output may be the cause, and standard error has the message.
        let _ = print_text(text.trim_end());
    }
}

/// True if an invalid command line contains `--json`.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut own = arguments.take_while(|argument| argument != "--");
    own.any(|argument| argument == "--json")
}

/// Converts an error of clap to the form of all other messages; adds what the command can do.
fn usage_error(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    // Without the tip to pass an unknown option as a value after `--`, where no option would work.
    let tips = usage::tips(&text).filter(|tip| !tip.contains("as a value, use"));
    let converted = tips.fold(usage::usage_error(&text), Error::help);
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    let of = |command| is_unknown && text.contains(&format!("Usage: trainyard {command} "));
    match () {
        () if of("train") => converted.help("hyperparameters follow `--`: `-- --min-df 5`"),
        () if of("upload") || of("download") => {
            converted.help("run with --help for all options; `aws s3 cp` has more, such as `--sse`")
        }
        () if text.contains("tip: ") && !is_unknown => converted,
        () => converted.help(ALL_OPTIONS),
    }
}

fn run_command(cli: Cli, format: Format) -> Result<Exit> {
    let context = Context::new(cli.aws, format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(format!("cannot start threads: {error}"))
                .help("raise the limit of threads: `ulimit -u` shows it")
        })?;
    let exit = runtime.block_on(dispatch(cli.command, &context));
    // Does not wait for blocking calls that hang.
    runtime.shutdown_background();
    exit
}

async fn dispatch(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Build(args) => commands::build::run(args, context).await,
        Command::Push(args) => commands::push::run(args, context).await,
        Command::Train(args) => commands::train::run(*args, context).await,
        Command::Logs(args) => {
            local::or_local_job(&args.job, commands::logs::run(&args, context)).await
        }
        Command::Status(args) => {
            local::or_local_job(&args.job, commands::status::run(&args, context)).await
        }
        Command::List(args) => {
            local::with_local_jobs(context.format, commands::list::run(args, context)).await
        }
        Command::Stop(args) => {
            local::or_local_job(&args.job, commands::stop::run(&args, context)).await
        }
        Command::Describe(args) => {
            local::or_local_job(&args.job, commands::describe_job::run(&args, context)).await
        }
        Command::Upload(args) => commands::upload::run(args, context).await,
        Command::Download(args) => match args.job().map(str::to_owned) {
            Some(job) => local::or_local_job(&job, commands::download::run(args, context)).await,
            None => commands::download::run(args, context).await,
        },
        Command::Doctor(args) => commands::doctor::run(args, context).await,
        Command::Recommend(args) => commands::recommend::run(args, context).await,
        Command::Serve(args) => commands::serve::run(args).await,
        Command::Infra(args) => commands::infra::run(args, context).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn clap_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn errors_of_clap_have_the_form_of_other_messages() {
        let message = |arguments: &[&str]| {
            let error = Cli::try_parse_from([&["trainyard"], arguments].concat());
            usage_error(&error.expect_err("invalid")).to_string()
        };
        let unknown = message(&["stats"]);
        assert!(
            unknown.starts_with("error: unrecognized subcommand `stats`\n  help: ")
                && unknown.contains("`status`")
                && !unknown.contains("Usage"),
            "{unknown}"
        );
        assert_eq!(
            message(&["status"]),
            "error: the following required arguments were not provided: <JOB>\n  \
             help: run with --help for all options"
        );
    }

    #[test]
    fn help_of_the_help_command_is_help() {
        let without = |given: &[&str]| arguments(given.iter().map(OsString::from));
        assert_eq!(without(&["trainyard", "help", "-h"]), ["trainyard", "help"]);
        let download = ["trainyard", "download", "help", "-h"];
        assert_eq!(without(&download), download);
    }
}
