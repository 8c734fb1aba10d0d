//! SageMaker's hyperparameters become flags of the same parser; what is typed behind them wins.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, ArgGroup, Command, Id};
use diagnostics::{Error, sanitize};
use sagemaker::{Paths, Value, hyperparameters};

/// What the platform decides: a job whose model goes elsewhere ends well, costs money, and leaves nothing.
const NOT_FOR_JOBS: [&str; 7] = [
    "train",
    "validation",
    "test",
    "model_dir",
    "output_data_dir",
    "checkpoint_dir",
    "check",
];

/// Writes long flags with hyphens, whatever was typed, and puts the hyperparameters of a training job in front of the
/// arguments of `train`, but those that what was typed excludes.
pub(super) fn merge(
    command: &Command,
    paths: &Paths,
    arguments: Vec<OsString>,
) -> Result<Vec<OsString>, Error> {
    let mut arguments: Vec<OsString> = hyphenated(arguments);
    if arguments.get(1).is_none_or(|word| word != "train") {
        return Ok(arguments);
    }
    let found = hyperparameters::read(&paths.hyperparameters())?;
    let Some(train) = command.find_subcommand("train") else {
        return Ok(arguments);
    };
    let known = known_flags(train);
    let typed: Vec<&Flag> = known
        .iter()
        .filter(|flag| arguments.iter().any(|typed| flag.is(typed)))
        .collect();
    let mut kept = Vec::new();
    let mut seen: Vec<(String, Id)> = Vec::new();
    for mut hyperparameter in found {
        let name = hyperparameter.name.replace('_', "-");
        let Some(flag) = known.iter().find(|flag| flag.name == name) else {
            return Err(unknown(paths, &hyperparameter.name, &known));
        };
        if NOT_FOR_JOBS.contains(&flag.id.as_str()) {
            return Err(not_for_jobs(paths, &hyperparameter.name));
        }
        if let Some((first, _)) = seen.iter().find(|(_, id)| *id == flag.id) {
            return Err(twice(paths, first, &hyperparameter.name));
        }
        seen.push((hyperparameter.name.clone(), flag.id.clone()));
        if let (false, Value::Many(values)) = (flag.many, &hyperparameter.value) {
            return Err(not_one(paths, &hyperparameter.name, values.len()));
        }
        if let (true, Value::One(value)) = (flag.switch, &mut hyperparameter.value) {
            // Python's True, in however many quotes.
            value.make_ascii_lowercase();
        }
        if !typed.iter().any(|typed| excludes(train, typed, flag)) {
            kept.push(hyperparameter);
        }
    }
    let flags = hyperparameters::to_arguments(&kept)
        .into_iter()
        .map(OsString::from);
    arguments.splice(2..2, flags);
    Ok(arguments)
}

/// A long flag of `train`; an alias is one of its own.
struct Flag {
    name: String,
    /// The argument that it sets.
    id: Id,
    /// Whether it takes `true` or `false`.
    switch: bool,
    /// Whether it takes several values.
    many: bool,
}

impl Flag {
    /// Whether an argument of the command line is this flag.
    fn is(&self, typed: &OsStr) -> bool {
        let typed = typed.to_str().and_then(|typed| typed.strip_prefix("--"));
        typed.and_then(|typed| typed.split('=').next()) == Some(&self.name)
    }
}

/// Whether both are in a group of which only one may be given, as --alpha and --c are.
fn excludes(train: &Command, typed: &Flag, flag: &Flag) -> bool {
    let both = |group: &&ArgGroup| {
        [typed, flag]
            .iter()
            .all(|flag| group.get_args().any(|id| *id == flag.id))
    };
    typed.id != flag.id
        && train
            .get_groups()
            .filter(both)
            .any(|group| !group.clone().is_multiple())
}

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

fn known_flags(train: &Command) -> Vec<Flag> {
    let flags = train.get_arguments().flat_map(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        let values = argument.get_possible_values();
        let switch = values
            .iter()
            .map(|value| value.get_name())
            .eq(["true", "false"]);
        let names = argument.get_long().into_iter().chain(aliases);
        names.map(move |name| Flag {
            name: name.to_owned(),
            id: argument.get_id().clone(),
            switch,
            many: matches!(argument.get_action(), ArgAction::Append),
        })
    });
    flags.collect()
}

fn not_for_jobs(paths: &Paths, name: &str) -> Error {
    Error::usage(format!(
        "`{}` in `{}` is no hyperparameter: the platform decides where a job's files are",
        sanitize(name),
        paths.hyperparameters().display()
    ))
    .help("leave it out; data come through channels, and the model folder is uploaded at the end")
}

fn twice(paths: &Paths, first: &str, second: &str) -> Error {
    Error::usage(format!(
        "the hyperparameters `{}` and `{}` in `{}` are one and the same",
        sanitize(first),
        sanitize(second),
        paths.hyperparameters().display()
    ))
    .help("give one of them")
}

fn not_one(paths: &Paths, name: &str, values: usize) -> Error {
    Error::usage(format!(
            "expected one value for the hyperparameter `{}` in `{}`, found {values}",
            sanitize(name),
            paths.hyperparameters().display()
        )).help("give it once, with one value: lists and maps have several, and so has a flag that is typed twice")
}

fn unknown(paths: &Paths, name: &str, known: &[Flag]) -> Error {
    let flag = name.replace('_', "-");
    let near = |known: &str| strsim::jaro_winkler(known, &flag);
    let nearest = known
        .iter()
        .map(|flag| &flag.name)
        .max_by(|a, b| near(a).total_cmp(&near(b)));
    let nearest = nearest.map_or_else(String::new, |known| {
        format!("did you mean `{}`? ", known.replace('-', "_"))
    });
    let file = paths.hyperparameters();
    Error::usage(format!(
        "unknown hyperparameter `{}` in `{}`",
        sanitize(name),
        file.display()
    ))
    .help(format!("{nearest}`train --help` lists all of them"))
}
