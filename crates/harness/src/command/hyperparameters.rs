//! Turns the hyperparameters of a job into flags of `train`. Flags on the command line win.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, ArgGroup, Command, Id};
use diagnostics::{Error, sanitize};
use sagemaker::{Hyperparameter, Paths, Value, hyperparameters};

use super::args;
use super::suggest::{self, Suggestion};

/// Arguments of `train` that SageMaker sets in a job. With other values the job would succeed
/// without a model.
pub(super) const RESERVED: [&str; 7] = [
    "train",
    "validation",
    "test",
    "model_dir",
    "output_data_dir",
    "checkpoint_dir",
    "check",
];

/// Normalises the arguments (hyphens in flags, `--flag=true` to `--flag`) and inserts the job's
/// hyperparameters before the arguments of `train`. A hyperparameter is left out if the command
/// line has its flag, or one that excludes it.
pub(super) fn merge(
    command: &Command,
    paths: &Paths,
    arguments: Vec<OsString>,
) -> Result<Vec<OsString>, Error> {
    let mut arguments = hyphenated(arguments);
    let at = args::subcommand_index(&arguments);
    let name = arguments.get(at).and_then(|word| word.to_str());
    let Some(subcommand) = name.and_then(|name| command.find_subcommand(name)) else {
        return Ok(arguments);
    };
    let known = known_flags(subcommand);
    if subcommand.get_name() == "train" {
        let found = hyperparameters::read(&paths.hyperparameters())?;
        let flags = job_flags(subcommand, &known, paths, found, &arguments)?;
        arguments.splice(at + 1..at + 1, flags);
    }
    boolean_values(&known, arguments)
}

/// Checks the hyperparameters and returns them as flags.
fn job_flags(
    train: &Command,
    known: &[Flag],
    paths: &Paths,
    found: Vec<Hyperparameter>,
    arguments: &[OsString],
) -> Result<Vec<OsString>, Error> {
    let given: Vec<&Flag> = known
        .iter()
        .filter(|flag| arguments.iter().any(|argument| flag.matches(argument)))
        .collect();
    let mut accepted = Vec::new();
    let mut seen: Vec<(String, Id)> = Vec::new();
    for mut hyperparameter in found {
        let name = hyperparameter.name.replace('_', "-");
        let Some(flag) = known.iter().find(|flag| flag.name == name) else {
            return Err(unknown(paths, &hyperparameter.name, known));
        };
        if RESERVED.contains(&flag.id.as_str()) {
            return Err(reserved(paths, &hyperparameter.name));
        }
        if let Some((first, _)) = seen.iter().find(|(_, id)| *id == flag.id) {
            return Err(duplicate(paths, first, &hyperparameter.name));
        }
        seen.push((hyperparameter.name.clone(), flag.id.clone()));
        if let (false, Value::Many(values)) = (flag.is_list, &hyperparameter.value) {
            return Err(several_values(paths, &hyperparameter.name, values.len()));
        }
        if let (true, Value::One(value)) = (flag.is_boolean, &mut hyperparameter.value) {
            // Python writes `True`.
            value.make_ascii_lowercase();
        }
        if !given
            .iter()
            .any(|given| given.id == flag.id || excludes(train, given, flag))
        {
            accepted.push(hyperparameter);
        }
    }
    let flags = hyperparameters::to_arguments(&accepted);
    Ok(flags.into_iter().map(OsString::from).collect())
}

/// A long flag of a command; an alias is a flag of its own.
struct Flag {
    name: String,
    /// The argument that it sets.
    id: Id,
    is_boolean: bool,
    is_list: bool,
}

impl Flag {
    /// True if an argument of the command line is this flag, with or without `=VALUE`.
    fn matches(&self, argument: &OsStr) -> bool {
        let text = argument.to_str().and_then(|text| text.strip_prefix("--"));
        text.and_then(|text| text.split('=').next()) == Some(&self.name)
    }
}

/// True if both belong to a group of which only one may be given, such as --alpha and --c.
fn excludes(train: &Command, given: &Flag, flag: &Flag) -> bool {
    let has_both = |group: &&ArgGroup| {
        [given, flag]
            .iter()
            .all(|flag| group.get_args().any(|id| *id == flag.id))
    };
    given.id != flag.id
        && train
            .get_groups()
            .filter(has_both)
            .any(|group| !group.clone().is_multiple())
}

/// Replaces underscores in long flags by hyphens.
fn hyphenated(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut only_values = false;
    let one = |argument: OsString| {
        only_values |= argument == "--";
        match argument.to_str() {
            Some(text) if text.starts_with("--") && !only_values => {
                let (name, value) = text
                    .split_once('=')
                    .map_or((text, None), |(name, value)| (name, Some(value)));
                let name = name.replace('_', "-");
                value
                    .map_or_else(|| name.clone(), |value| format!("{name}={value}"))
                    .into()
            }
            _ => argument,
        }
    };
    arguments.into_iter().map(one).collect()
}

/// Replaces `--flag=true` by `--flag` and drops `--flag=false`.
fn boolean_values(known: &[Flag], arguments: Vec<OsString>) -> Result<Vec<OsString>, Error> {
    let mut result: Vec<OsString> = Vec::with_capacity(arguments.len());
    let mut seen: Vec<&Id> = Vec::new();
    let mut rest = arguments.into_iter();
    for argument in rest.by_ref() {
        if argument == "--" {
            result.push(argument);
            break;
        }
        let flag = known
            .iter()
            .find(|flag| flag.is_boolean && flag.matches(&argument));
        let Some(flag) = flag else {
            result.push(argument);
            continue;
        };
        if seen.contains(&&flag.id) {
            let message = format!(
                "the argument `--{}` cannot be used multiple times",
                flag.name
            );
            return Err(Error::usage(message).help(format!("give `--{}` once", flag.name)));
        }
        seen.push(&flag.id);
        let Some((name, value)) = argument.to_str().and_then(|text| text.split_once('=')) else {
            result.push(argument);
            continue;
        };
        match value {
            "true" => result.push(name.into()),
            "false" => {}
            _ => {
                let message = format!("invalid value `{}` for `{name}`", sanitize(value));
                return Err(Error::usage(message).help("use true or false"));
            }
        }
    }
    result.extend(rest);
    Ok(result)
}

/// Returns the names of a command's options.
pub(super) fn options(command: &Command) -> Vec<String> {
    known_flags(command)
        .into_iter()
        .map(|flag| flag.name)
        .collect()
}

fn known_flags(command: &Command) -> Vec<Flag> {
    let flags = command.get_arguments().flat_map(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        let names = argument.get_long().into_iter().chain(aliases);
        names.map(move |name| Flag {
            name: name.to_owned(),
            id: argument.get_id().clone(),
            is_boolean: matches!(argument.get_action(), ArgAction::SetTrue),
            is_list: matches!(argument.get_action(), ArgAction::Append),
        })
    });
    flags.collect()
}

fn reserved(paths: &Paths, name: &str) -> Error {
    Error::usage(format!(
        "`{}` in `{}` is reserved: SageMaker sets the paths of a job",
        sanitize(name),
        paths.hyperparameters().display()
    ))
    .help("remove it; data comes through channels, and the model folder is uploaded at the end")
}

fn duplicate(paths: &Paths, first: &str, second: &str) -> Error {
    Error::usage(format!(
        "the hyperparameters `{}` and `{}` in `{}` set the same argument",
        sanitize(first),
        sanitize(second),
        paths.hyperparameters().display()
    ))
    .help("keep one of them")
}

fn several_values(paths: &Paths, name: &str, values: usize) -> Error {
    Error::usage(format!(
        "expected one value for the hyperparameter `{}` in `{}`, found a list with {values} of them",
        sanitize(name),
        paths.hyperparameters().display()
    ))
    .help("write one value, without `[` and `]`; lists and maps are not accepted")
}

fn unknown(paths: &Paths, name: &str, known: &[Flag]) -> Error {
    let names = known.iter().map(|flag| flag.name.as_str());
    let advice = match suggest::option(name, names) {
        Suggestion::Name(option) => match option.replace('-', "_") {
            path if RESERVED.contains(&path.as_str()) => {
                format!("remove it: SageMaker sets `{path}`; ")
            }
            option => format!("did you mean `{option}`? "),
        },
        Suggestion::Unavailable => "remove it: this trainer has no such setting; ".to_owned(),
        Suggestion::NotNeeded(why) => format!("remove it: {why}; "),
        Suggestion::Unknown => "remove it; ".to_owned(),
    };
    let message = format!(
        "unknown hyperparameter `{}` in `{}`",
        sanitize(name),
        paths.hyperparameters().display()
    );
    Error::usage(message).help(format!(
        "{advice}run `train --help` for all hyperparameters"
    ))
}
