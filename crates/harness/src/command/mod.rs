//! The command line of every trainer: `train`, `evaluate`, `predict`, `serve`, `check`, `explain`,
//! `describe`.

mod address;
mod against;
mod args;
mod check;
mod clap_error;
mod crash;
mod describe;
mod evaluate;
mod explain;
mod hyperparameters;
mod json_schema;
mod outputs;
mod predict;
mod run_file;
mod serve;
mod suggest;
mod train;

use std::ffi::OsString;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use dataset::RowTable;
use diagnostics::{Error, ErrorKind, Exit, LogText, eprint_json, eprint_line};
use evaluation::metrics::{Evaluation, Scores, evaluate_labels};
use sagemaker::{Env, Paths, failure};
use training::stop::{self, Stop};

use self::args::{
    CheckArgs, ErrorFormat, ExplainArgs, GlobalArgs, PairArgs, SecondTextArgs, TrainArgs,
    WeightArgs,
};
use crate::model_dir::{self, CONFIG};
use crate::{Model, Trainer};

/// The colours of the help on a terminal, which are cargo's.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::BrightGreen.on_default().bold())
    .usage(AnsiColor::BrightGreen.on_default().bold())
    .literal(AnsiColor::BrightCyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::BrightRed.on_default().bold())
    .valid(AnsiColor::BrightCyan.on_default().bold())
    .invalid(AnsiColor::Yellow.on_default().bold());

/// Runs the command line of trainer `T` and returns the exit code.
pub fn run<T: Trainer>() -> ExitCode {
    let paths = Paths::new(Env::process());
    let arguments: Vec<OsString> = std::env::args_os().collect();
    crash::record_panics();
    ExitCode::from(main::<T>(&paths, arguments))
}

fn main<T: Trainer>(paths: &Paths, arguments: Vec<OsString>) -> u8 {
    let subcommand = arguments.get(args::subcommand_index(&arguments));
    let is_training = subcommand.is_some_and(|word| word == "train");
    let error_format = args::error_format(&arguments);
    let is_job = is_training && paths.in_container();
    if is_job {
        crash::expect_kill(&paths.failure());
    }
    let outcome = crash::catch(|| {
        parse::<T>(paths, arguments).and_then(|parsed| match parsed {
            Parsed::Command(matches) => dispatch::<T>(paths, &matches).map(|()| Exit::Ok),
            Parsed::Printed(exit) => Ok(exit),
        })
    });
    let was_stopped =
        |error: &Error| matches!(error.kind(), ErrorKind::Stopped | ErrorKind::Interrupted);
    if is_job && outcome.as_ref().err().is_none_or(was_stopped) {
        // It could not be written if it cannot be removed.
        let _ = std::fs::remove_file(paths.failure());
    }
    let error = match outcome {
        Ok(exit) => return exit as u8,
        Err(error) => error,
    };
    // SageMaker shows the text of the failure file and treats every code but 0 as a failure.
    if is_job && !was_stopped(&error) {
        let text = LogText::new(&error).to_string();
        let chain = [format!("{} train failed", T::NAME), text];
        if let Err(error) = failure::write(&paths.failure(), &failure::compose(&chain)) {
            eprint_line(format!("{error}\n  help: {}", error.help()));
        }
    }
    match error_format {
        ErrorFormat::Text => eprint_line(&error),
        ErrorFormat::Json => eprint_json(&serde_json::json!(error.to_json())),
    }
    match error.exit() {
        Exit::Usage if is_job => Exit::Failed as u8,
        exit => exit as u8,
    }
}

/// The whole command line as a clap command.
fn command<T: Trainer>() -> Command {
    // The texts come last: `augment_args` would overwrite them.
    GlobalArgs::augment_args(Command::new(T::NAME))
        // docker/Dockerfile installs the program under another name.
        .bin_name(T::NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(T::ABOUT)
        .long_about(format!(
            "{}\n\n{} The same commands work on a laptop and in an Amazon SageMaker container.",
            T::ABOUT,
            T::CHOOSE
        ))
        .styles(STYLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(train::command::<T>())
        .subcommand(evaluate::command::<T>())
        .subcommand(predict::command::<T>())
        .subcommand(serve::command::<T>())
        .subcommand(explain::command::<T>())
        .subcommand(check::command::<T>())
        .subcommand(describe::command::<T>())
        .after_help(format!(
            "Examples:\n  {name} train --train reviews.csv --model-dir models/{name}\n  \
             {name} predict --model-dir models/{name} \"some text\"\n\n\
             Use `{name} help COMMAND` for the options of a command.",
            name = T::NAME
        ))
}

enum Parsed {
    Command(ArgMatches),
    /// Help or the version was printed.
    Printed(Exit),
}

fn parse<T: Trainer>(paths: &Paths, mut arguments: Vec<OsString>) -> Result<Parsed, Error> {
    let mut command = command::<T>();
    let at = args::subcommand_index(&arguments);
    if arguments.get(at).is_some_and(|word| word == "help") {
        // clap's `help` has no options.
        arguments.retain(|word| word != "-h" && word != "--help");
    }
    let arguments = hyperparameters::merge(&command, paths, arguments)?;
    let name = arguments.get(at).and_then(|word| word.to_str());
    let subcommand = name.and_then(|name| command.find_subcommand(name));
    let options = subcommand.map_or_else(Vec::new, hyperparameters::options);
    match command.try_get_matches_from_mut(arguments) {
        Ok(matches) => {
            if let Some((name, matches)) = matches.subcommand()
                && let Some(subcommand) = command.find_subcommand(name)
            {
                address::refuse(subcommand, matches)?;
            }
            Ok(Parsed::Command(matches))
        }
        Err(error) if is_help(&error) => {
            // A closed standard output cannot be reported anywhere.
            let _ = error.print();
            Ok(Parsed::Printed(match error.use_stderr() {
                true => Exit::Usage,
                false => Exit::Ok,
            }))
        }
        Err(error) => Err(clap_error::to_error(&error, &options)),
    }
}

/// True for the help and the version: requested, or printed because there are no arguments.
fn is_help(error: &clap::Error) -> bool {
    let no_arguments = clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    !error.use_stderr() || error.kind() == no_arguments
}

fn dispatch<T: Trainer>(paths: &Paths, matches: &ArgMatches) -> Result<(), Error> {
    // The file that `predict` is writing; removed on a signal.
    let unfinished = Arc::default();
    stop::exit_on_abort()?;
    // `train` saves a model and `serve` answers requests before they end.
    if !matches!(matches.subcommand_name(), Some("train" | "serve")) {
        stop::end_at_once(Arc::clone(&unfinished))?;
    }
    match matches.subcommand() {
        Some(("train", matches)) => {
            let mut common: TrainArgs = from_matches(matches)?;
            if T::ROW_WEIGHTS {
                common.weight_column = from_matches::<WeightArgs>(matches)?.weight_column;
            }
            let arguments = train::Arguments {
                common,
                checkpoints: match T::CHECKPOINTS {
                    true => Some(from_matches(matches)?),
                    false => None,
                },
                own: from_matches(matches)?,
            };
            let failure = paths.in_container().then(|| paths.failure());
            train::run::<T>(paths, arguments, matches, Stop::watch(failure)?)
        }
        Some(("evaluate", matches)) => {
            evaluate::run::<T>(&from_matches(matches)?, from_matches(matches)?)
        }
        Some(("predict", matches)) => {
            predict::run::<T>(&from_matches(matches)?, from_matches(matches)?, &unfinished)
        }
        Some(("serve", matches)) => {
            serve::run::<T>(paths, &from_matches(matches)?, from_matches(matches)?)
        }
        Some(("explain", matches)) => {
            let mut args: ExplainArgs = from_matches(matches)?;
            if T::TEXT_PAIRS {
                args.second = from_matches::<SecondTextArgs>(matches)?.second;
            }
            explain::run::<T>(&args, from_matches(matches)?)
        }
        Some(("check", matches)) => {
            let mut args: CheckArgs = from_matches(matches)?;
            if T::TEXT_PAIRS {
                args.text_pair = from_matches::<PairArgs>(matches)?.text_pair;
            }
            check::run(&args)
        }
        Some(("describe", matches)) => describe::run::<T>(&from_matches(matches)?),
        // clap requires a subcommand and accepts only these.
        _ => Err(Error::usage("expected a command, found none").help("try --help")),
    }
}

fn from_matches<A: FromArgMatches>(matches: &ArgMatches) -> Result<A, Error> {
    A::from_arg_matches(matches).map_err(|error| clap_error::to_error(&error, &[]))
}

/// A model, and the thresholds that were chosen for its decision values.
struct Loaded<M> {
    model: M,
    thresholds: Vec<f32>,
}

impl<M> Deref for Loaded<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.model
    }
}

impl<M: Model> Loaded<M> {
    /// Scores `texts`. The thresholds are subtracted from the decision values.
    fn predict(&self, scratch: &mut M::Scratch, texts: &[&str]) -> Result<Scores, Error> {
        let mut scores = self.model.predict(scratch, texts)?;
        scores.subtract(&self.thresholds);
        Ok(scores)
    }
}

/// Evaluates the scores of the rows `of`.
fn evaluate_rows(rows: &RowTable, of: &[u32], scores: &Scores) -> Evaluation {
    let labels: Vec<u32> = of.iter().map(|row| rows.labels[*row as usize]).collect();
    evaluate_labels(&labels, rows.label_sets.as_ref(), &rows.classes, scores)
}

/// Returns for each of the rows `of` if its prediction is right: the class, or the whole set.
fn are_right(rows: &RowTable, of: &[u32], scores: &Scores) -> Vec<bool> {
    if rows.label_sets.is_some() {
        let each = of.iter().zip(scores.sets());
        return each
            .map(|(row, set)| rows.classes_of(*row) == set)
            .collect();
    }
    let each = of.iter().zip(scores.predictions());
    each.map(|(row, class)| rows.labels[*row as usize] == class)
        .collect()
}

/// Returns the most frequent class and its share of the rows, as JSON.
fn most_frequent_class(evaluation: &Evaluation) -> serde_json::Value {
    let frequent = evaluation.most_frequent();
    let frequent =
        frequent.map(|(class, share)| serde_json::json!({ "label": class.label, "share": share }));
    serde_json::json!(frequent)
}

/// Loads the model of a folder to the device that the arguments name.
fn load<T: Trainer>(
    dir: &Path,
    own: T::PredictArgs,
    threads: usize,
) -> Result<Loaded<T::Model>, Error> {
    if let Some(error) = T::Model::other_layout(dir) {
        return Err(error);
    }
    if !dir.join(CONFIG).exists() {
        let message = format!(
            "expected a model in `{}`, found no `{CONFIG}` there",
            dir.display()
        );
        let help = format!("pass --model-dir the folder that `{} train` wrote", T::NAME);
        return Err(Error::new(message).help(help));
    }
    model_dir::check_program(dir, T::NAME)?;
    let mut model = load_checked::<T::Model>(dir)?;
    T::load_to_device(&mut model, own, threads)?;
    let thresholds = model_dir::thresholds(dir, model.classes().len())?;
    Ok(Loaded { model, thresholds })
}

/// Reads a model while another thread verifies its checksums, which takes as long.
fn load_checked<M: Model>(dir: &Path) -> Result<M, Error> {
    let check = || match M::is_resaved(dir) {
        true => Ok(()),
        false => model_dir::check_model(dir),
    };
    // A damaged file may make it panic: the error of its checksum says more.
    let read = || catch_unwind(AssertUnwindSafe(|| M::load(dir)));
    let (checked, model) =
        std::thread::scope(
            |scope| match std::thread::Builder::new().spawn_scoped(scope, check) {
                Ok(checking) => {
                    let model = read();
                    let checked = checking.join();
                    (checked.unwrap_or_else(|panic| resume_unwind(panic)), model)
                }
                Err(_) => (check(), read()),
            },
        );
    checked?;
    model.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Returns the long help of a command, 100 columns wide; of the program itself if `name` is empty.
pub fn help<T: Trainer>(name: &str) -> Option<String> {
    let mut command = command::<T>().term_width(100);
    command.build();
    let found = match name {
        "" => &mut command,
        name => command.find_subcommand_mut(name)?,
    };
    Some(found.render_long_help().to_string())
}
