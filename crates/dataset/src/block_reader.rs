//! Splits the files into blocks of whole records, in order. Runs on one thread at a time.

mod array;
mod header;
mod lines;
mod records;

use std::mem;

use diagnostics::{Place, Severity};

use self::array::Array;
use self::header::{First, Header, HeaderTask, refuse_binary};
use self::lines::Lines;
use self::records::{keep, line, not_data, open_quote_in_header, row};
use crate::block::{Block, HeaderRow, Record, RecordBody, column};
use crate::codes;
use crate::delimited::{Malformed, RecordSpan, Splitter, Step, lines};
use crate::findings::{Finding, Findings};
use crate::input::{FileError, Input, OTHER_BYTES};
use crate::json::{array_of_arrays, refuse_csv, refuse_layout, refuse_references};
#[cfg(feature = "parquet")]
use crate::parquet::{Arrow, Parquet};
use crate::source::{Format, LABEL_PREFIX, Source};
use crate::{FileCounts, Labels, ReadOptions};

/// UTF-8's.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

enum Kind {
    Delimited {
        splitter: Box<Splitter>,
        header: Option<Header>,
    },
    Jsonl,
    Array(Array),
    Lines(Lines),
}

/// A file that is being read.
struct Open {
    input: Input,
    kind: Kind,
    /// Start of a record whose end has not been read yet.
    carry: Vec<u8>,
    /// Offset of `carry` in the file.
    offset: u64,
    line: u64,
    rows: u32,
    complete: bool,
    /// True if the previous record was the header.
    below_header: bool,
    /// True if reading was abandoned because of an error.
    given_up: bool,
    /// Blank lines since the last record.
    blank: u64,
    /// True until the first record is found.
    at_start: bool,
    /// True if an earlier block is UTF-8 beyond ASCII.
    utf8: bool,
}

enum Reading {
    Bytes(Box<Open>),
    #[cfg(feature = "parquet")]
    Parquet(Box<Parquet>),
    #[cfg(feature = "parquet")]
    Arrow(Box<Arrow>),
}

/// Reads all files of a channel.
pub(super) struct BlockReader<'a> {
    sources: &'a [Source],
    options: &'a ReadOptions,
    labels: Labels,
    next: usize,
    reading: Option<Reading>,
    sequence: u64,
    /// Counts of the files that were read.
    pub(super) files: Vec<FileCounts>,
}

impl<'a> BlockReader<'a> {
    pub(super) fn new(sources: &'a [Source], options: &'a ReadOptions, labels: Labels) -> Self {
        Self {
            sources,
            options,
            labels,
            next: 0,
            reading: None,
            sequence: 0,
            files: Vec::new(),
        }
    }

    /// Fills `block` with the next records and returns its number. `None` at the end.
    pub(super) fn next(&mut self, block: &mut Block) -> Option<u64> {
        block.records.clear();
        block.kept.clear();
        block.unescaped.clear();
        block.used = 0;
        block.findings = Findings::new(block.findings.limit());
        if self.reading.is_none() {
            let source = self.sources.get(self.next)?;
            block.source = self.next as u32;
            self.next += 1;
            source.report(&mut block.findings);
            match open(source, self.options, self.labels, &mut block.findings) {
                Ok(reading) => self.reading = reading,
                Err(error) => error.add(source, &mut block.findings),
            }
            if self.reading.is_none() {
                let path = source.display.clone();
                self.files.push(FileCounts {
                    path,
                    bytes: 0,
                    rows_read: 0,
                    sha256: None,
                    named_labels: false,
                });
            }
        }
        if let (Some(reading), Some(source)) = (&mut self.reading, self.sources.get(self.next - 1))
        {
            let done = match reading {
                Reading::Bytes(open) => open.fill(source, self.options, self.labels, block),
                #[cfg(feature = "parquet")]
                Reading::Parquet(parquet) => parquet.fill(source, block),
                #[cfg(feature = "parquet")]
                Reading::Arrow(arrow) => arrow.fill(source, block),
            };
            if let Some(file_counts) = done {
                if file_counts.rows_read == 0 && !block.findings.has_errors() {
                    no_rows(&file_counts, source, self.sources.len() == 1, block);
                }
                skip_other_text(source, self.sources, &mut block.findings);
                self.files.push(file_counts);
                self.reading = None;
            }
        }
        self.sequence += 1;
        Some(self.sequence - 1)
    }
}

fn open(
    source: &Source,
    options: &ReadOptions,
    labels: Labels,
    findings: &mut Findings,
) -> Result<Option<Reading>, FileError> {
    let kind = match source.format {
        Format::Csv { delimiter } => Kind::Delimited {
            splitter: Box::new(HeaderTask::splitter(
                options,
                options.delimiter.unwrap_or(delimiter),
            )),
            header: None,
        },
        Format::Jsonl => Kind::Jsonl,
        Format::Lines | Format::FastText => {
            let labelled = source.format == Format::FastText;
            match Lines::new(labelled, source, options, labels, findings) {
                Some(lines) => Kind::Lines(lines),
                None => return Ok(None),
            }
        }
        // An empty file has no format.
        Format::Parquet | Format::Arrow if source.is_empty() => Kind::Jsonl,
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            let parquet = Parquet::open(source, options, labels, findings)?;
            return Ok(parquet.map(|parquet| Reading::Parquet(Box::new(parquet))));
        }
        #[cfg(feature = "parquet")]
        Format::Arrow => {
            let arrow = Arrow::open(source, options, labels, findings)?;
            return Ok(arrow.map(|arrow| Reading::Arrow(Box::new(arrow))));
        }
        #[cfg(not(feature = "parquet"))]
        Format::Parquet | Format::Arrow => {
            let _ = (labels, findings);
            let message = "this program was built without support of parquet and Arrow".to_owned();
            let help = "build with `--features parquet`, or convert the file to CSV".to_owned();
            return Err(FileError {
                code: &codes::UNSUPPORTED,
                message,
                help,
            });
        }
    };
    let input = Input::open(source, options.encoding, options.hash)?;
    let offset = input.skipped;
    let open = Open {
        input,
        kind,
        carry: Vec::new(),
        offset,
        line: 1,
        rows: 0,
        complete: false,
        below_header: false,
        given_up: false,
        at_start: offset == 0,
        utf8: false,
        blank: 0,
    };
    Ok(Some(Reading::Bytes(Box::new(open))))
}

/// Reports a file without rows: a warning among several files (some tools write empty parts),
/// otherwise an error.
fn no_rows(file_counts: &FileCounts, source: &Source, alone: bool, block: &mut Block) {
    let message = match file_counts.bytes {
        0 => "the file is empty",
        _ => "the file has no rows",
    };
    let found = || Finding {
        message: message.to_owned(),
        place: Some(source.place()),
        help: "add at least one row; a CSV file also needs a header".to_owned(),
    };
    let severity = if alone {
        Severity::Error
    } else {
        Severity::Warning
    };
    block.findings.add(&codes::NO_ROWS, severity, found);
}

/// Replaces the error that a text file, such as `VERSION`, does not have the columns, if other files
/// are data by their names, and the name of this one does not show its format.
fn skip_other_text(source: &Source, all: &[Source], findings: &mut Findings) {
    let is_guess = source.is_sniffed && matches!(source.format, Format::Csv { .. });
    let has_no_columns = findings.count(&codes::NO_COLUMN) > 0;
    if is_guess && has_no_columns && all.iter().any(|source| !source.is_sniffed) {
        findings.take(&codes::NO_COLUMN);
        findings.take(&codes::CONTENT);
        findings.add(&codes::SKIPPED_FILE, Severity::Warning, || Finding {
            message: "the file is not read: its name does not end in a format, and it does not \
                      have the columns"
                .to_owned(),
            place: Some(source.place()),
            help: "rename {them}, or remove {them} from the folder".to_owned(),
        });
    }
}

fn place(source: &Source, line: u64) -> Place {
    Place {
        line: Some(line),
        ..source.place()
    }
}

impl Open {
    /// Reads the next block. Returns the counts of the file if it was the last block.
    fn fill(
        &mut self,
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        block: &mut Block,
    ) -> Option<FileCounts> {
        let mut filled = self.carry.len();
        block.bytes.resize(block.bytes.len().max(filled), 0);
        block.bytes[..filled].copy_from_slice(&self.carry);
        block.offset = self.offset;
        block.transcoded = self.input.transcodes().then_some(self.input.encoding);
        block.compressed = self.input.compressed;
        block.after_utf8 = self.utf8;
        loop {
            // Double the buffer: a long record is searched again each time, but the total time
            // stays linear.
            let target = options.block_bytes.max(filled * 2).max(1);
            block.bytes.resize(block.bytes.len().max(target), 0);
            let (n, error) = self.input.fill(&mut block.bytes[filled..target]);
            filled += n;
            self.complete = filled < target && error.is_none();
            let used = self.scan(filled, source, options, labels, block);
            block.used += used;
            // Records before the error count; the truncated one does not.
            if let Some(mut error) = error.filter(|_| !self.given_up) {
                if error.message == OTHER_BYTES {
                    let rows = diagnostics::counted(u64::from(self.rows), "row");
                    error.message = format!("{OTHER_BYTES} after {rows}");
                }
                error.add(source, &mut block.findings);
                self.given_up = true;
            }
            if used > 0 || self.complete || self.given_up {
                break;
            }
        }
        self.carry.clear();
        self.carry
            .extend_from_slice(&block.bytes[block.used..filled]);
        self.offset += block.used as u64;
        let bytes = &block.bytes[..block.used];
        self.utf8 = self.utf8 || !(bytes.is_ascii() || str::from_utf8(bytes).is_err());
        (self.complete || self.given_up).then(|| self.file_counts(source))
    }

    fn file_counts(&mut self, source: &Source) -> FileCounts {
        // A partial hash would look like the hash of the file.
        let sha256 = if self.given_up {
            None
        } else {
            self.input.sha256()
        };
        let path = source.display.clone();
        FileCounts {
            path,
            bytes: self.input.bytes(),
            rows_read: u64::from(self.rows),
            sha256,
            named_labels: false,
        }
    }

    /// Finds the records in the first `filled` bytes; returns the number of bytes consumed.
    fn scan(
        &mut self,
        filled: usize,
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        block: &mut Block,
    ) -> usize {
        let mut from = 0;
        self.find_layout(filled, source, options, labels, block);
        while !self.given_up {
            let bytes = &block.bytes[..filled];
            let step = match &mut self.kind {
                Kind::Delimited { splitter, .. } => {
                    splitter.step(bytes, from, self.complete, &mut block.unescaped)
                }
                Kind::Jsonl => line(bytes, from, self.complete),
                Kind::Array(array) => array.step(bytes, from, self.complete),
                Kind::Lines(lines) => lines.step(bytes, from, self.complete),
            };
            let found = match step {
                Step::Record(found) => found,
                Step::More { start } if filled - start <= options.max_record_bytes => break,
                Step::More { start } => {
                    let lines_before = lines(&bytes[from..start]);
                    self.too_large((start, filled), lines_before, source, options, block);
                    return filled;
                }
                Step::End { next } => {
                    let blank = lines(&bytes[from..next]);
                    self.line += blank;
                    self.blank += blank;
                    if self.complete && matches!(&self.kind, Kind::Array(Array { is_open: true })) {
                        open_array(place(source, self.line), &mut block.findings);
                    }
                    from = next;
                    break;
                }
            };
            if found.end - found.start > options.max_record_bytes {
                let record = (found.start, found.end);
                self.too_large(record, found.lines_before, source, options, block);
                return found.next;
            }
            self.line += found.lines_before;
            self.blank += found.lines_before;
            let at_start = mem::take(&mut self.at_start);
            if bytes[found.start..found.end].starts_with(BYTE_ORDER_MARK) {
                if !at_start {
                    joined_files(place(source, self.line), &mut block.findings);
                }
                from = found.start + BYTE_ORDER_MARK.len();
                continue;
            }
            let (next, lines) = self.record(found, filled, source, options, labels, block);
            self.line += lines;
            from = next;
        }
        from
    }

    /// Reads JSON as an array if it begins as one, and a file of no other format as fastText's if
    /// it begins with a label.
    fn find_layout(
        &mut self,
        filled: usize,
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        block: &mut Block,
    ) {
        let is_open = matches!(&self.kind, Kind::Delimited { header: None, .. });
        let start = || block.bytes[..filled].trim_ascii_start();
        // A zero byte follows in UTF-16.
        let is_array = matches!(start(), [b'[', rest @ ..] if rest.first() != Some(&0));
        if matches!(&self.kind, Kind::Jsonl) && self.rows == 0 && is_array {
            self.kind = Kind::Array(Array::default());
        }
        if is_open && source.has_no_format() && start().starts_with(LABEL_PREFIX) {
            match Lines::new(true, source, options, labels, &mut block.findings) {
                Some(lines) => self.kind = Kind::Lines(lines),
                None => self.given_up = true,
            }
        }
    }

    /// Takes a record. Returns the offset of the next one, and the lines up to there.
    fn record(
        &mut self,
        mut found: RecordSpan,
        filled: usize,
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        block: &mut Block,
    ) -> (usize, u64) {
        match &mut self.kind {
            Kind::Jsonl | Kind::Array(_) => {
                self.json_record(&found, source, options, labels, block);
                return (found.next, found.lines);
            }
            Kind::Lines(lines) => {
                let body = lines.body(&found, &block.bytes[..filled], &mut block.kept);
                self.push(found.start, found.end, body, source, block);
                return (found.next, found.lines);
            }
            Kind::Delimited { header: None, .. } => {
                self.header(&mut found, filled, source, options, labels, block);
                if self.given_up || !options.no_header {
                    return (found.next, found.lines);
                }
            }
            Kind::Delimited { .. } => {}
        }
        let Kind::Delimited {
            splitter,
            header: Some(Header { columns, names }),
        } = &mut self.kind
        else {
            return (found.next, found.lines);
        };
        let bytes = &block.bytes[..filled];
        let line = &bytes[found.start..found.end];
        (block.columns, block.delimiter) = (columns.count as u32, splitter.delimiter);
        let blank = mem::take(&mut self.blank);
        if columns.count == 1 && blank > 0 {
            blank_lines(place(source, self.line - blank), blank, &mut block.findings);
        }
        let below_header = mem::take(&mut self.below_header);
        let body = if let Some(Malformed::Unclosed(quote)) = found.malformed {
            RecordBody::Unclosed { quote }
        } else if let Some(kind) = not_data(&splitter.fields, bytes, names, below_header) {
            self.below_header = kind != HeaderRow::Dashes;
            RecordBody::Header(kind)
        } else {
            row(&splitter.fields, columns, &found, line, splitter.delimiter)
        };
        keep(&body, columns, &splitter.fields, &mut block.kept);
        self.push(found.start, found.end, body, source, block);
        (found.next, found.lines)
    }

    /// Takes the first record of a CSV or TSV file. Without a header, the record is also a row.
    fn header(
        &mut self,
        found: &mut RecordSpan,
        filled: usize,
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        block: &mut Block,
    ) {
        let Kind::Delimited { splitter, header } = &mut self.kind else {
            return;
        };
        let bytes = &block.bytes[..filled];
        let binary = self.input.binary && !self.input.transcodes();
        if let (Some(Malformed::Unclosed(quote)), false) = (found.malformed, binary) {
            let at = column(&bytes[found.start..quote as usize], self.line);
            open_quote_in_header(source, at, options, &mut block.findings);
            self.given_up = true;
            return;
        }
        let task = HeaderTask {
            options,
            labels,
            place: place(source, self.line),
            stdin: source.path.is_none(),
            no_format: source.has_no_format(),
            binary,
        };
        let (findings, unescaped) = (&mut block.findings, &mut block.unescaped);
        match task.read(splitter, found, bytes, unescaped, findings) {
            Ok(First::Header(found)) => *header = Some(found),
            Ok(First::Separator) => {}
            Ok(First::Unusable) => self.given_up = true,
            Err(error) => {
                error.add(source, findings);
                self.given_up = true;
            }
        }
        self.below_header = true;
        self.blank = 0;
    }

    /// Takes an object of JSON; refuses the file if the first one has another layout.
    fn json_record(
        &mut self,
        found: &RecordSpan,
        source: &Source,
        options: &ReadOptions,
        labels: Labels,
        block: &mut Block,
    ) {
        let line = &block.bytes[found.start..found.end];
        let text = str::from_utf8(line).unwrap_or_default();
        let binary = self.input.binary && !self.input.transcodes() && !text.starts_with('{');
        let is_line = matches!(&self.kind, Kind::Jsonl);
        let refused = match self.rows {
            0 => refuse_binary(line, binary)
                .and_then(|()| refuse_references(text, options))
                .and_then(|()| match is_line {
                    true => refuse_layout(text, options, labels)
                        .and_then(|()| refuse_csv(text, source, options)),
                    false if text.starts_with('[') => Err(array_of_arrays(options)),
                    false => Ok(()),
                }),
            _ => Ok(()),
        };
        match refused {
            Err(error) => {
                error.add(source, &mut block.findings);
                self.given_up = true;
            }
            Ok(()) => {
                let body = RecordBody::Json {
                    is_element: !is_line,
                };
                self.push(found.start, found.end, body, source, block);
            }
        }
    }

    fn push(
        &mut self,
        start: usize,
        end: usize,
        body: RecordBody,
        source: &Source,
        block: &mut Block,
    ) {
        let Some(number) = self.rows.checked_add(1) else {
            let message = format!("the file has more than `{}` rows", u32::MAX);
            let help = "split the file".to_owned();
            block
                .findings
                .error(&codes::TOO_MANY, message, Some(source.place()), help);
            self.given_up = true;
            return;
        };
        self.rows = number;
        let (start, end) = (start as u32, end as u32);
        block.records.push(Record {
            line: self.line,
            number,
            start,
            end,
            body,
        });
    }

    /// Counts the record and abandons the file: if a quote is open, the starts of later rows are
    /// unknown. The place is the field in which the record exceeds the limit.
    fn too_large(
        &mut self,
        (start, end): (usize, usize),
        lines_before: u64,
        source: &Source,
        options: &ReadOptions,
        block: &mut Block,
    ) {
        let mut at = start as u32;
        if let Kind::Delimited { splitter, .. } = &self.kind {
            let edge = (start + options.max_record_bytes) as u32;
            let within = splitter.fields.iter().rev().find(|field| field.at <= edge);
            at = within.map_or(at, |field| field.at);
        }
        self.line += lines_before;
        self.push(start, end, RecordBody::TooLarge { at }, source, block);
        self.given_up = true;
    }
}

/// Reports a JSON array that ends too early, at this place.
fn open_array(place: Place, findings: &mut Findings) {
    findings.error(
        &codes::OPEN_ARRAY,
        "the file ends before the JSON array does: rows are missing or damaged".to_owned(),
        Some(place),
        "download or write the file again, or end it with `]`".to_owned(),
    );
}

/// Reports lines between the rows of a file with one column.
fn blank_lines(place: Place, count: u64, findings: &mut Findings) {
    findings.add_many(&codes::BLANK_LINE, Severity::Warning, count, || Finding {
        message: "a blank line is not a row, and has no result".to_owned(),
        place: Some(place),
        help: "write \"\" for a row without text, or remove {them}".to_owned(),
    });
}

/// Reports a byte order mark that is not at the start of a file.
fn joined_files(place: Place, findings: &mut Findings) {
    findings.add(&codes::BYTE_ORDER_MARK, Severity::Warning, || Finding {
        message: "the row begins with a byte order mark, which is ignored".to_owned(),
        place: Some(place),
        help: "remove {them}; check whether files were joined".to_owned(),
    });
}
