//! What the reading thread hands to the working ones.

use super::delimited::{Field, lines};
use super::findings::Findings;
use memchr::memrchr2;

/// What is known of a record before its bytes are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum RecordBody {
    /// Its fields; none where there is no value, or where it is not wanted.
    Fields {
        text: Option<Field>,
        label: Option<Field>,
        stray: Option<u32>,
    },
    /// A line of JSON.
    Json,
    /// The wrong number of fields, and where the first that is too much stands, or where the row ends too early.
    Count { fields: u32, at: u32 },
    /// A quote that is never closed.
    Unclosed { quote: u32 },
    /// Larger than is allowed; the rest of the file is not read.
    TooLarge { at: u32 },
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
    /// The file's bytes; of use up to `used`.
    pub(super) bytes: Vec<u8>,
    pub(super) used: usize,
    /// Fields that csv-core had to unquote.
    pub(super) unescaped: Vec<u8>,
    pub(super) records: Vec<Record>,
    /// Index of the file.
    pub(super) source: u32,
    /// Where `bytes` starts in the file.
    pub(super) offset: u64,
    /// How many fields a record must have.
    pub(super) columns: u32,
    /// The encoding's name where the bytes are not the file's own.
    pub(super) transcoded: Option<&'static str>,
    pub(super) compressed: bool,
    /// What was found out about the file as a whole.
    pub(super) findings: Findings,
}

/// Line and column behind `before`, which starts on `line`.
pub(super) fn column(before: &[u8], line: u64) -> (u64, u64) {
    let start = memrchr2(b'\n', b'\r', before).map_or(0, |at| at + 1);
    (line + lines(before), (before.len() - start) as u64 + 1)
}
