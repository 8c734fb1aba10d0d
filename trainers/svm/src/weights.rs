//! Weights of one output. With many classes most terms occur in no support vector of an output, so
//! that most weights are 0: 76 % with 1,000 classes and 33,593 terms.

use std::borrow::Cow;

/// The weight of each column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OutputWeights {
    Dense(Vec<f32>),
    Sparse {
        /// Number of columns.
        width: usize,
        /// A bit per column, set if it has a weight.
        present: Vec<u64>,
        /// The weights, by column.
        values: Vec<f32>,
    },
}

impl OutputWeights {
    /// Keeps the weights that are not 0, if that takes less memory. -0 is kept.
    pub(crate) fn new(dense: Vec<f32>) -> Self {
        let width = dense.len();
        let count = dense.iter().filter(|value| value.to_bits() != 0).count();
        if count + width.div_ceil(32) >= width {
            return Self::Dense(dense);
        }
        let mut present = vec![0u64; width.div_ceil(64)];
        let mut values = Vec::with_capacity(count);
        for (column, value) in dense.into_iter().enumerate() {
            if value.to_bits() != 0 {
                present[column / 64] |= 1u64 << (column % 64);
                values.push(value);
            }
        }
        Self::Sparse {
            width,
            present,
            values,
        }
    }

    /// Number of columns.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Dense(values) => values.len(),
            Self::Sparse { width, .. } => *width,
        }
    }

    /// Returns the weights of all columns.
    pub(crate) fn dense(&self) -> Cow<'_, [f32]> {
        let Self::Sparse { width, .. } = self else {
            return Cow::Borrowed(self.values());
        };
        let mut dense = vec![0.0; *width];
        for (column, value) in self.entries() {
            dense[column as usize] = value;
        }
        Cow::Owned(dense)
    }

    /// Returns columns and weights; columns that are left out have the weight 0.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, f32)> {
        let columns = (0..self.width() as u32).filter(move |&column| self.has(column));
        columns.zip(self.values().iter().copied())
    }

    /// Returns the weight of a column.
    pub(crate) fn get(&self, column: u32) -> f32 {
        match self {
            Self::Dense(values) => values[column as usize],
            Self::Sparse { .. } if !self.has(column) => 0.0,
            Self::Sparse {
                present, values, ..
            } => {
                let (word, bit) = (column as usize / 64, column % 64);
                let before: u32 = present[..word].iter().map(|word| word.count_ones()).sum();
                let below = present[word] & ((1u64 << bit) - 1);
                values[(before + below.count_ones()) as usize]
            }
        }
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.values().iter().all(|weight| weight.is_finite())
    }

    /// Selects columns: column `i` of the result is column `columns[i]` of `self`.
    pub(crate) fn select(self, columns: &[u32]) -> Self {
        let dense = self.dense();
        let selected = columns.iter().map(|&column| dense[column as usize]);
        Self::new(selected.collect())
    }

    fn values(&self) -> &[f32] {
        match self {
            Self::Dense(values) | Self::Sparse { values, .. } => values,
        }
    }

    fn has(&self, column: u32) -> bool {
        match self {
            Self::Dense(_) => true,
            Self::Sparse { present, .. } => present[column as usize / 64] >> (column % 64) & 1 == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_weights_are_those_that_were_given() {
        let bits = |weights: &OutputWeights| {
            let dense = weights.dense();
            dense
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        let given = vec![0.0, 1.5, 0.0, -0.0, 0.0, 0.0];
        let sparse = OutputWeights::new(given.clone());
        assert!(matches!(&sparse, OutputWeights::Sparse { present, .. } if present == &[0b1010]));
        assert_eq!(
            bits(&sparse),
            given.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
        assert_eq!(
            [sparse.get(1), sparse.get(2), sparse.get(5)],
            [1.5, 0.0, 0.0]
        );
        assert_eq!(sparse.get(3).to_bits(), (-0.0f32).to_bits());
        let mut long = vec![0.0; 200];
        (long[3], long[70], long[199]) = (1.0, 2.0, 3.0);
        let long = OutputWeights::new(long);
        assert_eq!(
            [3, 69, 70, 199].map(|column| long.get(column)),
            [1.0, 0.0, 2.0, 3.0]
        );
        assert_eq!(sparse.entries().collect::<Vec<_>>(), [(1, 1.5), (3, -0.0)]);
        assert_eq!(sparse.width(), 6);
        let dense = sparse.select(&[1, 0, 1]);
        assert_eq!(dense, OutputWeights::Dense(vec![1.5, 0.0, 1.5]));
        assert_eq!(dense.entries().count(), 3);
        assert!(!OutputWeights::new(vec![0.0, 0.0, 0.0, f32::NAN]).is_finite());
    }
}
