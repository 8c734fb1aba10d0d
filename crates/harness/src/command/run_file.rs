//! The run file: options of `train` in TOML, read with `--config` and written beside a model.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use diagnostics::{Error, sanitize};
use sagemaker::{Hyperparameter, Value};
use toml::de::{DeInteger, DeTable, DeValue};

use super::clap_error;
use super::describe::{ValueType, typed, value_type};
use super::hyperparameters::Entry;
use crate::model_dir::RUN_FILE_START;

/// The option that names a run file. It is in no run file.
pub(super) const OPTION: &str = "config";

/// Returns the value of `--config`, of the first if there are several, which clap refuses.
pub(super) fn path(arguments: &[OsString]) -> Option<PathBuf> {
    let mut words = arguments.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        match word.as_bytes().strip_prefix(b"--config") {
            Some([]) => return words.next().map(PathBuf::from),
            Some([b'=', path @ ..]) => return Some(PathBuf::from(OsStr::from_bytes(path))),
            _ => {}
        }
    }
    None
}

/// Reads the options of a run file and checks type and range of each value. `find` returns the
/// argument of `train` with a name.
///
/// # Errors
/// The file cannot be read, is not TOML, or has a value that its option does not accept.
pub(super) fn read<'a>(
    path: &Path,
    train: &Command,
    find: impl Fn(&str) -> Option<&'a Arg>,
) -> Result<Vec<Entry>, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let place = |at: usize| {
        let line = 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
        format!("{}:{line}", sanitize(&path.to_string_lossy()))
    };
    let table = DeTable::parse(&text).map_err(|error| {
        let place = place(error.span().map_or(0, |span| span.start));
        let message = format!("`{place}` is not TOML: {}", sanitize(error.message()));
        Error::usage(message).help("write one option in a line, such as `text_column = \"review\"`")
    })?;
    let mut entries = Vec::new();
    for (name, value) in table.get_ref().iter() {
        let place = place(name.span().start);
        let name = name.get_ref().to_string();
        let value = match find(&name.replace('_', "-")) {
            Some(arg) => checked(train, arg, &name, value.get_ref(), &place)?,
            // The name is refused later, with a suggestion.
            None => Value::One(String::new()),
        };
        let option = Hyperparameter { name, value };
        entries.push(Entry { option, place });
    }
    Ok(entries)
}

/// Returns a value as text for the command line.
fn checked(
    train: &Command,
    arg: &Arg,
    name: &str,
    found: &DeValue<'_>,
    place: &str,
) -> Result<Value, Error> {
    let expected = value_type(arg);
    let scalar = |found: &DeValue<'_>| {
        let text = scalar(expected, found).ok_or_else(|| wrong_type(arg, name, found, place))?;
        accepts(train, arg, &text, place).map(|()| text)
    };
    match found {
        DeValue::Array(values) => {
            let values = values.iter().map(|value| scalar(value.get_ref()));
            values.collect::<Result<_, _>>().map(Value::Many)
        }
        found => scalar(found).map(Value::One),
    }
}

/// Returns the text of a value of the expected type.
fn scalar(expected: ValueType, found: &DeValue<'_>) -> Option<String> {
    let (text, fits) = match found {
        DeValue::Boolean(flag) => (flag.to_string(), expected == ValueType::Boolean),
        DeValue::String(text) => (
            text.to_string(),
            matches!(expected, ValueType::Text | ValueType::Other),
        ),
        DeValue::Integer(number) => (
            decimal(number),
            !matches!(expected, ValueType::Boolean | ValueType::Text),
        ),
        DeValue::Float(number) => (
            number.to_string(),
            matches!(expected, ValueType::Number | ValueType::Other),
        ),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    };
    fits.then_some(text)
}

/// Returns a whole number, which may be in hexadecimal, octal or binary digits, in decimal ones.
fn decimal(number: &DeInteger<'_>) -> String {
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) if number.radix() != 10 => value.to_string(),
        _ => number.to_string(),
    }
}

fn wrong_type(arg: &Arg, name: &str, found: &DeValue<'_>, place: &str) -> Error {
    let (expected, example) = match value_type(arg) {
        ValueType::Boolean => ("a boolean", "true"),
        ValueType::Integer => ("a whole number", "5"),
        ValueType::Number => ("a number", "0.1"),
        ValueType::Other if arg.get_possible_values().is_empty() => {
            ("a string or a number", "\"...\"")
        }
        ValueType::Text | ValueType::Other => ("text", "\"...\""),
    };
    let name = sanitize(name);
    Error::usage(format!(
        "expected {expected} for `{name}` in `{place}`, found {} `{}`",
        match found.type_str() {
            kind @ ("integer" | "array") => format!("an {kind}"),
            kind => format!("a {kind}"),
        },
        shown(found),
    ))
    .help(format!("write `{name} = {example}`, or see `train --help`"))
}

/// Returns a value for a message.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => sanitize(text).into_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "[...]".to_owned(),
        DeValue::Table(_) => "{...}".to_owned(),
    }
}

/// Checks a value with the parser of its option, to name the line in the error.
fn accepts(train: &Command, arg: &Arg, value: &str, place: &str) -> Result<(), Error> {
    let option = arg.get_long().unwrap_or_default();
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Ok(());
    }
    let arguments = ["train".to_owned(), format!("--{option}={value}")];
    let is_value = |error: &clap::Error| {
        matches!(
            error.kind(),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation
        )
    };
    match train.clone().try_get_matches_from(arguments) {
        Err(error) if is_value(&error) => {
            Err(clap_error::to_error(&error, &[]).context(&format!("`{place}`")))
        }
        _ => Ok(()),
    }
}

/// Returns the run file of a training: the options that were given, in the order of the help.
pub(super) fn text(program: &str, train: &Command, matches: &ArgMatches) -> String {
    let mut text = format!(
        "{RUN_FILE_START}. To train it again:\n#   {program} train --config run.toml\n\
         # Options on the command line take precedence. Paths are relative to the folder in which\n\
         # the command runs.\n"
    );
    for arg in train.get_arguments() {
        let id = arg.get_id().as_str();
        let given = matches.value_source(id) == Some(ValueSource::CommandLine);
        let (Some(name), true) = (arg.get_long(), given && id != OPTION) else {
            continue;
        };
        let values = matches.get_raw(id).into_iter().flatten();
        let values: Option<Vec<String>> = values
            .map(|value| Some(toml_value(train, arg, value.to_str()?)))
            .collect();
        let name = name.replace('-', "_");
        text += &match values {
            None => format!("# {name} is not UTF-8: pass it on the command line\n"),
            Some(values) if values.len() > 1 => format!("{name} = [{}]\n", values.join(", ")),
            Some(values) => format!("{name} = {}\n", values.concat()),
        };
    }
    text
}

/// Returns a value in TOML. A number that the option would read as another text stays text.
fn toml_value(train: &Command, arg: &Arg, value: &str) -> String {
    let json = typed(train, arg.get_id().as_str(), value);
    let is_text = matches!(value_type(arg), ValueType::Text | ValueType::Other);
    let typed = json.to_string();
    if !json.is_string() && (!is_text || typed == value) {
        return typed;
    }
    // JSON does not escape this control character, TOML does; all other escapes are the same.
    serde_json::Value::from(value)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::{integer, number};

    fn train() -> Command {
        let arg = |name: &'static str| Arg::new(name).long(name);
        Command::new("train").args([
            arg("config"),
            arg("train"),
            arg("min-df").value_parser(integer::<u64>(1..=99)),
            arg("alpha").value_parser(number(0.0..1.0)),
            arg("loss").value_parser(["hinge", "log"]),
            arg("tune").action(ArgAction::SetTrue),
            arg("column").action(ArgAction::Append),
            arg("word").action(ArgAction::Append),
            arg("delimiter").value_parser(|value: &str| value.parse::<char>()),
        ])
    }

    fn read_text(text: &str) -> Result<Vec<Hyperparameter>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let train = train();
        let find = |name: &str| {
            train
                .get_arguments()
                .find(|arg| arg.get_long() == Some(name))
        };
        let name = file.path().display().to_string();
        match read(file.path(), &train, find) {
            Ok(entries) => Ok(entries.into_iter().map(|entry| entry.option).collect()),
            Err(error) => Err(error.to_string().replace(&name, "run.toml")),
        }
    }

    #[test]
    fn written_options_are_read_again() {
        let given = [
            "train",
            "--train",
            "my \"data\"\\a\u{7f}.csv",
            "--config=old.toml",
            "--min-df=7",
            "--alpha",
            "1e-4",
            "--loss=log",
            "--tune",
            "--column=a",
            "--column=7",
            "--word=one",
        ];
        let train = train();
        let matches = train.clone().try_get_matches_from(given).unwrap();
        let written = text("svm", &train, &matches);
        let body: Vec<&str> = written
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(
            body,
            [
                r#"train = "my \"data\"\\a\u007F.csv""#,
                "min_df = 7",
                "alpha = 0.0001",
                r#"loss = "log""#,
                "tune = true",
                r#"column = ["a", "7"]"#,
                r#"word = "one""#,
            ]
        );
        let read = read_text(&written).unwrap();
        let mut flags = sagemaker::hyperparameters::to_arguments(&read);
        flags.sort();
        assert_eq!(
            flags,
            [
                "--alpha=0.0001",
                "--column=7",
                "--column=a",
                "--loss=log",
                "--min-df=7",
                "--train=my \"data\"\\a\u{7f}.csv",
                "--tune=true",
                "--word=one",
            ]
        );
    }

    #[test]
    fn errors_name_line_and_remedy() {
        for (text, expected) in [
            (
                "# a comment\nmin_df = \"5\"\n",
                "error: expected a whole number for `min_df` in `run.toml:2`, \
                 found a string `5`\n  help: write `min_df = 5`, or see `train --help`",
            ),
            (
                "train = 7",
                "error: expected text for `train` in `run.toml:1`, found an integer `7`\n  \
                 help: write `train = \"...\"`, or see `train --help`",
            ),
            (
                "delimiter = true",
                "error: expected a string or a number for `delimiter` in `run.toml:1`, found a \
                 boolean `true`\n  help: write `delimiter = \"...\"`, or see `train --help`",
            ),
            (
                "loss = true",
                "error: expected text for `loss` in `run.toml:1`, found a boolean `true`\n  \
                 help: write `loss = \"...\"`, or see `train --help`",
            ),
            (
                "tune = 1",
                "error: expected a boolean for `tune` in `run.toml:1`, found an integer `1`\n  \
                 help: write `tune = true`, or see `train --help`",
            ),
            (
                "[alpha]\nx = 1",
                "error: expected a number for `alpha` in `run.toml:1`, found a table `{...}`\n  \
                 help: write `alpha = 0.1`, or see `train --help`",
            ),
            (
                "\nmin_df = 100",
                "error: `run.toml:2`: expected a whole number from 1 to 99 for --min-df, \
                 found `100`\n  help: choose a number in this range, or leave out --min-df",
            ),
        ] {
            assert_eq!(read_text(text).unwrap_err(), expected, "{text}");
        }
        let error = read_text("loss = \"logg\"").unwrap_err();
        assert!(
            error.starts_with("error: `run.toml:1`: invalid value `logg`")
                && error.contains("help: did you mean `log`?"),
            "{error}"
        );
        let error = read_text("train = \"a\"\nmin_df 5").unwrap_err();
        assert!(
            error.starts_with("error: `run.toml:2` is not TOML: "),
            "{error}"
        );
    }

    /// `seed = 0x10` was not a whole number; the help about a file in UTF-16 named the disk.
    #[test]
    fn whole_numbers_have_any_base_and_files_are_utf_8() {
        for text in ["0x1f", "0o37", "0b1_1111", "31"] {
            let read = read_text(&format!("min_df = {text}")).unwrap();
            assert_eq!(read[0].value, Value::One("31".to_owned()), "{text}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"\xff\xfes\0").unwrap();
        let error = read(file.path(), &train(), |_| None).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("help: save the file as UTF-8"), "{error}");
    }

    #[test]
    fn path_is_found_in_both_forms() {
        let find = |words: &str| {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            path(&words)
        };
        assert_eq!(find("svm train --config a.toml"), Some("a.toml".into()));
        assert_eq!(find("svm train --config=a.toml"), Some("a.toml".into()));
        for none in [
            "svm train --config",
            "svm train -- --config a",
            "svm train --configs a",
        ] {
            assert_eq!(find(none), None, "{none}");
        }
    }
}
