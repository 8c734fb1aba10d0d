//! The trained kernel machine: how it decides, how it is saved.

use diagnostics::Error;

use crate::model::files::{Array, Arrays, Data, Tensors};
use crate::params::Kernel;

/// What stands in the model's `config.json`.
pub(crate) type KernelConfig = Kernel;

/// decision = Σ alpha K(support vector, x V) - rho, for features x and components V.
pub(crate) struct KernelMachine {
    pub(super) kernel: Kernel,
    /// (terms, components), row-major: V, the right singular vectors.
    pub(super) components: Vec<f32>,
    pub(super) width: usize,
    /// (support vectors, components), row-major; those of all outputs.
    pub(super) support: Vec<f32>,
    /// (outputs, support vectors), row-major: signed; 0 where the vector does not support the output.
    pub(super) alpha: Vec<f64>,
    /// (outputs)
    pub(super) rho: Vec<f64>,
}

impl Kernel {
    /// K(x, y), in double precision.
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

/// Σ f(x, y), in eight sums so that one addition need not wait for the other; always in the same order.
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

/// A sparse row times (terms, components) `components`. Shape: (components), `f32`.
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

impl KernelMachine {
    /// Appends one decision per output for one row of features.
    pub(crate) fn decide(&self, columns: &[u32], values: &[f32], decisions: &mut Vec<f32>) {
        self.decide_projected(
            &project(&self.components, self.width, columns, values),
            decisions,
        );
    }

    pub(super) fn decide_projected(&self, row: &[f32], decisions: &mut Vec<f32>) {
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

    /// How many training rows the decisions depend on.
    pub(crate) fn support_vectors(&self) -> usize {
        self.alpha.len() / self.rho.len()
    }

    /// The same machine for features whose column `i` stood in column `columns[i]` before.
    pub(crate) fn map_columns(self, columns: &[u32]) -> Self {
        let row = |&column: &u32| &self.components[column as usize * self.width..][..self.width];
        let components = columns.iter().flat_map(row).copied().collect();
        Self { components, ..self }
    }

    pub(crate) fn save(&self, arrays: &mut Arrays) -> KernelConfig {
        let vectors = self.support_vectors();
        let mut add = |name: &str, shape: Vec<usize>, data| {
            arrays.insert(name.to_owned(), Array { shape, data })
        };
        let terms = self.components.len().checked_div(self.width).unwrap_or(0);
        add(
            "components",
            vec![terms, self.width],
            Data::F32(self.components.clone()),
        );
        add(
            "support_vectors",
            vec![vectors, self.width],
            Data::F32(self.support.clone()),
        );
        add(
            "alpha",
            vec![self.rho.len(), vectors],
            Data::F64(self.alpha.clone()),
        );
        add("rho", vec![self.rho.len()], Data::F64(self.rho.clone()));
        self.kernel
    }

    /// # Errors
    /// When an array is missing or has another shape than `outputs` and `terms` say.
    pub(crate) fn load(
        kernel: &KernelConfig,
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
