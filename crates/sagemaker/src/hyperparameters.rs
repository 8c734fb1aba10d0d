//! `hyperparameters.json`: SageMaker's map of strings to command line arguments, and back.
//!
//! | in the file | means |
//! |---|---|
//! | `"10"`, `"\"10\""`, `10` | `10` |
//! | `"english"`, `"\"english\""`, encoded twice | `english` |
//! | `"True"`, `"true"`, `true` | `true` |
//! | `"None"`, `"null"`, `null` | not given: the default |
//! | `"[1, 2]"`, `[1, 2]` | the option twice, with `1` and with `2` |
//! | `"{\"b\": 2, \"a\": 1}"` | the option twice, with `a=1` and with `b=2` |
//!
//! `sagemaker_*` and `_tuning_objective_metric` are reserved by SageMaker and skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decode::{self, Value};
use crate::{ContractError, file, limits};

const EXPECTED: &str = r#"one object of strings, such as {"min_df": "5", "stopwords": "english"}"#;

/// A hyperparameter that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hyperparameter {
    /// Name in the file: `min_df`.
    pub name: String,
    /// Decoded value.
    pub value: Value,
}

/// Reads the file. A missing file means no hyperparameters.
///
/// # Errors
/// If the file cannot be read, is not an object, has an invalid or duplicate name (`min_df` and
/// `min-df` are the same option), or exceeds SageMaker's limits.
pub fn read(path: &Path) -> Result<Vec<Hyperparameter>, ContractError> {
    match file::text(path)? {
        Some(text) => parse(&text, path),
        None => Ok(Vec::new()),
    }
}

/// Converts to command line arguments: `--min-df=5`, with `=`, so that `-1` is not an option.
pub fn to_arguments(hyperparameters: &[Hyperparameter]) -> Vec<String> {
    let mut arguments = Vec::new();
    for Hyperparameter { name, value } in hyperparameters {
        let option = option(name);
        match value {
            Value::One(value) => arguments.push(format!("--{option}={value}")),
            Value::Many(values) => {
                arguments.extend(values.iter().map(|value| format!("--{option}={value}")));
            }
        }
    }
    arguments
}

/// Encodes values for `CreateTrainingJob` or the file, as strings that [`read`] and AWS's Python
/// toolkit decode to the same values. Omits `null`.
pub fn encode<'a>(
    values: impl IntoIterator<Item = (&'a str, &'a serde_json::Value)>,
) -> BTreeMap<String, String> {
    use serde_json::Value as Json;
    let mut encoded = BTreeMap::new();
    for (name, value) in values {
        let text = match value {
            Json::Null => continue,
            Json::String(text) => encode_text(text),
            other => one_line(&other.to_string()),
        };
        encoded.insert(name.to_owned(), text);
    }
    encoded
}

/// Returns the text unchanged if it decodes to itself, because SageMaker's console displays it.
/// Otherwise quotes it once or twice: [`decode::text`] removes at most two pairs of quotes.
fn encode_text(text: &str) -> String {
    let decodes = |encoded: &str| decode::text(encoded) == Some(Value::One(text.to_owned()));
    if decodes(text) && !text.chars().any(char::is_control) && one_line(text) == text {
        return text.to_owned();
    }
    let once = quote(text);
    if decodes(&once) { once } else { quote(&once) }
}

fn quote(text: &str) -> String {
    one_line(&serde_json::Value::from(text).to_string())
}

/// Escapes line separators: SageMaker's pattern for a value is `.*`, which excludes them. In JSON
/// they occur only in strings.
fn one_line(json: &str) -> String {
    json.replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn parse(text: &str, path: &Path) -> Result<Vec<Hyperparameter>, ContractError> {
    let entries: Entries =
        serde_json::from_str(text).map_err(|error| file::invalid(path, &error, EXPECTED))?;
    let count = entries.0.len();
    if count > limits::MAX_HYPERPARAMETERS {
        return Err(ContractError::Json {
            path: path.to_owned(),
            found: format!(
                "{count} hyperparameters; SageMaker allows {}",
                limits::MAX_HYPERPARAMETERS
            ),
            help: "expected only hyperparameters that differ from their defaults".to_owned(),
        });
    }
    let mut first_spelling = BTreeMap::new();
    let mut hyperparameters = Vec::new();
    for (name, raw) in entries.0.into_iter().filter(|(name, _)| !is_reserved(name)) {
        let entry = |problem: String, help: String| ContractError::Entry {
            kind: "hyperparameter",
            name: name.clone(),
            path: path.to_owned(),
            problem,
            help,
        };
        check_entry(&name, &raw).map_err(|(problem, help)| entry(problem, help))?;
        if let Some(first) = first_spelling.insert(option(&name), name.clone()) {
            let problem = format!("is given twice (first as `{first}`)");
            return Err(entry(problem, "keep one of the two".to_owned()));
        }
        if let Some(value) = decode::raw(&raw) {
            hyperparameters.push(Hyperparameter { name, value });
        }
    }
    Ok(hyperparameters)
}

/// Checks an entry; returns problem and help.
fn check_entry(name: &str, raw: &RawValue) -> Result<(), (String, String)> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    if !first || !chars.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
        let problem = "is not the name of an option: expected letters, digits, `_`, `-` and `.`";
        return Err((
            problem.to_owned(),
            "name it like the option, `min_df` for `--min-df`".to_owned(),
        ));
    }
    let value: String = serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
    match limits::check_hyperparameter(name, &value) {
        Err(ContractError::Limit {
            what,
            expected,
            found,
            help,
        }) => Err((
            format!("is too long ({what}: expected {expected}, found {found})"),
            help.to_owned(),
        )),
        _ => Ok(()),
    }
}

fn option(name: &str) -> String {
    name.replace('_', "-")
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("sagemaker_") || name == "_tuning_objective_metric"
}

/// Entries of the object, in order. A map would silently drop duplicate names.
struct Entries(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
