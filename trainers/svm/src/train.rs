//! The training run, from the data set to the model.

use std::path::Path;

use dataset::{RowTable, Split};
use diagnostics::{Error, counted, sanitize};
use evaluation::metrics::Scores;
use harness::Trained;
use harness::trainer::SplitScores;
use serde_json::{Map, Value, json};
use training::Run;

use crate::calibrate::Platt;
use crate::cross_validate::{Folds, search, take_ngrams};
use crate::kernel::{self, MemoryBudget};
use crate::model::{Classifier, FeatureConfig, SvmModel, scores, select};
use crate::one_vs_rest::{self, Candidate, LabelledRows, OneVsRest, outputs};
use crate::params::{Algorithm, Calibration, Kernel, SvmParams};
use text::TokenizedRows;
use text::features::{Counts, FitError, LazyLookup, fit};

/// Longest n-grams that `--tune` tries by default. measured on IMDB, naive Bayes weights:
/// out-of-fold macro-F1 0.890, 0.916 and 0.919 for n-grams up to 1, 2 and 3 words; 4 words are not
/// better on the test rows.
const TUNE_NGRAMS: usize = 3;

pub(crate) fn train(
    params: &SvmParams,
    rows: &RowTable,
    shards: Vec<TokenizedRows>,
    run: &mut Run,
) -> Result<Trained<SvmModel>, Error> {
    let mut params = params.clone();
    if params.tuning.is_some() {
        params.features.max_ngrams = params.features.max_ngrams.max(TUNE_NGRAMS);
    }
    let params = &params;
    let train: Vec<u32> = rows.of(Split::Train);
    params.regularisation.check(train.len())?;
    rows.check_classes()?;
    if let Algorithm::Kernel(kernel, _) = params.algorithm {
        MemoryBudget::available(Path::new("/")).check(train.len(), kernel.name())?;
    }
    let counted: Vec<bool> = rows
        .splits
        .iter()
        .map(|&split| split == Split::Train)
        .collect();
    let order = rows
        .order
        .iter()
        .map(|row| (row.encoder as usize, row.index as usize));
    let counts = fit(shards, order, &counted, &params.features)
        .map_err(|error| vocabulary_error(error, params, train.len()))?;
    run.progress(&format!(
        "{} terms in {} training rows",
        counts.terms.len(),
        train.len()
    ));
    if run.stopped() {
        return Err(Error::stopped());
    }
    let (labels, classes) = (rows.labels.as_slice(), rows.classes.len());
    let mut details = Map::new();
    let mut candidate = Candidate::from_params(params, train.len());
    let mut out_of_fold = None;
    let data = LabelledRows {
        pattern: &counts.pattern,
        labels,
        classes,
    };
    if let Some(tuning) = params.tuning {
        let folds = Folds::new(rows, &train, params.folds, run);
        let found = search(&folds, &counts, data, &train, tuning, params, run)?;
        candidate = found.best;
        out_of_fold = Some(found.decisions);
        details.insert("trials".to_owned(), json!(found.trials));
    } else if params.calibration == Calibration::Cv && params.algorithm == Algorithm::Linear {
        let folds = Folds::new(rows, &train, params.folds, run);
        out_of_fold = Some(folds.decisions(data, &counts.values, &candidate, params, run)?);
    }
    details.insert("candidate".to_owned(), json!(candidate));
    let fit = FinalFit {
        params,
        rows,
        train: &train,
        candidate,
        out_of_fold,
    };
    fit.finish(counts, run, details)
}

fn vocabulary_error(error: FitError, params: &SvmParams, rows: usize) -> Error {
    match error {
        FitError::NoTerms => no_terms(params, rows),
        FitError::NoWords => no_words(error, params),
        FitError::TooManyTokens(_) => Error::new(error.to_string())
            .help("give fewer rows, or use --max-ngrams 1 without --tune"),
    }
}

/// Names the option that leaves no terms, for rows that have words.
fn no_terms(params: &SvmParams, rows: usize) -> Error {
    let [min_df, max_df] = [params.features.min_df, params.features.max_df].map(|df| df.of(rows));
    let (min_df, max_df) = (min_df.ceil().max(1.0), max_df.floor());
    let has_max = max_df < rows as f64;
    if has_max && min_df > max_df {
        let message = format!(
            "expected --min-df of at most --max-df, found `{min_df}` and `{max_df}` of the `{rows}` \
             training rows"
        );
        return Error::new(message).help("lower --min-df, or raise --max-df");
    }
    let at_most = match has_max {
        true => format!(" and at most `{max_df}`"),
        false => String::new(),
    };
    let message = format!(
        "expected terms in at least `{min_df}`{at_most} of the `{rows}` training rows, found none"
    );
    Error::new(message).help(match (min_df > 1.0, has_max) {
        (true, true) => "lower --min-df, or raise --max-df",
        (true, false) => "lower --min-df, or check that the text column is the right one",
        (false, _) => "raise --max-df",
    })
}

/// Names the options that leave no words.
fn no_words(error: FitError, params: &SvmParams) -> Error {
    let mut help = Vec::new();
    if !params.stop_words.is_empty() {
        help.push("pass --stopwords none if all words are stop words");
    }
    if params.min_word_length > 1 {
        help.push("pass --min-word-length 1 if the words have one character");
    }
    help.push("words are letters and digits, not emoji or punctuation; check --text-column");
    let error = Error::new(error.to_string());
    help.into_iter().fold(error, |error, help| error.help(help))
}

/// Trains and scores the final model, after the hyperparameters have been chosen.
struct FinalFit<'a> {
    params: &'a SvmParams,
    rows: &'a RowTable,
    train: &'a [u32],
    candidate: Candidate,
    /// Out-of-fold decision values, if cross-validation was done. Shape: (rows, outputs).
    out_of_fold: Option<Vec<f32>>,
}

/// A classifier on all columns of the matrix.
struct FittedModel {
    classifier: Classifier,
    /// Shape: (1 or outputs, columns).
    scale: Vec<Vec<f32>>,
    /// Decision values of all rows. Shape: (rows, outputs).
    decisions: Vec<f32>,
}

impl FinalFit<'_> {
    fn finish(
        mut self,
        mut counts: Counts,
        run: &mut Run,
        mut details: Map<String, Value>,
    ) -> Result<Trained<SvmModel>, Error> {
        let fitted = match self.params.algorithm {
            Algorithm::Kernel(kernel, components) => {
                self.fit_kernel((kernel, components), &counts, run, &mut details)?
            }
            Algorithm::Linear => self.fit_linear(&mut counts, run, &mut details)?,
        };
        fitted.classifier.check_finite(&self.rows.classes)?;
        let max_ngrams = self.candidate.max_ngrams;
        let Counts {
            terms,
            column_of_term,
            length,
            ..
        } = &counts;
        let kept: Vec<usize> = (0..terms.len())
            .filter(|&term| usize::from(length[column_of_term[term] as usize]) <= max_ngrams)
            .collect();
        let columns: Vec<u32> = kept.iter().map(|&term| column_of_term[term]).collect();
        let platt = self.platt(&fitted.decisions, run);
        let scores = self.scores(&fitted.decisions, &platt);
        let model = SvmModel {
            classes: self.rows.classes.clone(),
            terms: terms.subset(&kept),
            features: FeatureConfig {
                max_ngrams,
                min_word_length: self.params.min_word_length,
                stop_words: self.params.stop_words.to_vec(),
                term_frequency: self.candidate.tf,
                weighting: self.candidate.weighting,
            },
            scale: fitted
                .scale
                .iter()
                .map(|scale| select(scale, &columns))
                .collect(),
            classifier: fitted.classifier.select_columns(&columns),
            platt,
            lookup: LazyLookup::default(),
        };
        Ok(Trained {
            model,
            scores,
            details,
            error: None,
        })
    }

    fn fit_kernel(
        &mut self,
        (kernel, components): (Kernel, usize),
        counts: &Counts,
        run: &Run,
        details: &mut Map<String, Value>,
    ) -> Result<FittedModel, Error> {
        let context = kernel::TrainContext {
            data: LabelledRows {
                pattern: &counts.pattern,
                labels: &self.rows.labels,
                classes: self.rows.classes.len(),
            },
            candidate: self.candidate,
            params: self.params,
            kernel,
            components,
        };
        let fit = context.train(&counts.values, self.rows, self.train, run)?;
        self.out_of_fold = fit.out_of_fold;
        details.insert("kernel".to_owned(), fit.details);
        Ok(FittedModel {
            classifier: Classifier::Kernel(fit.svm),
            scale: vec![fit.scale],
            decisions: fit.decisions,
        })
    }

    fn fit_linear(
        &self,
        counts: &mut Counts,
        run: &mut Run,
        details: &mut Map<String, Value>,
    ) -> Result<FittedModel, Error> {
        let everything: Vec<u32> = (0..self.rows.labels.len() as u32).collect();
        let (pattern, values) = take_ngrams(counts, self.candidate.max_ngrams);
        let data = LabelledRows {
            pattern: &pattern,
            labels: &self.rows.labels,
            classes: self.rows.classes.len(),
        };
        let sides = (self.train, everything.as_slice());
        let fit = one_vs_rest::fit(data, values, &self.candidate, sides, self.params, run)?;
        report(&fit, run, details);
        let (coefficients, intercepts) = fit
            .estimators
            .into_iter()
            .map(|svm| (svm.coefficients, svm.intercept))
            .unzip();
        Ok(FittedModel {
            classifier: Classifier::Linear {
                coefficients,
                intercepts,
            },
            scale: fit.scale,
            decisions: fit.decisions,
        })
    }

    fn select(&self, decisions: &[f32], rows: &[u32]) -> (Vec<f32>, Vec<u32>) {
        let outputs = outputs(self.rows.classes.len());
        let picked = rows
            .iter()
            .flat_map(|&row| &decisions[row as usize * outputs..][..outputs]);
        (
            picked.copied().collect(),
            rows.iter()
                .map(|&row| self.rows.labels[row as usize])
                .collect(),
        )
    }

    /// Fits the sigmoids on out-of-fold decision values if there are any, else on the validation
    /// rows.
    fn platt(&self, decisions: &[f32], run: &mut Run) -> Vec<Platt> {
        let validation = self.rows.of(Split::Validation);
        let (decisions, labels) = match (&self.out_of_fold, self.params.calibration) {
            (_, Calibration::None) => return Vec::new(),
            (Some(decisions), _) => self.select(decisions, self.train),
            (None, _) if !validation.is_empty() => self.select(decisions, &validation),
            (None, _) => return Vec::new(),
        };
        // Cross-validation has used all rows there are for calibration.
        let help = if self.out_of_fold.is_some() {
            "give more training rows of every class"
        } else {
            "give more validation rows of every class, or use --calibration cv"
        };
        let Some((platt, unfitted)) = Platt::fit(&decisions, &labels, self.rows.classes.len())
        else {
            run.warn(format!(
                "no probabilities: the calibration rows do not separate the classes\n  help: {help}"
            ));
            return Vec::new();
        };
        if !unfitted.is_empty() {
            const MAX_NAMES: usize = 5;
            let mut names: Vec<String> = unfitted
                .iter()
                .take(MAX_NAMES)
                .map(|&class| format!("`{}`", sanitize(&self.rows.classes[class])))
                .collect();
            let more = unfitted.len().saturating_sub(MAX_NAMES);
            if more > 0 {
                names.push(counted(more as u64, "more label"));
            }
            run.warn(format!(
                "rough probabilities of {}: too few calibration rows, so the slope of the other \
                 classes is used\n  help: {help}",
                names.join(", ")
            ));
        }
        platt
    }

    fn scores(&self, decisions: &[f32], platt: &[Platt]) -> SplitScores {
        // Split that the sigmoids were fitted on.
        let fitted_on = match self.out_of_fold {
            Some(_) => Split::Train,
            None => Split::Validation,
        };
        let of = |split: Split, decisions: &[f32]| {
            let rows = self.rows.of(split);
            let (decisions, labels) = self.select(decisions, &rows);
            let classes = self.rows.classes.len();
            let score = || match split == fitted_on {
                true => cross_fitted(&decisions, &labels, classes, platt),
                false => scores(&decisions, classes, platt),
            };
            (!rows.is_empty()).then(score)
        };
        SplitScores {
            out_of_fold: self.out_of_fold.is_some(),
            train: of(
                Split::Train,
                self.out_of_fold.as_deref().unwrap_or(decisions),
            ),
            validation: of(Split::Validation, decisions),
            test: of(Split::Test, decisions),
        }
    }
}

/// Records how the solvers ended; warns about those that did not converge.
fn report(fit: &OneVsRest, run: &mut Run, details: &mut Map<String, Value>) {
    let outcomes: Vec<_> = fit.estimators.iter().map(|svm| svm.convergence).collect();
    let unconverged = outcomes.iter().filter(|outcome| !outcome.converged).count();
    if unconverged > 0 && !run.stopped() {
        let all = outcomes.len();
        run.warn(format!(
            "the solver reached --max-iter before --tol in {unconverged} of {all} problems\n  \
             help: raise --max-iter, or lower --c"
        ));
    }
    details.insert("solver".to_owned(), json!(outcomes));
}

/// Scores the rows that `platt` was fitted on: sigmoids fitted on one half give the probabilities
/// of the other half, so that log loss and calibration error are not too optimistic.
fn cross_fitted(decisions: &[f32], labels: &[u32], classes: usize, platt: &[Platt]) -> Scores {
    let mut result = scores(decisions, classes, platt);
    let outputs = decisions.len() / labels.len().max(1);
    let half = |parity: usize| (parity..labels.len()).step_by(2);
    for parity in [0, 1] {
        let others: Vec<f32> = half(1 - parity)
            .flat_map(|row| &decisions[row * outputs..][..outputs])
            .copied()
            .collect();
        let other_labels: Vec<u32> = half(1 - parity).map(|row| labels[row]).collect();
        let (Some(probabilities), Some((platt, _))) = (
            &mut result.probability,
            Platt::fit(&others, &other_labels, classes),
        ) else {
            // Too few rows to halve them: keep the sigmoids of all rows.
            continue;
        };
        for row in half(parity) {
            let mut of_row = Vec::with_capacity(classes);
            Platt::probabilities(&platt, &decisions[row * outputs..][..outputs], &mut of_row);
            probabilities[row * classes..][..classes].copy_from_slice(&of_row);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_fitted_rows_are_scored_by_the_other_half() {
        // Even rows are separable, some odd rows are on the wrong side.
        let labels: Vec<u32> = (0..400).map(|row| u32::from(row % 4 < 2)).collect();
        let decisions: Vec<f32> = (0..400)
            .map(|row| {
                let side = if row % 4 < 2 { 1.0 } else { -1.0 };
                let wrong = row % 2 == 1 && row % 5 == 0;
                side * if wrong {
                    -0.5
                } else {
                    0.5 + (row % 7) as f32 / 10.0
                }
            })
            .collect();
        let (platt, _) = Platt::fit(&decisions, &labels, 2).unwrap();
        let own = scores(&decisions, 2, &platt);
        let cross = cross_fitted(&decisions, &labels, 2, &platt);
        assert_eq!(own.decision, cross.decision);
        let (own, cross) = (own.probability.unwrap(), cross.probability.unwrap());
        assert_ne!(own, cross);
        // Odd rows get the sigmoid of the cleaner even rows.
        let sure = |all: &[f32], row: usize| all[row * 2].max(all[row * 2 + 1]);
        assert!(sure(&cross, 1) > sure(&own, 1));
        assert!(sure(&cross, 0) < sure(&own, 0));
    }
}
