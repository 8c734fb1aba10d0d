//! clap's errors in the form of all other messages.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use diagnostics::usage::{ALL_OPTIONS, tips, usage_error};
use diagnostics::{Error, sanitize};

use super::suggest::{self, Suggestion};
use crate::range::RangeError;

/// Converts an error of clap. The help line is ours for the common errors, otherwise clap's first
/// tip. `options`: names of the command's options.
pub(super) fn to_error(error: &clap::Error, options: &[String]) -> Error {
    if let Some(error) = range_error(error) {
        return error;
    }
    let rendered = error.render().to_string();
    let help = help(error, options)
        .or_else(|| tips(&rendered).next())
        .or_else(|| general_help(error, options));
    usage_error(&rendered).help(help.unwrap_or_else(|| ALL_OPTIONS.to_owned()))
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.as_str()),
        ContextValue::Strings(texts) => texts.first().map(String::as_str),
        _ => None,
    }
}

/// Returns the help line for errors about which clap has no tip.
fn general_help(error: &clap::Error, options: &[String]) -> Option<String> {
    let argument = context(error, ContextKind::InvalidArg)?;
    let flag = argument.split(' ').next()?;
    match error.kind() {
        ErrorKind::InvalidValue => Some(match context(error, ContextKind::ValidValue) {
            Some(_) => format!("choose one of these, or leave out {flag}"),
            None => format!("add a value, or leave out {flag}"),
        }),
        ErrorKind::ValueValidation => Some(format!("choose another value, or leave out {flag}")),
        ErrorKind::UnknownArgument if !argument.starts_with('-') => {
            let argument = sanitize(argument);
            match argument.to_lowercase().as_str() {
                "true" => {
                    return Some("leave out `true`: the flag before it takes no value".into());
                }
                "false" => {
                    let help = "leave out `false` and the flag before it, which takes no value; \
                                with `=`, such as --tune=false, it turns off a flag of a run file";
                    return Some(help.into());
                }
                _ => {}
            }
            Some(match options.iter().any(|option| option == "validation") {
                true => format!("pass data as `--train {argument}`, or leave it out"),
                false => format!("leave out `{argument}`"),
            })
        }
        _ => None,
    }
}

/// Returns the help line for the errors that clap explains too little or wrongly.
fn help(error: &clap::Error, options: &[String]) -> Option<String> {
    let text = |kind| context(error, kind);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let name = text(ContextKind::InvalidArg)?.strip_prefix("--")?;
            // A text that begins with dashes: clap's tip to put `--` before it is right.
            if name.contains(char::is_whitespace) {
                return None;
            }
            let name = name.split('=').next()?;
            Some(
                match suggest::option(name, options.iter().map(String::as_str)) {
                    Suggestion::Name(option) => format!("did you mean `--{option}`?"),
                    Suggestion::Unavailable => {
                        format!("leave it out: there is no such option here; {ALL_OPTIONS}")
                    }
                    Suggestion::NotNeeded(why) => format!("leave it out: {why}"),
                    Suggestion::Unknown => format!("leave it out; {ALL_OPTIONS}"),
                },
            )
        }
        ErrorKind::InvalidValue => {
            let ContextValue::Strings(values) = error.get(ContextKind::ValidValue)? else {
                return None;
            };
            let given = text(ContextKind::InvalidValue)?;
            let value = suggest::nearest(given, values.iter().map(String::as_str))?;
            Some(format!("did you mean `{value}`?"))
        }
        ErrorKind::ArgumentConflict => {
            let given = text(ContextKind::InvalidArg)?;
            Some(match text(ContextKind::PriorArg) {
                Some(other) if other != given => "leave out one of them".to_owned(),
                _ => format!("give `{}` once", given.split(' ').next()?),
            })
        }
        ErrorKind::MissingRequiredArgument => Some(format!("add what is missing; {ALL_OPTIONS}")),
        _ => None,
    }
}

/// Returns the error for a number that is not in the range of its option.
fn range_error(error: &clap::Error) -> Option<Error> {
    let range = error.source()?.downcast_ref::<RangeError>()?;
    let (Some(ContextValue::String(argument)), Some(ContextValue::String(value))) = (
        error.get(ContextKind::InvalidArg),
        error.get(ContextKind::InvalidValue),
    ) else {
        return None;
    };
    // Without the name of the value: `--min-df <N>`.
    let flag = argument.split(' ').next()?;
    let message = format!("{range} for {flag}, found `{}`", sanitize(value));
    Some(Error::usage(message).help(format!(
        "choose a number in this range, or leave out {flag}"
    )))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;
    use crate::range::integer;

    fn message(arguments: &[&str]) -> String {
        let command = Command::new("svm")
            .arg(
                Arg::new("min-df")
                    .long("min-df")
                    .value_parser(integer::<u8>(1..=8)),
            )
            .arg(
                Arg::new("kernel")
                    .long("kernel")
                    .value_parser(["linear", "rbf"]),
            )
            .arg(Arg::new("data").long("data").required(true));
        let error = command.try_get_matches_from([&["svm"], arguments].concat());
        let options = ["min-df", "kernel", "data"].map(str::to_owned);
        to_error(&error.unwrap_err(), &options).to_string()
    }

    #[test]
    fn all_errors_have_one_form() {
        let help = "help: did you mean `rbf`?";
        let invalid = |value: &str| {
            format!(
                "error: expected a whole number from 1 to 8 for --min-df, found `{value}`\n  \
                 help: choose a number in this range, or leave out --min-df"
            )
        };
        assert_eq!(
            message(&["--data", "d", "--min-df", "five"]),
            invalid("five")
        );
        assert_eq!(
            message(&["--data", "d", "--min-df", "don't"]),
            invalid("don't")
        );
        assert_eq!(
            message(&["--data", "d", "--min-fd", "5"]),
            "error: unexpected argument `--min-fd` found\n  help: did you mean `--min-df`?"
        );
        assert_eq!(
            message(&["--data", "d", "--kernel", "rfb"]),
            format!(
                "error: invalid value `rfb` for `--kernel <kernel>` [possible values: linear, rbf]\n  {help}"
            )
        );
        assert_eq!(
            message(&["--data", "d", "--data", "e"]),
            "error: the argument `--data <data>` cannot be used multiple times\n  \
             help: give `--data` once"
        );
        assert_eq!(
            message(&[]),
            format!(
                "error: the following required arguments were not provided: --data <data>\n  \
                 help: add what is missing; {ALL_OPTIONS}"
            )
        );
    }
}
