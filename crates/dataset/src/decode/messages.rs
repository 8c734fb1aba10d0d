//! Messages about rows that cannot be used or look wrong.

use std::collections::HashSet;

use diagnostics::{Place, Severity, shortened};
use memchr::{memchr_iter, memmem};

use super::{Finding, Findings, MYSQL_NULL};
use crate::block::{Block, HeaderRow, Record, RecordBody, column};
use crate::codes::{self, Code};
use crate::columns::first_row;
use crate::delimited::lines;
use crate::encoding;
use crate::json;
use crate::{Format, Quoting, ReadOptions, Source};

#[derive(Clone, Copy)]
pub(super) struct Reporter<'a> {
    pub(super) block: &'a Block,
    pub(super) sources: &'a [Source],
    pub(super) options: &'a ReadOptions,
}

impl Reporter<'_> {
    pub(super) fn place(&self, record: &Record, at: u32) -> Place {
        let file = self
            .sources
            .get(self.block.source as usize)
            .map_or_else(String::new, |s| s.display.clone());
        let number = Some(u64::from(record.number));
        if record.line == 0 {
            return Place {
                file,
                line: None,
                column: None,
                record: number,
            };
        }
        let before = &self.block.bytes[record.start as usize..at as usize];
        let (line, column) = column(before, record.line);
        // The first line of an element may begin in another block.
        let is_known = !is_element(record) || line > record.line;
        Place {
            file,
            line: Some(line),
            column: is_known.then_some(column),
            record: number,
        }
    }

    /// Reports a malformed row: an error, or a warning with `--drop-malformed`.
    fn malformed(
        &self,
        code: &'static Code,
        findings: &mut Findings,
        found: impl FnOnce() -> Finding,
    ) {
        let dropped = self.options.drop_malformed;
        findings.add(code, severity(dropped), || {
            let mut found = found();
            found.help = match dropped {
                true => "dropped because of --drop-malformed".to_owned(),
                false => format!("{}, or pass --drop-malformed", found.help),
            };
            found
        });
    }

    fn missing(&self, code: &'static Code, record: &Record, at: u32, findings: &mut Findings) {
        let (dropped, kept) = (self.options.drop_missing, self.options.keep_blank);
        findings.add(code, severity(dropped || kept), || {
            let help = if dropped {
                "dropped because of --drop-missing"
            } else if kept {
                "read as an empty text; pass --drop-missing to leave {them} out"
            } else {
                "fix {them}, or pass --drop-missing"
            };
            let field = &self.block.bytes[at as usize..];
            let field = field.strip_prefix(b"\"").unwrap_or(field);
            let null = match record.line > 0 && field.starts_with(MYSQL_NULL.as_bytes()) {
                true => ", but `\\N`, the NULL of MySQL",
                false => "",
            };
            Finding {
                message: format!("{}{null}", code.meaning),
                place: Some(self.place(record, at)),
                help: help.to_owned(),
            }
        });
    }

    pub(super) fn no_text(&self, record: &Record, at: u32, findings: &mut Findings) {
        self.missing(&codes::NO_TEXT, record, at, findings);
    }

    pub(super) fn no_label(&self, record: &Record, at: u32, findings: &mut Findings) {
        self.missing(&codes::NO_LABEL, record, at, findings);
    }

    pub(super) fn unclosed(&self, record: &Record, quote: u32, findings: &mut Findings) {
        self.malformed(&codes::OPEN_QUOTE, findings, || Finding {
            message: format!(
                "the quote opened here is never closed; the row extends over `{}` lines to the end \
                 of the file",
                self.lines(record)
            ),
            place: Some(self.place(record, quote)),
            help: match self.backslash(record) {
                Some(help) => help.to_owned(),
                None => {
                    "close {them}, or pass --quoting none if quotes are part of the text".to_owned()
                }
            },
        });
    }

    fn bytes(&self, record: &Record) -> &[u8] {
        &self.block.bytes[record.start as usize..record.end as usize]
    }

    /// Number of lines of a record.
    fn lines(&self, record: &Record) -> u64 {
        lines(self.bytes(record).trim_ascii_end()) + 1
    }

    /// Returns the help for a record whose quotes are escaped with backslashes.
    fn backslash(&self, record: &Record) -> Option<&'static str> {
        let bytes = self.bytes(record);
        // `\\` before a quote is text.
        let may_escape = self.options.escape.is_none();
        let has_escape = || memchr_iter(b'"', bytes).any(|at| ends_escaping(&bytes[..at]));
        (may_escape && has_escape()).then_some(ESCAPE)
    }

    /// Reports a backslash before the end of a field without quotes.
    pub(super) fn escaped_end(&self, record: &Record, at: u32, findings: &mut Findings) {
        findings.add(&codes::ESCAPED_END, Severity::Warning, || Finding {
            message: "the field ends here, although a backslash precedes its end".to_owned(),
            place: Some(self.place(record, at)),
            help: format!(
                "{ESCAPE} if backslashes escape delimiters and line ends; otherwise, quote the fields"
            ),
        });
    }

    /// Returns the help for a record whose quotes are not as the format has them.
    fn quoting_help(&self, record: &Record) -> Option<String> {
        if self.options.quoting == Some(Quoting::None) {
            return None;
        }
        if let Some(help) = self.backslash(record) {
            return Some(help.to_owned());
        }
        let blank = format!("{} \"", char::from(self.block.delimiter));
        let bytes = self.bytes(record);
        let has_blank =
            bytes.starts_with(b" \"") || memmem::find(bytes, blank.as_bytes()).is_some();
        has_blank.then(|| self.blank_help())
    }

    /// Returns the help for a record with a wrong number of fields because its format is another.
    fn layout_help(&self, record: &Record, fields: u32) -> Option<String> {
        let bytes = self.bytes(record);
        let delimiter = self.block.delimiter;
        let is_end = |at: usize| bytes.get(at).is_none_or(|byte| *byte == delimiter);
        let is_escaped = |end: usize| is_end(end) && ends_escaping(&bytes[..end]);
        let is_unquoted = !bytes.contains(&b'"') || ends_escaping(before(bytes, b'"'));
        let may_escape = self.options.escape.is_none();
        if may_escape && is_unquoted && (0..=bytes.len()).any(is_escaped) {
            return Some(ESCAPE.to_owned());
        }
        let single = [b'\'', delimiter];
        if bytes.starts_with(b"'") && memmem::find(bytes, &single).is_some() {
            return Some(format!(
                "texts are quoted with `'`, expected `\"`; convert it: pandas.read_csv(FILE, \
                 sep='{}', quotechar=\"'\", dtype=str, keep_default_na=False).to_csv(NEW, \
                 index=False)",
                char::from(delimiter).escape_default()
            ));
        }
        let surplus = fields.checked_sub(self.block.columns)? as usize;
        let end = vec![delimiter; surplus];
        let is_surplus = surplus > 0 && bytes.ends_with(&end) && surplus <= MAX_SURPLUS;
        is_surplus.then(|| {
            format!(
                "remove the delimiter at the end of the lines: sed 's/{}\\r*$//' FILE > NEW-FILE",
                String::from_utf8_lossy(&end)
            )
        })
    }

    /// Returns the help for a record if the header has no name for the names of the rows.
    fn row_names_help(&self, fields: u32) -> Option<String> {
        self.has_row_names(fields).then(|| {
            format!(
                "if the first column has the names of the rows, name it in the header: \
                 sed '1s/^/id{}/' FILE > NEW-FILE",
                char::from(self.block.delimiter).escape_default()
            )
        })
    }

    /// True if each row of the block has one field more than the header, and begins with a number of
    /// its own, as R's `write.table` writes rows.
    fn has_row_names(&self, fields: u32) -> bool {
        let surplus = self.block.columns + 1;
        if fields != surplus || self.options.no_header || self.block.records.len() < 2 {
            return false;
        }
        let number = |record: &Record| {
            let is_longer =
                matches!(record.body, RecordBody::Count { fields, .. } if fields == surplus);
            let name = before(self.bytes(record), self.block.delimiter);
            let name = std::str::from_utf8(name).ok().filter(|_| is_longer)?;
            name.trim_matches('"').parse::<i64>().ok()
        };
        let numbers: Option<HashSet<i64>> = self.block.records.iter().map(number).collect();
        numbers.is_some_and(|numbers| numbers.len() == self.block.records.len())
    }

    fn blank_help(&self) -> String {
        let delimiter = char::from(self.block.delimiter);
        format!(
            "remove the blank between the delimiter and a quote: \
             sed 's/^ *\"/\"/; s/{delimiter} *\"/{delimiter}\"/g' FILE > NEW-FILE"
        )
    }

    pub(super) fn blank_quote(&self, record: &Record, at: u32, findings: &mut Findings) {
        findings.add(&codes::BLANK_QUOTE, Severity::Warning, || Finding {
            message: "the blank before the quote makes both part of the field's value".to_owned(),
            place: Some(self.place(record, at)),
            help: format!(
                "{}; or pass --quoting none if the quotes are part of it",
                self.blank_help()
            ),
        });
    }

    pub(super) fn quoted_rows(&self, record: &Record, findings: &mut Findings) {
        // Texts with commas and several lines are common, and so is a column of such texts.
        let doubtful = matches!(self.block.delimiter, b',' | b';') || self.block.columns == 1;
        let warn = doubtful || self.options.quoting.is_some();
        findings.add(&codes::QUOTED_ROWS, severity(warn), || Finding {
            message: format!(
                "`{}` lines that look like rows are one row, because a field begins with a quote",
                self.lines(record)
            ),
            place: Some(self.place(record, record.start)),
            help: self
                .backslash(record)
                .unwrap_or(match self.options.quoting {
                    None => {
                        "pass --quoting none if quotes are part of the text, or --quoting minimal \
                         if texts have several lines"
                    }
                    Some(_) => "read as one row because of --quoting minimal",
                })
                .to_owned(),
        });
    }

    pub(super) fn header(&self, record: &Record, kind: HeaderRow, findings: &mut Findings) {
        let joined = "remove {them}; check whether files were joined";
        let (message, help) = match kind {
            HeaderRow::Dashes => ("the row has only dashes, and is dropped", joined),
            HeaderRow::Repeated => ("the row repeats the header, and is dropped", joined),
            // The columns of the rows below it are probably in that order.
            HeaderRow::OtherOrder => (
                "the row has the names of the header in another order",
                "if files were joined, keep each in a file of its own; otherwise, remove {them}",
            ),
        };
        let is_warning = kind != HeaderRow::OtherOrder;
        findings.add(&codes::HEADER_ROW, severity(is_warning), || Finding {
            message: message.to_owned(),
            place: Some(self.place(record, record.start)),
            help: help.to_owned(),
        });
    }

    pub(super) fn too_large(&self, record: &Record, at: u32, findings: &mut Findings) {
        let limit = self.options.max_record_bytes;
        let source = self.sources.get(self.block.source as usize);
        let is_delimited = source.is_some_and(|s| matches!(s.format, Format::Csv { .. }));
        // The rest was read only in part.
        let start = self.bytes(record).get(..limit).unwrap_or_default();
        let help = match is_delimited && self.options.quoting != Some(Quoting::None) {
            true => {
                "check for a quote that is never closed; if quotes are part of the text, pass \
                 --quoting none"
            }
            false if json::several_objects(start) => ONE_PER_LINE,
            false => "shorten or remove the record; each record has a line of its own",
        };
        // Cannot be dropped: the rest of the file was not read.
        findings.error(
            &codes::TOO_LARGE,
            format!("the record is larger than `{limit}` bytes; reading stopped here"),
            Some(self.place(record, at)),
            help.to_owned(),
        );
    }

    pub(super) fn field_count(
        &self,
        record: &Record,
        fields: u32,
        at: u32,
        findings: &mut Findings,
    ) {
        let expected = self.block.columns;
        self.malformed(&codes::FIELD_COUNT, findings, || {
            let unit = if fields == 1 { "field" } else { "fields" };
            let hint = if self.lines(record) > 1 {
                "fix {them} (if quotes are part of the text, pass --quoting none)"
            } else if fields > expected && self.options.quoting == Some(Quoting::None) {
                "fix {them} (with --quoting none, a text cannot contain the delimiter)"
            } else if fields > expected {
                "fix {them} (quote texts that contain the delimiter)"
            } else {
                "fix {them}"
            };
            let help = self
                .layout_help(record, fields)
                .or_else(|| self.quoting_help(record))
                .or_else(|| self.row_names_help(fields));
            Finding {
                message: format!(
                    "row has `{fields}` {unit}, the {} has `{expected}`",
                    first_row(self.options)
                ),
                place: Some(self.place(record, at)),
                help: help.unwrap_or_else(|| hint.to_owned()),
            }
        });
    }

    pub(super) fn not_utf8(&self, record: &Record, at: u32, findings: &mut Findings) {
        self.malformed(&codes::NOT_UTF8, findings, || {
            let place = Some(self.place(record, at));
            if let Some(encoding) = self.block.transcoded {
                let message = format!("the row is not valid {encoding}");
                return Finding {
                    message,
                    place,
                    help: "fix {them}, or pass the right encoding with --encoding".to_owned(),
                };
            }
            if record.line == 0 {
                let message = "the row is not valid UTF-8".to_owned();
                return Finding {
                    message,
                    place,
                    help: "rewrite {them} as UTF-8".to_owned(),
                };
            }
            let byte = self.block.bytes[at as usize];
            let offset = self.block.offset + u64::from(at);
            let file = if self.block.compressed {
                "uncompressed file"
            } else {
                "file"
            };
            let message = format!(
                "byte `0x{byte:02x}` at offset `{offset}` of the {file} is not valid UTF-8"
            );
            let help = if self.block.mostly_utf8() {
                "other rows are UTF-8: rewrite only {them} as UTF-8".to_owned()
            } else {
                encoding::help(&self.not_utf8_rows())
            };
            Finding {
                message,
                place,
                help,
            }
        });
    }

    /// Returns the first rows of the block that are not valid UTF-8.
    fn not_utf8_rows(&self) -> Vec<u8> {
        const MAX_ROWS: usize = 1000;
        let rows = self.block.records.iter().map(|record| self.bytes(record));
        let rows = rows.filter(|row| std::str::from_utf8(row).is_err());
        let rows: Vec<&[u8]> = rows.take(MAX_ROWS).collect();
        rows.join(&b'\n')
    }

    pub(super) fn other_encoding(&self, record: &Record, findings: &mut Findings) {
        findings.add(&codes::OTHER_ENCODING, Severity::Warning, || Finding {
            message: format!(
                "the row is UTF-8, but is read as {}",
                self.block.transcoded.unwrap_or_default()
            ),
            place: Some(self.place(record, record.start)),
            help: "leave out --encoding; rows that are not UTF-8 are then named".to_owned(),
        });
    }

    pub(super) fn several_labels(&self, record: &Record, count: u32, findings: &mut Findings) {
        let (message, help) = match &self.options.multi_label {
            None => (
                format!("expected one label, found `{count}`"),
                "write a line for each label of {them}, or train with --multi-label",
            ),
            Some(_) => (
                "expected the labels before the text, found one in it".to_owned(),
                "move the labels of {them} to the start of the line",
            ),
        };
        self.malformed(&codes::WRONG_TYPE, findings, || Finding {
            message,
            place: Some(self.place(record, record.start)),
            help: help.to_owned(),
        });
    }

    pub(super) fn stray(&self, record: &Record, at: u32, findings: &mut Findings) {
        findings.add(&codes::TEXT_AFTER_QUOTE, Severity::Warning, || {
            let is_blank = self.only_blanks_follow(record, at);
            let message = match is_blank {
                true => "there is a blank after the closing quote here",
                false => "there is text after the closing quote here",
            };
            let help = match is_blank {
                true => {
                    let delimiter = char::from(self.block.delimiter);
                    format!(
                        "remove the blank between a quote and the delimiter: \
                         sed 's/\" *{delimiter}/\"{delimiter}/g; s/\" *\\r*$/\"/' FILE > NEW-FILE"
                    )
                }
                false => self.quoting_help(record).unwrap_or_else(|| {
                    "check whether rows were joined; quotes that are part of the text must be \
                     doubled"
                        .to_owned()
                }),
            };
            Finding {
                message: message.to_owned(),
                place: Some(self.place(record, at)),
                help,
            }
        });
    }

    /// True if the field ends after the quote `at` and blanks.
    fn only_blanks_follow(&self, record: &Record, at: u32) -> bool {
        let rest = &self.block.bytes[at as usize + 1..record.end as usize];
        let mut rest = rest.iter().skip_while(|byte| **byte == b' ');
        rest.next()
            .is_none_or(|byte| *byte == self.block.delimiter || matches!(byte, b'\r' | b'\n'))
    }

    pub(super) fn not_json(
        &self,
        record: &Record,
        error: &serde_json::Error,
        findings: &mut Findings,
    ) {
        if !is_element(record) && json::several_objects(self.bytes(record)) {
            // Dropping the line would drop rows that are not counted.
            let message = format!("{}, expected one", codes::SEVERAL_OBJECTS.meaning);
            let place = Some(self.place(record, record.start));
            findings.error(
                &codes::SEVERAL_OBJECTS,
                message,
                place,
                ONE_PER_LINE.to_owned(),
            );
            return;
        }
        self.malformed(&codes::NOT_JSON, findings, || {
            // The parser's place is relative to the record.
            let text = error.to_string();
            let reason = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(reason, _)| reason);
            let length = u64::from(record.end - record.start);
            let mut place = self.place(record, record.start);
            let column = (error.column() as u64).clamp(1, length + 1);
            match error.line() as u64 {
                0 | 1 => place.column = place.column.map(|start| start + column - 1),
                line => {
                    place.line = place.line.map(|first| first + line - 1);
                    place.column = Some(column);
                }
            }
            let is_element = is_element(record);
            let line = self.bytes(record).trim_ascii();
            let nan = memmem::find(line, b"NaN").is_some() && reason == "expected value";
            let help = if nan {
                "write null instead of NaN"
            } else if let Some(help) = json_help(reason, line) {
                help
            } else if is_element {
                "write an array of JSON objects"
            } else if line.contains(&b'\r') {
                r"end lines with a line feed: tr '\r' '\n' < FILE > NEW-FILE"
            } else {
                "write one JSON object per line"
            };
            let what = if is_element { "element" } else { "line" };
            Finding {
                message: format!(
                    "the {what} is not a JSON object: {}",
                    shortened(reason, MAX_REASON_CHARS)
                ),
                place: Some(place),
                help: help.to_owned(),
            }
        });
    }

    /// Reports a weight that is not a number of 0 or more, or is missing.
    pub(super) fn no_weight(&self, record: &Record, found: &str, findings: &mut Findings) {
        self.malformed(&codes::WEIGHT, findings, || {
            let message = match found.trim() {
                "" => "row has no weight".to_owned(),
                found => format!(
                    "expected a weight of 0 or more, found `{}`",
                    shortened(found, MAX_REASON_CHARS)
                ),
            };
            Finding {
                message,
                place: Some(self.place(record, record.start)),
                help: "fix {them}".to_owned(),
            }
        });
    }

    pub(super) fn wrong_type(
        &self,
        record: &Record,
        column: &str,
        kind: &str,
        expected: &str,
        findings: &mut Findings,
    ) {
        self.malformed(&codes::WRONG_TYPE, findings, || Finding {
            message: format!("expected `{column}` to be {expected}, found {kind}"),
            place: Some(self.place(record, record.start)),
            help: match kind {
                "an object" => {
                    "pass another column; pandas writes such columns unless you pass \
                     to_json(PATH, orient=\"records\", lines=True)"
                }
                "an array" if *column == self.options.label_column => {
                    "fix {them}, pass another column, or train with --multi-label if rows may have \
                     several labels"
                }
                _ => "fix {them}, or pass another column",
            }
            .to_owned(),
        });
    }
}

/// True for an element of a JSON array.
fn is_element(record: &Record) -> bool {
    matches!(record.body, RecordBody::Json { is_element: true })
}

/// Help for files with several objects on a line.
const ONE_PER_LINE: &str = "convert the file: jq -c . FILE > FILE.jsonl";

/// Help for files in which a backslash makes the next byte part of the text.
const ESCAPE: &str = r"pass --escape '\'";

/// Returns the help about a line of JSON for the parser's message.
fn json_help(reason: &str, line: &[u8]) -> Option<&'static str> {
    let has_half = || {
        [&b"\\ud"[..], b"\\uD"]
            .iter()
            .any(|half| memmem::find(line, half).is_some())
    };
    if reason.starts_with("duplicate key") {
        Some("keep one of the two values in {them}")
    } else if reason == "trailing characters" && line.ends_with(b"},") {
        Some(r"remove the comma at the end of the lines: sed 's/},\r*$/}/' FILE > NEW-FILE")
    } else if reason == "trailing comma" {
        Some("remove the comma after the last value in {them}")
    } else if reason.contains("hex escape") && has_half() {
        Some(r"remove the half of a surrogate pair, such as \ud83d, from {them}, or complete it")
    } else {
        None
    }
}

/// Most delimiters at the end of lines that the help removes.
const MAX_SURPLUS: usize = 8;

/// Returns the bytes before the first `byte`, or all.
fn before(bytes: &[u8], byte: u8) -> &[u8] {
    bytes
        .split(|other| *other == byte)
        .next()
        .unwrap_or_default()
}

/// True if a backslash at the end of these bytes escapes the next one.
pub(super) fn ends_escaping(bytes: &[u8]) -> bool {
    let backslashes = bytes.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// Maximum characters of a parser's message: it may quote a whole text.
const MAX_REASON_CHARS: usize = 80;

fn severity(dropped: bool) -> Severity {
    if dropped {
        Severity::Warning
    } else {
        Severity::Error
    }
}
