//! A bag of words and n-grams (fastText's idea; Joulin, Grave, Bojanowski and Mikolov 2016): the weighted sum of a text's
//! term embeddings, a linear layer, softmax. Plain Rust, no libtorch: what a CPU user would pick.
//!
//! Three things differ from fastText, all measured (ARCHITECTURE.md, "Bag"): terms are scaled by their naive Bayes
//! log-count ratio while they are learnt, a text's sum is divided by the root of its length instead of its length, and the
//! embeddings begin at zero under a linear layer that does not.

mod checkpoint;
mod files;
mod model;
mod net;
mod rows;
mod scale;
mod temperature;
#[cfg(test)]
mod tests;
mod train;

pub(crate) use model::{BagModel, Scratch};
pub(crate) use train::train;

use crate::params::ClassWeight;
pub(crate) use crate::reader::MIN_WORD_LENGTH;
use harness::training::Schedule;

/// Checked parameters of the bag.
#[derive(Clone, Debug)]
pub struct BagParams {
    /// Width of the embeddings.
    pub emb_size: usize,
    /// Longest n-gram, in words.
    pub max_ngrams: usize,
    /// Terms in fewer training rows are left out.
    pub min_df: u32,
    /// Keep only so many terms, the most frequent.
    pub vocab_size: Option<usize>,
    /// Share of a row's terms that are left out each time it is learnt from; 0 to below 1.
    pub dropout: f64,
    /// Passes over the training rows.
    pub epochs: u64,
    /// Learning rate at the beginning.
    pub learning_rate: f64,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// How classes are weighed.
    pub class_weight: ClassWeight,
}
