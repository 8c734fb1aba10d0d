//! `hyperparameters.json`: SageMaker's map of strings to command line arguments, and back.
//!
//! | in the file | means |
//! |---|---|
//! | `"10"`, `"\"10\""`, `10` | `10` |
//! | `"english"`, `"\"english\""`, and once more | `english` |
//! | `"True"`, `"true"`, `true` | `true` |
//! | `"None"`, `"null"`, `null` | not given: the default |
//! | `"[1, 2]"`, `[1, 2]` | the option twice, with `1` and with `2` |
//! | `"{\"b\": 2, \"a\": 1}"` | the option twice, with `a=1` and with `b=2` |
//!
//! `sagemaker_*` and `_tuning_objective_metric` are SageMaker's own and are left out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decode::{self, Value};
use crate::{Error, file, limits};

const EXPECTED: &str = r#"one object of strings, such as {"min_df": "5", "stopwords": "english"}"#;

/// A hyperparameter that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hyperparameter {
    /// The name as it stands in the file: `min_df`.
    pub name: String,
    /// The decoded value.
    pub value: Value,
}

/// Reads the file; one that does not exist has no hyperparameters.
///
/// # Errors
/// If the file cannot be read, is not an object, has a name that is no option's name or stands
/// twice (`min_df` and `min-df` are the same option), or breaks SageMaker's limits.
pub fn read(path: &Path) -> Result<Vec<Hyperparameter>, Error> {
    match file::text(path)? {
        Some(text) => parse(&text, path),
        None => Ok(Vec::new()),
    }
}

/// As command line arguments, `--min-df=5`: with `=`, so that `-1` is a value and not an option.
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

/// The other direction, for `CreateTrainingJob` or for the file: every value as a string that
/// [`read`] (and AWS's Python toolkit) decodes to the same. `null` is left out.
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

/// A text as it is where that decodes to itself (SageMaker's console shows it), else in as many
/// pairs of quotes as it takes: [`decode::text`] takes off at most two.
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

/// SageMaker's pattern for a value is `.*`, and these end a line there. JSON allows them in
/// strings unescaped, and nowhere else.
fn one_line(json: &str) -> String {
    json.replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn parse(text: &str, path: &Path) -> Result<Vec<Hyperparameter>, Error> {
    let entries: Entries =
        serde_json::from_str(text).map_err(|error| file::invalid(path, &error, EXPECTED))?;
    let count = entries.0.len();
    if count > limits::MAX_HYPERPARAMETERS {
        return Err(Error::Json {
            path: path.to_owned(),
            found: format!(
                "{count} hyperparameters, SageMaker takes {}",
                limits::MAX_HYPERPARAMETERS
            ),
            expected: "only those that differ from their defaults",
        });
    }
    let mut first_spelling = BTreeMap::new();
    let mut hyperparameters = Vec::new();
    for (name, raw) in entries
        .0
        .into_iter()
        .filter(|(name, _)| !is_sagemakers(name))
    {
        let entry = |problem: String, help: String| Error::Entry {
            kind: "hyperparameter",
            name: name.clone(),
            path: path.to_owned(),
            problem,
            help,
        };
        check_entry(&name, &raw).map_err(|(problem, help)| entry(problem, help))?;
        if let Some(first) = first_spelling.insert(option(&name), name.clone()) {
            let problem = format!("stands there twice (first as `{first}`)");
            return Err(entry(problem, "keep one of the two".to_owned()));
        }
        if let Some(value) = decode::raw(&raw) {
            hyperparameters.push(Hyperparameter { name, value });
        }
    }
    Ok(hyperparameters)
}

/// What is wrong with an entry, and what to do.
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
        Err(Error::Limit {
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

fn is_sagemakers(name: &str) -> bool {
    name.starts_with("sagemaker_") || name == "_tuning_objective_metric"
}

/// The object's entries in their order: a map would drop the first of two equal names silently.
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
