//! Reads the rows of a channel: CSV, TSV, JSON, fastText's format, plain lines, parquet and Arrow,
//! plain or compressed, in blocks.
//!
//! One thread at a time reads the next block, hashes it and finds its records. The rest of the work
//! (UTF-8 validation, unescaping, the caller's encoding) runs in parallel, and the results are
//! joined in file order. Texts are not kept: memory is bounded by the block size, not by the file
//! size.
//!
//! Errors in rows do not stop reading. They are counted, the first of each kind is stored, and the
//! final error lists all kinds. [`codes`] has the list of kinds.

mod audit;
mod block;
mod block_reader;
mod channel;
mod check;
pub mod codes;
mod columns;
pub mod corpus;
mod decode;
mod delimited;
mod encoding;
mod fetch;
mod findings;
mod input;
mod json;
mod label_sets;
mod near;
#[cfg(feature = "parquet")]
mod parquet;
pub mod random;
mod read;
mod sniff;
mod source;
mod stream;

pub use audit::{separator_in, similar_label};
pub use channel::{sources, split_scheme};
pub use check::{CheckSummary, check};
pub use corpus::{Channels, Corpus, RowTable, one_spelling};
pub use decode::{Batch, Kept, Row, join_pair, join_texts, split_pair};
pub use encoding::encoding;
pub use fetch::fetch_texts;
pub use findings::Findings;
pub use label_sets::{LabelSets, MultiLabel, labels_of};
pub use near::{is_of_unsegmented_script, may_be_unsegmented};
pub use read::{Encode, RowRef, Rows, TrainTexts, read, single_rows, text_hash, unusable_labels};
pub use sagemaker::metrics::Split;
pub use source::{Format, Source};
pub use stream::{Streamed, stream};

use diagnostics::Place;
use serde::Serialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Options for reading.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Name of the text column. Without a header, the number of the column, from 0.
    pub text_column: String,
    /// Names of further text columns. Their values follow the first text after a blank.
    pub other_text_columns: Vec<String>,
    /// The two texts of a row are a pair instead, which [`split_pair`] takes apart.
    pub text_pair: bool,
    /// Name of the label column.
    pub label_column: String,
    /// Set if rows may have several labels, or none.
    pub multi_label: Option<MultiLabel>,
    /// Name of the column with the weights of the rows: the first one of [`Batch::kept`].
    pub weight_column: Option<String>,
    /// Names of columns whose values are kept: see [`Batch::kept`].
    pub keep_columns: Vec<String>,
    /// Encoding; `None` means UTF-8. A byte order mark takes precedence.
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// Byte between the fields of CSV and TSV files. `None`: by file name, unless the header has
    /// the columns only with another delimiter.
    pub delimiter: Option<u8>,
    /// Quoting of CSV and TSV files. `None`: minimal, but a quoted field of a TSV file that
    /// contains whole rows is an error.
    pub quoting: Option<Quoting>,
    /// Byte before a byte of a CSV or TSV file that is part of the text, such as a quote.
    pub escape: Option<u8>,
    /// The first line of CSV and TSV files is a row; the names of the columns are their numbers,
    /// from 0.
    pub no_header: bool,
    /// Drop and count rows without text or label, instead of reporting errors.
    pub drop_missing: bool,
    /// Drop and count rows that cannot be parsed, instead of reporting errors.
    pub drop_malformed: bool,
    /// Keep rows without text, as empty texts and with a warning, unless `drop_missing` is set.
    pub keep_blank: bool,
    /// Compute the hashes that find texts which are almost equal.
    pub near_duplicates: bool,
    /// Compute the sketches that find texts which share most of their words.
    pub sketches: bool,
    /// Number of threads, including the calling one.
    pub threads: NonZeroUsize,
    /// Compute the SHA-256 of each file.
    pub hash: bool,
    /// Number of bytes read at once. The result does not depend on it.
    pub block_bytes: usize,
    /// Maximum size of a record, so that an open quote does not fill memory. At most 1 GiB.
    pub max_record_bytes: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            text_column: "text".to_owned(),
            other_text_columns: Vec::new(),
            text_pair: false,
            label_column: "label".to_owned(),
            multi_label: None,
            weight_column: None,
            keep_columns: Vec::new(),
            encoding: None,
            delimiter: None,
            quoting: None,
            escape: None,
            no_header: false,
            drop_missing: false,
            drop_malformed: false,
            keep_blank: false,
            near_duplicates: false,
            sketches: false,
            threads: NonZeroUsize::MIN,
            hash: true,
            block_bytes: 512 * 1024,
            max_record_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Quoting of fields; the names are those of Python's `csv` module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// A field that begins with a quote ends at the next single quote.
    Minimal,
    /// Quotes are part of the text.
    None,
}

/// Treatment of the label column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Rows without label are errors, or dropped.
    Required,
    /// Labels are read if present.
    Optional,
    /// The label column is not read.
    Ignored,
}

/// Place of a row in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowPlace {
    /// Index into the sources.
    pub source: u32,
    /// Data record in its file, from 1; the header is not counted.
    pub record: u32,
    /// First line of the row, from 1; 0 for formats without lines (parquet, Arrow).
    pub line: u64,
}

impl RowPlace {
    /// Converts to a printable place.
    pub fn place(&self, sources: &[Source]) -> Place {
        let file = sources
            .get(self.source as usize)
            .map_or_else(String::new, |source| source.display.clone());
        let line = (self.line > 0).then_some(self.line);
        Place {
            file,
            line,
            column: None,
            record: Some(u64::from(self.record)),
        }
    }
}

/// Numbers of rows read, used and dropped: `read` is `used` plus the sum of `dropped`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Counts of each file, in reading order.
    pub files: Vec<FileCounts>,
    /// Rows in all files.
    pub read: u64,
    /// Rows used.
    pub used: u64,
    /// Rows dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// Counts of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileCounts {
    /// The path as the user gave it, or as found below the folder that the user gave.
    pub path: String,
    /// Size on disk in bytes.
    pub bytes: u64,
    /// Rows in the file.
    pub rows_read: u64,
    /// SHA-256 of the file on disk; absent if not requested or if the file was not read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// True if the labels are the names in the schema of a parquet or Arrow file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub named_labels: bool,
}

impl RowCounts {
    /// Statement that the labels are the names in the schemas of the files, if they are.
    pub fn named_labels(&self) -> Option<&'static str> {
        let is_named = self.files.iter().any(|file| file.named_labels);
        is_named.then_some("the labels are the names in the file's schema")
    }
}

/// Error of reading.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stop flag was set.
    #[error("stopped while reading the data")]
    Stopped,
    /// The data has errors.
    #[error("{}", .0.findings)]
    Data(Box<BadData>),
}

impl From<ReadError> for diagnostics::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Stopped => Self::stopped(),
            ReadError::Data(bad) => Self::data(bad.findings.errors().collect()),
        }
    }
}

/// Findings and counts of data with errors.
#[derive(Clone, Debug)]
pub struct BadData {
    /// Findings; at least one error.
    pub findings: Findings,
    /// Row counts.
    pub counts: RowCounts,
}

/// Error of streaming.
#[derive(Debug, thiserror::Error)]
pub enum StreamError<E> {
    /// The data could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The receiver of the results failed.
    #[error("{0}")]
    Sink(E),
}

/// Parses the delimiter of CSV files: one ASCII character, or `tab`.
///
/// # Errors
/// It is another text.
pub fn parse_delimiter(value: &str) -> Result<u8, String> {
    match value.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err("expected one ASCII character, or `tab`".to_owned()),
    }
}

/// Parses the escape character of CSV files: ASCII punctuation, but not the quote.
///
/// # Errors
/// It is another text.
pub fn parse_escape(value: &str) -> Result<u8, String> {
    match value.as_bytes() {
        [byte] if byte.is_ascii_punctuation() && *byte != b'"' => Ok(*byte),
        _ => Err("expected a character such as `\\`".to_owned()),
    }
}
