//! Sparsity pattern of a compressed sparse row (CSR) matrix.

/// Sparsity pattern of a CSR matrix; the values are separate, parallel to `columns`. Within a row
/// each column occurs once, in no particular order.
#[derive(Clone, Debug, Default)]
pub struct CsrPattern {
    /// Start of each row in `columns` (`indptr` in SciPy); length: rows + 1.
    pub starts: Vec<usize>,
    /// Column indices of all rows (`indices` in SciPy).
    pub columns: Vec<u32>,
    /// Number of columns.
    pub width: usize,
}

impl CsrPattern {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Returns the range of row `index` in `columns` and in the values.
    #[inline]
    pub fn range(&self, index: usize) -> std::ops::Range<usize> {
        self.starts[index]..self.starts[index + 1]
    }

    /// Returns the columns of row `index`.
    #[inline]
    pub fn row(&self, index: usize) -> &[u32] {
        &self.columns[self.range(index)]
    }

    /// Returns the number of these rows that contain each column.
    pub fn document_frequency(&self, rows: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut frequency = vec![0; self.width];
        for row in rows {
            for &column in self.row(row as usize) {
                frequency[column as usize] += 1;
            }
        }
        frequency
    }
}
