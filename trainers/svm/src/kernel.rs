//! `--kernel rbf|poly`: linfa-svm's kernel machine on the leading singular vectors of the tf-idf matrix.
//!
//! linfa-svm takes dense records and fills a table of n x n entries, so this is for small data: [`Room`] says how small.

mod eigen;
mod fit;
mod limit;
mod machine;
mod svd;
#[cfg(test)]
mod tests;

use dataset::RowTable;
use diagnostics::{Error, ErrorKind};
use serde_json::{Value, json};
use training::Run;

pub(crate) use limit::Room;
pub(crate) use machine::{KernelConfig, KernelMachine};

use crate::cross_validate::Folds;
use crate::machines::{Labelled, Setting, parallel, scale};
use crate::params::{Calibration, Kernel, SvmParams};
use crate::solver::SparseRows;
use crate::tf_idf::weigh_all;
use fit::{Problem, fit};

/// Rows that a thread decides on at a time: enough to hide the handing out, few enough to share evenly among threads.
const CHUNK: usize = 256;

impl Kernel {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rbf { .. } => "rbf",
            Self::Poly { .. } => "poly",
        }
    }
}

/// What to train, and on what.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) data: Labelled<'a>,
    pub(crate) setting: Setting,
    pub(crate) params: &'a SvmParams,
    pub(crate) kernel: Kernel,
    /// Singular vectors; fewer are taken where the matrix has a lower rank.
    pub(crate) components: usize,
}

/// What came of it.
pub(crate) struct Made {
    pub(crate) machine: KernelMachine,
    /// (columns): what term frequencies are multiplied with.
    pub(crate) scale: Vec<f32>,
    /// (rows of the matrix, outputs)
    pub(crate) decisions: Vec<f32>,
    /// (rows of the matrix, outputs), where cross-validation was asked for and not cut short.
    pub(crate) out_of_fold: Option<Vec<f32>>,
    pub(crate) details: Value,
}

/// A machine and what it sees the rows with.
struct Trained {
    machine: KernelMachine,
    scale: Vec<f32>,
    /// Features of all rows.
    values: Vec<f32>,
    /// Share of the training rows' sum of squares that the components keep.
    kept: f64,
}

impl Job<'_> {
    /// Trains on the rows `train` and decides on all rows.
    pub(crate) fn train(
        &self,
        counts: &[f32],
        rows: &RowTable,
        train: &[u32],
        run: &Run,
    ) -> Result<Made, Error> {
        let trained = self.train_on(counts, train, run)?;
        let everything: Vec<u32> = (0..self.data.labels.len() as u32).collect();
        let decisions = self.decide(&trained, &everything, run)?;
        let out_of_fold = match self.params.calibration {
            Calibration::Cv => match self.out_of_fold(counts, rows, train, run) {
                // There is a machine to save; it goes without its probabilities.
                Err(error) if error.kind() == ErrorKind::Stopped => None,
                found => Some(found?),
            },
            Calibration::Auto | Calibration::None => None,
        };
        let Trained {
            machine,
            scale,
            kept,
            ..
        } = trained;
        let details = json!({
            "function": machine.kernel,
            "components": machine.width,
            "kept": kept,
            "support_vectors": machine.support_vectors(),
        });
        Ok(Made {
            machine,
            scale,
            decisions,
            out_of_fold,
            details,
        })
    }

    /// One fold after the other: each needs the memory for itself.
    fn out_of_fold(
        &self,
        counts: &[f32],
        rows: &RowTable,
        train: &[u32],
        run: &Run,
    ) -> Result<Vec<f32>, Error> {
        let folds = Folds::new(rows, train, self.params.folds, run);
        folds.each(self.data, 1, |rows, held_out| {
            run.progress(&format!("cross-validation: {} rows", rows.len()));
            self.decide(&self.train_on(counts, rows, run)?, held_out, run)
        })
    }

    fn train_on(&self, counts: &[f32], train: &[u32], run: &Run) -> Result<Trained, Error> {
        let pattern = self.data.pattern;
        // Tf-idf: one scale for all outputs.
        let scale = scale(self.data, &self.setting, train, self.params).swap_remove(0);
        let mut values = counts.to_vec();
        weigh_all(&mut values, pattern, &scale, self.setting.tf);
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
            let message = "expected training rows with some of the terms, found none";
            return Err(Error::new(message)
                .help("lower --min-df, or check that the text column is the right one"));
        }
        let squares = (0..train.len())
            .flat_map(|row| records.row(row).1)
            .map(|&v| f64::from(v) * f64::from(v));
        let kept = svd
            .singular_values
            .iter()
            .map(|value| value * value)
            .sum::<f64>()
            / squares.sum::<f64>();
        let projected = (0..train.len()).flat_map(|row| {
            let (columns, values) = records.row(row);
            machine::project(&svd.components, width, columns, values)
        });
        let projected: Vec<f32> = projected.collect();
        run.progress(&format!(
            "{} kernel on {} rows of {width} components",
            self.kernel.name(),
            train.len()
        ));
        let problem = Problem {
            job: self,
            train,
            rows: &projected,
            width,
        };
        let support = fit(&problem, run)?;
        let machine = support.machine(self.kernel, svd.components, &projected);
        Ok(Trained {
            machine,
            scale,
            values,
            kept,
        })
    }

    /// (rows, outputs)
    fn decide(&self, trained: &Trained, rows: &[u32], run: &Run) -> Result<Vec<f32>, Error> {
        let records = SparseRows {
            pattern: self.data.pattern,
            values: &trained.values,
            rows,
        };
        let chunks = parallel(run.threads(), rows.len().div_ceil(CHUNK), |chunk| {
            let mut decisions = Vec::with_capacity(CHUNK * self.data.outputs());
            for row in chunk * CHUNK..rows.len().min((chunk + 1) * CHUNK) {
                let (columns, values) = records.row(row);
                trained.machine.decide(columns, values, &mut decisions);
            }
            Ok(decisions)
        })?;
        Ok(chunks.concat())
    }
}
