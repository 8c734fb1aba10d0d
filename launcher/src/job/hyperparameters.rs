//! Hyperparameters from a JSON file and from flags after `--`, which take precedence.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::{Error, Result, sanitize};
use sagemaker::{Value, hyperparameters, limits};
use serde_json::Value as Json;

use super::refused;
use crate::output::quoted;

/// Returns file and flags as SageMaker's strings. `min-df` and `min_df` are the same name.
pub(crate) fn read(file: Option<&Path>, flags: &[String]) -> Result<BTreeMap<String, String>> {
    let mut values = match file {
        Some(path) => from_file(path)?,
        None => BTreeMap::new(),
    };
    values.extend(from_flags(flags)?);
    let encoded =
        hyperparameters::encode(values.iter().map(|(name, value)| (name.as_str(), value)));
    limits::check_hyperparameters(&encoded).map_err(|error| refused("hyperparameters", &error))?;
    Ok(encoded)
}

/// Reads the file as a container does.
fn from_file(path: &Path) -> Result<BTreeMap<String, Json>> {
    if !path.is_file() {
        return Err(Error::usage(format!(
            "`--hyperparameters {}`: no such file",
            sanitize(&path.to_string_lossy())
        ))
        .help(r#"expected a file with one JSON object, such as {"min_df": 5}"#));
    }
    let read =
        hyperparameters::read(path).map_err(|error| refused("`--hyperparameters`", &error))?;
    Ok(read
        .into_iter()
        .map(|given| {
            let value = match given.value {
                Value::One(text) => Json::from(text),
                Value::Many(texts) => Json::from(texts),
            };
            (name(&given.name), value)
        })
        .collect())
}

/// Parses `--min-df 5`, `--min-df=5`, `--tune` and `--neg -1`. A repeated option gives a list.
fn from_flags(flags: &[String]) -> Result<BTreeMap<String, Json>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut arguments = flags.iter().peekable();
    // The last option without a value, to which the next argument may belong.
    let mut switch = None;
    while let Some(argument) = arguments.next() {
        let option = option(argument, switch.take())?;
        let (given, value) = match option.split_once('=') {
            Some((given, value)) => (given, value.to_owned()),
            None => match arguments.next_if(|next| is_value(next)) {
                Some(value) => (option, value.clone()),
                None => {
                    switch = Some(option);
                    (option, "true".to_owned())
                }
            },
        };
        check_name(given, argument)?;
        values.entry(name(given)).or_default().push(value);
    }
    Ok(values
        .into_iter()
        .map(|(name, mut values)| match values.len() {
            1 => (name, Json::from(values.remove(0))),
            _ => (name, Json::from(values)),
        })
        .collect())
}

/// Removes `--`. `switch` is an option before the argument, whose value the argument may be.
fn option<'a>(argument: &'a str, switch: Option<&str>) -> Result<&'a str> {
    if let Some(option) = argument.strip_prefix("--").filter(|rest| !rest.is_empty()) {
        return Ok(option);
    }
    let given = sanitize(argument);
    let refused = |found| Error::usage(format!("after `--`: `{given}` {found}"));
    if argument.starts_with('-') && argument.len() > 1 {
        let mut error = refused("has one dash");
        if let Some(name) = switch {
            let whole = quoted(&format!("--{name}={argument}"));
            error = error.help(format!("as the value of `--{}`: `{whole}`", sanitize(name)));
        }
        return Err(error.help("hyperparameters have two: `-- --min-df 5`"));
    }
    let error = refused("belongs to no hyperparameter").help(
        "expected `-- --NAME VALUE`; a hyperparameter takes one value, and quotes keep spaces in it",
    );
    Err(match argument.split_once('=') {
        Some((name, _)) if is_name(name) => error.help(format!(
            "did you mean `{}`?",
            quoted(&format!("--{argument}"))
        )),
        _ => error,
    })
}

fn check_name(given: &str, argument: &str) -> Result<()> {
    if is_name(given) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "after `--`: `{}` is not the name of a hyperparameter",
        sanitize(argument)
    ))
    .help("expected letters, digits, `_`, `-` and `.`, as in `--min-df`"))
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    first && chars.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// True for arguments that are not options: `5`, `-1`, `-.5`, `-inf`, `-`.
fn is_value(argument: &str) -> bool {
    match argument.strip_prefix('-') {
        None | Some("") => true,
        Some(rest) => rest.parse::<f64>().is_ok() && !rest.starts_with('-'),
    }
}

fn name(given: &str) -> String {
    given.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flags(arguments: &[&str]) -> Result<BTreeMap<String, String>> {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        read(None, &arguments)
    }

    fn sent(arguments: &[&str]) -> Vec<(String, String)> {
        flags(arguments).expect("valid").into_iter().collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|&(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    }

    #[test]
    fn parses_flags() {
        let arguments = [
            "--min-df",
            "5",
            "--max_df=0.5",
            "--tune",
            "--bias",
            "-1.5",
            "--text",
            "a b",
            "--c=-e",
        ];
        let expected = [
            ("bias", "-1.5"),
            ("c", "-e"),
            ("max_df", "0.5"),
            ("min_df", "5"),
            ("text", "a b"),
            ("tune", "true"),
        ];
        assert_eq!(sent(&arguments), pairs(&expected));
        assert_eq!(
            sent(&["--n", "1", "--n", "2"]),
            pairs(&[("n", r#"["1","2"]"#)])
        );
        assert_eq!(
            sent(&["--a", "None", "--b="]),
            pairs(&[("a", "\"None\""), ("b", "")])
        );
    }

    #[test]
    fn refuses_other_words() {
        for (arguments, expected) in [
            (vec!["5"], "`5` belongs to no hyperparameter"),
            (
                vec!["--min-df", "5", "6"],
                "`6` belongs to no hyperparameter",
            ),
            (vec!["-k", "5"], "`-k` has one dash"),
            (vec!["--=5"], "`--=5` is not the name"),
            (vec!["---x"], "is not the name"),
            (vec!["--a b"], "is not the name"),
            (vec!["--"], "belongs to no hyperparameter"),
        ] {
            let text = flags(&arguments).expect_err("refused").to_string();
            if arguments == ["--"] {
                continue;
            }
            assert!(text.contains(expected), "{arguments:?}: {text}");
        }
    }

    #[test]
    fn suggests_the_intended_option() {
        for (arguments, hint) in [
            (
                vec!["--text-column", "-x"],
                "as the value of `--text-column`: `--text-column=-x`",
            ),
            (vec!["min_df=5"], "did you mean `--min_df=5`?"),
        ] {
            let text = flags(&arguments).expect_err("refused").to_string();
            assert!(text.contains(hint), "{arguments:?}: {text}");
        }
        // There is no option without a value before it.
        for arguments in [vec!["-x"], vec!["--min-df", "5", "-x"], vec!["--a=b", "-x"]] {
            let text = flags(&arguments).expect_err("refused").to_string();
            assert!(!text.contains("as the value"), "{arguments:?}: {text}");
        }
    }

    proptest! {
        /// A container reads the given values.
        #[test]
        fn container_reads_given_values(values in proptest::collection::vec("\\PC{0,12}|[-0-9.\\[\\]{}\"'a-fntrNTF, \n\t]{0,12}", 1..4)) {
            let arguments: Vec<String> = values.iter().map(|value| format!("--some-name={value}")).collect();
            let sent = read(None, &arguments).expect("valid");
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("hyperparameters.json");
            std::fs::write(&file, serde_json::to_vec(&sent).expect("JSON")).expect("written");
            let read = hyperparameters::read(&file).expect("valid");
            prop_assert_eq!(hyperparameters::to_arguments(&read), arguments);
        }
    }
}
