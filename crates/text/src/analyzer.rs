//! Conversion of texts to tokens, with the meanings of scikit-learn's `CountVectorizer`.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use crate::pattern::Pattern;

/// Settings by which the tokens of a text are found. Part of `config.json`, where defaults are left
/// out.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Analyzer {
    /// Shortest word, in characters: 1 or 2. Without effect on other tokens than words without a
    /// pattern.
    pub min_word_length: u8,
    /// The tokens.
    #[serde(rename = "analyzer", default, skip_serializing_if = "Tokens::is_word")]
    pub tokens: Tokens,
    /// Matches the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_pattern: Option<Pattern>,
    /// Accents to remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_accents: Option<Accents>,
    /// True if texts are lower-cased first.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub lowercase: bool,
}

/// Tokens that n-grams are made of: `analyzer` in scikit-learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokens {
    /// Words; those of an n-gram are separated by a space.
    #[default]
    Word,
    /// Characters.
    Char,
    /// Characters within words, which are padded with spaces.
    CharWb,
}

/// Accents to remove: `strip_accents` in scikit-learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accents {
    /// All characters that are not ASCII after decomposition (NFKD).
    Ascii,
    /// Combining characters, after decomposition (NFKD).
    Unicode,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Tokens {
    /// True for words.
    pub fn is_word(&self) -> bool {
        *self == Self::Word
    }
}

impl Analyzer {
    /// Lower-case words of at least this number of characters: 1 or 2.
    pub const fn words(min_word_length: u8) -> Self {
        Self {
            min_word_length,
            tokens: Tokens::Word,
            token_pattern: None,
            strip_accents: None,
            lowercase: true,
        }
    }

    /// True for lower-case words without a pattern.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::words(self.min_word_length)
    }

    /// Lower-cases the text and removes its accents, in this order.
    pub(crate) fn prepare<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = match self.lowercase {
            true => Cow::Owned(text.to_lowercase()),
            false => Cow::Borrowed(text),
        };
        match self.strip_accents {
            Some(Accents::Unicode) if !text.is_ascii() => {
                let is_base = |&character: &char| canonical_combining_class(character) == 0;
                text.chars().nfkd().filter(is_base).collect()
            }
            Some(Accents::Ascii) if !text.is_ascii() => {
                text.chars().nfkd().filter(char::is_ascii).collect()
            }
            _ => text,
        }
    }
}
