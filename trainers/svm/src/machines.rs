//! Counts to features to separating hyperplanes, for one setting and one choice of training rows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use harness::{Failure, Run};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::Array1;

use crate::features::{Counts, Frequency, Pattern, TermFrequency, idf, weigh_all};
use crate::params::{ClassWeight, Regularisation, SvmParams, Weighting};
use crate::solver::{LinearSvm, LinearSvmParams, SparseRows};

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

/// Labelled term counts.
#[derive(Clone, Copy)]
pub(crate) struct Labelled<'a> {
    pub(crate) pattern: &'a Pattern,
    /// Class of every row.
    pub(crate) labels: &'a [u32],
    pub(crate) classes: usize,
}

impl Labelled<'_> {
    pub(crate) fn outputs(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes }
    }

    fn is_positive(&self, row: u32, output: usize) -> bool {
        let positive = if self.classes == 2 { 1 } else { output as u32 };
        self.labels[row as usize] == positive
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
    counts: Vec<f32>,
    setting: &Setting,
    train: &[u32],
    score: &[u32],
    params: &SvmParams,
    run: &Run,
) -> Result<Machines, Failure> {
    let scale = scale(data, setting, train, params);
    let outputs = data.outputs();
    let shared = (scale.len() == 1).then(|| features(data.pattern, counts.clone_if(outputs), &scale[0], setting.tf));
    let _ = shared;
    unreachable!()
}
