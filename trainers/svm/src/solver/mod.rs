//! Linear SVM on sparse rows with linfa's traits: dual coordinate descent, as in liblinear.
//!
//! linfa-svm takes dense records and fills an n x n kernel matrix even for the linear kernel
//! (rust-ml/linfa#308).

mod dual;
mod hinge;
mod logistic;
mod params;

pub use params::{LinearSvmParams, LinearSvmValidParams, Loss, SolverError};

use linfa::DatasetBase;
use linfa::dataset::Records;
use linfa::traits::Fit;
use ndarray::Array1;

use dual::DualProblem;
use text::features::CsrPattern;

/// Selected rows of a sparse matrix, as linfa's records. Shape: (rows, pattern width), `f32`.
#[derive(Clone, Copy)]
pub struct SparseRows<'a> {
    /// Non-zero entries of the whole matrix.
    pub pattern: &'a CsrPattern,
    /// Values of the whole matrix.
    pub values: &'a [f32],
    /// Indices of the selected rows.
    pub rows: &'a [u32],
}

impl<'a> SparseRows<'a> {
    /// Returns columns and values of the selected row `index`.
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

/// A trained linear SVM.
#[derive(Clone, Debug)]
pub struct LinearSvm {
    /// Weight of each column.
    pub coefficients: Vec<f32>,
    /// Intercept; regularised like a weight.
    pub intercept: f32,
    /// State of the solver at its end.
    pub convergence: Convergence,
}

/// State of the solver at its end.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Convergence {
    /// Primal objective 0.5 (|w|² + b²) + C Σ loss.
    pub objective: f64,
    /// Relative duality gap (primal - dual) / primal.
    pub gap: f64,
    /// Passes over the rows.
    pub epochs: u32,
    /// True if `gap` is at most the tolerance.
    pub converged: bool,
}

impl LinearSvm {
    /// Returns an SVM with the same decision value for every row.
    pub(crate) fn constant(width: usize, decision: f32) -> Self {
        Self {
            coefficients: vec![0.0; width],
            intercept: decision,
            convergence: Convergence {
                converged: true,
                ..Convergence::default()
            },
        }
    }

    /// Computes w·x + b of one row.
    pub fn decision_function(&self, columns: &[u32], values: &[f32]) -> f32 {
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

    /// Trains `true` against `false`; the weights of the data set, if any, multiply C row by row.
    fn fit(
        &self,
        dataset: &DatasetBase<SparseRows<'a>, Array1<bool>>,
    ) -> Result<LinearSvm, SolverError> {
        let targets: Vec<bool> = dataset.targets.iter().copied().collect();
        if targets.iter().all(|&target| target) || !targets.contains(&true) {
            return Err(SolverError::OneClass);
        }
        let weights = dataset.weights().map(<[f32]>::to_vec);
        let problem = DualProblem::new(dataset.records, &targets, weights.as_deref(), self);
        Ok(match self.loss {
            Loss::Hinge | Loss::SquaredHinge => hinge::solve(&problem, self),
            Loss::Log => logistic::solve(&problem, self),
        })
    }
}
