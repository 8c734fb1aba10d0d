//! Tokens of all analyzers but the default one.

use dataset::{is_of_unsegmented_script, may_be_unsegmented};

use super::Run;
use crate::analyzer::{Analyzer, Tokens};
use crate::characters::{is_space, is_word};
use crate::pattern::Buffers;

/// Splits texts by an analyzer.
pub(super) struct OtherScanner {
    analyzer: Analyzer,
    buffers: Buffers,
}

impl OtherScanner {
    /// Returns `None` for lower-case words, which have a faster scanner.
    pub(super) fn new(analyzer: &Analyzer) -> Option<Self> {
        (!analyzer.is_plain()).then(|| Self {
            analyzer: analyzer.clone(),
            buffers: Buffers::default(),
        })
    }

    /// Writes the prepared text to `prepared`, and start and end of each token to `spans`.
    pub(super) fn scan(
        &mut self,
        text: &str,
        prepared: &mut Vec<u8>,
        spans: &mut Vec<(usize, usize)>,
    ) {
        let text = self.analyzer.prepare(text);
        let text = match self.analyzer.tokens {
            Tokens::Word => text,
            Tokens::Char => one_space(&text).into(),
            Tokens::CharWb => padded_words(&text).into(),
        };
        prepared.clear();
        prepared.extend_from_slice(text.as_bytes());
        spans.clear();
        match (&self.analyzer.tokens, &self.analyzer.token_pattern) {
            (Tokens::Word, Some(pattern)) => {
                pattern.each_match(&mut self.buffers, &text, |start, end| {
                    spans.push((start, end));
                });
            }
            (Tokens::Word, None) => words(&text, self.analyzer.min_word_length.into(), spans),
            (Tokens::Char | Tokens::CharWb, _) => characters(&text, spans),
        }
    }
}

fn words(text: &str, shortest: usize, spans: &mut Vec<(usize, usize)>) {
    let mut run = Run {
        shortest,
        start: 0,
        characters: 0,
    };
    for (at, character) in text.char_indices() {
        run.step(is_word(character), at, spans);
    }
    run.step(false, text.len(), spans);
}

/// Each character is a token. [`SEPARATOR`] becomes an empty one, which no n-gram crosses.
fn characters(text: &str, spans: &mut Vec<(usize, usize)>) {
    spans.extend(text.char_indices().map(|(start, character)| {
        let length = match character {
            SEPARATOR => 0,
            other => other.len_utf8(),
        };
        (start, start + length)
    }));
}

/// Separates words. A text that contains it is damaged.
const SEPARATOR: char = '\0';

/// Replaces runs of two or more whitespace characters by a space, as `char` does.
fn one_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_run = is_space(character) && characters.next_if(|&next| is_space(next)).is_some();
        while is_run && characters.next_if(|&next| is_space(next)).is_some() {}
        out.push(if is_run { ' ' } else { character });
    }
    out
}

/// Pads each word with a space on both sides, as `char_wb` does.
fn padded_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(SEPARATOR);
        }
        out.push(' ');
        out.push_str(word);
        out.push(' ');
    }
    out
}

/// Shortest mean length of the parts of a text between blanks, in letters, that is not the length
/// of a word: words of Chinese and Thai have about 2 and 4 letters.
const MIN_PART: usize = 6;

/// True if most letters are of a script without blanks between words, and there are few blanks.
pub(crate) fn is_unsegmented(text: &str) -> bool {
    if !may_be_unsegmented(text) {
        return false;
    }
    let wide = text.bytes().filter(|&byte| byte >= 0xe0).count();
    let text = without_addresses(text);
    if wide * 6 < text.len() {
        return false;
    }
    let (mut letters, mut unsegmented) = (0, 0);
    for character in text.chars().filter(|&character| is_word(character)) {
        letters += 1;
        unsegmented += usize::from(is_of_unsegmented_script(character));
    }
    let parts = text.split_whitespace().count();
    unsegmented * 2 > letters && unsegmented >= parts.saturating_sub(1) * MIN_PART
}

/// Removes addresses, mentions and hashtags in ASCII, which texts of any script have.
fn without_addresses(text: &str) -> String {
    let is_other = |character: char| !character.is_ascii_graphic();
    let is_address =
        |run: &str| run.contains(['@', '#']) || run.contains("://") || run.starts_with("www.");
    let runs = text.split_inclusive(is_other).map(|run| {
        let ascii = run.trim_end_matches(is_other);
        &run[if is_address(ascii) { ascii.len() } else { 0 }..]
    });
    runs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_is_that_of_scikit_learn() {
        assert_eq!(one_space("a\nb \t c\u{1f}\u{3000}d  "), "a\nb c d ");
        assert_eq!(padded_words(" ab  c\nd"), " ab \0 c \0 d ");
        assert_eq!(padded_words(" "), "");
    }

    #[test]
    fn texts_without_blanks_are_noticed() {
        let texts = [
            ("这部电影真的糟糕，音乐很无聊！", true),
            ("หนังเรื่องนี้เสียเวลา เพลงน่าเบื่อจริงๆ", true),
            ("この映画はとても面白かった。iPhone で見た", true),
            ("王小明", true),
            ("王小明 https://t.co/1ZYccaZ91b", true),
            ("电影真好看https://t.co/1ZYccaZ91b", true),
            ("@user12345678 电影好看 #movie www.example.com/film", true),
            ("see https://t.co/1ZYccaZ91b about 电影", false),
            ("这 部 电影 真 的 糟糕", false),
            ("หนัง เรื่อง นี้ น่า เบื่อ", false),
            ("이 영화는 정말 재미있었다", false),
            ("the word 电影 means film", false),
            ("", false),
        ];
        for (text, expected) in texts {
            assert_eq!(is_unsegmented(text), expected, "{text}");
        }
    }
}
