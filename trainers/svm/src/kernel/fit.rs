//! Trains on projected rows with linfa-svm.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use diagnostics::Error;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_svm::{Svm, SvmParams as LinfaParams};
use ndarray::{Array1, Array2};
use training::Run;

use super::{KernelSvm, MemoryBudget, TrainContext};
use crate::one_vs_rest::{parallel, side_weights};
use crate::params::Kernel;

/// Interval at which a waiting thread checks the stop flag.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// linfa-svm counts rows with a larger coefficient as support vectors.
const SUPPORT_THRESHOLD: f64 = 100.0 * f64::EPSILON;

/// Training problem on projected rows.
pub(super) struct KernelProblem<'a> {
    pub(super) context: &'a TrainContext<'a>,
    pub(super) train: &'a [u32],
    /// Row-major. Shape: (training rows, width).
    pub(super) rows: &'a [f32],
    pub(super) width: usize,
}

/// Solutions of all outputs.
pub(super) struct DualCoef {
    /// Signed coefficient of each training row, per output.
    pub(super) alpha: Vec<Vec<f64>>,
    /// Negative intercepts. Shape: (outputs).
    pub(super) rho: Vec<f64>,
}

/// Solves one two-class problem per output, in parallel as far as threads and memory allow.
pub(super) fn fit(problem: &KernelProblem<'_>, run: &Run) -> Result<DualCoef, Error> {
    let max_matrices = MemoryBudget::available(Path::new("/")).max_matrices(problem.train.len());
    // The polynomial kernel of linfa, (x·y + constant)^degree, has no gamma: scale the records.
    let factor = match problem.context.kernel {
        Kernel::Rbf { .. } => 1.0,
        Kernel::Poly { gamma, .. } => gamma.sqrt(),
    };
    let shape = (problem.train.len(), problem.width);
    let records = Array2::from_shape_fn(shape, |(i, j)| {
        factor * f64::from(problem.rows[i * problem.width + j])
    });
    let records = Arc::new(records);
    let solved = parallel(
        run.threads().min(max_matrices),
        problem.context.data.outputs(),
        |output| problem.solve(output, Arc::clone(&records), run),
    )?;
    let (alpha, rho) = solved.into_iter().unzip();
    Ok(DualCoef { alpha, rho })
}

impl KernelProblem<'_> {
    /// Returns the coefficients and rho of one output.
    fn solve(
        &self,
        output: usize,
        records: Arc<Array2<f64>>,
        run: &Run,
    ) -> Result<(Vec<f64>, f64), Error> {
        let data = self.context.data;
        if let Some(side) = data.only_side(self.train, output) {
            // A fold without rows of a rare class: constant decision -rho, no support vectors.
            let rho = if side { -1.0 } else { 1.0 };
            return Ok((vec![0.0; self.train.len()], rho));
        }
        let targets: Array1<bool> = self
            .train
            .iter()
            .map(|&row| data.is_positive(row, output))
            .collect();
        let params = self.params(output);
        // linfa-svm cannot be cancelled, and a hard problem may take minutes. So it runs on its own
        // thread, which is abandoned on a stop: the process ends soon after.
        let (sender, answer) = mpsc::channel();
        let work = move || {
            let dataset = DatasetBase::new(records.view(), targets.view());
            // The receiver is gone after a stop.
            let _ = sender.send(params.fit(&dataset));
        };
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("linfa-svm could not train the kernel: {error}");
            Error::new(message).help("use --kernel linear, or other kernel parameters")
        };
        std::thread::Builder::new()
            .name("linfa-svm".to_owned())
            .spawn(work)
            .map_err(|error| failed(&error))?;
        let svm = loop {
            match answer.recv_timeout(STOP_POLL_INTERVAL) {
                Ok(svm) => break svm.map_err(|error| failed(&error))?,
                Err(RecvTimeoutError::Timeout) if run.stopped() => return Err(Error::stopped()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(failed(&"its thread panicked")),
            }
        };
        let supported = svm
            .alpha
            .iter()
            .any(|alpha| alpha.abs() > SUPPORT_THRESHOLD);
        if !supported || !svm.rho.is_finite() || svm.alpha.iter().any(|alpha| !alpha.is_finite()) {
            return Err(failed(&format!(
                "its solution is empty or not finite (`rho` is `{}`)",
                svm.rho
            )));
        }
        Ok((svm.alpha, svm.rho))
    }

    fn params(&self, output: usize) -> LinfaParams<f64, bool> {
        let TrainContext {
            data,
            candidate,
            params,
            kernel,
            ..
        } = *self.context;
        let (positive, negative) = side_weights(data, self.train, output, &params.class_weight);
        // No shrinking: with it, linfa-svm 0.8.1 returns the coefficients in the wrong order. The
        // tolerance is that of libsvm: the largest violation of the optimality conditions.
        let svm = Svm::<f64, bool>::params()
            .pos_neg_weights(
                candidate.c * f64::from(positive),
                candidate.c * f64::from(negative),
            )
            .eps(params.tolerance)
            .shrinking(false);
        match kernel {
            Kernel::Rbf { gamma } => svm.gaussian_kernel(1.0 / gamma),
            Kernel::Poly { coef0, degree, .. } => svm.polynomial_kernel(coef0, degree.into()),
        }
    }
}

impl DualCoef {
    /// Builds the SVM of all outputs from the rows of `projected` that support at least one output.
    pub(super) fn into_svm(
        self,
        kernel: Kernel,
        components: Vec<f32>,
        projected: &[f32],
    ) -> KernelSvm {
        let rows = self.alpha[0].len();
        let width = projected.len() / rows;
        let supports = |alpha: &Vec<f64>, row: usize| alpha[row].abs() > SUPPORT_THRESHOLD;
        let kept: Vec<usize> = (0..rows)
            .filter(|&row| self.alpha.iter().any(|alpha| supports(alpha, row)))
            .collect();
        let coefficient = |alpha, row| {
            if supports(alpha, row) {
                alpha[row]
            } else {
                0.0
            }
        };
        let of_output = |alpha| kept.iter().map(move |&row| coefficient(alpha, row));
        KernelSvm {
            kernel,
            components,
            width,
            support: kept
                .iter()
                .flat_map(|&row| &projected[row * width..][..width])
                .copied()
                .collect(),
            alpha: self.alpha.iter().flat_map(of_output).collect(),
            rho: self.rho,
        }
    }
}
