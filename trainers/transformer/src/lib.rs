//! Fine-tuning of BERT-family encoders for text classification.

mod architecture;
#[cfg(feature = "candle")]
mod candle;
#[cfg(test)]
mod checks;
mod config;
mod cpu;
mod device;
mod engine;
mod evaluate;
mod explain;
mod hub;
#[cfg(test)]
mod judge;
mod learner;
mod meeting;
mod model;
pub mod params;
mod pieces;
mod pretrained;
mod tokens;
mod train;
mod weights;

use std::collections::BTreeMap;

use dataset::RowTable;
use diagnostics::Error;
use harness::{Trained, Trainer};
use sagemaker::Paths;
use training::Run;

pub use model::TransformerModel;
use params::{DeviceArgs, TransformerArgs, TransformerParams};
pub use tokens::Encoder;

use device::Setup;

/// The transformer as a trainer.
pub struct Transformer;

impl Trainer for Transformer {
    const NAME: &'static str = "transformer";
    const ABOUT: &'static str = "Fine-tune a pretrained transformer of the BERT family";
    const GPU: bool = true;
    type Args = TransformerArgs;
    type Params = TransformerParams;
    type Encoder = Encoder;
    type Model = TransformerModel;
    type PredictArgs = DeviceArgs;

    const CHECKPOINTS: bool = true;
    const CHANNELS: &'static [&'static str] = &[pretrained::CHANNEL];
    const MULTI_HOST: bool = true;

    fn check(args: TransformerArgs) -> Result<TransformerParams, Error> {
        args.check()
    }

    fn preflight(params: &mut TransformerParams, paths: &Paths) -> Result<(), Error> {
        device::find(params.device, params.precision)?;
        params.locate(paths)
    }

    fn fingerprint(params: &TransformerParams) -> BTreeMap<String, String> {
        params
            .pretrained()
            .map(|found| found.identity())
            .unwrap_or_default()
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
