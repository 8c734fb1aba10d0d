//! From term counts to features, in double precision: sums of single precision features differ from
//! scikit-learn's by more than 1e-6.

use text::features::{CsrPattern, TermFrequency, idf};

use crate::params::{NbParams, Weighting};

/// The features of the model's terms.
pub(crate) struct Features {
    /// Function of the count of a term in a row.
    pub(crate) tf: TermFrequency,
    /// Weights of the terms.
    pub(crate) weighting: Weighting,
    /// Factor of each term's frequency: its inverse document frequency, or 1; 0 for a term that the
    /// model does not have.
    pub(crate) scale: Vec<f64>,
}

impl Features {
    /// Fits the factors on the rows `train`. Terms in fewer than `min_df` of these rows are left
    /// out: they are in the validation rows, on which a second model will be trained.
    pub(crate) fn fit(pattern: &CsrPattern, train: &[u32], params: &NbParams) -> Self {
        let documents = train.len();
        let min_df = params.vocabulary.min_df.of(documents).max(1.0);
        let factor = |frequency: u32| match params.weighting {
            _ if f64::from(frequency) < min_df => 0.0,
            Weighting::Counts => 1.0,
            Weighting::Tfidf => idf(documents, frequency),
        };
        let frequency = pattern.document_frequency(train.iter().copied());
        Self {
            tf: params.tf,
            weighting: params.weighting,
            scale: frequency.into_iter().map(factor).collect(),
        }
    }

    /// Writes the features of a row with these counts to `values`.
    pub(crate) fn weigh(&self, columns: &[u32], counts: &[f32], values: &mut Vec<f64>) {
        let frequency = |count: f32| match self.tf {
            TermFrequency::Raw => f64::from(count),
            TermFrequency::Sublinear => 1.0 + f64::from(count).ln(),
            TermFrequency::Binary => 1.0,
        };
        values.clear();
        let terms = columns.iter().zip(counts);
        values
            .extend(terms.map(|(&column, &count)| frequency(count) * self.scale[column as usize]));
        if self.weighting == Weighting::Tfidf {
            let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
            if length > 0.0 {
                values.iter_mut().for_each(|value| *value /= length);
            }
        }
    }
}
