//! Resolves the names of the text and label columns.

use diagnostics::{Place, sanitize};

use crate::codes;
use crate::findings::Findings;
use crate::source::closest;
use crate::{Labels, ReadOptions};

/// Positions of the wanted columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) text: usize,
    pub(super) label: Option<usize>,
    pub(super) count: usize,
}

/// Looks up the text and label columns. Reports missing and duplicate columns.
pub(super) fn resolve(
    names: &[String],
    options: &ReadOptions,
    labels: Labels,
    place: &Place,
    findings: &mut Findings,
) -> Option<Columns> {
    let label_name = (labels != Labels::Ignored).then_some(options.label_column.as_str());
    let mut twice = false;
    for wanted in [Some(options.text_column.as_str()), label_name]
        .into_iter()
        .flatten()
    {
        let count = names.iter().filter(|name| *name == wanted).count();
        if count > 1 {
            twice = true;
            let message = format!("expected one column named `{wanted}`, found `{count}`");
            let help = "rename all but one of them".to_owned();
            findings.error(&codes::DUPLICATE_COLUMN, message, Some(place.clone()), help);
        }
    }
    let position = |wanted: &str| names.iter().position(|name| name == wanted);
    let text = position(&options.text_column);
    let label = label_name.and_then(position);
    let mut absent = Vec::new();
    if text.is_none() {
        absent.push(("--text-column", options.text_column.as_str()));
    }
    if label.is_none() && labels == Labels::Required {
        absent.push(("--label-column", options.label_column.as_str()));
    }
    let has = if place.line.is_some() {
        HEADER_HAS
    } else {
        "the file has"
    };
    report_missing(&absent, names, Some(place.clone()), has, findings);
    match text {
        Some(text) if !twice && absent.is_empty() => Some(Columns {
            text,
            label,
            count: names.len(),
        }),
        _ => None,
    }
}

/// Returns the finding that text and label are the same column.
pub(super) fn same_column(name: &str, limit: usize) -> Findings {
    let mut findings = Findings::new(limit);
    let message = format!("text and label are the same column `{}`", sanitize(name));
    let help = "pass different names to --text-column and --label-column".to_owned();
    findings.error(&codes::SAME_COLUMN, message, None, help);
    findings
}

const HEADER_HAS: &str = "the header has";

/// Reports missing columns, given as (flag, name).
pub(super) fn report_missing(
    absent: &[(&str, &str)],
    names: &[String],
    place: Option<Place>,
    has: &str,
    findings: &mut Findings,
) {
    if absent.is_empty() {
        return;
    }
    let wanted: Vec<&str> = absent.iter().map(|(_, name)| *name).collect();
    let message = format!(
        "no column is named `{}`; {has} {}",
        wanted.join("` or `"),
        listed(names.iter().map(String::as_str))
    );
    let suggestions: Vec<Option<&str>> = absent
        .iter()
        .map(|(_, wanted)| closest(wanted, names.iter().map(String::as_str)))
        .collect();
    let flags: Vec<String> = absent
        .iter()
        .zip(&suggestions)
        .map(|((flag, _), closest)| {
            format!(
                "{flag} {}",
                closest.map_or("NAME".to_owned(), quoted_for_shell)
            )
        })
        .collect();
    let flags = flags.join(" ");
    let help = if names.iter().any(|name| name.contains('\0')) {
        "the file looks like UTF-16 without a byte order mark; pass --encoding utf-16le".to_owned()
    } else if suggestions.iter().all(Option::is_some) {
        format!("did you mean {flags}?")
    } else {
        format!(
            "pass {flags}{}",
            if has == HEADER_HAS {
                "; the first line must be a header"
            } else {
                ""
            }
        )
    };
    findings.error(&codes::NO_COLUMN, message, place, help);
}

/// Limits for listing column names: a file without a header has texts in their place.
const MAX_NAMES: usize = 12;
const MAX_NAME_CHARS: usize = 40;

pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let short = |name: &str| match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("`{}...`", sanitize(&name[..end])),
        None => format!("`{}`", sanitize(name)),
    };
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(MAX_NAMES).map(short).collect();
    let more = names.count();
    if more > 0 {
        format!("{} and {more} more", first.join(", "))
    } else {
        first.join(", ")
    }
}

pub(super) fn quoted_for_shell(name: &str) -> String {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b));
    if plain {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}
