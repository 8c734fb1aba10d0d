//! Record contents from fields, header names, and files with one record per line.

use memchr::memchr;

use diagnostics::Place;

use crate::ReadOptions;
use crate::block::{HeaderRow, KeptField, RecordBody};
use crate::codes;
use crate::columns::{self, Columns};
use crate::delimited::{Field, Malformed, RecordSpan, Shape, Step};
use crate::findings::Findings;
use crate::source::Source;

/// Returns the content of a CSV record; `line` has its bytes.
pub(super) fn row(
    fields: &[Field],
    columns: &Columns,
    found: &RecordSpan,
    line: &[u8],
    delimiter: u8,
) -> RecordBody {
    if fields.len() != columns.count {
        let at = fields
            .get(columns.count)
            .map_or(found.end as u32, |field| field.at);
        return RecordBody::Count {
            fields: fields.len() as u32,
            at,
        };
    }
    let stray = match found.malformed {
        Some(Malformed::Stray(at)) => Some(at),
        _ => None,
    };
    RecordBody::Fields {
        text: Some(fields[columns.text]),
        label: columns.label.map(|label| fields[label]),
        stray,
        rows: found.lines > 1 && holds_rows(line, delimiter, columns),
    }
}

/// Adds the kept values of a record that has all fields.
pub(super) fn keep(
    body: &RecordBody,
    columns: &Columns,
    fields: &[Field],
    kept: &mut Vec<Option<KeptField>>,
) {
    if matches!(body, RecordBody::Fields { .. }) {
        let fields = columns.kept.iter().map(|at| fields[*at]);
        kept.extend(fields.map(|field| Some(KeptField { field, json: false })));
    }
}

/// Words of a label; more of them are a text.
const MAX_LABEL_WORDS: usize = 3;

/// True if the last line of a record and one before it look like rows: then its quotes are probably
/// part of two texts of a file without quoting.
fn holds_rows(record: &[u8], delimiter: u8, columns: &Columns) -> bool {
    // Commas and semicolons are common in texts, but a blank follows them.
    let common = matches!(delimiter, b',' | b';');
    let value = |(at, field): (usize, &[u8])| {
        let blank = field.first().is_none_or(u8::is_ascii_whitespace);
        let blanks = field.iter().filter(|byte| **byte == b' ').count();
        // Without a label column, as in `predict`, each other column may have the labels.
        let is_label = columns.label.is_none_or(|label| label == at);
        let words = is_label && blanks >= MAX_LABEL_WORDS;
        at == columns.text || columns.other_texts().contains(&at) || !(blank || words)
    };
    let is_row = |line: Option<&[u8]>| {
        let fields = || {
            line.unwrap_or_default()
                .split(move |byte| *byte == delimiter)
        };
        fields().count() == columns.count && (!common || fields().enumerate().all(value))
    };
    let mut lines = record.split(|byte| matches!(byte, b'\n' | b'\r'));
    let (first, last) = (is_row(lines.next()), is_row(lines.next_back()));
    match columns.count {
        // A column of texts has one in each line, unless a comma in them needs the quotes.
        1 => !common,
        // A comma in the first text hides that its line is a row.
        _ => last && (first || common && lines.any(|line| is_row(Some(line)))),
    }
}

/// Most columns of a header that is recognised in another order.
const MAX_REORDERED: usize = 64;

/// Returns `Some` if the record is not data: the header again, or the line of dashes that some
/// programs write `below_header`.
pub(super) fn not_data(
    fields: &[Field],
    bytes: &[u8],
    names: &[String],
    below_header: bool,
) -> Option<HeaderRow> {
    let content = |field: &Field| &bytes[field.start as usize..field.end as usize];
    let plain = |field: &Field| field.shape == Shape::Plain;
    // In a single column, the name may be a text.
    if fields.len() != names.len() || fields.len() < 2 || !fields.iter().all(plain) {
        return None;
    }
    let is_name = |field: &Field, name: &String| {
        let name = name.trim().as_bytes();
        content(field).trim_ascii().eq_ignore_ascii_case(name)
    };
    let mut pairs = fields.iter().zip(names);
    if pairs.all(|(field, name)| is_name(field, name)) {
        return Some(HeaderRow::Repeated);
    }
    let occurs = |name: &String| fields.iter().any(|field| is_name(field, name));
    // The time grows with the square of the number of columns.
    if names.len() <= MAX_REORDERED && names.iter().all(occurs) {
        return Some(HeaderRow::OtherOrder);
    }
    let dashes = |field: &Field| {
        let content = content(field).trim_ascii();
        content.len() > 1 && content.iter().all(|byte| *byte == b'-')
    };
    (below_header && fields.iter().all(dashes)).then_some(HeaderRow::Dashes)
}

/// Returns the column names of a header.
pub(super) fn names(fields: &[Field], bytes: &[u8], unescaped: &[u8]) -> Vec<String> {
    let name = |field: &Field| {
        let range = field.start as usize..field.end as usize;
        match field.shape {
            Shape::Plain => String::from_utf8_lossy(&bytes[range]).into_owned(),
            Shape::Doubled => String::from_utf8_lossy(&bytes[range]).replace("\"\"", "\""),
            Shape::Unescaped => String::from_utf8_lossy(&unescaped[range]).into_owned(),
        }
    };
    fields.iter().map(name).collect()
}

pub(super) fn open_quote_in_header(
    source: &Source,
    (line, column): (u64, u64),
    options: &ReadOptions,
    findings: &mut Findings,
) {
    let place = Place {
        line: Some(line),
        column: Some(column),
        ..source.place()
    };
    let row = columns::first_row(options);
    let message = format!("the quote opened here in the {row} is never closed");
    findings.error(
        &codes::OPEN_QUOTE,
        message,
        Some(place),
        "close it, or pass --quoting none if quotes are part of the text".to_owned(),
    );
}

/// Finds the next line that is not blank.
pub(super) fn line(bytes: &[u8], from: usize, complete: bool) -> Step {
    let (mut start, mut blank) = (from, 0);
    loop {
        let (end, next) = match memchr(b'\n', &bytes[start..]) {
            Some(n) => (start + n, start + n + 1),
            None if complete => (bytes.len(), bytes.len()),
            None if bytes[start..].is_empty() => return Step::End { next: start },
            None => return Step::More { start },
        };
        if !bytes[start..end].trim_ascii().is_empty() {
            return Step::Record(RecordSpan {
                start,
                end,
                next,
                lines_before: blank,
                lines: 1,
                malformed: None,
            });
        }
        if next == bytes.len() && complete {
            return Step::End { next };
        }
        (start, blank) = (next, blank + 1);
    }
}
