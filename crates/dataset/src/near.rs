//! Finds texts that share most of their words. MinHash (Broder 1997) proposes pairs in constant
//! memory per row; the texts of the pairs are read again and compared exactly.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::decode::Batch;
use crate::random::mix;
use crate::stream::{ReadTask, run};
use crate::{Labels, ReadError, ReadOptions, RowPlace, Source, StreamError};

/// Words of a shingle. Texts with fewer words are not compared.
pub(super) const SHINGLE_WORDS: usize = 5;

/// Minimum share of the shingles of two texts that both have (Jaccard 1901).
const MIN_SIMILARITY: f64 = 0.8;

/// Of two texts with a similarity of s, 1 - (1 - s^3)^6 become a pair: 0.987 with 0.8, 0.9996 with
/// 0.9, 0.15 with 0.3.
const BANDS: usize = 6;
const MINIMA: usize = 3;

/// A hash of each band's minima: texts that agree in one are probably similar.
pub(super) type Sketch = [u32; BANDS];

/// Replaces `hashes` by those of the text's shingles: sequences of words in lower case, where a
/// word consists of letters and digits, or is a letter of a script without blanks between words.
fn shingles(text: &str, hashes: &mut Vec<u64>) {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    hashes.clear();
    let mut window = [0; SHINGLE_WORDS];
    let mut words = 0;
    let mut push = |word: &str| {
        if word.is_empty() {
            return;
        }
        let add = |hash: u64, c: char| (hash.rotate_left(5) ^ u64::from(c)).wrapping_mul(FACTOR);
        window[words % SHINGLE_WORDS] = word.chars().flat_map(char::to_lowercase).fold(0, add);
        words += 1;
        if words >= SHINGLE_WORDS {
            let (newer, older) = window.split_at(words % SHINGLE_WORDS);
            let shingle = older.iter().chain(newer);
            let add = |hash: u64, word: &u64| (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
            hashes.push(mix(shingle.fold(0, add)));
        }
    };
    let may_be_unsegmented = may_be_unsegmented(text);
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if !may_be_unsegmented {
            push(word);
            continue;
        }
        for part in word.split_inclusive(is_of_unsegmented_script) {
            let letter = part.trim_end_matches(is_of_unsegmented_script).len();
            let (word, letter) = part.split_at(letter);
            push(word);
            push(letter);
        }
    }
}

/// A quick test: false for most texts without letters of [`is_of_unsegmented_script`].
pub fn may_be_unsegmented(text: &str) -> bool {
    // Their letters have three or four bytes. Quotes, dashes and other symbols begin with 0xe2.
    text.bytes().any(|byte| byte >= 0xe0 && byte != 0xe2)
}

/// True for Thai, Lao, Burmese, Khmer, Japanese and Chinese, which have no blanks between words.
pub fn is_of_unsegmented_script(letter: char) -> bool {
    matches!(
        letter,
        '\u{e00}'..='\u{eff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}'
    )
}

/// Returns the distinct hashes of the text's shingles, ascending.
fn shingle_set(text: &str) -> Vec<u64> {
    let mut set = Vec::new();
    shingles(text, &mut set);
    set.sort_unstable();
    set.dedup();
    set
}

/// Returns the sketch of a text; `None` if it is too short. `hashes` is a buffer.
pub(super) fn sketch(text: &str, hashes: &mut Vec<u64>) -> Option<Sketch> {
    shingles(text, hashes);
    let mut minima = [u32::MAX; BANDS * MINIMA];
    for shingle in hashes.iter() {
        // Hash functions of two hashes (Kirsch and Mitzenmacher 2006).
        let (mut hash, step) = (*shingle as u32, (*shingle >> 32) as u32);
        for minimum in &mut minima {
            hash = hash.wrapping_add(step);
            *minimum = hash.min(*minimum);
        }
    }
    let mut bands = [0; BANDS];
    for (band, (hash, minima)) in bands
        .iter_mut()
        .zip(minima.chunks_exact(MINIMA))
        .enumerate()
    {
        let add = |hash: u64, minimum: &u32| mix(hash ^ u64::from(*minimum));
        *hash = minima.iter().fold(band as u64, add) as u32;
    }
    (!hashes.is_empty()).then_some(bands)
}

/// A row of the training data or of the other data.
#[derive(Clone, Copy)]
pub(super) struct NearRow {
    pub(super) place: RowPlace,
    /// Index into the labels of its data.
    pub(super) label: u32,
    hash: u64,
}

/// Rows of a block or of a channel: an entry per row each.
#[derive(Clone, Copy)]
pub(super) struct SketchedRows<'a> {
    /// Empty unless requested.
    pub(super) sketches: &'a [Option<Sketch>],
    pub(super) places: &'a [RowPlace],
    pub(super) labels: &'a [u32],
    pub(super) hashes: &'a [u64],
}

impl SketchedRows<'_> {
    fn row(&self, index: usize) -> NearRow {
        NearRow {
            place: self.places[index],
            label: self.labels[index],
            hash: self.hashes[index],
        }
    }
}

/// A row and a training row with another text that is probably similar.
pub(super) struct Pair {
    pub(super) row: NearRow,
    pub(super) earlier: NearRow,
    /// Share of their shingles that both have; 0 before [`verified`].
    pub(super) similarity: f64,
}

/// The training rows by band, and the pairs among them.
#[derive(Default)]
pub(super) struct NearTexts {
    rows: Vec<NearRow>,
    /// Index of the first row of each band.
    first: HashMap<u32, u32>,
    pairs: Vec<Pair>,
}

impl NearTexts {
    /// Adds rows of the training data.
    pub(super) fn add(&mut self, rows: SketchedRows<'_>) {
        for (index, sketch) in rows.sketches.iter().enumerate() {
            let Some(sketch) = sketch else {
                continue;
            };
            let pairs = self.pairs_of(rows, index);
            self.pairs.extend(pairs);
            let number = self.rows.len() as u32;
            let mut is_first = false;
            for band in sketch {
                self.first.entry(*band).or_insert_with(|| {
                    is_first = true;
                    number
                });
            }
            if is_first {
                self.rows.push(rows.row(index));
            }
        }
    }

    /// Pairs a row with the training rows that share a band.
    pub(super) fn pairs_of(&self, rows: SketchedRows<'_>, index: usize) -> Vec<Pair> {
        let Some(Some(sketch)) = rows.sketches.get(index) else {
            return Vec::new();
        };
        let numbers = sketch.iter().filter_map(|band| self.first.get(band));
        let mut numbers: Vec<u32> = numbers.copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let row = rows.row(index);
        let earlier = numbers.into_iter().map(|number| self.rows[number as usize]);
        // Equal texts are a finding of their own.
        earlier
            .filter(|earlier| earlier.hash != row.hash)
            .map(|earlier| Pair {
                row,
                earlier,
                similarity: 0.0,
            })
            .collect()
    }

    /// Takes the pairs of training rows.
    pub(super) fn take_pairs(&mut self) -> Vec<Pair> {
        std::mem::take(&mut self.pairs)
    }
}

/// True if the files can be read again to compare texts that are probably similar.
pub(super) fn can_reread(sources: &[Source]) -> bool {
    let is_file = |path: &Path| std::fs::metadata(path).is_ok_and(|found| found.is_file());
    sources
        .iter()
        .all(|source| source.path().is_some_and(is_file))
}

/// Compares the texts of the pairs; returns the best pair of each row that is similar enough, in
/// file order. `other`: the data of the rows, if it is not the training data.
///
/// # Errors
/// If `stop` was set.
pub(super) fn verified(
    pairs: Vec<Pair>,
    (train, other): (&[Source], Option<&[Source]>),
    options: &ReadOptions,
    stop: &AtomicBool,
) -> Result<Vec<Pair>, ReadError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    // The first reading has hashed the files.
    let options = &ReadOptions {
        hash: false,
        ..options.clone()
    };
    let earlier: HashSet<RowPlace> = pairs.iter().map(|pair| pair.earlier.place).collect();
    let mut pairs_of: HashMap<RowPlace, Vec<Pair>> = HashMap::new();
    for pair in pairs {
        pairs_of.entry(pair.row.place).or_default().push(pair);
    }
    let rows: HashSet<RowPlace> = pairs_of.keys().copied().collect();
    let (mut kept, mut found) = (HashMap::new(), Vec::new());
    let mut compare = |place: &RowPlace, set: &[u64], kept: &HashMap<RowPlace, Vec<u64>>| {
        let pairs = pairs_of.remove(place).unwrap_or_default().into_iter();
        let compared = pairs.map(|pair| {
            let earlier = kept.get(&pair.earlier.place);
            let similarity = earlier.map_or(0.0, |earlier| similarity(set, earlier));
            Pair { similarity, ..pair }
        });
        let best = compared.max_by(|a, b| a.similarity.total_cmp(&b.similarity));
        found.extend(best.filter(|best| best.similarity >= MIN_SIMILARITY));
    };
    let task = |sources| ReadTask {
        sources,
        options,
        labels: Labels::Required,
        stop,
        limit: 1,
    };
    // An earlier row comes before the rows that it is compared with.
    let is_wanted =
        |place: &RowPlace| earlier.contains(place) || other.is_none() && rows.contains(place);
    reread(task(train), is_wanted, |place, set| {
        if other.is_none() {
            compare(&place, &set, &kept);
        }
        if earlier.contains(&place) {
            kept.insert(place, set);
        }
    })?;
    if let Some(other) = other {
        let is_wanted = |place: &RowPlace| rows.contains(place);
        reread(task(other), is_wanted, |place, set| {
            compare(&place, &set, &kept);
        })?;
    }
    Ok(found)
}

/// Calls `each` with the shingles of the rows that are wanted, in file order.
fn reread(
    task: ReadTask<'_>,
    is_wanted: impl Fn(&RowPlace) -> bool + Sync,
    mut each: impl FnMut(RowPlace, Vec<u64>) + Send,
) -> Result<(), ReadError> {
    let map = |(): &mut (), batch: &Batch<'_>| -> Vec<(RowPlace, Vec<u64>)> {
        let rows = batch.rows().filter(|row| is_wanted(&row.place));
        rows.map(|row| (row.place, shingle_set(row.text))).collect()
    };
    let sink = |found: Vec<(RowPlace, Vec<u64>)>| -> Result<(), Infallible> {
        for (place, set) in found {
            each(place, set);
        }
        Ok(())
    };
    match run(task, || (), map, sink, |_| {}) {
        Ok(_) => Ok(()),
        Err(StreamError::Read(error)) => Err(error),
        Err(StreamError::Sink(never)) => match never {},
    }
}

/// Returns the share of the hashes that both sets have.
fn similarity(a: &[u64], b: &[u64]) -> f64 {
    let is_shared = |hash: &&u64| b.binary_search(hash).is_ok();
    let shared = a.iter().filter(is_shared).count();
    shared as f64 / (a.len() + b.len() - shared).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shingles_are_sequences_of_five_words() {
        assert!(shingle_set("One, two three - four!").is_empty());
        assert_eq!(shingle_set("one two three four five").len(), 1);
        assert_eq!(
            shingle_set("One, two: three FOUR (five)"),
            shingle_set("one two three four five")
        );
        assert_ne!(
            shingle_set("one two three five four"),
            shingle_set("one two three four five")
        );
        // The window moves: eight words, four sequences, of which the second text has two.
        let (a, b) = (
            shingle_set("a b c d e f g h"),
            shingle_set("x y c d e f g h"),
        );
        assert_eq!((a.len(), b.len()), (4, 4));
        assert!((similarity(&a, &b) - 2.0 / 6.0).abs() < 1e-12);
        // Letters of scripts without blanks are words.
        assert_eq!(shingle_set("这部电影").len(), 0);
        assert_eq!(shingle_set("这部 iPhone12 电影！").len(), 1);
        assert_eq!(
            shingle_set("这部iPhone电影。"),
            shingle_set("这 部 iphone 电 影")
        );
        let (a, b) = (
            shingle_set("这部电影真的很好看"),
            shingle_set("这部电影真的很难看"),
        );
        assert_eq!((a.len(), b.len()), (5, 5));
        assert!((similarity(&a, &b) - 3.0 / 7.0).abs() < 1e-12);
        // Each sequence counts once.
        assert_eq!(shingle_set(&"a b c d e ".repeat(9)).len(), 5);
    }

    /// The share of pairs that agree in a band, for sets with a given similarity.
    #[test]
    fn similar_sets_agree_in_a_band() {
        let words = |from: u32, to: u32| -> String {
            let words: Vec<String> = (from..to).map(|word| format!("w{word}")).collect();
            words.join(" ")
        };
        let agree = |shift: u32| {
            let trials = (0..400).filter(|trial| {
                let from = trial * 1000;
                let sketch = |text: String| sketch(&text, &mut Vec::new()).unwrap();
                let a = sketch(words(from, from + 104));
                let b = sketch(words(from + shift, from + shift + 104));
                a.iter().zip(b).any(|(a, b)| *a == b)
            });
            trials.count()
        };
        // 100 sequences each, of which 95, 90 and 30 are shared: similarity 0.905, 0.818, 0.176.
        assert!(agree(5) >= 398);
        assert!(agree(10) >= 388);
        assert!(agree(70) < 40);
    }
}
