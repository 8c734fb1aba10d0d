//! The corpus as ids.

use std::sync::Arc;

use dataset::{Encode, RowTable, Split};
use diagnostics::Error;
use text::{Shard, WordRows};

use crate::tokenizer::{FIRST, MIN_WORD_LENGTH, FileTokenizer, Tokenizer, UNKNOWN};

/// What one reading thread makes of its rows.
pub enum Encoder {
    /// Words.
    Words(Box<Shard>),
    /// Pieces of a tokenizer.
    Pieces(Pieces),
}

impl Encoder {
    /// An empty encoder.
    pub(crate) fn new(tokenizer: Option<&Arc<FileTokenizer>>) -> Self {
        match tokenizer {
            None => Self::Words(Box::new(Shard::new(&Arc::from([]), MIN_WORD_LENGTH))),
            Some(reader) => Self::Pieces(Pieces {
                reader: Arc::clone(reader),
                ids: Vec::new(),
                ends: Vec::new(),
                refused: None,
            }),
        }
    }
}

impl Encoder {
    /// The words that these encoders read; nothing of a tokenizer's.
    pub(crate) fn words(encoders: Vec<Self>) -> Vec<Shard> {
        let words = |encoder| match encoder {
            Self::Words(shard) => Some(*shard),
            Self::Pieces(_) => None,
        };
        encoders.into_iter().filter_map(words).collect()
    }
}

impl Encode for Encoder {
    fn encode(&mut self, text: &str) {
        match self {
            Self::Words(shard) => shard.push(text),
            Self::Pieces(pieces) => pieces.push(text),
        }
    }
}

/// EncodedRows of a tokenizer.
pub struct Pieces {
    reader: Arc<FileTokenizer>,
    ids: Vec<u32>,
    ends: Vec<usize>,
    /// The first text that the tokenizer could not read.
    refused: Option<String>,
}

impl Pieces {
    fn push(&mut self, text: &str) {
        match self.reader.encode(text) {
            Ok(ids) => self.ids.extend(ids),
            Err(error) => self.refused = self.refused.take().or(Some(error)),
        }
        self.ends.push(self.ids.len());
    }

    fn row(&self, index: usize) -> &[u32] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.ids[start..self.ends[index]]
    }
}

/// The ids of all rows, at least one and at most so many per row.
#[derive(Default)]
pub(crate) struct EncodedRows {
    ids: Vec<u32>,
    ends: Vec<usize>,
}

impl EncodedRows {
    /// The ids of row `row`.
    pub(crate) fn row(&self, row: usize) -> &[u32] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.ids[start..self.ends[row]]
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, ids: impl Iterator<Item = u32>, unknown: u32) {
        let before = self.ids.len();
        self.ids.extend(ids);
        if self.ids.len() == before {
            self.ids.push(unknown);
        }
        self.ends.push(self.ids.len());
    }
}

/// All rows as ids of at most `limit` per row, and what reads texts in the same way.
pub(crate) fn read(
    rows: &RowTable,
    encoders: Vec<Encoder>,
    vocab_size: usize,
    limit: usize,
) -> Result<(Tokenizer, EncodedRows), Error> {
    let (mut shards, mut pieces) = (Vec::new(), Vec::new());
    for encoder in encoders {
        match encoder {
            Encoder::Words(shard) => shards.push(*shard),
            Encoder::Pieces(of_thread) => pieces.push(of_thread),
        }
    }
    let places = rows
        .order
        .iter()
        .map(|row| (row.shard as usize, row.index as usize));
    let mut ids = EncodedRows::default();
    let Some(reader) = pieces.first().map(|pieces| Arc::clone(&pieces.reader)) else {
        let words = WordRows::gather(shards, places);
        let (reader, id_of) = vocabulary(rows, &words, vocab_size)?;
        for row in 0..words.len() {
            let of_row = words.row(row).iter().take(limit);
            ids.push(of_row.map(|&word| id_of[word as usize]), UNKNOWN);
        }
        return Ok((reader, ids));
    };
    if let Some(error) = pieces.iter_mut().find_map(|pieces| pieces.refused.take()) {
        return Err(FileTokenizer::refused(error));
    }
    let reader = Tokenizer::File(reader);
    for (shard, row) in places {
        ids.push(
            pieces[shard].row(row).iter().take(limit).copied(),
            reader.unknown(),
        );
    }
    Ok((reader, ids))
}

/// The most frequent words of the training rows, equals in code point order, and the id of every word.
fn vocabulary(rows: &RowTable, words: &WordRows, size: usize) -> Result<(Tokenizer, Vec<u32>), Error> {
    let mut counts = vec![0u64; words.words()];
    for row in rows.of(Split::Train) {
        for &word in words.row(row as usize) {
            counts[word as usize] += 1;
        }
    }
    let mut known: Vec<(u64, String, u32)> = (0..)
        .zip(&counts)
        .filter(|&(_, &count)| count > 0)
        .map(|(word, &count)| (count, words.word(word), word))
        .collect();
    known.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    known.truncate(size);
    if known.is_empty() {
        return Err(
            Error::new("expected words in the training rows, found none")
                .help("check that the text column is the right one"),
        );
    }
    let mut id_of = vec![UNKNOWN; words.words()];
    for ((_, _, word), id) in known.iter().zip(FIRST..) {
        id_of[*word as usize] = id;
    }
    let names = known.into_iter().map(|(_, name, _)| name).collect();
    let twice = || Error::new("a word has two numbers").help("please report it with the data");
    Ok((Tokenizer::of_words(names).ok_or_else(twice)?, id_of))
}
