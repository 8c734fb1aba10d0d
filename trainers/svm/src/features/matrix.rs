//! A compressed sparse row matrix.

/// Sparse rows. Column numbers are `u32`, values `f32`; within a row each column stands once, in no special order.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    /// Where each row starts in `columns` and `values`; one more than rows.
    pub starts: Vec<usize>,
    /// Column of each value.
    pub columns: Vec<u32>,
    /// The values.
    pub values: Vec<f32>,
    /// Number of columns.
    pub width: usize,
}

impl Matrix {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Columns and values of row `index`.
    #[inline]
    pub fn row(&self, index: usize) -> (&[u32], &[f32]) {
        let range = self.starts[index]..self.starts[index + 1];
        (&self.columns[range.clone()], &self.values[range])
    }
}
