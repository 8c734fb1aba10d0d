//! Counts the terms of texts for prediction.

use super::{Lookup, LookupScratch, Terms};

/// The words and n-grams of a text that are looked up in the terms. It is that of training.
#[derive(Clone, Copy)]
pub struct TermShape<'a> {
    /// Words that are skipped, lower case.
    pub stop_words: &'a [String],
    /// Shortest word, in characters: 1 or 2.
    pub min_word_length: u8,
    /// Maximum n-gram length, in words.
    pub max_ngrams: usize,
}

/// Counts the terms of one text after another; one per prediction thread.
pub struct TermCounter {
    scratch: LookupScratch,
    /// Count of each term in the current text; all zero between texts.
    count_of: Vec<f32>,
    columns: Vec<u32>,
    counts: Vec<f32>,
}

impl TermCounter {
    /// Creates a counter of this number of terms.
    pub fn new(terms: usize, min_word_length: u8) -> Self {
        Self {
            scratch: LookupScratch::new(min_word_length),
            count_of: vec![0.0; terms],
            columns: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Counts the terms of `text`, by binary search if there is no `lookup` of them.
    pub fn count(
        &mut self,
        text: &str,
        terms: &Terms,
        lookup: Option<&Lookup>,
        shape: TermShape<'_>,
    ) {
        let Self {
            scratch,
            count_of,
            columns,
            counts,
        } = self;
        columns.clear();
        let each = |column: u32| {
            let count = &mut count_of[column as usize];
            if *count == 0.0 {
                columns.push(column);
            }
            *count += 1.0;
        };
        match lookup {
            Some(lookup) => lookup.columns(scratch, text, each),
            None => {
                let TermShape {
                    stop_words,
                    min_word_length,
                    max_ngrams,
                } = shape;
                terms.columns(text, stop_words, (min_word_length, max_ngrams), each);
            }
        }
        counts.clear();
        let taken = columns
            .iter()
            .map(|&column| std::mem::take(&mut count_of[column as usize]));
        counts.extend(taken);
    }

    /// Columns of the terms of the last text, each once, in order of their first occurrence.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Count of each of [`TermCounter::columns`].
    pub fn counts(&self) -> &[f32] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_with_and_without_a_lookup_are_equal_and_reset_by_the_next_text() {
        let terms = Terms::parse("bad\nbad film\nfilm\n".to_owned());
        let lookup = Lookup::new(&terms, &[]);
        let shape = TermShape {
            stop_words: &[],
            min_word_length: 2,
            max_ngrams: 2,
        };
        let mut counter = TermCounter::new(terms.len(), 2);
        for lookup in [None, Some(&lookup)] {
            counter.count("Film, bad film: bad film", &terms, lookup, shape);
            let counts = counter.columns().iter().zip(counter.counts());
            let mut counts: Vec<(u32, f32)> = counts.map(|(&id, &count)| (id, count)).collect();
            counts.sort_by_key(|&(column, _)| column);
            assert_eq!(counts, [(0, 2.0), (1, 2.0), (2, 3.0)]);
            counter.count("good", &terms, lookup, shape);
            assert!(counter.columns().is_empty() && counter.counts().is_empty());
        }
    }
}
