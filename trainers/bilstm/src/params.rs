//! What can be typed, and what becomes of it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use harness::Failure;

use crate::device::{DeviceChoice, Precision};
use crate::reader::PieceReader;
pub use crate::schedule::Schedule;

/// The trainer's own arguments; the names of the old script's flags and their meaning are kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Text")]
pub struct TextArgs {
    /// Words that have an id of their own, the most frequent of the training rows; all others are `<unk>`
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    vocab_size: u32,
    /// Words of a text that are read, from its start
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    seq_len: u32,
    /// A Hugging Face tokenizer.json to cut texts with, in place of words
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,

    /// Architecture
    #[arg(long, value_enum, default_value_t = Arch::Bilstm, help_heading = "Model")]
    arch: Arch,
    /// Width of the word embeddings
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Model")]
    emb_size: u32,
    /// Width of the LSTM in each direction
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Model")]
    hidden_size: u32,
    /// Layers of the LSTM
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Model")]
    num_layers: u32,
    /// What becomes of the LSTM's outputs over time; padding is never part of it
    #[arg(long, value_enum, default_value_t = Pooling::Max, help_heading = "Model")]
    pooling: Pooling,
    /// Share of embeddings, of values between layers and of pooled values that a training step drops; a dropped value is
    /// dropped at all times of a row (Gal and Ghahramani 2016)
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.5,
        help_heading = "Model"
    )]
    dropout: f64,

    /// Passes over the training rows
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Training")]
    epochs: u32,
    /// Rows per step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Training")]
    batch_size: u32,
    /// Make batches of random rows; otherwise they have rows of about equal length, with little padding
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "Training")]
    no_buckets: bool,
    /// Learning rate of Adam
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 1e-3,
        help_heading = "Training"
    )]
    learning_rate: f64,
    /// Learning rate over the steps
    #[arg(long, value_enum, default_value_t = Schedule::Linear, help_heading = "Training")]
    schedule: Schedule,
    /// Share of the steps over which the learning rate rises from 0
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.0,
        help_heading = "Training"
    )]
    warm_up: f64,
    /// Norm to which larger gradients are cut; 0: they are not cut
    #[arg(
        long,
        value_name = "NORM",
        default_value_t = 1.0,
        help_heading = "Training"
    )]
    clip_norm: f64,
    /// Epochs without a lower validation loss after which training stops; 0: it never does. The epoch of the lowest is
    /// the model in any case
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000_000), help_heading = "Training")]
    patience: u32,
    /// Give every class the same total weight
    #[arg(long, value_enum, default_value_t = ClassWeight::None, help_heading = "Training")]
    class_weight: ClassWeight,

    /// Where to train: auto (all GPUs of this machine, else the CPU), cpu, cuda, cuda:N
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        help_heading = "Device"
    )]
    device: DeviceChoice,
    /// Numbers to train with: mixed is half precision where it is safe, on GPUs only [default: mixed on GPUs, full else]
    #[arg(long, value_enum, help_heading = "Device")]
    precision: Option<Precision>,
}

/// Which kind of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Arch {
    /// Embeddings, a bidirectional LSTM, pooling over time
    Bilstm,
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

/// How classes are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClassWeight {
    /// Every row counts the same
    None,
    /// Every class counts the same: rows / (classes x rows of the class)
    Balanced,
}

/// Checked parameters.
#[derive(Clone, Debug)]
pub struct TextParams {
    /// The kind of model and what it needs.
    pub arch: ArchParams,
    /// How classes are weighed.
    pub class_weight: ClassWeight,
    /// Cuts texts; words are used without it.
    pub tokenizer: Option<Arc<PieceReader>>,
}

/// Parameters by kind of model.
#[derive(Clone, Debug)]
pub enum ArchParams {
    /// The bi-LSTM.
    Bilstm(LstmParams),
}

/// Checked parameters of the bi-LSTM.
#[derive(Clone, Debug)]
pub struct LstmParams {
    /// Words with ids of their own.
    pub vocab_size: usize,
    /// Ids of a text that are read.
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
    pub fn check(self) -> Result<TextParams, Failure> {
        let arch = match self.arch {
            Arch::Bilstm => ArchParams::Bilstm(self.lstm()?),
        };
        let tokenizer = self
            .tokenizer
            .as_deref()
            .map(PieceReader::read)
            .transpose()?;
        Ok(TextParams {
            arch,
            class_weight: self.class_weight,
            tokenizer: tokenizer.map(Arc::new),
        })
    }

    fn lstm(&self) -> Result<LstmParams, Failure> {
        within(
            "dropout",
            self.dropout,
            (0.0..1.0).contains(&self.dropout),
            "from 0 to below 1",
            "0.3",
        )?;
        within(
            "warm-up",
            self.warm_up,
            (0.0..=1.0).contains(&self.warm_up),
            "from 0 to 1",
            "0.1",
        )?;
        let rate = self.learning_rate;
        within(
            "learning-rate",
            rate,
            rate > 0.0 && rate.is_finite(),
            "above 0",
            "0.003",
        )?;
        let norm = self.clip_norm;
        within(
            "clip-norm",
            norm,
            norm >= 0.0 && norm.is_finite(),
            "of 0 or more",
            "1",
        )?;
        Ok(LstmParams {
            vocab_size: self.vocab_size as usize,
            seq_len: self.seq_len as usize,
            emb_size: self.emb_size as usize,
            hidden_size: self.hidden_size as usize,
            num_layers: self.num_layers as usize,
            pooling: self.pooling,
            dropout: self.dropout,
            epochs: self.epochs.into(),
            batch_size: self.batch_size as usize,
            buckets: !self.no_buckets,
            learning_rate: rate,
            schedule: self.schedule,
            warm_up: self.warm_up,
            clip_norm: (norm > 0.0).then_some(norm),
            patience: (self.patience > 0).then_some(self.patience.into()),
            device: self.device,
            precision: self.precision,
        })
    }
}

fn within(name: &str, value: f64, good: bool, range: &str, example: &str) -> Result<(), Failure> {
    if good {
        return Ok(());
    }
    Err(Failure::usage(
        format!("expected --{name} {range}, found `{value}`"),
        format!("use --{name} {example}, or leave it out"),
    ))
}
