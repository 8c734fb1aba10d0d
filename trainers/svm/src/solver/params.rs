//! Parameters of the linear solver, checked by linfa's `ParamGuard`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linfa::ParamGuard;

/// Loss of a row with the margin m = y (w·x + b).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// max(0, 1 - m)
    Hinge,
    /// max(0, 1 - m)²
    SquaredHinge,
    /// ln(1 + exp(-m)): logistic regression
    Log,
}

/// Error of the solver before it starts.
#[derive(Debug, thiserror::Error)]
pub enum SolverError {
    /// A parameter is out of its range.
    #[error("expected `{name}` {range}, found `{value}`")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// Valid range.
        range: &'static str,
        /// Value found.
        value: f64,
    },
    /// All rows are of one class.
    #[error("expected rows of both classes, found one class")]
    OneClass,
    /// Error of linfa.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// Checked parameters of the linear solver.
#[derive(Clone, Debug)]
pub struct LinearSvmValidParams {
    pub(super) loss: Loss,
    /// Weight of the losses relative to the regularisation.
    pub(super) c: f64,
    /// Relative duality gap at which the solver stops.
    pub(super) tolerance: f64,
    /// Maximum passes over the rows.
    pub(super) max_epochs: u32,
    pub(super) seed: u64,
    stop: Arc<AtomicBool>,
}

impl LinearSvmValidParams {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Unchecked parameters of the linear solver.
#[derive(Clone, Debug)]
pub struct LinearSvmParams(LinearSvmValidParams);

impl LinearSvmParams {
    /// Sets loss and C; defaults: tolerance 1e-3, at most 1,000 epochs, seed 0.
    pub fn new(loss: Loss, c: f64) -> Self {
        Self(LinearSvmValidParams {
            loss,
            c,
            tolerance: 1e-3,
            max_epochs: 1000,
            seed: 0,
            stop: Arc::default(),
        })
    }

    /// Sets the relative duality gap at which the solver stops.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.0.tolerance = tolerance;
        self
    }

    /// Sets the maximum number of passes over the rows.
    pub fn max_epochs(mut self, max_epochs: u32) -> Self {
        self.0.max_epochs = max_epochs;
        self
    }

    /// Seeds the order in which rows are visited.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }

    /// Ends the solver after the current epoch once `stop` is set.
    pub fn stop(mut self, stop: Arc<AtomicBool>) -> Self {
        self.0.stop = stop;
        self
    }
}

impl ParamGuard for LinearSvmParams {
    type Checked = LinearSvmValidParams;
    type Error = SolverError;

    fn check_ref(&self) -> Result<&LinearSvmValidParams, SolverError> {
        let params = &self.0;
        let outside = |name, range, value| Err(SolverError::Parameter { name, range, value });
        if !(params.c.is_finite() && params.c > 0.0) {
            return outside("c", "above 0", params.c);
        }
        if !(params.tolerance >= 0.0 && params.tolerance < 1.0) {
            return outside("tol", "from 0 to below 1", params.tolerance);
        }
        if params.max_epochs == 0 {
            return outside("max_iter", "of at least 1", 0.0);
        }
        Ok(params)
    }

    fn check(self) -> Result<LinearSvmValidParams, SolverError> {
        self.check_ref()?;
        Ok(self.0)
    }
}
