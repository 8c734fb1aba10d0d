//! Texts as sequences of word ids: rows of a corpus, and new texts.

use crate::{Analyzer, FirstSlots, NO_ID, Scanner, TokenizedRows, Words};

/// Words of all rows of a corpus, in row order, independent of the number of threads.
pub struct WordRows {
    pub(crate) words: Words,
    pub(crate) tokens: Vec<u32>,
    /// End of each row in `tokens`.
    pub(crate) ends: Vec<usize>,
}

impl WordRows {
    /// Joins the encoders; `order` has each row's encoder and its index there.
    pub fn gather(
        mut encoders: Vec<TokenizedRows>,
        order: impl ExactSizeIterator<Item = (usize, usize)>,
    ) -> Self {
        if encoders.len() == 1 {
            let TokenizedRows {
                words,
                tokens,
                ends,
                ..
            } = encoders.swap_remove(0);
            return Self {
                words,
                tokens,
                ends,
            };
        }
        // Words of the first encoder keep their ids; the others are added.
        let mut words = std::mem::replace(&mut encoders[0].words, Words::new());
        let mut names: Vec<Vec<u32>> = vec![(0..words.len() as u32).collect()];
        names.extend(
            encoders[1..]
                .iter()
                .map(|encoder| words.absorb(&encoder.words)),
        );
        let mut tokens =
            Vec::with_capacity(encoders.iter().map(|encoder| encoder.tokens.len()).sum());
        let mut ends = Vec::with_capacity(order.len());
        for (encoder, row) in order {
            let range = encoders[encoder].row(row);
            tokens.extend(
                encoders[encoder].tokens[range]
                    .iter()
                    .map(|&token| names[encoder][token as usize]),
            );
            ends.push(tokens.len());
        }
        Self {
            words,
            tokens,
            ends,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number of distinct words.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// Returns the word with this id.
    pub fn word(&self, number: u32) -> String {
        self.words.text(number)
    }

    /// Returns the word ids of row `row`.
    pub fn row(&self, row: usize) -> &[u32] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.tokens[start..self.ends[row]]
    }
}

/// A vocabulary; the id of a word is its position in the list.
pub struct WordList(Words);

impl WordList {
    /// Creates a vocabulary of lower-case words. `None` if a word is duplicated.
    pub fn new<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut list = Words::new();
        for (place, word) in words.enumerate() {
            if list.intern_bytes(word.as_bytes()) as usize != place {
                return None;
            }
        }
        Some(Self(list))
    }
}

/// Finds the words of texts in a vocabulary; reuses its buffers.
pub struct WordReader {
    scanner: Scanner,
    first_slots: FirstSlots,
    numbers: Vec<u32>,
}

impl WordReader {
    /// Creates a reader of the tokens of `analyzer`.
    pub fn new(analyzer: &Analyzer) -> Self {
        Self {
            scanner: Scanner::new(analyzer),
            first_slots: FirstSlots::default(),
            numbers: Vec::new(),
        }
    }

    /// Calls `each` with each word of the text.
    pub fn each(&mut self, text: &str, mut each: impl FnMut(&str)) {
        let (tokens, prepared) = self.scanner.scan(text);
        for token in tokens {
            // Lossless: words come from `&str`, split at character boundaries.
            each(&String::from_utf8_lossy(token.bytes(prepared)));
        }
    }

    /// Returns the ids of the text's words, in order; `None` for words that are not in `list`.
    pub fn read(&mut self, list: &WordList, text: &str) -> impl Iterator<Item = Option<u32>> + '_ {
        let (tokens, lowered) = self.scanner.scan(text);
        self.numbers.clear();
        list.0
            .get_all(tokens, lowered, &mut self.first_slots, &mut self.numbers);
        self.numbers
            .iter()
            .map(|&number| (number != NO_ID).then_some(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn encoder(texts: &[&str]) -> TokenizedRows {
        let mut encoder = TokenizedRows::new(&Arc::from([]), &Analyzer::words(1));
        texts.iter().for_each(|text| encoder.push(text));
        encoder
    }

    #[test]
    fn gathered_rows_do_not_depend_on_threads() {
        let one = WordRows::gather(
            vec![encoder(&["A b a", "", "c b"])],
            [(0, 0), (0, 1), (0, 2)].into_iter(),
        );
        let two = WordRows::gather(
            vec![encoder(&["", "A b a"]), encoder(&["c b"])],
            [(0, 1), (0, 0), (1, 0)].into_iter(),
        );
        for rows in [one, two] {
            let words = |row| rows.row(row).iter().map(|&number| rows.word(number));
            assert_eq!(words(0).collect::<Vec<_>>(), ["a", "b", "a"]);
            assert_eq!(words(1).count(), 0);
            assert_eq!(words(2).collect::<Vec<_>>(), ["c", "b"]);
            assert_eq!((rows.len(), rows.words()), (3, 3));
        }
    }

    #[test]
    fn word_list_maps_words_to_positions() {
        let list = WordList::new(["film", "good"].into_iter()).unwrap();
        let mut reader = WordReader::new(&Analyzer::words(1));
        let found: Vec<_> = reader.read(&list, "A GOOD film!").collect();
        assert_eq!(found, [None, Some(1), Some(0)]);
        assert!(WordList::new(["film", "good", "film"].into_iter()).is_none());
    }
}
