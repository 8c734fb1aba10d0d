//! Finds n-grams with sufficient document frequency, level by level.
//!
//! An n-gram can occur in `min_df` documents only if its first n-1 words do (Agrawal and Srikant,
//! VLDB 1994). So each level extends the n-grams of the previous one. Occurrences are counted
//! prefix by prefix in a dense array over the words, which fits in the L2 cache, without a hash
//! table.

use crate::NO_ID;

/// Word ids of all documents.
pub(crate) struct Documents<'a> {
    /// Word ids of all documents, concatenated; [`NO_ID`] for rare words.
    pub(crate) tokens: &'a [u32],
    /// End of each document in `tokens`.
    pub(crate) ends: &'a [usize],
    /// True for documents whose n-grams are counted (training rows), not only looked up.
    pub(crate) counted: &'a [bool],
    /// Number of words.
    pub(crate) words: usize,
}

/// N-grams of one length with sufficient document frequency.
#[derive(Default)]
pub(crate) struct Level {
    /// Id of the (n-1)-gram that each starts with, ascending, and id of its last word.
    pub(crate) grams: Vec<(u32, u32)>,
    /// Document frequency of each.
    pub(crate) frequency: Vec<u32>,
    /// For each token: n-gram that starts there, or [`NO_ID`].
    pub(crate) at: Vec<u32>,
}

/// Number of occurrences sorted at a time. Bounds memory at 12 MB; not smaller, because each chunk
/// costs a pass over the tokens.
const CHUNK: usize = 1 << 20;

/// Occurrence of a candidate n-gram: last word and position.
#[derive(Clone, Copy, Default)]
pub(crate) struct Occurrence {
    word: u32,
    document: u32,
    position: u32,
}

#[derive(Clone, Copy)]
struct WordCount {
    last_document: u32,
    frequency: u32,
}

/// Extends the (`length` - 1)-grams that start `at` each token by one word.
///
/// `sorted` is a scratch buffer. It is reused between levels, because the allocator does not return
/// memory that is freed and allocated repeatedly.
pub(crate) fn extend(
    documents: &Documents<'_>,
    (at, prefixes): (&[u32], usize),
    length: usize,
    min_df: u32,
    sorted: &mut Vec<Occurrence>,
) -> Level {
    let mut sizes = vec![0u32; prefixes];
    each_occurrence(documents, at, length, |prefix, _| {
        sizes[prefix as usize] += 1
    });
    let mut level = Level {
        at: vec![NO_ID; at.len()],
        ..Level::default()
    };
    let mut word_counts = vec![
        WordCount {
            last_document: NO_ID,
            frequency: 0
        };
        documents.words
    ];
    let mut names = vec![NO_ID; documents.words];
    let mut first = 0;
    while first < prefixes {
        let (mut last, mut total) = (first, 0);
        while last < prefixes && (last == first || total + sizes[last] as usize <= CHUNK) {
            total += sizes[last] as usize;
            last += 1;
        }
        sorted.resize(total.max(sorted.len()), Occurrence::default());
        let ends = sort(documents, at, length, first..last, &sizes, sorted);
        let mut start = 0;
        for (prefix, &end) in (first..last).zip(&ends) {
            let bucket = &sorted[start..end];
            start = end;
            if bucket.len() >= min_df as usize {
                count(
                    documents,
                    bucket,
                    prefix as u32,
                    min_df,
                    &mut word_counts,
                    &mut names,
                    &mut level,
                );
            }
        }
        first = last;
    }
    level
}

/// Calls `each` with prefix and occurrence of every candidate n-gram, document by document.
fn each_occurrence(
    documents: &Documents<'_>,
    at: &[u32],
    length: usize,
    mut each: impl FnMut(u32, Occurrence),
) {
    let mut start = 0;
    for (document, &end) in documents.ends.iter().enumerate() {
        let last_words = documents
            .tokens
            .get(start + length - 1..end)
            .unwrap_or_default();
        for (offset, (&word, &prefix)) in last_words.iter().zip(&at[start..]).enumerate() {
            if word != NO_ID && prefix != NO_ID {
                let position = (start + offset) as u32;
                each(
                    prefix,
                    Occurrence {
                        word,
                        document: document as u32,
                        position,
                    },
                );
            }
        }
        start = end;
    }
}

/// Sorts the occurrences of the prefixes in `range` into `sorted` by prefix (counting sort).
/// Returns the end of each prefix.
fn sort(
    documents: &Documents<'_>,
    at: &[u32],
    length: usize,
    range: std::ops::Range<usize>,
    sizes: &[u32],
    sorted: &mut [Occurrence],
) -> Vec<usize> {
    let mut next: Vec<usize> = Vec::with_capacity(range.len());
    let mut sum = 0;
    for &size in &sizes[range.clone()] {
        next.push(sum);
        sum += size as usize;
    }
    each_occurrence(documents, at, length, |prefix, occurrence| {
        if let Some(next) = (prefix as usize)
            .checked_sub(range.start)
            .and_then(|index| next.get_mut(index))
        {
            sorted[*next] = occurrence;
            *next += 1;
        }
    });
    next
}

/// Counts the n-grams of one prefix, and adds those in at least `min_df` documents to `level`.
fn count(
    documents: &Documents<'_>,
    bucket: &[Occurrence],
    prefix: u32,
    min_df: u32,
    word_counts: &mut [WordCount],
    names: &mut [u32],
    level: &mut Level,
) {
    for occurrence in bucket {
        let word_count = &mut word_counts[occurrence.word as usize];
        if word_count.last_document != occurrence.document
            && documents.counted[occurrence.document as usize]
        {
            word_count.last_document = occurrence.document;
            word_count.frequency += 1;
        }
    }
    for occurrence in bucket {
        let word = occurrence.word as usize;
        if word_counts[word].frequency < min_df {
            continue;
        }
        if names[word] == NO_ID {
            names[word] = level.grams.len() as u32;
            level.grams.push((prefix, occurrence.word));
            level.frequency.push(word_counts[word].frequency);
        }
        level.at[occurrence.position as usize] = names[word];
    }
    for occurrence in bucket {
        word_counts[occurrence.word as usize] = WordCount {
            last_document: NO_ID,
            frequency: 0,
        };
        names[occurrence.word as usize] = NO_ID;
    }
}
