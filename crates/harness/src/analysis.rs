//! Options of the text analysis, for trainers that count terms.

use clap::{ArgAction, Args, ValueEnum};
use diagnostics::Error;
use text::features::NgramConfig;
use text::{Accents, Analyzer, Pattern, TokenizedRows, Tokens};

use crate::Adapted;
use crate::range::integer;

/// Maximum n-gram length in characters. scikit-learn with `analyzer="char"` and this one has 1.00
/// on made-up Chinese and Thai reviews, where words have 0.54 (scikit-learn#20992).
const CHARACTER_NGRAMS: u8 = 3;

/// Least share of rows without blanks between words that is worth a warning: one in this number.
const MIN_SHARE: usize = 20;

/// Options of the tokens; names and meanings are those of scikit-learn.
#[derive(Args, Clone, Debug, Default)]
pub struct AnalysisArgs {
    /// Minimum n-gram length, in words or characters [default: 1]
    #[arg(long, value_name = "N", value_parser = integer::<u8>(1..=8))]
    min_ngrams: Option<u8>,
    /// Tokens of the n-grams [default: word; char if most rows have no blanks between words]
    ///
    /// Chinese, Japanese and Thai have no blanks between words. Options of words, such as
    /// --token-pattern, keep words, with a warning.
    #[arg(long, value_enum)]
    analyzer: Option<TokensArg>,
    /// Regular expression of a word, as in Python [default: runs of letters and digits]
    ///
    /// If it has a group, the word is the group.
    #[arg(long, value_name = "REGEX")]
    token_pattern: Option<String>,
    /// Remove accents [default: keep them]
    #[arg(long, value_enum)]
    strip_accents: Option<AccentsArg>,
    /// Do not convert texts to lower case
    #[arg(long, action = ArgAction::SetTrue)]
    no_lowercase: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TokensArg {
    /// Words
    Word,
    /// Characters
    Char,
    /// Characters within words, which are padded with spaces
    #[value(name = "char_wb", alias = "char-wb")]
    CharWb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AccentsArg {
    /// Keep ASCII characters only, after decomposition
    Ascii,
    /// Remove combining characters, after decomposition
    Unicode,
}

/// Values of other options of the text analysis.
pub struct AnalysisDefaults {
    /// Value of `--max-ngrams`.
    pub max_ngrams: Option<u8>,
    /// Maximum n-gram length in words without `--max-ngrams`.
    pub max_word_ngrams: u8,
    /// Shortest word without a pattern: 1 or 2 characters.
    pub min_word_length: u8,
    /// Options that are given and need words, such as `--stopwords`.
    pub of_words: Vec<&'static str>,
}

/// Settings by which the terms of a text are found.
#[derive(Clone, Debug, PartialEq)]
pub struct TextAnalysis {
    /// Settings by which the tokens of a text are found.
    pub analyzer: Analyzer,
    /// Minimum n-gram length, in tokens.
    pub min_ngrams: usize,
    /// Maximum n-gram length, in tokens.
    pub max_ngrams: usize,
    /// Maximum n-gram length in characters, if the rows decide about the tokens.
    automatic: Option<usize>,
    /// Options that are given and need words.
    of_words: Vec<&'static str>,
}

impl AnalysisArgs {
    /// True if texts are converted to lower case.
    pub fn lowercase(&self) -> bool {
        !self.no_lowercase
    }

    /// Minimum n-gram length, in tokens.
    pub fn min_ngrams(&self) -> u8 {
        self.min_ngrams.unwrap_or(1)
    }

    /// Checks the options.
    ///
    /// # Errors
    /// The pattern is not valid, or two options exclude each other.
    pub fn check(&self, defaults: &AnalysisDefaults) -> Result<TextAnalysis, Error> {
        let tokens = match self.analyzer {
            None | Some(TokensArg::Word) => Tokens::Word,
            Some(TokensArg::Char) => Tokens::Char,
            Some(TokensArg::CharWb) => Tokens::CharWb,
        };
        let pattern = self.token_pattern.as_ref().map(|_| "--token-pattern");
        let of_words: Vec<_> = defaults.of_words.iter().copied().chain(pattern).collect();
        check_combination(tokens, &of_words)?;
        let (token_pattern, min_word_length) = match &self.token_pattern {
            None => (None, defaults.min_word_length),
            Some(pattern) => word_pattern(pattern)?,
        };
        let analyzer = Analyzer {
            tokens,
            token_pattern,
            strip_accents: self.strip_accents.map(|accents| match accents {
                AccentsArg::Ascii => Accents::Ascii,
                AccentsArg::Unicode => Accents::Unicode,
            }),
            lowercase: self.lowercase(),
            ..Analyzer::words(min_word_length)
        };
        let min_ngrams = self.min_ngrams();
        let max_ngrams = |default: u8| -> usize {
            let max_ngrams = defaults.max_ngrams.unwrap_or(default.max(min_ngrams));
            max_ngrams.into()
        };
        if max_ngrams(min_ngrams) < usize::from(min_ngrams) {
            let message = format!(
                "expected --min-ngrams of at most --max-ngrams, found `{min_ngrams}` and `{}`",
                max_ngrams(min_ngrams)
            );
            return Err(Error::usage(message).help("lower --min-ngrams, or raise --max-ngrams"));
        }
        let is_automatic = self.analyzer.is_none();
        Ok(TextAnalysis {
            analyzer,
            min_ngrams: min_ngrams.into(),
            max_ngrams: max_ngrams(match tokens {
                Tokens::Word => defaults.max_word_ngrams,
                Tokens::Char | Tokens::CharWb => CHARACTER_NGRAMS,
            }),
            automatic: is_automatic.then(|| max_ngrams(CHARACTER_NGRAMS)),
            of_words,
        })
    }
}

impl TextAnalysis {
    /// Returns the settings that models keep.
    pub fn ngram_config(&self) -> NgramConfig {
        NgramConfig {
            max_ngrams: self.max_ngrams,
            min_ngrams: self.min_ngrams,
            analyzer: self.analyzer.clone(),
        }
    }
}

/// Refuses options that have no effect on characters, and two patterns of words.
fn check_combination(tokens: Tokens, of_words: &[&str]) -> Result<(), Error> {
    if let Some(option) = of_words.first().filter(|_| !tokens.is_word()) {
        let found = match tokens {
            Tokens::CharWb => "char_wb",
            Tokens::Word | Tokens::Char => "char",
        };
        let message = format!("expected --analyzer word with {option}, found --analyzer `{found}`");
        let help = format!("leave out {option}, or choose --analyzer word");
        return Err(Error::usage(message).help(help));
    }
    if of_words.contains(&"--token-pattern") && of_words.contains(&"--min-word-length") {
        let message = "expected --token-pattern or --min-word-length, found both";
        return Err(Error::usage(message).help("leave out --min-word-length"));
    }
    Ok(())
}

/// Returns the pattern, or `None` and the shortest word for those of the faster scanner.
fn word_pattern(pattern: &str) -> Result<(Option<Pattern>, u8), Error> {
    match pattern.strip_prefix("(?u)").unwrap_or(pattern) {
        r"\b\w\w+\b" => return Ok((None, 2)),
        r"\b\w+\b" => return Ok((None, 1)),
        _ => {}
    }
    match Pattern::new(pattern) {
        Ok(compiled) => Ok((Some(compiled), 1)),
        Err(error) => {
            let message = format!(
                "expected a regular expression of a word with --token-pattern, found `{pattern}`: \
                 {error}"
            );
            Err(Error::usage(message)
                .help(r"write it as for Python's `re`; the default is `(?u)\b\w\w+\b`"))
        }
    }
}

impl TextAnalysis {
    /// Changes the tokens to characters if there is no option for them and most rows have no blanks
    /// between words; with options that need words, or if fewer rows have none, returns a warning
    /// instead.
    pub fn adapt(&mut self, encoders: &[TokenizedRows]) -> Option<Adapted> {
        let longest = self.automatic?;
        let (found, is_most) = rows_without_blanks(encoders)?;
        self.automatic = None;
        if !is_most || !self.of_words.is_empty() {
            let leave_out = match self.of_words.as_slice() {
                [] => String::new(),
                options => format!(" and leave out {}", options.join(" and ")),
            };
            return Some(Adapted::Warning(format!(
                "{found}: most of their words are whole sentences\n  help: pass --analyzer \
                 char{leave_out}, or pass --analyzer word to keep words"
            )));
        }
        self.analyzer.tokens = Tokens::Char;
        self.max_ngrams = longest;
        Some(Adapted::Params(format!(
            "{found}: using --analyzer char, with n-grams of {} to {longest} characters",
            self.min_ngrams
        )))
    }
}

/// Returns the statement that 5 % or more of the rows have no blanks between words, and true if most
/// have none; `None` if there are fewer.
pub fn rows_without_blanks<'a>(
    encoders: impl IntoIterator<Item = &'a TokenizedRows>,
) -> Option<(String, bool)> {
    let (rows, unsegmented) = TokenizedRows::unsegmented(encoders);
    let found = format!("{unsegmented} of {rows} rows have no blanks between words");
    (unsegmented > 0 && unsegmented * MIN_SHARE >= rows).then_some((found, unsegmented * 2 > rows))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn defaults(of_words: &[&'static str]) -> AnalysisDefaults {
        AnalysisDefaults {
            max_ngrams: None,
            max_word_ngrams: 2,
            min_word_length: 2,
            of_words: of_words.to_vec(),
        }
    }

    fn analysis(args: &AnalysisArgs) -> TextAnalysis {
        args.check(&defaults(&[])).unwrap()
    }

    #[test]
    fn lengths_of_ngrams_depend_on_the_tokens() {
        let words = analysis(&AnalysisArgs::default());
        assert_eq!((words.min_ngrams, words.max_ngrams), (1, 2));
        let characters = AnalysisArgs {
            analyzer: Some(TokensArg::CharWb),
            min_ngrams: Some(4),
            ..AnalysisArgs::default()
        };
        let characters = analysis(&characters);
        assert_eq!((characters.min_ngrams, characters.max_ngrams), (4, 4));
        let characters = analysis(&AnalysisArgs {
            analyzer: Some(TokensArg::Char),
            ..AnalysisArgs::default()
        });
        assert_eq!((characters.min_ngrams, characters.max_ngrams), (1, 3));
    }

    fn rows(analyzer: &Analyzer, texts: &[&str]) -> [TokenizedRows; 1] {
        let mut rows = TokenizedRows::new(&Arc::from([]), analyzer);
        texts.iter().for_each(|text| rows.push(text));
        [rows]
    }

    /// DATA-FAULTS 22: Chinese text has no words that are separated by blanks.
    #[test]
    fn rows_without_blanks_choose_characters() {
        let words = Analyzer::words(2);
        let chinese = rows(&words, &["这部电影真的糟糕", "音乐真的好看", "good"]);
        let mut automatic = analysis(&AnalysisArgs::default());
        let expected = "2 of 3 rows have no blanks between words: using --analyzer char, with \
                        n-grams of 1 to 3 characters";
        let expected = Some(Adapted::Params(expected.to_owned()));
        assert_eq!(automatic.adapt(&chinese), expected);
        assert_eq!(automatic.analyzer.tokens, Tokens::Char);
        assert_eq!((automatic.min_ngrams, automatic.max_ngrams), (1, 3));
        assert_eq!(automatic.adapt(&chinese), None);
        let mut english = analysis(&AnalysisArgs::default());
        assert_eq!(
            english.adapt(&rows(&words, &["good film", "bad film"])),
            None
        );
        let mut explicit = analysis(&AnalysisArgs {
            analyzer: Some(TokensArg::Word),
            ..AnalysisArgs::default()
        });
        assert_eq!(explicit.adapt(&chinese), None);
        // Not an option of words.
        let cased = AnalysisArgs {
            no_lowercase: true,
            ..AnalysisArgs::default()
        };
        let mut cased = analysis(&cased);
        let encoded = rows(
            &cased.analyzer,
            &["这部电影真的糟糕", "音乐真的好看", "Good"],
        );
        assert_eq!(cased.adapt(&encoded), expected);
        assert!(!cased.analyzer.lowercase);
    }

    /// Issue 17: rows of two scripts; those of a minority were classified by chance, silently.
    #[test]
    fn some_rows_without_blanks_are_counted() {
        let warning = |unsegmented: usize, args: &AnalysisArgs| {
            let mut texts = ["good film"; 40];
            texts[..unsegmented].fill("这部电影真的糟糕");
            let mut analysis = analysis(args);
            let encoded = rows(&analysis.analyzer, &texts);
            let adapted = analysis.adapt(&encoded);
            assert_eq!(analysis.analyzer.tokens, Tokens::Word);
            adapted
        };
        let automatic = AnalysisArgs::default();
        for unsegmented in [2, 20] {
            let expected = format!(
                "{unsegmented} of 40 rows have no blanks between words: most of their words are \
                 whole sentences\n  help: pass --analyzer char, or pass --analyzer word to keep words"
            );
            let expected = Some(Adapted::Warning(expected));
            assert_eq!(warning(unsegmented, &automatic), expected);
        }
        assert_eq!(warning(1, &automatic), None);
        let explicit = AnalysisArgs {
            analyzer: Some(TokensArg::Word),
            ..AnalysisArgs::default()
        };
        assert_eq!(warning(20, &explicit), None);
    }

    /// Words of such texts are whole sentences: a warning, since the user asked for words.
    #[test]
    fn options_of_words_are_a_warning_for_rows_without_blanks() {
        let pattern = || AnalysisArgs {
            token_pattern: Some(r"\S+".to_owned()),
            ..AnalysisArgs::default()
        };
        let adapted = |args: &AnalysisArgs| {
            let mut analysis = args.check(&defaults(&["--stopwords"])).unwrap();
            let encoded = rows(&analysis.analyzer, &["这部电影真的糟糕"]);
            let adapted = analysis.adapt(&encoded);
            assert_eq!(analysis.analyzer.tokens, Tokens::Word);
            adapted
        };
        let Some(Adapted::Warning(warning)) = adapted(&pattern()) else {
            panic!("no warning");
        };
        assert!(warning.starts_with("1 of 1 rows have no blanks between words"));
        let help = "help: pass --analyzer char and leave out --stopwords and --token-pattern, or \
                    pass --analyzer word";
        assert!(warning.contains(help), "{warning}");
        let confirmed = AnalysisArgs {
            analyzer: Some(TokensArg::Word),
            ..pattern()
        };
        assert_eq!(adapted(&confirmed), None);
    }

    #[test]
    fn pattern_of_scikit_learn_is_that_of_the_faster_scanner() {
        let of = |pattern: &str| {
            analysis(&AnalysisArgs {
                token_pattern: Some(pattern.to_owned()),
                ..AnalysisArgs::default()
            })
            .analyzer
        };
        assert_eq!(of(r"(?u)\b\w\w+\b"), Analyzer::words(2));
        assert_eq!(of(r"\b\w+\b"), Analyzer::words(1));
        assert!(of(r"\S+").token_pattern.is_some());
    }
}
