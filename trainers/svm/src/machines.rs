//! Counts to features to separating hyperplanes, for one setting and one choice of training rows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use diagnostics::Error;
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::Array1;
use training::Run;

use crate::params::{ClassWeight, SvmParams, Weighting};
use crate::solver::{LinearSvm, LinearSvmParams, SolverError, SparseRows};
use crate::tf_idf::{TermFrequency, idf, weigh_all};
use text::features::CsrPattern;

/// What `--tune` chooses.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Setting {
    pub(crate) max_ngrams: usize,
    pub(crate) weighting: Weighting,
    #[serde(skip)]
    pub(crate) tf: TermFrequency,
    pub(crate) c: f64,
}

impl Setting {
    /// The setting that was typed.
    pub(crate) fn typed(params: &SvmParams, rows: usize) -> Self {
        Self {
            max_ngrams: params.features.max_ngrams,
            weighting: params.weighting,
            tf: params.tf,
            c: params.regularisation.c(rows),
        }
    }
}

/// How many hyperplanes tell so many classes apart: one for two, else one per class against the rest.
pub(crate) fn outputs(classes: usize) -> usize {
    if classes == 2 { 1 } else { classes }
}

/// The class that an output's positive side speaks for: of two classes the second one.
pub(crate) fn positive_class(classes: usize, output: usize) -> usize {
    if classes == 2 { 1 } else { output }
}

/// Labelled term counts.
#[derive(Clone, Copy)]
pub(crate) struct Labelled<'a> {
    pub(crate) pattern: &'a CsrPattern,
    /// Class of every row.
    pub(crate) labels: &'a [u32],
    pub(crate) classes: usize,
}

impl Labelled<'_> {
    pub(crate) fn outputs(&self) -> usize {
        outputs(self.classes)
    }

    /// Whether the row is of the class that the output speaks for.
    pub(crate) fn is_positive(&self, row: u32, output: usize) -> bool {
        let positive = positive_class(self.classes, output) as u32;
        self.labels[row as usize] == positive
    }

    /// Which side all the rows are on, if they are on one.
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

/// The machines of all outputs.
pub(crate) struct Machines {
    /// (1 or outputs, columns)
    pub(crate) scale: Vec<Vec<f32>>,
    /// One per output.
    pub(crate) machines: Vec<LinearSvm>,
    /// (rows of the matrix that were asked for, outputs)
    pub(crate) decisions: Vec<f32>,
}

/// Trains on the rows `train` and decides on the rows `score`. `counts` belong to `data.pattern`; they are turned into
/// features in place.
pub(crate) fn train(
    data: Labelled<'_>,
    mut counts: Vec<f32>,
    setting: &Setting,
    (train, score): (&[u32], &[u32]),
    params: &SvmParams,
    run: &Run,
) -> Result<Machines, Error> {
    let scale = scale(data, setting, train, params);
    let outputs = data.outputs();
    let parts = if scale.len() == 1 {
        weigh_all(&mut counts, data.pattern, &scale[0], setting.tf);
        parallel(run.threads(), outputs, |output| {
            solve(data, &counts, output, setting, (train, score), params, run)
        })?
    } else {
        parallel(run.threads(), outputs, |output| {
            let mut values = counts.clone();
            weigh_all(&mut values, data.pattern, &scale[output], setting.tf);
            solve(data, &values, output, setting, (train, score), params, run)
        })?
    };
    let mut decisions = vec![0.0; score.len() * outputs];
    let mut machines = Vec::with_capacity(outputs);
    for (output, (machine, column)) in parts.into_iter().enumerate() {
        machines.push(machine);
        for (row, decision) in column.into_iter().enumerate() {
            decisions[row * outputs + output] = decision;
        }
    }
    Ok(Machines {
        scale,
        machines,
        decisions,
    })
}

/// The hyperplane of one output, and its decisions on the rows `score`.
fn solve(
    data: Labelled<'_>,
    values: &[f32],
    output: usize,
    setting: &Setting,
    (train, score): (&[u32], &[u32]),
    params: &SvmParams,
    run: &Run,
) -> Result<(LinearSvm, Vec<f32>), Error> {
    if let Some(side) = data.only_side(train, output) {
        // A fold without a rare class: nothing to learn, and the other outputs go on.
        let machine = LinearSvm::constant(data.pattern.width, if side { 1.0 } else { -1.0 });
        let decisions = vec![machine.intercept; score.len()];
        return Ok((machine, decisions));
    }
    let targets: Array1<bool> = train
        .iter()
        .map(|&row| data.is_positive(row, output))
        .collect();
    let weights = row_weights(data, train, output, params.class_weight);
    let records = SparseRows {
        pattern: data.pattern,
        values,
        rows: train,
    };
    let solver = LinearSvmParams::new(params.loss, setting.c)
        .tolerance(params.tolerance)
        .max_epochs(params.max_epochs)
        .seed(run.stream("solver"))
        .stop(run.stop_flag());
    let dataset = DatasetBase::new(records, targets).with_weights(weights);
    let machine = solver.fit(&dataset).map_err(|error| not_started(&error))?;
    let rows = SparseRows {
        pattern: data.pattern,
        values,
        rows: score,
    };
    let decisions = (0..score.len()).map(|row| {
        let (columns, values) = rows.row(row);
        machine.decision(columns, values)
    });
    let decisions = decisions.collect();
    Ok((machine, decisions))
}

fn not_started(error: &SolverError) -> Error {
    let help = match error {
        SolverError::Parameter { name, range, .. } => {
            format!("choose --{} {range}", name.replace('_', "-"))
        }
        SolverError::OneClass => "give every class some training rows".to_owned(),
        SolverError::Linfa(_) => "look at the training rows with `svm check`".to_owned(),
    };
    Error::new(format!("the solver did not start: {error}")).help(help)
}

/// Weight of each row.
fn row_weights(
    data: Labelled<'_>,
    train: &[u32],
    output: usize,
    class_weight: ClassWeight,
) -> Array1<f32> {
    let (positive, negative) = side_weights(data, train, output, class_weight);
    train
        .iter()
        .map(|&row| {
            if data.is_positive(row, output) {
                positive
            } else {
                negative
            }
        })
        .collect()
}

/// Weights of an output's positive and negative rows. As liblinear: with two classes each row counts with its class's
/// weight; with more, in each one-against-the-rest problem, only the one class is weighed.
pub(crate) fn side_weights(
    data: Labelled<'_>,
    train: &[u32],
    output: usize,
    class_weight: ClassWeight,
) -> (f32, f32) {
    if class_weight == ClassWeight::None {
        return (1.0, 1.0);
    }
    let positive = train
        .iter()
        .filter(|&&row| data.is_positive(row, output))
        .count();
    let weight = |rows: usize| train.len() as f32 / (data.classes as f32 * rows as f32);
    (
        weight(positive),
        if data.classes == 2 {
            weight(train.len() - positive)
        } else {
            1.0
        },
    )
}

/// (1 or outputs, columns): what term frequencies are multiplied with, fitted on the rows `train` alone. Terms that
/// too few of these rows hold get 0, as if they had never been seen.
pub(crate) fn scale(
    data: Labelled<'_>,
    setting: &Setting,
    train: &[u32],
    params: &SvmParams,
) -> Vec<Vec<f32>> {
    let min_df = params.features.min_df.of(train.len());
    let frequency = document_frequency(data.pattern, train.iter().copied());
    let kept = |column: usize| f64::from(frequency[column]) >= min_df;
    let columns = 0..data.pattern.width;
    match setting.weighting {
        Weighting::Tfidf => {
            let idf = |column| {
                if kept(column) {
                    idf(train.len(), frequency[column])
                } else {
                    0.0
                }
            };
            vec![columns.map(idf).collect()]
        }
        Weighting::Nbsvm => (0..data.outputs())
            .map(|output| {
                let positive_rows = train
                    .iter()
                    .copied()
                    .filter(|&row| data.is_positive(row, output));
                let positive = document_frequency(data.pattern, positive_rows);
                log_count_ratio(&positive, &frequency, kept)
            })
            .collect(),
    }
}

/// ln((p / |p|) / (q / |q|)) with p = 1 + rows of the class that hold the term, q = 1 + other rows that do.
/// Wang and Manning, ACL 2012, section 2.1.
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

/// In how many of the rows each column stands.
fn document_frequency(pattern: &CsrPattern, rows: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut frequency = vec![0; pattern.width];
    for row in rows {
        for &column in pattern.row(row as usize) {
            frequency[column as usize] += 1;
        }
    }
    frequency
}

/// Does `jobs` independent jobs on up to `threads` threads; the answers stand in the order of the jobs.
pub(crate) fn parallel<T: Send>(
    threads: usize,
    jobs: usize,
    job: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    if threads <= 1 || jobs <= 1 {
        return (0..jobs).map(job).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T, Error>)>> = Mutex::new(Vec::with_capacity(jobs));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= jobs {
                        break;
                    }
                    let answer = job(index);
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((index, answer));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_not_to_start_has_its_own_help() {
        let help = |error| not_started(&error).to_string();
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
    fn rows_of_one_side_are_seen() {
        let data = Labelled {
            pattern: &CsrPattern::default(),
            labels: &[0, 0, 1, 2],
            classes: 3,
        };
        assert_eq!(data.only_side(&[0, 1], 0), Some(true));
        assert_eq!(data.only_side(&[0, 1], 2), Some(false));
        assert_eq!(data.only_side(&[0, 2], 0), None);
    }
}
