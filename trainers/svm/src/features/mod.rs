//! Tf-idf features with scikit-learn's semantics.

mod fit;
mod matrix;
mod ngrams;
mod terms;

pub use fit::{Counts, fit};
pub use matrix::Matrix;
pub use terms::{Finder, Lookup, Terms};

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

/// Inverse document frequency, smoothed as in scikit-learn: ln((1 + n) / (1 + df)) + 1.
pub fn idf(documents: usize, frequency: u32) -> f32 {
    (((1 + documents) as f64 / (1 + u64::from(frequency)) as f64).ln() + 1.0) as f32
}

/// Turns term counts into tf-idf, each row of Euclidean length 1. `idf`: one per column.
pub fn weigh(matrix: &mut Matrix, idf: &[f32], sublinear_tf: bool) {
    for row in 0..matrix.rows() {
        let range = matrix.starts[row]..matrix.starts[row + 1];
        let values = &mut matrix.values[range.clone()];
        weigh_row(values, &matrix.columns[range], idf, sublinear_tf);
    }
}

/// [`weigh`] for one row.
pub fn weigh_row(values: &mut [f32], columns: &[u32], idf: &[f32], sublinear_tf: bool) {
    let mut square = 0.0;
    for (value, &column) in values.iter_mut().zip(columns) {
        let tf = if sublinear_tf { 1.0 + value.ln() } else { *value };
        *value = tf * idf[column as usize];
        square += f64::from(*value) * f64::from(*value);
    }
    if square > 0.0 {
        let scale = (1.0 / square.sqrt()) as f32;
        values.iter_mut().for_each(|value| *value *= scale);
    }
}
