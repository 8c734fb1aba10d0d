//! The vocabulary: terms in code point order, and lookup of the n-grams of a text.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use super::ngrams::Level;
use crate::{FirstSlots, NO_ID, Scanner, Words};

/// Terms in code point order, one per column of the saved model. Words of an n-gram are separated
/// by a space.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// One term per line.
    text: String,
    /// End of each line.
    ends: Vec<usize>,
}

impl Terms {
    /// Parses `vocabulary.txt`: one term per line.
    pub fn parse(text: String) -> Self {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        Self { text, ends }
    }

    /// Returns the terms with these indices, ascending.
    pub fn subset(&self, kept: &[usize]) -> Self {
        if kept.len() == self.len() {
            return self.clone();
        }
        let mut text = String::new();
        for &index in kept {
            text.push_str(self.get(index));
            text.push('\n');
        }
        Self::parse(text)
    }

    /// Number of terms.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are no terms.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns term `index`.
    pub fn get(&self, index: usize) -> &str {
        let start = if index == 0 {
            0
        } else {
            self.ends[index - 1] + 1
        };
        &self.text[start..self.ends[index]]
    }

    /// True if the terms are in code point order without duplicates.
    pub fn is_sorted(&self) -> bool {
        self.iter().is_sorted_by(|a, b| a < b)
    }

    /// Returns the index of a term.
    pub fn find(&self, term: &str) -> Option<usize> {
        let (mut first, mut last) = (0, self.len());
        while first < last {
            let middle = first + (last - first) / 2;
            match self.get(middle).cmp(term) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => first = middle + 1,
                std::cmp::Ordering::Greater => last = middle,
            }
        }
        None
    }

    /// Like [`Lookup::columns`], by binary search: faster for a few texts, because building a
    /// lookup takes longer than reading the vocabulary. `shape`: minimum word length, maximum
    /// n-gram length.
    pub fn columns(
        &self,
        text: &str,
        stop_words: &[String],
        shape: (u8, usize),
        mut each: impl FnMut(u32),
    ) {
        let (min_word_length, longest) = shape;
        let mut scanner = Scanner::new(min_word_length);
        let (tokens, lowered) = scanner.scan(text);
        let words: Vec<_> = tokens
            .iter()
            .map(|token| String::from_utf8_lossy(token.bytes(lowered)))
            .collect();
        let words: Vec<_> = words
            .iter()
            .filter(|word| !stop_words.iter().any(|stop| stop == *word))
            .collect();
        let mut term = String::new();
        for start in 0..words.len() {
            term.clear();
            for word in words[start..].iter().take(longest) {
                if !term.is_empty() {
                    term.push(' ');
                }
                term.push_str(word);
                if let Some(column) = self.find(&term) {
                    each(column as u32);
                }
            }
        }
    }

    /// Returns all terms.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Returns the content of `vocabulary.txt`: one term per line.
    pub fn as_lines(&self) -> &str {
        &self.text
    }

    /// Returns the n-grams that are columns, in code point order, and the column of each.
    ///
    /// A space sorts before all word characters, so this is the order of the word sequences,
    /// prefixes first.
    pub(super) fn sorted(
        levels: &[Level],
        of_gram: &[Vec<u32>],
        words: &[&str],
    ) -> (Self, Vec<u32>) {
        let mut alphabetical: Vec<u32> = (0..words.len() as u32).collect();
        alphabetical.sort_unstable_by_key(|&word| words[word as usize]);
        let mut ranks = vec![0; words.len()];
        for (rank, &word) in alphabetical.iter().enumerate() {
            ranks[word as usize] = rank as u32;
        }
        let mut walk = Walk {
            levels,
            of_gram,
            words,
            ranks: &ranks,
            terms: Self::default(),
            columns: Vec::new(),
        };
        for word in alphabetical {
            walk.visit(0, word, "");
        }
        (walk.terms, walk.columns)
    }
}

/// A depth-first walk through the tree of n-grams.
struct Walk<'a> {
    levels: &'a [Level],
    of_gram: &'a [Vec<u32>],
    words: &'a [&'a str],
    ranks: &'a [u32],
    terms: Terms,
    columns: Vec<u32>,
}

impl Walk<'_> {
    fn visit(&mut self, level: usize, gram: u32, prefix: &str) {
        let word = self.words[self.levels[level].grams[gram as usize].1 as usize];
        let term = if prefix.is_empty() {
            word.to_owned()
        } else {
            format!("{prefix} {word}")
        };
        let column = self.of_gram[level][gram as usize];
        if column != NO_ID {
            self.terms.text.push_str(&term);
            self.terms.ends.push(self.terms.text.len());
            self.terms.text.push('\n');
            self.columns.push(column);
        }
        let Some(next) = self.levels.get(level + 1) else {
            return;
        };
        // N-grams are sorted by prefix.
        let first = next.grams.partition_point(|&(prefix, _)| prefix < gram);
        let mut children: Vec<(u32, u32)> = next.grams[first..]
            .iter()
            .zip(first as u32..)
            .take_while(|((prefix, _), _)| *prefix == gram)
            .map(|(&(_, word), child)| (self.ranks[word as usize], child))
            .collect();
        children.sort_unstable();
        for (_, child) in children {
            self.visit(level + 1, child, &term);
        }
    }
}

/// Finds terms in texts.
pub struct Lookup {
    words: Words,
    /// Ids below this are stop words.
    stop_words: u32,
    /// Column of each word, or [`NO_ID`].
    column_of_word: Vec<u32>,
    /// Trie: (node of the first n-1 words, last word) -> node. The node of a word is its id; nodes
    /// of n-grams count down from [`FIRST_NODE`].
    nodes: HashMap<u64, u32, BuildHasherDefault<NodeHasher>>,
    filter: Filter,
    column_of_node: Vec<u32>,
    longest: usize,
}

/// Largest batch that is predicted without a lookup table. measured: with 500,000 terms, building
/// the table takes a hundred times as long as one text.
const LOOKUP_THRESHOLD: usize = 16;

/// A [`Lookup`] that is built for the first large batch.
#[derive(Default)]
pub struct LazyLookup(OnceLock<Lookup>);

impl LazyLookup {
    /// Returns the lookup for a batch of `texts`; `None` if [`Terms::columns`] is faster.
    pub fn for_batch(&self, texts: usize, terms: &Terms, stop_words: &[String]) -> Option<&Lookup> {
        if texts <= LOOKUP_THRESHOLD {
            return self.0.get();
        }
        Some(self.0.get_or_init(|| Lookup::new(terms, stop_words)))
    }
}

/// Buffers of [`Lookup::columns`]; one per thread.
pub struct LookupScratch {
    scanner: Scanner,
    first_slots: FirstSlots,
    words: Vec<u32>,
}

impl LookupScratch {
    /// Creates buffers for words of at least `min_word_length` characters.
    pub fn new(min_word_length: u8) -> Self {
        Self {
            scanner: Scanner::new(min_word_length),
            first_slots: FirstSlots::default(),
            words: Vec::new(),
        }
    }
}

const FIRST_NODE: u32 = NO_ID - 1;

fn key(node: u32, word: u32) -> u64 {
    u64::from(node) << 32 | u64::from(word)
}

impl Lookup {
    /// Builds the lookup of `terms`; `stop_words` are skipped in texts.
    pub fn new(terms: &Terms, stop_words: &[String]) -> Self {
        let mut words = Words::new();
        for word in stop_words {
            words.intern_bytes(word.as_bytes());
        }
        let mut nodes = HashMap::default();
        nodes.reserve(terms.len());
        let mut lookup = Self {
            stop_words: words.len() as u32,
            column_of_word: vec![NO_ID; words.len()],
            words,
            nodes,
            filter: Filter::new(std::iter::empty()),
            column_of_node: Vec::new(),
            longest: 1,
        };
        for (column, term) in terms.iter().enumerate() {
            lookup.add(term, column as u32);
        }
        lookup.filter = Filter::new(lookup.nodes.keys().copied());
        lookup
    }

    fn add(&mut self, term: &str, column: u32) {
        let mut node = NO_ID;
        let mut length = 0;
        for text in term.split(' ') {
            let word = self.words.intern_bytes(text.as_bytes());
            if word as usize == self.column_of_word.len() {
                self.column_of_word.push(NO_ID);
            }
            length += 1;
            if length == 1 {
                node = word;
                continue;
            }
            let new = FIRST_NODE - self.column_of_node.len() as u32;
            node = *self.nodes.entry(key(node, word)).or_insert(new);
            if node == new {
                self.column_of_node.push(NO_ID);
            }
        }
        self.longest = self.longest.max(length);
        if length == 1 {
            self.column_of_word[node as usize] = column;
        } else {
            self.column_of_node[(FIRST_NODE - node) as usize] = column;
        }
    }

    /// Calls `each` with the column of each term of the text, once per occurrence.
    pub fn columns(&self, scratch: &mut LookupScratch, text: &str, mut each: impl FnMut(u32)) {
        let (tokens, lowered) = scratch.scanner.scan(text);
        scratch.words.clear();
        // Unknown words separate their neighbours; stop words do not.
        self.words.get_all(
            tokens,
            lowered,
            &mut scratch.first_slots,
            &mut scratch.words,
        );
        scratch.words.retain(|&word| word >= self.stop_words);
        for (start, &word) in scratch.words.iter().enumerate() {
            if word == NO_ID {
                continue;
            }
            let column = self.column_of_word[word as usize];
            if column != NO_ID {
                each(column);
            }
            let mut node = word;
            for &next in scratch.words[start + 1..].iter().take(self.longest - 1) {
                let key = key(node, next);
                if !self.filter.may_contain(key) {
                    break;
                }
                let Some(&found) = self.nodes.get(&key) else {
                    break;
                };
                let column = self.column_of_node[(FIRST_NODE - found) as usize];
                if column != NO_ID {
                    each(column);
                }
                node = found;
            }
        }
    }
}

/// Multiplicative hash. Not resistant to chosen keys; keys are pairs of ids, which users cannot
/// choose.
#[derive(Default)]
struct NodeHasher(u64);

impl Hasher for NodeHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|&byte| self.write_u64(self.0 << 8 | u64::from(byte)));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = hash(key);
    }
}

fn hash(key: u64) -> u64 {
    let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    product as u64 ^ (product >> 64) as u64
}

/// Bloom filter with one hash: most word pairs are not terms, and the filter, unlike the map, fits
/// in the cache.
struct Filter(Vec<u64>);

impl Filter {
    /// Sixteen bits per key: a false positive rate of 1/16.
    fn new(keys: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut filter = Self(vec![0; (keys.len() / 4).next_power_of_two()]);
        for key in keys {
            let (word, bit) = filter.position(key);
            filter.0[word] |= bit;
        }
        filter
    }

    fn position(&self, key: u64) -> (usize, u64) {
        // The map uses other bits of the same hash.
        let hash = hash(key) >> 20;
        ((hash >> 6) as usize & (self.0.len() - 1), 1 << (hash & 63))
    }

    fn may_contain(&self, key: u64) -> bool {
        let (word, bit) = self.position(key);
        self.0[word] & bit != 0
    }
}
