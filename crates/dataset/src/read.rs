//! Reads labelled rows for training and scoring.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use diagnostics::Diagnostic;

use crate::audit::{self, Texts};
use crate::decode::{self, Batch, Kept};
use crate::label_sets;
use crate::near::{self, NearTexts, Sketch, SketchedRows};
use crate::stream::{ReadTask, Streamed, run};
use crate::{
    BadData, Findings, Labels, ReadError, ReadOptions, RowCounts, RowPlace, Source, StreamError,
};

/// Encodes texts for a trainer; each thread has its own. Texts are in file order only within a
/// block: [`Rows::order`] has the position of each row.
pub trait Encode: Send {
    /// Encodes one text.
    fn encode(&mut self, text: &str);
}

/// Position of an encoded row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef {
    /// Index into [`Rows::encoders`].
    pub encoder: u32,
    /// Index of the row in that encoder.
    pub index: u32,
}

/// Encoded rows of a channel. Each vector has one entry per row, in file order, unless noted. Only
/// `encoders` and `order` depend on the number of threads.
#[derive(Debug)]
pub struct Rows<E> {
    /// Encoders, one per thread.
    pub encoders: Vec<E>,
    /// Position of the row in the encoders.
    pub order: Vec<RowRef>,
    /// Index into `label_names`.
    pub labels: Vec<u32>,
    /// Label names, in order of first appearance.
    pub label_names: Vec<String>,
    /// xxh3 hash of the text, to find equal texts.
    pub hashes: Vec<u64>,
    /// Hash of the letters of the text, to find texts that are almost equal; empty without
    /// [`ReadOptions::near_duplicates`].
    pub near_hashes: Vec<u64>,
    /// Sketches of the texts; empty without [`ReadOptions::sketches`].
    pub(super) sketches: Vec<Option<Sketch>>,
    /// Place in the files.
    pub places: Vec<RowPlace>,
    /// Weight of the row; empty without [`ReadOptions::weight_column`].
    pub weights: Vec<f64>,
    /// Row counts.
    pub counts: RowCounts,
    /// Warnings.
    pub findings: Findings,
}

/// State of a thread.
pub(super) struct Worker<E> {
    id: u32,
    encoder: E,
    rows: u32,
    labels: HashMap<String, u32>,
    /// Buffer for letters; `None` if no hashes of letters are wanted.
    letters: Option<Vec<u8>>,
    /// Buffer for shingles; `None` if no sketches are wanted.
    shingles: Option<Vec<u64>>,
    /// True if the rows have weights.
    weighted: bool,
}

/// Rows of one block.
struct Chunk {
    encoder: u32,
    first: u32,
    /// Label indices, in that encoder's own numbering.
    labels: Vec<u32>,
    /// Labels that are new to the encoder.
    new_names: Vec<String>,
    hashes: Vec<u64>,
    near_hashes: Vec<u64>,
    sketches: Vec<Option<Sketch>>,
    places: Vec<RowPlace>,
    weights: Vec<f64>,
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
            near_hashes: Vec::new(),
            sketches: Vec::new(),
            places: Vec::with_capacity(rows),
            weights: Vec::new(),
        };
        if self.weighted {
            chunk
                .weights
                .extend((0..rows).map(|row| weight(batch, row)));
        }
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
            chunk.hashes.push(text_hash(row.text));
            if let Some(letters) = &mut self.letters {
                chunk.near_hashes.push(near_hash(row.text, letters));
            }
            if let Some(shingles) = &mut self.shingles {
                chunk.sketches.push(near::sketch(row.text, shingles));
            }
            chunk.places.push(row.place);
            self.encoder.encode(row.text);
        }
        self.rows += rows as u32;
        chunk
    }
}

/// Returns the weight of a row, which is its first kept value. Decoding has refused other values.
fn weight(batch: &Batch<'_>, row: usize) -> f64 {
    match batch.kept(row).next() {
        Some(Kept::Text(value) | Kept::Json(value)) => decode::weight(value).unwrap_or_default(),
        Some(Kept::Missing) | None => 0.0,
    }
}

/// Returns the hash of the letters of a text in lower case; of the text itself if it has none.
/// `letters` is a buffer.
fn near_hash(text: &str, letters: &mut Vec<u8>) -> u64 {
    letters.clear();
    let mut rest = text;
    loop {
        let ascii = match rest.is_ascii() {
            true => rest.len(),
            false => rest.bytes().take_while(u8::is_ascii).count(),
        };
        let (start, other) = rest.split_at(ascii);
        push_letters(start.as_bytes(), letters);
        let mut others = other.chars();
        let Some(c) = others.next() else { break };
        for lower in c.to_lowercase().filter(|_| c.is_alphabetic()) {
            letters.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = others.as_str();
    }
    match letters.is_empty() {
        true => xxh3_64(text.as_bytes()),
        false => xxh3_64(letters),
    }
}

/// Appends the letters of an ASCII text in lower case.
fn push_letters(ascii: &[u8], letters: &mut Vec<u8>) {
    let start = letters.len();
    letters.resize(start + ascii.len(), 0);
    // A slice: through the vector, each byte would read its address again.
    let free = &mut letters[start..];
    let mut kept = 0;
    for &byte in ascii {
        // Always written, kept if a letter: avoids an unpredictable branch.
        let letter = LOWER_LETTERS[usize::from(byte)];
        free[kept] = letter;
        kept += usize::from(letter != 0);
    }
    letters.truncate(start + kept);
}

/// The lower case of each ASCII letter; 0 for other bytes.
const LOWER_LETTERS: [u8; 256] = {
    let mut table = [0; 256];
    let mut letter = b'a';
    while letter <= b'z' {
        table[letter as usize] = letter;
        table[letter.to_ascii_uppercase() as usize] = letter;
        letter += 1;
    }
    table
};

/// Returns the xxh3 hash of a text, as in [`RowTable::hashes`](crate::RowTable::hashes).
pub fn text_hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// Joins the chunks in file order.
#[derive(Default)]
pub(super) struct Merge {
    order: Vec<RowRef>,
    pub(super) labels: Vec<u32>,
    pub(super) names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// For each encoder: names of its labels, and their final indices once known.
    encoders: Vec<Vec<(String, Option<u32>)>>,
    pub(super) hashes: Vec<u64>,
    pub(super) near_hashes: Vec<u64>,
    /// Sketches of the texts; empty unless requested.
    pub(super) sketches: Vec<Option<Sketch>>,
    pub(super) places: Vec<RowPlace>,
    weights: Vec<f64>,
}

impl Merge {
    pub(super) fn sketched(&self) -> SketchedRows<'_> {
        SketchedRows {
            sketches: &self.sketches,
            places: &self.places,
            labels: &self.labels,
            hashes: &self.hashes,
        }
    }

    /// Forgets the rows, not the labels.
    pub(super) fn clear_rows(&mut self) {
        self.order.clear();
        self.labels.clear();
        self.hashes.clear();
        self.near_hashes.clear();
        self.sketches.clear();
        self.places.clear();
        self.weights.clear();
    }

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
        self.near_hashes.extend(chunk.near_hashes);
        self.sketches.extend(chunk.sketches);
        self.places.extend(chunk.places);
        self.weights.extend(chunk.weights);
    }
}

impl<E> Rows<E> {
    pub(super) fn sketched(&self) -> SketchedRows<'_> {
        SketchedRows {
            sketches: &self.sketches,
            places: &self.places,
            labels: &self.labels,
            hashes: &self.hashes,
        }
    }

    pub(super) fn texts(&self) -> Texts<'_> {
        Texts {
            hashes: &self.hashes,
            near_hashes: &self.near_hashes,
            labels: &self.labels,
            names: &self.label_names,
            places: &self.places,
        }
    }
}

/// Returns the error that the training data has a single class, or about one per row, if so.
pub fn unusable_labels<E>(
    rows: &Rows<E>,
    sources: &[Source],
    options: &ReadOptions,
) -> Option<Diagnostic> {
    if options.multi_label.is_some() {
        let classes = label_sets::class_names(&rows.label_names, options);
        return audit::few_labels(&classes, sources);
    }
    audit::one_label(&rows.label_names, rows.counts.used, sources).or_else(|| {
        let texts = || rows.hashes.iter().collect::<HashSet<_>>().len();
        audit::own_labels(
            &rows.label_names,
            rows.labels.len(),
            texts,
            sources,
            options,
        )
    })
}

/// Finds labels that have a single row.
pub fn single_rows<E>(rows: &Rows<E>, options: &ReadOptions) -> Findings {
    let mut counts = vec![0; rows.label_names.len()];
    for &label in &rows.labels {
        counts[label as usize] += 1;
    }
    let mut findings = Findings::default();
    let counts = rows.label_names.iter().cloned().zip(counts).collect();
    let counts = label_sets::by_class(counts, options);
    let counts = counts.iter().map(|(name, rows)| (name, *rows));
    audit::single_rows(counts, &mut findings);
    findings
}

/// The training data, for findings about its texts. Texts that share most of their words are found
/// with [`ReadOptions::sketches`] only.
pub struct TrainTexts<'a, E> {
    rows: &'a Rows<E>,
    sources: &'a [Source],
    options: &'a ReadOptions,
    stop: &'a AtomicBool,
    near: NearTexts,
}

impl<'a, E> TrainTexts<'a, E> {
    /// Also returns the findings within the training data about texts that share most of their
    /// words.
    ///
    /// # Errors
    /// If `stop` was set.
    pub fn new(
        (rows, sources): (&'a Rows<E>, &'a [Source]),
        options: &'a ReadOptions,
        stop: &'a AtomicBool,
    ) -> Result<(Self, Findings), ReadError> {
        let (mut near, mut findings) = (NearTexts::default(), Findings::default());
        near.add(rows.sketched());
        let pairs = near::verified(near.take_pairs(), (sources, None), options, stop)?;
        let label = |number: u32| rows.label_names[number as usize].as_str();
        audit::near_duplicates(&pairs, label, sources, &mut findings);
        let texts = Self {
            rows,
            sources,
            options,
            stop,
            near,
        };
        Ok((texts, findings))
    }

    /// Finds rows of the `split` "test" or "validation" whose text is equal or almost equal to one
    /// of the training data.
    ///
    /// # Errors
    /// If `stop` was set.
    pub fn leaked(
        &self,
        (rows, sources): (&Rows<E>, &[Source]),
        split: &str,
    ) -> Result<Findings, ReadError> {
        let (mut findings, mut pairs) = (Findings::default(), Vec::new());
        audit::leaked(
            (&self.rows.texts(), self.sources),
            (&rows.texts(), sources),
            split,
            &mut findings,
            |row| pairs.extend(self.near.pairs_of(rows.sketched(), row)),
        );
        let data = (self.sources, Some(sources));
        let pairs = near::verified(pairs, data, self.options, self.stop)?;
        audit::near_leaks(&pairs, (self.sources, sources), split, &mut findings);
        Ok(findings)
    }
}

/// Reads all rows of a channel; `make` is called once for each thread.
///
/// Duplicate texts, with the same label or another, labels that differ only in case, whitespace or
/// number format, and labels such as `nan` are warnings in the result.
///
/// # Errors
/// If the data has errors that the options do not allow, or if `stop` was set.
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
    let mut rows = read_all(task, make)?;
    if rows.findings.has_errors() {
        return Err(ReadError::Data(Box::new(BadData {
            findings: rows.findings,
            counts: rows.counts,
        })));
    }
    let mut findings = std::mem::take(&mut rows.findings);
    let classes = label_sets::class_names(&rows.label_names, options);
    audit::labels(&classes, &mut findings);
    audit::several_labels(&classes, options, &mut findings);
    let missing = |name: &String| label_sets::missing_value(name, options);
    let missing: Vec<Option<String>> = rows.label_names.iter().map(missing).collect();
    for (label, place) in rows.labels.iter().zip(&rows.places) {
        if let Some(label) = &missing[*label as usize] {
            audit::missing_label(label, options, *place, sources, &mut findings);
        }
    }
    audit::duplicates(&rows.texts(), sources, &mut findings);
    rows.findings = findings;
    Ok(rows)
}

/// Returns the valid rows, and findings about the others.
fn read_all<E: Encode>(
    task: ReadTask<'_>,
    make: impl Fn() -> E + Sync,
) -> Result<Rows<E>, ReadError> {
    let (merge, streamed) = merged(task, make, |_| {}, |_| {})?;
    let mut states = streamed.states;
    states.sort_by_key(|encoder| encoder.id);
    Ok(Rows {
        encoders: states.into_iter().map(|encoder| encoder.encoder).collect(),
        order: merge.order,
        labels: merge.labels,
        label_names: merge.names,
        hashes: merge.hashes,
        near_hashes: merge.near_hashes,
        sketches: merge.sketches,
        places: merge.places,
        weights: merge.weights,
        counts: streamed.counts,
        findings: streamed.findings,
    })
}

/// Joins the blocks in file order, and calls `taken` after each.
pub(super) fn merged<E: Encode>(
    task: ReadTask<'_>,
    make: impl Fn() -> E + Sync,
    notice: impl FnMut(&Diagnostic) + Send,
    mut taken: impl FnMut(&mut Merge) + Send,
) -> Result<(Merge, Streamed<Worker<E>>), ReadError> {
    let ids = AtomicU32::new(0);
    let state = || Worker {
        id: ids.fetch_add(1, Ordering::Relaxed),
        encoder: make(),
        rows: 0,
        labels: HashMap::new(),
        letters: task.options.near_duplicates.then(Vec::new),
        shingles: task.options.sketches.then(Vec::new),
        weighted: task.options.weight_column.is_some(),
    };
    let mut merge = Merge::default();
    let sink = |chunk| -> Result<(), Infallible> {
        merge.take(chunk);
        taken(&mut merge);
        Ok(())
    };
    let map = |encoder: &mut Worker<E>, batch: &Batch<'_>| encoder.take(batch);
    match run(task, state, map, sink, notice) {
        Ok(streamed) => Ok((merge, streamed)),
        Err(StreamError::Read(error)) => Err(error),
        Err(StreamError::Sink(never)) => match never {},
    }
}
