//! Logits of many rows.

use tch::{Device, TchError};

use crate::forward::{Buffers, Forward};
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
    let order = longest_first(rows);
    let ids = match replicas.first().device {
        Device::Cpu => MAX_CPU_IDS,
        _ => MAX_GPU_IDS,
    };
    let mut batches = batches(&order, rows, ids).map(|batch| {
        let batch = batch.iter().map(|&row| rows[row].to_vec());
        batch.collect::<Vec<_>>()
    });
    let Some(found) = replicas.logits(&mut batches, stopped)? else {
        return Ok(None);
    };
    let classes = replicas.first().shape.classes;
    Ok(Some(in_order(&order, &found.concat(), classes)))
}

/// Computes the logits of (rows, classes), in order, without libtorch.
pub(crate) fn cpu_logits(
    forward: &Forward<'_>,
    buffers: &mut Buffers,
    rows: &[&[u32]],
) -> Vec<f32> {
    let order = longest_first(rows);
    let mut found = Vec::new();
    for batch in batches(&order, rows, MAX_CPU_IDS) {
        let batch: Vec<&[u32]> = batch.iter().map(|&row| rows[row]).collect();
        found.extend(forward.logits(&batch, buffers));
    }
    in_order(&order, &found, forward.classes())
}

/// Returns the indices of the rows, the longest first, so that threads finish at about the same
/// time.
fn longest_first(rows: &[&[u32]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(rows[row].len()));
    order
}

/// Splits the order of rows into batches of at most `max_ids` ids, but at least one row.
fn batches<'a>(
    order: &'a [usize],
    rows: &[&[u32]],
    max_ids: usize,
) -> impl Iterator<Item = &'a [usize]> {
    let mut rest = order;
    std::iter::from_fn(move || {
        let longest = rows[*rest.first()?].len().max(1);
        let size = (max_ids / longest).clamp(1, MAX_ROWS).min(rest.len());
        let (batch, others) = rest.split_at(size);
        rest = others;
        Some(batch)
    })
}

/// Moves the logits from the order of [`longest_first`] to that of the rows.
fn in_order(order: &[usize], found: &[f32], classes: usize) -> Vec<f32> {
    let mut all = vec![0.0; order.len() * classes];
    for (&row, logits) in order.iter().zip(found.chunks_exact(classes)) {
        all[row * classes..][..classes].copy_from_slice(logits);
    }
    all
}
