//! A bag of words and n-grams (fastText's idea; Joulin, Grave, Bojanowski and Mikolov 2016): the weighted sum of a text's
//! term embeddings, a linear layer, softmax. Plain Rust: what a CPU user would pick. `bilstm --arch bag` is the same.
//!
//! Three things differ from fastText, all measured (ARCHITECTURE.md, "Bag"): terms are scaled by their naive Bayes
//! log-count ratio while they are learnt, a text's sum is divided by the root of its length instead of its length, and the
//! embeddings begin at zero under a linear layer that does not.

mod checkpoint;
mod files;
mod model;
mod net;
mod params;
mod rows;
mod scale;
mod temperature;
#[cfg(test)]
mod tests;
mod train;

pub use files::ARCH;
pub use model::{BagModel, Scratch};
pub use params::{BagArgs, BagParams};
pub use train::train;

use std::collections::BTreeMap;
use std::sync::Arc;

use dataset::RowTable;
use diagnostics::Error;
use harness::{NoArgs, Trained, Trainer};
use text::EncodedRows;
use training::Run;

/// Shortest word, in characters: `I` is a word.
const MIN_WORD_LENGTH: u8 = 1;

/// The bag as a trainer.
pub struct Bag;

impl Trainer for Bag {
    const NAME: &'static str = "bag";
    const ABOUT: &'static str = "Train a classifier on word and n-gram embeddings";
    type Args = BagArgs;
    type Params = BagParams;
    type Encoder = EncodedRows;
    type Model = BagModel;
    type PredictArgs = NoArgs;

    const CHECKPOINTS: bool = true;

    fn check(args: BagArgs) -> Result<BagParams, Error> {
        args.check()
    }

    fn fingerprint(_: &BagParams) -> BTreeMap<String, String> {
        any_threads()
    }

    fn encoder(_: &BagParams) -> EncodedRows {
        EncodedRows::new(&Arc::from([]), MIN_WORD_LENGTH)
    }

    fn train(
        params: &BagParams,
        rows: &RowTable,
        encoders: Vec<EncodedRows>,
        run: &mut Run,
    ) -> Result<Trained<BagModel>, Error> {
        train(params, rows, encoders, run)
    }
}

/// What a checkpoint need not agree with: a bag's bytes are the same whatever the threads.
#[must_use]
pub fn any_threads() -> BTreeMap<String, String> {
    BTreeMap::from([("--threads".to_owned(), "any".to_owned())])
}
