//! Counts the terms of texts for prediction.

use super::{Lookup, LookupScratch, Subwords, Terms};
use crate::{Analyzer, WordReader};

/// Settings by which the terms of a text are found: those of training.
#[derive(Clone, Copy)]
pub struct TermShape<'a> {
    /// Words that are skipped.
    pub stop_words: &'a [String],
    /// Settings by which the tokens of a text are found.
    pub analyzer: &'a Analyzer,
    /// Maximum n-gram length, in tokens.
    pub max_ngrams: usize,
    /// Character n-grams of words, whose buckets follow the terms.
    pub subwords: Option<Subwords>,
}

/// Counts the terms of one text after another; one per prediction thread.
pub struct TermCounter {
    scratch: LookupScratch,
    /// Splits texts into words, for their character n-grams.
    words: Option<(Subwords, WordReader)>,
    columns: Vec<u32>,
    counts: Vec<f32>,
}

impl TermCounter {
    /// Creates a counter.
    pub fn new(shape: TermShape<'_>) -> Self {
        let analyzer = shape.analyzer;
        Self {
            scratch: LookupScratch::new(analyzer),
            words: shape
                .subwords
                .map(|subwords| (subwords, WordReader::new(analyzer))),
            columns: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Counts the terms of `text`, by binary search if there is no `lookup` of them. `shape` is
    /// that of [`TermCounter::new`].
    pub fn count(
        &mut self,
        text: &str,
        terms: &Terms,
        lookup: Option<&Lookup>,
        shape: TermShape<'_>,
    ) {
        let Self {
            scratch,
            words,
            columns,
            counts,
        } = self;
        columns.clear();
        let mut each = |column: u32| columns.push(column);
        match lookup {
            Some(lookup) => lookup.columns(scratch, text, &mut each),
            None => {
                let ngrams = (shape.analyzer, shape.max_ngrams);
                terms.columns(text, shape.stop_words, ngrams, &mut each);
            }
        }
        if let Some((subwords, words)) = words {
            let first = terms.len() as u32;
            words.each(text, |word| {
                subwords.each(word, |_, bucket| each(first + bucket));
            });
        }
        // An array of all counts would not fit in the cache.
        columns.sort_unstable();
        counts.clear();
        for at in 0..columns.len() {
            let column = columns[at];
            match counts.len().checked_sub(1) {
                Some(last) if columns[last] == column => counts[last] += 1.0,
                _ => {
                    columns[counts.len()] = column;
                    counts.push(1.0);
                }
            }
        }
        columns.truncate(counts.len());
    }

    /// Columns of the terms of the last text, each once, ascending.
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
    use crate::Tokens;

    #[test]
    fn counts_with_and_without_a_lookup_are_equal_and_reset_by_the_next_text() {
        let terms = Terms::parse("bad\nbad film\nfilm\n".to_owned());
        let lookup = Lookup::new(&terms, &[], (Tokens::Word, 2));
        let shape = TermShape {
            stop_words: &[],
            analyzer: &Analyzer::words(2),
            max_ngrams: 2,
            subwords: None,
        };
        let mut counter = TermCounter::new(shape);
        for lookup in [None, Some(&lookup)] {
            counter.count("Film, bad film: bad film", &terms, lookup, shape);
            assert_eq!(counter.columns(), [0, 1, 2]);
            assert_eq!(counter.counts(), [2.0, 2.0, 3.0]);
            counter.count("good", &terms, lookup, shape);
            assert!(counter.columns().is_empty() && counter.counts().is_empty());
        }
    }

    #[test]
    fn buckets_of_subwords_follow_the_terms() {
        let terms = Terms::parse("bad\nfilm\n".to_owned());
        let shape = TermShape {
            stop_words: &[],
            analyzer: &Analyzer::words(1),
            max_ngrams: 1,
            subwords: Some(Subwords {
                minn: 5,
                maxn: 5,
                bucket: 1,
            }),
        };
        let mut counter = TermCounter::new(shape);
        // `<bad>` once, `<good` and `good>` once each.
        counter.count("a bad good", &terms, None, shape);
        assert_eq!(counter.columns(), [0, 2]);
        assert_eq!(counter.counts(), [1.0, 3.0]);
    }
}
