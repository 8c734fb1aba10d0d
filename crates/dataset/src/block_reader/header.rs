//! Finds the delimiter and the columns in the first lines of a CSV or TSV file.

use diagnostics::{Place, Severity, sanitize};

use super::records::names;
use crate::codes;
use crate::columns::{self, Columns, NamedIn};
use crate::delimited::{RecordSpan, Splitter, Step};
use crate::encoding;
use crate::findings::{Finding, Findings};
use crate::input::FileError;
use crate::json;
use crate::source::LABEL_PREFIX;
use crate::{Labels, Quoting, ReadOptions};

/// Delimiters that are tried if the header does not have the columns.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// Most rows that are compared to find the delimiter of a file without a header.
const MAX_COMPARED_ROWS: usize = 20;

/// A header as a delimiter splits it: its splitter, its record, and the names.
type Split = (Splitter, RecordSpan, Vec<String>);

/// Longest header that is split at other delimiters, in bytes.
const MAX_HEADER_BYTES: usize = 1 << 20;

/// Most columns of a file: each has a name in memory.
const MAX_COLUMNS: usize = 1 << 20;

/// Header of a file.
pub(super) struct Header {
    pub(super) columns: Columns,
    /// Names of all columns.
    pub(super) names: Vec<String>,
}

/// Meaning of a line at the start of a file.
pub(super) enum First {
    Header(Header),
    /// A line `sep=;`, which Excel writes above the header.
    Separator,
    /// The columns are missing; the findings have the reason.
    Unusable,
}

/// Options of the caller, and the place of the line.
pub(super) struct HeaderTask<'a> {
    pub(super) options: &'a ReadOptions,
    pub(super) labels: Labels,
    pub(super) place: Place,
    /// True if the source is standard input.
    pub(super) stdin: bool,
    /// True if the name of the file does not show its format.
    pub(super) no_format: bool,
    /// True if the file begins with many control characters.
    pub(super) binary: bool,
}

impl HeaderTask<'_> {
    /// Returns a splitter for the options.
    pub(super) fn splitter(options: &ReadOptions, delimiter: u8) -> Splitter {
        Splitter::new(
            delimiter,
            options.quoting != Some(Quoting::None),
            options.escape,
        )
    }

    /// Interprets the record `found`, and sets `found` and `splitter` to another delimiter if only
    /// that one gives the columns.
    ///
    /// # Errors
    /// If the file has another format.
    pub(super) fn read(
        &self,
        splitter: &mut Splitter,
        found: &mut RecordSpan,
        bytes: &[u8],
        unescaped: &mut Vec<u8>,
        findings: &mut Findings,
    ) -> Result<First, FileError> {
        let line = &bytes[found.start..found.end];
        let fields = splitter.fields.len();
        if fields > MAX_COLUMNS {
            let message =
                format!("the header has `{fields}` columns, expected at most `{MAX_COLUMNS}`");
            let help = "keep the text and label columns only";
            return Err(FileError::unsupported(&message, help));
        }
        if let Some(delimiter) = separator(line) {
            let delimiter = self.options.delimiter.unwrap_or(delimiter);
            if delimiter != splitter.delimiter {
                self.changed(delimiter, "as its first line states", findings);
                *splitter = Self::splitter(self.options, delimiter);
            }
            return Ok(First::Separator);
        }
        let mut header = self.names(splitter, bytes, unescaped);
        let mut named_in = NamedIn::Header;
        if !self.complete(&header) {
            let others = self.others(splitter.delimiter, found, bytes, unescaped)?;
            match others.into_iter().max_by_key(|other| other.2.len()) {
                Some((other, span, names)) if self.complete(&names) => {
                    let why = format!("as its {} shows", columns::first_row(self.options));
                    self.changed(other.delimiter, &why, findings);
                    (*splitter, *found, header) = (other, span, names);
                }
                _ if self.options.no_header => {
                    refuse_other_formats(line, self)?;
                    return Err(self.no_such_number(&names(&splitter.fields, bytes, unescaped)));
                }
                best => {
                    if header.len() == 1 {
                        self.refuse_delimiter(found, bytes, unescaped)?;
                    }
                    refuse_other_formats(line, self)?;
                    refuse_not_utf8(line)?;
                    if line.starts_with(b"\"") {
                        self.refuse_quoted_lines(&header)?;
                    }
                    if let Some((other, _, names)) = best.filter(|_| header.len() == 1) {
                        named_in = NamedIn::SplitHeader(delimiter_name(other.delimiter));
                        header = names;
                    }
                    if self.no_format && self.labels == Labels::Ignored {
                        named_in = NamedIn::FirstLine;
                    }
                }
            }
        }
        let (options, place) = (self.options, &self.place);
        let columns = columns::resolve(&header, options, self.labels, place, &named_in, findings);
        // A row of numbers is not a header.
        let names = if options.no_header {
            Vec::new()
        } else {
            header
        };
        Ok(columns.map_or(First::Unusable, |columns| {
            First::Header(Header { columns, names })
        }))
    }

    /// Returns the names of the columns: those in the header, or numbers from 0.
    fn names(&self, splitter: &Splitter, bytes: &[u8], unescaped: &[u8]) -> Vec<String> {
        match self.options.no_header {
            true => (0..splitter.fields.len())
                .map(|number| number.to_string())
                .collect(),
            false => names(&splitter.fields, bytes, unescaped),
        }
    }

    /// Returns the error that a column of a file without a header is not given by its number.
    fn no_such_number(&self, values: &[String]) -> FileError {
        let numbers: Vec<String> = (0..values.len()).map(|number| number.to_string()).collect();
        let absent = columns::absent(&numbers, self.options, self.labels);
        let wanted: Vec<_> = absent.iter().map(|(_, name)| sanitize(name)).collect();
        let flags = absent.iter().map(|(flag, _)| format!("{flag} NUMBER"));
        let values = values.iter().zip(&numbers);
        let values: Vec<String> = values
            .map(|(value, number)| format!("{number}: {value}"))
            .collect();
        FileError {
            code: &codes::NO_COLUMN,
            message: format!(
                "no column has the number `{}`; the first row has {}",
                wanted.join("` or `"),
                columns::listed(values.iter().map(String::as_str))
            ),
            help: format!(
                "pass {}, counted from 0; if the first row has names, pass all columns by name, \
                 without --no-header",
                flags.collect::<Vec<_>>().join(" ")
            ),
        }
    }

    fn complete(&self, names: &[String]) -> bool {
        columns::absent(names, self.options, self.labels).is_empty()
    }

    /// Returns the header as other delimiters split it: the one with all columns, or those that
    /// occur.
    ///
    /// # Errors
    /// If several delimiters give all columns of the first rows.
    fn others(
        &self,
        delimiter: u8,
        found: &RecordSpan,
        bytes: &[u8],
        unescaped: &mut Vec<u8>,
    ) -> Result<Vec<Split>, FileError> {
        if self.options.delimiter.is_some() {
            return Ok(Vec::new());
        }
        let others = DELIMITERS.into_iter().filter(|other| *other != delimiter);
        let splits = others.filter_map(|other| self.split(other, found, bytes, unescaped));
        let (mut complete, others): (Vec<Split>, Vec<Split>) =
            splits.partition(|(.., names)| self.complete(names));
        if complete.len() > 1 {
            let delimiters: Vec<u8> = complete.iter().map(|split| split.0.delimiter).collect();
            complete.retain(|split| self.is_regular(split, bytes));
            if complete.len() != 1 {
                return Err(ambiguous(&delimiters, columns::first_row(self.options)));
            }
        }
        Ok(if complete.is_empty() {
            others
        } else {
            complete
        })
    }

    /// True if the rows below the first one, as far as they were read, have as many columns.
    fn is_regular(&self, (first, found, names): &Split, bytes: &[u8]) -> bool {
        let mut splitter = Self::splitter(self.options, first.delimiter);
        let (mut from, mut unescaped) = (found.next, Vec::new());
        for _ in 0..MAX_COMPARED_ROWS {
            match splitter.step(bytes, from, false, &mut unescaped) {
                Step::Record(row) if splitter.fields.len() == names.len() => from = row.next,
                Step::Record(_) => return false,
                Step::More { .. } | Step::End { .. } => break,
            }
        }
        true
    }

    /// Splits the header at `delimiter`; `None` if it has only one column then.
    fn split(
        &self,
        delimiter: u8,
        found: &RecordSpan,
        bytes: &[u8],
        unescaped: &mut Vec<u8>,
    ) -> Option<Split> {
        if found.end - found.start > MAX_HEADER_BYTES {
            return None;
        }
        let mut splitter = Self::splitter(self.options, delimiter);
        let bytes = &bytes[..found.next];
        let Step::Record(span) = splitter.step(bytes, found.start, true, unescaped) else {
            return None;
        };
        let names = self.names(&splitter, bytes, unescaped);
        let is_split = span.next == found.next && span.malformed.is_none() && names.len() > 1;
        is_split.then_some((splitter, span, names))
    }

    fn changed(&self, delimiter: u8, why: &str, findings: &mut Findings) {
        findings.add(&codes::DELIMITER, Severity::Warning, || Finding {
            message: format!("the file is split at {}, {why}", delimiter_name(delimiter)),
            place: Some(self.place.clone()),
            help: format!(
                "pass --delimiter {} to confirm",
                delimiter_option(delimiter)
            ),
        });
    }

    /// Refuses a file whose header has the columns only at a character that is rarely a delimiter,
    /// or at another one than the caller's.
    fn refuse_delimiter(
        &self,
        found: &RecordSpan,
        bytes: &[u8],
        unescaped: &mut Vec<u8>,
    ) -> Result<(), FileError> {
        let given = self.options.delimiter;
        let may_split = |byte: &u8| {
            let is_common = DELIMITERS.contains(byte);
            let is_rare =
                !is_common && !byte.is_ascii_alphanumeric() && !b"_-.\"\r\n".contains(byte);
            let is_there = bytes[found.start..found.end].contains(byte);
            (is_rare || is_common && given.is_some()) && is_there
        };
        let columns = [&self.options.text_column, &self.options.label_column];
        let splits = |delimiter: &u8| {
            let split = self.split(*delimiter, found, bytes, unescaped);
            split.is_some_and(|(.., names)| columns.iter().all(|name| names.contains(name)))
        };
        let Some(delimiter) = (1..0x7f).filter(may_split).find(splits) else {
            return Ok(());
        };
        Err(FileError {
            code: &codes::NO_COLUMN,
            message: format!(
                "the header has the columns only if it is split at {}",
                delimiter_name(delimiter)
            ),
            help: format!("pass --delimiter {}", delimiter_option(delimiter)),
        })
    }

    /// Refuses a file in which each line is quoted as a whole.
    fn refuse_quoted_lines(&self, header: &[String]) -> Result<(), FileError> {
        let [line] = header else { return Ok(()) };
        let splits = |delimiter: &u8| {
            let parts = line.split(char::from(*delimiter));
            let names: Vec<String> = parts.map(str::to_owned).collect();
            names.len() > 1 && self.complete(&names)
        };
        if !DELIMITERS.iter().any(splits) {
            return Ok(());
        }
        let help = r#"remove the outer quotes: sed 's/^"//; s/"\r*$//; s/""/"/g' FILE > NEW-FILE"#;
        Err(FileError::unsupported(
            "each line of the file is one quoted field",
            help,
        ))
    }
}

/// Returns the delimiter of a line such as `sep=;`.
fn separator(line: &[u8]) -> Option<u8> {
    let quoted = line
        .strip_prefix(b"\"")
        .and_then(|line| line.strip_suffix(b"\""));
    match *quoted.unwrap_or(line) {
        [b's', b'e', b'p', b'=', delimiter] if !delimiter.is_ascii_alphanumeric() => {
            Some(delimiter)
        }
        _ => None,
    }
}

/// Refuses files that are not UTF-8 text, by their first record. `binary`: the file begins with
/// many control characters.
pub(super) fn refuse_binary(line: &[u8], binary: bool) -> Result<(), FileError> {
    let is_zero = |at: usize| move |pair: &&[u8]| pair[at] == 0 && pair[1 - at] != 0;
    let pairs = || line.chunks_exact(2);
    for (at, name) in [(1, "utf-16le"), (0, "utf-16be")] {
        // Most characters are ASCII, in JSON at least those around the values.
        if pairs().len() > 1 && pairs().filter(is_zero(at)).count() * 2 > pairs().len() {
            let message = "the file looks like UTF-16 without a byte order mark";
            return Err(FileError::unsupported(
                message,
                &format!("pass --encoding {name}"),
            ));
        }
    }
    if binary {
        let help = "export it as CSV, TSV or JSON lines; for UTF-16 without a byte order mark, \
                    pass --encoding utf-16le";
        return Err(FileError::unsupported(
            "the file is binary, expected text",
            help,
        ));
    }
    Ok(())
}

/// Refuses a header in another encoding, whose names are not those of the caller.
fn refuse_not_utf8(line: &[u8]) -> Result<(), FileError> {
    if str::from_utf8(line).is_ok() {
        return Ok(());
    }
    Err(FileError {
        code: &codes::NOT_UTF8,
        message: "the header is not valid UTF-8".to_owned(),
        help: encoding::help(line),
    })
}

/// Refuses files that are not CSV, by their first record.
fn refuse_other_formats(line: &[u8], task: &HeaderTask<'_>) -> Result<(), FileError> {
    refuse_binary(line, task.binary)?;
    let text = String::from_utf8_lossy(line);
    if line.starts_with(LABEL_PREFIX) {
        let help = match task.stdin {
            true => "pass --input-format fasttext",
            false => "rename it to end in .txt",
        };
        let message = "the file has fastText's format, `__label__LABEL TEXT`, expected CSV";
        return Err(FileError::unsupported(message, help));
    }
    // As JSON, another layout would be refused all the same.
    json::refuse_layout(&text, task.options, task.labels)?;
    let is_object = || text.starts_with('{') && json::parse(&text, &[], None).is_ok();
    if json::begins_array(line) || text.trim() == "[" || is_object() {
        let help = match (task.stdin, is_object()) {
            (true, _) => "pass --input-format jsonl",
            (false, true) => "rename it to end in .jsonl",
            (false, false) => "rename it to end in .json",
        };
        let message = "the file has JSON, expected CSV";
        return Err(FileError::unsupported(message, help));
    }
    Ok(())
}

/// Returns the error that several delimiters give the columns.
fn ambiguous(delimiters: &[u8], row: &str) -> FileError {
    let names = delimiters.iter().map(|byte| delimiter_name(*byte));
    let options = delimiters.iter().map(|byte| delimiter_option(*byte));
    FileError {
        code: &codes::NO_COLUMN,
        message: format!(
            "the {row} has the columns if it is split at {}",
            names.collect::<Vec<_>>().join(", and if it is split at ")
        ),
        help: format!(
            "pass --delimiter {}",
            options.collect::<Vec<_>>().join(" or --delimiter ")
        ),
    }
}

/// Returns the name of a delimiter in messages.
fn delimiter_name(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tabs".to_owned(),
        _ => format!("`{}`", char::from(delimiter).escape_default()),
    }
}

/// Returns the value of `--delimiter`.
fn delimiter_option(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tab".to_owned(),
        0..b' ' => format!("$'\\x{delimiter:02x}'"),
        _ => diagnostics::quoted_for_shell(&char::from(delimiter).to_string()),
    }
}
