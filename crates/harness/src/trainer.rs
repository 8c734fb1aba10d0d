//! What a trainer has to offer to get a command line, a corpus, a report and a life cycle.

use std::collections::BTreeMap;
use std::path::Path;

use dataset::{Encode, RowTable};
use diagnostics::Error;
use evaluation::metrics::Scores;
use evaluation::report::ClassFeatures;
use sagemaker::Paths;
use training::run::Run;

/// A trainer: one folder, one binary.
pub trait Trainer {
    /// Its name: of the binary, of the model's format, in the report.
    const NAME: &'static str;
    /// What can be typed.
    type Args: clap::Args;
    /// What was typed, checked: every value is in its range, alternatives are enums.
    type Params: Sync;
    /// What one reading thread makes of the rows; the corpus holds these, never the texts.
    type Encoder: Encode;
    /// What is saved and predicts.
    type Model: Model;
    /// What can be typed for `evaluate`, `predict` and `explain`, such as a device; [`NoArgs`] for nothing.
    type PredictArgs: clap::Args;

    /// Whether it writes checkpoints: `--checkpoint-dir` and `--checkpoint-every` exist for such trainers only.
    const CHECKPOINTS: bool = false;

    /// Channels that it reads besides `train`, `validation` and `test`.
    const CHANNELS: &'static [&'static str] = &[];

    /// Whether all hosts of a job train: of the others the first alone does. The first one writes in any case.
    const HOSTS: bool = false;

    /// Checks what was typed.
    fn check(args: Self::Args) -> Result<Self::Params, Error>;

    /// Looks for what training needs of this machine, such as a GPU, and for what the parameters name, such as a pretrained
    /// model: on disk, in a channel, in the network. Comes before the data are read. `--check` does not ask: it may run on
    /// another machine.
    fn ready(_params: &mut Self::Params, _paths: &Paths) -> Result<(), Error> {
        Ok(())
    }

    /// What a checkpoint must agree with besides the arguments as typed. A name of a flag, such as `--tokenizer`,
    /// replaces what was typed: the sha256 of a file instead of its path.
    fn identity(_params: &Self::Params) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Makes a loaded model ready to predict with so many threads, as typed.
    fn prepare(
        _model: &mut Self::Model,
        _args: Self::PredictArgs,
        _threads: usize,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// An empty encoder; one is made per reading thread.
    fn encoder(params: &Self::Params) -> Self::Encoder;

    /// Trains on the rows of part `Train`, and scores the others. Must look at `run.stopped()` often and, once it is
    /// set, end with the best it has.
    fn train(
        params: &Self::Params,
        rows: &RowTable,
        encoders: Vec<Self::Encoder>,
        run: &mut Run,
    ) -> Result<Trained<Self::Model>, Error>;
}

/// No arguments.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct NoArgs {}

/// What a training run ends with.
pub struct Trained<M> {
    /// The model.
    pub model: M,
    /// Scores of the rows of each part, in row order; empty where the part is.
    pub scores: PartScores,
    /// What the trainer wants to stand in `metrics.json`: the solver's outcome, chosen values, ...
    pub details: serde_json::Map<String, serde_json::Value>,
    /// Why training could not go on, where there was a good model before, such as a loss that is no number: the model
    /// is saved, and then the command fails with this.
    pub failure: Option<Error>,
}

/// Scores by part of the corpus.
#[derive(Default)]
pub struct PartScores {
    /// Of the training rows; may be left out where [`Run::wants_train_scores`] says so.
    pub train: Option<Scores>,
    /// Whether each of `train` comes from a model that had not seen the row.
    pub out_of_fold: bool,
    /// Of the validation rows.
    pub validation: Option<Scores>,
    /// Of the test rows.
    pub test: Option<Scores>,
}

/// A trained model.
pub trait Model: Sized + Sync {
    /// What one predicting thread works in.
    type Scratch: Send;

    /// Bytes of rows that are read and given to `predict` at once, from 4096 to a gigabyte. Fewer spread a small file
    /// over more threads, more leave room to sort rows by length.
    const BLOCK_BYTES: usize = 512 * 1024;

    /// The classes, by number.
    fn classes(&self) -> &[String];

    /// Writes all files of the model into the empty folder `dir`.
    fn save(&self, dir: &Path) -> Result<(), Error>;

    /// Reads what `save` wrote.
    fn load(dir: &Path) -> Result<Self, Error>;

    /// A scratch for one thread.
    fn scratch(&self) -> Self::Scratch;

    /// Scores `texts`, in order.
    fn predict(&self, scratch: &mut Self::Scratch, texts: &[&str]) -> Result<Scores, Error>;

    /// The strongest features per class and, if there is a text, what speaks for each class in it.
    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error>;
}
