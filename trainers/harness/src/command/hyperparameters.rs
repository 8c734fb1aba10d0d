//! SageMaker's hyperparameters become flags of the same parser; what is typed behind them wins.

use std::ffi::OsString;

use clap::Command;
use contract::{Hyperparameter, Paths, Value, hyperparameters, shown};

use crate::Failure;

/// Writes long flags with hyphens, whatever was typed, and puts the hyperparameters of a training job in front of the
/// arguments of `train`.
pub(super) fn merge(
    command: &Command,
    paths: &Paths,
    arguments: Vec<OsString>,
) -> Result<Vec<OsString>, Failure> {
    let mut arguments: Vec<OsString> = hyphenated(arguments);
    if arguments.get(1).is_none_or(|word| word != "train") {
        return Ok(arguments);
    }
    let mut found = hyperparameters::read(&paths.hyperparameters()).map_err(described)?;
    let known = known_flags(command);
    for Hyperparameter { name, value } in &mut found {
        let flag = name.replace('_', "-");
        let Some((_, switch)) = known.iter().find(|(known, _)| *known == flag) else {
            return Err(unknown(paths, name, &known));
        };
        if let (true, Value::One(value)) = (switch, value) {
            // Python's True, in whatever many quotes.
            value.make_ascii_lowercase();
        }
    }
    let flags = hyperparameters::to_arguments(&found).into_iter().map(OsString::from);
    arguments.splice(2..2, flags);
    Ok(arguments)
}

fn hyphenated(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut only_values = false;
    let one = |argument: OsString| {
        only_values |= argument == "--";
        match argument.to_str() {
            Some(text) if text.starts_with("--") && !only_values => {
                let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
                let name = name.replace('_', "-");
                value.map_or_else(|| name.clone(), |value| format!("{name}={value}")).into()
            }
            _ => argument,
        }
    };
    arguments.into_iter().map(one).collect()
}

/// Every long flag of `train`, aliases too, and whether it takes `true` or `false`.
fn known_flags(command: &Command) -> Vec<(String, bool)> {
    let train = command.find_subcommand("train");
    let arguments = train.into_iter().flat_map(Command::get_arguments);
    let names = arguments.flat_map(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        let values = argument.get_possible_values();
        let switch = values.iter().map(|value| value.get_name()).eq(["true", "false"]);
        argument.get_long().into_iter().chain(aliases).map(move |name| (name.to_owned(), switch))
    });
    names.collect()
}

fn unknown(paths: &Paths, name: &str, known: &[(String, bool)]) -> Failure {
    let flag = name.replace('_', "-");
    let near = |known: &str| strsim::jaro_winkler(known, &flag);
    let nearest = known.iter().map(|(known, _)| known).max_by(|a, b| near(a).total_cmp(&near(b)));
    let nearest = nearest.map_or_else(String::new, |known| format!("did you mean `{}`? ", known.replace('-', "_")));
    let file = paths.hyperparameters();
    Failure::usage(
        format!("unknown hyperparameter `{}` in `{}`", shown(name), file.display()),
        format!("{nearest}`train --help` lists all of them"),
    )
}

/// An error of the contract with its causes, as one failure.
pub(super) fn described(error: contract::Error) -> Failure {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(&error) {
        text = format!("{cause}: {text}");
    }
    Failure::Typed(format!("error: {text}"))
}
