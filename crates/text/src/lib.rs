//! Tokenises texts into sequences of word ids, counts n-grams, and guards the readers of
//! tokenizer.json files.

mod analyzer;
mod characters;
pub mod features;
mod pattern;
mod rows;
mod scan;
pub mod tokenizer_json;
mod word_ranges;
mod words;

pub use analyzer::{Accents, Analyzer, Tokens};
pub use pattern::Pattern;
pub use rows::{WordList, WordReader, WordRows};
pub(crate) use scan::Scanner;
pub(crate) use words::{FirstSlots, NO_ID, Words};

use std::collections::HashSet;
use std::sync::Arc;

use dataset::Encode;

/// scikit-learn's English stop list (`sklearn.feature_extraction.text.ENGLISH_STOP_WORDS`, 318
/// words).
pub(crate) const ENGLISH: &str = include_str!("english.txt");

/// Initial token capacity: 64 MB. More than the 32 MB up to which glibc keeps freed arrays.
const TOKEN_CAPACITY: usize = 1 << 24;

/// Rows of one reading thread as word ids, in text order, without stop words. Ids are local to this
/// encoder.
pub struct TokenizedRows {
    scanner: Scanner,
    first_slots: FirstSlots,
    pub(crate) words: Words,
    /// Ids below this are stop words.
    stop_words: u32,
    pub(crate) tokens: Vec<u32>,
    /// End of each row in `tokens`.
    pub(crate) ends: Vec<usize>,
    /// Number of rows for which [`scan::is_unsegmented`] is true.
    unsegmented: usize,
}

impl TokenizedRows {
    /// Creates an encoder of the tokens of `analyzer`, without `stop_words`.
    pub fn new(stop_words: &Arc<[String]>, analyzer: &Analyzer) -> Self {
        let mut words = Words::new();
        for word in stop_words.iter() {
            words.intern_bytes(word.as_bytes());
        }
        let stop_words = words.len() as u32;
        Self {
            scanner: Scanner::new(analyzer),
            first_slots: FirstSlots::default(),
            words,
            stop_words,
            // Reserves address space, not memory: a large array grows in place, a small one is
            // copied repeatedly.
            tokens: Vec::with_capacity(TOKEN_CAPACITY),
            ends: Vec::new(),
            unsegmented: 0,
        }
    }

    /// Adds a row.
    pub fn push(&mut self, text: &str) {
        self.unsegmented += usize::from(scan::is_unsegmented(text));
        let (tokens, lowered) = self.scanner.scan(text);
        self.words.intern_all(
            tokens,
            lowered,
            &mut self.first_slots,
            self.stop_words,
            &mut self.tokens,
        );
        self.ends.push(self.tokens.len());
    }

    /// Number of rows, and of those without blanks between words, such as Chinese and Thai ones.
    pub fn unsegmented<'a>(encoders: impl IntoIterator<Item = &'a Self>) -> (usize, usize) {
        encoders
            .into_iter()
            .fold((0, 0), |(rows, unsegmented), encoder| {
                let encoder = (encoder.ends.len(), encoder.unsegmented);
                (rows + encoder.0, unsegmented + encoder.1)
            })
    }

    /// Returns the range of row `index` in `tokens`.
    pub(crate) fn row(&self, index: usize) -> std::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }
}

/// Returns scikit-learn's English stop words.
pub fn english() -> Arc<[String]> {
    ENGLISH.lines().map(str::to_owned).collect()
}

/// Returns the stop words that the list does not remove from texts, each with those of its tokens
/// that are not on the list, such as `don` of `don't`, and `cafe` of `café` without accents.
pub fn stop_words_without_match<'a>(
    analyzer: &Analyzer,
    stop_words: &'a [String],
) -> Vec<(&'a str, Vec<String>)> {
    let list: HashSet<&[u8]> = stop_words.iter().map(|word| word.as_bytes()).collect();
    let mut scanner = Scanner::new(analyzer);
    let with_tokens = stop_words.iter().map(|word| {
        let (tokens, prepared) = scanner.scan(word);
        let tokens = tokens.iter().map(|token| token.bytes(prepared));
        let others = tokens.filter(|token| !list.contains(*token));
        let others = others.map(|token| String::from_utf8_lossy(token).into_owned());
        (word.as_str(), others.collect::<Vec<_>>())
    });
    with_tokens
        .filter(|(_, others)| !others.is_empty())
        .collect()
}

impl Encode for TokenizedRows {
    fn encode(&mut self, text: &str) {
        self.push(text);
    }
}
