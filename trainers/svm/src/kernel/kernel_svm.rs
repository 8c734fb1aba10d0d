//! The trained SVM with a kernel: decision function and arrays of the model folder.

use diagnostics::Error;
use harness::model_dir::arrays::{Array, Arrays, Tensors};

use crate::params::Kernel;

/// Decision function Σ alpha K(support vector, x V) - rho, for features x and components V.
pub(crate) struct KernelSvm {
    pub(super) kernel: Kernel,
    /// V, the right singular vectors, row-major. Shape: (terms, components).
    pub(super) components: Vec<f32>,
    pub(super) width: usize,
    /// Support vectors of all outputs, row-major. Shape: (support vectors, components).
    pub(super) support: Vec<f32>,
    /// Dual coefficients, signed, row-major; 0 if the vector does not support the output. Shape:
    /// (outputs, support vectors).
    pub(super) alpha: Vec<f64>,
    /// Negative intercepts. Shape: (outputs).
    pub(super) rho: Vec<f64>,
}

impl Kernel {
    /// Computes K(x, y) in double precision.
    pub(super) fn of(self, x: &[f32], y: &[f32]) -> f64 {
        match self {
            Self::Rbf { gamma } => (-gamma * sum(x, y, |x, y| (x - y) * (x - y))).exp(),
            Self::Poly {
                gamma,
                coef0,
                degree,
            } => (gamma * sum(x, y, |x, y| x * y) + coef0).powi(degree.into()),
        }
    }
}

/// Computes Σ f(x, y) in eight independent sums, which run in parallel, in a fixed order.
fn sum(x: &[f32], y: &[f32], f: impl Fn(f64, f64) -> f64) -> f64 {
    let (x_blocks, x_rest) = x.as_chunks::<8>();
    let (y_blocks, y_rest) = y.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
            *sum += f(x.into(), y.into());
        }
    }
    let rest: f64 = x_rest
        .iter()
        .zip(y_rest)
        .map(|(&x, &y)| f(x.into(), y.into()))
        .sum();
    sums.iter().sum::<f64>() + rest
}

/// Multiplies a sparse row with `components` of shape (terms, width). Shape: (width).
pub(super) fn project(
    components: &[f32],
    width: usize,
    columns: &[u32],
    values: &[f32],
) -> Vec<f32> {
    let mut projected = vec![0.0; width];
    for (&column, &value) in columns.iter().zip(values) {
        let row = &components[column as usize * width..][..width];
        projected
            .iter_mut()
            .zip(row)
            .for_each(|(sum, &component)| *sum += value * component);
    }
    projected
}

impl KernelSvm {
    /// Appends the decision value of each output for one row of features.
    pub(crate) fn decision_function(
        &self,
        columns: &[u32],
        values: &[f32],
        decisions: &mut Vec<f32>,
    ) {
        self.decision_function_projected(
            &project(&self.components, self.width, columns, values),
            decisions,
        );
    }

    pub(super) fn decision_function_projected(&self, row: &[f32], decisions: &mut Vec<f32>) {
        let mut sums: Vec<f64> = self.rho.iter().map(|rho| -rho).collect();
        let vectors = self.alpha.len() / self.rho.len();
        for index in 0..vectors {
            let value = self
                .kernel
                .of(&self.support[index * self.width..][..self.width], row);
            for (sum, alpha) in sums.iter_mut().zip(self.alpha.chunks_exact(vectors)) {
                *sum += alpha[index] * value;
            }
        }
        decisions.extend(sums.into_iter().map(|sum| sum as f32));
    }

    /// Number of support vectors.
    pub(crate) fn support_vectors(&self) -> usize {
        self.alpha.len() / self.rho.len()
    }

    /// Selects terms: column `i` of the result is column `columns[i]` of `self`.
    pub(crate) fn select_columns(self, columns: &[u32]) -> Self {
        let row = |&column: &u32| &self.components[column as usize * self.width..][..self.width];
        let components = columns.iter().flat_map(row).copied().collect();
        Self { components, ..self }
    }

    /// Adds the arrays of the model folder; returns the `kernel` of `config.json`.
    pub(crate) fn save(&self, arrays: &mut Arrays<'_>) -> Kernel {
        let vectors = self.support_vectors();
        let (width, outputs) = (self.width, self.rho.len());
        let terms = self.components.len().checked_div(width).unwrap_or(0);
        arrays.insert("components", Array::f32(&[terms, width], &self.components));
        arrays.insert(
            "support_vectors",
            Array::f32(&[vectors, width], &self.support),
        );
        arrays.insert("alpha", Array::f64(&[outputs, vectors], &self.alpha));
        arrays.insert("rho", Array::f64(&[outputs], &self.rho));
        self.kernel
    }

    /// Reads the arrays of the model folder.
    ///
    /// # Errors
    ///
    /// An array is missing, or its shape does not match `outputs` and `terms`.
    pub(crate) fn load(
        kernel: &Kernel,
        tensors: &Tensors<'_>,
        outputs: usize,
        terms: usize,
    ) -> Result<Self, Error> {
        let (width, vectors) = (
            tensors.shape("components")?.1,
            tensors.shape("support_vectors")?.0,
        );
        Ok(Self {
            kernel: *kernel,
            components: tensors.f32("components", &[terms, width])?,
            width,
            support: tensors.f32("support_vectors", &[vectors, width])?,
            alpha: tensors.f64("alpha", &[outputs, vectors])?,
            rho: tensors.f64("rho", &[outputs])?,
        })
    }
}
