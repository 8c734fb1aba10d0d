//! The `nb` trainer: multinomial and complement naive Bayes (Rennie, Shih, Teevan and Karger 2003)
//! on term counts or tf-idf, with the definitions of scikit-learn.

mod features;
mod model;
mod naive_bayes;
mod params;
mod train;

pub use model::NbModel;
pub use params::{NbArgs, NbParams};

use dataset::RowTable;
use diagnostics::Error;
use harness::{Adapted, Needs, NoArgs, Trained, Trainer};
use sagemaker::Paths;
use text::TokenizedRows;
use training::Run;

/// Naive Bayes as a trainer.
pub struct Nb;

impl Trainer for Nb {
    const NAME: &'static str = "nb";
    const ABOUT: &'static str = "Train a naive Bayes classifier on term counts";
    const CHOOSE: &'static str =
        "Trains in one pass; replaces scikit-learn's MultinomialNB and ComplementNB.";
    const EXAMPLE: &'static str = "--model-type complement";
    type Args = NbArgs;
    type Params = NbParams;
    type Encoder = TokenizedRows;
    type Model = NbModel;
    type PredictArgs = NoArgs;

    const ROW_WEIGHTS: bool = true;
    const MULTI_LABEL: bool = true;

    const CONDITIONAL: &'static [(&'static str, Needs)] = &[("no_refit", Needs::SplitRows)];

    fn check(args: NbArgs) -> Result<NbParams, Error> {
        args.check()
    }

    fn preflight(params: &mut NbParams, _: &Paths) -> Result<(), Error> {
        params.class_weight.check_file()
    }

    fn encoder(params: &NbParams) -> TokenizedRows {
        TokenizedRows::new(&params.vocabulary.stop_words, &params.analysis.analyzer)
    }

    fn adapt(params: &mut NbParams, encoders: &[TokenizedRows]) -> Option<Adapted> {
        params.analysis.adapt(encoders)
    }

    fn train(
        params: &NbParams,
        rows: &RowTable,
        encoders: Vec<TokenizedRows>,
        run: &mut Run,
    ) -> Result<Trained<NbModel>, Error> {
        train::train(params, rows, encoders, run)
    }
}
