//! The arguments that all trainers share.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueEnum};

use dataset::{self, ReadOptions};
use diagnostics::Error;

/// More threads than any machine has cores for this work; a slip of the finger must not exhaust the system's.
const MOST_THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// How to read the data.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Data")]
pub(super) struct DataArgs {
    /// Column that holds the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_column: String,
    /// Column that holds the label
    #[arg(long, value_name = "NAME", default_value = "label")]
    label_column: String,
    /// Encoding of the files, such as latin-1; a byte order mark is believed first [default: utf-8]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Drop rows without text or label, and count them, instead of failing
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    drop_missing: bool,
    /// Drop rows that cannot be read, and count them, instead of failing
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    drop_malformed: bool,
    /// Worker threads, at most 256 [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl DataArgs {
    pub(super) fn options(&self) -> Result<ReadOptions, Error> {
        let encoding = self
            .encoding
            .as_deref()
            .map(dataset::encoding)
            .transpose()?;
        Ok(ReadOptions {
            text_column: self.text_column.clone(),
            label_column: self.label_column.clone(),
            encoding,
            drop_missing: self.drop_missing,
            drop_malformed: self.drop_malformed,
            threads: self.threads(),
            ..ReadOptions::default()
        })
    }

    pub(super) fn threads(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or_else(cores).min(MOST_THREADS)
    }
}

/// What `train` takes besides the trainer's own arguments.
#[derive(Args, Clone, Debug)]
pub(super) struct TrainArgs {
    /// Training data: a file, or a folder of .csv, .tsv, .jsonl or .parquet files [default: the `train` channel]
    #[arg(long, value_name = "PATH")]
    pub(super) train: Option<PathBuf>,
    /// Rows to choose and calibrate on [default: the `validation` channel, else a share of the training data]
    #[arg(long, value_name = "PATH")]
    pub(super) validation: Option<PathBuf>,
    /// Rows to be looked at once, at the end [default: the `test` channel]
    #[arg(long, value_name = "PATH")]
    pub(super) test: Option<PathBuf>,
    /// Folder for the model [default: SM_MODEL_DIR]
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: Option<PathBuf>,
    /// Folder for metrics.json and report.html [default: SM_OUTPUT_DATA_DIR, else the model's folder]
    #[arg(long, value_name = "DIR")]
    pub(super) output_data_dir: Option<PathBuf>,
    /// Share of the training rows to validate on when there are no validation data; 0 for none
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub(super) validation_split: f64,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Write no report.html
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(super) no_report: bool,
    /// Print one JSON object on standard output, all else on standard error
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(super) json: bool,
    /// Only check the arguments and hyperparameters; read no data
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(super) check: bool,
    #[command(flatten)]
    pub(super) data: DataArgs,
}

/// What `train` takes if the trainer writes checkpoints.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckpointArgs {
    /// Folder for checkpoints; a run that finds its own there goes on from the newest [default: /opt/ml/checkpoints in a
    /// job that has one, else none are written]
    #[arg(long, value_name = "DIR", help_heading = "Checkpoints")]
    pub(super) checkpoint_dir: Option<PathBuf>,
    /// Steps between two checkpoints, besides the one at the end of each epoch; 0 for that one alone
    #[arg(
        long,
        value_name = "STEPS",
        default_value_t = 0,
        help_heading = "Checkpoints"
    )]
    pub(super) checkpoint_every: u64,
}

/// What `evaluate` takes.
#[derive(Args, Clone, Debug)]
pub(super) struct EvaluateArgs {
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: PathBuf,
    /// Labelled data: a file or a folder
    #[arg(long, value_name = "PATH")]
    pub(super) data: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) read: DataArgs,
}

/// What `predict` takes.
#[derive(Args, Clone, Debug)]
pub(super) struct PredictArgs {
    /// Texts to classify; without any, and without --input, rows are read from standard input
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    pub(super) texts: Vec<String>,
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: PathBuf,
    /// Data to classify: a file or a folder, with a text column; `-` for standard input
    #[arg(long, value_name = "PATH")]
    pub(super) input: Option<PathBuf>,
    /// Format of standard input
    #[arg(long, value_enum, default_value_t = StreamFormat::Csv)]
    pub(super) input_format: StreamFormat,
    /// File to write to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Format of the answers
    #[arg(long, value_enum, default_value_t = StreamFormat::Csv)]
    pub(super) format: StreamFormat,
    /// Add a column for the probability of each class
    #[arg(long)]
    pub(super) all_classes: bool,
    #[command(flatten)]
    pub(super) read: DataArgs,
}

/// A format without a file name to tell it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StreamFormat {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object per line
    Jsonl,
}

/// What `check` takes.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// Labelled data: a file or a folder
    #[arg(long, value_name = "PATH")]
    pub(super) data: PathBuf,
    /// Test data, whose texts should not stand in the training data
    #[arg(long, value_name = "PATH")]
    pub(super) test: Option<PathBuf>,
    /// Most findings of each kind to print; the rest is counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) limit: usize,
    /// Print one JSON object per finding, then a summary
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) read: DataArgs,
}

/// What `explain` takes.
#[derive(Args, Clone, Debug)]
pub(super) struct ExplainArgs {
    /// Explain the prediction for this text; without it, the whole model
    #[arg(value_name = "TEXT")]
    pub(super) text: Option<String>,
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: PathBuf,
    /// Features per class
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub(super) top: usize,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// The files of a path that was typed.
pub(super) fn sources(path: &Path) -> Result<Vec<dataset::Source>, Error> {
    Ok(dataset::sources(path)?)
}
