//! Projected rows to support vectors, by linfa-svm.

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

use super::{Job, KernelMachine, Room};
use crate::machines::{parallel, side_weights};
use crate::params::Kernel;

/// How often a waiting thread looks at the stop flag.
const LOOK: Duration = Duration::from_millis(50);
/// linfa-svm does not count smaller coefficients as support.
const SUPPORT: f64 = 100.0 * f64::EPSILON;

/// The training rows, projected.
pub(super) struct Problem<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) train: &'a [u32],
    /// (training rows, width), row-major
    pub(super) rows: &'a [f32],
    pub(super) width: usize,
}

/// The solution of every output.
pub(super) struct Support {
    /// Per output: the signed coefficient of every training row.
    pub(super) alpha: Vec<Vec<f64>>,
    /// (outputs)
    pub(super) rho: Vec<f64>,
}

/// Solves one two-class problem per output; as many at a time as there are threads and room.
pub(super) fn fit(problem: &Problem<'_>, run: &Run) -> Result<Support, Error> {
    let tables = Room::look(Path::new("/")).tables(problem.train.len());
    // linfa knows (x·y + constant)^degree: the scale goes into the records.
    let factor = match problem.job.kernel {
        Kernel::Rbf { .. } => 1.0,
        Kernel::Poly { gamma, .. } => gamma.sqrt(),
    };
    let shape = (problem.train.len(), problem.width);
    let records = Array2::from_shape_fn(shape, |(i, j)| {
        factor * f64::from(problem.rows[i * problem.width + j])
    });
    let records = Arc::new(records);
    let solved = parallel(
        run.threads().min(tables),
        problem.job.data.outputs(),
        |output| problem.solve(output, Arc::clone(&records), run),
    )?;
    let (alpha, rho) = solved.into_iter().unzip();
    Ok(Support { alpha, rho })
}

impl Problem<'_> {
    /// The coefficients and rho of one output.
    fn solve(
        &self,
        output: usize,
        records: Arc<Array2<f64>>,
        run: &Run,
    ) -> Result<(Vec<f64>, f64), Error> {
        let data = self.job.data;
        if let Some(side) = data.only_side(self.train, output) {
            // A fold without a rare class: the constant decision -rho, no support.
            let rho = if side { -1.0 } else { 1.0 };
            return Ok((vec![0.0; self.train.len()], rho));
        }
        let targets: Array1<bool> = self
            .train
            .iter()
            .map(|&row| data.is_positive(row, output))
            .collect();
        let params = self.params(output);
        // linfa-svm cannot be stopped, and a hard problem may take it minutes: it works on a thread of its own, which
        // a stop leaves behind. The process ends soon after.
        let (sender, answer) = mpsc::channel();
        let work = move || {
            let dataset = DatasetBase::new(records.view(), targets.view());
            // Nobody listens after a stop.
            let _ = sender.send(params.fit(&dataset));
        };
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("the kernel machine could not be trained: {error}");
            Error::new(message).help("use --kernel linear, or other kernel parameters")
        };
        std::thread::Builder::new()
            .name("linfa-svm".to_owned())
            .spawn(work)
            .map_err(|error| failed(&error))?;
        let svm = loop {
            match answer.recv_timeout(LOOK) {
                Ok(svm) => break svm.map_err(|error| failed(&error))?,
                Err(RecvTimeoutError::Timeout) if run.stopped() => return Err(Error::stopped()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(failed(&"linfa-svm broke off")),
            }
        };
        let supported = svm.alpha.iter().any(|alpha| alpha.abs() > SUPPORT);
        if !supported || !svm.rho.is_finite() || svm.alpha.iter().any(|alpha| !alpha.is_finite()) {
            return Err(failed(&format!(
                "its solution is not finite or empty (`rho` is `{}`)",
                svm.rho
            )));
        }
        Ok((svm.alpha, svm.rho))
    }

    fn params(&self, output: usize) -> LinfaParams<f64, bool> {
        let Job {
            data,
            setting,
            params,
            kernel,
            ..
        } = *self.job;
        let (positive, negative) = side_weights(data, self.train, output, params.class_weight);
        // Without shrinking: linfa-svm 0.8.1 gives the coefficients back in the wrong order with it. The tolerance is
        // libsvm's: by how much the optimality conditions may be violated.
        let svm = Svm::<f64, bool>::params()
            .pos_neg_weights(
                setting.c * f64::from(positive),
                setting.c * f64::from(negative),
            )
            .eps(params.tolerance)
            .shrinking(false);
        match kernel {
            Kernel::Rbf { gamma } => svm.gaussian_kernel(1.0 / gamma),
            Kernel::Poly { coef0, degree, .. } => svm.polynomial_kernel(coef0, degree.into()),
        }
    }
}

impl Support {
    /// The machine of all outputs, with the rows of `projected` that support at least one of them.
    pub(super) fn machine(
        self,
        kernel: Kernel,
        components: Vec<f32>,
        projected: &[f32],
    ) -> KernelMachine {
        let rows = self.alpha[0].len();
        let width = projected.len() / rows;
        let supports = |alpha: &Vec<f64>, row: usize| alpha[row].abs() > SUPPORT;
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
        KernelMachine {
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
