//! Extracts text, label and other values from JSON objects.

use std::collections::BTreeMap;
use std::fmt;

use diagnostics::quoted_for_shell;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
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

impl Cell {
    /// Returns the content, if there is any.
    pub(super) fn value(&self) -> Option<&str> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null | Self::Wrong(_) => None,
        }
    }
}

/// Returns the values of the keys `names` in an object; `None` for an absent one. A name with dots
/// is the path of a nested value, unless an object has a key with that name. Appends the names of
/// all keys to `keys`, if given.
pub(super) fn parse<'a>(
    json: &'a str,
    names: &[&str],
    keys: Option<&mut Vec<String>>,
) -> Result<Vec<Option<&'a RawValue>>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let values = ObjectSeed { names, keys }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(values)
}

/// Returns a text. Only strings: a number in the text column probably means the wrong column.
pub(super) fn text(value: Option<&RawValue>) -> Result<Cell, serde_json::Error> {
    Ok(match (cell(value)?, value) {
        (Cell::Value(_), Some(value)) if !value.get().starts_with('"') => {
            Cell::Wrong(kind(value.get()))
        }
        (cell, _) => cell,
    })
}

/// Returns a label.
pub(super) fn cell(value: Option<&RawValue>) -> Result<Cell, serde_json::Error> {
    let Some(raw) = value.map(RawValue::get) else {
        return Ok(Cell::Absent);
    };
    Ok(match raw.as_bytes().first() {
        Some(b'"') => Cell::Value(serde_json::from_str(raw)?),
        Some(b'n') => Cell::Null,
        Some(b'[' | b'{') => Cell::Wrong(kind(raw)),
        _ => Cell::Value(raw.to_owned()),
    })
}

/// Returns a value that is kept; true for JSON other than a string. Arrays and objects are kept as
/// JSON.
pub(super) fn kept(value: Option<&RawValue>) -> Result<(Cell, bool), serde_json::Error> {
    let is_json = value.is_some_and(|value| !value.get().starts_with('"'));
    Ok(match (cell(value)?, value) {
        (Cell::Wrong(_), Some(value)) => (Cell::Value(value.get().to_owned()), is_json),
        (cell, _) => (cell, is_json),
    })
}

/// Replaces the numbers in a list of labels by their names in the object `names`. Returns false, and
/// changes nothing, if it does not have all of them; `None` for an empty list.
pub(super) fn rename(labels: &mut Cell, names: Option<&RawValue>) -> Option<bool> {
    let Some(numbers) = labels.value().and_then(items) else {
        return Some(false);
    };
    let names: BTreeMap<String, String> = names
        .and_then(|names| serde_json::from_str(names.get()).ok())
        .unwrap_or_default();
    let name = |number: &&RawValue| names.get(number.get().trim_matches('"'));
    let found: Option<Vec<&String>> = numbers.iter().map(name).collect();
    let Some(found) = found else {
        return Some(false);
    };
    let is_named = (!found.is_empty()).then_some(true);
    *labels = Cell::Value(serde_json::json!(found).to_string());
    is_named
}

/// Refuses other layouts of JSON, by their first line.
pub(super) fn refuse_layout(
    line: &str,
    options: &ReadOptions,
    labels: Labels,
) -> Result<(), FileError> {
    let line = line.trim();
    let rows = line.strip_prefix('[').map(str::trim_start);
    if rows.is_some_and(|rows| rows.starts_with('[')) {
        return Err(array_of_arrays(options));
    }
    let found = match line {
        "{" => Some(("an object over several lines", ".".to_owned())),
        _ if several_objects(line.as_bytes()) => {
            Some(("several objects on a line", ".".to_owned()))
        }
        _ => one_object(line, options, labels),
    };
    let Some((what, filter)) = found else {
        return Ok(());
    };
    Err(other_layout(what, &filter))
}

fn other_layout(what: &str, filter: &str) -> FileError {
    FileError::unsupported(
        &format!("the file has {what}, expected one JSON object per line"),
        &format!(
            "convert it: jq -c {} FILE > FILE.jsonl",
            quoted_for_shell(filter)
        ),
    )
}

/// Returns the error that the rows are arrays in an array.
pub(super) fn array_of_arrays(options: &ReadOptions) -> FileError {
    let columns = [&options.text_column, &options.label_column];
    let [text, label] = columns.map(|name| serde_json::json!(name));
    let filter = format!(".[] | {{{text}: .[0], {label}: .[1]}}");
    other_layout("an array of arrays", &filter)
}

/// True if JSON begins as an array of objects, or is an empty array.
pub(super) fn begins_array(json: &[u8]) -> bool {
    let inner = json.trim_ascii_start().strip_prefix(b"[");
    let first = inner.and_then(|inner| inner.trim_ascii_start().first());
    matches!(first, Some(b'{' | b']'))
}

/// True if another object follows the first one, also on the same line, as Kinesis Firehose writes
/// them.
pub(super) fn several_objects(json: &[u8]) -> bool {
    let json = json.trim_ascii_start();
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<IgnoredAny>();
    let has_first = json.starts_with(b"{") && matches!(values.next(), Some(Ok(_)));
    let rest = json.get(values.byte_offset()..).unwrap_or_default();
    // A carriage return alone ends lines of old Macs: another message names it.
    let is_line_end = rest.starts_with(b"\r") && !rest.starts_with(b"\r\n");
    has_first && !is_line_end && rest.trim_ascii_start().starts_with(b"{")
}

/// Returns the first key of an array's first object.
pub(super) fn first_key(json: &[u8]) -> Option<String> {
    let inner = json.trim_ascii_start().strip_prefix(b"[")?;
    let object = inner.trim_ascii_start().strip_prefix(b"{")?;
    let mut keys = serde_json::Deserializer::from_slice(object).into_iter::<String>();
    keys.next()?.ok()
}

/// Key of augmented manifests with the address of a text.
const REFERENCE: &str = "source-ref";

/// Refuses augmented manifests whose texts are in other files.
pub(super) fn refuse_references(line: &str, options: &ReadOptions) -> Result<(), FileError> {
    let is_text = options.text_column == REFERENCE;
    let has = |keys: Object<'_>| {
        keys.contains_key(REFERENCE) && (is_text || !keys.contains_key(&options.text_column))
    };
    if !object(line).is_some_and(has) {
        return Ok(());
    }
    let help = "write the texts into it as `source`: while read -r row; do jq -c --arg text \
                \"$(aws s3 cp \"$(jq -r '.\"source-ref\"' <<< \"$row\")\" -)\" \
                '. + {source: $text}' <<< \"$row\"; done < FILE > NEW-FILE";
    Err(FileError::unsupported(
        "the manifest has the addresses of texts (`source-ref`), not the texts",
        help,
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

struct ObjectSeed<'a> {
    names: &'a [&'a str],
    keys: Option<&'a mut Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.names.len()];
        let mut nested = vec![None; self.names.len()];
        while let Some(key) = map.next_key::<String>()? {
            let value: &RawValue = map.next_value()?;
            for (at, name) in self.names.iter().enumerate() {
                let Some(rest) = name.strip_prefix(key.as_str()) else {
                    continue;
                };
                let (to, found) = match rest.strip_prefix('.') {
                    _ if rest.is_empty() => (&mut values[at], Some(value)),
                    Some(path) => {
                        let found = inside(value, path).map_err(A::Error::custom)?;
                        (&mut nested[at], found)
                    }
                    None => continue,
                };
                if to.is_some() && found.is_some() {
                    return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
                }
                *to = to.or(found);
            }
            if let Some(keys) = &mut self.keys {
                list_keys(key, value, MAX_DEPTH, keys);
            }
        }
        let values = values.into_iter().zip(nested);
        Ok(values.map(|(value, nested)| value.or(nested)).collect())
    }
}

/// Returns the value at a path inside of an object.
fn inside<'a>(value: &'a RawValue, path: &str) -> Result<Option<&'a RawValue>, serde_json::Error> {
    if !value.get().starts_with('{') {
        return Ok(None);
    }
    Ok(parse(value.get(), &[path], None)?.pop().flatten())
}

/// Returns the first part of a path that has another value than an object, and the value's type.
pub(super) fn not_an_object<'p>(json: &str, path: &'p str) -> Option<(&'p str, &'static str)> {
    let found = |at: usize| {
        let value = parse(json, &[&path[..at]], None).ok()?.pop().flatten()?;
        let is_other = !value.get().starts_with(['{', 'n']);
        is_other.then(|| (&path[..at], kind(value.get())))
    };
    path.match_indices('.').find_map(|(at, _)| found(at))
}

/// Depth to which the keys of nested objects are listed.
const MAX_DEPTH: usize = 4;

/// Appends a key; the keys inside of its value instead, if that is an object.
fn list_keys(key: String, value: &RawValue, depth: usize, keys: &mut Vec<String>) {
    match object(value.get()).filter(|inner| depth > 0 && !inner.is_empty()) {
        Some(inner) => {
            for (name, value) in inner {
                list_keys(format!("{key}.{name}"), value, depth - 1, keys);
            }
        }
        None => keys.push(key),
    }
}

fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(b'"') => "a string",
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

    /// Returns text and label.
    fn row(json: &str) -> Result<(Cell, Cell), serde_json::Error> {
        let values = parse(json, &["text", "label"], None)?;
        Ok((text(values[0])?, cell(values[1])?))
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
            assert_eq!(row(json).unwrap(), (text, label), "{json}");
        }
    }

    /// A name with dots is a path, unless a key has that name.
    #[test]
    fn paths_find_nested_values() {
        let found = |json: &str| {
            let values = parse(json, &["data.text", "a.b.c"], None).unwrap();
            let text = |value: Option<&RawValue>| value.map(|value| value.get().to_owned());
            values.into_iter().map(text).collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        for (json, first, second) in [
            (
                r#"{"data":{"text":"x","y":1},"a":{"b":{"c":2}}}"#,
                some("\"x\""),
                some("2"),
            ),
            (
                r#"{"data":{"text":"x"},"data.text":"y"}"#,
                some("\"y\""),
                None,
            ),
            (r#"{"a.b":{"c":1},"data":null}"#, None, some("1")),
            (r#"{"a":{"b.c":1},"data":[{"text":"x"}]}"#, None, some("1")),
            (r#"{"a":{"b":1},"data":{"Text":"x"}}"#, None, None),
        ] {
            assert_eq!(found(json), [first, second], "{json}");
        }
        let twice = parse(r#"{"a":{"b":1},"a":{"b":2}}"#, &["a.b"], None).unwrap_err();
        assert!(
            twice.to_string().starts_with("duplicate key `a`"),
            "{twice}"
        );
        let mut keys = Vec::new();
        let json = r#"{"id":1,"data":{"text":"x","meta":{}},"l":[{"z":1}]}"#;
        parse(json, &[], Some(&mut keys)).unwrap();
        assert_eq!(keys, ["id", "data.meta", "data.text", "l"]);
    }

    #[test]
    fn invalid_lines_are_refused() {
        let message = |json| row(json).unwrap_err().to_string();
        insta::assert_snapshot!(message(r#"{"text":"a","text":"b"}"#), @"duplicate key `text` at line 1 column 23");
        insta::assert_snapshot!(message(r#"["text"]"#), @"invalid type: sequence, expected an object at line 1 column 0");
        insta::assert_snapshot!(message(r#"{"text":"a"} x"#), @"trailing characters at line 1 column 14");
        insta::assert_snapshot!(message(r#"{"text":"a"#), @"EOF while parsing a string at line 1 column 10");
        insta::assert_snapshot!(message(r#"{"text":"\ud800"}"#), @"unexpected end of hex escape at line 1 column 8");
    }
}
