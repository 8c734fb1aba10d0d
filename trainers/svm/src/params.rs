//! What can be typed, and what becomes of it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::{ArgGroup, Args, ValueEnum};
use diagnostics::Error;

use crate::solver::Loss;
use crate::tf_idf::TermFrequency;
use text::english;
use text::features::{FeatureParams, Frequency};

/// Objective values within 0.1 % of the optimum.
const TOLERANCE: f64 = 1e-3;
/// measured: SGDClassifier(loss="hinge", alpha=1e-4) of scikit-learn 1.9 ends with an objective 0.27 to 0.30 % above the
/// optimum on IMDB, for unigrams and for (1,2)-grams, seeds 0 to 2.
const SGD_TOLERANCE: f64 = 3e-3;

/// Values of C that the solvers can work with: they count in single precision, to 1e38, and need room for the weights
/// of rows.
pub(crate) const C_RANGE: RangeInclusive<f64> = 1e-30..=1e30;

/// The SVM's own arguments; names and meanings are scikit-learn's where it has them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Features")]
#[command(group(ArgGroup::new("regularisation").args(["alpha", "c"])))]
pub struct SvmArgs {
    /// Longest n-gram, in words; --tune looks at 1, 2 and the longest, which is at least 3
    #[arg(long, value_name = "N", default_value_t = 2, alias = "max-ngram", value_parser = clap::value_parser!(u8).range(1..=8))]
    max_ngrams: u8,
    /// Leave out terms in fewer training rows: a count, or a share below 1
    #[arg(long, value_name = "N", default_value = "2")]
    min_df: FrequencyArg,
    /// Leave out terms in more training rows: a count, or a share up to 1.0
    #[arg(long, value_name = "N", default_value = "1.0")]
    max_df: FrequencyArg,
    /// Keep only so many terms, the most frequent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_features: Option<u32>,
    /// Words to leave out: english (scikit-learn's list), none, or a file with one word per line
    #[arg(
        long,
        value_name = "LIST",
        default_value = "none",
        alias = "stop-words"
    )]
    stopwords: String,
    /// Shortest word, in characters: 2 is scikit-learn's default token pattern; 1 keeps `I`, and the `t` of `don't`
    /// [default: 2; 1 with --tune]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    min_word_length: Option<u8>,
    /// Use 1 + ln(count) for the count of a term in a row [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    sublinear_tf: Option<bool>,
    /// Weight of a term: its inverse document frequency, or its naive Bayes log-count ratio (Wang and Manning 2012)
    /// [default: tfidf]
    #[arg(long, value_enum)]
    weighting: Option<Weighting>,

    /// What a misclassified row costs [default: squared_hinge; rbf and poly know hinge alone]
    #[arg(long, value_enum, help_heading = "Solver")]
    loss: Option<LossArg>,
    /// Regularisation as in SGDClassifier; C is 1 / (alpha x training rows)
    #[arg(
        long,
        value_name = "A",
        alias = "learning-rate",
        help_heading = "Solver"
    )]
    alpha: Option<f64>,
    /// Regularisation as in LinearSVC: weight of the losses [default: 1]
    #[arg(long = "c", alias = "C", value_name = "C", help_heading = "Solver")]
    c: Option<f64>,
    /// Give every class the same total weight
    #[arg(long, value_enum, default_value_t = ClassWeight::None, help_heading = "Solver")]
    class_weight: ClassWeight,
    /// Relative duality gap at which the solver stops; for rbf and poly, violation of the optimality conditions
    /// [default: 0.001; 0.003 with --alpha, which is how far from the optimum SGDClassifier stops]
    #[arg(long, value_name = "GAP", help_heading = "Solver")]
    tol: Option<f64>,
    /// Passes over the rows after which the linear solver stops in any case [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Solver")]
    max_iter: Option<u32>,

    /// Choose C, n-grams and weighting by cross-validation on the training rows
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "Tuning")]
    tune: bool,
    /// Most settings that --tune tries
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "Tuning")]
    tune_trials: u32,
    /// Folds of every cross-validation
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=20), help_heading = "Tuning")]
    folds: u8,
    /// Turn decisions into probabilities (Platt scaling): on the validation rows if there are any (auto), by
    /// cross-validation (cv), or not
    #[arg(long, value_enum, default_value_t = Calibration::Auto, help_heading = "Tuning")]
    calibration: Calibration,

    /// Kernel; rbf and poly are for small data (linfa-svm, on the leading singular vectors)
    #[arg(long, value_enum, default_value_t = KernelArg::Linear, help_heading = "Kernel")]
    kernel: KernelArg,
    /// Width of the rbf kernel exp(-gamma |x - y|²), scale of the polynomial one (gamma x·y + coef0)^degree [default: 1]
    #[arg(long, value_name = "G", help_heading = "Kernel")]
    gamma: Option<f64>,
    /// Degree of the polynomial kernel [default: 3]
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u8).range(1..=10), help_heading = "Kernel")]
    degree: Option<u8>,
    /// Constant of the polynomial kernel [default: 1]
    #[arg(long, value_name = "R", help_heading = "Kernel")]
    coef0: Option<f64>,
    /// Singular vectors that stand for the features in a kernel [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Kernel")]
    components: Option<u16>,
}

/// How a term is weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Term frequency times smoothed inverse document frequency.
    Tfidf,
    /// Presence times the log ratio of the classes' counts.
    #[value(alias = "nb", alias = "nb-svm")]
    Nbsvm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LossArg {
    Hinge,
    #[value(name = "squared_hinge", alias = "squared-hinge")]
    SquaredHinge,
    #[value(alias = "log_loss", alias = "log-loss")]
    Log,
}

/// How classes are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClassWeight {
    /// Every row counts the same.
    None,
    /// Every class counts the same: rows / (classes x rows of the class).
    Balanced,
}

/// Where probabilities come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Calibration {
    /// From the validation rows if there are any.
    Auto,
    /// From cross-validation on the training rows.
    Cv,
    /// Nowhere.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KernelArg {
    Linear,
    Rbf,
    Poly,
}

/// A count (`5`) or a share (`0.01`, `1.0`), told apart by the point, as in scikit-learn.
#[derive(Clone, Copy, Debug)]
struct FrequencyArg(Frequency);

impl FromStr for FrequencyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse() {
            return Ok(Self(Frequency::Count(count)));
        }
        match text.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(Frequency::Share(share))),
            _ => Err("expected a whole number of rows, or a share from 0.0 to 1.0".to_owned()),
        }
    }
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

/// Which machine separates the classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Machine {
    /// A hyperplane in the space of the terms.
    Linear,
    /// A hyperplane in a kernel's space, on this many singular vectors.
    Kernel(Kernel, usize),
}

/// C, or what it follows from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Regularisation {
    /// C itself.
    C(f64),
    /// C = 1 / (alpha x training rows).
    Alpha(f64),
}

impl Regularisation {
    /// C for so many training rows.
    pub fn c(self, rows: usize) -> f64 {
        match self {
            Self::C(c) => c,
            Self::Alpha(alpha) => 1.0 / (alpha * rows.max(1) as f64),
        }
    }

    /// Refuses a C for so many training rows that the solvers cannot work with.
    pub(crate) fn check(self, rows: usize) -> Result<(), Error> {
        if C_RANGE.contains(&self.c(rows)) {
            return Ok(());
        }
        let (least, most) = C_RANGE.into_inner();
        let (flag, range, found) = match self {
            Self::C(c) => ("--c", format!("from `{least:e}` to `{most:e}`"), c),
            Self::Alpha(alpha) => {
                let rows = rows.max(1) as f64;
                let (least, most) = (1.0 / (most * rows), 1.0 / (least * rows));
                let range =
                    format!("from `{least:.1e}` to `{most:.1e}` for `{rows}` training rows");
                ("--alpha", range, alpha)
            }
        };
        let message = format!("expected {flag} {range}, found `{found:e}`");
        Err(Error::usage(message).help(format!("choose another {flag}, or leave it out")))
    }
}

/// What `--tune` may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Most settings to try.
    pub trials: usize,
}

/// Checked parameters.
#[derive(Clone, Debug)]
pub struct SvmParams {
    /// Which terms become columns.
    pub features: FeatureParams,
    /// Words to leave out, lower case.
    pub stop_words: Arc<[String]>,
    /// Shortest word, in characters: 1 or 2.
    pub min_word_length: u8,
    /// What a term's count in a row becomes.
    pub tf: TermFrequency,
    /// How terms are weighed.
    pub weighting: Weighting,
    /// The solver's loss.
    pub loss: Loss,
    /// The solver's C.
    pub regularisation: Regularisation,
    /// How classes are weighed.
    pub class_weight: ClassWeight,
    /// The solver's tolerance.
    pub tolerance: f64,
    /// The solver's limit.
    pub max_epochs: u32,
    /// Whether and how to tune.
    pub tuning: Option<Tuning>,
    /// Folds of every cross-validation.
    pub folds: usize,
    /// Where probabilities come from.
    pub calibration: Calibration,
    /// Linear or kernel.
    pub machine: Machine,
}

impl SvmArgs {
    /// Checks what was typed.
    ///
    /// # Errors
    ///
    /// A value is outside of its range, or does not go with another.
    pub fn check(self) -> Result<SvmParams, Error> {
        let regularisation = match (self.alpha, self.c) {
            (Some(alpha), _) => Regularisation::Alpha(positive("alpha", alpha)?),
            (None, c) => {
                let c = Regularisation::C(positive("c", c.unwrap_or(1.0))?);
                // C does not depend on the rows; what follows from alpha is checked when they are known.
                c.check(0)?;
                c
            }
        };
        let tolerance = self.tol.unwrap_or(if self.alpha.is_some() {
            SGD_TOLERANCE
        } else {
            TOLERANCE
        });
        if !(tolerance > 0.0 && tolerance < 1.0) {
            let message = format!("expected --tol between 0 and 1, found `{tolerance}`");
            return Err(Error::usage(message).help("use --tol 0.001, or leave it out"));
        }
        let machine = self.machine()?;
        self.check_combination()?;
        self.check_tuning()?;
        self.check_weighting()?;
        let weighting = self.weighting.unwrap_or(Weighting::Tfidf);
        Ok(SvmParams {
            features: FeatureParams {
                min_df: self.min_df.0,
                max_df: self.max_df.0,
                max_ngrams: self.max_ngrams.into(),
                max_features: self.max_features.map(|n| n as usize),
            },
            stop_words: stop_words(&self.stopwords)?,
            min_word_length: self
                .min_word_length
                .unwrap_or(if self.tune { 1 } else { 2 }),
            tf: match weighting {
                Weighting::Nbsvm => TermFrequency::Binary,
                Weighting::Tfidf if self.sublinear_tf == Some(true) => TermFrequency::Sublinear,
                Weighting::Tfidf => TermFrequency::Raw,
            },
            weighting,
            loss: match self.loss {
                Some(LossArg::Hinge) => Loss::Hinge,
                Some(LossArg::Log) => Loss::Log,
                None if machine != Machine::Linear => Loss::Hinge,
                Some(LossArg::SquaredHinge) | None => Loss::SquaredHinge,
            },
            regularisation,
            class_weight: self.class_weight,
            tolerance,
            max_epochs: self.max_iter.unwrap_or(1000),
            tuning: self.tune.then_some(Tuning {
                trials: self.tune_trials as usize,
            }),
            folds: self.folds.into(),
            calibration: self.calibration,
            machine,
        })
    }

    fn machine(&self) -> Result<Machine, Error> {
        let gamma = positive("gamma", self.gamma.unwrap_or(1.0))?;
        let kernel = match self.kernel {
            KernelArg::Linear => return Ok(Machine::Linear),
            KernelArg::Rbf => Kernel::Rbf { gamma },
            KernelArg::Poly => {
                let coef0 = self.coef0.unwrap_or(1.0);
                if !coef0.is_finite() {
                    let message =
                        format!("expected --coef0 to be a finite number, found `{coef0}`");
                    return Err(
                        Error::usage(message).help("choose another --coef0, or leave it out")
                    );
                }
                Kernel::Poly {
                    gamma,
                    coef0,
                    degree: self.degree.unwrap_or(3),
                }
            }
        };
        Ok(Machine::Kernel(
            kernel,
            self.components.unwrap_or(100).into(),
        ))
    }

    /// Refuses what `--tune` would overrule.
    fn check_tuning(&self) -> Result<(), Error> {
        let typed = [
            ("--c", self.c.is_some()),
            ("--alpha", self.alpha.is_some()),
            ("--weighting", self.weighting.is_some()),
            ("--sublinear-tf", self.sublinear_tf.is_some()),
        ];
        match typed.into_iter().find(|&(_, typed)| self.tune && typed) {
            None => Ok(()),
            Some((name, _)) => Err(Error::usage(format!(
                    "expected --tune without {name}, found both: --tune chooses C, n-grams and weighting itself"
                )).help(format!("leave out --tune, or {name}"))),
        }
    }

    /// Refuses what NB-SVM would not look at: it counts whether a term is there, not how often.
    fn check_weighting(&self) -> Result<(), Error> {
        if self.weighting == Some(Weighting::Nbsvm) && self.sublinear_tf == Some(true) {
            return Err(Error::usage(
                "expected --weighting tfidf with --sublinear-tf, found --weighting `nbsvm`",
            )
            .help("leave out --sublinear-tf, or choose --weighting tfidf"));
        }
        Ok(())
    }

    /// Refuses what the chosen kernel would not look at.
    fn check_combination(&self) -> Result<(), Error> {
        let kernel = self.kernel;
        let linear = kernel == KernelArg::Linear;
        let typed = [
            // (what, was it typed, does this kernel know it, which do)
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
        match typed
            .into_iter()
            .find(|&(_, typed, known, _)| typed && !known)
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

fn positive(name: &str, value: f64) -> Result<f64, Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    let message = format!("expected --{name} above 0, found `{value}`");
    Err(Error::usage(message).help(format!("choose a positive --{name}, or leave it out")))
}

fn stop_words(list: &str) -> Result<Arc<[String]>, Error> {
    match list {
        "none" | "None" | "" => Ok(Arc::new([])),
        "english" => Ok(english()),
        file => {
            let path = PathBuf::from(file);
            read_stop_words(&path).map_err(|source| {
                let message = format!("cannot read the stop words from `{file}`: {source}");
                Error::usage(message)
                    .help("use --stopwords english, none, or a UTF-8 file with one word per line")
            })
        }
    }
}

fn read_stop_words(path: &Path) -> std::io::Result<Arc<[String]>> {
    let text = std::fs::read_to_string(path)?;
    let words = text.lines().map(|line| line.trim().to_lowercase());
    Ok(words.filter(|word| !word.is_empty()).collect())
}
