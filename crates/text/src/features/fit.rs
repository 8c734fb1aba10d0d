//! Fits the vocabulary and counts terms, like scikit-learn's `CountVectorizer.fit_transform`.

use super::ngrams::{Documents, Level, extend};
use super::{CsrPattern, FeatureParams, Terms};
use crate::{NO_ID, TokenizedRows, Tokens, WordRows, Words};

/// Term counts of all rows, and the vocabulary.
pub struct Counts {
    /// Terms of each row. Columns are in order of descending document frequency, which keeps
    /// frequent ones together.
    pub pattern: CsrPattern,
    /// Count of each term in the row, parallel to the pattern's columns.
    pub values: Vec<f32>,
    /// Number of words of each column's term.
    pub length: Vec<u8>,
    /// Terms in code point order.
    pub terms: Terms,
    /// Column of each term. With [`FeatureParams::subwords`], columns of buckets follow those of
    /// all terms.
    pub column_of_term: Vec<u32>,
}

/// Error of [`fit`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// No term is left after `min_df` and `max_df`.
    #[error("expected terms, found none")]
    NoTerms,
    /// The training rows have no words.
    #[error("expected words in the training rows, found none")]
    NoWords,
    /// Terms of several words would be ambiguous.
    #[error("expected words without blanks in n-grams, found `{}`", .0.escape_debug())]
    Blank(String),
    /// Positions of n-grams have 32 bits.
    #[error("expected at most `{}` words with n-grams, found `{_0}`", u32::MAX)]
    TooManyTokens(usize),
}

impl FitError {
    /// Tells rows without words from options that drop all terms.
    fn of_no_terms(frequency: &[u32]) -> Self {
        match frequency.iter().any(|&rows| rows > 0) {
            true => Self::NoTerms,
            false => Self::NoWords,
        }
    }
}

/// Fits the vocabulary on the rows marked in `counted`, and counts the terms of all rows.
///
/// `order` has each row's encoder and its index there.
///
/// # Errors
/// If no word or no term is left; with n-grams also if there are more than `u32::MAX` tokens, or if
/// a word has a blank.
pub fn fit(
    encoders: Vec<TokenizedRows>,
    order: impl ExactSizeIterator<Item = (usize, usize)>,
    counted: &[bool],
    params: &FeatureParams,
) -> Result<Counts, FitError> {
    let tokens = encoders.iter().map(|encoder| encoder.tokens.len()).sum();
    check_positions(tokens, params.max_ngrams)?;
    let documents = counted.iter().filter(|&&counted| counted).count();
    let min_df = params.min_df.of(documents).ceil().max(1.0) as u32;
    let rows = WordRows::gather(encoders, order);
    let subwords = params.subwords.map(|subwords| subwords.count(&rows));
    let WordRows {
        words,
        mut tokens,
        ends,
    } = rows;
    let frequency = document_frequency(&tokens, &ends, counted, words.len());
    let kept = keep_words(&words, &frequency, min_df);
    check_blanks(&kept, params)?;
    let mut names = vec![NO_ID; words.len()];
    for (name, word) in kept.iter().enumerate() {
        names[word.number as usize] = name as u32;
    }
    tokens
        .iter_mut()
        .for_each(|token| *token = names[*token as usize]);

    let documents = Documents {
        tokens: &tokens,
        ends: &ends,
        counted,
        words: kept.len(),
    };
    let levels = levels(&documents, &kept, &frequency, (min_df, params.max_ngrams));
    drop((words, names));
    let space = kept.iter().position(|word| word.text == " ");
    let columns = Columns::choose(&levels, &documents, params, space);
    if columns.frequency.is_empty() {
        return Err(FitError::of_no_terms(&frequency));
    }
    let texts: Vec<&str> = kept.iter().map(|word| word.text.as_str()).collect();
    let (terms, column_of_term) = Terms::sorted(&levels, &columns.of_gram, &texts, params.tokens);
    let width = columns.frequency.len();
    let (pattern, values) = match &columns.of_gram[..] {
        [column_of] => count_words(tokens, &ends, column_of, width),
        _ => count(&levels, &documents, &columns),
    };
    let (pattern, values) = match subwords {
        Some(subwords) => side_by_side((pattern, values), subwords),
        None => (pattern, values),
    };
    Ok(Counts {
        pattern,
        values,
        length: columns.length,
        terms,
        column_of_term,
    })
}

/// Returns the n-grams in at least `min_df` documents, by length.
fn levels(
    documents: &Documents<'_>,
    kept: &[KeptWord],
    frequency: &[u32],
    (min_df, max_ngrams): (u32, usize),
) -> Vec<Level> {
    let mut levels = vec![Level {
        grams: (0..kept.len() as u32).map(|word| (NO_ID, word)).collect(),
        frequency: kept
            .iter()
            .map(|word| frequency[word.number as usize])
            .collect(),
        at: Vec::new(),
    }];
    let mut sorted = Vec::new();
    for length in 2..=max_ngrams {
        let last = &levels[length - 2];
        let at = if length == 2 {
            documents.tokens
        } else {
            last.at.as_slice()
        };
        let next = extend(
            documents,
            (at, last.grams.len()),
            length,
            min_df,
            &mut sorted,
        );
        if next.grams.is_empty() {
            break;
        }
        levels.push(next);
    }
    levels
}

/// Refuses more tokens than a `u32` position of an n-gram can address.
fn check_positions(tokens: usize, max_ngrams: usize) -> Result<(), FitError> {
    if max_ngrams > 1 && u32::try_from(tokens).is_err() {
        return Err(FitError::TooManyTokens(tokens));
    }
    Ok(())
}

/// Refuses words with blanks in n-grams: their terms could be equal, and would have another order
/// than their words. Only words of a pattern can have blanks.
fn check_blanks(kept: &[KeptWord], params: &FeatureParams) -> Result<(), FitError> {
    if params.tokens != Tokens::Word || params.max_ngrams == 1 {
        return Ok(());
    }
    let has_blank = |word: &&KeptWord| word.text.bytes().any(|byte| byte <= b' ');
    match kept.iter().find(has_blank) {
        Some(word) => Err(FitError::Blank(word.text.clone())),
        None => Ok(()),
    }
}

fn document_frequency(tokens: &[u32], ends: &[usize], counted: &[bool], words: usize) -> Vec<u32> {
    // Per word: its last document, and its number of documents so far. Adjacent in memory, and
    // without an unpredictable branch.
    let mut seen = vec![(NO_ID, 0); words];
    let mut start = 0;
    for (document, (&end, &counted)) in ends.iter().zip(counted).enumerate() {
        if counted {
            for &token in &tokens[start..end] {
                let (last, frequency) = &mut seen[token as usize];
                *frequency += u32::from(*last != document as u32);
                *last = document as u32;
            }
        }
        start = end;
    }
    seen.into_iter().map(|(_, frequency)| frequency).collect()
}

struct KeptWord {
    text: String,
    number: u32,
}

/// Returns the words in at least `min_df` documents: most frequent first, ties in code point order.
/// Leaves out the empty word, which separates others.
fn keep_words(words: &Words, frequency: &[u32], min_df: u32) -> Vec<KeptWord> {
    let mut kept: Vec<KeptWord> = (0..words.len() as u32)
        .filter(|&number| frequency[number as usize] >= min_df)
        .map(|number| KeptWord {
            text: words.text(number),
            number,
        })
        .filter(|word| !word.text.is_empty())
        .collect();
    kept.sort_unstable_by(|a, b| {
        let by_frequency = frequency[b.number as usize].cmp(&frequency[a.number as usize]);
        by_frequency.then_with(|| a.text.cmp(&b.text))
    });
    kept
}

/// N-grams that become columns.
struct Columns {
    /// Column of each n-gram, by level, or [`NO_ID`].
    of_gram: Vec<Vec<u32>>,
    frequency: Vec<u32>,
    length: Vec<u8>,
}

impl Columns {
    /// `space`: the id of the token that is a space.
    fn choose(
        levels: &[Level],
        documents: &Documents<'_>,
        params: &FeatureParams,
        space: Option<usize>,
    ) -> Self {
        let counted = documents.counted.iter().filter(|&&counted| counted).count();
        let max_df = params.max_df.of(counted);
        let mut chosen: Vec<(u32, usize, usize)> = Vec::new();
        for (level, grams) in levels.iter().enumerate() {
            let frequent = grams.frequency.iter().enumerate().filter(|&(gram, &df)| {
                let is_long = level + 1 >= params.min_ngrams;
                f64::from(df) <= max_df
                    && (is_long
                        || params.tokens == Tokens::CharWb
                            && is_padded_word(levels, level, gram, space))
            });
            chosen.extend(frequent.map(|(gram, &df)| (df, level, gram)));
        }
        if let Some(limit) = params.max_features
            && chosen.len() > limit
        {
            let totals = total_counts(levels, documents);
            chosen.sort_by_key(|&(_, level, gram)| std::cmp::Reverse(totals[level][gram]));
            chosen.truncate(limit);
        }
        chosen.sort_by_key(|&(df, level, gram)| (std::cmp::Reverse(df), level, gram));
        let mut of_gram: Vec<Vec<u32>> = levels
            .iter()
            .map(|level| vec![NO_ID; level.grams.len()])
            .collect();
        for (column, &(_, level, gram)) in chosen.iter().enumerate() {
            of_gram[level][gram] = column as u32;
        }
        Self {
            of_gram,
            frequency: chosen.iter().map(|&(df, ..)| df).collect(),
            length: chosen
                .iter()
                .map(|&(_, level, _)| level as u8 + 1)
                .collect(),
        }
    }
}

/// True for a whole word with its padding, which `char_wb` of scikit-learn counts even if it is
/// shorter than the shortest n-gram.
fn is_padded_word(levels: &[Level], level: usize, gram: usize, space: Option<usize>) -> bool {
    let (mut first, last) = levels[level].grams[gram];
    // Down to the first token, whose id is that of its n-gram of length 1.
    for shorter in levels[level.min(1)..level].iter().rev() {
        first = shorter.grams[first as usize].0;
    }
    // Two spaces next to each other would be two words.
    level > 1
        && [first, last]
            .iter()
            .all(|&token| Some(token as usize) == space)
}

/// Returns the n-gram that starts at each token, by level.
fn grams_at<'a>(levels: &'a [Level], documents: &Documents<'a>) -> Vec<&'a [u32]> {
    let longer = levels.iter().skip(1).map(|level| level.at.as_slice());
    std::iter::once(documents.tokens).chain(longer).collect()
}

/// Returns the total count of each n-gram in the counted documents.
fn total_counts(levels: &[Level], documents: &Documents<'_>) -> Vec<Vec<u64>> {
    let mut totals: Vec<Vec<u64>> = levels
        .iter()
        .map(|level| vec![0; level.grams.len()])
        .collect();
    for (at, totals) in grams_at(levels, documents).into_iter().zip(&mut totals) {
        let mut start = 0;
        for (&end, &counted) in documents.ends.iter().zip(documents.counted) {
            if counted {
                for &gram in at[start..end].iter().filter(|&&gram| gram != NO_ID) {
                    totals[gram as usize] += 1;
                }
            }
            start = end;
        }
    }
    totals
}

/// Counts terms of all rows if each term is a single word; reuses the memory of the tokens.
fn count_words(
    mut tokens: Vec<u32>,
    ends: &[usize],
    column_of: &[u32],
    width: usize,
) -> (CsrPattern, Vec<f32>) {
    // An extra column for words without column, and an extra word for rare ones, avoid an
    // unpredictable branch.
    let none = width as u32;
    let mut columns: Vec<u32> = column_of.iter().map(|&column| column.min(none)).collect();
    columns.push(none);
    let rare = column_of.len();
    let mut counts = vec![0u32; width + 1];
    let mut starts = Vec::with_capacity(ends.len() + 1);
    starts.push(0);
    let mut values = Vec::with_capacity(tokens.len());
    let (mut start, mut kept) = (0, 0);
    for &end in ends {
        let first = kept;
        // The extra column counts as seen, so that it is never kept.
        counts[width] = 1;
        for at in start..end {
            let column = columns[rare.min(tokens[at] as usize)];
            tokens[kept] = column;
            kept += usize::from(counts[column as usize] == 0);
            counts[column as usize] += 1;
        }
        let row = &tokens[first..kept];
        values.extend(
            row.iter()
                .map(|&column| std::mem::take(&mut counts[column as usize]) as f32),
        );
        starts.push(kept);
        start = end;
    }
    tokens.truncate(kept);
    tokens.shrink_to_fit();
    let pattern = CsrPattern {
        starts,
        columns: tokens,
        width,
    };
    (pattern, values)
}

/// Counts terms of all rows.
fn count(levels: &[Level], documents: &Documents<'_>, columns: &Columns) -> (CsrPattern, Vec<f32>) {
    let width = columns.frequency.len();
    let grams_at = grams_at(levels, documents);
    // Capacity for every occurrence: pages that are not written use no memory, and nothing is
    // moved.
    let capacity = grams_at.iter().map(|at| at.len()).sum();
    let mut starts = Vec::with_capacity(documents.ends.len() + 1);
    starts.push(0);
    let mut pattern = CsrPattern {
        starts,
        columns: Vec::with_capacity(capacity),
        width,
    };
    let mut values = Vec::with_capacity(capacity);
    let mut counts = vec![0u32; width];
    let mut row = Vec::new();
    let mut start = 0;
    for &end in documents.ends {
        row.resize((end - start) * levels.len() + 1, 0);
        let mut distinct = 0;
        for (at, of_gram) in grams_at.iter().zip(&columns.of_gram) {
            for &gram in at[start..end].iter().filter(|&&gram| gram != NO_ID) {
                let column = of_gram[gram as usize];
                if column == NO_ID {
                    continue;
                }
                // Always written, kept if new to the row: avoids an unpredictable branch.
                row[distinct] = column;
                distinct += usize::from(counts[column as usize] == 0);
                counts[column as usize] += 1;
            }
        }
        let row = &row[..distinct];
        pattern.columns.extend_from_slice(row);
        values.extend(
            row.iter()
                .map(|&column| std::mem::take(&mut counts[column as usize]) as f32),
        );
        pattern.starts.push(pattern.columns.len());
        start = end;
    }
    (pattern, values)
}

/// Joins the rows of two matrices; the columns of the second one follow those of the first one.
fn side_by_side(
    (left, left_values): (CsrPattern, Vec<f32>),
    (right, right_values): (CsrPattern, Vec<f32>),
) -> (CsrPattern, Vec<f32>) {
    let size = left_values.len() + right_values.len();
    let mut pattern = CsrPattern {
        starts: vec![0],
        columns: Vec::with_capacity(size),
        width: left.width + right.width,
    };
    let mut values = Vec::with_capacity(size);
    for row in 0..left.rows() {
        pattern.columns.extend_from_slice(left.row(row));
        values.extend_from_slice(&left_values[left.range(row)]);
        let shifted = right
            .row(row)
            .iter()
            .map(|&column| column + left.width as u32);
        pattern.columns.extend(shifted);
        values.extend_from_slice(&right_values[right.range(row)]);
        pattern.starts.push(pattern.columns.len());
    }
    (pattern, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_tokens_than_u32_positions_are_refused() {
        let most = u32::MAX as usize;
        assert_eq!(check_positions(most, 2), Ok(()));
        let refused = check_positions(most + 1, 2);
        assert_eq!(refused, Err(FitError::TooManyTokens(most + 1)));
        // Single words have no positions.
        assert_eq!(check_positions(most + 1, 1), Ok(()));
    }
}
