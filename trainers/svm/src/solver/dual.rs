//! Shared by the dual solvers: the problem, the weights, the order of rows.

use training::Random;

use super::{LinearSvmValidParams, SparseRows};

/// Rows between two looks at the stop flag: a fraction of a second.
pub(super) const STOP_INTERVAL: usize = 1 << 16;

/// A two-class problem in the form the solvers iterate over.
pub(super) struct DualProblem<'a> {
    records: SparseRows<'a>,
    /// +1 or -1 per row.
    pub(super) sign: Vec<f32>,
    /// C times the weight of the row.
    pub(super) cost: Vec<f32>,
    /// |x|² + 1 per row: the bias is the weight of a column of ones.
    pub(super) norm: Vec<f32>,
}

impl<'a> DualProblem<'a> {
    pub(super) fn new(
        records: SparseRows<'a>,
        targets: &[bool],
        weights: Option<&[f32]>,
        params: &LinearSvmValidParams,
    ) -> Self {
        let square = |row: usize| records.row(row).1.iter().map(|v| v * v).sum::<f32>();
        let cost = |row: usize| params.c as f32 * weights.map_or(1.0, |weights| weights[row]);
        Self {
            records,
            sign: targets
                .iter()
                .map(|&target| if target { 1.0 } else { -1.0 })
                .collect(),
            cost: (0..targets.len()).map(cost).collect(),
            norm: (0..targets.len()).map(|row| square(row) + 1.0).collect(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.sign.len()
    }

    /// Returns (columns, values) of row `index`.
    #[inline]
    fn row(&self, index: usize) -> (&[u32], &[f32]) {
        self.records.row(index)
    }

    pub(super) fn zeros(&self) -> Weights {
        Weights {
            columns: vec![0.0; self.records.pattern.width],
            bias: 0.0,
        }
    }
}

/// Current weights.
pub(super) struct Weights {
    pub(super) columns: Vec<f32>,
    pub(super) bias: f32,
}

impl Weights {
    /// Computes w·x + b of a row.
    #[inline]
    pub(super) fn decision_function(&self, problem: &DualProblem<'_>, row: usize) -> f32 {
        let (columns, values) = problem.row(row);
        // Four independent sums, which run in parallel, in a fixed order.
        let (quads, rest) = columns.as_chunks::<4>();
        let (value_quads, value_rest) = values.as_chunks::<4>();
        let mut sums = [0.0f32; 4];
        for (columns, values) in quads.iter().zip(value_quads) {
            for ((sum, &column), &value) in sums.iter_mut().zip(columns).zip(values) {
                *sum += self.columns[column as usize] * value;
            }
        }
        let rest: f32 = rest
            .iter()
            .zip(value_rest)
            .map(|(&c, &v)| self.columns[c as usize] * v)
            .sum();
        (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest + self.bias
    }

    /// w += step x
    #[inline]
    pub(super) fn add(&mut self, problem: &DualProblem<'_>, row: usize, step: f32) {
        let (columns, values) = problem.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            self.columns[column as usize] += step * value;
        }
        self.bias += step;
    }

    /// |w|² + b²
    pub(super) fn square(&self) -> f64 {
        let bias = f64::from(self.bias);
        self.columns
            .iter()
            .map(|&weight| f64::from(weight) * f64::from(weight))
            .sum::<f64>()
            + bias * bias
    }
}

/// Shuffles the rows (Fisher and Yates). Draws all 64 bits, unlike `Random::shuffle`, so that
/// models stay byte-identical to those of older versions.
pub(super) fn shuffle(random: &mut Random, items: &mut [u32]) {
    for last in (1..items.len()).rev() {
        let other = ((u128::from(random.bits()) * (last as u128 + 1)) >> 64) as usize;
        items.swap(last, other);
    }
}
