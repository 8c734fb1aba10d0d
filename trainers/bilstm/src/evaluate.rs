//! Logits of many rows.

use tch::{TchError, no_grad};

use crate::batches::Batch;
use crate::net::{Net, values};
use crate::replicas::Replicas;

/// Rows of a batch that is not trained on.
const ROWS: usize = 64;

/// Logits of (rows, classes), in order; `None` if it was stopped.
pub(crate) fn logits(
    replicas: &Replicas,
    rows: &[&[u32]],
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Vec<f32>>, TchError> {
    let classes = replicas.first().shape.classes;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // The longest first: at the end no thread waits long for another.
    order.sort_by_key(|&row| std::cmp::Reverse(rows[row].len()));
    let batch = |chunk: &[usize]| chunk.iter().map(|&row| rows[row].to_vec()).collect();
    let Some(found) = replicas.logits(order.chunks(ROWS).map(batch).collect(), stopped)? else {
        return Ok(None);
    };
    let mut all = vec![0.0; rows.len() * classes];
    for (&row, logits) in order.iter().zip(found.concat().chunks_exact(classes)) {
        all[row * classes..][..classes].copy_from_slice(logits);
    }
    Ok(Some(all))
}

/// Logits of one batch.
pub(crate) fn of_batch(net: &Net, rows: &[Vec<u32>]) -> Result<Vec<f32>, TchError> {
    let batch = Batch::new(rows, net.shape.pad, net.device)?;
    values(&no_grad(|| net.forward(&batch, None))?)
}
