//! Words to numbers: an interner whose keys are the words themselves, in order of first appearance.

use super::scan::{INLINE, Token};

/// No word, or a word that was cut from the vocabulary.
pub(crate) const NO_ID: u32 = u32::MAX;
/// So many words fit before the keys are moved.
const WORD_CAPACITY: usize = 1 << 17;
/// The top byte of a long word's key: no UTF-8 text holds it.
const LONG: u64 = 0xff << 56;

#[derive(Clone, Copy, PartialEq)]
struct Key {
    low: u64,
    high: u64,
}

/// A set of words, each with a number from 0.
pub(crate) struct Words {
    /// Each a word's number, or [`NO_ID`] where it is free. Length: a power of two, at most half of it in use.
    ///
    /// Free is not 0: fresh zeroed memory that is read before it is written costs a second page fault, and with it an
    /// interrupt of the other threads (measured on IMDB: 4 % of the processor time).
    slots: Vec<u32>,
    keys: Vec<Key>,
    /// Words of more than 16 bytes: their key holds a hash and the index of their end here.
    long: Vec<u8>,
    long_ends: Vec<usize>,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![NO_ID; 1 << 13],
            // Address space, not memory: a large array grows in place, a small one is copied again and again.
            keys: Vec::with_capacity(WORD_CAPACITY),
            long: Vec::new(),
            long_ends: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Appends the number of every word to `numbers`, but of those below `stop_words`; new words are added.
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
            // Written without a branch: no processor can first which words are stop words.
            numbers[kept] = number;
            kept += usize::from(number >= stop_words);
        }
        numbers.truncate(kept);
    }

    /// Appends the number of every word, or [`NO_ID`], to `numbers`.
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

    /// The guessed number, if its word is short and the right one.
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

    /// The number of a word of UTF-8 `bytes`, which is added if it is new.
    pub(crate) fn intern_bytes(&mut self, bytes: &[u8]) -> u32 {
        let token = Token::of_word(bytes);
        self.intern(&token, hash(&token, bytes), bytes)
    }

    /// The number's slot or, if it is new, the slot to put it into.
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

    /// The word's UTF-8 bytes, borrowed for a long word only.
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

    /// The word.
    pub(crate) fn text(&self, number: u32) -> String {
        // Words are cut from `&str` at character boundaries, so nothing is lost here.
        String::from_utf8_lossy(&self.bytes(number)).into_owned()
    }

    /// Adds all words of `other`; the answer maps its numbers to ours.
    pub(crate) fn absorb(&mut self, other: &Self) -> Vec<u32> {
        (0..other.len() as u32)
            .map(|number| self.intern_bytes(&other.bytes(number)))
            .collect()
    }
}

/// What the first slot of a word's hash holds.
struct FirstSlot {
    hash: u64,
    number: u32,
}

/// FirstSlots for the words of a text. Looking at all first slots before the first comparison lets the processor wait for
/// many cache lines at a time (measured on IMDB, one thread: a quarter less time for the whole encoding).
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

/// A 64 x 64 -> 128 bit product, folded; the constants are digits of pi and e, with no structure of their own.
#[inline]
fn mix(low: u64, high: u64) -> u64 {
    let product =
        u128::from(low ^ 0x243f_6a88_85a3_08d3) * u128::from(high ^ 0xb7e1_5162_8aed_2a6b);
    product as u64 ^ (product >> 64) as u64
}
