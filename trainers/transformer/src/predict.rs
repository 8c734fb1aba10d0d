//! Logits of many rows.

use diagnostics::Error;

use crate::engine::{Batch, Engine};

/// Tokens of a batch that is not trained on, padding (of GPUs) included: large enough for the matrices to be fast, small enough to
/// stay in a cache that several cores share.
const TOKENS: usize = 4096;
/// Rows of such a batch.
const ROWS: usize = 64;

impl Batch {
    /// Rows of at least one id each, padded with `pad`.
    pub(crate) fn of<R: AsRef<[u32]>>(rows: &[R], pad: u32) -> Self {
        let lengths: Vec<usize> = rows.iter().map(|row| row.as_ref().len()).collect();
        let seq = lengths.iter().copied().max().unwrap_or(1);
        let mut ids = Vec::with_capacity(rows.len() * seq);
        for row in rows {
            ids.extend(row.as_ref());
            ids.resize(ids.len().next_multiple_of(seq), pad);
        }
        Self { ids, lengths, seq }
    }
}

/// Logits of (rows, classes), in order; `None` if it was stopped.
pub(crate) fn logits<R: AsRef<[u32]>>(
    engine: &mut dyn Engine,
    rows: &[R],
    (pad, classes): (u32, usize),
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Vec<f32>>, Error> {
    let length = |row: usize| rows[row].as_ref().len();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // The longest first: what memory it takes is taken at once.
    order.sort_by_key(|&row| (std::cmp::Reverse(length(row)), row));
    let mut all = vec![0.0; rows.len() * classes];
    let mut rest = order.as_slice();
    while let Some(&first) = rest.first() {
        if stopped() {
            return Ok(None);
        }
        let most = (TOKENS / length(first)).clamp(1, ROWS);
        let (some, others) = rest.split_at(most.min(rest.len()));
        rest = others;
        let batch: Vec<&[u32]> = some.iter().map(|&row| rows[row].as_ref()).collect();
        let found = engine.logits(&Batch::of(&batch, pad))?;
        for (&row, logits) in some.iter().zip(found.chunks_exact(classes)) {
            all[row * classes..][..classes].copy_from_slice(logits);
        }
    }
    Ok(Some(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_to_the_longest() {
        let batch = Batch::of(&[vec![5, 6, 7], vec![8]], 9);
        assert_eq!(batch.ids, [5, 6, 7, 8, 9, 9]);
        assert_eq!((batch.lengths, batch.seq), (vec![3, 1], 3));
    }
}
