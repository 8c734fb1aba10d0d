//! Command line arguments and checked parameters.

use std::ops::RangeInclusive;

use clap::{ArgAction, Args, ValueEnum};
use diagnostics::Error;
use harness::features::{Vocabulary, VocabularyArgs};
use harness::range::{integer, number};
use harness::{AnalysisArgs, AnalysisDefaults, TextAnalysis};
use text::features::TermFrequency;
use training::{ClassWeight, ClassWeightArgs};

/// Range of alpha. Below 1e-10, the smallest value of scikit-learn without `force_alpha`, it is
/// lost in sums of counts.
const ALPHA_RANGE: RangeInclusive<f64> = 1e-10..=1e6;

/// Arguments of naive Bayes; names and meanings are those of scikit-learn where it has them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Features")]
pub struct NbArgs {
    /// Maximum n-gram length, in words or characters [default: 2; 3 with characters]
    #[arg(long, value_name = "N", alias = "max-ngram", value_parser = integer::<u8>(1..=8))]
    max_ngrams: Option<u8>,
    #[command(flatten)]
    analysis: AnalysisArgs,
    #[command(flatten)]
    vocabulary: VocabularyArgs,
    /// Shortest word, in characters [default: 2]
    ///
    /// 2 is the default token pattern of scikit-learn. 1 keeps `I`, and the `t` of `don't`.
    #[arg(long, value_name = "N", value_parser = integer::<u8>(1..=2))]
    min_word_length: Option<u8>,
    /// Weights of the terms
    #[arg(long, value_enum, default_value_t = Weighting::Counts)]
    weighting: Weighting,
    /// Use 1 as term frequency, instead of the count
    #[arg(long, action = ArgAction::SetTrue, conflicts_with = "sublinear_tf")]
    binary: bool,
    /// Use 1 + ln(count) as term frequency, instead of the count
    #[arg(long, action = ArgAction::SetTrue)]
    sublinear_tf: bool,

    /// Model of the terms of a class
    #[arg(long, value_enum, default_value_t = ModelType::Multinomial, help_heading = "Model")]
    model_type: ModelType,
    /// Additive smoothing: added to the count of every term in every class
    #[arg(long, value_name = "A", default_value_t = 1.0, value_parser = number(ALPHA_RANGE), help_heading = "Model")]
    alpha: f64,
    /// Give all classes the same prior probability, instead of their share of the training rows
    ///
    /// Of --model-type multinomial; complement uses no prior.
    #[arg(long, action = ArgAction::SetTrue, help_heading = "Model")]
    no_fit_prior: bool,
    /// Divide the weights of each class by their sum
    ///
    /// Of --model-type complement: the second normalisation of Rennie et al. 2003.
    #[arg(long, action = ArgAction::SetTrue, help_heading = "Model")]
    norm: bool,
    #[command(flatten)]
    class_weight: ClassWeightArgs,

    /// Rows to fit probabilities on (temperature scaling)
    #[arg(long, value_enum, default_value_t = Calibration::Auto, help_heading = "Training")]
    calibration: Calibration,
    /// Do not train again on all rows after the validation rows were scored
    ///
    /// By default the model is trained twice: without the rows of --validation-split, which are
    /// scored and calibrate the probabilities, and then on all rows. Rows of --validation are never
    /// trained on.
    #[arg(long, action = ArgAction::SetTrue, help_heading = "Training")]
    no_refit: bool,
}

/// Weights of the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Weighting {
    /// Term frequency.
    Counts,
    /// Term frequency times smoothed inverse document frequency, rows of length 1.
    Tfidf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModelType {
    /// Share of each term in the class.
    Multinomial,
    /// Share of each term in all other classes; for classes of different sizes.
    Complement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Calibration {
    /// Validation rows, if there are at least 100.
    Auto,
    /// None: the probabilities of the model, which are close to 0 and 1.
    None,
}

/// Model of the terms of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventModel {
    /// Terms of the class.
    Multinomial {
        /// True if the prior of a class is its share of the training rows.
        fit_prior: bool,
    },
    /// Terms of the other classes, without a prior.
    Complement {
        /// True if the weights of each class are divided by their sum.
        norm: bool,
    },
}

/// Checked parameters.
#[derive(Clone, Debug)]
pub struct NbParams {
    /// Settings by which the terms of a text are found.
    pub(crate) analysis: TextAnalysis,
    /// Selection of the terms.
    pub(crate) vocabulary: Vocabulary,
    /// Function of the count of a term in a row.
    pub(crate) tf: TermFrequency,
    /// Weights of the terms.
    pub(crate) weighting: Weighting,
    /// Model of the terms of a class.
    pub(crate) event_model: EventModel,
    /// Additive smoothing.
    pub(crate) alpha: f64,
    /// Class weights.
    pub(crate) class_weight: ClassWeight,
    /// True if the temperature is fitted on the validation rows.
    pub(crate) calibrate: bool,
    /// True if the saved model is trained on the rows that were split off for validation too.
    pub(crate) refit: bool,
}

impl NbArgs {
    /// Checks the arguments.
    ///
    /// # Errors
    ///
    /// Two values exclude each other, or the file of stop words cannot be read.
    pub fn check(self) -> Result<NbParams, Error> {
        let vocabulary = self.vocabulary.check(self.analysis.lowercase())?;
        let analysis = self.analysis.check(&AnalysisDefaults {
            max_ngrams: self.max_ngrams,
            max_word_ngrams: 2,
            min_word_length: self.min_word_length.unwrap_or(2),
            of_words: vocabulary.options_of_words(self.min_word_length),
        })?;
        Ok(NbParams {
            analysis,
            vocabulary,
            tf: match (self.binary, self.sublinear_tf) {
                (true, _) => TermFrequency::Binary,
                (_, true) => TermFrequency::Sublinear,
                _ => TermFrequency::Raw,
            },
            weighting: self.weighting,
            event_model: self.event_model()?,
            alpha: self.alpha,
            class_weight: self.class_weight.class_weight,
            calibrate: self.calibration == Calibration::Auto,
            refit: !self.no_refit,
        })
    }

    /// Refuses options that the other model ignores.
    fn event_model(&self) -> Result<EventModel, Error> {
        match self.model_type {
            ModelType::Multinomial if self.norm => Err(Error::usage(
                "expected --model-type complement with --norm, found `multinomial`",
            )
            .help("leave out --norm, or choose --model-type complement")),
            ModelType::Complement if self.no_fit_prior => Err(Error::usage(
                "expected --model-type multinomial with --no-fit-prior, found `complement`",
            )
            .help("leave out --no-fit-prior: complement naive Bayes uses no prior")),
            ModelType::Multinomial => Ok(EventModel::Multinomial {
                fit_prior: !self.no_fit_prior,
            }),
            ModelType::Complement => Ok(EventModel::Complement { norm: self.norm }),
        }
    }
}
