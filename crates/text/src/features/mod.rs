//! N-grams as columns of a sparse matrix of counts, with scikit-learn's semantics.

mod fit;
mod lookup;
mod matrix;
mod ngrams;
mod subwords;
mod term_counter;
mod terms;

pub use fit::{Counts, FitError, fit};
pub use lookup::{LazyLookup, Lookup, LookupScratch};
pub use matrix::CsrPattern;
pub use subwords::Subwords;
pub use term_counter::{TermCounter, TermShape};
pub use terms::Terms;

use crate::{Analyzer, Tokens};

/// A document frequency, for scikit-learn's `min_df` and `max_df`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Frequency {
    /// Number of documents.
    Count(u32),
    /// Share of the documents, 0 to 1.
    Share(f64),
}

impl Frequency {
    /// Returns the number of documents, not rounded, out of `documents`.
    pub fn of(self, documents: usize) -> f64 {
        match self {
            Self::Count(count) => f64::from(count),
            Self::Share(share) => share * documents as f64,
        }
    }
}

/// Selection of the vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureParams {
    /// Minimum document frequency of a term in the training rows.
    pub min_df: Frequency,
    /// Maximum document frequency of a term in the training rows.
    pub max_df: Frequency,
    /// The tokens of the encoders.
    pub tokens: Tokens,
    /// Minimum n-gram length in tokens; at least 1.
    pub min_ngrams: usize,
    /// Maximum n-gram length in tokens; at least `min_ngrams`.
    pub max_ngrams: usize,
    /// Maximum number of terms; the most frequent are kept.
    pub max_features: Option<usize>,
    /// Character n-grams of words, counted besides the terms.
    pub subwords: Option<Subwords>,
}

/// Settings by which n-grams are found. Part of the `config.json` of models.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NgramConfig {
    /// Maximum n-gram length, in tokens.
    pub max_ngrams: usize,
    /// Minimum n-gram length, in tokens. The default is left out.
    #[serde(
        default = "default_min_ngrams",
        skip_serializing_if = "is_default_min_ngrams"
    )]
    pub min_ngrams: usize,
    /// Settings by which the tokens of a text are found.
    #[serde(flatten)]
    pub analyzer: Analyzer,
}

fn default_min_ngrams() -> usize {
    1
}

fn is_default_min_ngrams(length: &usize) -> bool {
    *length == default_min_ngrams()
}

/// Function of a term count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TermFrequency {
    /// The count.
    Raw,
    /// 1 + ln(count)
    Sublinear,
    /// 1
    Binary,
}

/// Returns the inverse document frequency, smoothed as in scikit-learn: ln((1 + n) / (1 + df)) + 1.
pub fn idf(documents: usize, frequency: u32) -> f64 {
    ((1 + documents) as f64 / (1 + u64::from(frequency)) as f64).ln() + 1.0
}
