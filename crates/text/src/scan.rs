//! Splits text into tokens like scikit-learn's `CountVectorizer`. By default: lower-case, then all
//! maximal runs of two or more word characters (`(?u)\b\w\w+\b`), or of one or more
//! (`(?u)\b\w+\b`). [`other`] has the other analyzers.

mod other;

use self::other::OtherScanner;
pub(crate) use self::other::is_unsegmented;
use crate::analyzer::Analyzer;
use crate::characters::{is_ascii_word, is_word};

/// Maximum number of bytes of a word in its key.
pub(crate) const INLINE: usize = 16;
const BLOCK: usize = 64;
/// Offsets per step. English has about ten words of two or more letters in 64 bytes.
const STEP: usize = 8;

/// The first 16 bytes of a word, zero-padded, as two little-endian numbers, and its place in the
/// lower-cased text.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// Masks for words of 0 to 16 bytes.
const KEY_MASKS: [u128; INLINE + 1] = {
    let mut masks = [u128::MAX; INLINE + 1];
    let mut length = 0;
    while length < INLINE {
        masks[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    masks
};

impl Token {
    /// `lowered` must have at least [`INLINE`] bytes from `start`, for any word length.
    fn new(lowered: &[u8], start: usize, end: usize) -> Self {
        let length = end - start;
        let mut bytes = [0; INLINE];
        bytes.copy_from_slice(&lowered[start..start + INLINE]);
        let key = u128::from_le_bytes(bytes);
        let key = key & KEY_MASKS[length.min(INLINE)];
        // Offsets fit: `dataset` refuses records of 1 GiB or more.
        Self {
            low: key as u64,
            high: (key >> 64) as u64,
            start: start as u32,
            length: length as u32,
        }
    }

    /// Creates the token of a single word.
    pub(super) fn of_word(word: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        let inline = word.len().min(INLINE);
        bytes[..inline].copy_from_slice(&word[..inline]);
        let key = u128::from_le_bytes(bytes);
        Self {
            low: key as u64,
            high: (key >> 64) as u64,
            start: 0,
            length: word.len() as u32,
        }
    }

    /// Returns the bytes of the word.
    pub(crate) fn bytes<'a>(&self, lowered: &'a [u8]) -> &'a [u8] {
        &lowered[self.start as usize..(self.start + self.length) as usize]
    }
}

/// Splits texts into tokens; reuses its buffers.
pub(crate) struct Scanner {
    /// Minimum word length in characters: 1 or 2.
    shortest: usize,
    /// `None` for lower-case words.
    other: Option<Box<OtherScanner>>,
    lowered: Vec<u8>,
    masks: Vec<u64>,
    starts: Places,
    ends: Places,
    spans: Vec<(usize, usize)>,
    tokens: Vec<Token>,
}

impl Scanner {
    /// Creates a scanner of the tokens of `analyzer`.
    pub(crate) fn new(analyzer: &Analyzer) -> Self {
        Self {
            shortest: analyzer.min_word_length.into(),
            other: OtherScanner::new(analyzer).map(Box::new),
            lowered: Vec::new(),
            masks: Vec::new(),
            starts: Places::default(),
            ends: Places::default(),
            spans: Vec::new(),
            tokens: Vec::new(),
        }
    }

    /// Returns the tokens of `text`, in order, and the prepared text that they refer to. Words with
    /// `char_wb` are separated by an empty token.
    pub(crate) fn scan(&mut self, text: &str) -> (&[Token], &[u8]) {
        self.tokens.clear();
        if let Some(other) = &mut self.other {
            other.scan(text, &mut self.lowered, &mut self.spans);
            self.take_spans();
            return (&self.tokens, &self.lowered);
        }
        let ascii = text.is_ascii();
        self.lower_blocks(text.as_bytes());
        if ascii || self.lower_others(text) {
            self.place_words();
            let places = self.starts.get().iter().zip(self.ends.get());
            let tokens = places
                .map(|(&start, &end)| Token::new(&self.lowered, start as usize, end as usize));
            self.tokens.extend(tokens);
            if !ascii && self.shortest > 1 {
                // The masks are per byte, so a single multi-byte character looks longer than one.
                let lowered = &self.lowered;
                self.tokens
                    .retain(|token| !is_one_wide_character(token.bytes(lowered)));
            }
        } else {
            self.scan_by_character(text);
        }
        (&self.tokens, &self.lowered)
    }

    /// Lower-cases ASCII letters, and marks ASCII word characters in `masks`.
    fn lower_blocks(&mut self, text: &[u8]) {
        let (blocks, rest) = text.as_chunks::<BLOCK>();
        let room = (blocks.len() + 2) * BLOCK;
        if self.lowered.len() < room {
            self.lowered.resize(room, 0);
        }
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        let (lowered, _) = self.lowered.as_chunks_mut::<BLOCK>();
        self.masks.clear();
        self.masks.extend(
            blocks
                .iter()
                .chain([&last])
                .zip(lowered)
                .map(|(block, out)| lower_block(block, out)),
        );
        // A word may end at the end of the text.
        self.masks.push(0);
    }

    /// Lower-cases other characters in place and marks their bytes. Returns false if a lower-case
    /// form has another length or depends on the context.
    fn lower_others(&mut self, text: &str) -> bool {
        let mut at = 0;
        while let Some(next) = text.as_bytes()[at..]
            .iter()
            .position(|byte| !byte.is_ascii())
        {
            at += next;
            let Some(character) = text[at..].chars().next() else {
                break;
            };
            let length = character.len_utf8();
            let mut lower = character.to_lowercase();
            // Only the lower case of a capital sigma depends on its neighbours.
            let (Some(first), None, false) = (lower.next(), lower.next(), character == 'Σ') else {
                return false;
            };
            if first.len_utf8() != length {
                return false;
            }
            first.encode_utf8(&mut self.lowered[at..at + length]);
            if is_word(first) {
                for byte in at..at + length {
                    self.masks[byte / BLOCK] |= 1 << (byte % BLOCK);
                }
            }
            at += length;
        }
        true
    }

    /// Finds starts and ends of runs of at least [`Self::shortest`] marked bytes. Uses bit
    /// arithmetic, because branches at word ends cannot be predicted.
    fn place_words(&mut self) {
        let capacity = self.masks.len() * BLOCK / 2;
        self.starts.clear(capacity);
        self.ends.clear(capacity);
        let longer = self.shortest > 1;
        let mut before = 0;
        for (block, &mask) in self.masks.iter().enumerate() {
            let after = self.masks.get(block + 1).copied().unwrap_or(0);
            let one_before = mask << 1 | before >> 63;
            let mut starts = mask & !one_before;
            let mut ends = !mask & one_before;
            if longer {
                starts &= mask >> 1 | after << 63;
                ends &= mask << 2 | before >> 62;
            }
            self.starts.push_bits(block, starts);
            self.ends.push_bits(block, ends);
            before = mask;
        }
    }

    /// Fallback for texts whose lower-case form has other offsets than the text.
    fn scan_by_character(&mut self, text: &str) {
        let whole;
        // Only a capital sigma's lower case depends on its neighbours.
        let text = if text.contains('Σ') {
            whole = text.to_lowercase();
            whole.as_str()
        } else {
            text
        };
        self.lowered.clear();
        self.spans.clear();
        let mut run = Run {
            shortest: self.shortest,
            start: 0,
            characters: 0,
        };
        for (part, other) in parts(text) {
            for &byte in part {
                run.step(is_ascii_word(byte), self.lowered.len(), &mut self.spans);
                self.lowered.push(byte.to_ascii_lowercase());
            }
            for character in other.into_iter().flat_map(char::to_lowercase) {
                run.step(is_word(character), self.lowered.len(), &mut self.spans);
                self.lowered
                    .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        run.step(false, self.lowered.len(), &mut self.spans);
        self.take_spans();
    }

    /// Makes tokens of the spans of the lower-cased text.
    fn take_spans(&mut self) {
        self.lowered.resize(self.lowered.len() + INLINE, 0);
        let spans = self.spans.iter();
        self.tokens
            .extend(spans.map(|&(start, end)| Token::new(&self.lowered, start, end)));
    }
}

/// Offsets in a text. The buffer has spare space: writes may go past `count`.
#[derive(Default)]
struct Places {
    places: Vec<u32>,
    count: usize,
}

impl Places {
    /// Clears the offsets and reserves space for `capacity` of them.
    fn clear(&mut self, capacity: usize) {
        self.count = 0;
        if self.places.len() < capacity + BLOCK {
            self.places.resize(capacity + BLOCK, 0);
        }
    }

    fn get(&self) -> &[u32] {
        &self.places[..self.count]
    }

    /// Appends the offsets of the bits set in block `block`.
    #[inline]
    fn push_bits(&mut self, block: usize, mut bits: u64) {
        let count = bits.count_ones() as usize;
        // Offsets fit: `dataset` refuses records of 1 GiB or more.
        let base = (block * BLOCK) as u32;
        let out = &mut self.places[self.count..self.count + BLOCK];
        let mut first = 0;
        // A fixed number at a time, even if fewer are left: a loop that ends at the last bit costs
        // one branch misprediction per block.
        while first < count {
            for place in &mut out[first..(first + STEP).min(BLOCK)] {
                *place = base + bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
            }
            first += STEP;
        }
        self.count += count;
    }
}

/// The current run of word characters.
struct Run {
    shortest: usize,
    start: usize,
    characters: usize,
}

impl Run {
    #[inline]
    fn step(&mut self, word: bool, at: usize, spans: &mut Vec<(usize, usize)>) {
        if word {
            if self.characters == 0 {
                self.start = at;
            }
            self.characters += 1;
        } else {
            if self.characters >= self.shortest {
                spans.push((self.start, at));
            }
            self.characters = 0;
        }
    }
}

/// Splits a text into runs of ASCII bytes, each followed by one other character, except the last.
fn parts(text: &str) -> impl Iterator<Item = (&[u8], Option<char>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let length = text
            .bytes()
            .position(|byte| !byte.is_ascii())
            .unwrap_or(text.len());
        let (part, behind) = text.split_at(length);
        let mut characters = behind.chars();
        let other = characters.next();
        rest = other.map(|_| characters.as_str());
        Some((part.as_bytes(), other))
    })
}

/// Lower-cases 64 ASCII bytes; bit `i` of the result is set if byte `i` is a word character.
/// Written so that the compiler vectorises both loops.
fn lower_block(block: &[u8; BLOCK], lowered: &mut [u8; BLOCK]) -> u64 {
    let mut flags = [0; BLOCK];
    for ((&byte, lower), flag) in block.iter().zip(lowered).zip(&mut flags) {
        let upper = u8::from(byte.wrapping_sub(b'A') < 26);
        *lower = byte | upper << 5;
        let letter = u8::from(lower.wrapping_sub(b'a') < 26);
        let digit = u8::from(byte.wrapping_sub(b'0') < 10);
        *flag = letter | digit | u8::from(byte == b'_');
    }
    let (eights, _) = flags.as_chunks::<8>();
    // The multiplication gathers the lowest bit of eight bytes in the top byte.
    eights.iter().enumerate().fold(0, |mask, (index, &eight)| {
        let bits = u64::from_le_bytes(eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask | bits << (8 * index)
    })
}

/// True if the word is a single multi-byte character.
fn is_one_wide_character(word: &[u8]) -> bool {
    // Continuation bytes start with the bits 10.
    word.len() <= 4 && word[0] >= 0x80 && word[1..].iter().all(|&byte| byte & 0xc0 == 0x80)
}

#[cfg(test)]
mod tests;
