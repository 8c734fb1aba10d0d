//! What a trainer has to offer to get a command line, a corpus, a report and a life cycle.

use std::path::Path;

use crate::Failure;
use crate::corpus::{Encode, RowTable};
use crate::metrics::Scores;
use crate::report::ClassFeatures;
use crate::run::Run;

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

    /// Checks what was typed.
    fn check(args: Self::Args) -> Result<Self::Params, Failure>;

    /// An empty encoder; one is made per reading thread.
    fn encoder(params: &Self::Params) -> Self::Encoder;

    /// Trains on the rows of part `Train`, and scores the others. Must look at `run.stopped()` often and, once it is
    /// set, end with the best it has.
    fn train(
        params: &Self::Params,
        rows: &RowTable,
        encoders: Vec<Self::Encoder>,
        run: &mut Run,
    ) -> Result<Trained<Self::Model>, Failure>;
}

/// What a training run ends with.
pub struct Trained<M> {
    /// The model.
    pub model: M,
    /// Scores of the rows of each part, in row order; empty where the part is.
    pub scores: PartScores,
    /// What the trainer wants to stand in `metrics.json`: the solver's outcome, chosen values, ...
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// Scores by part of the corpus.
#[derive(Default)]
pub struct PartScores {
    /// Of the training rows.
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

    /// The classes, by number.
    fn classes(&self) -> &[String];

    /// Writes all files of the model into the empty folder `dir`.
    fn save(&self, dir: &Path) -> Result<(), Failure>;

    /// Reads what `save` wrote.
    fn load(dir: &Path) -> Result<Self, Failure>;

    /// A scratch for one thread.
    fn scratch(&self) -> Self::Scratch;

    /// Scores `texts`, in order.
    fn predict(&self, scratch: &mut Self::Scratch, texts: &[&str]) -> Result<Scores, Failure>;

    /// The strongest features per class and, if there is a text, what speaks for each class in it.
    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Failure>;
}
