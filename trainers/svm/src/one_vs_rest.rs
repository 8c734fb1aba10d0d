//! From term counts to one linear SVM per output, for one candidate and one choice of training
//! rows.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use dataset::LabelSets;
use diagnostics::Error;
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::Array1;
use training::Run;

use crate::params::{Candidate, ClassWeight, SvmParams, Weighting};
use crate::solver::{Convergence, LinearSvm, LinearSvmParams, SolverError, SparseRows};
use crate::tf_idf::{idf, weigh_all};
use crate::weights::OutputWeights;
use text::features::CsrPattern;

/// Number of outputs: one for two classes that exclude each other, else one per class
/// (one-vs-rest).
pub(crate) fn outputs(classes: usize, multi_label: bool) -> usize {
    if classes == 2 && !multi_label {
        1
    } else {
        classes
    }
}

/// Class for which an output is positive: of a single output the second one.
pub(crate) fn positive_class(outputs: usize, output: usize) -> usize {
    if outputs == 1 { 1 } else { output }
}

/// Classes of rows.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a> {
    /// Class of each row; the number of its set if there are sets.
    pub(crate) labels: &'a [u32],
    pub(crate) classes: usize,
    /// Sets of classes if rows may have several, or none.
    pub(crate) sets: Option<&'a LabelSets>,
}

impl Targets<'_> {
    pub(crate) fn outputs(&self) -> usize {
        outputs(self.classes, self.sets.is_some())
    }

    /// True if the row belongs to the positive class of the output.
    pub(crate) fn is_positive(&self, row: usize, output: usize) -> bool {
        let (label, positive) = (
            self.labels[row],
            positive_class(self.outputs(), output) as u32,
        );
        match self.sets {
            None => label == positive,
            Some(sets) => sets.get(label).binary_search(&positive).is_ok(),
        }
    }
}

/// Rows of term counts and their classes.
#[derive(Clone, Copy)]
pub(crate) struct LabelledRows<'a> {
    pub(crate) pattern: &'a CsrPattern,
    pub(crate) targets: Targets<'a>,
    /// Weight of every row; empty if all weigh 1.
    pub(crate) weights: &'a [f64],
}

impl LabelledRows<'_> {
    pub(crate) fn outputs(&self) -> usize {
        self.targets.outputs()
    }

    /// True if the row belongs to the positive class of the output.
    pub(crate) fn is_positive(&self, row: u32, output: usize) -> bool {
        self.targets.is_positive(row as usize, output)
    }

    fn weight(&self, row: u32) -> f64 {
        self.weights.get(row as usize).copied().unwrap_or(1.0)
    }

    /// Returns the rows that weigh more than 0: liblinear leaves out the others.
    fn rows_with_weight<'r>(&self, rows: &'r [u32]) -> Cow<'r, [u32]> {
        match self.weights.is_empty() {
            true => Cow::Borrowed(rows),
            false => {
                let rows = rows.iter().copied();
                Cow::Owned(rows.filter(|&row| self.weight(row) > 0.0).collect())
            }
        }
    }

    /// Returns `is_positive` of the rows if it is the same for all of them.
    pub(crate) fn only_side(&self, rows: &[u32], output: usize) -> Option<bool> {
        let positive = rows
            .iter()
            .filter(|&&row| self.is_positive(row, output))
            .count();
        match positive {
            0 => Some(false),
            all if all == rows.len() => Some(true),
            _ => None,
        }
    }
}

/// Linear SVMs of all outputs.
pub(crate) struct OneVsRest {
    /// Factor of each column, see [`fit_scale`]. Shape: (1 or outputs, columns).
    pub(crate) scale: Vec<Vec<f32>>,
    /// One per output.
    pub(crate) weights: Vec<OutputWeights>,
    /// Shape: (outputs).
    pub(crate) intercepts: Vec<f32>,
    /// One per output.
    pub(crate) convergence: Vec<Convergence>,
    /// Decision values of the rows `score`. Shape: (rows, outputs).
    pub(crate) decisions: Vec<f32>,
}

/// Largest number of outputs without training at the end of a period of grace that get one epoch
/// each, for a model that is better than none.
const MAX_UNTRAINED: usize = 20;

/// The number of trained outputs, by which a stop is judged.
struct FitProgress {
    start: Instant,
    outputs: usize,
    trained: AtomicUsize,
}

impl FitProgress {
    /// Refuses to train another output after a stop: without grace the result would be discarded,
    /// and with grace many classes may not be finished in time.
    fn check(&self, run: &Run) -> Result<(), Error> {
        let trained = self.trained.load(Ordering::Relaxed);
        let left = self.outputs.saturating_sub(trained);
        let refused = match run.has_grace() {
            false => run.stopped(),
            true if left <= MAX_UNTRAINED => false,
            true => {
                let needed = self.start.elapsed().as_secs_f64() * left as f64 / trained as f64;
                // Unknown before the first output is trained.
                run.stopped() || trained > 0 && !run.leaves_seconds(needed)
            }
        };
        match refused {
            true => {
                let reason = format!("{trained} of {} classes were trained", self.outputs);
                Err(Error::stopped().because(&reason))
            }
            false => Ok(()),
        }
    }
}

/// Trains on the rows `train` and scores the rows `score`. `counts` are the values of
/// `data.pattern`; they are turned into features in place.
///
/// # Errors
///
/// The solver does not start, or the run was stopped before all outputs were trained.
pub(crate) fn fit(
    data: LabelledRows<'_>,
    mut counts: Vec<f32>,
    candidate: &Candidate,
    (train, score): (&[u32], &[u32]),
    params: &SvmParams,
    run: &Run,
) -> Result<OneVsRest, Error> {
    let scale = fit_scale(data, candidate, train, params, run)?;
    let outputs = data.outputs();
    let sides = (train, score);
    let progress = FitProgress {
        start: Instant::now(),
        outputs,
        trained: AtomicUsize::new(0),
    };
    let fit_output = |values: &[f32], output: usize| -> Result<_, Error> {
        let (svm, column) = fit_output(data, values, output, candidate, sides, params, run)?;
        progress.trained.fetch_add(1, Ordering::Relaxed);
        let weights = OutputWeights::new(svm.coefficients);
        Ok((weights, svm.intercept, svm.convergence, column))
    };
    let parts = if scale.len() == 1 {
        weigh_all(&mut counts, data.pattern, &scale[0], candidate.tf);
        parallel(run.threads(), outputs, |output| {
            progress.check(run)?;
            fit_output(&counts, output)
        })?
    } else {
        parallel(run.threads(), outputs, |output| {
            progress.check(run)?;
            let mut values = counts.clone();
            weigh_all(&mut values, data.pattern, &scale[output], candidate.tf);
            fit_output(&values, output)
        })?
    };
    let mut fit = OneVsRest {
        scale,
        weights: Vec::with_capacity(outputs),
        intercepts: Vec::with_capacity(outputs),
        convergence: Vec::with_capacity(outputs),
        decisions: vec![0.0; score.len() * outputs],
    };
    for (output, (weights, intercept, convergence, column)) in parts.into_iter().enumerate() {
        fit.weights.push(weights);
        fit.intercepts.push(intercept);
        fit.convergence.push(convergence);
        for (row, decision) in column.into_iter().enumerate() {
            fit.decisions[row * outputs + output] = decision;
        }
    }
    Ok(fit)
}

/// Trains the SVM of one output; also returns its decision values of the rows `score`.
fn fit_output(
    data: LabelledRows<'_>,
    values: &[f32],
    output: usize,
    candidate: &Candidate,
    (train, score): (&[u32], &[u32]),
    params: &SvmParams,
    run: &Run,
) -> Result<(LinearSvm, Vec<f32>), Error> {
    let train = data.rows_with_weight(train);
    let train: &[u32] = &train;
    if let Some(side) = data.only_side(train, output) {
        // A fold without rows of a rare class: a constant, so that the other outputs can be
        // trained.
        let svm = LinearSvm::constant(data.pattern.width, if side { 1.0 } else { -1.0 });
        let decisions = vec![svm.intercept; score.len()];
        return Ok((svm, decisions));
    }
    let targets: Array1<bool> = train
        .iter()
        .map(|&row| data.is_positive(row, output))
        .collect();
    let weights = row_weights(data, train, output, &params.class_weight);
    let records = SparseRows {
        pattern: data.pattern,
        values,
        rows: train,
    };
    let solver = LinearSvmParams::new(params.loss, candidate.c)
        .tolerance(params.tolerance)
        .max_epochs(params.max_epochs)
        .seed(run.stream("solver"))
        .stop(run.stop_flag());
    let dataset = DatasetBase::new(records, targets).with_weights(weights);
    let svm = solver.fit(&dataset).map_err(|error| solver_error(&error))?;
    let rows = SparseRows {
        pattern: data.pattern,
        values,
        rows: score,
    };
    let decisions = (0..score.len()).map(|row| {
        let (columns, values) = rows.row(row);
        svm.decision_function(columns, values)
    });
    let decisions = decisions.collect();
    Ok((svm, decisions))
}

fn solver_error(error: &SolverError) -> Error {
    let help = match error {
        SolverError::Parameter { name, range, .. } => {
            format!("choose --{} {range}", name.replace('_', "-"))
        }
        SolverError::OneClass => "give every class some training rows".to_owned(),
        SolverError::Linfa(_) => "run `svm check` on the training rows".to_owned(),
    };
    Error::new(format!("the solver did not start: {error}")).help(help)
}

/// Returns the weight of each row.
fn row_weights(
    data: LabelledRows<'_>,
    train: &[u32],
    output: usize,
    class_weight: &ClassWeight,
) -> Array1<f32> {
    let (positive, negative) = side_weights(data, train, output, class_weight);
    train
        .iter()
        .map(|&row| {
            let side = if data.is_positive(row, output) {
                positive
            } else {
                negative
            };
            side * data.weight(row) as f32
        })
        .collect()
}

/// Returns the weights of positive and negative rows of an output. As in liblinear: with two
/// classes both have the weight of their class; with more classes, only the positive rows are
/// weighted. If rows may have several classes, see [`ClassWeight::side_weights`].
pub(crate) fn side_weights(
    data: LabelledRows<'_>,
    train: &[u32],
    output: usize,
    class_weight: &ClassWeight,
) -> (f32, f32) {
    if *class_weight == ClassWeight::None {
        return (1.0, 1.0);
    }
    let rows: f64 = train.iter().map(|&row| data.weight(row)).sum();
    let positive = train.iter().filter(|&&row| data.is_positive(row, output));
    let positive: f64 = positive.map(|&row| data.weight(row)).sum();
    let class = positive_class(data.outputs(), output);
    if data.targets.sets.is_some() {
        let [positive, negative] = class_weight.side_weights(class, positive, rows);
        return (positive as f32, negative as f32);
    }
    let all = (rows, data.targets.classes);
    let weight = |class: usize, size: f64| class_weight.weight(class, size, all) as f32;
    let negative = match data.outputs() {
        1 => weight(0, rows - positive),
        _ => 1.0,
    };
    (weight(class, positive), negative)
}

/// Fits the factors of term frequencies on the rows `train`; terms in fewer than `min_df` of these
/// rows get 0. Shape: (1 or outputs, columns).
///
/// # Errors
///
/// The run was stopped.
pub(crate) fn fit_scale(
    data: LabelledRows<'_>,
    candidate: &Candidate,
    train: &[u32],
    params: &SvmParams,
    run: &Run,
) -> Result<Vec<Vec<f32>>, Error> {
    let min_df = params.vocabulary.min_df.of(train.len());
    let frequency = data.pattern.document_frequency(train.iter().copied());
    let kept = |column: usize| f64::from(frequency[column]) >= min_df;
    let columns = 0..data.pattern.width;
    match candidate.weighting {
        Weighting::Tfidf => {
            let idf = |column| {
                if kept(column) {
                    idf(train.len(), frequency[column])
                } else {
                    0.0
                }
            };
            Ok(vec![columns.map(idf).collect()])
        }
        Weighting::Nbsvm => parallel(run.threads(), data.outputs(), |output| {
            if run.stopped() {
                return Err(Error::stopped());
            }
            let positive_rows = train
                .iter()
                .copied()
                .filter(|&row| data.is_positive(row, output));
            let positive = data.pattern.document_frequency(positive_rows);
            Ok(log_count_ratio(&positive, &frequency, kept))
        }),
    }
}

/// Naive Bayes log-count ratio ln((p / |p|) / (q / |q|)), where p is 1 + the number of positive
/// rows that contain the term, and q is 1 + the number of negative ones. Wang and Manning, ACL
/// 2012, section 2.1.
fn log_count_ratio(positive: &[u32], all: &[u32], kept: impl Fn(usize) -> bool) -> Vec<f32> {
    let p = |column: usize| 1.0 + f64::from(positive[column]);
    let q = |column: usize| 1.0 + f64::from(all[column] - positive[column]);
    let columns = || (0..all.len()).filter(|&column| kept(column));
    let (p_sum, q_sum): (f64, f64) = (columns().map(p).sum(), columns().map(q).sum());
    let ratio = |column| {
        if kept(column) {
            ((p(column) / p_sum) / (q(column) / q_sum)).ln() as f32
        } else {
            0.0
        }
    };
    (0..all.len()).map(ratio).collect()
}

/// Runs `tasks` independent tasks on up to `threads` threads; returns the results in their order.
pub(crate) fn parallel<T: Send>(
    threads: usize,
    tasks: usize,
    task: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    if threads <= 1 || tasks <= 1 {
        return (0..tasks).map(task).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T, Error>)>> = Mutex::new(Vec::with_capacity(tasks));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(tasks) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= tasks {
                        break;
                    }
                    let result = task(index);
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_solver_error_has_its_own_help() {
        let help = |error| solver_error(&error).to_string();
        let parameter = help(SolverError::Parameter {
            name: "max_iter",
            range: "of at least 1",
            value: 0.0,
        });
        assert!(
            parameter.contains("help: choose --max-iter of at least 1"),
            "{parameter}"
        );
        assert!(help(SolverError::OneClass).contains("help: give every class"));
    }

    #[test]
    fn only_side_detects_rows_of_one_side() {
        let data = LabelledRows {
            pattern: &CsrPattern::default(),
            targets: Targets {
                labels: &[0, 0, 1, 2],
                classes: 3,
                sets: None,
            },
            weights: &[],
        };
        assert_eq!(data.only_side(&[0, 1], 0), Some(true));
        assert_eq!(data.only_side(&[0, 1], 2), Some(false));
        assert_eq!(data.only_side(&[0, 2], 0), None);
    }

    /// Issue 17: a row is positive for each of its labels; two labels have two outputs.
    #[test]
    fn rows_with_several_labels_are_positive_for_each() {
        let mut sets = LabelSets::default();
        let labels = [vec![0, 1], vec![], vec![1]].map(|set| sets.push(set));
        let data = LabelledRows {
            pattern: &CsrPattern::default(),
            targets: Targets {
                labels: &labels,
                classes: 2,
                sets: Some(&sets),
            },
            weights: &[],
        };
        assert_eq!(data.outputs(), 2);
        let positive = |output| [0, 1, 2].map(|row| data.is_positive(row, output));
        assert_eq!(positive(0), [true, false, false]);
        assert_eq!(positive(1), [true, false, true]);
        // scikit-learn: rows / (2 x rows of the side).
        let weights = side_weights(data, &[0, 1, 2], 0, &ClassWeight::Balanced);
        assert_eq!(weights, (1.5, 0.75));
    }

    mod attacks {
        use std::sync::Arc;
        use std::time::Duration;

        use diagnostics::ErrorKind;
        use training::stop::Stop;

        use super::super::*;

        fn progress(outputs: usize, trained: usize) -> FitProgress {
            FitProgress {
                start: Instant::now().checked_sub(Duration::from_secs(1)).unwrap(),
                outputs,
                trained: AtomicUsize::new(trained),
            }
        }

        /// ATTACK F9: a stop with many classes took 151 s.
        #[test]
        fn stop_ends_fits_whose_rest_takes_longer_than_the_period_of_grace() {
            let stop = Stop::default();
            let run = Run::new(1, 0, stop.clone(), Arc::default());
            let grace = run.with_grace();
            let stopped = |progress: FitProgress, run: &Run| match progress.check(run) {
                Ok(()) => false,
                Err(error) => error.kind() == ErrorKind::Stopped,
            };
            for run in [&run, &grace] {
                assert!(!stopped(progress(3000, 1), run));
            }
            stop.flag().store(true, Ordering::Relaxed);
            // A second per output.
            assert!(stopped(progress(3000, 1), &grace));
            assert!(!stopped(progress(3000, 2999), &grace));
            assert!(!stopped(progress(3, 1), &grace));
            // Folds and second trainings have no grace: their results are discarded.
            assert!(stopped(progress(3, 1), &run));
        }
    }
}
