//! Reads the rows of a channel: CSV, TSV, JSON lines and parquet, plain or compressed, in blocks.
//!
//! One thread at a time takes the next block from the file, hashes it and finds the records in it; the rest of the
//! work on a block (UTF-8, unescaping, and what the caller does with each text) runs in parallel, and the results
//! are put together in the order of the file. No text is kept: memory is bounded by the block size, whatever the
//! size of the file.
//!
//! What is wrong with a row never stops the reading: it is counted, the first of its kind is kept whole, and the error
//! at the end tells them all. [`codes`] lists the kinds.

mod audit;
mod block;
mod block_reader;
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
#[cfg(feature = "parquet")]
mod parquet;
pub mod random;
mod read;
mod source;
mod stream;

pub use check::{CheckSummary, check};
pub use corpus::{Channels, Corpus, RowTable};
pub use decode::{Batch, Row};
pub use encoding::encoding;
pub use fetch::fetch_texts;
pub use findings::Findings;
pub use read::{Encode, RowRef, Rows, leak, one_class, read};
pub use sagemaker::metrics::Split;
pub use source::{Format, Source, sources};
pub use stream::{Streamed, stream};

use diagnostics::Place;
use serde::Serialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// How to read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The column that holds the text.
    pub text_column: String,
    /// The column that holds the label.
    pub label_column: String,
    /// None: UTF-8. A byte order mark in the file is believed first.
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// Rows without text or label are dropped and counted, instead of being errors.
    pub drop_missing: bool,
    /// Rows that cannot be read are dropped and counted, instead of being errors.
    pub drop_malformed: bool,
    /// How many threads work; one means the calling thread alone.
    pub threads: NonZeroUsize,
    /// Whether the sha256 of each file is taken.
    pub hash: bool,
    /// How many bytes are read at once. The result does not depend on it.
    pub block_bytes: usize,
    /// No record may be larger: an open quote must not fill the memory. At most 1 GiB.
    pub max_record_bytes: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            text_column: "text".to_owned(),
            label_column: "label".to_owned(),
            encoding: None,
            drop_missing: false,
            drop_malformed: false,
            threads: NonZeroUsize::MIN,
            hash: true,
            block_bytes: 512 * 1024,
            max_record_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Whether rows need a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// A row without one is an error, or dropped.
    Required,
    /// Labels are read where there are any.
    Optional,
    /// The label column is not looked at.
    Ignored,
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowPlace {
    /// Index into the sources.
    pub source: u32,
    /// Data record in its file, from 1; the header is not counted.
    pub record: u32,
    /// Line on which it starts, from 1; 0 where there are no lines (parquet).
    pub line: u64,
}

impl RowPlace {
    /// As it is printed.
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

/// Where each row went: `read` is always `used` plus all that was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// The files, in the order in which they were read.
    pub files: Vec<FileCounts>,
    /// Rows found in all files.
    pub read: u64,
    /// Rows that were used.
    pub used: u64,
    /// Rows that were not, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// One file's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileCounts {
    /// The path as the user gave it, or as found below the folder that the user gave.
    pub path: String,
    /// Size on disk.
    pub bytes: u64,
    /// Rows found in it.
    pub rows_read: u64,
    /// Of the file as it lies on disk; absent when it was not asked for, or when the file could not be read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stop flag was set.
    #[error("stopped while reading the data")]
    Stopped,
    /// Something is wrong with the data.
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

/// All that was found before reading failed.
#[derive(Clone, Debug)]
pub struct BadData {
    /// What is wrong; at least one error.
    pub findings: Findings,
    /// Where each row went.
    pub counts: RowCounts,
}

/// Why streaming failed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError<E> {
    /// The data could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The receiver of the results failed.
    #[error("{0}")]
    Sink(E),
}
