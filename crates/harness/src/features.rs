//! Options of the vocabulary, and the count matrix of n-grams that they select.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use dataset::{RowTable, Split};
use diagnostics::{Error, listed, sanitize};
use text::features::{Counts, FeatureParams, FitError, Frequency, fit};
use text::{Analyzer, TokenizedRows, english, stop_words_without_match};
use training::Run;

use crate::TextAnalysis;
use crate::range::integer;

/// Arguments that select the terms; names and meanings are those of scikit-learn.
#[derive(clap::Args, Clone, Debug)]
pub struct VocabularyArgs {
    /// Drop terms that occur in fewer than N training rows: a count, or a fraction below 1.0
    #[arg(long, value_name = "N", default_value = "2")]
    min_df: FrequencyArg,
    /// Drop terms that occur in more than N training rows: a count, or a fraction up to 1.0
    #[arg(long, value_name = "N", default_value = "1.0")]
    max_df: FrequencyArg,
    /// Maximum number of terms; the most frequent are kept [default: no limit]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=u32::MAX.into()))]
    max_features: Option<u32>,
    /// Words to drop: `english`, `none`, or a file
    ///
    /// `english` is the list of scikit-learn. A file has one word per line, in UTF-8.
    #[arg(
        long,
        value_name = "LIST",
        default_value = "none",
        alias = "stop-words"
    )]
    stopwords: String,
}

/// A count (`5`) or a fraction (`0.01`, `1.0`); a decimal point makes it a fraction, as in
/// scikit-learn.
#[derive(Clone, Copy, Debug)]
struct FrequencyArg(Frequency);

impl FromStr for FrequencyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse() {
            return Ok(Self(Frequency::Count(count)));
        }
        match text.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(Frequency::Share(share))),
            _ => Err("expected a whole number of rows, or a fraction from 0.0 to 1.0".to_owned()),
        }
    }
}

/// Parts of a stop word that a warning names.
const MAX_LISTED: usize = 5;

/// Selection of the terms, whatever their tokens are.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// Minimum document frequency of a term in the training rows.
    pub min_df: Frequency,
    /// Maximum document frequency of a term in the training rows.
    pub max_df: Frequency,
    /// Maximum number of terms; the most frequent are kept.
    pub max_features: Option<usize>,
    /// Words to drop, lower case unless the texts are not.
    pub stop_words: Arc<[String]>,
}

impl Vocabulary {
    /// Returns the options of words that are given, for [`crate::AnalysisDefaults`].
    pub fn options_of_words(&self, min_word_length: Option<u8>) -> Vec<&'static str> {
        let stop_words = (!self.stop_words.is_empty()).then_some("--stopwords");
        let shortest = min_word_length.map(|_| "--min-word-length");
        stop_words.into_iter().chain(shortest).collect()
    }

    /// Warns of stop words that texts cannot contain, because their words are split in another way.
    pub fn warn_stop_words(&self, analyzer: &Analyzer, run: &mut Run) {
        let unmatched = stop_words_without_match(analyzer, &self.stop_words);
        let Some((first, tokens)) = unmatched.first() else {
            return;
        };
        let tokens = listed(tokens, MAX_LISTED);
        run.warn(format!(
            "{} of {} stop words cannot match, such as `{first}`: texts have {tokens} instead\n  \
             help: give what texts have as stop words: {tokens} for `{first}`",
            unmatched.len(),
            self.stop_words.len(),
            first = sanitize(first)
        ));
    }

    fn params(&self, analysis: &TextAnalysis) -> FeatureParams {
        FeatureParams {
            min_df: self.min_df,
            max_df: self.max_df,
            tokens: analysis.analyzer.tokens,
            min_ngrams: analysis.min_ngrams,
            max_ngrams: analysis.max_ngrams,
            max_features: self.max_features,
            subwords: None,
        }
    }
}

impl VocabularyArgs {
    /// Returns the selection of terms. `lowercase`: true if texts are converted to lower case.
    ///
    /// # Errors
    /// No term can have the frequencies, or the file of stop words cannot be read.
    pub fn check(&self, lowercase: bool) -> Result<Vocabulary, Error> {
        self.check_frequencies()?;
        Ok(Vocabulary {
            min_df: self.min_df.0,
            max_df: self.max_df.0,
            max_features: self.max_features.map(|n| n as usize),
            stop_words: load_stop_words(&self.stopwords, lowercase)?,
        })
    }

    /// Refuses document frequencies that no term can have, for any number of rows.
    fn check_frequencies(&self) -> Result<(), Error> {
        if matches!(self.max_df.0, Frequency::Count(0)) || self.max_df.0 == Frequency::Share(0.0) {
            return Err(Error::usage("expected --max-df above 0, found `0`")
                .help("leave out --max-df: `1.0`, the default, drops no frequent terms"));
        }
        let (min, max) = match (self.min_df.0, self.max_df.0) {
            (Frequency::Count(min), Frequency::Count(max)) => (f64::from(min), f64::from(max)),
            (Frequency::Share(min), Frequency::Share(max)) => (min, max),
            _ => return Ok(()),
        };
        if min <= max {
            return Ok(());
        }
        let message = format!("expected --min-df of at most --max-df, found `{min}` and `{max}`");
        Err(Error::usage(message).help(
            "lower --min-df, or raise --max-df; a number without a point is a number of rows, \
             and `1.0` is all rows",
        ))
    }
}

fn load_stop_words(list: &str, lowercase: bool) -> Result<Arc<[String]>, Error> {
    match list {
        "none" | "None" | "" => Ok(Arc::new([])),
        "english" => Ok(english()),
        file => {
            let path = PathBuf::from(file);
            read_stop_words(&path, lowercase).map_err(|source| {
                let message = format!("cannot read the stop words from `{file}`: {source}");
                Error::usage(message)
                    .help("use --stopwords english, none, or a UTF-8 file with one word per line")
            })
        }
    }
}

fn read_stop_words(path: &Path, lowercase: bool) -> std::io::Result<Arc<[String]>> {
    let text = std::fs::read_to_string(path)?;
    let words = text.lines().map(|line| match lowercase {
        true => line.trim().to_lowercase(),
        false => line.trim().to_owned(),
    });
    Ok(words.filter(|word| !word.is_empty()).collect())
}

/// Counts the terms of all rows. The vocabulary is that of the training rows, with `unsplit` also
/// of the validation rows, which will be trained on.
///
/// # Errors
/// The training rows have no terms; the help names the options that leave none.
pub fn count_terms(
    vocabulary: &Vocabulary,
    analysis: &TextAnalysis,
    rows: &RowTable,
    encoders: Vec<TokenizedRows>,
    unsplit: bool,
) -> Result<Counts, Error> {
    let is_counted =
        |&split: &Split| split == Split::Train || unsplit && split == Split::Validation;
    let counted: Vec<bool> = rows.splits.iter().map(is_counted).collect();
    let order = rows
        .order
        .iter()
        .map(|row| (row.encoder as usize, row.index as usize));
    let documents = counted.iter().filter(|&&counted| counted).count();
    let params = vocabulary.params(analysis);
    fit(encoders, order, &counted, &params).map_err(|error| match error {
        FitError::NoTerms => no_terms(vocabulary, documents),
        FitError::NoWords => no_words(error, &vocabulary.stop_words, &analysis.analyzer),
        FitError::Blank(_) => Error::new(error.to_string())
            .help("use --max-ngrams 1, or a --token-pattern that matches no blanks"),
        FitError::TooManyTokens(_) => {
            Error::new(error.to_string()).help("give fewer rows, or use --max-ngrams 1")
        }
    })
}

/// Names the option that leaves no terms, for rows that have words.
fn no_terms(vocabulary: &Vocabulary, rows: usize) -> Error {
    let [min_df, max_df] = [vocabulary.min_df, vocabulary.max_df].map(|df| df.of(rows));
    let (min_df, max_df) = (min_df.ceil().max(1.0), max_df.floor());
    let has_max = max_df < rows as f64;
    if has_max && min_df > max_df {
        let message = format!(
            "expected --min-df of at most --max-df, found `{min_df}` and `{max_df}` of the `{rows}` \
             training rows"
        );
        return Error::new(message).help("lower --min-df, or raise --max-df");
    }
    let at_most = match has_max {
        true => format!(" and at most `{max_df}`"),
        false => String::new(),
    };
    let message = format!(
        "expected terms in at least `{min_df}`{at_most} of the `{rows}` training rows, found none"
    );
    Error::new(message).help(match (min_df > 1.0, has_max) {
        (true, true) => "lower --min-df, or raise --max-df",
        (true, false) => "lower --min-df, or check that the text column is the right one",
        (false, _) => "raise --max-df",
    })
}

/// Names the options that leave no words.
fn no_words(error: FitError, stop_words: &[String], analyzer: &Analyzer) -> Error {
    let mut help = Vec::new();
    if !stop_words.is_empty() {
        help.push("pass --stopwords none if all words are stop words");
    }
    match analyzer.token_pattern {
        Some(_) => help.push("give another --token-pattern if it matches no words"),
        None if analyzer.tokens.is_word() && analyzer.min_word_length > 1 => {
            help.push("pass --min-word-length 1 if the words have one character");
        }
        None => {}
    }
    help.push("words are letters and digits, not emoji or punctuation; check --text-column");
    let error = Error::new(error.to_string());
    help.into_iter().fold(error, |error, help| error.help(help))
}
