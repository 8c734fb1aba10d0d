use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A hyperparameter's value as text for the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string, a number as it was written, `true` or `false`.
    One(String),
    /// The elements of a list, or the `key=value` pairs of a map in the order of their keys.
    Many(Vec<String>),
}

/// Decodes the string that SageMaker hands over; `None` means not given.
///
/// Python's SDK sends either `str(value)` (`True`, `None`) or JSON (`true`, `null`, `"text"`),
/// and users who were told to send JSON send it twice. What is not JSON is the value itself.
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

/// Decodes the value as it stands in the file, where hand-written files have numbers and lists.
pub(crate) fn raw(raw: &RawValue) -> Option<Value> {
    match serde_json::from_str::<String>(raw.get()) {
        Ok(inner) => text(&inner),
        Err(_) => json(raw.get()),
    }
}

/// Decodes valid JSON. A string in quotes is text even if it reads `None` or `12`, but a string
/// in two pairs of quotes was encoded twice.
fn json(json: &str) -> Option<Value> {
    // Of valid JSON, each of these fails only for other kinds (or a lone surrogate in a string,
    // which no command line can hold: it stays as it is written).
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

/// The text of a list's element: a string without its quotes, all else as it was written.
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
    fn every_form_that_users_send() {
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
    fn deep_nesting_is_text_and_no_stack_overflow() {
        let deep = "[".repeat(100_000);
        assert_eq!(text(&deep), one(&deep));
        let closed = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(text(&closed).is_some());
    }
}
