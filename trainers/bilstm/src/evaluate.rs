//! Logits of many rows.

use tch::{Device, TchError};

use crate::replicas::Replicas;

/// Maximum rows and ids of a batch, padding included. They determine memory and, on a GPU, speed:
/// 20 texts of the default 400 words on a CPU, where larger batches are not faster; eight times as
/// many on a GPU.
const MAX_ROWS: usize = 64;
const MAX_CPU_IDS: usize = 8192;
const MAX_GPU_IDS: usize = 65_536;

/// Computes the logits of (rows, classes), in order; `None` if stopped.
pub(crate) fn logits(
    replicas: &Replicas,
    rows: &[&[u32]],
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Vec<f32>>, TchError> {
    let classes = replicas.first().shape.classes;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // Longest first, so that threads finish at about the same time.
    order.sort_by_key(|&row| std::cmp::Reverse(rows[row].len()));
    let ids = match replicas.first().device {
        Device::Cpu => MAX_CPU_IDS,
        _ => MAX_GPU_IDS,
    };
    let mut rest = order.as_slice();
    let mut batches = std::iter::from_fn(|| {
        let longest = rows[*rest.first()?].len().max(1);
        let (batch, others) = rest.split_at((ids / longest).clamp(1, MAX_ROWS).min(rest.len()));
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
