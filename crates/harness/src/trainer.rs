//! The traits that a trainer implements to get a command line, data, a report and a life cycle.

use std::collections::BTreeMap;
use std::path::Path;

use dataset::{Encode, RowTable, Split};
use diagnostics::Error;
use evaluation::metrics::{MAX_CONFUSION, Scores};
use evaluation::report::{ClassFeatures, Trials};
use sagemaker::Paths;
use training::{Fitted, Run, TrainPlan};

/// A trainer: one folder, one binary.
pub trait Trainer {
    /// Name of the binary, of the model format and in the report.
    const NAME: &'static str;
    /// One sentence for the help: what it trains.
    const ABOUT: &'static str;
    /// A sentence for the long help: when to choose this trainer.
    const CHOOSE: &'static str = "";
    /// Options of an example of `train`.
    const EXAMPLE: &'static str = "--seed 1";
    /// Arguments of `train`, as given.
    type Args: clap::Args;
    /// Checked arguments: every value is in its range, alternatives are enums.
    type Params: Sync;
    /// Encodes rows while they are read; one per reading thread. Texts are not kept.
    type Encoder: Encode;
    /// The trained model.
    type Model: Model;
    /// Arguments of `evaluate`, `predict`, `explain` and `serve`, such as a device; [`NoArgs`] for
    /// none.
    type PredictArgs: clap::Args + Clone + Send + Sync + 'static;

    /// True if it writes checkpoints: adds `--checkpoint-dir` and `--checkpoint-every`.
    const CHECKPOINTS: bool = false;

    /// True if rows can have weights: adds `--weight-column`.
    const ROW_WEIGHTS: bool = false;

    /// Options of [`Trainer::Args`], by clap's ids, that have an effect in some runs only. In other
    /// runs they are a warning.
    const CONDITIONAL: &'static [(&'static str, Needs)] = &[];

    /// Channels that it reads besides `train`, `validation` and `test`.
    const CHANNELS: &'static [&'static str] = &[];

    /// True if all hosts of a job train together. Otherwise only rank 0 trains. Rank 0 writes the
    /// model in both cases.
    const MULTI_HOST: bool = false;

    /// True if it can train on rows that may have several labels: see [`RowTable::label_sets`].
    const MULTI_LABEL: bool = false;

    /// True if its models can be of pairs of texts: then `explain` takes a second text.
    const TEXT_PAIRS: bool = false;

    /// True if it can train on a GPU.
    const GPU: bool = false;

    /// Checks the arguments.
    ///
    /// # Errors
    /// A value is outside of its range, or two values exclude each other.
    fn check(args: Self::Args) -> Result<Self::Params, Error>;

    /// True if the texts of two columns are pairs: see [`dataset::split_pair`].
    fn is_text_pair(_params: &Self::Params) -> bool {
        false
    }

    /// Checks what training needs of this machine (a GPU) and of the parameters (a pretrained
    /// model on disk, in a channel or on the hub), before the data is read. `--check` skips it,
    /// because it may run on another machine.
    ///
    /// # Errors
    /// Something is missing.
    fn preflight(_params: &mut Self::Params, _paths: &Paths) -> Result<(), Error> {
        Ok(())
    }

    /// Returns what a checkpoint must agree with besides the arguments. The name of a flag, such
    /// as `--tokenizer`, replaces its value, for example by the SHA-256 of the file.
    fn fingerprint(_params: &Self::Params) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Moves a loaded model to the device that the arguments name, with this number of threads.
    ///
    /// # Errors
    /// The device does not exist or has too little memory.
    fn load_to_device(
        _model: &mut Self::Model,
        _args: Self::PredictArgs,
        _threads: usize,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Returns an empty encoder.
    fn encoder(params: &Self::Params) -> Self::Encoder;

    /// Adapts the parameters to the rows of the training data, or warns of them.
    fn adapt(_params: &mut Self::Params, _encoders: &[Self::Encoder]) -> Option<Adapted> {
        None
    }

    /// Trains on the rows of [`Split::Train`](dataset::Split) and scores the other splits. Must
    /// check `run.stopped()` often and then end with the best finished model.
    ///
    /// # Errors
    /// Training is not possible, or it was stopped before there was a model.
    fn train(
        params: &Self::Params,
        rows: &RowTable,
        encoders: Vec<Self::Encoder>,
        run: &mut Run,
    ) -> Result<Trained<Self::Model>, Error>;
}

/// Result of [`Trainer::adapt`], with a message for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adapted {
    /// The parameters were changed: all data is read again, with encoders of the new ones.
    Params(String),
    /// The parameters, which are options of the user, do not suit the rows.
    Warning(String),
}

/// Condition under which an option has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// There are validation rows.
    ValidationRows,
    /// Validation rows were split off the training rows.
    SplitRows,
    /// Several hosts train together.
    SeveralHosts,
}

/// No arguments.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct NoArgs {}

/// The result of a training run.
pub struct Trained<M> {
    /// The model.
    pub model: M,
    /// Scores of each split, in row order; `None` for an empty split.
    pub scores: SplitScores,
    /// Entries for `details` in `metrics.json`: outcome of the solver, chosen values.
    pub details: serde_json::Map<String, serde_json::Value>,
    /// Statements about the training.
    pub summary: Summary,
    /// The reason if training failed after there was a good model, such as a loss of NaN: the
    /// model is saved, then the command fails with this error.
    pub error: Option<Error>,
}

/// Statements about a training, for standard output and the report.
#[derive(Default)]
pub struct Summary {
    /// Statements such as `selected: ...` or `saved epoch 9 of 11`.
    pub lines: Vec<String>,
    /// Candidates of a hyperparameter search.
    pub trials: Option<Trials>,
    /// Epoch whose weights or whose number of epochs the saved model has.
    pub saved_epoch: Option<u64>,
    /// True if early stopping ended the training.
    pub stopped_early: bool,
}

impl Summary {
    /// Describes the end of `training::fit` by `plan`. `refitted`: a second training followed, and
    /// its weights are saved.
    pub fn of_fit<W>(fitted: &Fitted<W>, plan: &TrainPlan<'_>, refitted: bool) -> Self {
        Self {
            lines: vec![fitted.selected(plan, refitted)],
            trials: None,
            saved_epoch: Some(fitted.best.epoch),
            stopped_early: fitted.stopped_early(plan),
        }
    }
}

/// Maximum scores of training rows besides another split: each takes four bytes, and its
/// probability as many.
const MAX_TRAIN_SCORES: usize = 1 << 26;

/// Scores by split.
#[derive(Default)]
pub struct SplitScores {
    /// Training rows; not needed if [`Run::wants_train_scores`] is false.
    pub train: Option<Scores>,
    /// True if the training rows were scored by models that had not seen them.
    pub out_of_fold: bool,
    /// True if the saved model was trained on the validation rows too, after these were scored.
    pub refitted: bool,
    /// Validation rows.
    pub validation: Option<Scores>,
    /// Test rows.
    pub test: Option<Scores>,
}

impl SplitScores {
    /// False if the training rows are not scored, because another split is and the scores would take
    /// more than half a gigabyte, with more classes than a confusion matrix has.
    pub fn keeps_train(rows: &RowTable) -> bool {
        let (train, classes) = (rows.of(Split::Train).len(), rows.classes.len());
        train == rows.splits.len()
            || classes <= MAX_CONFUSION
            || train.saturating_mul(classes) <= MAX_TRAIN_SCORES
    }

    /// Scores the splits that are needed with `score`, which returns `None` for an empty split or
    /// after a stop. `validation`: the scores of the validation rows, if they are known.
    ///
    /// # Errors
    /// An error of `score`.
    pub fn of(
        validation: Option<Scores>,
        rows: &RowTable,
        run: &Run,
        mut score: impl FnMut(Split) -> Result<Option<Scores>, Error>,
    ) -> Result<Self, Error> {
        let validation = match validation {
            Some(scores) => Some(scores),
            None => score(Split::Validation)?,
        };
        let test = score(Split::Test)?;
        let other = validation.is_some() || test.is_some();
        let train = match run.wants_train_scores(other) && Self::keeps_train(rows) {
            true => score(Split::Train)?,
            false => None,
        };
        Ok(Self {
            train,
            validation,
            test,
            ..Self::default()
        })
    }
}

/// A trained model.
pub trait Model: Sized + Send + Sync + 'static {
    /// Working memory of a predicting thread.
    type Scratch: Send;

    /// Bytes of rows that are read and passed to `predict` at once, from 4096 to a gigabyte. A
    /// small value spreads a small file over more threads; a large one allows sorting by length.
    const BLOCK_BYTES: usize = 512 * 1024;

    /// True if the checksums of the files are in `checksums.json` instead of `config.json`, because
    /// another program reads the folder and writes it again.
    const SEPARATE_CHECKSUMS: bool = false;

    /// True if another program has written files of this folder since training: their checksums no
    /// longer apply.
    fn is_resaved(_dir: &Path) -> bool {
        false
    }

    /// Explains a folder that has the files of another layout; `None` for all others.
    fn other_layout(_dir: &Path) -> Option<Error> {
        None
    }

    /// The labels, by class number.
    fn classes(&self) -> &[String];

    /// True if rows may have several classes: then the scores of the classes are independent, and
    /// those with a positive decision value are predicted.
    fn is_multi_label(&self) -> bool {
        false
    }

    /// True if the texts are pairs: see [`dataset::split_pair`].
    fn is_text_pair(&self) -> bool {
        false
    }

    /// Writes all files of the model into the empty folder `dir`.
    ///
    /// # Errors
    /// A file cannot be written.
    fn save(&self, dir: &Path) -> Result<(), Error>;

    /// Reads what `save` wrote.
    ///
    /// # Errors
    /// A file is missing, unreadable or not of this format.
    fn load(dir: &Path) -> Result<Self, Error>;

    /// Returns working memory for one thread.
    fn scratch(&self) -> Self::Scratch;

    /// Scores `texts`, in order.
    ///
    /// # Errors
    /// The device fails.
    fn predict(&self, scratch: &mut Self::Scratch, texts: &[&str]) -> Result<Scores, Error>;

    /// Returns the strongest features per class: of the model, or of a text.
    ///
    /// # Errors
    /// The model cannot explain.
    fn explain(&self, text: Option<&str>, top: usize) -> Result<Vec<ClassFeatures>, Error>;

    /// Returns the strongest features per class of the model, for a report that shows the first
    /// `shown` classes. Those of the others may be empty: with many classes they take long.
    ///
    /// # Errors
    /// The model cannot explain.
    fn strongest(&self, top: usize, _shown: usize) -> Result<Vec<ClassFeatures>, Error> {
        self.explain(None, top)
    }
}
