//! Regular expressions with the meaning of Python's `re`, for `--token-pattern`.
//!
//! The crate `regex` has other word characters and word boundaries (it counts combining marks) and
//! no lookaround, and would take a tenth of the time of the first build. Matching is Pike's virtual
//! machine: the time is linear in the text for every pattern without lookaround. A lookaround is
//! matched anew at each position: one that reads ahead without a limit, such as `(?=.*x)`, takes
//! time quadratic in the length of the line.

mod parse;
mod run;

pub(crate) use run::Buffers;

use std::sync::Arc;

use crate::characters::{is_digit, is_space, is_word};

/// A compiled regular expression; cheap to clone.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    source: String,
    steps: Arc<[Step]>,
    /// True if the words are the matches of the group.
    has_group: bool,
}

/// A step of the virtual machine. Distances of jumps are relative to the step.
#[derive(Clone, Debug)]
enum Step {
    /// Consumes a character of the set.
    One(Set),
    /// Continues at either distance; the first one is preferred.
    Split(isize, isize),
    Jump(isize),
    /// Saves the position in a slot: 0 and 1 for the match, 2 and 3 for the group.
    Save(usize),
    Assert(Assertion),
    Look(Look),
    Match,
}

#[derive(Clone, Copy, Debug)]
enum Assertion {
    /// `\A`, or `^`.
    Start,
    /// `\Z`.
    End,
    /// `$`: the end, or before a line feed at the end.
    LastLineEnd,
    /// `^` with the flag `m`.
    LineStart,
    /// `$` with the flag `m`.
    LineEnd,
    /// `\b`.
    Boundary,
    /// `\B`.
    NoBoundary,
}

/// A lookaround assertion.
#[derive(Clone, Debug)]
struct Look {
    steps: Arc<[Step]>,
    /// Number of characters to go back, for a lookbehind assertion.
    behind: Option<usize>,
    negative: bool,
}

/// A set of characters.
#[derive(Clone, Debug, Default)]
struct Set {
    items: Vec<Item>,
    negated: bool,
    ignore_case: bool,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    /// First and last character.
    Range(char, char),
    /// A class, and true for its complement.
    Class(Class, bool),
}

#[derive(Clone, Copy, Debug)]
enum Class {
    Word,
    Digit,
    Space,
}

impl Pattern {
    /// Compiles a regular expression.
    ///
    /// # Errors
    /// It is not one of Python's, uses a part of it that is not supported, has several groups, or
    /// matches the empty text. The message says which.
    pub fn new(source: &str) -> Result<Self, String> {
        let (steps, groups) = parse::compile(source)?;
        if groups > 1 {
            return Err(format!("expected at most one group, found `{groups}`"));
        }
        let pattern = Self {
            source: source.to_owned(),
            steps: steps.into(),
            has_group: groups == 1,
        };
        if run::is_start(&pattern.steps, "") {
            return Err("it matches the empty text".to_owned());
        }
        Ok(pattern)
    }

    /// Calls `each` with start and end of every word: like `findall`, but without empty words.
    pub(crate) fn each_match(
        &self,
        buffers: &mut Buffers,
        text: &str,
        mut each: impl FnMut(usize, usize),
    ) {
        let mut from = 0;
        while let Some([start, end, group_start, group_end]) =
            run::find(&self.steps, buffers, text, from)
        {
            let (word_start, word_end) = match self.has_group {
                true => (group_start, group_end),
                false => (start, end),
            };
            if word_start < word_end {
                each(word_start, word_end);
            }
            from = end;
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(source: String) -> Result<Self, String> {
        Self::new(&source)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.source
    }
}

impl Set {
    fn has(&self, character: char) -> bool {
        let has = |character: char| self.items.iter().any(|item| item.has(character));
        let found =
            has(character) || self.ignore_case && other_cases(character).into_iter().any(has);
        found != self.negated
    }
}

/// Returns the other cases of a character. Those of `ı` and `ſ` include the cases of `i` and `s`.
fn other_cases(character: char) -> [char; 4] {
    let lower = |of: char| of.to_lowercase().next().unwrap_or(of);
    // Two characters, such as those of `ß`, are not a case of one.
    let upper = |of: char| {
        let mut upper = of.to_uppercase();
        let only = (upper.len() == 1).then(|| upper.next()).flatten();
        only.unwrap_or(of)
    };
    let (lowered, raised) = (lower(character), upper(character));
    [lowered, raised, lower(raised), upper(lowered)]
}

impl Item {
    fn has(self, character: char) -> bool {
        match self {
            Self::Range(first, last) => (first..=last).contains(&character),
            Self::Class(class, negated) => class.has(character) != negated,
        }
    }
}

impl Class {
    fn has(self, character: char) -> bool {
        match self {
            Self::Word => is_word(character),
            Self::Digit => is_digit(character),
            Self::Space => is_space(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pattern: &str, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let pattern = Pattern::new(pattern).unwrap();
        pattern.each_match(&mut Buffers::default(), text, |start, end| {
            words.push(text[start..end].to_owned());
        });
        words
    }

    /// Expected: `re.findall` of Python 3.11.
    #[test]
    fn words_are_those_of_findall() {
        let cases: &[(&str, &str, &[&str])] = &[
            (r"(?u)\b\w\w+\b", "I saw x² it", &["saw", "x²", "it"]),
            (r"\b\w+\b", "दिल्ली", &["द", "ल", "ल"]),
            (r"[a-z']+", "don't o'clock", &["don't", "o'clock"]),
            (r"[^,\s]+", "a b,c\u{1f}d", &["a", "b", "c", "d"]),
            (r"\S+", "a\u{3000}b c.", &["a", "b", "c."]),
            (r"(?<![@#])\b\w\w+\b", "@you are #ok no", &["are", "no"]),
            (r"\w+(?=!)", "well done! ok", &["done"]),
            (r"\w+(?!\w|!)", "well done! ok", &["well", "ok"]),
            (r"\d{2,3}", "1 22 4444 ٣٤", &["22", "444", "٣٤"]),
            (r"\d{,2}x", "123x x", &["23x", "x"]),
            (r"a{2}|b+?", "aaabb", &["aa", "b", "b"]),
            (r"#(\w+)", "#a b #cd", &["a", "cd"]),
            (r"(?:ab|a)(?:c|bcd)?", "abcd ab", &["abc", "ab"]),
            (r"(?i)[k-m]+", "KlM xkL", &["KlM", "kL"]),
            (
                r"(?i)[a-z]+",
                "ıslak ſ \u{212a} ß",
                &["ıslak", "ſ", "\u{212a}"],
            ),
            (r"(?i)[A-Z]+", "ıß İx ŉ", &["ı", "İx"]),
            (r"^\w+$", "one", &["one"]),
            (r"(?m)^\w+", "one\ntwo three", &["one", "two"]),
            (r"[]a\-\\]+", r"a]-\b", &[r"a]-\"]),
            (r"(?s)a.b|a.c", "a\nb a\nc", &["a\nb", "a\nc"]),
            (r"\x41\u0042\.", "AB.", &["AB."]),
            (r"a{x|a{}", "a{x a{}", &["a{x", "a{}"]),
            (r"(?:a|ab)(?:c|bcd)(?:d*)", "abcd", &["abcd"]),
            (r"x*?y|x+", "xxy xx", &["xxy", "xx"]),
            (r"a{1,3}?b|a{1,2}", "aaab aa", &["aaab", "aa"]),
        ];
        for &(pattern, text, expected) in cases {
            assert_eq!(words(pattern, text), expected, "{pattern}");
        }
    }

    #[test]
    fn time_is_linear_for_patterns_that_backtracking_cannot_match() {
        let text = "a".repeat(5000);
        assert!(words("(?:a|a|aa)+b", &text).is_empty());
    }

    #[test]
    fn patterns_that_are_not_supported_are_refused() {
        let cases = [
            ("(", "`)`"),
            ("a)", "`)`"),
            ("[a", "`]`"),
            ("*a", "nothing to repeat"),
            ("{2}a", "nothing to repeat"),
            ("a**", "multiple repeat"),
            (r"(a)\1", r"`\1`"),
            (r"\q", r"`\q`"),
            ("(?P=x)", "(?P="),
            ("(?x)a", "flag `x`"),
            ("(?<=a+)b", "fixed"),
            ("(a)(b)", "group"),
            (r"(?=(\w\w))", "a group in a lookaround"),
            (r"\w(?=(\w))", "a group in a lookaround"),
            (r"(?<!(@))\w", "a group in a lookaround"),
            (r"\w*", "empty text"),
            ("(?:a*)*b", "may be empty"),
            ("[b-a]", "b-a"),
            ("a{1000}{1000}", "multiple repeat"),
            ("(?:a{1000}){1000}", "long"),
        ];
        for (pattern, part) in cases {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
