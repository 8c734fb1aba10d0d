//! Command line arguments and checked parameters.

mod search;

use std::ops::{Bound, RangeInclusive};

use clap::{ArgGroup, Args, ValueEnum};
use diagnostics::Error;
use harness::features::{Vocabulary, VocabularyArgs};
use harness::range::{above, integer, number};
use harness::{AnalysisArgs, AnalysisDefaults, TextAnalysis};

use crate::solver::Loss;
use crate::tf_idf::TermFrequency;
pub use training::ClassWeight;

pub(crate) use self::search::Candidate;
use self::search::{Grid, SearchArg};

/// Default tolerance: an objective within 0.1 % of the optimum.
const TOLERANCE: f64 = 1e-3;
/// Default tolerance with `--alpha`. measured: SGDClassifier(loss="hinge", alpha=1e-4) of
/// scikit-learn 1.9 ends with an objective 0.27 to 0.30 % above the optimum on IMDB, for unigrams
/// and for (1,2)-grams, seeds 0 to 2.
const SGD_TOLERANCE: f64 = 3e-3;

/// Longest n-grams that `--tune` tries by default. measured on IMDB, naive Bayes weights:
/// out-of-fold macro-F1 0.890, 0.916 and 0.919 for n-grams up to 1, 2 and 3 words; 4 words are not
/// better on the test rows.
const TUNE_NGRAMS: u8 = 3;

/// Range of the tolerance: 0 and 1 are excluded.
const TOLERANCE_RANGE: (Bound<f64>, Bound<f64>) = (Bound::Excluded(0.0), Bound::Excluded(1.0));

/// Range of C. The solvers use single precision, up to 1e38, and multiply C by row weights.
pub(crate) const C_RANGE: RangeInclusive<f64> = 1e-30..=1e30;

/// Range of the n-gram length.
const NGRAMS_RANGE: RangeInclusive<u64> = 1..=8;
/// Most candidates of `--tune`.
const MAX_TRIALS: u64 = 100;

/// Arguments of the SVM; names and meanings are those of scikit-learn where it has them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Features")]
#[command(group(ArgGroup::new("regularisation").args(["alpha", "c"])))]
pub struct SvmArgs {
    /// Maximum n-gram length, in words or characters [default: 2; 3 with --tune or characters]
    ///
    /// --tune tries n-grams of up to 1, 2 and this many words or characters, unless --search is
    /// given.
    #[arg(long, value_name = "N", alias = "max-ngram", value_parser = integer::<u8>(NGRAMS_RANGE))]
    max_ngrams: Option<u8>,
    #[command(flatten)]
    analysis: AnalysisArgs,
    #[command(flatten)]
    vocabulary: VocabularyArgs,
    /// Shortest word, in characters [default: 2; 1 with --tune]
    ///
    /// 2 is the default token pattern of scikit-learn. 1 keeps `I`, and the `t` of `don't`.
    #[arg(long, value_name = "N", value_parser = integer::<u8>(1..=2))]
    min_word_length: Option<u8>,
    /// Use 1 + ln(count) as term frequency, instead of the count
    #[arg(long, action = clap::ArgAction::SetTrue)]
    sublinear_tf: bool,
    /// Weights of the terms [default: tfidf]
    #[arg(long, value_enum)]
    weighting: Option<Weighting>,

    /// Loss function [default: squared_hinge; hinge with --kernel rbf or poly]
    ///
    /// rbf and poly support `hinge` only.
    #[arg(long, value_enum, help_heading = "Solver")]
    loss: Option<LossArg>,
    /// Regularisation strength as in SGDClassifier
    ///
    /// C is 1 / (alpha x training rows).
    #[arg(
        long,
        value_name = "A",
        alias = "learning-rate",
        value_parser = number(above(0.0)),
        help_heading = "Solver"
    )]
    alpha: Option<f64>,
    /// Inverse regularisation strength as in LinearSVC [default: 1]
    #[arg(long = "c", alias = "C", value_name = "C", value_parser = number(C_RANGE), help_heading = "Solver")]
    c: Option<f64>,
    /// Class weights: none, balanced, or a file
    ///
    /// balanced: rows / (classes x rows of the class). With more than two classes, it weighs the
    /// rows of a class only in the problem of this class against the rest, and the rest 1, as in
    /// LinearSVC. A file is a JSON object {"LABEL": WEIGHT}, or CSV with the first line
    /// `label,weight`; labels that it does not have weigh 1.
    #[arg(
        long,
        value_name = "WEIGHTS",
        default_value = "none",
        help_heading = "Solver"
    )]
    class_weight: ClassWeight,
    /// Tolerance of the solver [default: 0.001; 0.003 with --alpha]
    ///
    /// The linear solver stops at this relative duality gap; 0.003 is the distance from the optimum
    /// at which SGDClassifier stops. rbf and poly stop at this violation of the optimality
    /// conditions.
    #[arg(long, value_name = "GAP", value_parser = number(TOLERANCE_RANGE), help_heading = "Solver")]
    tol: Option<f64>,
    /// Maximum passes over the rows, for the linear solver [default: 1000]
    #[arg(long, value_name = "N", value_parser = integer::<u32>(1..=u32::MAX.into()), help_heading = "Solver")]
    max_iter: Option<u32>,

    /// Choose C, n-grams and weighting by cross-validation on the training rows
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = "Tuning")]
    tune: bool,
    /// Maximum number of candidates of --tune
    #[arg(long, value_name = "N", default_value_t = 10, requires = "tune", value_parser = integer::<u32>(1..=MAX_TRIALS), help_heading = "Tuning")]
    tune_trials: u32,
    /// Values that --tune tries instead of its own, such as c=0.1,1,10; may be repeated
    ///
    /// Of c, max-ngrams, weighting and sublinear-tf. All combinations are tried, at most
    /// --tune-trials. Options that are not searched keep their value.
    #[arg(
        long,
        value_name = "NAME=VALUE,VALUE",
        requires = "tune",
        help_heading = "Tuning"
    )]
    search: Vec<SearchArg>,
    /// Number of folds of a cross-validation [default: 3]
    ///
    /// Of --tune and --calibration cv.
    #[arg(long, value_name = "K", value_parser = integer::<u8>(2..=20), help_heading = "Tuning")]
    folds: Option<u8>,
    /// Rows to fit probabilities on (Platt scaling)
    #[arg(long, value_enum, default_value_t = Calibration::Auto, help_heading = "Tuning")]
    calibration: Calibration,
    /// Do not train again on all rows after the validation rows were scored
    ///
    /// By default the model is trained twice: without the rows of --validation-split, which are
    /// scored and calibrate the probabilities, and then on all rows. Rows of --validation are never
    /// trained on.
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = "Tuning")]
    no_refit: bool,

    /// Kernel
    ///
    /// rbf and poly are for small data: linfa-svm trains on the leading singular vectors of the
    /// features.
    #[arg(long, value_enum, default_value_t = KernelArg::Linear, help_heading = "Kernel")]
    kernel: KernelArg,
    /// Coefficient of the rbf and poly kernels [default: 1]
    ///
    /// rbf is exp(-gamma |x - y|²), poly is (gamma x·y + coef0)^degree.
    #[arg(long, value_name = "G", value_parser = number(above(0.0)), help_heading = "Kernel")]
    gamma: Option<f64>,
    /// Degree of the poly kernel [default: 3]
    #[arg(long, value_name = "D", value_parser = integer::<u8>(1..=10), help_heading = "Kernel")]
    degree: Option<u8>,
    /// Constant of the poly kernel [default: 1]
    #[arg(long, value_name = "R", value_parser = number(..), help_heading = "Kernel")]
    coef0: Option<f64>,
    /// Number of singular vectors for the rbf and poly kernels [default: 100]
    #[arg(long, value_name = "N", value_parser = integer::<u16>(1..=1000), help_heading = "Kernel")]
    components: Option<u16>,
}

/// Weights of the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Term frequency times smoothed inverse document frequency.
    Tfidf,
    /// Presence times naive Bayes log-count ratio (Wang and Manning 2012).
    #[value(alias = "nb", alias = "nb-svm")]
    Nbsvm,
}

impl Weighting {
    /// Returns the value of `--weighting`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tfidf => "tfidf",
            Self::Nbsvm => "nbsvm",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LossArg {
    Hinge,
    #[value(name = "squared_hinge", alias = "squared-hinge")]
    SquaredHinge,
    #[value(alias = "log_loss", alias = "log-loss")]
    Log,
}

/// Rows that probabilities are fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Calibration {
    /// Validation rows, if there are any.
    Auto,
    /// Training rows, by cross-validation.
    Cv,
    /// No probabilities.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KernelArg {
    Linear,
    Rbf,
    Poly,
}

/// The kernel of the decision function.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Kernel {
    /// exp(-gamma |x - y|²)
    Rbf {
        /// Width.
        gamma: f64,
    },
    /// (gamma x·y + coef0)^degree
    Poly {
        /// Scale.
        gamma: f64,
        /// Constant.
        coef0: f64,
        /// Degree.
        degree: u8,
    },
}

/// Linear SVM or SVM with a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// Linear SVM on the terms.
    Linear,
    /// Kernel, on this number of singular vectors.
    Kernel(Kernel, usize),
}

/// C, directly or by alpha.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Regularisation {
    /// C.
    C(f64),
    /// C = 1 / (alpha x training rows).
    Alpha(f64),
}

impl Regularisation {
    /// Returns C for this number of training rows.
    pub fn c(self, rows: usize) -> f64 {
        match self {
            Self::C(c) => c,
            Self::Alpha(alpha) => 1.0 / (alpha * rows.max(1) as f64),
        }
    }

    /// Refuses a C outside of [`C_RANGE`] for this number of training rows.
    pub(crate) fn check(self, rows: usize) -> Result<(), Error> {
        if C_RANGE.contains(&self.c(rows)) {
            return Ok(());
        }
        let (min, max) = C_RANGE.into_inner();
        let (flag, range, found) = match self {
            Self::C(c) => ("--c", format!("from `{min:e}` to `{max:e}`"), c),
            Self::Alpha(alpha) => {
                let rows = rows.max(1) as f64;
                let (min, max) = (1.0 / (max * rows), 1.0 / (min * rows));
                let range = format!("from `{min:.1e}` to `{max:.1e}` for `{rows}` training rows");
                ("--alpha", range, alpha)
            }
        };
        let message = format!("expected {flag} {range}, found `{found:e}`");
        Err(Error::usage(message).help(format!("choose another {flag}, or leave it out")))
    }
}

/// Limits of `--tune`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Maximum number of candidates.
    pub trials: usize,
    /// `None` for the built-in candidates.
    pub(crate) grid: Option<Grid>,
}

/// Checked parameters.
#[derive(Clone, Debug)]
pub struct SvmParams {
    /// Settings by which the terms of a text are found.
    pub analysis: TextAnalysis,
    /// Selection of the terms.
    pub vocabulary: Vocabulary,
    /// Function of the count of a term in a row.
    pub tf: TermFrequency,
    /// Weights of the terms.
    pub weighting: Weighting,
    /// Loss function.
    pub loss: Loss,
    /// Regularisation of the solver.
    pub regularisation: Regularisation,
    /// Class weights.
    pub class_weight: ClassWeight,
    /// Tolerance of the solver.
    pub tolerance: f64,
    /// Maximum passes over the rows.
    pub max_epochs: u32,
    /// `None` without `--tune`.
    pub tuning: Option<Tuning>,
    /// Number of folds of a cross-validation.
    pub folds: usize,
    /// Rows that probabilities are fitted on.
    pub calibration: Calibration,
    /// True if the saved model is trained on the rows that were split off for validation too.
    pub refit: bool,
    /// Linear or kernel.
    pub algorithm: Algorithm,
}

impl SvmParams {
    /// Refuses a grid with too many candidates.
    fn check_grid(&self) -> Result<(), Error> {
        match &self.tuning {
            Some(Tuning {
                trials,
                grid: Some(grid),
            }) => grid.check(Candidate::from_params(self, 1), *trials),
            _ => Ok(()),
        }
    }
}

impl SvmArgs {
    /// Checks the arguments.
    ///
    /// # Errors
    ///
    /// A value is out of range, or excludes another one.
    pub fn check(self) -> Result<SvmParams, Error> {
        let regularisation = match (self.alpha, self.c) {
            // C from alpha depends on the number of rows, so it is checked when that is known.
            (Some(alpha), _) => Regularisation::Alpha(alpha),
            (None, c) => Regularisation::C(c.unwrap_or(1.0)),
        };
        let tolerance = self.tol.unwrap_or(if self.alpha.is_some() {
            SGD_TOLERANCE
        } else {
            TOLERANCE
        });
        let algorithm = self.algorithm();
        self.check_combination()?;
        self.check_tuning()?;
        self.check_weighting()?;
        let given = [
            ("c", self.c.is_some()),
            ("max-ngrams", self.max_ngrams.is_some()),
            ("weighting", self.weighting.is_some()),
            ("sublinear-tf", self.sublinear_tf),
        ];
        let grid = Grid::new(self.search.clone(), &given)?;
        let vocabulary = self.vocabulary.check(self.analysis.lowercase())?;
        let analysis = self.analysis(&vocabulary, grid.as_ref())?;
        let weighting = self.weighting.unwrap_or(Weighting::Tfidf);
        let params = SvmParams {
            analysis,
            vocabulary,
            tf: match weighting {
                Weighting::Nbsvm => TermFrequency::Binary,
                Weighting::Tfidf if self.sublinear_tf => TermFrequency::Sublinear,
                Weighting::Tfidf => TermFrequency::Raw,
            },
            weighting,
            loss: match self.loss {
                Some(LossArg::Hinge) => Loss::Hinge,
                Some(LossArg::Log) => Loss::Log,
                None if algorithm != Algorithm::Linear => Loss::Hinge,
                Some(LossArg::SquaredHinge) | None => Loss::SquaredHinge,
            },
            regularisation,
            class_weight: self.class_weight,
            tolerance,
            max_epochs: self.max_iter.unwrap_or(1000),
            tuning: self.tune.then_some(Tuning {
                trials: self.tune_trials as usize,
                grid,
            }),
            folds: self.folds.unwrap_or(3).into(),
            calibration: self.calibration,
            refit: !self.no_refit,
            algorithm,
        };
        params.check_grid()?;
        Ok(params)
    }

    fn analysis(
        &self,
        vocabulary: &Vocabulary,
        grid: Option<&Grid>,
    ) -> Result<TextAnalysis, Error> {
        let (max_word_ngrams, shortest) = if self.tune { (TUNE_NGRAMS, 1) } else { (2, 2) };
        if let Some(grid) = grid {
            grid.check_ngrams(self.analysis.min_ngrams().into())?;
        }
        let searched = grid.and_then(Grid::max_ngrams);
        let searched = searched.and_then(|length| u8::try_from(length).ok());
        self.analysis.check(&AnalysisDefaults {
            max_ngrams: searched.or(self.max_ngrams),
            max_word_ngrams,
            min_word_length: self.min_word_length.unwrap_or(shortest),
            of_words: vocabulary.options_of_words(self.min_word_length),
        })
    }

    fn algorithm(&self) -> Algorithm {
        let gamma = self.gamma.unwrap_or(1.0);
        let kernel = match self.kernel {
            KernelArg::Linear => return Algorithm::Linear,
            KernelArg::Rbf => Kernel::Rbf { gamma },
            KernelArg::Poly => Kernel::Poly {
                gamma,
                coef0: self.coef0.unwrap_or(1.0),
                degree: self.degree.unwrap_or(3),
            },
        };
        Algorithm::Kernel(kernel, self.components.unwrap_or(100).into())
    }

    /// Refuses arguments that `--tune` would override, and folds without a cross-validation.
    fn check_tuning(&self) -> Result<(), Error> {
        if self.folds.is_some() && !self.tune && self.calibration != Calibration::Cv {
            return Err(Error::usage(
                "expected --tune or --calibration cv with --folds, found neither",
            )
            .help("leave out --folds, or add --tune or --calibration cv"));
        }
        let given = [
            ("--c", self.c.is_some()),
            ("--alpha", self.alpha.is_some()),
            ("--weighting", self.weighting.is_some()),
            ("--sublinear-tf", self.sublinear_tf),
        ];
        // With --search, the values that are not searched.
        let is_fixed = |name: &str| !self.search.is_empty() && name != "--alpha";
        let is_refused = |&(name, given): &(&str, bool)| self.tune && given && !is_fixed(name);
        match given.into_iter().find(is_refused) {
            None => Ok(()),
            Some((name, _)) => Err(Error::usage(format!(
                    "expected --tune without {name}, found both: --tune chooses C, n-grams and weighting itself"
                )).help(format!("leave out --tune, or {name}"))),
        }
    }

    /// Refuses arguments that NB-SVM ignores: its term frequency is binary.
    fn check_weighting(&self) -> Result<(), Error> {
        if self.weighting == Some(Weighting::Nbsvm) && self.sublinear_tf {
            return Err(Error::usage(
                "expected --weighting tfidf with --sublinear-tf, found --weighting `nbsvm`",
            )
            .help("leave out --sublinear-tf, or choose --weighting tfidf"));
        }
        Ok(())
    }

    /// Refuses arguments that the kernel ignores.
    fn check_combination(&self) -> Result<(), Error> {
        let kernel = self.kernel;
        let linear = kernel == KernelArg::Linear;
        let given = [
            // (argument, is given, supported by this kernel, kernels that support it)
            ("--gamma", self.gamma.is_some(), !linear, "rbf or poly"),
            (
                "--components",
                self.components.is_some(),
                !linear,
                "rbf or poly",
            ),
            (
                "--degree",
                self.degree.is_some(),
                kernel == KernelArg::Poly,
                "poly",
            ),
            (
                "--coef0",
                self.coef0.is_some(),
                kernel == KernelArg::Poly,
                "poly",
            ),
            ("--tune", self.tune, linear, "linear"),
            ("--max-iter", self.max_iter.is_some(), linear, "linear"),
            (
                "--weighting nbsvm",
                self.weighting == Some(Weighting::Nbsvm),
                linear,
                "linear",
            ),
            (
                "--loss squared_hinge",
                self.loss == Some(LossArg::SquaredHinge),
                linear,
                "linear",
            ),
            (
                "--loss log",
                self.loss == Some(LossArg::Log),
                linear,
                "linear",
            ),
        ];
        match given
            .into_iter()
            .find(|&(_, given, supported, _)| given && !supported)
        {
            None => Ok(()),
            Some((name, _, _, kernels)) => {
                let found = kernel
                    .to_possible_value()
                    .map_or(String::new(), |value| value.get_name().to_owned());
                let message =
                    format!("expected --kernel {kernels} with {name}, found --kernel `{found}`");
                Err(Error::usage(message)
                    .help(format!("leave out {name}, or choose --kernel {kernels}")))
            }
        }
    }
}
