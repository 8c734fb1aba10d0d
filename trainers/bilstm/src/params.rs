//! Command line arguments and checked parameters.

use std::path::PathBuf;
use std::sync::Arc;

use bag::{BagArgs, BagParams};
use clap::{Args, ValueEnum};
use diagnostics::Error;
use harness::range::{above, integer, number};

use crate::tokenizer::FileTokenizer;
pub use training::{
    BestMetric, ClassWeight, ClassWeightArgs, DeviceChoice, FitParams, Precision, Schedule,
};

/// Arguments of `train`. Names and meaning are those of the flags of the original script.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Text")]
pub struct TextArgs {
    /// Maximum vocabulary size [default: 20000; no limit for bag]
    ///
    /// The vocabulary has the most frequent words of the training rows; all others are `<unk>`. For
    /// bag: words and n-grams.
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=10_000_000))]
    vocab_size: Option<u32>,
    /// Maximum words of a text; the rest is ignored [default: 400; no limit for bag]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=1_000_000))]
    seq_len: Option<u32>,
    /// Maximum n-gram length, in words; bag only [default: 2]
    #[arg(long, value_name = "N", alias = "word-ngrams", value_parser = integer::<u8>(1..=8))]
    max_ngrams: Option<u8>,
    /// Drop terms that occur in fewer than N training rows; bag only [default: 2]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=u32::MAX.into()))]
    min_df: Option<u32>,
    /// Hugging Face tokenizer.json, instead of a vocabulary of words
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,

    /// Architecture
    #[arg(long, value_enum, default_value_t = Arch::Bilstm, help_heading = "Model")]
    arch: Arch,
    /// Embedding size [default: 100; 16 for bag, 64 for bag with more than 20 classes]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=65_536), help_heading = "Model")]
    emb_size: Option<u32>,
    /// Hidden size of the LSTM, per direction [default: 100]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=65_536), help_heading = "Model")]
    hidden_size: Option<u32>,
    /// Number of LSTM layers [default: 1]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=64), help_heading = "Model")]
    num_layers: Option<u32>,
    /// Pooling of the LSTM's outputs over time, without padding [default: max]
    #[arg(long, value_enum, help_heading = "Model")]
    pooling: Option<Pooling>,
    /// Dropout probability [default: 0.5; 0 for bag]
    ///
    /// Applies to embeddings, to values between layers and to pooled values. A dropped value is
    /// dropped at all time steps of a row (Gal and Ghahramani 2016). For bag: of the terms of a
    /// row.
    #[arg(long, value_name = "FRACTION", value_parser = number(0.0..1.0), help_heading = "Model")]
    dropout: Option<f64>,

    /// Passes over the training rows
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = integer::<u32>(1..=1_000_000), help_heading = "Training")]
    epochs: u32,
    /// Rows per optimizer step [default: 32; 1 for bag]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=1_000_000), help_heading = "Training")]
    batch_size: Option<u32>,
    /// Make batches of random rows instead of rows of similar length
    ///
    /// Rows of similar length need little padding.
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = "Training")]
    no_buckets: bool,
    /// Peak learning rate [default: 0.002; 0.05 for bag]
    ///
    /// Of Adam; for bag of stochastic gradient descent.
    #[arg(long, value_name = "RATE", value_parser = number(above(0.0)), help_heading = "Training")]
    learning_rate: Option<f64>,
    /// Learning rate schedule
    #[arg(long, value_enum, default_value_t = Schedule::Linear, help_heading = "Training")]
    schedule: Schedule,
    /// Fraction of the steps with a rising learning rate [default: 0]
    #[arg(long, value_name = "FRACTION", value_parser = number(0.0..=1.0), help_heading = "Training")]
    warm_up: Option<f64>,
    /// Maximum gradient norm, 0 for no clipping [default: 1]
    #[arg(long, value_name = "NORM", value_parser = number(0.0..), help_heading = "Training")]
    clip_norm: Option<f64>,
    /// Epochs without improvement before training stops, 0 for never [default: 2]
    ///
    /// An epoch is an improvement if it is the best one or lowers the validation loss. The model is
    /// that of the best epoch: see --best-metric. bag trains all epochs.
    #[arg(long, value_name = "N", value_parser = integer::<u32>(0..=1_000_000), help_heading = "Training")]
    patience: Option<u32>,
    /// Metric of the validation rows that chooses the best epoch [default: macro_f1]
    #[arg(long, value_enum, help_heading = "Training")]
    best_metric: Option<BestMetric>,
    /// Train once more on all rows, for the best number of epochs
    ///
    /// With the rows of --validation-split too. Rows of --validation are never trained on.
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = "Training")]
    refit: bool,
    #[command(flatten)]
    class_weight: ClassWeightArgs,

    /// Device to train on: auto, cpu, cuda, cuda:N [default: auto; cpu for bag]
    ///
    /// auto: all GPUs of this machine, else the CPU. cuda: all GPUs. cuda:N: one GPU.
    #[arg(long, value_name = "DEVICE", help_heading = "Device")]
    device: Option<DeviceChoice>,
    /// Precision of training [default: mixed on GPUs, full on a CPU]
    #[arg(long, value_enum, help_heading = "Device")]
    precision: Option<Precision>,
}

/// Arguments of `evaluate`, `predict` and `explain`.
#[derive(Args, Clone, Debug)]
pub struct PredictArgs {
    /// Device to predict on: auto, cpu, cuda, cuda:N [default: auto; cpu for bag]
    ///
    /// auto: all GPUs of this machine, else the CPU. cuda: all GPUs. cuda:N: one GPU.
    #[arg(long, value_name = "DEVICE", help_heading = "Device")]
    pub(crate) device: Option<DeviceChoice>,
}

/// The value of `--arch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Arch {
    /// Embeddings, a bidirectional LSTM, pooling over time
    Bilstm,
    /// Weighted sum of word and n-gram embeddings, as in fastText: trains in seconds on a CPU
    Bag,
}

/// The value of `--pooling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Last state of each direction
    Last,
    /// Mean over time
    Mean,
    /// Maximum over time
    Max,
    /// Mean over time, weighted by a learned score
    Attention,
}

/// Checked parameters.
#[derive(Clone, Debug)]
pub struct TextParams {
    /// Parameters of the architecture.
    pub arch: ArchParams,
    /// Class weights.
    pub class_weight: ClassWeight,
    /// `None`: a vocabulary of words.
    pub tokenizer: Option<Arc<FileTokenizer>>,
}

/// Parameters by architecture.
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
    /// Maximum number of words with their own ids.
    pub vocab_size: usize,
    /// Maximum number of ids of a text.
    pub seq_len: usize,
    /// Size of the embeddings.
    pub emb_size: usize,
    /// Hidden size of the LSTM, per direction.
    pub hidden_size: usize,
    /// Number of LSTM layers.
    pub num_layers: usize,
    /// Pooling over time.
    pub pooling: Pooling,
    /// Dropout probability, 0 to below 1.
    pub dropout: f64,
    /// Rows per optimizer step.
    pub batch_size: usize,
    /// Settings of the training loop.
    pub fit: FitParams,
    /// Device to train on.
    pub device: DeviceChoice,
    /// `None`: mixed on GPUs, full on a CPU.
    pub precision: Option<Precision>,
}

impl TextArgs {
    /// Checks the arguments.
    ///
    /// # Errors
    ///
    /// A value is out of range, or conflicts with another.
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
            class_weight: self.class_weight.class_weight,
            tokenizer: tokenizer.map(Arc::new),
        })
    }

    fn lstm(&self) -> Result<LstmParams, Error> {
        self.refuse(
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
        let norm = self.clip_norm.unwrap_or(1.0);
        let patience = self.patience.unwrap_or(2);
        Ok(LstmParams {
            vocab_size: self.vocab_size.unwrap_or(20_000) as usize,
            seq_len: self.seq_len.unwrap_or(400) as usize,
            emb_size: self.emb_size.unwrap_or(100) as usize,
            hidden_size: self.hidden_size.unwrap_or(100) as usize,
            num_layers: self.num_layers.unwrap_or(1) as usize,
            pooling: self.pooling.unwrap_or(Pooling::Max),
            dropout: self.dropout.unwrap_or(0.5),
            batch_size: self.batch_size.unwrap_or(32) as usize,
            fit: FitParams {
                epochs: self.epochs.into(),
                buckets: !self.no_buckets,
                learning_rate: self.learning_rate.unwrap_or(0.002),
                schedule: self.schedule,
                warm_up: self.warm_up.unwrap_or(0.0),
                clip_norm: (norm > 0.0).then_some(norm),
                patience: (patience > 0).then_some(patience.into()),
                best_metric: self.best_metric.unwrap_or_default(),
                refit: self.refit,
            },
            device: self.device.unwrap_or(DeviceChoice::Auto),
            precision: self.precision,
        })
    }

    fn bag(&self) -> Result<BagParams, Error> {
        self.refuse(
            Arch::Bilstm,
            &[
                ("tokenizer", self.tokenizer.is_some()),
                ("seq-len", self.seq_len.is_some()),
                ("hidden-size", self.hidden_size.is_some()),
                ("num-layers", self.num_layers.is_some()),
                ("pooling", self.pooling.is_some()),
                ("batch-size", self.batch_size.is_some()),
                ("no-buckets", self.no_buckets),
                ("warm-up", self.warm_up.is_some()),
                ("clip-norm", self.clip_norm.is_some()),
                ("patience", self.patience.is_some()),
                ("best-metric", self.best_metric.is_some()),
                ("device cuda", self.device.is_some_and(DeviceChoice::is_gpu)),
                ("precision", self.precision.is_some()),
            ],
        )?;
        let default = BagArgs::default();
        BagArgs {
            emb_size: self.emb_size,
            max_ngrams: self.max_ngrams,
            min_df: self.min_df.unwrap_or(default.min_df),
            vocab_size: self.vocab_size,
            dropout: self.dropout.unwrap_or(default.dropout),
            epochs: self.epochs,
            learning_rate: self.learning_rate.unwrap_or(default.learning_rate),
            schedule: self.schedule,
            class_weight: self.class_weight.clone(),
            no_refit: !self.refit,
            ..default
        }
        .check()
    }

    /// Refuses flags of the other architecture, `arch`.
    fn refuse(&self, arch: Arch, flags: &[(&str, bool)]) -> Result<(), Error> {
        let Some((flag, _)) = flags.iter().find(|(_, given)| *given) else {
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
