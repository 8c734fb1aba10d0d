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
    /// Of the kept columns, in the order of [`ReadOptions::keep_columns`].
    pub(super) kept: Vec<usize>,
    pub(super) count: usize,
}

/// Option of `predict` that names the kept columns.
pub(super) const KEEP_COLUMNS: &str = "--keep-columns";

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
    let kept = options.keep_columns.iter().map(String::as_str);
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
    let label = ("--label-column", options.label_column.as_str());
    let kept = options.keep_columns.iter();
    [("--text-column", options.text_column.as_str()), label]
        .into_iter()
        .take(if labels == Labels::Required { 2 } else { 1 })
        .chain(kept.map(|name| (KEEP_COLUMNS, name.as_str())))
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
    /// A file that has names without a header.
    File,
}

impl Display for NamedIn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => out.write_str("the header"),
            Self::SplitHeader(delimiter) => write!(out, "the header, split at {delimiter},"),
            Self::FirstObject => out.write_str("the first object"),
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
        false => vec![options.text_column.as_str(), options.label_column.as_str()],
    };
    // The list of kept columns cannot have these.
    let is_writable =
        |name: &str| !(name.contains(char::is_control) || only_kept && name.contains([',', '=']));
    let (mut flags, mut all) = (Vec::new(), true);
    for (flag, wanted) in absent {
        let free = names.iter().map(String::as_str);
        let free = free.filter(|name| !taken.contains(name) && is_writable(name));
        let found = closest(wanted, free);
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
        NamedIn::Header | NamedIn::SplitHeader(_) => {
            format!("pass {flags}; the first line must be a header")
        }
    };
    findings.error(&codes::NO_COLUMN, message, place, help);
}

/// Limits for listing column names: a file without a header has texts in their place.
const MAX_NAMES: usize = 12;
const MAX_NAME_CHARS: usize = 40;

pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let short = |name: &'a str| shortened(name, MAX_NAME_CHARS);
    diagnostics::listed(names.into_iter().map(short), MAX_NAMES)
}
