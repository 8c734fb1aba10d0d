//! Splits CSV and TSV bytes into records and fields, without copying them.
//!
//! Quoting and line ends follow the csv crate. Well-formed records are split by searching for
//! delimiters, quotes and line ends. All other records are parsed by csv-core from their first
//! byte, so that malformed input is read in the same way. A property test compares both on
//! arbitrary bytes.

use csv_core::ReadFieldResult;
use memchr::{memchr, memchr_iter, memchr3};

mod escaped;

/// Representation of a field's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// In the block, verbatim.
    Plain,
    /// In the block, with each quote doubled.
    Doubled,
    /// In the block's `unescaped` buffer, as csv-core wrote it.
    Unescaped,
}

/// One field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Offset of the first byte of the content, without the opening quote.
    pub(super) start: u32,
    /// One past the last byte of the content.
    pub(super) end: u32,
    /// Offset of the field in the block, including its opening quote.
    pub(super) at: u32,
    pub(super) shape: Shape,
}

/// Defect of a record. Values are offsets in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The quote opened here is never closed: the record extends to the end of the file.
    Unclosed(u32),
    /// Text follows the closing quote here.
    Stray(u32),
}

/// Extent of a record; its fields are in [`Splitter::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordSpan {
    pub(super) start: usize,
    /// One past the last byte, without the line end.
    pub(super) end: usize,
    /// Offset at which the next record is searched.
    pub(super) next: usize,
    /// Empty lines before the record.
    pub(super) lines_before: u64,
    /// Line ends in the record, including the last.
    pub(super) lines: u64,
    pub(super) malformed: Option<Malformed>,
}

/// One step of the splitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Record(RecordSpan),
    /// More bytes are needed to find the end of the next record; call again from its start. The
    /// last of [`Splitter::fields`] is incomplete.
    More {
        /// Offset of that record.
        start: usize,
    },
    /// No record is left; `next` is the offset at which to continue with more bytes.
    End {
        next: usize,
    },
}

/// Splits one file.
pub(super) struct Splitter {
    pub(super) delimiter: u8,
    /// False if quotes are part of the text.
    quoted: bool,
    /// Byte that makes the next one part of the text.
    escape: Option<u8>,
    core: csv_core::Reader,
    /// Fields of the record that the last step found.
    pub(super) fields: Vec<Field>,
}

enum Quoted {
    Closed {
        end: usize,
        doubled: bool,
    },
    /// Text follows the closing quote at this offset.
    Stray(usize),
    Open,
    More,
}

impl Splitter {
    pub(super) fn new(delimiter: u8, quoted: bool, escape: Option<u8>) -> Self {
        let core = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self {
            delimiter,
            quoted,
            escape,
            core,
            fields: Vec::new(),
        }
    }

    /// Finds the record at or after `from`. `complete`: `bytes` reach to the end of the file.
    pub(super) fn step(
        &mut self,
        bytes: &[u8],
        from: usize,
        complete: bool,
        unescaped: &mut Vec<u8>,
    ) -> Step {
        let mut start = from;
        while matches!(bytes.get(start), Some(b'\r' | b'\n')) {
            start += 1;
        }
        if start == bytes.len() {
            // A carriage return at the end may be half of a line end: keep it, so that the line is
            // counted once.
            let half = !complete && start > from && bytes[start - 1] == b'\r';
            return Step::End {
                next: start - usize::from(half),
            };
        }
        let lines_before = lines(&bytes[from..start]);
        self.fields.clear();
        if let Some(escape) = self.escape {
            return self.escaped(bytes, (start, lines_before), complete, escape, unescaped);
        }
        let mut at = start;
        let mut inner_lines = 0;
        loop {
            let (field, after) = if self.quoted && bytes[at..].first() == Some(&b'"') {
                match self.quoted(bytes, at, complete) {
                    Quoted::Closed { end, doubled } => {
                        inner_lines += lines(&bytes[at + 1..end]);
                        let shape = if doubled {
                            Shape::Doubled
                        } else {
                            Shape::Plain
                        };
                        (field(at + 1, end, at, shape), end + 1)
                    }
                    Quoted::Stray(quote) => {
                        return self.parse_with_csv_core(
                            bytes,
                            start,
                            lines_before,
                            complete,
                            quote,
                            unescaped,
                        );
                    }
                    Quoted::Open if complete => {
                        return self.unclosed(bytes, start, at, lines_before);
                    }
                    Quoted::Open | Quoted::More => return self.more(start, at),
                }
            } else {
                match memchr3(self.delimiter, b'\n', b'\r', &bytes[at..]) {
                    Some(n) => (field(at, at + n, at, Shape::Plain), at + n),
                    None if complete => (field(at, bytes.len(), at, Shape::Plain), bytes.len()),
                    None => return self.more(start, at),
                }
            };
            self.fields.push(field);
            if bytes.get(after) == Some(&self.delimiter) {
                at = after + 1;
                continue;
            }
            let Some(next) = line_end(bytes, after, complete) else {
                return Step::More { start };
            };
            let lines = inner_lines + 1;
            return Step::Record(RecordSpan {
                start,
                end: after,
                next,
                lines_before,
                lines,
                malformed: None,
            });
        }
    }

    /// The record whose last field opens a quote at `at` and extends to the end of the file.
    #[cold]
    fn unclosed(&mut self, bytes: &[u8], start: usize, at: usize, lines_before: u64) -> Step {
        let end = bytes.len();
        self.fields.push(field(at + 1, end, at, Shape::Plain));
        Step::Record(RecordSpan {
            start,
            end,
            next: end,
            lines_before,
            lines: lines(&bytes[start..]),
            malformed: Some(Malformed::Unclosed(at as u32)),
        })
    }

    fn more(&mut self, start: usize, at: usize) -> Step {
        self.fields.push(field(at, at, at, Shape::Plain));
        Step::More { start }
    }

    fn quoted(&self, bytes: &[u8], open: usize, complete: bool) -> Quoted {
        let mut from = open + 1;
        let mut doubled = false;
        while let Some(n) = memchr(b'"', &bytes[from..]) {
            let quote = from + n;
            match bytes.get(quote + 1) {
                Some(b'"') => {
                    doubled = true;
                    from = quote + 2;
                }
                Some(b'\r' | b'\n') => {
                    return Quoted::Closed {
                        end: quote,
                        doubled,
                    };
                }
                Some(&byte) if byte == self.delimiter => {
                    return Quoted::Closed {
                        end: quote,
                        doubled,
                    };
                }
                Some(_) => return Quoted::Stray(quote),
                None if complete => {
                    return Quoted::Closed {
                        end: quote,
                        doubled,
                    };
                }
                None => return Quoted::More,
            }
        }
        Quoted::Open
    }

    /// Parses a record with text after a closing quote by csv-core.
    fn parse_with_csv_core(
        &mut self,
        bytes: &[u8],
        start: usize,
        lines_before: u64,
        complete: bool,
        stray: usize,
        unescaped: &mut Vec<u8>,
    ) -> Step {
        let mark = unescaped.len();
        self.fields.clear();
        self.core.reset();
        // Feed a line end first. It yields nothing, but without it the parser would treat the
        // record's first bytes as a byte order mark if they look like one.
        self.core.read_field(b"\n", &mut [0]);
        let (mut at, mut field_at, mut content, mut written) = (start, start, mark, mark);
        let unclosed = loop {
            if unescaped.len() == written {
                unescaped.resize((written * 2).max(1024), 0);
            }
            let (result, read, wrote) = if at < bytes.len() {
                self.core
                    .read_field(&bytes[at..], &mut unescaped[written..])
            } else if complete {
                // Try a line end after the last byte: only an open quote consumes it.
                self.core.read_field(b"\n", &mut [0])
            } else {
                unescaped.truncate(mark);
                return self.more(start, field_at);
            };
            match result {
                ReadFieldResult::InputEmpty if at == bytes.len() => break Some(field_at),
                ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {
                    at += read;
                    written += wrote;
                }
                ReadFieldResult::Field { record_end } => {
                    let at_end = at == bytes.len();
                    if !at_end {
                        at += read;
                        written += wrote;
                    }
                    self.fields
                        .push(field(content, written, field_at, Shape::Unescaped));
                    (field_at, content) = (at, written);
                    if record_end {
                        at -= usize::from(!at_end);
                        break None;
                    }
                }
                ReadFieldResult::End => break None,
            }
        };
        unescaped.truncate(written);
        let Some(next) = line_end(bytes, at, complete) else {
            unescaped.truncate(mark);
            return Step::More { start };
        };
        let malformed = match unclosed {
            Some(open) => {
                self.fields
                    .push(field(content, written, open, Shape::Unescaped));
                Malformed::Unclosed(open as u32)
            }
            None => Malformed::Stray(stray as u32),
        };
        let inner = lines(&bytes[start..at]);
        Step::Record(RecordSpan {
            start,
            end: at,
            next,
            lines_before,
            lines: inner + 1,
            malformed: Some(malformed),
        })
    }
}

/// Offsets fit in 32 bits: blocks are far below 4 GiB (see `ReadOptions::max_record_bytes`).
fn field(start: usize, end: usize, at: usize, shape: Shape) -> Field {
    Field {
        start: start as u32,
        end: end as u32,
        at: at as u32,
        shape,
    }
}

/// Skips the line end at `at`. `None` if it may extend beyond `bytes`.
fn line_end(bytes: &[u8], at: usize, complete: bool) -> Option<usize> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Some(at + 2),
        (Some(b'\r'), None) | (None, _) if !complete => None,
        (Some(_), _) => Some(at + 1),
        (None, _) => Some(at),
    }
}

/// Counts line ends in `bytes`: `\n`, `\r\n` and `\r` count as one each.
pub(super) fn lines(bytes: &[u8]) -> u64 {
    let feeds = memchr_iter(b'\n', bytes).count();
    let mut lone = 0;
    for at in memchr_iter(b'\r', bytes) {
        lone += usize::from(bytes.get(at + 1) != Some(&b'\n'));
    }
    (feeds + lone) as u64
}

#[cfg(test)]
mod tests;
