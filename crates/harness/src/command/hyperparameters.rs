//! Turns the run file and the hyperparameters of a job into flags of `train`. Flags on the command
//! line win over the run file, and that over the hyperparameters.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, ArgGroup, Command, Id};
use diagnostics::{Error, sanitize};
use sagemaker::{Hyperparameter, Paths, Value, hyperparameters};

use super::address::Named;
use super::suggest::{self, Suggestion};
use super::{args, run_file};

/// Arguments of `train` that SageMaker sets in a job. With other values the job would succeed
/// without a model.
pub(super) const RESERVED: [&str; 8] = [
    "train",
    "validation",
    "test",
    "model_dir",
    "output_data_dir",
    "checkpoint_dir",
    "check",
    run_file::OPTION,
];

/// An option in a file.
pub(super) struct Entry {
    pub(super) option: Hyperparameter,
    /// The file, with the line if it is known.
    pub(super) place: String,
}

/// Kind of a file with options.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Job,
    RunFile,
}

impl Origin {
    fn noun(self) -> &'static str {
        match self {
            Self::Job => "hyperparameter",
            Self::RunFile => "option",
        }
    }

    /// True if files of this kind do not have the argument.
    fn refuses(self, id: &str) -> bool {
        match self {
            Self::Job => RESERVED.contains(&id),
            Self::RunFile => id == run_file::OPTION,
        }
    }
}

/// Normalises the arguments (hyphens in flags, `--flag=true` to `--flag`) and inserts the options
/// of the run file and the job's hyperparameters before the arguments of `train`. An option is left
/// out if it, or one that excludes it, was given with a higher precedence.
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
        if let Some(path) = run_file::path(&arguments) {
            let option = Named {
                option: run_file::OPTION,
                value: "FILE",
                is_output: false,
            };
            option.check(&path.to_string_lossy())?;
            let find = |name: &str| {
                let flag = known.iter().find(|flag| flag.name == name)?;
                subcommand
                    .get_arguments()
                    .find(|arg| *arg.get_id() == flag.id)
            };
            let found = run_file::read(&path, subcommand, find)?;
            let flags = accepted(subcommand, &known, found, Origin::RunFile, &arguments)?;
            arguments.splice(at + 1..at + 1, flags);
        }
        let path = paths.hyperparameters();
        let place = path.display().to_string();
        let entry = |option| Entry {
            option,
            place: place.clone(),
        };
        let found = hyperparameters::read(&path)?
            .into_iter()
            .map(entry)
            .collect();
        let flags = accepted(subcommand, &known, found, Origin::Job, &arguments)?;
        arguments.splice(at + 1..at + 1, flags);
    }
    boolean_values(&known, arguments)
}

/// Checks the options of a file and returns as flags those that `arguments` do not replace.
fn accepted(
    train: &Command,
    known: &[Flag],
    found: Vec<Entry>,
    origin: Origin,
    arguments: &[OsString],
) -> Result<Vec<OsString>, Error> {
    let given: Vec<&Flag> = known
        .iter()
        .filter(|flag| arguments.iter().any(|argument| flag.matches(argument)))
        .collect();
    let mut accepted = Vec::new();
    let mut seen: Vec<(String, Id)> = Vec::new();
    for Entry { mut option, place } in found {
        let name = option.name.replace('_', "-");
        let Some(flag) = known.iter().find(|flag| flag.name == name) else {
            return Err(unknown(origin, &place, &option.name, known));
        };
        if origin.refuses(flag.id.as_str()) {
            return Err(refused(origin, &place, &option.name));
        }
        if let Some((first, _)) = seen.iter().find(|(_, id)| *id == flag.id) {
            return Err(duplicate(origin, &place, first, &option.name));
        }
        seen.push((option.name.clone(), flag.id.clone()));
        if let (false, Value::Many(values)) = (flag.is_list, &option.value) {
            return Err(several_values(origin, &place, &option.name, values.len()));
        }
        if let (true, Value::One(value)) = (flag.is_boolean, &mut option.value) {
            // Python writes `True`.
            value.make_ascii_lowercase();
        }
        if !given
            .iter()
            .any(|given| given.id == flag.id || excludes(train, given, flag))
        {
            accepted.push(option);
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

fn refused(origin: Origin, place: &str, name: &str) -> Error {
    let name = sanitize(name);
    match origin {
        Origin::Job => Error::usage(format!(
            "`{name}` in `{place}` is reserved: SageMaker sets the paths of a job"
        ))
        .help(
            "remove it; data comes through channels, and the model folder is uploaded at the end",
        ),
        Origin::RunFile => Error::usage(format!(
            "`{name}` in `{place}` is not an option of run files"
        ))
        .help("remove it: a run file cannot name another one"),
    }
}

fn duplicate(origin: Origin, place: &str, first: &str, second: &str) -> Error {
    Error::usage(format!(
        "the {}s `{}` and `{}` in `{place}` set the same argument",
        origin.noun(),
        sanitize(first),
        sanitize(second),
    ))
    .help("keep one of them")
}

fn several_values(origin: Origin, place: &str, name: &str, values: usize) -> Error {
    Error::usage(format!(
        "expected one value for the {} `{}` in `{place}`, found a list with {values} of them",
        origin.noun(),
        sanitize(name),
    ))
    .help("write one value, without `[` and `]`; lists and maps are not accepted")
}

fn unknown(origin: Origin, place: &str, name: &str, known: &[Flag]) -> Error {
    let names = known.iter().map(|flag| flag.name.as_str());
    let noun = origin.noun();
    let advice = match suggest::option(name, names) {
        Suggestion::Name(option) => match option.replace('-', "_") {
            path if origin == Origin::Job && RESERVED.contains(&path.as_str()) => {
                format!("remove it: SageMaker sets `{path}`; ")
            }
            option => format!("did you mean `{option}`? "),
        },
        Suggestion::Unavailable => "remove it: this trainer has no such setting; ".to_owned(),
        Suggestion::NotNeeded(why) => format!("remove it: {why}; "),
        Suggestion::Unknown => "remove it; ".to_owned(),
    };
    let message = format!("unknown {noun} `{}` in `{place}`", sanitize(name));
    Error::usage(message).help(format!("{advice}run `train --help` for all {noun}s"))
}
