//! Extracts text and label from a line of JSON.

use std::collections::BTreeMap;
use std::fmt;

use diagnostics::quoted_for_shell;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::input::FileError;
use crate::{Labels, ReadOptions, Source};

/// Value of the text or label key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Cell {
    /// The key is absent.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// Content of a string, or JSON text of a number or boolean.
    Value(String),
    /// Unsupported type, with its name.
    Wrong(&'static str),
}

/// Text and label of a line, and the values of the kept keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: Cell,
    pub(super) label: Cell,
    /// In the order of the kept keys; true for JSON other than a string.
    pub(super) kept: Vec<(Cell, bool)>,
}

/// Parses one line. Appends the names of all keys to `keys`, if given.
pub(super) fn parse(
    line: &str,
    text: &str,
    label: Option<&str>,
    keep: &[String],
    keys: Option<&mut Vec<String>>,
) -> Result<Line, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let seed = LineSeed {
        text,
        label,
        keep,
        keys,
    };
    let line = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(line)
}

/// Refuses other layouts of JSON, by their first line.
pub(super) fn refuse_layout(
    line: &str,
    options: &ReadOptions,
    labels: Labels,
) -> Result<(), FileError> {
    let line = line.trim();
    let found = if let Some(rest) = line.strip_prefix('[') {
        let rest = rest.trim_start();
        let array = rest.is_empty() || rest.starts_with('{');
        let rows = || {
            let columns = [&options.text_column, &options.label_column];
            let [text, label] = columns.map(|name| serde_json::json!(name));
            let filter = format!(".[] | {{{text}: .[0], {label}: .[1]}}");
            ("an array of arrays", filter)
        };
        match array {
            true => Some(("an array", ".[]".to_owned())),
            false => rest.starts_with('[').then(rows),
        }
    } else if line == "{" {
        Some(("an object over several lines", ".".to_owned()))
    } else {
        one_object(line, options, labels)
    };
    let Some((what, filter)) = found else {
        return Ok(());
    };
    Err(FileError::unsupported(
        &format!("the file has {what}, expected one JSON object per line"),
        &format!(
            "convert it: jq -c {} FILE > FILE.jsonl",
            quoted_for_shell(&filter)
        ),
    ))
}

/// Refuses a header of a CSV file in the place of the first object.
pub(super) fn refuse_csv(
    line: &str,
    source: &Source,
    options: &ReadOptions,
) -> Result<(), FileError> {
    let mut names = line.split([',', ';', '\t', '|']);
    let is_text = |name: &str| name.trim().trim_matches('"') == options.text_column;
    if line.starts_with('{') || !names.any(is_text) {
        return Ok(());
    }
    let help = match (source.path(), line.contains('\t')) {
        (None, _) => "pass --input-format csv",
        (Some(_), true) => "rename it to end in .tsv",
        (Some(_), false) => "rename it to end in .csv",
    };
    Err(FileError::unsupported(
        "the file begins with the header of a CSV file, expected JSON lines",
        help,
    ))
}

type Object<'a> = BTreeMap<String, &'a RawValue>;

fn object(json: &str) -> Option<Object<'_>> {
    serde_json::from_str(json).ok()
}

fn items(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

/// Recognises an object that has all rows instead of the columns: name of the layout, and the
/// filter of jq that converts it.
fn one_object(line: &str, options: &ReadOptions, labels: Labels) -> Option<(&'static str, String)> {
    let all = object(line)?;
    let is_row = |row: &Object<'_>| row.contains_key(&options.text_column);
    let has_label = labels != Labels::Ignored && all.contains_key(&options.label_column);
    if has_label || is_row(&all) {
        return None;
    }
    let first = |key: &str| {
        let items = items(all.get(key)?.get())?;
        Some(items.first()?.get().to_owned())
    };
    let is_array = |json: String| items(&json).is_some();
    if first("columns").is_some() && first("data").is_some_and(is_array) {
        // As pandas writes it with orient="split".
        let filter = ".columns as $names | .data[] | [$names, .] | transpose | \
                      map({key: .[0], value: .[1]}) | from_entries";
        return Some(("the rows as arrays in an object", filter.to_owned()));
    }
    let value = all.values().next().and_then(|value| object(value.get()));
    if value.is_some_and(|row| is_row(&row)) {
        return Some(("the rows as objects in an object", ".[]".to_owned()));
    }
    let has_rows = |key: &&String| {
        let row = first(key.as_str());
        let row = row.as_deref().and_then(object);
        row.is_some_and(|row| all.len() == 1 || is_row(&row))
    };
    let key = all.keys().find(has_rows)?;
    let filter = format!(".[{}][]", serde_json::json!(key));
    Some(("an array in an object", filter))
}

struct LineSeed<'a> {
    text: &'a str,
    label: Option<&'a str>,
    keep: &'a [String],
    keys: Option<&'a mut Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for LineSeed<'_> {
    type Value = Line;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Line, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LineSeed<'_> {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Line, A::Error> {
        let mut line = Line {
            kept: vec![<(Cell, bool)>::default(); self.keep.len()],
            ..Line::default()
        };
        while let Some(key) = map.next_key::<String>()? {
            let value: &RawValue = map.next_value()?;
            for (name, (to, is_json)) in self.keep.iter().zip(&mut line.kept) {
                if *name == key {
                    put(to, as_it_stands(value)?, &key)?;
                    *is_json = !value.get().starts_with('"');
                }
            }
            if key == self.text {
                // Only strings: a number in the text column probably means the wrong column.
                let cell = match cell(value)? {
                    Cell::Value(_) if !value.get().starts_with('"') => {
                        Cell::Wrong(kind(value.get()))
                    }
                    cell => cell,
                };
                put(&mut line.text, cell, &key)?;
            } else if self.label == Some(key.as_str()) {
                put(&mut line.label, cell(value)?, &key)?;
            }
            if let Some(keys) = &mut self.keys {
                keys.push(key);
            }
        }
        Ok(line)
    }
}

fn put<E: serde::de::Error>(to: &mut Cell, cell: Cell, key: &str) -> Result<(), E> {
    if *to != Cell::Absent {
        return Err(E::custom(format_args!("duplicate key `{key}`")));
    }
    *to = cell;
    Ok(())
}

fn cell<E: serde::de::Error>(value: &RawValue) -> Result<Cell, E> {
    let raw = value.get();
    Ok(match raw.as_bytes().first() {
        Some(b'"') => Cell::Value(serde_json::from_str(raw).map_err(E::custom)?),
        Some(b'n') => Cell::Null,
        Some(b'[' | b'{') => Cell::Wrong(kind(raw)),
        _ => Cell::Value(raw.to_owned()),
    })
}

/// As [`cell`], but arrays and objects are kept as JSON.
fn as_it_stands<E: serde::de::Error>(value: &RawValue) -> Result<Cell, E> {
    Ok(match cell(value)? {
        Cell::Wrong(_) => Cell::Value(value.get().to_owned()),
        cell => cell,
    })
}

fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(b't' | b'f') => "true or false",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Cell {
        Cell::Value(text.to_owned())
    }

    #[test]
    fn parses_all_value_types() {
        for (json, text, label) in [
            (r#"{"text":"a\nb","label":"x"}"#, value("a\nb"), value("x")),
            (
                r#"{"label": 1, "id": [1, {"text": 2}], "text": "\u00e9"}"#,
                value("é"),
                value("1"),
            ),
            (r#"{"text":null,"label":true}"#, Cell::Null, value("true")),
            (
                r#"{"text":7,"label":[1]}"#,
                Cell::Wrong("a number"),
                Cell::Wrong("an array"),
            ),
            (
                r#"{"text":false,"label":-1.50}"#,
                Cell::Wrong("true or false"),
                value("-1.50"),
            ),
            (r#"{"te\u0078t":"x","label":null}"#, value("x"), Cell::Null),
            ("{}", Cell::Absent, Cell::Absent),
        ] {
            assert_eq!(
                parse(json, "text", Some("label"), &[], None).unwrap(),
                Line {
                    text,
                    label,
                    kept: Vec::new()
                },
                "{json}"
            );
        }
    }

    #[test]
    fn invalid_lines_are_refused() {
        let message = |json| {
            parse(json, "text", Some("label"), &[], None)
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(message(r#"{"text":"a","text":"b"}"#), @"duplicate key `text` at line 1 column 23");
        insta::assert_snapshot!(message(r#"["text"]"#), @"invalid type: sequence, expected an object at line 1 column 0");
        insta::assert_snapshot!(message(r#"{"text":"a"} x"#), @"trailing characters at line 1 column 14");
        insta::assert_snapshot!(message(r#"{"text":"a"#), @"EOF while parsing a string at line 1 column 10");
        insta::assert_snapshot!(message(r#"{"text":"\ud800"}"#), @"unexpected end of hex escape at line 1 column 8");
    }
}
