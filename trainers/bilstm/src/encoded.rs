//! The rows as ids.

use std::sync::Arc;

use dataset::{Encode, RowTable, Split};
use diagnostics::Error;
use harness::{Adapted, rows_without_blanks};
use text::{Analyzer, TokenizedRows, WordRows};

use crate::tokenizer::{FIRST, FileTokenizer, MIN_WORD_LENGTH, Tokenizer, UNKNOWN};

/// Encodes the rows of one reading thread.
pub enum Encoder {
    /// Into words.
    Words(Box<TokenizedRows>),
    /// Into ids of a tokenizer file.
    Tokens(TokenRows),
}

impl Encoder {
    /// Returns an empty encoder.
    pub(crate) fn new(tokenizer: Option<&Arc<FileTokenizer>>) -> Self {
        match tokenizer {
            None => Self::Words(Box::new(TokenizedRows::new(
                &Arc::from([]),
                &Analyzer::words(MIN_WORD_LENGTH),
            ))),
            Some(tokenizer) => Self::Tokens(TokenRows {
                tokenizer: Arc::clone(tokenizer),
                rows: IdRows::default(),
                error: None,
            }),
        }
    }

    /// Returns the words of all encoders; those of a tokenizer file have none.
    pub(crate) fn words(encoders: Vec<Self>) -> Vec<TokenizedRows> {
        let words = |encoder| match encoder {
            Self::Words(rows) => Some(*rows),
            Self::Tokens(_) => None,
        };
        encoders.into_iter().filter_map(words).collect()
    }
}

/// Warns of rows without blanks between words. `tokenizes`: true if a tokenizer file could be used.
pub(crate) fn warn_without_blanks(encoders: &[Encoder], tokenizes: bool) -> Option<Adapted> {
    let words = encoders.iter().filter_map(|encoder| match encoder {
        Encoder::Words(rows) => Some(&**rows),
        Encoder::Tokens(_) => None,
    });
    let (found, _) = rows_without_blanks(words)?;
    let help = match tokenizes {
        true => "pass --tokenizer FILE with the tokenizer.json of a model for their language, or",
        false => "leave out --arch bag and pass --tokenizer FILE with a tokenizer.json, or",
    };
    Some(Adapted::Warning(format!(
        "{found}: most of their words are whole sentences\n  help: {help} train `svm`, `nb` or \
         `bag` with --analyzer char"
    )))
}

impl Encode for Encoder {
    fn encode(&mut self, text: &str) {
        match self {
            Self::Words(rows) => rows.push(text),
            Self::Tokens(rows) => rows.push(text),
        }
    }
}

/// Ids of a tokenizer file.
pub struct TokenRows {
    tokenizer: Arc<FileTokenizer>,
    rows: IdRows,
    /// The error of the first text that could not be encoded.
    error: Option<String>,
}

impl TokenRows {
    fn push(&mut self, text: &str) {
        match self.tokenizer.encode(text) {
            Ok(ids) => self.rows.push(ids),
            Err(error) => {
                self.rows.push([]);
                self.error.get_or_insert(error);
            }
        }
    }
}

/// The ids of all rows.
#[derive(Default)]
pub(crate) struct IdRows {
    ids: Vec<u32>,
    ends: Vec<usize>,
}

impl IdRows {
    /// Returns the ids of a row.
    pub(crate) fn ids(&self, row: u32) -> &[u32] {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.ids[start..self.ends[row]]
    }

    fn push(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.ids.extend(ids);
        self.ends.push(self.ids.len());
    }

    /// Adds a row, or `unknown` if it has no ids.
    fn push_or(&mut self, ids: impl Iterator<Item = u32>, unknown: u32) {
        let mut ids = ids.peekable();
        match ids.peek() {
            Some(_) => self.push(ids),
            None => self.push([unknown]),
        }
    }
}

/// Returns all rows as 1 to `limit` ids, and the tokenizer that encodes texts in the same way.
pub(crate) fn encode_rows(
    table: &RowTable,
    encoders: Vec<Encoder>,
    vocab_size: usize,
    limit: usize,
) -> Result<(Tokenizer, IdRows), Error> {
    let (mut words, mut tokens) = (Vec::new(), Vec::new());
    for encoder in encoders {
        match encoder {
            Encoder::Words(rows) => words.push(*rows),
            Encoder::Tokens(rows) => tokens.push(rows),
        }
    }
    let order = table.order.iter();
    let mut rows = IdRows::default();
    let Some(tokenizer) = tokens.first().map(|rows| Arc::clone(&rows.tokenizer)) else {
        let order = order.map(|row| (row.encoder as usize, row.index as usize));
        let words = WordRows::gather(words, order);
        let (tokenizer, id_of) = vocabulary(table, &words, vocab_size)?;
        for row in 0..words.len() {
            let of_row = words.row(row).iter().take(limit);
            rows.push_or(of_row.map(|&word| id_of[word as usize]), UNKNOWN);
        }
        return Ok((tokenizer, rows));
    };
    if let Some(error) = tokens.iter_mut().find_map(|rows| rows.error.take()) {
        return Err(FileTokenizer::cannot_encode(error));
    }
    let tokenizer = Tokenizer::File(tokenizer);
    for row in order {
        let ids = tokens[row.encoder as usize].rows.ids(row.index).iter();
        rows.push_or(ids.take(limit).copied(), tokenizer.unknown());
    }
    Ok((tokenizer, rows))
}

/// Returns the most frequent words of the training rows, ties in code point order, and the id of
/// every word.
fn vocabulary(
    table: &RowTable,
    words: &WordRows,
    size: usize,
) -> Result<(Tokenizer, Vec<u32>), Error> {
    let mut counts = vec![0u64; words.words()];
    for row in table.of(Split::Train) {
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
    let duplicate = || Error::new("a word has two ids").help("please report it with the data");
    Ok((Tokenizer::of_words(names).ok_or_else(duplicate)?, id_of))
}
