//! Classes of characters as in Python's `re`.

use crate::word_ranges::WORD_RANGES;

/// Python's `\w` for ASCII.
pub(crate) fn is_ascii_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Python's `\w`: `str.isalnum()` or `_`.
pub(crate) fn is_word(character: char) -> bool {
    let code = u32::from(character);
    if let Ok(byte @ ..0x80) = u8::try_from(code) {
        return is_ascii_word(byte);
    }
    let after = WORD_RANGES.partition_point(|&(first, _)| first <= code);
    after > 0 && code <= WORD_RANGES[after - 1].1
}

/// Python's `\s`: `str.isspace()`.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// Python's `\d`: decimal digits.
pub(crate) fn is_digit(character: char) -> bool {
    let code = u32::from(character);
    let after = ZEROS.partition_point(|&zero| zero <= code);
    after > 0 && code - ZEROS[after - 1] < 10
}

/// The digits 0 of Unicode 14.0; each is followed by 1 to 9.
#[rustfmt::skip] // one number per line would make a page
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0,
    0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0,
    0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce,
    0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];
