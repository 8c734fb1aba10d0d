//! Rows with several labels, or none.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::str::Chars;

use serde_json::value::RawValue;

use crate::ReadOptions;
use crate::audit;
use crate::json::{self, Cell};

/// Form of the labels of rows that may have several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultiLabel {
    /// Text between the labels in a field. `None`: a field is a list in JSON, or one label.
    pub separator: Option<String>,
    /// Names of further label columns. If there are any, each label column is a class whose rows
    /// have 1, and the others 0.
    pub other_columns: Vec<String>,
}

/// A value that is not of the expected form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongLabels {
    pub(super) column: String,
    pub(super) expected: &'static str,
    pub(super) found: String,
}

impl MultiLabel {
    /// True if a field is a list, or one label.
    pub(super) fn is_list(&self) -> bool {
        self.separator.is_none() && self.other_columns.is_empty()
    }

    /// Returns the [`name`] of the labels in the values of the label columns, of which the first
    /// one is named `column`. `is_list`: the only value is a list in JSON.
    pub(super) fn set(
        &self,
        column: &str,
        values: &[Option<&str>],
        is_list: bool,
    ) -> Result<String, WrongLabels> {
        let wrong = |column: &str, expected, found: Option<&str>| WrongLabels {
            column: column.to_owned(),
            expected,
            found: match found.unwrap_or_default().trim() {
                "" => "no value".to_owned(),
                found => format!("`{}`", diagnostics::sanitize(found)),
            },
        };
        if self.other_columns.is_empty() {
            let text = values.first().copied().flatten().unwrap_or_default();
            let separator = self.separator.as_deref().filter(|_| !is_list);
            return match separator {
                Some(separator) => Ok(name(text.split(separator).map(str::trim))),
                None => list(text).map_or_else(
                    || Err(wrong(column, expected_list(text), Some(text))),
                    |labels| Ok(name(labels.iter().map(String::as_str))),
                ),
            };
        }
        let mut set = Vec::new();
        let columns = std::iter::once(column).chain(self.other_columns.iter().map(String::as_str));
        for (column, value) in columns.zip(values) {
            match value.map(str::trim) {
                Some("0" | "0.0" | "false" | "False" | "FALSE") => {}
                Some("1" | "1.0" | "true" | "True" | "TRUE") => set.push(column),
                found => return Err(wrong(column, "0 or 1", found)),
            }
        }
        Ok(name(set.into_iter()))
    }
}

/// Returns the name of a set of labels: a list in JSON, in code point order, without blank labels.
pub(super) fn name<'a>(labels: impl Iterator<Item = &'a str>) -> String {
    let set: BTreeSet<&str> = labels.filter(|label| !audit::is_blank(label)).collect();
    serde_json::json!(set).to_string()
}

/// Returns the labels of a row with several, from its [`Row::label`](crate::Row::label).
pub fn labels_of(name: &str) -> Vec<String> {
    serde_json::from_str(name).unwrap_or_default()
}

/// Returns the label in the field, or in the set, `name` that is a word for a missing value, if any.
pub(super) fn missing_value(name: &str, options: &ReadOptions) -> Option<String> {
    let labels = match &options.multi_label {
        None => vec![name.to_owned()],
        Some(multi) if multi.other_columns.is_empty() => labels_of(name),
        // Names of columns.
        Some(_) => Vec::new(),
    };
    labels
        .into_iter()
        .find(|label| audit::is_missing_value(label))
}

/// Describes a list for a message about another `text`, such as an array of numpy: `['a' 'b']`.
fn expected_list(text: &str) -> &'static str {
    match text.contains("' '") || text.contains("\" \"") {
        true => "a list in JSON or Python (of an array of numpy, write `.tolist()`)",
        false => "a list of strings in JSON or Python",
    }
}

/// Returns the labels in a list of JSON or Python; a text that is not a list is one label.
fn list(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if !text.starts_with('[') {
        return Some(vec![text.to_owned()]);
    }
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
        return python_list(text);
    };
    let item = |item: &&RawValue| match json::cell(Some(*item)) {
        Ok(Cell::Value(label)) => Some(label),
        Ok(Cell::Null) => Some(String::new()),
        _ => None,
    };
    items.iter().map(item).collect()
}

/// Returns the strings in a list that Python printed, such as `['a', "b's"]`: pandas writes lists
/// so into CSV files. `None` is a blank label.
fn python_list(text: &str) -> Option<Vec<String>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let (mut labels, mut rest) = (Vec::new(), inner.trim());
    while !rest.is_empty() {
        let (label, after) = match rest.strip_prefix("None") {
            Some(after) => (String::new(), after),
            None => python_string(rest)?,
        };
        labels.push(label);
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(rest) => rest.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(labels)
}

/// Returns the string at the start of `text`, as Python prints it in a list, and the rest.
fn python_string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|char| "'\"".contains(*char))?;
    let (mut label, mut chars) = (String::new(), text[1..].chars());
    loop {
        match chars.next()? {
            '\\' => label.push(python_escape(&mut chars)?),
            char if char == quote => return Some((label, chars.as_str())),
            char => label.push(char),
        }
    }
}

/// Returns the character of an escape without its backslash, such as `xa0`.
fn python_escape(chars: &mut Chars<'_>) -> Option<char> {
    let digits = match chars.next()? {
        char @ ('\\' | '\'' | '"') => return Some(char),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let mut code = 0;
    for _ in 0..digits {
        code = code * 16 + chars.next()?.to_digit(16)?;
    }
    char::from_u32(code)
}

/// Returns the names of the classes in order of first appearance: of rows with several labels those
/// in the sets.
pub(super) fn class_names<'a>(names: &'a [String], options: &ReadOptions) -> Cow<'a, [String]> {
    match options.multi_label {
        None => Cow::Borrowed(names),
        Some(_) => {
            let counts = by_class(
                names.iter().map(|name| (name.clone(), 0)).collect(),
                options,
            );
            counts.into_iter().map(|(name, _)| name).collect()
        }
    }
}

/// Returns the classes and their numbers of rows, in order of first appearance, from the names of
/// labels and their numbers of rows.
pub(super) fn by_class(counts: Vec<(String, u64)>, options: &ReadOptions) -> Vec<(String, u64)> {
    if options.multi_label.is_none() {
        return counts;
    }
    let mut classes: Vec<(String, u64)> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for (set, rows) in counts {
        for label in labels_of(&set) {
            let number = *numbers.entry(label).or_insert_with_key(|label| {
                classes.push((label.clone(), 0));
                classes.len() - 1
            });
            classes[number].1 += rows;
        }
    }
    classes
}

/// Sets of classes, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSets {
    /// Start of each set in `classes`, and the end of the last one.
    starts: Vec<usize>,
    classes: Vec<u32>,
}

impl Default for LabelSets {
    fn default() -> Self {
        Self {
            starts: vec![0],
            classes: Vec::new(),
        }
    }
}

impl LabelSets {
    /// Adds a set and returns its number.
    pub fn push(&mut self, mut classes: Vec<u32>) -> u32 {
        classes.sort_unstable();
        classes.dedup();
        self.classes.extend(classes);
        self.starts.push(self.classes.len());
        self.count() as u32 - 1
    }

    /// Returns the classes of a set, ascending.
    pub fn get(&self, set: u32) -> &[u32] {
        let set = set as usize;
        &self.classes[self.starts[set]..self.starts[set + 1]]
    }

    /// Number of sets.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(multi: &MultiLabel, values: &[&str]) -> Result<String, String> {
        let values: Vec<_> = values.iter().map(|value| Some(*value)).collect();
        let set = multi.set("a", &values, false);
        set.map_err(|wrong| format!("{} {} {}", wrong.column, wrong.expected, wrong.found))
    }

    /// Issue 17: lists of JSON and of Python, a single label, and no label.
    #[test]
    fn lists_of_json_and_python_are_sets() {
        let lists = MultiLabel::default();
        for (text, expected) in [
            (r#"["b","a","b"]"#, r#"["a","b"]"#),
            ("[1, true, null]", r#"["1","true"]"#),
            ("['b', \"a's\", 'c\\'d']", r#"["a's","b","c'd"]"#),
            // As Python prints a no-break space and None.
            (
                r"['a\xa0b', 'c\u200b', None]",
                "[\"a\u{a0}b\",\"c\u{200b}\"]",
            ),
            ("b, c", r#"["b, c"]"#),
            ("[]", "[]"),
            ("", "[]"),
            (" ", "[]"),
        ] {
            assert_eq!(set(&lists, &[text]).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "[a, b]",
            "[[\"a\"]]",
            "['a",
            "[\"a\", {}]",
            r"['\q']",
            "[Nones]",
        ] {
            let expected = format!("a a list of strings in JSON or Python `{text}`");
            assert_eq!(set(&lists, &[text]), Err(expected));
        }
        let numpy = set(&lists, &["['a' 'b']"]).unwrap_err();
        assert!(numpy.contains("write `.tolist()`"), "{numpy}");
    }

    #[test]
    fn separators_and_columns_give_sets() {
        let separated = MultiLabel {
            separator: Some("|".to_owned()),
            ..MultiLabel::default()
        };
        assert_eq!(
            set(&separated, &["b | a||b"]).as_deref(),
            Ok(r#"["a","b"]"#)
        );
        assert_eq!(set(&separated, &[""]).as_deref(), Ok("[]"));
        let columns = MultiLabel {
            other_columns: vec!["b".to_owned(), "c".to_owned()],
            ..MultiLabel::default()
        };
        let ones = set(&columns, &["1", "0", "True"]);
        assert_eq!(ones.as_deref(), Ok(r#"["a","c"]"#));
        assert_eq!(set(&columns, &["0", "0.0", "0"]).as_deref(), Ok("[]"));
        let wrong = set(&columns, &["1", "2", "0"]);
        assert_eq!(wrong, Err("b 0 or 1 `2`".to_owned()));
        let none = set(&columns, &["1", " ", "0"]);
        assert_eq!(none, Err("b 0 or 1 no value".to_owned()));
    }

    #[test]
    fn classes_are_counted_over_sets() {
        let options = ReadOptions {
            multi_label: Some(MultiLabel::default()),
            ..ReadOptions::default()
        };
        let counts = [(r#"["a","b"]"#, 3), ("[]", 2), (r#"["b","c"]"#, 1)];
        let counts = counts.map(|(name, rows)| (name.to_owned(), rows)).to_vec();
        let expected = [("a", 3), ("b", 4), ("c", 1)];
        let expected = expected.map(|(name, rows)| (name.to_owned(), rows));
        assert_eq!(by_class(counts, &options), expected);
        let mut sets = LabelSets::default();
        assert_eq!((sets.push(vec![2, 0, 2]), sets.push(vec![])), (0, 1));
        assert_eq!(
            (sets.get(0), sets.get(1), sets.count()),
            (&[0, 2][..], &[][..], 2)
        );
    }
}
