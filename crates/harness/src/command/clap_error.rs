//! clap's errors in the form of all other messages.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue};
use diagnostics::usage::usage_error;
use diagnostics::{Error, sanitize};

use crate::range::RangeError;

/// Converts an error of clap; numbers out of their range have a message of their own.
pub(super) fn to_error(error: &clap::Error) -> Error {
    if let Some(error) = range_error(error) {
        return error;
    }
    usage_error(&error.render().to_string())
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
        to_error(&error.unwrap_err()).to_string()
    }

    #[test]
    fn all_errors_have_one_form() {
        let help = "help: run with --help for all options";
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
            "error: unexpected argument `--min-fd` found\n  help: a similar argument exists: `--min-df`"
        );
        assert_eq!(
            message(&["--data", "d", "--kernel", "rfb"]),
            format!(
                "error: invalid value `rfb` for `--kernel <kernel>` [possible values: linear, rbf]\n  {help}"
            )
        );
        assert_eq!(
            message(&[]),
            format!(
                "error: the following required arguments were not provided: --data <data>\n  {help}"
            )
        );
    }
}
