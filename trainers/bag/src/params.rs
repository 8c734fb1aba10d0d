//! Command line arguments and checked parameters.

use clap::Args;
use diagnostics::Error;
use harness::range::{above, integer, number};
use harness::{AnalysisArgs, AnalysisDefaults, TextAnalysis};
use text::features::Subwords;
use training::{ClassWeight, ClassWeightArgs, Schedule};

use crate::net::MANY_CLASSES;
use crate::rows::MIN_WORD_LENGTH;

/// Default of `--bucket`. fastText has 2,000,000, which would be a model of 128 MB.
const BUCKETS: u32 = 200_000;

/// Arguments of the trainer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Text")]
pub struct BagArgs {
    /// Maximum n-gram length, in words or characters [default: 2; 3 with characters]
    #[arg(long, value_name = "N", alias = "word-ngrams", value_parser = integer::<u8>(1..=8))]
    pub max_ngrams: Option<u8>,
    /// Tokens.
    #[command(flatten)]
    pub analysis: AnalysisArgs,
    /// Drop terms that occur in fewer than N training rows
    #[arg(long, value_name = "N", default_value_t = Self::default().min_df, value_parser = integer::<u32>(1..=u32::MAX.into()))]
    pub min_df: u32,
    /// Maximum number of terms; the most frequent are kept [default: no limit]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=10_000_000))]
    pub vocab_size: Option<u32>,

    /// Maximum length of the character n-grams of words (subwords), as in fastText [default: none]
    ///
    /// Besides the terms, the model has embeddings of the character n-grams of each word between
    /// `<` and `>`, so that unknown words get an embedding from their parts.
    #[arg(long, value_name = "N", value_parser = integer::<u8>(1..=20))]
    pub maxn: Option<u8>,
    /// Minimum length of the character n-grams of words, as in fastText [default: 1]
    #[arg(long, value_name = "N", requires = "maxn", value_parser = integer::<u8>(1..=20))]
    pub minn: Option<u8>,
    /// Number of hash buckets of the character n-grams of words, as in fastText [default: 200000]
    #[arg(long, value_name = "N", requires = "maxn", value_parser = integer::<u32>(1..=10_000_000))]
    pub bucket: Option<u32>,

    /// Embedding size [default: 16; 64 for more than 20 classes]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=65_536), help_heading = "Model")]
    pub emb_size: Option<u32>,
    /// Dropout probability
    ///
    /// Of the terms of a row, in each training step.
    #[arg(
        long,
        value_name = "FRACTION",
        default_value_t = Self::default().dropout,
        value_parser = number(0.0..1.0),
        help_heading = "Model"
    )]
    pub dropout: f64,

    /// Passes over the training rows
    #[arg(long, value_name = "N", default_value_t = Self::default().epochs, value_parser = integer::<u32>(1..=1_000_000), help_heading = "Training")]
    pub epochs: u32,
    /// Initial learning rate
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = Self::default().learning_rate,
        value_parser = number(above(0.0)),
        help_heading = "Training"
    )]
    pub learning_rate: f64,
    /// Learning rate schedule
    #[arg(long, value_enum, default_value_t = Self::default().schedule, help_heading = "Training")]
    pub schedule: Schedule,
    /// Class weights.
    #[command(flatten)]
    pub class_weight: ClassWeightArgs,
    /// Do not train again on all rows after the validation rows were scored
    ///
    /// By default the model is trained twice: without the rows of --validation-split, which are
    /// scored and calibrate the probabilities, and then on all rows. Rows of --validation are never
    /// trained on.
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = "Training")]
    pub no_refit: bool,
}

/// Checked parameters.
#[derive(Clone, Debug)]
pub struct BagParams {
    /// Embedding size; `None`: depends on the number of classes.
    emb_size: Option<usize>,
    /// Settings by which the terms of a text are found.
    pub(crate) analysis: TextAnalysis,
    /// Character n-grams of words.
    pub(crate) subwords: Option<Subwords>,
    /// Terms that occur in fewer training rows are dropped.
    pub(crate) min_df: u32,
    /// Maximum number of terms; the most frequent are kept.
    pub(crate) vocab_size: Option<usize>,
    /// Dropout probability of the terms of a row, in [0, 1).
    pub(crate) dropout: f64,
    /// Passes over the training rows.
    pub(crate) epochs: u64,
    /// Initial learning rate.
    pub(crate) learning_rate: f64,
    /// Learning rate schedule.
    pub(crate) schedule: Schedule,
    /// Class weights.
    pub(crate) class_weight: ClassWeight,
    /// True if the saved model is trained on the rows that were split off for validation too.
    pub(crate) refit: bool,
}

impl BagParams {
    /// Returns the embedding size for this number of classes. Measured on made-up texts of 1,000
    /// classes, where `svm` has 0.475 and 0.822: 0.324 and 0.620 with 16, 0.431 and 0.748 with 64.
    pub(crate) fn emb_size(&self, classes: usize) -> usize {
        self.emb_size.unwrap_or(match classes > MANY_CLASSES {
            true => 64,
            false => 16,
        })
    }
}

impl Default for BagArgs {
    /// Returns the defaults of the command line.
    fn default() -> Self {
        Self {
            max_ngrams: None,
            analysis: AnalysisArgs::default(),
            maxn: None,
            minn: None,
            bucket: None,
            min_df: 2,
            vocab_size: None,
            emb_size: None,
            dropout: 0.0,
            epochs: 5,
            learning_rate: 0.05,
            schedule: Schedule::Linear,
            class_weight: ClassWeightArgs::default(),
            no_refit: false,
        }
    }
}

impl BagArgs {
    /// Checks the arguments. The parser has checked the ranges.
    ///
    /// # Errors
    ///
    /// A value is not valid, or excludes another one.
    pub fn check(self) -> Result<BagParams, Error> {
        let subwords = self.subwords()?;
        let analysis = self.analysis.check(&AnalysisDefaults {
            max_ngrams: self.max_ngrams,
            max_word_ngrams: 2,
            min_word_length: MIN_WORD_LENGTH,
            of_words: subwords.iter().map(|_| "--maxn").collect(),
        })?;
        Ok(BagParams {
            emb_size: self.emb_size.map(|size| size as usize),
            analysis,
            subwords,
            min_df: self.min_df,
            vocab_size: self.vocab_size.map(|size| size as usize),
            dropout: self.dropout,
            epochs: self.epochs.into(),
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            class_weight: self.class_weight.class_weight,
            refit: !self.no_refit,
        })
    }

    fn subwords(&self) -> Result<Option<Subwords>, Error> {
        let Some(maxn) = self.maxn else {
            return Ok(None);
        };
        let minn = self.minn.unwrap_or(1);
        if minn > maxn {
            let message = format!("expected --minn of at most --maxn, found `{minn}` and `{maxn}`");
            return Err(Error::usage(message).help("lower --minn, or raise --maxn"));
        }
        Ok(Some(Subwords {
            minn: minn.into(),
            maxn: maxn.into(),
            bucket: self.bucket.unwrap_or(BUCKETS),
        }))
    }
}
