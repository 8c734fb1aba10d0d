//! Logits of many rows.

use tch::{Device, TchError, no_grad};

use crate::batches::Batch;
use crate::net::{Net, values};
use crate::replicas::Replicas;

/// Most rows of a batch that is not trained on, and most ids, padding included: by these go memory and, on a GPU, speed. 20 texts
/// of the default 400 words on a CPU, where more are no faster and take more memory; a GPU wants eight times as many.
const ROWS: usize = 64;
const CPU_IDS: usize = 8192;
const GPU_IDS: usize = 65_536;

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
    let ids = match replicas.first().device {
        Device::Cpu => CPU_IDS,
        _ => GPU_IDS,
    };
    let mut rest = order.as_slice();
    let mut batches = std::iter::from_fn(|| {
        let longest = rows[*rest.first()?].len().max(1);
        let (batch, others) = rest.split_at((ids / longest).clamp(1, ROWS).min(rest.len()));
        rest = others;
        Some(batch.iter().map(|&row| rows[row].to_vec()).collect())
    });
    let Some(found) = replicas.logits(&mut batches, stopped)? else {
        return Ok(None);
    };
    let mut all = vec![0.0; rows.len() * classes];
    for (&row, logits) in order.iter().zip(found.concat().chunks_exact(classes)) {
        all[row * classes..][..classes].copy_from_slice(logits);
    }
    Ok(Some(all))
}

/// Logits of one batch, (rows, classes).
pub(crate) fn of_batch(net: &Net, rows: &[Vec<u32>]) -> Result<Vec<f32>, TchError> {
    let batch = Batch::new(rows, net.shape.pad, net.device)?;
    values(&no_grad(|| net.forward(&batch, None))?)
}
