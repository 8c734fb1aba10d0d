//! Resolves the names of the text and label columns.

use std::fmt::{self, Display};

use diagnostics::{Place, quoted_for_shell, sanitize, shortened};

use crate::codes;
use crate::findings::Findings;
use crate::source::closest;
use crate::{Labels, ReadOptions};

/// Positions of the wanted columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) text: usize,
    pub(super) label: Option<usize>,
    /// Of the columns of [`kept_columns`], in that order.
    pub(super) kept: Vec<usize>,
    /// Options that name them.
    pub(super) flags: Vec<&'static str>,
    /// Number of them that are texts.
    pub(super) texts: usize,
    pub(super) count: usize,
}

impl Columns {
    /// Returns the positions of the further text columns.
    pub(super) fn other_texts(&self) -> &[usize] {
        &self.kept[..self.texts]
    }
}

/// Returns the columns besides text and label whose values are read, as (flag, name): further
/// texts, further labels, the weights, then those that the caller keeps.
pub(super) fn kept_columns(
    options: &ReadOptions,
) -> impl Iterator<Item = (&'static str, &str)> + Clone {
    let texts = options.other_text_columns.iter();
    let weight = options.weight_column.iter();
    let kept = options.keep_columns.iter();
    let multi = options.multi_label.iter();
    let labels = multi.flat_map(|multi| multi.other_columns.iter());
    texts
        .map(|name| (TEXT_COLUMN, name.as_str()))
        .chain(labels.map(|name| (LABEL_COLUMN, name.as_str())))
        .chain(weight.map(|name| (WEIGHT_COLUMN, name.as_str())))
        .chain(kept.map(|name| (KEEP_COLUMNS, name.as_str())))
}

/// Number of the values of [`Batch::kept`](crate::Batch::kept).
pub(super) fn kept_values(options: &ReadOptions) -> usize {
    usize::from(options.weight_column.is_some()) + options.keep_columns.len()
}

const TEXT_COLUMN: &str = "--text-column";
const LABEL_COLUMN: &str = "--label-column";
const WEIGHT_COLUMN: &str = "--weight-column";

/// Returns the name of a file's first row.
pub(super) fn first_row(options: &ReadOptions) -> &'static str {
    match options.no_header {
        true => "first row",
        false => "header",
    }
}

/// Option of `predict` that names the kept columns.
const KEEP_COLUMNS: &str = "--keep-columns";

/// Looks up the text and label columns. Reports missing and duplicate columns.
pub(super) fn resolve(
    names: &[String],
    options: &ReadOptions,
    labels: Labels,
    place: &Place,
    named_in: &NamedIn,
    findings: &mut Findings,
) -> Option<Columns> {
    let label_name = (labels != Labels::Ignored).then_some(options.label_column.as_str());
    let mut twice = false;
    let kept = kept_columns(options).map(|(_, name)| name);
    for wanted in [Some(options.text_column.as_str()), label_name]
        .into_iter()
        .flatten()
        .chain(kept.clone())
    {
        let count = names.iter().filter(|name| *name == wanted).count();
        if count > 1 {
            twice = true;
            let wanted = sanitize(wanted);
            let message = format!("expected one column named `{wanted}`, found `{count}`");
            let help = "rename all but one of them".to_owned();
            findings.error(&codes::DUPLICATE_COLUMN, message, Some(place.clone()), help);
        }
    }
    let position = |wanted: &str| names.iter().position(|name| name == wanted);
    let text = position(&options.text_column);
    let label = label_name.and_then(position);
    let absent = absent(names, options, labels);
    report_missing(
        &absent,
        names,
        options,
        Some(place.clone()),
        named_in,
        findings,
    );
    match text {
        Some(text) if !twice && absent.is_empty() => Some(Columns {
            text,
            label,
            kept: kept.filter_map(position).collect(),
            flags: kept_columns(options).map(|(flag, _)| flag).collect(),
            texts: options.other_text_columns.len(),
            count: names.len(),
        }),
        _ => None,
    }
}

/// Returns the required columns that `names` lacks, as (flag, name).
pub(super) fn absent<'a>(
    names: &[String],
    options: &'a ReadOptions,
    labels: Labels,
) -> Vec<(&'static str, &'a str)> {
    let label = (LABEL_COLUMN, options.label_column.as_str());
    [(TEXT_COLUMN, options.text_column.as_str()), label]
        .into_iter()
        .take(if labels == Labels::Required { 2 } else { 1 })
        .chain(kept_columns(options))
        .filter(|(_, wanted)| !names.iter().any(|name| name == wanted))
        .collect()
}

/// Returns the finding that text and label are the same column.
pub(super) fn same_column(name: &str, limit: usize) -> Findings {
    let mut findings = Findings::new(limit);
    let message = format!("text and label are the same column `{}`", sanitize(name));
    let help = "pass different names to --text-column and --label-column".to_owned();
    findings.error(&codes::SAME_COLUMN, message, None, help);
    findings
}

/// Part of a file that has the names of its columns.
pub(super) enum NamedIn {
    Header,
    /// Split at another delimiter, as messages name it.
    SplitHeader(String),
    FirstObject,
    /// The first line of a file that may have a text in each line.
    FirstLine,
    /// A file that has names without a header.
    File,
}

impl Display for NamedIn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => out.write_str("the header"),
            Self::SplitHeader(delimiter) => write!(out, "the header, split at {delimiter},"),
            Self::FirstObject => out.write_str("the first object"),
            Self::FirstLine => out.write_str("the first line"),
            Self::File => out.write_str("the file"),
        }
    }
}

/// Reports missing columns, given as (flag, name).
pub(super) fn report_missing(
    absent: &[(&str, &str)],
    names: &[String],
    options: &ReadOptions,
    place: Option<Place>,
    named_in: &NamedIn,
    findings: &mut Findings,
) {
    if absent.is_empty() {
        return;
    }
    let wanted: Vec<_> = absent.iter().map(|(_, name)| sanitize(name)).collect();
    let message = format!(
        "no column is named `{}`; {named_in} has {}",
        wanted.join("` or `"),
        listed(names.iter().map(String::as_str))
    );
    let only_kept = absent.iter().all(|(flag, _)| *flag == KEEP_COLUMNS);
    // A column is proposed once only.
    let mut taken: Vec<&str> = match only_kept {
        true => options.keep_columns.iter().map(String::as_str).collect(),
        false => [&options.text_column, &options.label_column]
            .into_iter()
            .chain(&options.other_text_columns)
            .map(String::as_str)
            .collect(),
    };
    // The list of kept columns cannot have these.
    let is_writable =
        |name: &str| !(name.contains(char::is_control) || only_kept && name.contains([',', '=']));
    let (mut flags, mut all) = (Vec::new(), true);
    for (flag, wanted) in absent {
        let free = names.iter().map(String::as_str);
        let free = free.filter(|name| !taken.contains(name) && is_writable(name));
        let found = manifest_column(flag, names).or_else(|| closest(wanted, free));
        taken.extend(found);
        all &= found.is_some();
        flags.push(format!(
            "{flag} {}",
            found.map_or("NAME".to_owned(), quoted_for_shell)
        ));
    }
    let flags = flags.join(" ");
    let help = match named_in {
        _ if all => format!("did you mean {flags}?"),
        NamedIn::FirstObject | NamedIn::File => format!("pass {flags}"),
        NamedIn::FirstLine => {
            format!("if each line is a text, pass --input-format lines; otherwise, pass {flags}")
        }
        NamedIn::Header | NamedIn::SplitHeader(_) => format!(
            "pass {flags}; the first line must be a header, or pass --no-header and the numbers of \
             columns from 0"
        ),
    };
    findings.error(&codes::NO_COLUMN, message, place, help);
}

/// Returns the key of an augmented manifest's objects that has the text or the label.
fn manifest_column<'a>(flag: &str, names: &'a [String]) -> Option<&'a str> {
    let is_manifest = names.iter().any(|name| name.contains("-metadata."));
    let source = names.iter().find(|name| is_manifest && *name == "source")?;
    if flag == TEXT_COLUMN {
        return Some(source.as_str());
    }
    let is_label = |name: &&String| {
        let metadata = class_name_key(name);
        flag == LABEL_COLUMN && names.contains(&metadata)
    };
    names.iter().find(is_label).map(String::as_str)
}

/// Returns the path of the class name in an augmented manifest, for the key of its number.
pub(super) fn class_name_key(label: &str) -> String {
    format!("{label}-metadata.class-name")
}

/// Returns the path of the class names in an augmented manifest with several labels per row, for
/// the key of their numbers.
pub(super) fn class_map_key(label: &str) -> String {
    format!("{label}-metadata.class-map")
}

/// Limits for listing column names: a file without a header has texts in their place.
const MAX_NAMES: usize = 12;
const MAX_NAME_CHARS: usize = 40;

pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let short = |name: &'a str| shortened(name, MAX_NAME_CHARS);
    diagnostics::listed(names.into_iter().map(short), MAX_NAMES)
}
