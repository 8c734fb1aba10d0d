//! Command line arguments and checked parameters.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use diagnostics::Error;
use harness::range::{above, integer, number};
pub use training::{BestMetric, ClassWeight, ClassWeightArgs, FitParams, Schedule};

use crate::pretrained::Pretrained;
use crate::tokenizer::TextTokenizer;
pub use training::{DeviceChoice, Precision};

/// Seconds: the instances of a job start within minutes of each other.
const HOST_TIMEOUT: NonZeroU32 = NonZeroU32::MIN.saturating_add(599);

/// Arguments of `train`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub struct TransformerArgs {
    /// Pretrained model: a folder or a hub id [default: the channel `model`]
    ///
    /// A folder in Hugging Face's layout (config.json, model.safetensors, tokenizer.json) or the id
    /// of a model of the Hugging Face hub. ID@REVISION takes a branch, a tag or a commit instead of
    /// main.
    #[arg(long, value_name = "FOLDER|ID")]
    pretrained_model: Option<String>,
    /// Maximum tokens of a text, including special ones [default: 256]
    ///
    /// Longer texts are truncated at the end, or at the start if the pretrained model's tokenizer
    /// has `truncation_side` `left`. At most the positions of the pretrained model; the default is
    /// at most its `model_max_length`.
    #[arg(long, value_name = "N", value_parser = integer::<u32>(4..=1_000_000))]
    max_len: Option<u32>,
    /// Read two --text-column as a pair of texts instead of joining them
    ///
    /// With the tokenizer's template for pairs, as text and text_pair in transformers; tokens of the
    /// second text have type 1 if the network has token types. Of a pair longer than --max-len, the
    /// longer text is truncated first.
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = "Data")]
    text_pair: bool,
    /// Number of layers that are not trained, or `all` for all but the head
    ///
    /// Counted from the first; the embeddings are then not trained either.
    #[arg(long, value_name = "N|all", default_value = "none")]
    freeze_layers: Freeze,
    /// Dropout probability [default: as in config.json, usually 0.1]
    ///
    /// Of hidden values, attention probabilities and the input of the classification head.
    #[arg(long, value_name = "FRACTION", value_parser = number(0.0..1.0))]
    dropout: Option<f64>,

    #[command(flatten)]
    training: TrainingArgs,

    /// Device to train on: auto, cpu, cuda, cuda:N
    ///
    /// auto: all GPUs of this machine, else the CPU. cuda: all GPUs. cuda:N: one GPU.
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        help_heading = "Device"
    )]
    device: DeviceChoice,
    /// Precision of training [default: mixed on GPUs, full on a CPU]
    #[arg(long, value_enum, help_heading = "Device")]
    precision: Option<Precision>,
    /// Seconds that the hosts of a job wait for each other, at the start and in each step
    #[arg(long, value_name = "SECONDS", default_value_t = HOST_TIMEOUT, value_parser = integer::<NonZeroU32>(1..=u32::MAX.into()), help_heading = "Device")]
    host_timeout: NonZeroU32,
}

/// Arguments of the training loop.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Training")]
struct TrainingArgs {
    /// Passes over the training rows (2 to 4: Devlin et al. 2019)
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = integer::<u32>(1..=1_000_000))]
    epochs: u32,
    /// Rows per batch and host (16 or 32: Devlin et al. 2019)
    ///
    /// An optimizer step has this many rows per host, times --accumulate.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = integer::<u32>(1..=65_536))]
    batch_size: u32,
    /// Batches per optimizer step (gradient accumulation)
    ///
    /// Larger steps in the memory of one batch.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = integer::<u32>(1..=65_536))]
    accumulate: u32,
    /// Make batches of random rows instead of rows of similar length
    ///
    /// Rows of similar length need little padding.
    #[arg(long, action = clap::ArgAction::SetTrue)]
    no_buckets: bool,
    /// Peak learning rate of AdamW (2e-5 to 5e-5: Devlin et al. 2019)
    #[arg(long, value_name = "RATE", default_value_t = 5e-5, value_parser = number(above(0.0)))]
    learning_rate: f64,
    /// Learning rate schedule
    #[arg(long, value_enum, default_value_t = Schedule::Linear)]
    schedule: Schedule,
    /// Fraction of the steps with a rising learning rate (0.1: Devlin et al. 2019)
    ///
    /// The learning rate rises linearly from 0.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.1, value_parser = number(0.0..=1.0))]
    warm_up: f64,
    /// Weight decay of AdamW (0.01: Devlin et al. 2019)
    ///
    /// Applies to all parameters except biases and layer norms (Loshchilov and Hutter 2019).
    #[arg(long, value_name = "DECAY", default_value_t = 0.01, value_parser = number(0.0..))]
    weight_decay: f64,
    /// Maximum gradient norm, 0 for no clipping
    #[arg(long, value_name = "NORM", default_value_t = 1.0, value_parser = number(0.0..))]
    clip_norm: f64,
    /// Label smoothing (Szegedy et al. 2016)
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, value_parser = number(0.0..1.0))]
    label_smoothing: f64,
    /// Epochs without improvement before training stops, 0 for never
    ///
    /// An epoch is an improvement if it is the best one or lowers the validation loss. The model is
    /// that of the best epoch: see --best-metric.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = integer::<u32>(0..=1_000_000))]
    patience: u32,
    /// Metric of the validation rows that chooses the best epoch
    #[arg(long, value_enum, default_value_t = BestMetric::default())]
    best_metric: BestMetric,
    /// Train once more on all rows, for the best number of epochs
    ///
    /// With the rows of --validation-split too. Rows of --validation are never trained on.
    #[arg(long, action = clap::ArgAction::SetTrue)]
    refit: bool,
    #[command(flatten)]
    class_weight: ClassWeightArgs,
}

/// Arguments of `evaluate`, `predict` and `explain`.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// Device to predict on: auto, cpu, cuda, cuda:N
    ///
    /// auto: all GPUs of this machine, else the CPU. cuda: all GPUs. cuda:N: one GPU.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: DeviceChoice,
    /// Precision of predictions [default: mixed on GPUs, full on a CPU]
    #[arg(long, value_enum)]
    pub(crate) precision: Option<Precision>,
}

/// Parameters that are not trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// None.
    None,
    /// The embeddings and this many layers.
    Layers(usize),
    /// All but the classification head.
    All,
}

impl FromStr for Freeze {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "all" => Ok(Self::All),
            other => other
                .parse()
                .map(Self::Layers)
                .map_err(|_| "expected a number of layers, all or none".to_owned()),
        }
    }
}

/// Checked parameters.
#[derive(Clone, Debug)]
pub struct TransformerParams {
    /// As given.
    pretrained_model: Option<String>,
    max_len: Option<u32>,
    /// True if the texts are pairs.
    pub text_pair: bool,
    /// Set by `locate`.
    pretrained: Option<Pretrained>,
    /// Parameters that are not trained.
    pub freeze: Freeze,
    /// `None`: as in the pretrained model's configuration.
    pub dropout: Option<f64>,
    /// Rows per batch and host.
    pub batch_size: usize,
    /// Batches per optimizer step.
    pub accumulate: usize,
    /// Settings of the training loop.
    pub fit: FitParams,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// 0 to below 1.
    pub label_smoothing: f64,
    /// Class weights.
    pub class_weight: ClassWeight,
    /// Device to train on.
    pub device: DeviceChoice,
    /// `None`: the default of the device.
    pub precision: Option<Precision>,
    /// Seconds.
    pub host_timeout: u64,
}

impl TransformerArgs {
    /// Checks the values. The pretrained model is located later.
    ///
    /// # Errors
    ///
    /// If a value is out of range.
    pub fn check(self) -> Result<TransformerParams, Error> {
        let training = &self.training;
        if let Some(name) = self
            .pretrained_model
            .as_deref()
            .filter(|name| name.is_empty())
        {
            return Err(Error::usage(format!(
                "expected a folder or an id for --pretrained-model, found `{name}`"
            ))
            .help("leave it out to take the channel `model`"));
        }
        Ok(TransformerParams {
            pretrained_model: self.pretrained_model,
            max_len: self.max_len,
            text_pair: self.text_pair,
            pretrained: None,
            freeze: self.freeze_layers,
            dropout: self.dropout,
            batch_size: training.batch_size as usize,
            accumulate: training.accumulate as usize,
            fit: FitParams {
                epochs: training.epochs.into(),
                buckets: !training.no_buckets,
                learning_rate: training.learning_rate,
                schedule: training.schedule,
                warm_up: training.warm_up,
                clip_norm: (training.clip_norm > 0.0).then_some(training.clip_norm),
                patience: (training.patience > 0).then_some(training.patience.into()),
                best_metric: training.best_metric,
                refit: training.refit,
            },
            weight_decay: training.weight_decay,
            label_smoothing: training.label_smoothing,
            class_weight: training.class_weight.class_weight.clone(),
            device: self.device,
            precision: self.precision,
            host_timeout: self.host_timeout.get().into(),
        })
    }
}

impl TransformerParams {
    /// Locates the pretrained model.
    pub(crate) fn locate(&mut self, paths: &sagemaker::Paths) -> Result<(), Error> {
        let given = self.pretrained_model.as_deref();
        let pretrained = Pretrained::find(given, paths, self.max_len, self.text_pair)?;
        let layers = pretrained.architecture(2, None)?.num_hidden_layers;
        if let Freeze::Layers(frozen) = self.freeze
            && frozen > layers
        {
            return Err(Error::usage(format!(
                    "expected --freeze-layers of at most `{layers}`, the layers of the pretrained model, found `{frozen}`"
                )).help("use --freeze-layers all to train the head alone"));
        }
        self.pretrained = Some(pretrained);
        Ok(())
    }

    /// Returns the tokenizer of the pretrained model, if it is located.
    pub(crate) fn tokens(&self) -> Option<&Arc<TextTokenizer>> {
        self.pretrained
            .as_ref()
            .map(|pretrained| &pretrained.tokens)
    }

    /// Returns the pretrained model, which must be located first.
    pub(crate) fn pretrained(&self) -> Result<&Pretrained, Error> {
        self.pretrained.as_ref().ok_or_else(|| {
            Error::new("the pretrained model is not located").help("please report it")
        })
    }
}
