//! Reads labelled rows for training and scoring.

use super::audit::{self, Texts};
use super::decode::Batch;
use super::stream::{ReadTask, Streamed, run};
use super::{
    BadData, Findings, Labels, ReadError, ReadOptions, RowCounts, RowPlace, Source, StreamError,
};
use diagnostics::Diagnostic;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// What a trainer makes of each text; every thread has one of its own. Texts come in the order of the file within a
/// block only: [`Rows::order`] tells where each row went.
pub trait Encode: Send {
    /// Takes in one text.
    fn encode(&mut self, text: &str);
}

/// Where a row's encoding is: the encoder, and how many texts that encoder had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef {
    /// Index into [`Rows::encoders`].
    pub encoder: u32,
    /// Index in that encoder.
    pub index: u32,
}

/// All rows of a channel, encoded. The vectors have one entry for each row, in the order of the files; they do not
/// depend on the number of threads, except for `encoders` and `order`.
#[derive(Debug)]
pub struct Rows<E> {
    /// One encoder for each thread.
    pub encoders: Vec<E>,
    /// Which encoder had the row.
    pub order: Vec<RowRef>,
    /// Index into `label_names`.
    pub labels: Vec<u32>,
    /// In the order in which they first appear.
    pub label_names: Vec<String>,
    /// Of the text, by xxh3; equal texts are found by it.
    pub hashes: Vec<u64>,
    /// Where the row stands.
    pub places: Vec<RowPlace>,
    /// Where each row went.
    pub counts: RowCounts,
    /// Warnings.
    pub findings: Findings,
}

struct Worker<E> {
    id: u32,
    encoder: E,
    rows: u32,
    labels: HashMap<String, u32>,
}

/// What one block adds.
struct Chunk {
    encoder: u32,
    first: u32,
    /// Numbers of the labels in that encoder's own list.
    labels: Vec<u32>,
    /// Labels that the encoder had not seen before.
    new_names: Vec<String>,
    hashes: Vec<u64>,
    places: Vec<RowPlace>,
}

impl<E: Encode> Worker<E> {
    fn take(&mut self, batch: &Batch<'_>) -> Chunk {
        let rows = batch.len();
        let mut chunk = Chunk {
            encoder: self.id,
            first: self.rows,
            labels: Vec::with_capacity(rows),
            new_names: Vec::new(),
            hashes: Vec::with_capacity(rows),
            places: Vec::with_capacity(rows),
        };
        for row in batch.rows() {
            let name = row.label.unwrap_or_default();
            let label = match self.labels.get(name) {
                Some(label) => *label,
                None => {
                    let label = self.labels.len() as u32;
                    self.labels.insert(name.to_owned(), label);
                    chunk.new_names.push(name.to_owned());
                    label
                }
            };
            chunk.labels.push(label);
            chunk.hashes.push(xxh3_64(row.text.as_bytes()));
            chunk.places.push(row.place);
            self.encoder.encode(row.text);
        }
        self.rows += rows as u32;
        chunk
    }
}

/// Puts the chunks together in the order of the files.
#[derive(Default)]
struct Merge {
    order: Vec<RowRef>,
    labels: Vec<u32>,
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// For each encoder: its labels' names, and their numbers here once one was met.
    encoders: Vec<Vec<(String, Option<u32>)>>,
    hashes: Vec<u64>,
    places: Vec<RowPlace>,
}

impl Merge {
    fn take(&mut self, chunk: Chunk) {
        let encoder = chunk.encoder as usize;
        if self.encoders.len() <= encoder {
            self.encoders.resize_with(encoder + 1, Vec::new);
        }
        let known = &mut self.encoders[encoder];
        known.extend(chunk.new_names.into_iter().map(|name| (name, None)));
        for (index, label) in (chunk.first..).zip(&chunk.labels) {
            let (name, number) = &mut known[*label as usize];
            let number = *number.get_or_insert_with(|| {
                *self.numbers.entry(name.clone()).or_insert_with(|| {
                    self.names.push(name.clone());
                    self.names.len() as u32 - 1
                })
            });
            self.labels.push(number);
            self.order.push(RowRef {
                encoder: chunk.encoder,
                index,
            });
        }
        self.hashes.extend(chunk.hashes);
        self.places.extend(chunk.places);
    }
}

impl<E> Rows<E> {
    pub(super) fn texts(&self) -> Texts<'_> {
        Texts {
            hashes: &self.hashes,
            labels: &self.labels,
            names: &self.label_names,
            places: &self.places,
        }
    }
}

/// Returns the error that the training data has a single class, if so.
pub fn one_class<E>(rows: &Rows<E>, sources: &[Source]) -> Option<Diagnostic> {
    audit::one_label(&rows.label_names, rows.counts.used, sources)
}

/// Finds rows of the test data whose text is also in the training data.
pub fn leak<E, F>(
    (train, train_sources): (&Rows<E>, &[Source]),
    (test, test_sources): (&Rows<F>, &[Source]),
) -> Findings {
    let mut findings = Findings::default();
    audit::leaked(
        (&train.texts(), train_sources),
        (&test.texts(), test_sources),
        &mut findings,
    );
    findings
}

/// Reads all rows of a channel; `make` is called once for each thread.
///
/// Texts that stand twice, with the same label or with another, and labels that differ only in case or blanks are
/// counted warnings in the result.
///
/// # Errors
/// When the data has errors that the options do not allow, or when `stop` was set.
pub fn read<E: Encode>(
    sources: &[Source],
    options: &ReadOptions,
    make: impl Fn() -> E + Sync,
    stop: &AtomicBool,
) -> Result<Rows<E>, ReadError> {
    let task = ReadTask {
        sources,
        options,
        labels: Labels::Required,
        stop,
        limit: 1,
    };
    let mut rows = read_all(task, make, |_| {})?;
    if rows.findings.has_errors() {
        return Err(ReadError::Data(Box::new(BadData {
            findings: rows.findings,
            counts: rows.counts,
        })));
    }
    let mut findings = std::mem::take(&mut rows.findings);
    audit::labels(&rows.label_names, &mut findings);
    audit::duplicates(&rows.texts(), sources, &mut findings);
    rows.findings = findings;
    Ok(rows)
}

/// The rows that can be used, and the findings about the others; `notice` sees each finding that is kept.
pub(super) fn read_all<E: Encode>(
    task: ReadTask<'_>,
    make: impl Fn() -> E + Sync,
    notice: impl FnMut(&Diagnostic) + Send,
) -> Result<Rows<E>, ReadError> {
    let ids = AtomicU32::new(0);
    let state = || Worker {
        id: ids.fetch_add(1, Ordering::Relaxed),
        encoder: make(),
        rows: 0,
        labels: HashMap::new(),
    };
    let mut merge = Merge::default();
    let sink = |chunk| -> Result<(), Infallible> {
        merge.take(chunk);
        Ok(())
    };
    let map = |encoder: &mut Worker<E>, batch: &Batch<'_>| encoder.take(batch);
    let Streamed {
        counts,
        findings,
        mut states,
    } = match run(task, state, map, sink, notice) {
        Ok(streamed) => streamed,
        Err(StreamError::Read(error)) => return Err(error),
        Err(StreamError::Sink(never)) => match never {},
    };
    states.sort_by_key(|encoder| encoder.id);
    Ok(Rows {
        encoders: states.into_iter().map(|encoder| encoder.encoder).collect(),
        order: merge.order,
        labels: merge.labels,
        label_names: merge.names,
        hashes: merge.hashes,
        places: merge.places,
        counts,
        findings,
    })
}
