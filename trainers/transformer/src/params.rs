//! What can be typed, and what becomes of it.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use diagnostics::Error;
use harness::range::{above_zero, below_one, not_negative, up_to_one};
pub use training::{ClassWeight, Schedule};

use crate::pretrained::Pretrained;
use crate::tokenizer::TextTokenizer;
pub use training::{DeviceChoice, Precision};

/// 600 s: the instances of a job start within minutes of each other.
const HOST_TIMEOUT: NonZeroU32 = NonZeroU32::MIN.saturating_add(599);

/// The trainer's own arguments; the names of the old script's flags and their meaning are kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub struct TransformerArgs {
    /// Where training starts from: a folder in Hugging Face's layout (config.json, model.safetensors, tokenizer.json) or
    /// the id of a model of the hub [default: the channel `model`]
    #[arg(long, value_name = "FOLDER|ID")]
    pretrained_model: Option<String>,
    /// Tokens of a text that are read, from its start, special ones included; at most the positions of the pretrained
    /// model [default: 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
    max_len: Option<u32>,
    /// Layers that are not trained, from the first on, and with them the embeddings; `all`: the head alone is
    #[arg(long, value_name = "N|all", default_value = "none")]
    freeze_layers: Freeze,
    /// Share that a training step drops of hidden values, attention and what the head sees [default: as config.json has
    /// it, mostly 0.1]
    #[arg(long, value_name = "SHARE")]
    dropout: Option<f64>,

    /// Passes over the training rows (2 to 4: Devlin et al. 2019)
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Training")]
    epochs: u32,
    /// Rows that are worked on at once; a step has as many per host, times --accumulate (16 or 32: Devlin et al. 2019)
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Training")]
    batch_size: u32,
    /// Batches whose gradients make a step: larger steps in the memory of a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Training")]
    accumulate: u32,
    /// Make batches of random rows; otherwise they have rows of about equal length, with little padding
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "Training")]
    no_buckets: bool,
    /// Highest learning rate of AdamW (2e-5 to 5e-5: Devlin et al. 2019)
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 5e-5,
        help_heading = "Training"
    )]
    learning_rate: f64,
    /// Learning rate over the steps
    #[arg(long, value_enum, default_value_t = Schedule::Linear, help_heading = "Training")]
    schedule: Schedule,
    /// Share of the steps over which the learning rate rises from 0 (0.1: Devlin et al. 2019)
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.1,
        help_heading = "Training"
    )]
    warm_up: f64,
    /// Decay of AdamW (Loshchilov and Hutter 2019), of all weights but biases and norms (0.01: Devlin et al. 2019)
    #[arg(
        long,
        value_name = "DECAY",
        default_value_t = 0.01,
        help_heading = "Training"
    )]
    weight_decay: f64,
    /// Norm to which larger gradients are cut; 0: they are not cut
    #[arg(
        long,
        value_name = "NORM",
        default_value_t = 1.0,
        help_heading = "Training"
    )]
    clip_norm: f64,
    /// Share of the target that is spread over all classes (Szegedy et al. 2016)
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.0,
        help_heading = "Training"
    )]
    label_smoothing: f64,
    /// Epochs without a higher validation accuracy after which training stops; 0: it never does. The epoch of the highest
    /// is the model in any case; of equals, that of the lower loss
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000_000), help_heading = "Training")]
    patience: u32,
    /// Give every class the same total weight
    #[arg(long, value_enum, default_value_t = ClassWeight::None, help_heading = "Training")]
    class_weight: ClassWeight,

    /// Where to train: auto (a GPU if there is one, else the CPU), cpu, cuda, cuda:N
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        help_heading = "Device"
    )]
    device: DeviceChoice,
    /// Numbers to train with [default: mixed on GPUs, full else]
    #[arg(long, value_enum, help_heading = "Device")]
    precision: Option<Precision>,
    /// Seconds that hosts of one job wait for each other, at the start and in every step
    #[arg(long, value_name = "SECONDS", default_value_t = HOST_TIMEOUT, help_heading = "Device")]
    host_timeout: NonZeroU32,
}

/// What can be typed for `evaluate`, `predict` and `explain`.
#[derive(Args, Clone, Copy, Debug)]
pub struct DeviceArgs {
    /// Where to predict: auto (a GPU if there is one, else the CPU), cpu, cuda, cuda:N
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        help_heading = "Device"
    )]
    pub(crate) device: DeviceChoice,
    /// Numbers to predict with [default: mixed on GPUs, full else]
    #[arg(long, value_enum, help_heading = "Device")]
    pub(crate) precision: Option<Precision>,
}

/// Which parameters stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// None.
    None,
    /// Those of the embeddings and of so many layers.
    Layers(usize),
    /// All but the head's.
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
    /// As typed.
    pretrained_model: Option<String>,
    max_len: Option<u32>,
    /// Found, once it was looked for.
    pretrained: Option<Pretrained>,
    /// Which parameters stay as they are.
    pub freeze: Freeze,
    /// `None`: as the pretrained model's configuration has it.
    pub dropout: Option<f64>,
    /// Passes over the training rows.
    pub epochs: u64,
    /// Rows that are worked on at once.
    pub batch_size: usize,
    /// Batches of a step.
    pub accumulate: usize,
    /// Whether a batch has rows of about equal length.
    pub buckets: bool,
    /// The highest.
    pub learning_rate: f64,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// Share of the steps, 0 to 1.
    pub warm_up: f64,
    /// AdamW's.
    pub weight_decay: f64,
    /// `None`: gradients are not cut.
    pub clip_norm: Option<f64>,
    /// 0 to below 1.
    pub label_smoothing: f64,
    /// `None`: training never stops early.
    pub patience: Option<u64>,
    /// How classes are weighed.
    pub class_weight: ClassWeight,
    /// Where to train.
    pub device: DeviceChoice,
    /// `None`: what the device does best.
    pub precision: Option<Precision>,
    /// Seconds that hosts wait for each other.
    pub host_timeout: u64,
}

impl TransformerArgs {
    /// Checks what was typed; what it names is looked for later.
    ///
    /// # Errors
    ///
    /// A value is outside of its range, or does not go with another.
    pub fn check(self) -> Result<TransformerParams, Error> {
        above_zero("learning-rate", self.learning_rate, "5e-5")?;
        up_to_one("warm-up", self.warm_up, "0.1")?;
        not_negative("weight-decay", self.weight_decay, "0.01")?;
        not_negative("clip-norm", self.clip_norm, "1")?;
        below_one("label-smoothing", self.label_smoothing, "0.1")?;
        if let Some(share) = self.dropout {
            below_one("dropout", share, "0.1")?;
        }
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
            pretrained: None,
            freeze: self.freeze_layers,
            dropout: self.dropout,
            epochs: self.epochs.into(),
            batch_size: self.batch_size as usize,
            accumulate: self.accumulate as usize,
            buckets: !self.no_buckets,
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            warm_up: self.warm_up,
            weight_decay: self.weight_decay,
            clip_norm: (self.clip_norm > 0.0).then_some(self.clip_norm),
            label_smoothing: self.label_smoothing,
            patience: (self.patience > 0).then_some(self.patience.into()),
            class_weight: self.class_weight,
            device: self.device,
            precision: self.precision,
            host_timeout: self.host_timeout.get().into(),
        })
    }
}

impl TransformerParams {
    /// Looks for the pretrained model.
    pub(crate) fn locate(&mut self, paths: &sagemaker::Paths) -> Result<(), Error> {
        let given = self.pretrained_model.as_deref();
        let pretrained = Pretrained::find(given, paths, self.max_len)?;
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

    /// The pretrained model's tokenizer, if it was looked for.
    pub(crate) fn tokens(&self) -> Option<&Arc<TextTokenizer>> {
        self.pretrained
            .as_ref()
            .map(|pretrained| &pretrained.tokens)
    }

    /// The pretrained model, which was looked for first.
    pub(crate) fn pretrained(&self) -> Result<&Pretrained, Error> {
        self.pretrained.as_ref().ok_or_else(|| {
            Error::new("the pretrained model was not looked for").help("please report it")
        })
    }
}
