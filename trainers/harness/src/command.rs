//! The command line of every trainer: `train`, `evaluate`, `predict`, `check`, `explain`.

mod args;
mod check;
mod evaluate;
mod explain;
mod hyperparameters;
mod predict;
mod train;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use contract::{Env, Paths, exit, failure};

use crate::stop::Stop;
use crate::{Failure, Trainer};

/// The command line of trainer `T`: parses, runs, reports, and answers the exit code.
pub fn run<T: Trainer>() -> ExitCode {
    let paths = Paths::new(Env::process());
    let arguments: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(main::<T>(&paths, arguments))
}

fn main<T: Trainer>(paths: &Paths, arguments: Vec<OsString>) -> u8 {
    let training = arguments.get(1).is_some_and(|word| word == "train");
    let outcome = parse::<T>(paths, arguments).and_then(|matches| match matches {
        Some(matches) => dispatch::<T>(paths, &matches),
        None => Ok(()),
    });
    let Err(failure) = outcome else { return exit::OK };
    eprintln!("{failure}");
    // SageMaker shows the failure file's text, and takes any code but 0 for a failure.
    let contained = training && paths.in_container();
    if contained && !matches!(failure, Failure::Stopped) {
        let chain = [format!("{} train failed", T::NAME), failure.to_string()];
        if let Err(error) = failure::write(&paths.failure(), &failure::compose(&chain)) {
            eprintln!("{error}");
        }
    }
    match failure {
        Failure::Stopped => exit::OK,
        Failure::Usage { .. } | Failure::Typed(_) if !contained => exit::USAGE,
        _ => exit::FAILURE,
    }
}

/// The whole command line as clap sees it.
fn command<T: Trainer>() -> Command {
    let trained = T::Args::augment_args(args::TrainArgs::augment_args(train::command()));
    Command::new(T::NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Trains and runs a text classifier, on a laptop and as an Amazon SageMaker container")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(trained)
        .subcommand(args::EvaluateArgs::augment_args(evaluate::command()))
        .subcommand(args::PredictArgs::augment_args(predict::command()))
        .subcommand(args::CheckArgs::augment_args(check::command()))
        .subcommand(args::ExplainArgs::augment_args(explain::command()))
}

/// `None`: help or the version was asked for, and printed.
fn parse<T: Trainer>(paths: &Paths, arguments: Vec<OsString>) -> Result<Option<ArgMatches>, Failure> {
    let command = command::<T>();
    let arguments = hyperparameters::merge(&command, paths, arguments)?;
    match command.try_get_matches_from(arguments) {
        Ok(matches) => Ok(Some(matches)),
        Err(error) if !error.use_stderr() => {
            // Nothing can be done about a closed standard output.
            let _ = error.print();
            Ok(None)
        }
        Err(error) => Err(Failure::Typed(error.render().to_string().trim_end().to_owned())),
    }
}

fn dispatch<T: Trainer>(paths: &Paths, matches: &ArgMatches) -> Result<(), Failure> {
    let typed = |error: clap::Error| Failure::Typed(error.render().to_string().trim_end().to_owned());
    match matches.subcommand() {
        Some(("train", matches)) => {
            let own = T::Args::from_arg_matches(matches).map_err(typed)?;
            let common = args::TrainArgs::from_arg_matches(matches).map_err(typed)?;
            train::run::<T>(paths, common, own, matches, Stop::watch()?)
        }
        Some(("evaluate", matches)) => {
            evaluate::run::<T>(&args::EvaluateArgs::from_arg_matches(matches).map_err(typed)?)
        }
        Some(("predict", matches)) => predict::run::<T>(&args::PredictArgs::from_arg_matches(matches).map_err(typed)?),
        Some(("check", matches)) => check::run(&args::CheckArgs::from_arg_matches(matches).map_err(typed)?),
        Some(("explain", matches)) => explain::run::<T>(&args::ExplainArgs::from_arg_matches(matches).map_err(typed)?),
        // clap requires a subcommand, and knows these alone.
        _ => Err(Failure::usage("expected a command, found none", "try --help")),
    }
}

/// What the tests of the messages need: the help text of one command.
pub fn help<T: Trainer>(name: &str) -> Option<String> {
    let mut command = command::<T>().term_width(100);
    command.build();
    Some(command.find_subcommand_mut(name)?.render_long_help().to_string())
}
