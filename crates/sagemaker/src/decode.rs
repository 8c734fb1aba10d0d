//! Decodes the values of hyperparameters.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Value of a hyperparameter as text for the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string, a number verbatim, `true` or `false`.
    One(String),
    /// The elements of a list, or the `key=value` pairs of a map in the order of their keys.
    Many(Vec<String>),
}

/// Decodes a string from SageMaker. `None` means not given.
///
/// Python's SDK sends either `str(value)` (`True`, `None`) or JSON (`true`, `null`, `"text"`),
/// and some users encode JSON twice. A string that is not JSON is the value itself.
pub(crate) fn text(text: &str) -> Option<Value> {
    match text {
        "None" => return None,
        "True" => return Some(Value::One("true".to_owned())),
        "False" => return Some(Value::One("false".to_owned())),
        _ => {}
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => json(raw.get()),
        Err(_) => Some(Value::One(text.to_owned())),
    }
}

/// Decodes a JSON value of the file. Hand-written files also have numbers and lists.
pub(crate) fn raw(raw: &RawValue) -> Option<Value> {
    match serde_json::from_str::<String>(raw.get()) {
        Ok(inner) => text(&inner),
        Err(_) => json(raw.get()),
    }
}

/// Decodes valid JSON. A string in quotes is text, even `None` or `12`. A string in two pairs of
/// quotes was encoded twice.
fn json(json: &str) -> Option<Value> {
    // For valid JSON, these fail only for other types, and for strings with a lone surrogate. These
    // cannot be passed on a command line and stay encoded.
    if json == "null" {
        None
    } else if let Ok(once) = serde_json::from_str::<String>(json) {
        Some(Value::One(serde_json::from_str(&once).unwrap_or(once)))
    } else if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(json) {
        Some(Value::Many(list.into_iter().map(element).collect()))
    } else if let Ok(map) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) {
        Some(Value::Many(
            map.into_iter()
                .map(|(k, v)| format!("{k}={}", element(v)))
                .collect(),
        ))
    } else {
        Some(Value::One(json.to_owned()))
    }
}

/// Returns the text of a list element: strings without quotes, other values verbatim.
fn element(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> Option<Value> {
        Some(Value::One(value.to_owned()))
    }

    fn many(values: &[&str]) -> Option<Value> {
        Some(Value::Many(values.iter().map(|&v| v.to_owned()).collect()))
    }

    #[test]
    fn decodes_all_common_forms() {
        let cases = [
            ("10", one("10")),
            (" 10 ", one("10")),
            ("\"10\"", one("10")),
            ("english", one("english")),
            ("\"english\"", one("english")),
            (r#""\"english\"""#, one("english")),
            (r#""\"10\"""#, one("10")),
            ("True", one("true")),
            ("False", one("false")),
            ("true", one("true")),
            ("\"True\"", one("True")),
            ("None", None),
            ("null", None),
            ("\"None\"", one("None")),
            ("\"null\"", one("null")),
            ("none", one("none")),
            ("", one("")),
            ("\"\"", one("")),
            ("[1, 2]", many(&["1", "2"])),
            (
                r#"["a", "b,c", null, [1, 2]]"#,
                many(&["a", "b,c", "null", "[1, 2]"]),
            ),
            ("[]", many(&[])),
            (r#"{"neg": 2, "a b": "x"}"#, many(&["a b=x", "neg=2"])),
            ("[1, 2", one("[1, 2")),
            ("['a']", one("['a']")),
            ("1e400", one("1e400")),
            ("0.10", one("0.10")),
            ("-1", one("-1")),
            ("12345678901234567890123", one("12345678901234567890123")),
            ("0x10", one("0x10")),
            ("NaN", one("NaN")),
            ("10 20", one("10 20")),
            (r#""\ud800""#, one(r#""\ud800""#)),
        ];
        for (input, output) in cases {
            assert_eq!(text(input), output, "{input}");
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = "[".repeat(100_000);
        assert_eq!(text(&deep), one(&deep));
        let closed = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(text(&closed).is_some());
    }
}
