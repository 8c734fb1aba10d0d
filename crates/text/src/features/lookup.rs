//! Lookup of the n-grams of texts.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::OnceLock;

use super::{TermShape, Terms};
use crate::{Analyzer, FirstSlots, NO_ID, Scanner, Tokens, Words};

/// Finds terms in texts.
pub struct Lookup {
    words: Words,
    /// Ids below this are stop words.
    stop_words: u32,
    /// Column of each word, or [`NO_ID`].
    column_of_word: Vec<u32>,
    /// Trie: (node of the first n-1 words, last word) -> node. The node of a word is its id; nodes
    /// of n-grams count down from [`FIRST_NODE`]. The longest n-grams have their column instead.
    nodes: HashMap<Key, u32, BuildHasherDefault<NodeHasher>>,
    filter: Filter,
    column_of_node: Vec<u32>,
    /// Tokens of the longest term.
    longest: usize,
}

/// Node and following word. Not a u64, with which an entry of the map would take 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    node: u32,
    word: u32,
}

impl Key {
    fn bits(self) -> u64 {
        u64::from(self.node) << 32 | u64::from(self.word)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.bits());
    }
}

/// Largest batch that is predicted without a lookup table. measured: with 500,000 terms, building
/// the table takes a hundred times as long as one text.
const LOOKUP_THRESHOLD: usize = 16;

/// A [`Lookup`] that is built for the first large batch.
#[derive(Default)]
pub struct LazyLookup(OnceLock<Lookup>);

impl LazyLookup {
    /// Returns the lookup for a batch of `texts`; `None` if [`Terms::columns`] is faster.
    pub fn for_batch(&self, texts: usize, terms: &Terms, shape: TermShape<'_>) -> Option<&Lookup> {
        if texts <= LOOKUP_THRESHOLD {
            return self.0.get();
        }
        let build = || {
            let ngrams = (shape.analyzer.tokens, shape.max_ngrams);
            Lookup::new(terms, shape.stop_words, ngrams)
        };
        Some(self.0.get_or_init(build))
    }
}

/// Buffers of [`Lookup::columns`]; one per thread.
pub struct LookupScratch {
    scanner: Scanner,
    first_slots: FirstSlots,
    words: Vec<u32>,
    /// Index of the following word, and node, of each n-gram that may be the start of others.
    open: Vec<(usize, u32)>,
    candidates: Vec<(usize, Key)>,
}

impl LookupScratch {
    /// Creates buffers for the tokens of `analyzer`.
    pub fn new(analyzer: &Analyzer) -> Self {
        Self {
            scanner: Scanner::new(analyzer),
            first_slots: FirstSlots::default(),
            words: Vec::new(),
            open: Vec::new(),
            candidates: Vec::new(),
        }
    }
}

const FIRST_NODE: u32 = NO_ID - 1;

/// Returns the number of tokens of a term; `longest`: maximum n-gram length.
fn token_count(term: &str, (tokens, longest): (Tokens, usize)) -> usize {
    match tokens {
        Tokens::Word if longest > 1 => 1 + memchr::memchr_iter(b' ', term.as_bytes()).count(),
        // A word of a pattern may contain spaces.
        Tokens::Word => 1,
        Tokens::Char | Tokens::CharWb => term.chars().count(),
    }
}

impl Lookup {
    /// Builds the lookup of `terms`; `stop_words` are skipped in texts. `longest`: maximum n-gram
    /// length.
    pub fn new(terms: &Terms, stop_words: &[String], (tokens, longest): (Tokens, usize)) -> Self {
        let mut words = Words::new();
        for word in stop_words {
            words.intern_bytes(word.as_bytes());
        }
        let mut nodes = HashMap::default();
        nodes.reserve(terms.len());
        let counts = terms
            .iter()
            .map(|term| token_count(term, (tokens, longest)));
        let mut lookup = Self {
            stop_words: words.len() as u32,
            column_of_word: vec![NO_ID; words.len()],
            words,
            nodes,
            filter: Filter::new(std::iter::empty()),
            column_of_node: Vec::new(),
            longest: counts.max().unwrap_or(1),
        };
        for (term, column) in terms.iter().zip(0..) {
            match tokens {
                Tokens::Word if longest > 1 => lookup.add(term.split(' '), column),
                Tokens::Word => lookup.add(std::iter::once(term), column),
                Tokens::Char | Tokens::CharWb => {
                    lookup.add(term.split_inclusive(|_: char| true), column);
                }
            }
        }
        lookup.filter = Filter::new(lookup.nodes.keys().map(|key| key.bits()));
        lookup
    }

    fn add<'a>(&mut self, tokens: impl Iterator<Item = &'a str>, column: u32) {
        let mut node = NO_ID;
        let mut length = 0;
        for text in tokens {
            let word = self.words.intern_bytes(text.as_bytes());
            if word as usize == self.column_of_word.len() {
                self.column_of_word.push(NO_ID);
            }
            length += 1;
            if length == 1 {
                node = word;
                continue;
            }
            let key = Key { node, word };
            if length == self.longest {
                self.nodes.insert(key, column);
                return;
            }
            let new = FIRST_NODE - self.column_of_node.len() as u32;
            node = *self.nodes.entry(key).or_insert(new);
            if node == new {
                self.column_of_node.push(NO_ID);
            }
        }
        if length == 1 {
            self.column_of_word[node as usize] = column;
        } else {
            self.column_of_node[(FIRST_NODE - node) as usize] = column;
        }
    }

    /// Calls `each` with the column of each term of the text, once per occurrence, shorter terms
    /// first.
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
        scratch.open.clear();
        for (&word, next) in scratch.words.iter().zip(1..) {
            if word == NO_ID {
                continue;
            }
            scratch.open.push((next, word));
            let column = self.column_of_word[word as usize];
            if column != NO_ID {
                each(column);
            }
        }
        for length in 2..=self.longest {
            self.ngrams(scratch, length, &mut each);
        }
    }

    /// Finds the n-grams of a length, and replaces those of `scratch.open` by them. The filter is
    /// asked for all before the map is, so that misses of the cache overlap.
    fn ngrams(&self, scratch: &mut LookupScratch, length: usize, each: &mut impl FnMut(u32)) {
        let LookupScratch {
            words,
            open,
            candidates,
            ..
        } = scratch;
        candidates.clear();
        let first = Key { node: 0, word: 0 };
        candidates.resize(open.len(), (0, first));
        let mut kept = 0;
        for &(next, node) in open.iter() {
            let word = words.get(next).copied().unwrap_or(NO_ID);
            let key = Key { node, word };
            // Without a branch, which could not be predicted.
            candidates[kept] = (next + 1, key);
            kept += usize::from(self.filter.may_contain(key.bits()));
        }
        open.clear();
        for &(next, key) in &candidates[..kept] {
            let Some(&found) = self.nodes.get(&key) else {
                continue;
            };
            if length == self.longest {
                each(found);
                continue;
            }
            open.push((next, found));
            let column = self.column_of_node[(FIRST_NODE - found) as usize];
            if column != NO_ID {
                each(column);
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
