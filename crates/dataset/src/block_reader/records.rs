//! Record contents from fields, header names, and files with one record per line.

use memchr::memchr;

use diagnostics::Place;

use crate::block::RecordBody;
use crate::codes;
use crate::columns::Columns;
use crate::delimited::{Field, Malformed, RecordSpan, Shape, Step};
use crate::findings::Findings;
use crate::source::Source;

/// Returns the content of a CSV record.
pub(super) fn row(
    fields: &[Field],
    columns: &Columns,
    malformed: Option<Malformed>,
    end: usize,
) -> RecordBody {
    if fields.len() != columns.count {
        let at = fields
            .get(columns.count)
            .map_or(end as u32, |field| field.at);
        return RecordBody::Count {
            fields: fields.len() as u32,
            at,
        };
    }
    let stray = match malformed {
        Some(Malformed::Stray(at)) => Some(at),
        _ => None,
    };
    RecordBody::Fields {
        text: Some(fields[columns.text]),
        label: columns.label.map(|label| fields[label]),
        stray,
    }
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
    findings: &mut Findings,
) {
    let place = Place {
        line: Some(line),
        column: Some(column),
        ..source.place()
    };
    let message = "the quote opened here in the header is never closed".to_owned();
    findings.error(
        &codes::OPEN_QUOTE,
        message,
        Some(place),
        "close it".to_owned(),
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
