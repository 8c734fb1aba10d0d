//! A compressed sparse row matrix, its places apart from its values.

/// Which columns each row holds. Within a row each column stands once, in no special order.
#[derive(Clone, Debug, Default)]
pub struct CsrPattern {
    /// Where each row starts in `columns`; one more than rows.
    pub starts: Vec<usize>,
    /// Column numbers of all rows.
    pub columns: Vec<u32>,
    /// Number of columns.
    pub width: usize,
}

impl CsrPattern {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Where row `index` stands in `columns` and in the values.
    #[inline]
    pub fn range(&self, index: usize) -> std::ops::Range<usize> {
        self.starts[index]..self.starts[index + 1]
    }

    /// The columns of row `index`.
    #[inline]
    pub fn row(&self, index: usize) -> &[u32] {
        &self.columns[self.range(index)]
    }
}
