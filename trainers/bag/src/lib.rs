//! The `bag` trainer: a bag of word and n-gram embeddings as in fastText (Joulin, Grave, Bojanowski
//! and Mikolov 2016). The weighted sum of the embeddings of a text goes through a linear layer and
//! softmax. `bilstm --arch bag` trains the same model.
//!
//! Differences from fastText, all measured (docs/internals/experiments.md#bag): terms are scaled by
//! their naive Bayes log-count ratio during training, the sum is divided by the square root of the
//! length of the text instead of its length, and the embeddings are initialised to zero under a
//! linear layer that is not.

mod learner;
mod model;
mod naive_bayes;
mod net;
mod params;
mod rows;
mod tensors;
#[cfg(test)]
mod tests;
mod train;

pub use model::files::ARCH;
pub use model::{BagModel, Scratch};
pub use params::{BagArgs, BagParams};
pub use train::train;

use std::collections::BTreeMap;
use std::sync::Arc;

use dataset::RowTable;
use diagnostics::Error;
use harness::{Adapted, Needs, NoArgs, Trained, Trainer};
use sagemaker::Paths;
use text::TokenizedRows;
use training::Run;

/// The bag as a trainer.
pub struct Bag;

impl Trainer for Bag {
    const NAME: &'static str = "bag";
    const ABOUT: &'static str = "Train a classifier on word and n-gram embeddings";
    const CHOOSE: &'static str =
        "Often more accurate than `svm` with default options, in seconds, without a GPU.";
    const EXAMPLE: &'static str = "--max-ngrams 3";
    type Args = BagArgs;
    type Params = BagParams;
    type Encoder = TokenizedRows;
    type Model = BagModel;
    type PredictArgs = NoArgs;

    const CHECKPOINTS: bool = true;
    const ROW_WEIGHTS: bool = true;
    const MULTI_LABEL: bool = true;
    const CONDITIONAL: &'static [(&'static str, Needs)] = &[("no_refit", Needs::SplitRows)];

    fn check(args: BagArgs) -> Result<BagParams, Error> {
        args.check()
    }

    fn fingerprint(params: &BagParams) -> BTreeMap<String, String> {
        let class_weight = params.class_weight.fingerprint();
        class_weight.into_iter().chain(any_threads()).collect()
    }

    fn preflight(params: &mut BagParams, _: &Paths) -> Result<(), Error> {
        params.class_weight.check_file()
    }

    fn encoder(params: &BagParams) -> TokenizedRows {
        TokenizedRows::new(&Arc::from([]), &params.analysis.analyzer)
    }

    fn adapt(params: &mut BagParams, encoders: &[TokenizedRows]) -> Option<Adapted> {
        params.analysis.adapt(encoders)
    }

    fn train(
        params: &BagParams,
        rows: &RowTable,
        encoders: Vec<TokenizedRows>,
        run: &mut Run,
    ) -> Result<Trained<BagModel>, Error> {
        train(params, rows, encoders, run)
    }
}

/// Returns a fingerprint in which `--threads` matches any value: the model is byte-identical for
/// any number of threads.
#[must_use]
pub fn any_threads() -> BTreeMap<String, String> {
    BTreeMap::from([("--threads".to_owned(), "any".to_owned())])
}
