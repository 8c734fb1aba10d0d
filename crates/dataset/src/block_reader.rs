//! Splits the files into blocks of whole records, in order. Runs on one thread at a time.

mod records;

use diagnostics::Place;

use self::records::{line, names, open_quote_in_header, row};
use crate::block::{Block, Record, RecordBody, column};
use crate::codes;
use crate::columns::{self, Columns};
use crate::delimited::{Malformed, Splitter, Step, lines};
use crate::findings::Findings;
use crate::input::{FileError, Input};
#[cfg(feature = "parquet")]
use crate::parquet::Parquet;
use crate::source::{Format, Source};
use crate::{FileCounts, Labels, ReadOptions};

enum Kind {
    Delimited {
        splitter: Box<Splitter>,
        columns: Option<Columns>,
    },
    Jsonl,
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
    /// True if reading was abandoned because of an error.
    given_up: bool,
}

enum Reading {
    Bytes(Box<Open>),
    #[cfg(feature = "parquet")]
    Parquet(Box<Parquet>),
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
        block.unescaped.clear();
        block.used = 0;
        block.findings = Findings::new(block.findings.limit());
        if self.reading.is_none() {
            let source = self.sources.get(self.next)?;
            block.source = self.next as u32;
            self.next += 1;
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
                });
            }
        }
        if let (Some(reading), Some(source)) = (&mut self.reading, self.sources.get(self.next - 1))
        {
            let done = match reading {
                Reading::Bytes(open) => open.fill(source, self.options, self.labels, block),
                #[cfg(feature = "parquet")]
                Reading::Parquet(parquet) => parquet.fill(source, block),
            };
            if let Some(file_counts) = done {
                if file_counts.rows_read == 0 && !block.findings.has_errors() {
                    no_rows(&file_counts, source, self.sources.len() == 1, block);
                }
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
            splitter: Box::new(Splitter::new(delimiter)),
            columns: None,
        },
        Format::Jsonl => Kind::Jsonl,
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            let parquet = Parquet::open(source, options, labels, findings)?;
            return Ok(parquet.map(|parquet| Reading::Parquet(Box::new(parquet))));
        }
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => {
            let _ = (labels, findings);
            let message = "this program was built without parquet support".to_owned();
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
        given_up: false,
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
    let found = || super::findings::Finding {
        message: message.to_owned(),
        place: Some(source.place()),
        help: "add at least one row; a CSV file also needs a header".to_owned(),
    };
    let severity = if alone {
        diagnostics::Severity::Error
    } else {
        diagnostics::Severity::Warning
    };
    block.findings.add(&codes::NO_ROWS, severity, found);
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
            if let Some(error) = error.filter(|_| !self.given_up) {
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
        while !self.given_up {
            let bytes = &block.bytes[..filled];
            let step = match &mut self.kind {
                Kind::Delimited { splitter, .. } => {
                    splitter.step(bytes, from, self.complete, &mut block.unescaped)
                }
                Kind::Jsonl => line(bytes, from, self.complete),
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
                    self.line += lines(&bytes[from..next]);
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
            let Kind::Delimited { splitter, columns } = &mut self.kind else {
                self.push(found.start, found.end, RecordBody::Json, source, block);
                self.line += found.lines;
                from = found.next;
                continue;
            };
            let body = match (&columns, found.malformed) {
                (None, Some(Malformed::Unclosed(quote))) => {
                    let at = column(&bytes[found.start..quote as usize], self.line);
                    open_quote_in_header(source, at, &mut block.findings);
                    self.given_up = true;
                    break;
                }
                (None, _) => {
                    let names = names(&splitter.fields, bytes, &block.unescaped);
                    let place = Place {
                        line: Some(self.line),
                        ..source.place()
                    };
                    *columns =
                        columns::resolve(&names, options, labels, &place, &mut block.findings);
                    self.given_up = columns.is_none();
                    self.line += found.lines;
                    from = found.next;
                    continue;
                }
                (Some(_), Some(Malformed::Unclosed(quote))) => RecordBody::Unclosed { quote },
                (Some(columns), malformed) => row(&splitter.fields, columns, malformed, found.end),
            };
            block.columns = columns.map_or(0, |columns| columns.count as u32);
            self.push(found.start, found.end, body, source, block);
            self.line += found.lines;
            from = found.next;
        }
        from
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
