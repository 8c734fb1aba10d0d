//! The command line of every trainer: `train`, `evaluate`, `predict`, `check`, `explain`.

mod args;
mod check;
mod evaluate;
mod explain;
mod hyperparameters;
mod output;
mod predict;
mod train;
mod typed;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, Command, FromArgMatches};
use contract::{Env, Paths, exit, failure};

use crate::save::MARKER;
use crate::say::say;
use crate::stop::{self, Stop};
use crate::{Failure, Model, Trainer, sums};

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
    let Err(failure) = outcome else {
        return exit::OK;
    };
    say(&failure);
    // SageMaker shows the failure file's text, and takes any code but 0 for a failure.
    let contained = training && paths.in_container();
    if contained && !matches!(failure, Failure::Stopped | Failure::Interrupted) {
        let chain = [format!("{} train failed", T::NAME), failure.to_string()];
        if let Err(error) = failure::write(&paths.failure(), &failure::compose(&chain)) {
            say(error);
        }
    }
    match failure {
        Failure::Stopped => exit::OK,
        Failure::Interrupted => stop::INTERRUPTED,
        Failure::Usage { .. } | Failure::Typed(_) if !contained => exit::USAGE,
        _ => exit::FAILURE,
    }
}

/// The whole command line as clap sees it.
fn command<T: Trainer>() -> Command {
    Command::new(T::NAME)
        // docker/Dockerfile installs the program under another name.
        .bin_name(T::NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Trains and runs a text classifier, on a laptop and as an Amazon SageMaker container",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(train::command::<T>())
        .subcommand(evaluate::command::<T>())
        .subcommand(predict::command::<T>())
        .subcommand(check::command())
        .subcommand(explain::command::<T>())
}

/// `None`: help or the version was asked for, and printed.
fn parse<T: Trainer>(
    paths: &Paths,
    arguments: Vec<OsString>,
) -> Result<Option<ArgMatches>, Failure> {
    let command = command::<T>();
    let arguments = hyperparameters::merge(&command, paths, arguments)?;
    match command.try_get_matches_from(arguments) {
        Ok(matches) => Ok(Some(matches)),
        Err(error) if !error.use_stderr() => {
            // Nothing can be done about a closed standard output.
            let _ = error.print();
            Ok(None)
        }
        Err(error) => Err(typed::failure(&error)),
    }
}

fn dispatch<T: Trainer>(paths: &Paths, matches: &ArgMatches) -> Result<(), Failure> {
    let typed = |error: clap::Error| typed::failure(&error);
    // What `predict` is writing.
    let unfinished = Arc::default();
    if matches.subcommand_name() != Some("train") {
        stop::end_at_once(Arc::clone(&unfinished))?;
    }
    match matches.subcommand() {
        Some(("train", matches)) => {
            let own = T::Args::from_arg_matches(matches).map_err(typed)?;
            let common = args::TrainArgs::from_arg_matches(matches).map_err(typed)?;
            let checkpoints = T::CHECKPOINTS
                .then(|| args::CheckpointArgs::from_arg_matches(matches))
                .transpose()
                .map_err(typed)?;
            let typed = train::Typed {
                common,
                checkpoints,
                own,
            };
            train::run::<T>(paths, typed, matches, Stop::watch()?)
        }
        Some(("evaluate", matches)) => {
            let own = T::PredictArgs::from_arg_matches(matches).map_err(typed)?;
            let args = args::EvaluateArgs::from_arg_matches(matches).map_err(typed)?;
            evaluate::run::<T>(&args, own)
        }
        Some(("predict", matches)) => {
            let own = T::PredictArgs::from_arg_matches(matches).map_err(typed)?;
            let args = args::PredictArgs::from_arg_matches(matches).map_err(typed)?;
            predict::run::<T>(&args, own, &unfinished)
        }
        Some(("check", matches)) => {
            check::run(&args::CheckArgs::from_arg_matches(matches).map_err(typed)?)
        }
        Some(("explain", matches)) => {
            let own = T::PredictArgs::from_arg_matches(matches).map_err(typed)?;
            let args = args::ExplainArgs::from_arg_matches(matches).map_err(typed)?;
            explain::run::<T>(&args, own)
        }
        // clap requires a subcommand, and knows these alone.
        _ => Err(Failure::usage(
            "expected a command, found none",
            "try --help",
        )),
    }
}

/// The model in a folder, ready to predict with so many threads.
fn load<T: Trainer>(dir: &Path, own: T::PredictArgs, threads: usize) -> Result<T::Model, Failure> {
    if !dir.join(MARKER).exists() {
        let message = format!(
            "expected a model in `{}`, found no `{MARKER}` there",
            dir.display()
        );
        let help = format!("pass --model-dir the folder that `{} train` wrote", T::NAME);
        return Err(Failure::other(message, help));
    }
    sums::check_model(dir, MARKER)?;
    let mut model = T::Model::load(dir)?;
    T::prepare(&mut model, own, threads)?;
    Ok(model)
}

/// What the tests of the messages need: the help text of one command.
pub fn help<T: Trainer>(name: &str) -> Option<String> {
    let mut command = command::<T>().term_width(100);
    command.build();
    Some(
        command
            .find_subcommand_mut(name)?
            .render_long_help()
            .to_string(),
    )
}
