//! The training run, from the corpus to the model.

use std::path::Path;
use std::sync::OnceLock;

use dataset::{RowTable, Split};
use diagnostics::Error;
use evaluation::metrics::Scores;
use harness::Trained;
use harness::trainer::SplitScores;
use serde_json::{Map, Value, json};
use training::Run;

use crate::calibrate::Platt;
use crate::checks::check_finite;
use crate::cross_validate::{Folds, search, take_limited};
use crate::kernel::{self, Room};
use crate::machines::{Labelled, Machines, Setting, outputs, train as train_machines};
use crate::model::{Recipe, SvmModel, TrainedMachine, scores};
use crate::params::{Calibration, Machine, SvmParams};
use text::EncodedRows;
use text::features::{Counts, FitError, fit};

/// Longest n-grams that `--tune` looks at. measured on IMDB, naive Bayes weights: macro-F1 out of fold 0.890, 0.916 and
/// 0.919 for n-grams to 1, 2 and 3 words; 4 words are no better on the test rows.
const TUNE_NGRAMS: usize = 3;

pub(crate) fn train(
    params: &SvmParams,
    rows: &RowTable,
    shards: Vec<EncodedRows>,
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
    if let Machine::Kernel(kernel, _) = params.machine {
        Room::look(Path::new("/")).admit(train.len(), kernel.name())?;
    }
    let counted: Vec<bool> = rows
        .splits
        .iter()
        .map(|&part| part == Split::Train)
        .collect();
    let order = rows
        .order
        .iter()
        .map(|row| (row.encoder as usize, row.index as usize));
    let counts = fit(shards, order, &counted, &params.features)
        .map_err(|error| no_vocabulary(error, params, train.len()))?;
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
    let mut setting = Setting::typed(params, train.len());
    let mut out_of_fold = None;
    let data = Labelled {
        pattern: &counts.pattern,
        labels,
        classes,
    };
    if let Some(tuning) = params.tuning {
        let folds = Folds::new(rows, &train, params.folds, run);
        let found = search(&folds, &counts, data, &train, tuning, params, run)?;
        setting = found.best;
        out_of_fold = Some(found.decisions);
        details.insert("trials".to_owned(), json!(found.trials));
    } else if params.calibration == Calibration::Cv && params.machine == Machine::Linear {
        let folds = Folds::new(rows, &train, params.folds, run);
        out_of_fold = Some(folds.decisions(data, &counts.values, &setting, params, run)?);
    }
    details.insert("setting".to_owned(), json!(setting));
    let fitted = Fitted {
        params,
        rows,
        train: &train,
        setting,
        out_of_fold,
    };
    fitted.finish(counts, run, details)
}

fn no_vocabulary(error: FitError, params: &SvmParams, rows: usize) -> Error {
    match error {
        FitError::NoTerms => no_terms(params, rows),
        FitError::TooManyTokens(_) => Error::new(error.to_string())
            .help("give fewer rows, or use --max-ngrams 1 without --tune"),
    }
}

fn no_terms(params: &SvmParams, rows: usize) -> Error {
    let min_df = params.features.min_df.of(rows).ceil().max(1.0);
    let message = format!(
        "expected terms that stand in at least {min_df} of the {rows} training rows, found none"
    );
    Error::new(message)
        .help("lower --min-df, raise --max-df, or check that the text column is the right one")
}

/// All that is known when the setting stands.
struct Fitted<'a> {
    params: &'a SvmParams,
    rows: &'a RowTable,
    train: &'a [u32],
    setting: Setting,
    /// (rows, outputs)
    out_of_fold: Option<Vec<f32>>,
}

impl Fitted<'_> {
    fn finish(
        mut self,
        mut counts: Counts,
        run: &mut Run,
        mut details: Map<String, Value>,
    ) -> Result<Trained<SvmModel>, Error> {
        let classes = self.rows.classes.len();
        let everything: Vec<u32> = (0..self.rows.labels.len() as u32).collect();
        let (machine, scale, decisions) = match self.params.machine {
            Machine::Kernel(kernel, components) => {
                let data = Labelled {
                    pattern: &counts.pattern,
                    labels: &self.rows.labels,
                    classes,
                };
                let job = kernel::Job {
                    data,
                    setting: self.setting,
                    params: self.params,
                    kernel,
                    components,
                };
                let made = job.train(&counts.values, self.rows, self.train, run)?;
                self.out_of_fold = made.out_of_fold;
                details.insert("kernel".to_owned(), made.details);
                (
                    TrainedMachine::Kernel(made.machine),
                    vec![made.scale],
                    made.decisions,
                )
            }
            Machine::Linear => {
                let (pattern, values) = take_limited(&mut counts, self.setting.max_ngrams);
                let data = Labelled {
                    pattern: &pattern,
                    labels: &self.rows.labels,
                    classes,
                };
                let sides = (self.train, everything.as_slice());
                let made = train_machines(data, values, &self.setting, sides, self.params, run)?;
                self.report(&made, run, &mut details);
                let Machines {
                    scale,
                    machines,
                    decisions,
                } = made;
                let intercepts = machines.iter().map(|machine| machine.intercept).collect();
                let coefficients = machines
                    .into_iter()
                    .map(|machine| machine.coefficients)
                    .collect();
                (
                    TrainedMachine::Linear {
                        coefficients,
                        intercepts,
                    },
                    scale,
                    decisions,
                )
            }
        };
        check_finite(&machine, &self.rows.classes)?;
        let Counts {
            terms,
            column_of_term,
            length,
            ..
        } = &counts;
        let kept: Vec<usize> = (0..terms.len())
            .filter(|&term| {
                usize::from(length[column_of_term[term] as usize]) <= self.setting.max_ngrams
            })
            .collect();
        let columns: Vec<u32> = kept.iter().map(|&term| column_of_term[term]).collect();
        let platt = self.platt(&decisions, run);
        let scores = self.scores(&decisions, &platt);
        let model = SvmModel {
            classes: self.rows.classes.clone(),
            terms: terms.subset(&kept),
            recipe: Recipe {
                max_ngrams: self.setting.max_ngrams,
                min_word_length: self.params.min_word_length,
                stop_words: self.params.stop_words.to_vec(),
                term_frequency: self.setting.tf,
                weighting: self.setting.weighting,
            },
            scale: scale.iter().map(|scale| pick(scale, &columns)).collect(),
            machine: machine.map_columns(&columns),
            platt,
            lookup: OnceLock::new(),
        };
        Ok(Trained {
            model,
            scores,
            details,
            error: None,
        })
    }

    fn report(&self, made: &Machines, run: &mut Run, details: &mut Map<String, Value>) {
        let outcomes: Vec<_> = made
            .machines
            .iter()
            .map(|machine| machine.outcome)
            .collect();
        let late = outcomes.iter().filter(|outcome| !outcome.converged).count();
        if late > 0 && !run.stopped() {
            let all = outcomes.len();
            run.warn(format!(
                "the solver reached --max-iter before --tol in {late} of {all} problems\n  help: raise --max-iter, \
                 or scale down --c"
            ));
        }
        details.insert("solver".to_owned(), json!(outcomes));
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

    /// Sigmoids from out-of-fold decisions if there are any, else from the validation rows.
    fn platt(&self, decisions: &[f32], run: &mut Run) -> Vec<Platt> {
        let validation = self.rows.of(Split::Validation);
        let (decisions, labels) = match (&self.out_of_fold, self.params.calibration) {
            (_, Calibration::None) => return Vec::new(),
            (Some(decisions), _) => self.select(decisions, self.train),
            (None, _) if !validation.is_empty() => self.select(decisions, &validation),
            (None, _) => return Vec::new(),
        };
        // Where cross-validation was done, all there is to calibrate with was used.
        let help = if self.out_of_fold.is_some() {
            "give more training rows of every class"
        } else {
            "give more validation rows of every class, or use --calibration cv"
        };
        let Some((platt, borrowed)) = Platt::fit(&decisions, &labels, self.rows.classes.len())
        else {
            run.warn(format!(
                "no probabilities: the rows for calibration do not tell the classes apart\n  help: {help}"
            ));
            return Vec::new();
        };
        if !borrowed.is_empty() {
            let names = borrowed
                .iter()
                .map(|&class| format!("`{}`", self.rows.classes[class]));
            run.warn(format!(
                "rough probabilities: the rows for calibration do not tell about {}, which borrow the slope of the \
                 other classes\n  help: {help}",
                names.collect::<Vec<_>>().join(", ")
            ));
        }
        platt
    }

    fn scores(&self, decisions: &[f32], platt: &[Platt]) -> SplitScores {
        // The rows that the sigmoids were fitted on.
        let fitted_on = match self.out_of_fold {
            Some(_) => Split::Train,
            None => Split::Validation,
        };
        let of = |part: Split, decisions: &[f32]| {
            let rows = self.rows.of(part);
            let (decisions, labels) = self.select(decisions, &rows);
            let classes = self.rows.classes.len();
            let judge = || match part == fitted_on {
                true => cross_fitted(&decisions, &labels, classes, platt),
                false => scores(&decisions, classes, platt),
            };
            (!rows.is_empty()).then(judge)
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

/// Scores of the rows that `platt` was fitted on: each half gets the probabilities that the other half alone would have
/// given, so that log loss and calibration error are not flattered.
fn cross_fitted(decisions: &[f32], labels: &[u32], classes: usize, platt: &[Platt]) -> Scores {
    let mut judged = scores(decisions, classes, platt);
    let outputs = decisions.len() / labels.len().max(1);
    let half = |parity: usize| (parity..labels.len()).step_by(2);
    for parity in [0, 1] {
        let others: Vec<f32> = half(1 - parity)
            .flat_map(|row| &decisions[row * outputs..][..outputs])
            .copied()
            .collect();
        let other_labels: Vec<u32> = half(1 - parity).map(|row| labels[row]).collect();
        let (Some(probabilities), Some((platt, _))) = (
            &mut judged.probability,
            Platt::fit(&others, &other_labels, classes),
        ) else {
            // Too few rows to halve them: what all of them say is the best there is.
            continue;
        };
        for row in half(parity) {
            let mut of_row = Vec::with_capacity(classes);
            Platt::probabilities(&platt, &decisions[row * outputs..][..outputs], &mut of_row);
            probabilities[row * classes..][..classes].copy_from_slice(&of_row);
        }
    }
    judged
}

impl TrainedMachine {
    /// The same machine for features whose column `i` stood in column `columns[i]` before.
    fn map_columns(self, columns: &[u32]) -> Self {
        match self {
            Self::Linear {
                coefficients,
                intercepts,
            } => {
                let coefficients = coefficients
                    .iter()
                    .map(|coefficients| pick(coefficients, columns))
                    .collect();
                Self::Linear {
                    coefficients,
                    intercepts,
                }
            }
            Self::Kernel(machine) => Self::Kernel(machine.map_columns(columns)),
        }
    }
}

fn pick(values: &[f32], columns: &[u32]) -> Vec<f32> {
    columns
        .iter()
        .map(|&column| values[column as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_not_judged_by_sigmoids_that_they_made() {
        // Even rows are told apart, odd rows the wrong way round now and then.
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
        // The halves differ: an odd row's probability is what the cleaner even rows teach.
        let sure = |all: &[f32], row: usize| all[row * 2].max(all[row * 2 + 1]);
        assert!(sure(&cross, 1) > sure(&own, 1));
        assert!(sure(&cross, 0) < sure(&own, 0));
    }
}
