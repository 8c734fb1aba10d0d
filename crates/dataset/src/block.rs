//! Blocks of records, which the reading thread passes to the worker threads.

use memchr::memrchr2;

use crate::delimited::{Field, lines};
use crate::findings::Findings;

/// Content of a record as far as splitting finds it.
#[derive(Clone, Copy, Debug)]
pub(super) enum RecordBody {
    /// Text and label; `None` for a missing or unwanted value. `stray`: offset of a closing quote
    /// that text follows. `rows`: a quoted field contains lines that look like rows.
    Fields {
        text: Option<Field>,
        label: Option<Field>,
        stray: Option<u32>,
        rows: bool,
    },
    /// Text and label of a line without columns.
    Line {
        text: Option<Field>,
        label: Option<Field>,
    },
    /// A line with several labels.
    Labels { count: u32 },
    /// A row that is not data.
    Header(HeaderRow),
    /// A line of JSON, or an element of a JSON array.
    Json { is_element: bool },
    /// Wrong number of fields; `at` is the offset of the first surplus field, or the end of the
    /// row.
    Count { fields: u32, at: u32 },
    /// A quote, at this offset, that is never closed.
    Unclosed { quote: u32 },
    /// Larger than the limit; the rest of the file is not read.
    TooLarge { at: u32 },
}

/// Kind of a row that is not data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderRow {
    /// The header again.
    Repeated,
    /// The names of the header in another order.
    OtherOrder,
    /// The line below the header that consists of dashes.
    Dashes,
}

/// A value of a kept column.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptField {
    pub(super) field: Field,
    /// True if it is a number or a boolean, as JSON writes it.
    pub(super) json: bool,
}

/// One record of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) line: u64,
    pub(super) number: u32,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) body: RecordBody,
}

/// Whole records of one file.
#[derive(Default)]
pub(super) struct Block {
    /// Bytes of the file; valid up to `used`.
    pub(super) bytes: Vec<u8>,
    pub(super) used: usize,
    /// Contents of fields that csv-core unquoted.
    pub(super) unescaped: Vec<u8>,
    pub(super) records: Vec<Record>,
    /// Values of the kept columns of each record that is [`RecordBody::Fields`] or
    /// [`RecordBody::Line`], one record after the other.
    pub(super) kept: Vec<Option<KeptField>>,
    /// Index of the file.
    pub(super) source: u32,
    /// Offset of `bytes` in the file.
    pub(super) offset: u64,
    /// Number of fields that a record must have.
    pub(super) columns: u32,
    /// Byte between two fields.
    pub(super) delimiter: u8,
    /// Name of the file's encoding if `bytes` were converted to UTF-8.
    pub(super) transcoded: Option<&'static str>,
    pub(super) compressed: bool,
    /// True if earlier rows of the file are UTF-8 beyond ASCII.
    pub(super) after_utf8: bool,
    /// Findings about the whole file.
    pub(super) findings: Findings,
}

impl Block {
    /// True if more records have valid UTF-8 beyond ASCII than have invalid bytes, or if an
    /// earlier block is UTF-8 beyond ASCII.
    pub(super) fn mostly_utf8(&self) -> bool {
        let (mut valid, mut invalid) = (0, 0);
        for record in &self.records {
            let bytes = &self.bytes[record.start as usize..record.end as usize];
            match std::str::from_utf8(bytes) {
                Err(_) => invalid += 1,
                Ok(text) => valid += usize::from(!text.is_ascii()),
            }
        }
        self.after_utf8 || valid > invalid
    }
}

/// Returns the line and column after `before`, which starts on `line`.
pub(super) fn column(before: &[u8], line: u64) -> (u64, u64) {
    let start = memrchr2(b'\n', b'\r', before).map_or(0, |at| at + 1);
    (line + lines(before), (before.len() - start) as u64 + 1)
}
