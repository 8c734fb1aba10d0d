//! Fine-tuning of BERT-family encoders for text classification.

mod architecture;
#[cfg(feature = "candle")]
mod candle;
mod config;
#[cfg(test)]
mod conformance;
mod cpu;
mod device;
mod distributed;
mod engine;
mod hub;
mod learner;
mod model;
pub mod params;
mod predict;
#[cfg(test)]
mod reference;

mod pretrained;
mod tokenizer;
mod train;
mod weights;

use std::collections::BTreeMap;

use dataset::RowTable;
use diagnostics::Error;
use harness::{Needs, Trained, Trainer};
use sagemaker::Paths;
use training::Run;

pub use model::TransformerModel;
use params::{DeviceArgs, TransformerArgs, TransformerParams};
pub use tokenizer::Encoder;

use device::Setup;

/// The transformer trainer.
pub struct Transformer;

impl Trainer for Transformer {
    const NAME: &'static str = "transformer";
    const ABOUT: &'static str = "Fine-tune a pretrained transformer of the BERT family";
    const CHOOSE: &'static str =
        "The most accurate one if you have few labelled rows and a pretrained model.";
    const EXAMPLE: &'static str = "--pretrained-model models/minilm";
    const GPU: bool = true;
    const TEXT_PAIRS: bool = true;
    const MULTI_LABEL: bool = true;
    const ROW_WEIGHTS: bool = true;
    type Args = TransformerArgs;
    type Params = TransformerParams;
    type Encoder = Encoder;
    type Model = TransformerModel;
    type PredictArgs = DeviceArgs;

    const CHECKPOINTS: bool = true;
    const CONDITIONAL: &'static [(&'static str, Needs)] = &[
        ("patience", Needs::ValidationRows),
        ("best_metric", Needs::ValidationRows),
        ("refit", Needs::SplitRows),
        ("host_timeout", Needs::SeveralHosts),
    ];
    const CHANNELS: &'static [&'static str] = &[pretrained::CHANNEL];
    const MULTI_HOST: bool = true;

    fn check(args: TransformerArgs) -> Result<TransformerParams, Error> {
        args.check()
    }

    fn is_text_pair(params: &TransformerParams) -> bool {
        params.text_pair
    }

    fn preflight(params: &mut TransformerParams, paths: &Paths) -> Result<(), Error> {
        params.class_weight.check_file()?;
        device::find(params.device, params.precision)?;
        params.locate(paths)
    }

    fn fingerprint(params: &TransformerParams) -> BTreeMap<String, String> {
        let pretrained = params.pretrained().map(|found| found.fingerprint());
        let class_weight = params.class_weight.fingerprint();
        let pretrained = pretrained.unwrap_or_default();
        pretrained.into_iter().chain(class_weight).collect()
    }

    fn load_to_device(
        model: &mut TransformerModel,
        args: DeviceArgs,
        threads: usize,
    ) -> Result<(), Error> {
        model.prepare(Setup {
            device: args.device,
            precision: args.precision,
            threads,
        })
    }

    fn encoder(params: &TransformerParams) -> Encoder {
        Encoder::new(params.tokens())
    }

    fn train(
        params: &TransformerParams,
        rows: &RowTable,
        encoders: Vec<Encoder>,
        run: &mut Run,
    ) -> Result<Trained<TransformerModel>, Error> {
        train::train(params, rows, encoders, run)
    }
}
