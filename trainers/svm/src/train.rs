//! The training run, from the data set to the model.

use std::borrow::Cow;
use std::path::Path;

use dataset::{RowTable, Split};
use diagnostics::{Error, ErrorKind, listed};
use evaluation::metrics::Scores;
use harness::Trained;
use harness::features::count_terms;
use harness::trainer::{SplitScores, Summary};
use serde_json::{Map, Value, json};
use training::Run;

use crate::calibrate::Platt;
use crate::cross_validate::{Folds, search, take_ngrams};
use crate::kernel::{self, MemoryBudget};
use crate::model::{Classifier, FeatureConfig, SvmModel, scores, select};
use crate::one_vs_rest::{self, LabelledRows, OneVsRest, Targets};
use crate::params::{Algorithm, Calibration, Candidate, Kernel, SvmParams};
use text::TokenizedRows;
use text::features::{Counts, CsrPattern, LazyLookup, NgramConfig};

pub(crate) fn train(
    params: &SvmParams,
    rows: &RowTable,
    shards: Vec<TokenizedRows>,
    run: &mut Run,
) -> Result<Trained<SvmModel>, Error> {
    let train: Vec<u32> = rows.of(Split::Train);
    let all = rows.unsplit().filter(|_| params.refit);
    let largest = all.as_ref().unwrap_or(&train).len();
    params.regularisation.check(train.len())?;
    params.regularisation.check(largest)?;
    rows.check_classes()?;
    let params = &SvmParams {
        class_weight: params.class_weight.resolve(&rows.classes, run)?,
        ..params.clone()
    };
    if let Algorithm::Kernel(kernel, _) = params.algorithm {
        refuse_weights(rows, kernel)?;
        MemoryBudget::available(Path::new("/")).check(largest, kernel.name())?;
    }
    params
        .vocabulary
        .warn_stop_words(&params.analysis.analyzer, run);
    let count = || {
        count_terms(
            &params.vocabulary,
            &params.analysis,
            rows,
            shards,
            all.is_some(),
        )
    };
    let counts = run.prepare(count)?;
    run.progress(&format!(
        "{} terms in {largest} training rows",
        counts.terms.len()
    ));
    if run.stopped() {
        return Err(Error::stopped());
    }
    let mut fit = FinalFit {
        params,
        rows,
        train: &train,
        all: all.as_deref(),
        candidate: Candidate::from_params(params, train.len()),
        out_of_fold: None,
        details: Map::new(),
        summary: Summary::default(),
    };
    fit.cross_validate(&counts, run)?;
    fit.finish(counts, run)
}

/// Refuses weights of rows, which linfa-svm does not have.
fn refuse_weights(rows: &RowTable, kernel: Kernel) -> Result<(), Error> {
    if rows.weights.is_empty() {
        return Ok(());
    }
    let message = format!(
        "expected --kernel linear with --weight-column, found --kernel `{}`",
        kernel.name()
    );
    Err(Error::usage(message).help("leave out --weight-column, or choose --kernel linear"))
}

/// Chooses the hyperparameters, trains and scores the final model.
struct FinalFit<'a> {
    params: &'a SvmParams,
    rows: &'a RowTable,
    train: &'a [u32],
    /// Rows that the saved model is trained on, after `train` alone; `None`: on `train`.
    all: Option<&'a [u32]>,
    candidate: Candidate,
    /// Out-of-fold decision values, if cross-validation was done.
    out_of_fold: Option<Decisions>,
    /// Of metrics.json.
    details: Map<String, Value>,
    summary: Summary,
}

/// A classifier on all columns of the matrix.
struct FittedModel {
    classifier: Classifier,
    /// Shape: (1 or outputs, columns).
    scale: Vec<Vec<f32>>,
    /// Decision values: of the rows in `all` by the model that was trained on `train` alone, of the
    /// others by the saved model.
    decisions: Decisions,
    /// True if the saved model was trained on `all`.
    refitted: bool,
}

/// Decision values of some rows.
struct Decisions {
    /// Ascending.
    rows: Vec<u32>,
    /// Shape: (rows, outputs).
    values: Vec<f32>,
}

impl Decisions {
    fn has(&self, row: u32) -> bool {
        self.rows.binary_search(&row).is_ok()
    }

    fn range(&self, row: u32, outputs: usize) -> std::ops::Range<usize> {
        let at = self.rows.partition_point(|&other| other < row) * outputs;
        at..at + outputs
    }

    /// Replaces the values of these rows. Shape of `values`: (rows, outputs).
    fn replace(&mut self, rows: &[u32], values: &[f32], outputs: usize) {
        for (&row, values) in rows.iter().zip(values.chunks_exact(outputs)) {
            let range = self.range(row, outputs);
            self.values[range].copy_from_slice(values);
        }
    }
}

impl<'a> FinalFit<'a> {
    fn of_all_rows(&self, values: Vec<f32>) -> Decisions {
        let rows = (0..self.rows.labels.len() as u32).collect();
        Decisions { rows, values }
    }

    /// Does what needs cross-validation: the search of `--tune`, or the decision values of
    /// `--calibration cv`.
    fn cross_validate(&mut self, counts: &Counts, run: &Run) -> Result<(), Error> {
        let params = self.params;
        let data = self.data(&counts.pattern);
        let (rows, train) = (self.rows, self.train);
        let folds = || Folds::new(rows, train, params.folds, run);
        if let Some(tuning) = &params.tuning {
            let found = search(&folds(), counts, data, train, tuning, params, run)?;
            self.summary.lines.push(found.selected(params.folds));
            self.summary.trials = Some(found.table());
            let trials = json!(found.trials);
            self.details.insert("trials".to_owned(), trials);
            self.candidate = found.best;
            self.out_of_fold = Some(self.of_all_rows(found.decisions));
        } else if params.calibration == Calibration::Cv && params.algorithm == Algorithm::Linear {
            let candidate = &self.candidate;
            let found = folds().decisions(data, &counts.values, candidate, params, run)?;
            self.out_of_fold = found.map(|values| self.of_all_rows(values));
        }
        Ok(())
    }

    fn data<'b>(&self, pattern: &'b CsrPattern) -> LabelledRows<'b>
    where
        'a: 'b,
    {
        LabelledRows {
            pattern,
            targets: self.targets(&self.rows.labels),
            weights: &self.rows.weights,
        }
    }

    /// Returns the classes of rows with these labels.
    fn targets<'b>(&self, labels: &'b [u32]) -> Targets<'b>
    where
        'a: 'b,
    {
        Targets {
            labels,
            classes: self.rows.classes.len(),
            sets: self.rows.label_sets.as_ref(),
        }
    }

    fn finish(mut self, mut counts: Counts, run: &mut Run) -> Result<Trained<SvmModel>, Error> {
        let fitted = match self.params.algorithm {
            Algorithm::Kernel(kernel, components) => {
                self.fit_kernel((kernel, components), &counts, run)?
            }
            Algorithm::Linear => self.fit_linear(&mut counts, run)?,
        };
        fitted.classifier.check_finite(&self.rows.classes)?;
        let candidate = json!(self.candidate);
        self.details.insert("candidate".to_owned(), candidate);
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
        let scores = self.scores(&fitted, &platt, run);
        let model = SvmModel {
            classes: self.rows.classes.clone(),
            multi_label: self.rows.label_sets.is_some(),
            terms: terms.subset(&kept),
            features: FeatureConfig {
                ngrams: NgramConfig {
                    max_ngrams,
                    ..self.params.analysis.ngram_config()
                },
                stop_words: self.params.vocabulary.stop_words.to_vec(),
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
            details: self.details,
            summary: self.summary,
            error: None,
        })
    }

    /// Returns the hyperparameters for a fit on this number of rows.
    fn candidate_for(&self, rows: usize) -> Candidate {
        match self.params.tuning {
            Some(_) => self.candidate,
            None => Candidate::from_params(self.params, rows),
        }
    }

    fn fit_kernel(
        &mut self,
        (kernel, components): (Kernel, usize),
        counts: &Counts,
        run: &mut Run,
    ) -> Result<FittedModel, Error> {
        let data = self.data(&counts.pattern);
        let context = kernel::TrainContext {
            data,
            candidate: self.candidate,
            params: self.params,
            kernel,
            components,
        };
        let mut fit = context.train(&counts.values, self.rows, self.train, run)?;
        let out_of_fold = fit.out_of_fold.take();
        self.out_of_fold = out_of_fold.map(|values| self.of_all_rows(values));
        let mut decisions = self.of_all_rows(std::mem::take(&mut fit.decisions));
        let mut refitted = false;
        if let Some(all) = self.all {
            let test = self.rows.of(Split::Test);
            let candidate = self.candidate_for(all.len());
            let context = kernel::TrainContext {
                candidate,
                ..context
            };
            match context.refit(&counts.values, (all, test.as_slice()), run) {
                Ok(again) => {
                    self.candidate = candidate;
                    decisions.replace(&test, &again.decisions, data.outputs());
                    fit = again;
                    refitted = true;
                }
                Err(error) if error.kind() == ErrorKind::Stopped => self.warn_not_refitted(run),
                Err(error) => return Err(error),
            }
        }
        self.details.insert("kernel".to_owned(), fit.details);
        Ok(FittedModel {
            classifier: Classifier::Kernel(fit.svm),
            scale: vec![fit.scale],
            decisions,
            refitted,
        })
    }

    fn fit_linear(&mut self, counts: &mut Counts, run: &mut Run) -> Result<FittedModel, Error> {
        let scored = self.scored_rows();
        let (pattern, values) = take_ngrams(counts, self.candidate.max_ngrams);
        let data = self.data(&pattern);
        let copy = self.all.map(|_| values.clone());
        let grace = run.with_grace();
        let sides = (self.train, scored.as_slice());
        let mut fit = one_vs_rest::fit(data, values, &self.candidate, sides, self.params, &grace)?;
        self.check_finished(&grace, run)?;
        let mut decisions = Decisions {
            rows: scored,
            values: std::mem::take(&mut fit.decisions),
        };
        let mut refitted = false;
        if let Some((all, values)) = self.all.zip(copy) {
            match self.refit_linear(data, values, all, run)? {
                Some((candidate, test, again)) => {
                    self.candidate = candidate;
                    decisions.replace(&test, &again.decisions, data.outputs());
                    fit = again;
                    refitted = true;
                }
                None => self.warn_not_refitted(run),
            }
        }
        report(&fit, run, &mut self.details);
        Ok(FittedModel {
            classifier: Classifier::Linear {
                coefficients: fit.weights,
                intercepts: fit.intercepts,
            },
            scale: fit.scale,
            decisions,
            refitted,
        })
    }

    /// Returns all rows, or those of other splits if the scores of the training rows would take too
    /// much memory.
    fn scored_rows(&self) -> Vec<u32> {
        let keep_train = SplitScores::keeps_train(self.rows);
        let rows = (0u32..).zip(&self.rows.splits);
        rows.filter(|(_, split)| keep_train || **split != Split::Train)
            .map(|(row, _)| row)
            .collect()
    }

    /// Trains on the rows `all` and scores the test rows, which are returned too; `None` after a
    /// stop.
    fn refit_linear(
        &self,
        data: LabelledRows<'_>,
        values: Vec<f32>,
        all: &[u32],
        run: &Run,
    ) -> Result<Option<(Candidate, Vec<u32>, OneVsRest)>, Error> {
        if run.stopped() {
            return Ok(None);
        }
        run.progress_refit(all.len());
        let test = self.rows.of(Split::Test);
        let candidate = self.candidate_for(all.len());
        let sides = (all, test.as_slice());
        match one_vs_rest::fit(data, values, &candidate, sides, self.params, run) {
            Err(error) if error.kind() != ErrorKind::Stopped => Err(error),
            Ok(fit) if !run.stopped() => Ok(Some((candidate, test, fit))),
            _ => Ok(None),
        }
    }

    /// Warns about a fit that a stop cut off, or refuses it as the model of a search: another
    /// candidate may be better than this one half done.
    fn check_finished(&self, grace: &Run, run: &mut Run) -> Result<(), Error> {
        if !grace.stopped() {
            return Ok(());
        }
        if self.params.tuning.is_some() {
            let reason = "the best candidate so far could not be trained in time";
            return Err(Error::stopped().because(reason));
        }
        run.warn("stopped before the solver converged: the model is unfinished".to_owned());
        Ok(())
    }

    fn warn_not_refitted(&self, run: &mut Run) {
        let (train, all) = (self.train.len(), self.all.map_or(0, <[u32]>::len));
        run.warn(format!(
            "stopped before the model was trained again on all rows: it was trained on {train} of \
             {all} rows"
        ));
    }

    /// Returns the decision values and labels of these rows.
    fn select<'b>(&self, decisions: &'b Decisions, rows: &[u32]) -> (Cow<'b, [f32]>, Vec<u32>) {
        let outputs = self.targets(&self.rows.labels).outputs();
        let labels = rows.iter().map(|&row| self.rows.labels[row as usize]);
        let values = match decisions.rows == rows {
            true => Cow::Borrowed(decisions.values.as_slice()),
            false => {
                let rows = rows.iter();
                let values = rows.flat_map(|&row| &decisions.values[decisions.range(row, outputs)]);
                Cow::Owned(values.copied().collect())
            }
        };
        (values, labels.collect())
    }

    /// Fits the sigmoids on out-of-fold decision values if there are any, else on the validation
    /// rows.
    fn platt(&self, decisions: &Decisions, run: &mut Run) -> Vec<Platt> {
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
        let fitted = match Platt::fit(&decisions, self.targets(&labels), run) {
            Ok(fitted) => fitted,
            Err(_) => {
                run.warn("stopped before calibration: the model has no probabilities".to_owned());
                return Vec::new();
            }
        };
        let Some((platt, unfitted)) = fitted else {
            run.warn(format!(
                "no probabilities: the calibration rows do not separate the classes\n  help: {help}"
            ));
            return Vec::new();
        };
        if !unfitted.is_empty() {
            let names = unfitted.iter().map(|&class| &self.rows.classes[class]);
            run.warn(format!(
                "rough probabilities of {}: too few calibration rows, so the slope of the other \
                 classes is used\n  help: {help}",
                listed(names, 5)
            ));
        }
        platt
    }

    fn scores(&self, fitted: &FittedModel, platt: &[Platt], run: &Run) -> SplitScores {
        let decisions = &fitted.decisions;
        // Split that the sigmoids were fitted on.
        let fitted_on = match self.out_of_fold {
            Some(_) => Split::Train,
            None => Split::Validation,
        };
        let of = |split: Split, decisions: &Decisions| {
            let rows = self.rows.of(split);
            if !rows.first().is_some_and(|&row| decisions.has(row)) {
                return None;
            }
            let (decisions, labels) = self.select(decisions, &rows);
            let classes = (self.rows.classes.len(), self.rows.label_sets.is_some());
            Some(match split == fitted_on {
                true => cross_fitted(&decisions, self.targets(&labels), platt, run),
                false => scores(&decisions, classes, platt),
            })
        };
        SplitScores {
            out_of_fold: self.out_of_fold.is_some(),
            refitted: fitted.refitted,
            train: of(Split::Train, self.out_of_fold.as_ref().unwrap_or(decisions)),
            validation: of(Split::Validation, decisions),
            test: of(Split::Test, decisions),
        }
    }
}

/// Records how the solvers ended; warns about those that did not converge.
fn report(fit: &OneVsRest, run: &mut Run, details: &mut Map<String, Value>) {
    let outcomes = &fit.convergence;
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
fn cross_fitted(decisions: &[f32], targets: Targets<'_>, platt: &[Platt], run: &Run) -> Scores {
    let (labels, classes) = (targets.labels, targets.classes);
    let shape = (classes, targets.sets.is_some());
    let mut result = scores(decisions, shape, platt);
    let outputs = targets.outputs();
    let half = |parity: usize| (parity..labels.len()).step_by(2);
    for parity in [0, 1] {
        let others: Vec<f32> = half(1 - parity)
            .flat_map(|row| &decisions[row * outputs..][..outputs])
            .copied()
            .collect();
        let other_labels: Vec<u32> = half(1 - parity).map(|row| labels[row]).collect();
        let (Some(probabilities), Ok(Some((platt, _)))) = (
            &mut result.probability,
            Platt::fit(
                &others,
                Targets {
                    labels: &other_labels,
                    ..targets
                },
                run,
            ),
        ) else {
            // Too few rows to halve them, or a stop: keep the sigmoids of all rows.
            continue;
        };
        for row in half(parity) {
            let of_row = scores(&decisions[row * outputs..][..outputs], shape, &platt);
            let of_row = of_row.probability.unwrap_or_default();
            probabilities[row * classes..][..classes].copy_from_slice(&of_row);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use training::stop::Stop;

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
        let run = Run::new(1, 0, Stop::default(), Arc::default());
        let targets = Targets {
            labels: &labels,
            classes: 2,
            sets: None,
        };
        let (platt, _) = Platt::fit(&decisions, targets, &run).unwrap().unwrap();
        let own = scores(&decisions, (2, false), &platt);
        let cross = cross_fitted(&decisions, targets, &platt, &run);
        assert_eq!(own.decision, cross.decision);
        let (own, cross) = (own.probability.unwrap(), cross.probability.unwrap());
        assert_ne!(own, cross);
        // Odd rows get the sigmoid of the cleaner even rows.
        let sure = |all: &[f32], row: usize| all[row * 2].max(all[row * 2 + 1]);
        assert!(sure(&cross, 1) > sure(&own, 1));
        assert!(sure(&cross, 0) < sure(&own, 0));
    }
}
