//! A linear SVM on sparse rows, behind linfa's traits.
//!
//! linfa-svm takes dense records and fills an n x n kernel even for the linear case (rust-ml/linfa#308), so the
//! linear case is solved here, in the dual, coordinate by coordinate, as liblinear does.

mod dual;
mod hinge;
mod logistic;
mod params;

pub use params::{LinearSvmParams, LinearSvmValidParams, Loss, SolverError};

use linfa::DatasetBase;
use linfa::dataset::Records;
use linfa::traits::{Fit, PredictInplace};
use ndarray::Array1;

use dual::Problem;
use text::features::CsrPattern;

/// Some rows of a sparse matrix: linfa's records. Shape: (rows, pattern width), `f32`.
#[derive(Clone, Copy)]
pub struct SparseRows<'a> {
    /// The places of the whole matrix.
    pub pattern: &'a CsrPattern,
    /// Its values.
    pub values: &'a [f32],
    /// The numbers of the rows to look at.
    pub rows: &'a [u32],
}

impl<'a> SparseRows<'a> {
    /// Columns and values of the `index`th of the rows.
    #[inline]
    pub fn row(&self, index: usize) -> (&'a [u32], &'a [f32]) {
        let range = self.pattern.range(self.rows[index] as usize);
        (&self.pattern.columns[range.clone()], &self.values[range])
    }
}

impl Records for SparseRows<'_> {
    type Elem = f32;

    fn nsamples(&self) -> usize {
        self.rows.len()
    }

    fn nfeatures(&self) -> usize {
        self.pattern.width
    }
}

/// A separating hyperplane.
#[derive(Clone, Debug)]
pub struct LinearSvm {
    /// Weight of each column.
    pub coefficients: Vec<f32>,
    /// Weight of the constant 1.
    pub intercept: f32,
    /// How the solver ended.
    pub outcome: Outcome,
}

/// How the solver ended.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Outcome {
    /// Value of the primal objective: 0.5 (|w|² + b²) + C Σ loss.
    pub objective: f64,
    /// (primal - dual) / primal: how far the objective may be from its minimum.
    pub gap: f64,
    /// Passes over the rows.
    pub epochs: u32,
    /// Whether `gap` is at most the tolerance.
    pub converged: bool,
}

impl LinearSvm {
    /// The same decision on every row.
    pub(crate) fn constant(width: usize, decision: f32) -> Self {
        Self {
            coefficients: vec![0.0; width],
            intercept: decision,
            outcome: Outcome {
                objective: 0.0,
                gap: 0.0,
                epochs: 0,
                converged: true,
            },
        }
    }

    /// w·x + b of one row.
    pub fn decision(&self, columns: &[u32], values: &[f32]) -> f32 {
        let sum: f32 = columns
            .iter()
            .zip(values)
            .map(|(&c, &v)| self.coefficients[c as usize] * v)
            .sum();
        sum + self.intercept
    }
}

impl<'a> Fit<SparseRows<'a>, Array1<bool>, SolverError> for LinearSvmValidParams {
    type Object = LinearSvm;

    /// Solves for targets `true` against `false`; the data set's weights, if any, multiply C row by row.
    fn fit(
        &self,
        dataset: &DatasetBase<SparseRows<'a>, Array1<bool>>,
    ) -> Result<LinearSvm, SolverError> {
        let targets: Vec<bool> = dataset.targets.iter().copied().collect();
        if targets.iter().all(|&target| target) || !targets.contains(&true) {
            return Err(SolverError::OneClass);
        }
        let weights = dataset.weights().map(<[f32]>::to_vec);
        let problem = Problem::new(dataset.records, &targets, weights.as_deref(), self);
        Ok(match self.loss() {
            Loss::Hinge | Loss::SquaredHinge => hinge::solve(&problem, self),
            Loss::Log => logistic::solve(&problem, self),
        })
    }
}

impl<'a> PredictInplace<SparseRows<'a>, Array1<bool>> for LinearSvm {
    fn predict_inplace<'b>(&'b self, records: &'b SparseRows<'a>, targets: &mut Array1<bool>) {
        for (row, target) in targets.iter_mut().enumerate() {
            let (columns, values) = records.row(row);
            *target = self.decision(columns, values) > 0.0;
        }
    }

    fn default_target(&self, records: &SparseRows<'a>) -> Array1<bool> {
        Array1::from_elem(records.nsamples(), false)
    }
}
