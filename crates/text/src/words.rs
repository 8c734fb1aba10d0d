//! String interner: maps words to ids in order of first appearance. Short words are stored in the
//! keys.

use crate::scan::{INLINE, Token};

/// Sentinel id: no word, or a word that is not in the vocabulary.
pub(crate) const NO_ID: u32 = u32::MAX;
/// Initial capacity in words.
const WORD_CAPACITY: usize = 1 << 17;
/// Top byte of a long word's key: never occurs in UTF-8.
const LONG: u64 = 0xff << 56;

#[derive(Clone, Copy, PartialEq)]
struct Key {
    low: u64,
    high: u64,
}

/// A set of words with ids from 0.
pub(crate) struct Words {
    /// Hash table: word ids, or [`NO_ID`] for free slots. The length is a power of two; at most
    /// half is in use.
    ///
    /// Free slots are not 0: reading fresh zeroed memory before writing it costs a second page
    /// fault, which interrupts the other threads (measured on IMDB: 4 % of the CPU time).
    slots: Vec<u32>,
    keys: Vec<Key>,
    /// Words of more than 16 bytes; their key has a hash and an index into `long_ends`.
    long: Vec<u8>,
    long_ends: Vec<usize>,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![NO_ID; 1 << 13],
            // Reserves address space, not memory: a large array grows in place, a small one is
            // copied repeatedly.
            keys: Vec::with_capacity(WORD_CAPACITY),
            long: Vec::new(),
            long_ends: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Appends the ids of all words to `numbers`, except ids below `stop_words`. Adds new words.
    pub(crate) fn intern_all(
        &mut self,
        tokens: &[Token],
        lowered: &[u8],
        scratch: &mut FirstSlots,
        stop_words: u32,
        numbers: &mut Vec<u32>,
    ) {
        scratch.fill(self, tokens, lowered);
        let mut kept = numbers.len();
        numbers.resize(kept + tokens.len(), 0);
        for (token, first) in tokens.iter().zip(&scratch.0) {
            let number = match self.confirm(token, first) {
                Some(number) => number,
                None => self.intern(token, first.hash, lowered),
            };
            // Without a branch: stop words cannot be predicted.
            numbers[kept] = number;
            kept += usize::from(number >= stop_words);
        }
        numbers.truncate(kept);
    }

    /// Appends the id of each word, or [`NO_ID`], to `numbers`.
    pub(crate) fn get_all(
        &self,
        tokens: &[Token],
        lowered: &[u8],
        scratch: &mut FirstSlots,
        numbers: &mut Vec<u32>,
    ) {
        scratch.fill(self, tokens, lowered);
        numbers.extend(tokens.iter().zip(&scratch.0).map(|(token, first)| {
            match self.confirm(token, first) {
                Some(number) => number,
                None => self.probe(first.hash, token, lowered).unwrap_or(NO_ID),
            }
        }));
    }

    /// Returns the id in the first slot, if its word is short and equal.
    #[inline]
    fn confirm(&self, token: &Token, first: &FirstSlot) -> Option<u32> {
        let key = self.keys.get(first.number as usize)?;
        let same =
            *key == Key {
                low: token.low,
                high: token.high,
            } && token.length as usize <= INLINE;
        same.then_some(first.number)
    }

    fn intern(&mut self, token: &Token, hash: u64, lowered: &[u8]) -> u32 {
        match self.probe(hash, token, lowered) {
            Ok(number) => number,
            Err(slot) => self.add(slot, hash, token, lowered),
        }
    }

    /// Returns the id of the word with these UTF-8 `bytes`; adds it if it is new.
    pub(crate) fn intern_bytes(&mut self, bytes: &[u8]) -> u32 {
        let token = Token::of_word(bytes);
        self.intern(&token, hash(&token, bytes), bytes)
    }

    /// Returns the id of the word or, if it is new, the free slot for it.
    #[inline]
    fn probe(&self, hash: u64, token: &Token, lowered: &[u8]) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let number = self.slots[slot];
            if number == NO_ID {
                return Err(slot);
            }
            if self.is(number, hash, token, lowered) {
                return Ok(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    #[inline]
    fn is(&self, number: u32, hash: u64, token: &Token, lowered: &[u8]) -> bool {
        let key = self.keys[number as usize];
        if token.length as usize <= INLINE {
            key == Key {
                low: token.low,
                high: token.high,
            }
        } else {
            key.low == hash && key.high & LONG == LONG && self.bytes(number) == token.bytes(lowered)
        }
    }

    #[cold]
    fn add(&mut self, slot: usize, hash: u64, token: &Token, lowered: &[u8]) -> u32 {
        let number = self.keys.len() as u32;
        self.slots[slot] = number;
        if token.length as usize <= INLINE {
            self.keys.push(Key {
                low: token.low,
                high: token.high,
            });
        } else {
            self.keys.push(Key {
                low: hash,
                high: LONG | self.long_ends.len() as u64,
            });
            self.long.extend_from_slice(token.bytes(lowered));
            self.long_ends.push(self.long.len());
        }
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let mask = size - 1;
        let mut slots = vec![NO_ID; size];
        for (number, key) in self.keys.iter().enumerate() {
            let hash = if key.high & LONG == LONG {
                key.low
            } else {
                mix(key.low, key.high)
            };
            let mut slot = hash as usize & mask;
            while slots[slot] != NO_ID {
                slot = (slot + 1) & mask;
            }
            slots[slot] = number as u32;
        }
        self.slots = slots;
    }

    /// Returns the UTF-8 bytes of a word; borrowed only for long words.
    fn bytes(&self, number: u32) -> std::borrow::Cow<'_, [u8]> {
        let key = self.keys[number as usize];
        if key.high & LONG == LONG {
            let index = (key.high & !LONG) as usize;
            let start = if index == 0 {
                0
            } else {
                self.long_ends[index - 1]
            };
            return self.long[start..self.long_ends[index]].into();
        }
        let mut bytes = [key.low.to_le_bytes(), key.high.to_le_bytes()].concat();
        bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(INLINE));
        bytes.into()
    }

    /// Returns the word with this id.
    pub(crate) fn text(&self, number: u32) -> String {
        // Lossless: words come from `&str`, split at character boundaries.
        String::from_utf8_lossy(&self.bytes(number)).into_owned()
    }

    /// Adds all words of `other`; returns a map from its ids to ids of `self`.
    pub(crate) fn absorb(&mut self, other: &Self) -> Vec<u32> {
        (0..other.len() as u32)
            .map(|number| self.intern_bytes(&other.bytes(number)))
            .collect()
    }
}

/// Hash of a word, and the id in the first slot for this hash.
struct FirstSlot {
    hash: u64,
    number: u32,
}

/// First hash table slots of the words of a text. Reading all first slots before comparing overlaps
/// the cache misses (measured on IMDB, one thread: 25 % less time for the whole encoding).
#[derive(Default)]
pub(crate) struct FirstSlots(Vec<FirstSlot>);

impl FirstSlots {
    fn fill(&mut self, words: &Words, tokens: &[Token], lowered: &[u8]) {
        let mask = words.slots.len() - 1;
        self.0.clear();
        self.0.extend(tokens.iter().map(|token| {
            let hash = hash(token, lowered);
            FirstSlot {
                hash,
                number: words.slots[hash as usize & mask],
            }
        }));
    }
}

#[inline]
fn hash(token: &Token, lowered: &[u8]) -> u64 {
    if token.length as usize <= INLINE {
        mix(token.low, token.high)
    } else {
        xxhash_rust::xxh3::xxh3_64(token.bytes(lowered))
    }
}

/// Folded 64 x 64 -> 128 bit product. The constants are digits of pi and e.
#[inline]
fn mix(low: u64, high: u64) -> u64 {
    let product =
        u128::from(low ^ 0x243f_6a88_85a3_08d3) * u128::from(high ^ 0xb7e1_5162_8aed_2a6b);
    product as u64 ^ (product >> 64) as u64
}
