//! What can be typed, and what becomes of it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use diagnostics::Error;
use harness::range::{above_zero, below_one, not_negative, up_to_one};

use crate::device::{DeviceChoice, Precision};
use crate::tokenizer::FileTokenizer;
use bag::{BagArgs, BagParams};
pub use training::{ClassWeight, Schedule};

/// The trainer's own arguments; the names of the old script's flags and their meaning are kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Text")]
pub struct TextArgs {
    /// Words that have an id of their own, the most frequent of the training rows; all others are `<unk>`. For bag: terms
    /// [default: 20000; all for bag]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    vocab_size: Option<u32>,
    /// Words of a text that are read, from its start [default: 400; bag reads all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    seq_len: Option<u32>,
    /// Longest n-gram, in words; for bag [default: 2]
    #[arg(long, value_name = "N", alias = "word-ngrams", value_parser = clap::value_parser!(u8).range(1..=8))]
    max_ngrams: Option<u8>,
    /// Leave out terms in fewer training rows; for bag [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    min_df: Option<u32>,
    /// A Hugging Face tokenizer.json to cut texts with, in place of words
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,

    /// Architecture
    #[arg(long, value_enum, default_value_t = Arch::Bilstm, help_heading = "Model")]
    arch: Arch,
    /// Width of the word embeddings [default: 100; 16 for bag]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Model")]
    emb_size: Option<u32>,
    /// Width of the LSTM in each direction [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Model")]
    hidden_size: Option<u32>,
    /// Layers of the LSTM [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Model")]
    num_layers: Option<u32>,
    /// What becomes of the LSTM's outputs over time; padding is never part of it [default: max]
    #[arg(long, value_enum, help_heading = "Model")]
    pooling: Option<Pooling>,
    /// Share of embeddings, of values between layers and of pooled values that a training step drops; a dropped value is
    /// dropped at all times of a row (Gal and Ghahramani 2016). For bag: share of a row's terms
    /// [default: 0.5; 0 for bag]
    #[arg(long, value_name = "SHARE", help_heading = "Model")]
    dropout: Option<f64>,

    /// Passes over the training rows
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Training")]
    epochs: u32,
    /// Rows per step [default: 32; bag learns row by row]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Training")]
    batch_size: Option<u32>,
    /// Make batches of random rows; otherwise they have rows of about equal length, with little padding [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "Training")]
    no_buckets: Option<bool>,
    /// Learning rate of Adam; for bag of gradient descent [default: 0.002; 0.05 for bag]
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    learning_rate: Option<f64>,
    /// Learning rate over the steps
    #[arg(long, value_enum, default_value_t = Schedule::Linear, help_heading = "Training")]
    schedule: Schedule,
    /// Share of the steps over which the learning rate rises from 0 [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    warm_up: Option<f64>,
    /// Norm to which larger gradients are cut; 0: they are not cut [default: 1]
    #[arg(long, value_name = "NORM", help_heading = "Training")]
    clip_norm: Option<f64>,
    /// Epochs without a higher validation accuracy after which training stops; 0: it never does. The epoch of the highest
    /// is the model in any case; of equals, that of the lower loss [default: 2; bag takes all its epochs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000), help_heading = "Training")]
    patience: Option<u32>,
    /// Give every class the same total weight
    #[arg(long, value_enum, default_value_t = ClassWeight::None, help_heading = "Training")]
    class_weight: ClassWeight,

    /// Where to train: auto (all GPUs of this machine, else the CPU), cpu, cuda, cuda:N [default: auto; cpu for bag]
    #[arg(long, value_name = "DEVICE", help_heading = "Device")]
    device: Option<DeviceChoice>,
    /// Numbers to train with: mixed is half precision where it is safe, on GPUs only [default: mixed on GPUs, full else]
    #[arg(long, value_enum, help_heading = "Device")]
    precision: Option<Precision>,
}

/// What can be typed for `evaluate`, `predict` and `explain`.
#[derive(Args, Clone, Debug)]
pub struct PredictArgs {
    /// Where to predict: auto (the GPUs of this machine, else the CPU), cpu, cuda, cuda:N [default: auto; cpu for bag]
    #[arg(long, value_name = "DEVICE", help_heading = "Device")]
    pub(crate) device: Option<DeviceChoice>,
}

/// Which kind of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Arch {
    /// Embeddings, a bidirectional LSTM, pooling over time
    Bilstm,
    /// A weighted sum of word and n-gram embeddings, after fastText: trains in seconds, on the CPU
    Bag,
}

/// How outputs of all times become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The last state of each direction
    Last,
    /// The mean over time
    Mean,
    /// The maximum over time
    Max,
    /// The mean over time, weighted by a learned score
    Attention,
}

/// Checked parameters.
#[derive(Clone, Debug)]
pub struct TextParams {
    /// The kind of model and what it needs.
    pub arch: ArchParams,
    /// How classes are weighed.
    pub class_weight: ClassWeight,
    /// Cuts texts; words are used without it.
    pub tokenizer: Option<Arc<FileTokenizer>>,
}

/// Parameters by kind of model.
#[derive(Clone, Debug)]
pub enum ArchParams {
    /// The bi-LSTM.
    Bilstm(LstmParams),
    /// The bag of words and n-grams.
    Bag(BagParams),
}

/// Checked parameters of the bi-LSTM.
#[derive(Clone, Debug)]
pub struct LstmParams {
    /// Words with ids of their own.
    pub vocab_size: usize,
    /// EncodedRows of a text that are read.
    pub seq_len: usize,
    /// Width of the embeddings.
    pub emb_size: usize,
    /// Width of the LSTM in each direction.
    pub hidden_size: usize,
    /// Layers of the LSTM.
    pub num_layers: usize,
    /// How outputs of all times become one.
    pub pooling: Pooling,
    /// 0 to below 1.
    pub dropout: f64,
    /// Passes over the training rows.
    pub epochs: u64,
    /// Rows per step.
    pub batch_size: usize,
    /// Whether a batch has rows of about equal length.
    pub buckets: bool,
    /// Adam's.
    pub learning_rate: f64,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// Share of the steps, 0 to 1.
    pub warm_up: f64,
    /// `None`: gradients are not cut.
    pub clip_norm: Option<f64>,
    /// `None`: training never stops early.
    pub patience: Option<u64>,
    /// Where to train.
    pub device: DeviceChoice,
    /// `None`: what the device does best.
    pub precision: Option<Precision>,
}

impl TextArgs {
    /// Checks what was typed.
    ///
    /// # Errors
    ///
    /// A value is outside of its range, or does not go with another.
    pub fn check(self) -> Result<TextParams, Error> {
        let arch = match self.arch {
            Arch::Bilstm => ArchParams::Bilstm(self.lstm()?),
            Arch::Bag => ArchParams::Bag(self.bag()?),
        };
        let tokenizer = self
            .tokenizer
            .as_deref()
            .map(FileTokenizer::read)
            .transpose()?;
        Ok(TextParams {
            arch,
            class_weight: self.class_weight,
            tokenizer: tokenizer.map(Arc::new),
        })
    }

    fn lstm(&self) -> Result<LstmParams, Error> {
        self.only(
            Arch::Bag,
            &[
                ("max-ngrams", self.max_ngrams.is_some()),
                ("min-df", self.min_df.is_some()),
            ],
        )?;
        if self.tokenizer.is_some() && self.vocab_size.is_some() {
            return Err(Error::usage(
                "expected --tokenizer or --vocab-size, found both: the tokenizer has its own ids",
            )
            .help("leave out one of them"));
        }
        let norm = not_negative("clip-norm", self.clip_norm.unwrap_or(1.0), "1")?;
        let patience = self.patience.unwrap_or(2);
        Ok(LstmParams {
            vocab_size: self.vocab_size.unwrap_or(20_000) as usize,
            seq_len: self.seq_len.unwrap_or(400) as usize,
            emb_size: self.emb_size.unwrap_or(100) as usize,
            hidden_size: self.hidden_size.unwrap_or(100) as usize,
            num_layers: self.num_layers.unwrap_or(1) as usize,
            pooling: self.pooling.unwrap_or(Pooling::Max),
            dropout: below_one("dropout", self.dropout.unwrap_or(0.5), "0.3")?,
            epochs: self.epochs.into(),
            batch_size: self.batch_size.unwrap_or(32) as usize,
            buckets: self.no_buckets != Some(true),
            learning_rate: above_zero(
                "learning-rate",
                self.learning_rate.unwrap_or(0.002),
                "0.002",
            )?,
            schedule: self.schedule,
            warm_up: up_to_one("warm-up", self.warm_up.unwrap_or(0.0), "0.1")?,
            clip_norm: (norm > 0.0).then_some(norm),
            patience: (patience > 0).then_some(patience.into()),
            device: self.device.unwrap_or(DeviceChoice::Auto),
            precision: self.precision,
        })
    }

    fn bag(&self) -> Result<BagParams, Error> {
        self.only(
            Arch::Bilstm,
            &[
                ("tokenizer", self.tokenizer.is_some()),
                ("seq-len", self.seq_len.is_some()),
                ("hidden-size", self.hidden_size.is_some()),
                ("num-layers", self.num_layers.is_some()),
                ("pooling", self.pooling.is_some()),
                ("batch-size", self.batch_size.is_some()),
                ("no-buckets", self.no_buckets.is_some()),
                ("warm-up", self.warm_up.is_some()),
                ("clip-norm", self.clip_norm.is_some()),
                ("patience", self.patience.is_some()),
                ("device cuda", self.device.is_some_and(DeviceChoice::is_gpu)),
                ("precision", self.precision.is_some()),
            ],
        )?;
        let usual = BagArgs::default();
        BagArgs {
            emb_size: self.emb_size.unwrap_or(usual.emb_size),
            max_ngrams: self.max_ngrams.unwrap_or(usual.max_ngrams),
            min_df: self.min_df.unwrap_or(usual.min_df),
            vocab_size: self.vocab_size,
            dropout: self.dropout.unwrap_or(usual.dropout),
            epochs: self.epochs,
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            schedule: self.schedule,
            class_weight: self.class_weight,
        }
        .check()
    }

    /// Refuses what was typed for the other architecture, `arch`.
    fn only(&self, arch: Arch, typed: &[(&str, bool)]) -> Result<(), Error> {
        let Some((flag, _)) = typed.iter().find(|(_, typed)| *typed) else {
            return Ok(());
        };
        let name = |arch: Arch| {
            arch.to_possible_value()
                .map_or(String::new(), |value| value.get_name().to_owned())
        };
        let (found, expected) = (name(self.arch), name(arch));
        Err(Error::usage(format!(
            "expected --arch {expected} with --{flag}, found --arch `{found}`"
        ))
        .help(format!("leave out --{flag}, or choose --arch {expected}")))
    }
}
