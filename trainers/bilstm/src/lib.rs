//! Bi-LSTM text classifier on libtorch: word embeddings, a bidirectional LSTM, pooling over time.
#![cfg(feature = "libtorch")]

mod allocator;
mod batches;
mod device;
mod directions;
mod encoded;
mod evaluate;
mod explain;
mod forward;
mod learner;
mod model;
mod net;
mod optimizer;
pub mod params;
mod replicas;
mod step;
mod tokenizer;
mod train;

pub use encoded::Encoder;
pub use model::TextModel;

use std::collections::BTreeMap;

use dataset::RowTable;
use diagnostics::Error;
use harness::{Adapted, Needs, Trained, Trainer};
use params::{PredictArgs, TextArgs, TextParams};
use sagemaker::Paths;
use training::Run;

/// The bi-LSTM as a trainer.
pub struct BiLstm;

impl Trainer for BiLstm {
    const NAME: &'static str = "bilstm";
    const ABOUT: &'static str = "Train a bidirectional LSTM";
    const CHOOSE: &'static str =
        "For tasks in which word order matters and no pretrained model fits.";
    const EXAMPLE: &'static str = "--epochs 12 --patience 3";
    const GPU: bool = true;
    type Args = TextArgs;
    type Params = TextParams;
    type Encoder = Encoder;
    type Model = TextModel;
    type PredictArgs = PredictArgs;

    const CHECKPOINTS: bool = true;
    const ROW_WEIGHTS: bool = true;
    const MULTI_LABEL: bool = true;
    const CONDITIONAL: &'static [(&'static str, Needs)] = &[
        ("patience", Needs::ValidationRows),
        ("best_metric", Needs::ValidationRows),
        ("refit", Needs::SplitRows),
    ];

    fn check(args: TextArgs) -> Result<TextParams, Error> {
        args.check()
    }

    fn preflight(params: &mut TextParams, _: &Paths) -> Result<(), Error> {
        params.class_weight.check_file()?;
        match &params.arch {
            params::ArchParams::Bilstm(lstm) => {
                device::find_devices(lstm.device, lstm.precision).map(|_| ())
            }
            params::ArchParams::Bag(_) => Ok(()),
        }
    }

    fn fingerprint(text: &TextParams) -> BTreeMap<String, String> {
        let tokenizer = text
            .tokenizer
            .iter()
            .map(|tokenizer| ("--tokenizer".to_owned(), tokenizer.sha256()));
        let threads = match text.arch {
            params::ArchParams::Bilstm(_) => BTreeMap::new(),
            params::ArchParams::Bag(_) => bag::any_threads(),
        };
        let class_weight = text.class_weight.fingerprint();
        tokenizer.chain(threads).chain(class_weight).collect()
    }

    fn load_to_device(
        model: &mut TextModel,
        args: PredictArgs,
        _threads: usize,
    ) -> Result<(), Error> {
        if let TextModel::Bilstm(_) = model {
            allocator::retain();
        }
        model.use_device(args.device)
    }

    fn encoder(params: &TextParams) -> Encoder {
        Encoder::new(params.tokenizer.as_ref())
    }

    fn adapt(params: &mut TextParams, encoders: &[Encoder]) -> Option<Adapted> {
        let tokenizes = matches!(params.arch, params::ArchParams::Bilstm(_));
        encoded::warn_without_blanks(encoders, tokenizes)
    }

    fn train(
        params: &TextParams,
        rows: &RowTable,
        encoders: Vec<Encoder>,
        run: &mut Run,
    ) -> Result<Trained<TextModel>, Error> {
        match &params.arch {
            params::ArchParams::Bilstm(lstm) => train::train(params, lstm, rows, encoders, run),
            params::ArchParams::Bag(params) => {
                let trained = bag::train(params, rows, Encoder::words(encoders), run)?;
                Ok(Trained {
                    model: TextModel::Bag(Box::new(trained.model)),
                    scores: trained.scores,
                    details: trained.details,
                    summary: trained.summary,
                    error: trained.error,
                })
            }
        }
    }
}
