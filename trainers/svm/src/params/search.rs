//! Candidates of `--tune`, and the grid of `--search`.

use std::fmt::Display;
use std::str::FromStr;

use clap::ValueEnum;
use diagnostics::{Error, sanitize};
use harness::range::{integer, number};

use super::{C_RANGE, MAX_TRIALS, NGRAMS_RANGE, SvmParams, Weighting};
use crate::tf_idf::TermFrequency;

/// Hyperparameters that `--tune` chooses.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Candidate {
    pub(crate) max_ngrams: usize,
    pub(crate) weighting: Weighting,
    #[serde(rename = "term_frequency")]
    pub(crate) tf: TermFrequency,
    pub(crate) c: f64,
}

impl Candidate {
    /// Returns the values of the command line, for this number of training rows.
    pub(crate) fn from_params(params: &SvmParams, rows: usize) -> Self {
        Self {
            max_ngrams: params.analysis.max_ngrams,
            weighting: params.weighting,
            tf: params.tf,
            c: params.regularisation.c(rows),
        }
    }

    /// Returns the weighting, with its term frequency if that is sublinear.
    pub(crate) fn weights(&self) -> &'static str {
        match (self.weighting, self.tf) {
            (Weighting::Tfidf, TermFrequency::Sublinear) => "tfidf, sublinear tf",
            (weighting, _) => weighting.name(),
        }
    }
}

/// Options of `--search`.
const NAMES: &str = "c, max-ngrams, weighting or sublinear-tf";

/// A value of `--search`: an option and its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SearchArg {
    C(Vec<f64>),
    MaxNgrams(Vec<usize>),
    Weighting(Vec<Weighting>),
    SublinearTf(Vec<bool>),
}

impl FromStr for SearchArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, list)) = text.split_once('=') else {
            return Err("expected NAME=VALUE,VALUE, such as c=0.1,1,10".to_owned());
        };
        let name = name.trim_start_matches("--").replace('_', "-");
        let weighting = |value: &str| {
            let error = |_| "expected tfidf or nbsvm";
            <Weighting as ValueEnum>::from_str(value, false).map_err(error)
        };
        let boolean = |value: &str| value.parse::<bool>().map_err(|_| "expected true or false");
        match name.as_str() {
            "c" | "C" => values(list, number(C_RANGE)).map(Self::C),
            "max-ngrams" | "max-ngram" => values(list, integer(NGRAMS_RANGE)).map(Self::MaxNgrams),
            "weighting" => values(list, weighting).map(Self::Weighting),
            "sublinear-tf" => values(list, boolean).map(Self::SublinearTf),
            _ => Err(format!(
                "expected {NAMES} before `=`, found `{}`; other options are the same for all \
                 candidates",
                sanitize(&name)
            )),
        }
    }
}

impl SearchArg {
    fn name(&self) -> &'static str {
        match self {
            Self::C(_) => "c",
            Self::MaxNgrams(_) => "max-ngrams",
            Self::Weighting(_) => "weighting",
            Self::SublinearTf(_) => "sublinear-tf",
        }
    }
}

/// Parses values separated by commas, as the option itself parses one.
fn values<T, E: Display>(
    list: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, String> {
    let value =
        |text: &str| parse(text).map_err(|error| format!("{error}, found `{}`", sanitize(text)));
    list.split(',').map(value).collect()
}

/// The values of `--search`; no values of an option that is not searched.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Grid {
    c: Vec<f64>,
    max_ngrams: Vec<usize>,
    weighting: Vec<Weighting>,
    sublinear_tf: Vec<bool>,
}

impl Grid {
    /// Joins the arguments; `None` without any. Refuses an option that is searched twice, or has a
    /// value of its own too: `given`.
    pub(super) fn new(
        arguments: Vec<SearchArg>,
        given: &[(&str, bool)],
    ) -> Result<Option<Self>, Error> {
        if arguments.is_empty() {
            return Ok(None);
        }
        let mut grid = Self::default();
        for argument in arguments {
            let name = argument.name();
            if given.contains(&(name, true)) {
                let message = format!("expected --{name} or --search {name}, found both");
                return Err(Error::usage(message).help("leave out one of them"));
            }
            if grid.has(name) {
                let message = format!("expected one --search of `{name}`, found several");
                let help = format!("write all values in one: --search {name}=VALUE,VALUE");
                return Err(Error::usage(message).help(help));
            }
            match argument {
                SearchArg::C(values) => grid.c = values,
                SearchArg::MaxNgrams(values) => grid.max_ngrams = values,
                SearchArg::Weighting(values) => grid.weighting = values,
                SearchArg::SublinearTf(values) => grid.sublinear_tf = values,
            }
        }
        Ok(Some(grid))
    }

    fn has(&self, name: &str) -> bool {
        match name {
            "c" => !self.c.is_empty(),
            "max-ngrams" => !self.max_ngrams.is_empty(),
            "weighting" => !self.weighting.is_empty(),
            _ => !self.sublinear_tf.is_empty(),
        }
    }

    /// Longest n-grams of a candidate, if they are searched.
    pub(super) fn max_ngrams(&self) -> Option<usize> {
        self.max_ngrams.iter().copied().max()
    }

    /// Refuses n-grams of a candidate that are shorter than the shortest.
    pub(super) fn check_ngrams(&self, min_ngrams: usize) -> Result<(), Error> {
        match self.max_ngrams.iter().find(|&&length| length < min_ngrams) {
            Some(length) => Err(Error::usage(format!(
                "expected --search max-ngrams of at least --min-ngrams, found `{length}` and \
                 `{min_ngrams}`"
            ))
            .help("lower --min-ngrams, or leave out the shorter --search max-ngrams")),
            None => Ok(()),
        }
    }

    /// Returns all combinations, without repetitions; `base` has the values that are not searched.
    pub(crate) fn candidates(&self, base: Candidate) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for weighting in or(&self.weighting, base.weighting) {
            for sublinear in or(&self.sublinear_tf, base.tf == TermFrequency::Sublinear) {
                let tf = match weighting {
                    Weighting::Nbsvm => TermFrequency::Binary,
                    Weighting::Tfidf if sublinear => TermFrequency::Sublinear,
                    Weighting::Tfidf => TermFrequency::Raw,
                };
                for max_ngrams in or(&self.max_ngrams, base.max_ngrams) {
                    for c in or(&self.c, base.c) {
                        candidates.push(Candidate {
                            max_ngrams,
                            weighting,
                            tf,
                            c,
                        });
                    }
                }
            }
        }
        let mut seen = Vec::new();
        candidates.retain(|candidate| {
            let is_new = !seen.contains(candidate);
            seen.push(*candidate);
            is_new
        });
        candidates
    }

    /// Refuses more candidates than `trials`, and a term frequency that no candidate has.
    pub(super) fn check(&self, base: Candidate, trials: usize) -> Result<(), Error> {
        let is_sublinear = base.tf == TermFrequency::Sublinear || !self.sublinear_tf.is_empty();
        let is_tfidf = |weighting: &Weighting| *weighting == Weighting::Tfidf;
        if is_sublinear && !or(&self.weighting, base.weighting).iter().any(is_tfidf) {
            let message = "expected the weighting tfidf with sublinear-tf, found nbsvm only";
            return Err(Error::usage(message)
                .help("leave out sublinear-tf, or add --search weighting=tfidf,nbsvm"));
        }
        // Before the product is made: it may be huge.
        let sizes = [
            self.c.len(),
            self.max_ngrams.len(),
            self.weighting.len(),
            self.sublinear_tf.len(),
        ];
        let most = sizes
            .into_iter()
            .fold(1_usize, |all, one| all.saturating_mul(one.max(1)));
        let found = match most <= MAX_PRODUCT {
            true => self.candidates(base).len(),
            false => most,
        };
        if found <= trials {
            return Ok(());
        }
        let message = format!(
            "expected at most `{trials}` candidates (--tune-trials), found `{found}` in --search"
        );
        Err(
            Error::usage(message).help(match found <= MAX_TRIALS as usize {
                true => format!("pass --tune-trials {found}, or fewer values"),
                false => format!("pass fewer values: --tune-trials is at most {MAX_TRIALS}"),
            }),
        )
    }
}

/// Most combinations that are compared with each other.
const MAX_PRODUCT: usize = 1000;

/// Returns the searched values, or the only one.
fn or<T: Copy>(searched: &[T], only: T) -> Vec<T> {
    match searched {
        [] => vec![only],
        _ => searched.to_vec(),
    }
}
