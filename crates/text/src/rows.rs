//! Texts as sequences of word numbers: of a corpus that was read, and of new texts.

use super::{EncodedRows, FirstSlots, NO_ID, Scanner, Words};

/// The words of all rows of a corpus, in the order of the text and of the rows, whichever thread read them.
pub struct WordRows {
    pub(crate) words: Words,
    pub(crate) tokens: Vec<u32>,
    /// Where each row ends in `tokens`.
    pub(crate) ends: Vec<usize>,
}

impl WordRows {
    /// Joins the shards; `order` gives each row's shard and its index there.
    pub fn gather(
        mut shards: Vec<EncodedRows>,
        order: impl ExactSizeIterator<Item = (usize, usize)>,
    ) -> Self {
        if shards.len() == 1 {
            let EncodedRows {
                words,
                tokens,
                ends,
                ..
            } = shards.swap_remove(0);
            return Self {
                words,
                tokens,
                ends,
            };
        }
        // The first shard's words keep their numbers, and the others' join them.
        let mut words = std::mem::replace(&mut shards[0].words, Words::new());
        let mut names: Vec<Vec<u32>> = vec![(0..words.len() as u32).collect()];
        names.extend(shards[1..].iter().map(|shard| words.absorb(&shard.words)));
        let mut tokens = Vec::with_capacity(shards.iter().map(|shard| shard.tokens.len()).sum());
        let mut ends = Vec::with_capacity(order.len());
        for (shard, row) in order {
            let range = shards[shard].row(row);
            tokens.extend(
                shards[shard].tokens[range]
                    .iter()
                    .map(|&token| names[shard][token as usize]),
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

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number of different words.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// The word of this number.
    pub fn word(&self, number: u32) -> String {
        self.words.text(number)
    }

    /// The word numbers of row `row`.
    pub fn row(&self, row: usize) -> &[u32] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.tokens[start..self.ends[row]]
    }
}

/// A list of words that numbers those of new texts by their place in it.
pub struct WordList(Words);

impl WordList {
    /// A list of different words, lower case; `None` if a word stands there twice.
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

/// Finds the words of texts in a list; keeps its buffers between texts.
pub struct WordReader {
    scanner: Scanner,
    first_slots: FirstSlots,
    numbers: Vec<u32>,
}

impl WordReader {
    /// A reader of words of at least `min_word_length` (1 or 2) characters, as [`EncodedRows::new`] has it.
    pub fn new(min_word_length: u8) -> Self {
        Self {
            scanner: Scanner::new(min_word_length),
            first_slots: FirstSlots::default(),
            numbers: Vec::new(),
        }
    }

    /// The places of the text's words in `list`, in order; `None` for a word that is not there.
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

    fn shard(texts: &[&str]) -> EncodedRows {
        let mut shard = EncodedRows::new(&Arc::from([]), 1);
        texts.iter().for_each(|text| shard.push(text));
        shard
    }

    #[test]
    fn rows_keep_their_words_whichever_thread_read_them() {
        let one = WordRows::gather(
            vec![shard(&["A b a", "", "c b"])],
            [(0, 0), (0, 1), (0, 2)].into_iter(),
        );
        let two = WordRows::gather(
            vec![shard(&["", "A b a"]), shard(&["c b"])],
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
    fn a_list_numbers_the_words_of_new_texts() {
        let list = WordList::new(["film", "good"].into_iter()).unwrap();
        let mut reader = WordReader::new(1);
        let found: Vec<_> = reader.read(&list, "A GOOD film!").collect();
        assert_eq!(found, [None, Some(1), Some(0)]);
        assert!(WordList::new(["film", "good", "film"].into_iter()).is_none());
    }
}
