//! Character n-grams of words in hash buckets, as fastText has them (Bojanowski, Grave, Joulin and
//! Mikolov 2017).

use super::CsrPattern;
use crate::WordRows;

/// Lengths of the character n-grams, and number of buckets: `-minn`, `-maxn` and `-bucket` of
/// fastText.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Subwords {
    /// Minimum length, in characters.
    pub minn: usize,
    /// Maximum length, in characters.
    pub maxn: usize,
    /// Number of buckets.
    pub bucket: u32,
}

impl Subwords {
    /// Calls `each` with every n-gram of `<word>` and its bucket.
    pub fn each(self, word: &str, mut each: impl FnMut(&str, u32)) {
        let word = format!("<{word}>");
        for (start, _) in word.char_indices() {
            let lengths = word[start..].char_indices().take(self.maxn).zip(1..);
            for ((offset, character), length) in lengths {
                let end = start + offset + character.len_utf8();
                // `<` and `>` alone are not n-grams.
                let is_edge = length == 1 && (start == 0 || end == word.len());
                if length >= self.minn && !is_edge {
                    let ngram = &word[start..end];
                    each(ngram, hash(ngram) % self.bucket);
                }
            }
        }
    }

    /// Counts the n-grams of all rows. The columns are the buckets.
    pub(super) fn count(self, rows: &WordRows) -> (CsrPattern, Vec<f32>) {
        let mut of_word = Vec::new();
        let mut ends = Vec::with_capacity(rows.words());
        for word in 0..rows.words() as u32 {
            self.each(&rows.word(word), |_, bucket| of_word.push(bucket));
            ends.push(of_word.len());
        }
        let buckets = |word: u32| {
            let start = word
                .checked_sub(1)
                .map_or(0, |before| ends[before as usize]);
            &of_word[start..ends[word as usize]]
        };
        let mut counts = vec![0u32; self.bucket as usize];
        let mut pattern = CsrPattern {
            starts: vec![0],
            columns: Vec::new(),
            width: self.bucket as usize,
        };
        let mut values = Vec::new();
        for row in 0..rows.len() {
            let first = pattern.columns.len();
            for &bucket in rows.row(row).iter().flat_map(|&word| buckets(word)) {
                if counts[bucket as usize] == 0 {
                    pattern.columns.push(bucket);
                }
                counts[bucket as usize] += 1;
            }
            let of_row = pattern.columns[first..].iter();
            values.extend(of_row.map(|&at| std::mem::take(&mut counts[at as usize]) as f32));
            pattern.starts.push(pattern.columns.len());
        }
        (pattern, values)
    }
}

/// Hash of fastText: FNV-1a of 32 bits, which extends the sign of each byte.
fn hash(text: &str) -> u32 {
    text.bytes().fold(2_166_136_261, |hash: u32, byte| {
        let byte = i32::from(byte.cast_signed()).cast_unsigned();
        (hash ^ byte).wrapping_mul(16_777_619)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `get_subwords` of fasttext 0.9.2, with `minn=2, maxn=3, bucket=1000`.
    #[test]
    fn ngrams_and_buckets_are_those_of_fasttext() {
        let cases: [(&str, &[(&str, u32)]); 3] = [
            (
                "été",
                &[
                    ("<é", 627),
                    ("<ét", 133),
                    ("ét", 975),
                    ("été", 927),
                    ("té", 387),
                    ("té>", 535),
                    ("é>", 781),
                ],
            ),
            (
                "ab",
                &[
                    ("<a", 750),
                    ("<ab", 508),
                    ("ab", 946),
                    ("ab>", 756),
                    ("b>", 561),
                ],
            ),
            ("a", &[("<a", 750), ("<a>", 600), ("a>", 806)]),
        ];
        let subwords = Subwords {
            minn: 2,
            maxn: 3,
            bucket: 1000,
        };
        for (word, expected) in cases {
            let mut found = Vec::new();
            subwords.each(word, |ngram, bucket| found.push((ngram.to_owned(), bucket)));
            let found: Vec<_> = found
                .iter()
                .map(|(ngram, at)| (ngram.as_str(), *at))
                .collect();
            assert_eq!(found, expected);
        }
    }

    /// Expected: `<` and `>` are not n-grams in fastText's `Dictionary::computeSubwords`.
    #[test]
    fn edges_alone_are_not_ngrams() {
        let mut found = Vec::new();
        let subwords = Subwords {
            minn: 1,
            maxn: 2,
            bucket: 9,
        };
        subwords.each("ab", |ngram, _| found.push(ngram.to_owned()));
        assert_eq!(found, ["<a", "a", "ab", "b", "b>"]);
    }
}
