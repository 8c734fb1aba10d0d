//! The `svm` trainer: tf-idf or naive Bayes features and a linear SVM, or an SVM with a kernel.

mod calibrate;
mod cross_validate;
mod kernel;
mod model;
mod one_vs_rest;
pub mod params;
pub mod solver;
pub mod tf_idf;
mod train;
mod weights;

pub use model::SvmModel;

use dataset::RowTable;
use diagnostics::Error;
use harness::{Adapted, Needs, NoArgs, Trained, Trainer};
use training::Run;

use params::{SvmArgs, SvmParams};
use sagemaker::Paths;
use text::TokenizedRows;

/// The SVM as a trainer.
pub struct Svm;

impl Trainer for Svm {
    const NAME: &'static str = "svm";
    const ABOUT: &'static str = "Train a linear SVM on tf-idf features";
    const CHOOSE: &'static str =
        "A strong baseline in a second; replaces scikit-learn's LinearSVC.";
    const EXAMPLE: &'static str = "--tune";
    type Args = SvmArgs;
    type Params = SvmParams;
    type Encoder = TokenizedRows;
    type Model = SvmModel;
    type PredictArgs = NoArgs;
    const ROW_WEIGHTS: bool = true;
    const MULTI_LABEL: bool = true;
    const CONDITIONAL: &'static [(&'static str, Needs)] = &[("no_refit", Needs::SplitRows)];

    fn check(args: SvmArgs) -> Result<SvmParams, Error> {
        args.check()
    }

    fn preflight(params: &mut SvmParams, _: &Paths) -> Result<(), Error> {
        params.class_weight.check_file()
    }

    fn encoder(params: &SvmParams) -> TokenizedRows {
        TokenizedRows::new(&params.vocabulary.stop_words, &params.analysis.analyzer)
    }

    fn adapt(params: &mut SvmParams, encoders: &[TokenizedRows]) -> Option<Adapted> {
        params.analysis.adapt(encoders)
    }

    fn train(
        params: &SvmParams,
        rows: &RowTable,
        encoders: Vec<TokenizedRows>,
        run: &mut Run,
    ) -> Result<Trained<SvmModel>, Error> {
        train::train(params, rows, encoders, run)
    }
}
