//! Text to words, as scikit-learn's `CountVectorizer` cuts it: lower-case, then every maximal run of two or
//! more word characters (`(?u)\b\w\w+\b`), or of one or more (`(?u)\b\w+\b`).

use super::word_ranges::WORD_RANGES;

/// Bytes of a word that fit into its key.
pub(crate) const INLINE: usize = 16;
const BLOCK: usize = 64;

/// A word's first 16 bytes, zero-padded, as two little-endian numbers, and its place in the lowered text.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// The bytes of a word of 0 to 16 bytes.
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
    /// `lowered` holds at least [`INLINE`] bytes from `start` on, whatever the word's length.
    fn new(lowered: &[u8], start: usize, end: usize) -> Self {
        let length = end - start;
        let mut bytes = [0; INLINE];
        bytes.copy_from_slice(&lowered[start..start + INLINE]);
        let key = u128::from_le_bytes(bytes);
        let key = key & KEY_MASKS[length.min(INLINE)];
        // A text is cut before 4 GiB: `harness` refuses longer records.
        Self {
            low: key as u64,
            high: (key >> 64) as u64,
            start: start as u32,
            length: length as u32,
        }
    }

    /// The token of a text that is one word.
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

    /// The word itself.
    pub(crate) fn bytes<'a>(&self, lowered: &'a [u8]) -> &'a [u8] {
        &lowered[self.start as usize..(self.start + self.length) as usize]
    }
}

/// Cuts texts into words; keeps its buffers between texts.
pub(crate) struct Scanner {
    /// Shortest word, in characters.
    shortest: usize,
    lowered: Vec<u8>,
    masks: Vec<u64>,
    spans: Vec<(usize, usize)>,
    tokens: Vec<Token>,
}

impl Scanner {
    /// A scanner of words of at least `shortest` characters.
    pub(crate) fn new(shortest: u8) -> Self {
        let shortest = shortest.into();
        Self {
            shortest,
            lowered: Vec::new(),
            masks: Vec::new(),
            spans: Vec::new(),
            tokens: Vec::new(),
        }
    }

    /// The words of `text`, in order, and the lowered text that they point into.
    pub(crate) fn scan(&mut self, text: &str) -> (&[Token], &[u8]) {
        self.tokens.clear();
        if text.is_ascii() {
            self.scan_ascii(text.as_bytes());
        } else {
            self.scan_unicode(text);
        }
        (&self.tokens, &self.lowered)
    }

    fn scan_ascii(&mut self, text: &[u8]) {
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

        let (mut start, mut carry, mut inside) = (0, 0, false);
        // Where the class changes, a run starts or ends.
        for (index, &mask) in self.masks.iter().chain([&0]).enumerate() {
            let mut changes = mask ^ (mask << 1 | carry);
            carry = mask >> 63;
            while changes != 0 {
                let at = index * BLOCK + changes.trailing_zeros() as usize;
                changes &= changes - 1;
                if inside && at - start >= self.shortest {
                    self.tokens.push(Token::new(&self.lowered, start, at));
                }
                start = at;
                inside = !inside;
            }
        }
    }

    fn scan_unicode(&mut self, text: &str) {
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
        self.lowered.resize(self.lowered.len() + INLINE, 0);
        let spans = self.spans.iter();
        self.tokens
            .extend(spans.map(|&(start, end)| Token::new(&self.lowered, start, end)));
    }
}

/// The run of word characters at hand.
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

/// Cuts a text into runs of ASCII bytes, each followed by one other character, the last by none.
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

/// Lower-cases 64 ASCII bytes; bit `i` of the answer says whether byte `i` is a word character.
/// Written so that the compiler turns both loops into vector code.
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

fn is_ascii_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Python's `\w`: `str.isalnum()` or `_`.
fn is_word(character: char) -> bool {
    let code = u32::from(character);
    if let Ok(byte @ ..0x80) = u8::try_from(code) {
        return is_ascii_word(byte);
    }
    let after = WORD_RANGES.partition_point(|&(first, _)| first <= code);
    after > 0 && code <= WORD_RANGES[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut scanner = Scanner::new(2);
        let (tokens, lowered) = scanner.scan(text);
        tokens
            .iter()
            .map(|token| String::from_utf8(token.bytes(lowered).to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn cuts_like_the_default_token_pattern() {
        assert_eq!(
            words("I saw it: a GREAT_film, 10/10 don't!"),
            ["saw", "it", "great_film", "10", "10", "don"]
        );
        assert!(words("").is_empty());
        assert!(words("a b c !").is_empty());
        assert_eq!(words("no end"), ["no", "end"]);
    }

    #[test]
    fn unicode_words_are_lowered_and_counted_in_code_points() {
        assert_eq!(words("Über É été x² ΟΔΟΣ"), ["über", "été", "x²", "οδος"]);
        // The dotted capital I becomes an i and a combining dot, which is no word character.
        assert_eq!(words("İstanbul"), ["stanbul"]);
    }

    #[test]
    fn both_paths_agree_on_ascii_at_every_offset() {
        let text: String = (0..300)
            .map(|i| char::from(b" aZ_9,.b"[(i * i / 3) % 8]))
            .collect();
        for start in 0..130 {
            let ascii = &text[start..];
            let mut unicode = words(&format!("{ascii} é"));
            assert_eq!(unicode.len(), words(ascii).len());
            unicode.retain(|word| word.is_ascii());
            assert_eq!(words(ascii), unicode);
        }
    }
}
