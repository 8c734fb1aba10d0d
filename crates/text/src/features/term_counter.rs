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
    /// Count of each term and bucket in the current text; all zero between texts.
    count_of: Vec<f32>,
    columns: Vec<u32>,
    counts: Vec<f32>,
}

impl TermCounter {
    /// Creates a counter of this number of terms.
    pub fn new(terms: usize, shape: TermShape<'_>) -> Self {
        let analyzer = shape.analyzer;
        let buckets = shape
            .subwords
            .map_or(0, |subwords| subwords.bucket as usize);
        Self {
            scratch: LookupScratch::new(analyzer),
            words: shape
                .subwords
                .map(|subwords| (subwords, WordReader::new(analyzer))),
            count_of: vec![0.0; terms + buckets],
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
            count_of,
            columns,
            counts,
        } = self;
        columns.clear();
        let mut each = |column: u32| {
            let count = &mut count_of[column as usize];
            if *count == 0.0 {
                columns.push(column);
            }
            *count += 1.0;
        };
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
        let mut counter = TermCounter::new(terms.len(), shape);
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
        let mut counter = TermCounter::new(terms.len(), shape);
        // `<bad>` once, `<good` and `good>` once each.
        counter.count("a bad good", &terms, None, shape);
        assert_eq!(counter.columns(), [0, 2]);
        assert_eq!(counter.counts(), [1.0, 3.0]);
    }
}
