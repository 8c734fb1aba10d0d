//! N-grams as columns of a sparse matrix of counts, with scikit-learn's semantics.

mod fit;
mod matrix;
mod ngrams;
mod terms;

pub use fit::{Counts, FitError, fit};
pub use matrix::CsrPattern;
pub use terms::{Lookup, LookupScratch, Terms};

/// A document frequency: of `min_df` and `max_df`, as in scikit-learn.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Frequency {
    /// So many documents.
    Count(u32),
    /// This share of the documents, 0 to 1.
    Share(f64),
}

impl Frequency {
    /// The number of documents, not rounded, out of `documents`.
    pub fn of(self, documents: usize) -> f64 {
        match self {
            Self::Count(count) => f64::from(count),
            Self::Share(share) => share * documents as f64,
        }
    }
}

/// Which terms become columns.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureParams {
    /// Terms in fewer training documents are left out.
    pub min_df: Frequency,
    /// Terms in more training documents are left out.
    pub max_df: Frequency,
    /// Longest n-gram, in words; at least 1.
    pub max_ngrams: usize,
    /// Keep only so many terms, the most frequent.
    pub max_features: Option<usize>,
}
