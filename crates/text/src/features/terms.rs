//! The vocabulary: terms in code point order.

use std::borrow::Cow;

use super::ngrams::Level;
use crate::{Analyzer, NO_ID, Scanner, Tokens};

/// Terms in code point order, one per column of the saved model. Words of an n-gram are separated
/// by a space.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// The terms, each followed by a line feed.
    text: String,
    /// End of each term.
    ends: Vec<usize>,
}

impl Terms {
    /// Parses `vocabulary.txt`: one term per line, with the escapes of [`Self::to_lines`].
    pub fn parse(text: String) -> Self {
        if memchr::memchr(b'\\', text.as_bytes()).is_none() {
            let found = || memchr::memchr_iter(b'\n', text.as_bytes());
            let mut ends = Vec::with_capacity(found().count());
            ends.extend(found());
            return Self { text, ends };
        }
        let mut terms = Self::default();
        for line in text.split_terminator('\n') {
            let mut characters = line.chars();
            let mut term = String::with_capacity(line.len());
            while let Some(character) = characters.next() {
                term.push(match character {
                    '\\' => match characters.next() {
                        Some('n') => '\n',
                        Some('r') => '\r',
                        other => other.unwrap_or(character),
                    },
                    other => other,
                });
            }
            terms.push(&term);
        }
        terms
    }

    fn push(&mut self, term: &str) {
        self.text.push_str(term);
        self.ends.push(self.text.len());
        self.text.push('\n');
    }

    /// Returns the terms with these indices, ascending.
    pub fn subset(&self, kept: &[usize]) -> Self {
        if kept.len() == self.len() {
            return self.clone();
        }
        let mut terms = Self::default();
        kept.iter().for_each(|&index| terms.push(self.get(index)));
        terms
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

    /// Calls `each` with the column of each term of the text, once per occurrence, like
    /// [`Lookup::columns`](super::Lookup::columns) but by binary search: faster for a few texts,
    /// because building a lookup takes longer than reading the vocabulary. `longest`: maximum
    /// n-gram length.
    pub fn columns(
        &self,
        text: &str,
        stop_words: &[String],
        (analyzer, longest): (&Analyzer, usize),
        mut each: impl FnMut(u32),
    ) {
        let mut scanner = Scanner::new(analyzer);
        let (tokens, prepared) = scanner.scan(text);
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| String::from_utf8_lossy(token.bytes(prepared)))
            .collect();
        let tokens: Vec<_> = tokens
            .iter()
            .filter(|token| !stop_words.iter().any(|stop| stop == *token))
            .collect();
        let mut term = String::new();
        for start in 0..tokens.len() {
            term.clear();
            // An empty token separates words of characters.
            let ngram = tokens[start..].iter().take(longest);
            for token in ngram.take_while(|token| !token.is_empty()) {
                if !term.is_empty() {
                    term.push_str(separator(analyzer.tokens));
                }
                term.push_str(token);
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

    /// Returns the content of `vocabulary.txt`: one term per line. In terms, which are not words
    /// then, `\n`, `\r` and `\\` stand for line feed, carriage return and backslash.
    pub fn to_lines(&self) -> Cow<'_, str> {
        let bytes = self.text.as_bytes();
        let line_feeds = memchr::memchr_iter(b'\n', bytes).count();
        if line_feeds == self.len() && memchr::memchr2(b'\\', b'\r', bytes).is_none() {
            return Cow::Borrowed(&self.text);
        }
        let mut lines = String::with_capacity(self.text.len());
        for term in self.iter() {
            for character in term.chars() {
                match character {
                    '\\' => lines.push_str("\\\\"),
                    '\n' => lines.push_str("\\n"),
                    '\r' => lines.push_str("\\r"),
                    other => lines.push(other),
                }
            }
            lines.push('\n');
        }
        lines.into()
    }

    /// Returns the n-grams that are columns, in code point order, and the column of each.
    ///
    /// A space sorts before all characters of words, so this is the order of the sequences of
    /// `words`, prefixes first.
    pub(super) fn sorted(
        levels: &[Level],
        of_gram: &[Vec<u32>],
        words: &[&str],
        tokens: Tokens,
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
            separator: separator(tokens),
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
    separator: &'static str,
    terms: Terms,
    columns: Vec<u32>,
}

impl Walk<'_> {
    fn visit(&mut self, level: usize, gram: u32, prefix: &str) {
        let word = self.words[self.levels[level].grams[gram as usize].1 as usize];
        let term = if prefix.is_empty() {
            word.to_owned()
        } else {
            [prefix, self.separator, word].concat()
        };
        let column = self.of_gram[level][gram as usize];
        if column != NO_ID {
            self.terms.push(&term);
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

/// Separates the tokens of an n-gram.
fn separator(tokens: Tokens) -> &'static str {
    match tokens {
        Tokens::Word => " ",
        Tokens::Char | Tokens::CharWb => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_escapes_are_read_back() {
        let mut terms = Terms::default();
        let all = ["\n", "\r\n", "a b", "a\n", "a\\", "a\\n"];
        all.iter().for_each(|term| terms.push(term));
        let lines = terms.to_lines().into_owned();
        assert_eq!(lines, "\\n\n\\r\\n\na b\na\\n\na\\\\\na\\\\n\n");
        let read = Terms::parse(lines);
        assert_eq!(read, terms);
        assert_eq!(read.iter().collect::<Vec<_>>(), all);
        assert_eq!(
            read.subset(&[0, 3]).iter().collect::<Vec<_>>(),
            ["\n", "a\n"]
        );
        let plain = Terms::parse("a\nb\n".to_owned());
        assert_eq!(plain.to_lines(), "a\nb\n");
    }
}
