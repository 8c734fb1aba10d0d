//! `--kernel rbf|poly`: an SVM with a kernel, solved by linfa-svm, on the leading singular vectors
//! of the tf-idf matrix.
//!
//! linfa-svm takes dense records and fills an n x n kernel matrix, so this is for small data:
//! [`MemoryBudget`] limits the number of rows.

mod eigen;
mod fit;
mod kernel_svm;
mod memory_budget;
mod svd;
#[cfg(test)]
mod tests;

use dataset::RowTable;
use diagnostics::{Error, ErrorKind};
use serde_json::{Value, json};
use training::Run;

pub(crate) use kernel_svm::KernelSvm;
pub(crate) use memory_budget::MemoryBudget;

use crate::cross_validate::Folds;
use crate::one_vs_rest::{LabelledRows, fit_scale, parallel};
use crate::params::{Calibration, Candidate, Kernel, SvmParams};
use crate::solver::SparseRows;
use crate::tf_idf::weigh_all;
use fit::{KernelProblem, fit};

/// Rows per task when scoring: enough to hide the scheduling overhead, few enough to balance
/// threads.
const CHUNK: usize = 256;

impl Kernel {
    /// Returns the value of `--kernel`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rbf { .. } => "rbf",
            Self::Poly { .. } => "poly",
        }
    }
}

/// Inputs of a training run with a kernel.
#[derive(Clone, Copy)]
pub(crate) struct TrainContext<'a> {
    pub(crate) data: LabelledRows<'a>,
    pub(crate) candidate: Candidate,
    pub(crate) params: &'a SvmParams,
    pub(crate) kernel: Kernel,
    /// Number of singular vectors; fewer are used if the rank of the matrix is lower.
    pub(crate) components: usize,
}

/// Result of a training run with a kernel.
pub(crate) struct KernelFit {
    pub(crate) svm: KernelSvm,
    /// Factor of each column. Shape: (columns).
    pub(crate) scale: Vec<f32>,
    /// Decision values. Shape: (scored rows, outputs).
    pub(crate) decisions: Vec<f32>,
    /// Shape: (rows of the matrix, outputs); `None` without cross-validation or after a stop.
    pub(crate) out_of_fold: Option<Vec<f32>>,
    pub(crate) details: Value,
}

/// An SVM and the features it was trained on.
struct FittedKernel {
    svm: KernelSvm,
    scale: Vec<f32>,
    /// Features of all rows.
    values: Vec<f32>,
    /// Share of the sum of squares of the training rows that the components explain.
    explained: f64,
}

impl FittedKernel {
    fn into_fit(self, decisions: Vec<f32>, out_of_fold: Option<Vec<f32>>) -> KernelFit {
        let svm = self.svm;
        let details = json!({
            "function": svm.kernel,
            "components": svm.width,
            "kept": self.explained,
            "support_vectors": svm.support_vectors(),
        });
        KernelFit {
            svm,
            scale: self.scale,
            decisions,
            out_of_fold,
            details,
        }
    }
}

impl TrainContext<'_> {
    /// Trains on the rows `train` and scores all rows.
    pub(crate) fn train(
        &self,
        counts: &[f32],
        rows: &RowTable,
        train: &[u32],
        run: &Run,
    ) -> Result<KernelFit, Error> {
        let fitted = self.fit(counts, train, run)?;
        let everything: Vec<u32> = (0..self.data.targets.labels.len() as u32).collect();
        let decisions = self.decision_function(&fitted, &everything, run)?;
        let out_of_fold = match self.params.calibration {
            Calibration::Cv => match self.out_of_fold(counts, rows, train, run) {
                // The SVM is saved without probabilities.
                Err(error) if error.kind() == ErrorKind::Stopped => None,
                found => Some(found?),
            },
            Calibration::Auto | Calibration::None => None,
        };
        Ok(fitted.into_fit(decisions, out_of_fold))
    }

    /// Trains on the rows `train` and scores the rows `score`.
    pub(crate) fn refit(
        &self,
        counts: &[f32],
        (train, score): (&[u32], &[u32]),
        run: &Run,
    ) -> Result<KernelFit, Error> {
        let fitted = self.fit(counts, train, run)?;
        let decisions = self.decision_function(&fitted, score, run)?;
        Ok(fitted.into_fit(decisions, None))
    }

    /// Trains one fold after the other, because each needs all the memory.
    fn out_of_fold(
        &self,
        counts: &[f32],
        rows: &RowTable,
        train: &[u32],
        run: &Run,
    ) -> Result<Vec<f32>, Error> {
        let folds = Folds::new(rows, train, self.params.folds, run);
        folds.decisions_by(self.data, 1, |rows, held_out| {
            run.progress(&format!("cross-validation: {} rows", rows.len()));
            self.decision_function(&self.fit(counts, rows, run)?, held_out, run)
        })
    }

    fn fit(&self, counts: &[f32], train: &[u32], run: &Run) -> Result<FittedKernel, Error> {
        let pattern = self.data.pattern;
        // Tf-idf has one scale for all outputs.
        let scale = fit_scale(self.data, &self.candidate, train, self.params, run)?.swap_remove(0);
        let mut values = counts.to_vec();
        weigh_all(&mut values, pattern, &scale, self.candidate.tf);
        let records = SparseRows {
            pattern,
            values: &values,
            rows: train,
        };
        run.progress(&format!(
            "{} singular vectors of {} rows",
            self.components,
            train.len()
        ));
        let svd = svd::truncated(records, self.components, run.stream("svd"), run)?;
        let width = svd.singular_values.len();
        if width == 0 {
            // The terms of the vocabulary are in the other rows: of the validation split or a fold.
            let message = "expected terms in the rows that the kernel is trained on, found none";
            return Err(Error::new(message).help(
                "pass --min-df 1 without --max-df and --max-features, or --kernel linear, which \
                 also trains on rows without terms",
            ));
        }
        let squares = (0..train.len())
            .flat_map(|row| records.row(row).1)
            .map(|&v| f64::from(v) * f64::from(v));
        let explained = svd
            .singular_values
            .iter()
            .map(|value| value * value)
            .sum::<f64>()
            / squares.sum::<f64>();
        let projected = (0..train.len()).flat_map(|row| {
            let (columns, values) = records.row(row);
            kernel_svm::project(&svd.components, width, columns, values)
        });
        let projected: Vec<f32> = projected.collect();
        run.progress(&format!(
            "{} kernel on {} rows of {width} components",
            self.kernel.name(),
            train.len()
        ));
        let problem = KernelProblem {
            context: self,
            train,
            rows: &projected,
            width,
        };
        let dual_coef = fit(&problem, run)?;
        let svm = dual_coef.into_svm(self.kernel, svd.components, &projected);
        Ok(FittedKernel {
            svm,
            scale,
            values,
            explained,
        })
    }

    /// Returns the decision values of `rows`. Shape: (rows, outputs).
    fn decision_function(
        &self,
        fitted: &FittedKernel,
        rows: &[u32],
        run: &Run,
    ) -> Result<Vec<f32>, Error> {
        let records = SparseRows {
            pattern: self.data.pattern,
            values: &fitted.values,
            rows,
        };
        let chunks = parallel(run.threads(), rows.len().div_ceil(CHUNK), |chunk| {
            let mut decisions = Vec::with_capacity(CHUNK * self.data.outputs());
            for row in chunk * CHUNK..rows.len().min((chunk + 1) * CHUNK) {
                let (columns, values) = records.row(row);
                fitted
                    .svm
                    .decision_function(columns, values, &mut decisions);
            }
            Ok(decisions)
        })?;
        Ok(chunks.concat())
    }
}
